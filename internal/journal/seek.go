package journal

import (
	"errors"
	"fmt"
)

// Texts of a record may hold what looks like frames; whoever chose them has
// less room than seekProof, so frames that follow each other for longer are
// the journal's own. A search goes back by seekMargin before it reads them one
// after the other.
const (
	seekMargin = 128 << 10
	seekProof  = 64 << 10
)

// seek moves towards record from within the segment, by halving it. It only
// guesses: what is skipped from there on must be frames in sequence, or the
// reader begins at the start of the segment again.
func (c *cursor) seek(from uint64) error {
	size, err := c.scan.f.Size()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	start, first := c.scan.pos, c.next
	low := start
	high, err := guessContent(c.scan.f, &c.head.filler, start, size)
	if err != nil {
		return err
	}
	for after := first; high-low > seekMargin; {
		mid := low + (high-low)/2
		seq, at, err := frameBehind(c.scan.f, mid, high, after)
		switch {
		case err != nil:
			return err
		case seq == 0 || seq > from:
			high = mid
		default:
			low, after = at, seq
		}
	}
	if low-seekMargin <= start {
		return nil
	}
	seq, at, err := frameBehind(c.scan.f, low-seekMargin, low, first)
	if err == nil && seq > 0 && seq <= from {
		c.jump(seq, at)
	}
	return err
}

// find stands before record from, which the segment or a later one holds.
func (c *cursor) find(from uint64) error {
	first, start, segment := c.next, c.scan.pos, c.head.first
	if err := c.seek(from); err != nil {
		return err
	}
	anchor := c.scan.pos
	err := c.skipTo(from)
	if anchor == start || c.head.first != segment {
		return err
	}
	var damage *CorruptionError
	if errors.As(err, &damage) || err == nil && c.scan.pos-anchor < seekProof {
		// The search may have been led astray: look at every record.
		c.jump(first, start)
		err = c.skipTo(from)
	}
	return err
}

func (c *cursor) skipTo(from uint64) error {
	for c.next < from {
		if err := c.skip(); err != nil {
			return err
		}
	}
	return nil
}
