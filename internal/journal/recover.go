package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/accordo-ai/accordo/internal/record"
)

// OpenIntent is an intent without an outcome: what was in flight when the
// process ended.
type OpenIntent struct {
	Sequence uint64
	At       int64 // nanoseconds since 1970 UTC
	Intent   *record.Intent
}

// Repair says what Open cut off.
type Repair struct {
	File   string
	Offset int64 // from which bytes were cut
	Bytes  int64 // how many
	Reason string
}

// Recovery is what Open found and did.
type Recovery struct {
	Last     uint64 // last sequence number, 0 in an empty journal
	LastAt   int64  // its time in nanoseconds since 1970 UTC
	Segments int
	Repairs  []Repair
	Open     []OpenIntent // rising by Sequence
}

// recover reads what has to be known before appending: from the oldest intent
// that may be open to the end. Segments before that are checked when they are
// read. It leaves j ready to append.
func (j *Journal) recover() (Recovery, error) {
	var rec Recovery
	firsts, err := segments(j.fs, j.dir)
	if err != nil {
		return rec, err
	}
	if firsts, err = j.dropUnbegun(firsts, &rec); err != nil {
		return rec, err
	}
	if len(firsts) == 0 {
		rec.Segments = 1
		return rec, j.begin(1, 1, nil)
	}
	rec.Segments = len(firsts)
	last := firsts[len(firsts)-1]
	newest, err := openCursor(j.fs, j.dir, last, nil)
	if err != nil {
		return rec, err
	}
	newest.close()
	if newest.head.node != j.node {
		return rec, fmt.Errorf("the journal in %s belongs to node %q, this is node %q: use the data directory that it came from",
			j.dir, newest.head.node, j.node)
	}
	c, open, err := j.replay(max(newest.head.oldest, 1))
	if err != nil {
		return rec, err
	}
	defer c.close()
	f, err := j.fs.OpenWrite(segmentPath(j.dir, c.head.first))
	if err != nil {
		return rec, fmt.Errorf("open the journal for writing: %w", err)
	}
	if err := cut(f, c, &rec); err != nil {
		f.Close()
		return rec, err
	}
	j.file, j.first, j.end, j.sum = f, c.head.first, c.scan.pos, c.scan.sum
	j.filler, j.ahead = c.head.filler, j.end
	j.next, j.at, j.written, j.writtenAt, j.synced = c.next, c.at, c.next-1, c.at, c.next-1
	j.remember(position{sequence: j.next, first: j.first, offset: j.end})
	for seq := range open {
		j.open[seq] = struct{}{}
		rec.Open = append(rec.Open, open[seq])
	}
	slices.SortFunc(rec.Open, func(a, b OpenIntent) int { return cmp.Compare(a.Sequence, b.Sequence) })
	rec.Last, rec.LastAt = j.written, j.at
	return rec, nil
}

// dropUnbegun removes the last segment when a crash came before its header was
// whole; no record can be in it.
func (j *Journal) dropUnbegun(firsts []uint64, rec *Recovery) ([]uint64, error) {
	if len(firsts) == 0 {
		return firsts, nil
	}
	last := firsts[len(firsts)-1]
	path := segmentPath(j.dir, last)
	f, err := j.fs.OpenRead(path)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer f.Close()
	s := scanner{f: f}
	_, err = s.head()
	if err == nil || !isFault(err) {
		return firsts, nil // openCursor looks again and reports
	}
	more, ferr := followed(f, 0, last)
	if ferr != nil {
		return nil, ferr
	}
	if more || (len(firsts) == 1 && last != 1) {
		return nil, &CorruptionError{File: path, Sequence: last, Reason: err, Last: true}
	}
	size, ferr := f.Size()
	if ferr != nil {
		return nil, fmt.Errorf("read the journal: %w", ferr)
	}
	if err := j.fs.Remove(path); err != nil {
		return nil, fmt.Errorf("remove a segment that was never begun: %w", err)
	}
	rec.Repairs = append(rec.Repairs, Repair{File: path, Bytes: size, Reason: err.Error()})
	return firsts[:len(firsts)-1], nil
}

// replay reads from the segment that holds from to the end and collects the
// open intents.
func (j *Journal) replay(from uint64) (*cursor, map[uint64]OpenIntent, error) {
	c, err := openCursor(j.fs, j.dir, from, nil)
	if err != nil {
		return nil, nil, err
	}
	open := map[uint64]OpenIntent{}
	for {
		r, err := c.step()
		if errors.Is(err, io.EOF) && !c.noHead {
			return c, open, nil
		}
		if err != nil {
			c.close()
			return nil, nil, err
		}
		switch r.Kind {
		case record.KindIntent:
			if r.Sequence >= from {
				open[r.Sequence] = OpenIntent{Sequence: r.Sequence, At: r.At, Intent: r.Intent}
			}
		case record.KindOutcome:
			delete(open, r.Outcome.Intent)
		}
	}
}

// cut removes what stands behind the place where c stopped: the unfinished
// write, if there is one, and what was written ahead, which is no repair. The
// records before it are on the disk from then on: a process that was killed
// need not have synced them.
func cut(f File, c *cursor, rec *Recovery) error {
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("repair the journal: %w", err)
	}
	var torn int64
	if size > c.scan.pos {
		end, err := content(f, &c.head.filler, c.scan.pos, size)
		if err != nil {
			return err
		}
		torn = end - c.scan.pos
		if err := f.Truncate(c.scan.pos); err != nil {
			return fmt.Errorf("cut an unfinished write off the journal: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync the journal that was found: %w", err)
	}
	if torn == 0 {
		return nil
	}
	reason := "an unfinished write"
	if c.torn != nil {
		reason = c.torn.Error()
	}
	rec.Repairs = append(rec.Repairs, Repair{File: segmentPath(c.dir, c.head.first), Offset: c.scan.pos, Bytes: torn, Reason: reason})
	return nil
}

// Abandon appends, for each intent that Open found without an outcome, an
// outcome with the status Abandoned and the estimate as usage. It returns how
// many it wrote; after an error the rest is still open and Abandon may be
// called again with the same list.
func (j *Journal) Abandon(ctx context.Context, open []OpenIntent) (int, error) {
	n := 0
	for _, o := range open {
		out := record.Abandon(o.Intent.Attempt, o.Sequence, o.Intent.Estimate)
		_, err := j.Outcome(ctx, &out)
		switch {
		case errors.Is(err, ErrNoIntent): // closed by the call before
		case err != nil:
			return n, fmt.Errorf("abandon intent %d: %w", o.Sequence, err)
		default:
			n++
		}
	}
	return n, nil
}
