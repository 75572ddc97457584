//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// queryBatch is how many outcomes a batch of the growing books has.
const queryBatch = 1000

// question is one that a command or page asks.
type question struct {
	name string
	ask  func(ctx context.Context, q *asker) error
}

// asker is a reader of the books, as a command opens them.
type asker struct {
	store   *sqlite.Store
	records settle.Records
	terms   *ledger.Terms
	load    settle.TermsFunc
	random  *rand.Rand
	samples []string  // of request ids
	until   time.Time // of the traffic
}

func (q *asker) instant() time.Time {
	return began.Add(time.Duration(q.random.Int64N(int64(q.until.Sub(began)))))
}

func (q *asker) month() int32 {
	at := q.instant()
	return int32(at.Year()*100 + int(at.Month()))
}

var questions = []question{
	{"all balances", func(ctx context.Context, q *asker) error {
		_, err := q.store.Balances(ctx)
		return err
	}},
	{"balance at an instant", func(ctx context.Context, q *asker) error {
		_, err := q.store.BalanceAt(ctx, "openai/liability/accrued/amazon", q.instant().UnixNano())
		return err
	}},
	{"statement", func(ctx context.Context, q *asker) error {
		_, err := settle.MakeStatement(ctx, q.store, q.terms, "amazon", q.month(), 0)
		return err
	}},
	{"newest 50 entries of an account", func(ctx context.Context, q *asker) error {
		_, err := q.store.Entries(ctx, settle.Query{Account: "openai/liability/accrued/amazon", Newest: true, Limit: 50})
		return err
	}},
	{"50 entries of a customer in a month", func(ctx context.Context, q *asker) error {
		account := ledger.AccountID(fmt.Sprintf("openai/asset/receivable/tenant-%03d", q.random.IntN(50)))
		_, err := q.store.Entries(ctx, settle.Query{Account: account, Period: q.month(), Limit: 50})
		return err
	}},
	{"50 entries below a path, from the middle", func(ctx context.Context, q *asker) error {
		head, err := q.store.Head(ctx)
		if err == nil {
			_, err = q.store.Entries(ctx, settle.Query{Account: "openai/expense/", Newest: true, Before: settle.Place{Batch: 1 + uint64(q.random.Int64N(int64(head.Batch))), Number: 3}, Limit: 50})
		}
		return err
	}},
	{"trace of a request", func(ctx context.Context, q *asker) error {
		_, err := settle.Find(ctx, q.store, q.records, q.load, nil, q.samples[q.random.IntN(len(q.samples))])
		return err
	}},
	{"outlook of a contract", func(ctx context.Context, q *asker) error {
		_, err := settle.MakeOutlook(ctx, q.store, q.terms, string(q.terms.Alliance().Contracts[q.random.IntN(len(q.terms.Alliance().Contracts))].ID), q.until)
		return err
	}},
	{"outlook of a contract in the past", func(ctx context.Context, q *asker) error {
		_, err := settle.MakeOutlook(ctx, q.store, q.terms, string(q.terms.Alliance().Contracts[q.random.IntN(len(q.terms.Alliance().Contracts))].ID), q.instant())
		return err
	}},
}

// query measures how long questions take at each size of the books.
func query(ctx context.Context, w io.Writer, o *options, a *alliance.Alliance) error {
	dir := o.dir
	if dir == "" || !o.keep {
		var err error
		if dir, err = os.MkdirTemp(o.dir, "query-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if o.reuse {
		return again(ctx, w, o, a)
	}
	slices.Sort(o.sizes)
	step := time.Duration(o.days) * 24 * time.Hour / time.Duration(o.sizes[len(o.sizes)-1])
	tr, err := newTraffic(dir, a, o.tenants, o.ways, step)
	if err != nil {
		return err
	}
	defer tr.journal.Close()
	load := func(string) (*alliance.Alliance, error) { return a, nil }
	store, err := sqlite.Open(ctx, filepath.Join(dir, "books.sqlite"))
	if err != nil {
		return err
	}
	defer store.Close()
	s, err := settle.New(ctx, tr.journal, store, load, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	began, posted := time.Now(), 0
	var spent time.Duration
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OUTCOMES\tQUESTION\tp50 ms\tp99 ms\tmax ms")
	for _, size := range o.sizes {
		for posted < size {
			n := min(queryBatch, size-posted)
			if err := tr.serve(ctx, n); err != nil {
				return err
			}
			if _, err := tr.journal.Mark(ctx); err != nil {
				return err
			}
			start := time.Now()
			if err := s.CatchUp(ctx); err != nil {
				return err
			}
			spent += time.Since(start)
			posted += n
		}
		fmt.Fprintf(os.Stderr, "%d outcomes after %v, %.0f a second posted; books %.1f, journal %.0f bytes an outcome\n", posted, time.Since(began).Round(time.Second), float64(posted)/spent.Seconds(),
			(sizeBelow(dir, "books.sqlite")+sizeBelow(dir, "books.sqlite-wal"))/float64(posted), sizeBelow(dir, "journal")/float64(posted))
		if err := ask(ctx, t, o, a, dir, tr.journal.Last(), tr.now, size); err != nil {
			return err
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// again asks the questions of books that an earlier run left with -keep.
func again(ctx context.Context, w io.Writer, o *options, a *alliance.Alliance) error {
	store, err := sqlite.Open(ctx, filepath.Join(o.dir, "books.sqlite"))
	if err != nil {
		return err
	}
	head, err := store.Head(ctx)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	same := *a
	same.Hash = head.Terms // the example may have changed since
	a = &same
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OUTCOMES\tQUESTION\tp50 ms\tp99 ms\tmax ms")
	if err := ask(ctx, t, o, a, o.dir, head.Last, time.Unix(0, head.At), int(head.Last/2)); err != nil {
		return err
	}
	return t.Flush()
}

// ask asks every question of a reader of its own, beside the writer.
func ask(ctx context.Context, t io.Writer, o *options, a *alliance.Alliance, dir string, last uint64, until time.Time, size int) error {
	store, err := sqlite.OpenReader(ctx, filepath.Join(dir, "books.sqlite"))
	if err != nil {
		return err
	}
	defer store.Close()
	q := &asker{
		store: store, terms: ledger.NewTerms(a), load: func(string) (*alliance.Alliance, error) { return a, nil },
		records: func(from uint64) iter.Seq2[record.Record, error] {
			return journal.Read(filepath.Join(dir, "journal"), from)
		},
		random: rand.New(rand.NewPCG(3, uint64(size))), until: until,
	}
	for len(q.samples) < 100 {
		for r, err := range q.records(1 + uint64(q.random.Int64N(int64(last)))) {
			if err != nil {
				return err
			}
			if r.Intent != nil {
				q.samples = append(q.samples, r.Intent.Request)
				break
			}
		}
	}
	for _, question := range questions {
		var times []time.Duration
		for i := range o.rounds * 20 {
			start := time.Now()
			if err := question.ask(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", question.name, err)
			}
			if i > 0 { // the first one warms up
				times = append(times, time.Since(start))
			}
		}
		slices.Sort(times)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Fprintf(t, "%d\t%s\t%.1f\t%.1f\t%.1f\n", size, question.name, ms(times[len(times)/2]), ms(times[(len(times)-1)*99/100]), ms(times[len(times)-1]))
	}
	return nil
}
