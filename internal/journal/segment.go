package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/record"
)

// The binary form is specified in docs/format/journal.md.
const (
	magic         = "accordoj"
	formatVersion = 1
	headerFixed   = 52 // bytes before the node's id
	maxNode       = 64 // bytes of a node's id
	maxHeader     = headerFixed + maxNode
	frameHead     = 8  // length and checksum
	minBody       = 11 // version, kind, one byte of sequence, time
	maxFrame      = frameHead + record.MaxBytes
	suffix        = ".seg"
)

// castagnoli is a constant: the table of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header begins a segment.
type header struct {
	first    uint64 // sequence number of the first record, as in the file's name
	at       int64  // of the last record before this segment
	oldest   uint64 // no intent below this number was open
	previous uint32 // CRC-32C of the whole segment before, 0 for the first
	node     string
	filler   filler // what the segment is written ahead with
}

// appendHeader appends h. The checksum stands before what it covers: at the end
// it would make the checksum of the whole segment blind to the header.
func appendHeader(dst []byte, h header) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = append(dst, magic...)
	dst = le.AppendUint32(dst, formatVersion)
	dst = le.AppendUint32(dst, uint32(headerFixed+len(h.node)))
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint32(dst, h.previous)
	dst = le.AppendUint64(dst, h.first)
	dst = le.AppendUint64(dst, uint64(h.at))
	dst = le.AppendUint64(dst, h.oldest)
	dst = le.AppendUint32(dst, uint32(len(h.node)))
	dst = append(dst, h.node...)
	le.PutUint32(dst[start+16:], headerSum(dst[start:]))
	return dst
}

// headerSum covers the header b without the checksum itself.
func headerSum(b []byte) uint32 { return update(crc32.Checksum(b[:16], castagnoli), b[20:]) }

var (
	errShort  = errors.New("the end is missing")
	errLength = errors.New("the length is impossible")
	errSum    = errors.New("the checksum does not match")
	errHeader = errors.New("the header is damaged")
	// ErrNewer reports a journal that a newer version of the program wrote.
	ErrNewer = errors.New("journal was written by a newer version: use a newer accordo")
)

// parseHeader reads the header at the start of b and says how long it is. A
// header that could be an unfinished write is errShort or errHeader.
func parseHeader(b []byte) (header, int, error) {
	le := binary.LittleEndian
	if len(b) < headerFixed {
		return header{}, 0, errShort
	}
	if string(b[:8]) != magic {
		return header{}, 0, errHeader
	}
	if v := le.Uint32(b[8:]); v > formatVersion {
		return header{}, 0, fmt.Errorf("%w (format %d, this program reads %d)", ErrNewer, v, formatVersion)
	}
	n, node := le.Uint32(b[12:]), le.Uint32(b[48:])
	if node > maxNode || n != headerFixed+node || le.Uint32(b[8:]) != formatVersion {
		return header{}, 0, errHeader
	}
	if len(b) < int(n) {
		return header{}, 0, errShort
	}
	if headerSum(b[:n]) != le.Uint32(b[16:]) {
		return header{}, 0, errHeader
	}
	return header{
		previous: le.Uint32(b[20:]), first: le.Uint64(b[24:]), at: int64(le.Uint64(b[32:])),
		oldest: le.Uint64(b[40:]), node: string(b[headerFixed:n]), filler: fillerOf(headerSumIn(b)),
	}, int(n), nil
}

// appendFrame appends r with its length and checksum, or errTooLong and dst
// as it was.
func appendFrame(dst []byte, r *record.Record) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = record.Append(dst, r)
	n := len(dst) - start - frameHead
	if n > record.MaxBytes {
		return dst[:start], fmt.Errorf("%w: %d bytes, at most %d", record.ErrInvalid, n, record.MaxBytes)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(n))
	binary.LittleEndian.PutUint32(dst[start+4:], frameSum(dst[start:start+4], dst[start+frameHead:]))
	return dst, nil
}

// frameSum covers the length too, so that no damaged length finds a body that
// fits.
func frameSum(length, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, body)
}

// frameLength returns the length of the whole frame at the start of b, of
// which frameHead bytes are enough.
func frameLength(b []byte) (int, error) {
	if len(b) < frameHead {
		return 0, errShort
	}
	n := binary.LittleEndian.Uint32(b)
	if n < minBody || n > record.MaxBytes {
		return 0, errLength
	}
	return frameHead + int(n), nil
}

// frameBody checks the whole frame b and returns its body.
func frameBody(b []byte) ([]byte, error) {
	if frameSum(b[:4], b[frameHead:]) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, errSum
	}
	return b[frameHead:], nil
}

// segmentName is the name of the file whose first record is first.
func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, suffix) }

// segments lists the first sequence numbers of the segments in dir, rising.
// Other files are not the journal's business.
func segments(fs FS, dir string) ([]uint64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	var firsts []uint64
	for _, name := range names {
		text, ok := strings.CutSuffix(name, suffix)
		if !ok || len(text) != 20 {
			continue
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
			firsts = append(firsts, n)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

func segmentPath(dir string, first uint64) string { return filepath.Join(dir, segmentName(first)) }

// CorruptionError says that a journal holds what nobody wrote and that is not
// an unfinished write at its end. Nothing is repaired: what to do is the
// operator's decision.
type CorruptionError struct {
	File     string
	Offset   int64  // of the first byte that is not understood
	Sequence uint64 // of the record that should stand there
	Reason   error
	Last     bool // the file is the last segment
}

// Error says where, what and what to do.
func (e *CorruptionError) Error() string {
	after := ""
	if !e.Last {
		after = ", move the later .seg files away"
	}
	return fmt.Sprintf("journal is damaged: %s, byte %d, where record %d should stand: %v. "+
		"Restore this file from a copy. If there is none: copy the directory, run `truncate -s %d %s`%s, and rebuild the books; "+
		"the records from %d on are lost, and what they cost must be booked from the providers' invoices",
		e.File, e.Offset, e.Sequence, e.Reason, e.Offset, e.File, after, e.Sequence)
}

// Unwrap returns the reason.
func (e *CorruptionError) Unwrap() error { return e.Reason }
