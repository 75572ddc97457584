package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// limitCounts is the file in the data directory that keeps what is counted
// against limits: a copy, which the journal gives again.
const limitCounts = "limits"

const (
	// keepLimitsEach is how often the counts are brought up to the journal, and
	// keepLimitsFrom how many records make that worth the while. Together they
	// bound what a start has to read.
	keepLimitsEach = 5 * time.Minute
	keepLimitsFrom = 20_000
)

// errCountsAhead reports counts of records that the books have not: the data
// directory was put back to an earlier state, all but this file.
var errCountsAhead = errors.New("the counts that were kept are ahead of the books")

// countLimits counts what the journal holds of this month against the limits
// of plans.
func (s *server) countLimits(ctx context.Context, now time.Time) (*gateway.Counts, error) {
	c, err := s.countBooked(ctx, now)
	if err != nil {
		return nil, err
	}
	return c, s.countOn(ctx, c, max(c.From(), c.Last()+1), s.journal.Last())
}

// countBooked counts what is in the books, which is on the disk, and keeps the
// counts when that was much.
func (s *server) countBooked(ctx context.Context, now time.Time) (*gateway.Counts, error) {
	booked := s.settler.Status().Stored.Last
	c, err := s.keptLimits(ctx, now, booked)
	if err != nil {
		return nil, err
	}
	kept := c.Last()
	if err := s.countOn(ctx, c, c.From(), booked); err != nil {
		return nil, err
	}
	if c.Last() >= kept+keepLimitsFrom {
		if err := s.dir.WriteFile(limitCounts, c.Keep(now)); err != nil {
			s.o.Log.Warn("the counts of limits were not kept; the next start takes longer", "error", err)
		}
	}
	return c, nil
}

// keptLimits are the counts that were kept, of books that end with the record
// booked, or new ones that begin with the month.
func (s *server) keptLimits(ctx context.Context, now time.Time, booked uint64) (*gateway.Counts, error) {
	terms := s.kept.Load()
	data, err := os.ReadFile(filepath.Join(s.dir.Path(), limitCounts))
	switch {
	case err == nil:
		c, err := gateway.ResumeCounts(terms, data)
		if err == nil && c.Last() > booked {
			err = errCountsAhead
		}
		if err == nil {
			return c, nil
		}
		s.o.Log.Info("limits are counted from the start of the month", "reason", err)
		// Left where it is, it would be believed once other records have its numbers.
		if err := os.Remove(filepath.Join(s.dir.Path(), limitCounts)); err != nil {
			return nil, fmt.Errorf("remove the counts of limits: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the counts of limits: %w", err)
	}
	month := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	from, err := firstRecordSince(ctx, s.store, month)
	return gateway.NewCounts(terms, from), err
}

// countOn counts the records from one to another.
func (s *server) countOn(ctx context.Context, c *gateway.Counts, from, to uint64) error {
	var m record.Memory
	for r, err := range s.journal.ReadInto(&m, from) {
		if err != nil {
			return err
		}
		if r.Sequence > to || ctx.Err() != nil {
			break
		}
		c.Take(&r)
		m.Reset()
	}
	return ctx.Err()
}

// keepLimits keeps counts as far as the books go. They are made from the
// journal alone, beside those that the gateway counts: these hold what is still
// under way.
func (s *server) keepLimits(ctx context.Context) {
	each := time.NewTicker(keepLimitsEach)
	defer each.Stop()
	var counted uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-each.C:
		}
		if s.settler.Status().Stored.Last < counted+keepLimitsFrom {
			continue
		}
		c, err := s.countBooked(ctx, time.Now())
		if err == nil {
			counted = c.Last()
		} else if ctx.Err() == nil {
			s.o.Log.Warn("the counts of limits were not kept; the next start takes longer", "error", err)
		}
	}
}

// firstRecordSince is the first record of the batch that was closed first
// after t; without one, of the records that are not in the books.
func firstRecordSince(ctx context.Context, store *sqlite.Store, t time.Time) (uint64, error) {
	entries, err := store.Entries(ctx, settle.Query{From: t.UnixNano(), Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(entries) == 0 {
		head, err := store.Head(ctx)
		return head.Last + 1, err
	}
	batch, err := store.Batch(ctx, entries[0].Batch)
	return batch.First, err
}
