package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// readFirst and readAhead are how much of a segment is read at once: little at
// first, because a reader that follows wants the header and what is new, and
// twice as much each time up to readAhead.
const (
	readFirst = 8 << 10
	readAhead = 256 << 10
)

// scanner reads the frames of one segment in order.
type scanner struct {
	f     File
	pos   int64  // offset of the next frame
	buf   []byte // what was read from offset start
	start int64
	ahead int64  // how much was read last
	sum   uint32 // CRC-32C of everything before pos, if the scan began at 0
}

// window returns at least n bytes from pos, or fewer at the end of the file.
// They are valid until the next call.
func (s *scanner) window(n int) ([]byte, error) {
	if have := s.start + int64(len(s.buf)) - s.pos; s.pos >= s.start && have >= int64(n) {
		return s.buf[s.pos-s.start:], nil
	}
	size, err := s.f.Size()
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	s.ahead = min(max(2*s.ahead, readFirst), readAhead)
	want := max(n, int(min(s.ahead, size-s.pos)))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	got, err := s.f.ReadAt(s.buf[:want], s.pos)
	s.buf, s.start = s.buf[:got], s.pos
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return s.buf, nil
}

// forget makes the next frame be read from the file again.
func (s *scanner) forget() { s.buf = s.buf[:0] }

// head reads the header at the start of the file.
func (s *scanner) head() (header, error) {
	b, err := s.window(maxHeader)
	if err != nil {
		return header{}, err
	}
	h, n, err := parseHeader(b)
	if err != nil {
		return header{}, err
	}
	s.accept(b[:n])
	return h, nil
}

// next returns the body of the next frame and its length with the frame; the
// caller accepts it or not. At the very end of the file it is io.EOF; errShort, errLength and errSum
// say what is wrong with the bytes that are there.
func (s *scanner) next() (frame []byte, err error) {
	b, err := s.window(frameHead)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, io.EOF
	}
	n, err := frameLength(b)
	if err != nil {
		return nil, err
	}
	if b, err = s.window(n); err != nil {
		return nil, err
	}
	if len(b) < n {
		return nil, errShort
	}
	if _, err = frameBody(b[:n]); err != nil {
		return nil, err
	}
	return b[:n], nil
}

// accept moves behind b, which next or window returned.
func (s *scanner) accept(b []byte) {
	s.sum = crc32.Update(s.sum, castagnoli, b)
	s.pos += int64(len(b))
}

// followed reports whether a valid frame of a record above after begins
// anywhere behind offset from: then what stands at from is no unfinished
// write.
func followed(f File, from int64, after uint64) (bool, error) {
	size, err := f.Size()
	if err != nil {
		return false, fmt.Errorf("read the journal: %w", err)
	}
	seq, _, err := frameBehind(f, from+1, size, after)
	return seq > 0, err
}

// frameBehind returns sequence number and offset of the first valid frame of
// a record from after on that begins at offset from or behind it and ends by
// until, or 0. Offset and order of the sequence number are looked at first, so
// that the search takes one pass.
func frameBehind(f File, from, until int64, after uint64) (seq uint64, at int64, err error) {
	s := scanner{f: f}
	for s.pos = from; until-s.pos >= frameHead+minBody; s.pos++ {
		b, err := s.window(frameHead + minBody)
		if err != nil || len(b) < frameHead+minBody {
			return 0, 0, err
		}
		n, err := frameLength(b)
		if err != nil || int64(n) > until-s.pos {
			continue
		}
		// Behind version and kind stands the sequence number.
		seq := sequenceIn(b[frameHead+2 : frameHead+minBody])
		if seq < after || seq-after > uint64(until) {
			continue
		}
		if b, err = s.window(n); err != nil {
			return 0, 0, err
		}
		if len(b) >= n {
			if _, err := frameBody(b[:n]); err == nil {
				return seq, s.pos, nil
			}
		}
	}
	return 0, 0, nil
}

// sequenceIn reads a sequence number of up to 63 bits, which is what fits in
// the nine bytes that the shortest record has room for.
func sequenceIn(b []byte) uint64 {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0
	}
	return n
}
