package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/accordo-ai/accordo/internal/record"
)

// cursor reads a journal in order, over segments, beside a process that may
// be appending to it.
type cursor struct {
	fs     FS
	dir    string
	firsts []uint64 // the segments, as last listed
	scan   scanner
	head   header
	whole  bool   // the scan of this segment began at its first byte
	next   uint64 // sequence number that is expected
	at     int64  // no later record is older
	torn   error  // why the last segment's end is not read, nil if it is whole
	noHead bool   // the last segment's header is not written yet
	memory *record.Memory
}

var (
	errGap      = errors.New("records are missing before the next segment")
	errChain    = errors.New("the segment before is not the one that this segment continues")
	errNode     = errors.New("the segment belongs to another node")
	errOrder    = errors.New("the record has another sequence number")
	errClock    = errors.New("the record is older than the one before")
	errNoRecord = errors.New("the record is not in the journal")
)

// openCursor stands before the first record of the segment that holds from.
// Without any segment it is io.EOF.
func openCursor(fs FS, dir string, from uint64, m *record.Memory) (*cursor, error) {
	c := &cursor{fs: fs, dir: dir, memory: m}
	var err error
	if c.firsts, err = segments(fs, dir); err != nil {
		return nil, err
	}
	if len(c.firsts) == 0 {
		return nil, io.EOF
	}
	k := 0
	for k+1 < len(c.firsts) && c.firsts[k+1] <= from {
		k++
	}
	first := c.firsts[k]
	if from < first {
		return nil, &CorruptionError{File: segmentPath(dir, first), Sequence: from, Reason: errGap, Last: len(c.firsts) == 1}
	}
	return c, c.enter(first)
}

// enter opens the segment that begins with first, which c.next must agree
// with unless this is the first one.
func (c *cursor) enter(first uint64) error {
	path := segmentPath(c.dir, first)
	f, err := c.fs.OpenRead(path)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	s := scanner{f: f}
	if c.memory != nil && c.scan.f == nil {
		s.buf = c.memory.Window[:0]
	}
	h, err := s.head()
	if err != nil && isFault(err) && first == c.last() && (first == 1 || len(c.firsts) > 1) {
		// Unfinished, unless records follow and a second look finds it unchanged.
		more, ferr := followed(f, 0, first)
		if ferr == nil && !more {
			f.Close()
			c.torn, c.noHead = err, true
			return io.EOF
		}
		s.forget()
		h, err = s.head()
	}
	switch {
	case err != nil && !isFault(err):
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	case err == nil && h.first != first:
		err = errHeader
	case err == nil && c.scan.f != nil && c.whole && h.previous != c.scan.sum:
		err = errChain
	case err == nil && c.scan.f != nil && h.node != c.head.node:
		err = errNode
	case err == nil && c.scan.f != nil && h.at < c.at:
		err = errClock
	}
	if err != nil {
		f.Close()
		return &CorruptionError{File: path, Sequence: first, Reason: err, Last: first == c.last()}
	}
	c.close()
	c.scan, c.head, c.whole, c.next, c.at = s, h, true, first, h.at
	return nil
}

// jump moves forward within the segment to where record seq is known to begin.
func (c *cursor) jump(seq uint64, offset int64) {
	c.scan.forget()
	c.scan.pos, c.next, c.whole = offset, seq, false
}

func (c *cursor) last() uint64 { return c.firsts[len(c.firsts)-1] }

func (c *cursor) close() {
	if c.scan.f != nil {
		c.scan.f.Close()
		c.scan.f = nil
	}
}

func isFault(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, errShort) || errors.Is(err, errLength) || errors.Is(err, errSum) || errors.Is(err, errHeader)
}

// frame returns the next frame, from the next segment if need be, and leaves
// it to accept. io.EOF says that nothing more can be read now.
//
// A fault is looked at twice, because another process may be writing: what
// the second look finds after the segments were listed is final where a later
// segment exists, and otherwise an unfinished write unless records follow it.
func (c *cursor) frame() ([]byte, error) {
	for again := false; ; {
		b, err := c.scan.next()
		if err == nil {
			return b, nil
		}
		if !isFault(err) {
			return nil, err
		}
		c.scan.forget()
		if !again {
			if c.firsts, err = segments(c.fs, c.dir); err != nil {
				return nil, err
			}
			again = true
			continue
		}
		if errors.Is(err, io.EOF) && slices.Contains(c.firsts, c.next) && c.next != c.head.first {
			if err := c.enter(c.next); err != nil {
				return nil, err
			}
			again = false
			continue
		}
		return c.settle(err)
	}
}

// settle decides what the fault err at the cursor is.
func (c *cursor) settle(err error) ([]byte, error) {
	switch {
	case len(c.firsts) == 0 || c.head.first < c.last():
		if errors.Is(err, io.EOF) {
			err = errGap
		}
		return nil, c.corrupt(err)
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	ends, uerr := c.scan.unwritten(&c.head.filler, c.next)
	c.scan.forget()
	switch {
	case uerr != nil:
		return nil, uerr
	case ends:
		c.torn = err
		return nil, io.EOF
	}
	more, ferr := followed(c.scan.f, c.scan.pos, c.next)
	if ferr != nil {
		return nil, ferr
	}
	if !more {
		c.torn = err
		return nil, io.EOF
	}
	// The writer may have finished the frame before the search went over it.
	b, err := c.scan.next()
	switch {
	case err == nil:
		return b, nil
	case isFault(err):
		return nil, c.corrupt(fmt.Errorf("%w, and valid records follow", err))
	}
	return nil, err
}

func (c *cursor) corrupt(reason error) error {
	return &CorruptionError{
		File: segmentPath(c.dir, c.head.first), Offset: c.scan.pos, Sequence: c.next, Reason: reason,
		Last: len(c.firsts) == 0 || c.head.first == c.last(),
	}
}

// skip passes over one record without decoding it.
func (c *cursor) skip() error {
	b, err := c.frame()
	if err != nil {
		return err
	}
	if sequenceIn(b[frameHead+2:]) != c.next {
		return c.corrupt(errOrder)
	}
	c.scan.accept(b)
	c.next++
	return nil
}

// step returns the next record.
func (c *cursor) step() (record.Record, error) {
	b, err := c.frame()
	if err != nil {
		return record.Record{}, err
	}
	r, err := c.memory.Decode(b[frameHead:])
	switch {
	case errors.Is(err, record.ErrNewer):
		return record.Record{}, fmt.Errorf("%s, byte %d: %w", segmentPath(c.dir, c.head.first), c.scan.pos, err)
	case err != nil:
		return record.Record{}, c.corrupt(err)
	case r.Sequence != c.next:
		return record.Record{}, c.corrupt(errOrder)
	case r.At < c.at:
		return record.Record{}, c.corrupt(errClock)
	}
	c.scan.accept(b)
	c.next, c.at = c.next+1, r.At
	return r, nil
}
