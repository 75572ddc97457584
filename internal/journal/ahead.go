package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

// With the durability Disk a segment is written ahead: behind its last record
// stand bytes that say nothing, so that a sync finds the blocks and the length
// of the file as they were and has only data to write. These bytes are a
// filler that no damage makes: where it stands in the place of a record, the
// record never reached the disk, and so no sync came after it.
const (
	// aheadBytes is how much is written ahead at once. Whoever syncs next
	// waits for it.
	aheadBytes = 256 << 10
	// aheadLeast is how much must be left before more is written ahead: a
	// group of usual length does not run over it.
	aheadLeast = 32 << 10
	// sectorBytes is what a disk writes whole or not at all, at least.
	sectorBytes = 512
	// fillerBytes is the length of what a filler repeats. So many of it are
	// never there by chance, nor by somebody's choice.
	fillerBytes = 16
	// proofBytes are enough at the end of a sector, where six digits of the
	// checksum are among them.
	proofBytes = 8
)

// filler is what a segment written ahead repeats, by the offset in the file.
// It has no zero byte, so nowhere in it stands a possible length of a record,
// and it holds the checksum of the header, which nobody knows who chooses a
// text of a record.
type filler [fillerBytes]byte

func fillerOf(headerSum uint32) (f filler) {
	copy(f[:], fmt.Sprintf("ahead %08x \n", headerSum))
	return f
}

// of returns n bytes of the filler that begin at offset from.
func (f *filler) of(from, n int64) []byte {
	skip := from % fillerBytes
	b := make([]byte, skip+n)
	for done := copy(b, f[:]); done < len(b); {
		done += copy(b[done:], b[:done])
	}
	return b[skip:]
}

// after says how many bytes at the start of b, which begins at offset from,
// are filler.
func (f *filler) after(b []byte, from int64) int {
	for i, c := range b {
		if c != f[(from+int64(i))%fillerBytes] {
			return i
		}
	}
	return len(b)
}

// before says how many bytes at the end of b, which begins at offset from, are
// filler.
func (f *filler) before(b []byte, from int64) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != f[(from+int64(i))%fillerBytes] {
			return len(b) - 1 - i
		}
	}
	return len(b)
}

// low reports whether little is left of what was written ahead, and the
// segment has use for more. flushing is the caller's.
func (j *Journal) low(end int64) bool {
	j.ahead = max(j.ahead, end)
	return j.disk && end >= j.extendAt && j.ahead-end <= aheadLeast && j.ahead < j.segmentBytes
}

// extend writes the segment ahead, as far as records will certainly stand in
// it: a finished segment holds nothing but records. Nobody fails when the disk
// refuses: the file then grows with its records. flushing is the caller's, and
// mu is free.
func (j *Journal) extend(end int64) {
	n := min(aheadBytes, j.segmentBytes-j.ahead)
	written, err := j.file.WriteAt(j.filler.of(j.ahead, n), j.ahead)
	j.ahead += int64(written)
	if err != nil {
		j.extendAt = end + aheadBytes
	}
}

// unwritten reports whether filler stands in the place of the frame of record
// next at pos, or of a part of it: then the journal ends at pos. A sector that
// is behind the others holds what it held at an earlier time: records, and
// filler to its end. Whole records before the filler mean that the frame only
// seems to reach that far, because its length is damaged.
func (s *scanner) unwritten(f *filler, next uint64) (bool, error) {
	at, err := s.unwrittenAt(f)
	if err != nil || at < 0 {
		return false, err
	}
	seq, _, err := frameBehind(s.f, s.pos+1, at, next)
	return err == nil && seq == 0, err
}

// unwrittenAt returns the offset at which filler begins in the frame at pos,
// or -1.
func (s *scanner) unwrittenAt(f *filler) (int64, error) {
	b, err := s.window(frameHead)
	if err != nil {
		return 0, err
	}
	n, err := frameLength(b)
	if err != nil {
		n = min(4, len(b)) // of the length itself
	}
	last := (s.pos + int64(n) + sectorBytes - 1) / sectorBytes * sectorBytes
	if b, err = s.window(int(last-s.pos) + fillerBytes); err != nil {
		return 0, err
	}
	for end := (s.pos/sectorBytes + 1) * sectorBytes; end <= last; end += sectorBytes {
		from := max(end-sectorBytes, s.pos) - s.pos
		to := min(end-s.pos, int64(len(b)))
		if from >= to {
			break
		}
		run := f.before(b[from:to], s.pos+from)
		if run == 0 || to-int64(run) >= int64(n) {
			continue
		}
		if run >= proofBytes || run+f.after(b[to:min(to+fillerBytes, int64(len(b)))], s.pos+to) >= fillerBytes {
			return s.pos + to - int64(run), nil
		}
	}
	return -1, nil
}

// content returns the offset behind the last byte from pos on that is not
// filler.
func content(f File, fill *filler, pos, size int64) (int64, error) {
	b := make([]byte, readAhead)
	for size > pos {
		from := max(pos, size-int64(len(b)))
		n, err := f.ReadAt(b[:size-from], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read the journal: %w", err)
		}
		if run := fill.before(b[:n], from); run < n {
			return from + int64(n-run), nil
		}
		size = from
	}
	return pos, nil
}

// guessContent is content without reading much: it takes for granted that
// nothing follows filler.
func guessContent(f File, fill *filler, pos, size int64) (int64, error) {
	var b [sectorBytes]byte
	var failed error
	sectors := sort.Search(int((size-pos)/sectorBytes), func(k int) bool {
		from := pos + int64(k)*sectorBytes
		n, err := f.ReadAt(b[:], from)
		if err != nil && !errors.Is(err, io.EOF) {
			failed = err
		}
		return fill.after(b[:n], from) == n
	})
	if failed != nil {
		return 0, fmt.Errorf("read the journal: %w", failed)
	}
	return min(size, pos+int64(sectors)*sectorBytes), nil
}

// headerSumIn is the checksum in the header b.
func headerSumIn(b []byte) uint32 { return binary.LittleEndian.Uint32(b[16:]) }
