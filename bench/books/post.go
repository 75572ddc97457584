//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// posted is one round at one size of batch.
type posted struct {
	books, rows           float64 // outcomes a second
	booksCPU, rowsCPU     float64 // outcomes a second of processor time
	bookBytes, rowBytes   float64 // per outcome
	journalBytes, entries float64
}

// post measures how fast outcomes that stand in the journal come into the
// books, batch by batch, beside a loop that inserts a row for each of the same
// outcomes into SQLite, in transactions of as many rows and with the same
// durability: a mark of the journal is synced, so the loop syncs each commit.
// With relaxed neither syncs: both are safe against the end of the process,
// and marks are not timed.
func post(ctx context.Context, w io.Writer, o *options, a *alliance.Alliance) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BATCH\tSAFE AGAINST\tOUTCOMES/S min\tmedian\tmax\tROWS/S median\tRATIO min\tmedian\tmax\tPER CPU-S outcomes\trows\tratio\tBYTES/OUTCOME books\trows\tjournal\tENTRIES/BATCH")
	for _, size := range o.batches {
		for _, relaxed := range []bool{true, false} {
			var rounds []posted
			for range o.rounds {
				p, err := postRound(ctx, o, a, size, relaxed)
				if err != nil {
					return err
				}
				rounds = append(rounds, p)
			}
			of := func(f func(*posted) float64) (low, mid, high float64) {
				list := make([]float64, len(rounds))
				for i := range rounds {
					list[i] = f(&rounds[i])
				}
				slices.Sort(list)
				return list[0], list[len(list)/2], list[len(list)-1]
			}
			low, mid, high := of(func(p *posted) float64 { return p.books })
			_, rows, _ := of(func(p *posted) float64 { return p.rows })
			rlow, rmid, rhigh := of(func(p *posted) float64 { return p.books / p.rows })
			_, cpu, _ := of(func(p *posted) float64 { return p.booksCPU })
			_, rowsCPU, _ := of(func(p *posted) float64 { return p.rowsCPU })
			_, ratioCPU, _ := of(func(p *posted) float64 { return p.booksCPU / p.rowsCPU })
			safe, last := "loss of power", rounds[len(rounds)-1]
			if relaxed {
				safe = "end of the process"
			}
			fmt.Fprintf(t, "%d\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t%.0f\t%.0f\n", size, safe, low, mid, high, rows, rlow, rmid, rhigh, cpu, rowsCPU, ratioCPU, last.bookBytes, last.rowBytes, last.journalBytes, last.entries)
		}
	}
	return t.Flush()
}

// postRound posts some outcomes, then inserts the same as rows.
func postRound(ctx context.Context, o *options, a *alliance.Alliance, size int, relaxed bool) (p posted, err error) {
	dir, err := os.MkdirTemp(o.dir, "post-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	tr, err := newTraffic(dir, a, o.tenants, o.ways, time.Second)
	if err != nil {
		return p, err
	}
	defer tr.journal.Close()
	if err := p.toBooks(ctx, o, a, tr, dir, size, relaxed); err != nil {
		return p, err
	}
	return p, p.toRows(ctx, o, tr, dir, size, relaxed)
}

func (p *posted) toBooks(ctx context.Context, o *options, a *alliance.Alliance, tr *traffic, dir string, size int, relaxed bool) error {
	store, err := sqlite.Open(ctx, filepath.Join(dir, "books.sqlite"))
	if err != nil {
		return err
	}
	defer store.Close()
	s, err := settle.New(ctx, tr.journal, store, func(string) (*alliance.Alliance, error) { return a, nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var took, busy time.Duration
	for n := 0; n < o.outcomes; n += size {
		if err := tr.serve(ctx, size); err != nil {
			return err
		}
		began, cpu := time.Now(), processorTime()
		if _, err := tr.journal.Mark(ctx); err != nil {
			return err
		}
		if relaxed {
			began, cpu = time.Now(), processorTime()
		}
		if err := s.CatchUp(ctx); err != nil {
			return err
		}
		took += time.Since(began)
		busy += processorTime() - cpu
	}
	p.books, p.booksCPU = float64(o.outcomes)/took.Seconds(), float64(o.outcomes)/busy.Seconds()
	head, err := store.Head(ctx)
	if err != nil {
		return err
	}
	last, err := store.Batch(ctx, head.Batch)
	if err != nil {
		return err
	}
	p.entries = float64(len(last.Entries))
	if err := store.Close(); err != nil {
		return err
	}
	p.bookBytes, p.journalBytes = sizeBelow(dir, "books.sqlite")/float64(o.outcomes), sizeBelow(dir, "journal")/float64(o.outcomes)
	return nil
}

// processorTime is what this process has used of all processors: on a machine
// that others use, too, it says more than the clock.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sizeBelow is the size of what stands below a name, in bytes.
func sizeBelow(dir, name string) (sum float64) {
	_ = filepath.WalkDir(filepath.Join(dir, name), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				sum += float64(info.Size())
			}
		}
		return nil
	})
	return sum
}

// toRows is what a gateway's usage table does: a row per outcome with the
// request's id indexed. The records are in memory already.
func (p *posted) toRows(ctx context.Context, o *options, tr *traffic, dir string, size int, relaxed bool) error {
	sync := "FULL"
	if relaxed {
		sync = "NORMAL"
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "rows.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous("+sync+")&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE usage (id INTEGER PRIMARY KEY, at INTEGER, request TEXT, tenant TEXT, plan TEXT, model TEXT, pool TEXT, input INTEGER, output INTEGER, cost INTEGER); CREATE INDEX usage_request ON usage (request)"); err != nil {
		return err
	}
	open := map[uint64]*record.Intent{}
	type row struct {
		in  *record.Intent
		out *record.Outcome
		at  int64
	}
	var batch []row
	var took, busy time.Duration
	n := 0
	for r, err := range tr.journal.Read(1) {
		switch {
		case err != nil:
			return err
		case r.Intent != nil:
			open[r.Sequence] = r.Intent
		case r.Outcome != nil:
			batch = append(batch, row{open[r.Outcome.Intent], r.Outcome, r.At})
			delete(open, r.Outcome.Intent)
		}
		if len(batch) < size {
			continue
		}
		began, cpu := time.Now(), processorTime()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		insert, err := tx.PrepareContext(ctx, "INSERT INTO usage (at, request, tenant, plan, model, pool, input, output, cost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
		if err != nil {
			return err
		}
		for _, b := range batch {
			if _, err := insert.ExecContext(ctx, b.at, b.in.Request, b.in.Tenant, b.in.Plan, b.in.Model, b.in.Pool, b.out.Usage.Input(), b.out.Usage.Output, 1); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		took += time.Since(began)
		busy += processorTime() - cpu
		n += len(batch)
		batch = batch[:0]
	}
	p.rows, p.rowsCPU = float64(n)/took.Seconds(), float64(n)/busy.Seconds()
	if err := db.Close(); err != nil {
		return err
	}
	p.rowBytes = sizeBelow(dir, "rows.sqlite") / float64(n)
	return nil
}
