package settle_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// benchBatches makes a journal of n served attempts in batches of size.
func benchBatches(n, size int) *memory {
	m := &memory{}
	for n > 0 {
		m.attempts(min(size, n))
		_, _ = m.Mark(context.Background())
		n -= size
	}
	return m
}

func perSecond(b *testing.B, n int, took time.Duration, unit string) float64 {
	rate := float64(n) / took.Seconds()
	b.ReportMetric(rate, unit)
	return rate
}

// BenchmarkPost is the ledger alone: outcomes posted a second, in memory.
func BenchmarkPost(b *testing.B) {
	batches := storetest.Split(benchBatches(200_000, 2000).records)
	b.ReportAllocs()
	for b.Loop() {
		book := ledger.New(storetest.Terms)
		began := time.Now()
		for _, batch := range batches {
			if _, err := book.Post(batch); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, 200_000, time.Since(began), "outcomes/s")
	}
}

// BenchmarkSettle posts and stores, beside a loop that inserts one row per
// outcome into SQLite with the same durability and as many rows a
// transaction, in the same run.
func BenchmarkSettle(b *testing.B) {
	for _, size := range []int{200, 2000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			const outcomes = 100_000
			j := benchBatches(outcomes, size)
			for b.Loop() {
				dir := b.TempDir()
				store, err := sqlite.Open(b.Context(), filepath.Join(dir, "books.sqlite"))
				if err != nil {
					b.Fatal(err)
				}
				s, err := settle.New(b.Context(), j, store, storetest.Terms, slog.New(slog.DiscardHandler))
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				if err := s.CatchUp(b.Context()); err != nil {
					b.Fatal(err)
				}
				books := perSecond(b, outcomes, time.Since(began), "outcomes/s")
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
				if info, err := os.Stat(filepath.Join(dir, "books.sqlite")); err == nil {
					b.ReportMetric(float64(info.Size())/outcomes, "bytes/outcome")
				}
				rows := perSecond(b, outcomes, insertLoop(b, dir, j.records, size), "sqlite-rows/s")
				b.ReportMetric(books/rows, "ratio")
			}
		})
	}
}

// insertLoop is what a gateway's usage table does: a row per outcome with the
// request's id indexed.
func insertLoop(b *testing.B, dir string, records []record.Record, size int) time.Duration {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "rows.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE usage (id INTEGER PRIMARY KEY, at INTEGER, request TEXT, tenant TEXT, plan TEXT, model TEXT, pool TEXT, input INTEGER, output INTEGER, cost INTEGER); CREATE INDEX usage_request ON usage (request)"); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for from := 0; from < len(records); from += 2*size + 1 {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		insert, err := tx.Prepare("INSERT INTO usage (at, request, tenant, plan, model, pool, input, output, cost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
		if err != nil {
			b.Fatal(err)
		}
		for i := from; i+1 < min(from+2*size, len(records)); i += 2 {
			in, out := records[i].Intent, records[i+1].Outcome
			if _, err := insert.Exec(records[i].At, in.Request, in.Tenant, in.Plan, in.Model, in.Pool, out.Usage.Input(), out.Usage.Output, 1); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// BenchmarkAppendFile is the contender for the store: the batches' canonical
// bytes appended to a file, without any index. It bounds what another store
// could win.
func BenchmarkAppendFile(b *testing.B) {
	const outcomes = 100_000
	batches := storetest.Split(benchBatches(outcomes, 2000).records)
	for b.Loop() {
		f, err := os.Create(filepath.Join(b.TempDir(), "books.log"))
		if err != nil {
			b.Fatal(err)
		}
		book := ledger.New(storetest.Terms)
		began := time.Now()
		var buf []byte
		for _, batch := range batches {
			step, err := book.Post(batch)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Write(step.Batch.Canonical(buf[:0])); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, outcomes, time.Since(began), "outcomes/s")
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
