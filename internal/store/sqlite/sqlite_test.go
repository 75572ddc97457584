package sqlite_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/accordo-ai/accordo/internal/ledger"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

func open(t *testing.T, place string) interface {
	settle.Store
	Close() error
} {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(place, "books.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore_Conforms(t *testing.T) { storetest.Run(t, open) }

// gathering gathers after every third batch, so that readers find some batches
// gathered and some behind.
type gathering struct {
	*sqlite.Store
	appended int
}

func (g *gathering) Append(ctx context.Context, step *ledger.Step) error {
	if err := g.Store.Append(ctx, step); err != nil {
		return err
	}
	if g.appended++; g.appended%3 > 0 {
		return nil
	}
	return g.Gather(ctx)
}

func TestStore_ConformsWhileItGathers(t *testing.T) {
	storetest.Run(t, func(t *testing.T, place string) interface {
		settle.Store
		Close() error
	} {
		return &gathering{Store: open(t, place).(*sqlite.Store)}
	})
}

// TestFind_AfterRunsWereMerged adds requests until runs of several sizes have
// been merged.
func TestFind_AfterRunsWereMerged(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	var head ledger.Head
	want := map[string]ledger.Located{}
	for n := range 600 {
		step := ledger.Step{Head: head, Batch: ledger.Batch{Sequence: head.Batch + 1, First: head.Last + 1, Prev: head.Hash}}
		for i := range 1 + n%37*n%53 {
			l := ledger.Located{Request: fmt.Sprintf("%d-%d", n, i), Intent: head.Last + uint64(2*i) + 1}
			if i%9 > 0 {
				l.Outcome = l.Intent + 1 + uint64(i%3)*1000
			}
			step.Requests = append(step.Requests, l)
			if i%5 == 0 {
				want[l.Request] = l
			}
		}
		step.Batch.Last = step.Batch.First + uint64(2*len(step.Requests))
		step.Batch.Hash = step.Batch.Sum()
		step.Head.Batch, step.Head.Last, step.Head.Hash = step.Batch.Sequence, step.Batch.Last, step.Batch.Hash
		head = step.Head
		if err := s.Append(t.Context(), &step); err != nil {
			t.Fatal(err)
		}
	}
	for request, place := range want {
		if got, err := s.Find(t.Context(), request); err != nil || len(got) != 1 || got[0] != place {
			t.Fatalf("%s stands at %+v, found %+v, %v", request, place, got, err)
		}
	}
}

func TestReader_WorksBesideTheWriterAndAfterIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "books.sqlite")
	if _, err := sqlite.OpenReader(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading books that are not there: %v", err)
	}
	steps := storetest.Steps(t, storetest.History(storetest.Random(3), 200))
	w := open(t, dir)
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		if err := w.Append(t.Context(), &steps[i]); err != nil {
			t.Fatal(err)
		}
		b, err := r.Batch(t.Context(), uint64(i+1))
		if err != nil || b.Sum() != steps[i].Batch.Hash {
			t.Fatalf("batch %d read beside the writer: %v", i+1, err)
		}
	}
	if err := r.Append(t.Context(), &steps[0]); !errors.Is(err, sqlite.ErrReadOnly) {
		t.Errorf("a reader appended: %v", err)
	}
	if err := errors.Join(w.Close(), r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	r, err = sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if h, err := r.Head(t.Context()); err != nil || h.Batch != uint64(len(steps)) {
		t.Errorf("head without a writer: %+v, %v", h, err)
	}
}

func TestOpen_RefusesANewerSchema(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "books.sqlite")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, settle.ErrNewer) {
		t.Errorf("open: %v", err)
	}
	if _, err := sqlite.OpenReader(t.Context(), path); !errors.Is(err, settle.ErrNewer) {
		t.Errorf("open for reading: %v", err)
	}
}

func TestTwoWriters_OnlyOneChainGrows(t *testing.T) {
	dir := t.TempDir()
	steps := storetest.Steps(t, storetest.History(storetest.Random(3), 200))
	a, b := open(t, dir), open(t, dir)
	defer a.Close()
	defer b.Close()
	for i := range steps {
		first, second := a, b
		if i%2 == 1 {
			first, second = b, a
		}
		if err := first.Append(t.Context(), &steps[i]); err != nil {
			t.Fatal(err)
		}
		if err := second.Append(t.Context(), &steps[i]); !errors.Is(err, settle.ErrHead) {
			t.Fatalf("the second writer of batch %d: %v", i+1, err)
		}
	}
}

// TestOpen_BringsTheFirstSchemaUpToDate fills a file as the first schema had
// it and opens it: months and open suspense follow from its entries.
func TestOpen_BringsTheFirstSchemaUpToDate(t *testing.T) {
	dir, fresh := t.TempDir(), t.TempDir()
	steps := storetest.Steps(t, storetest.History(storetest.Random(3), 400))
	want := open(t, fresh)
	defer want.Close()
	w := open(t, dir)
	for i := range steps {
		if err := errors.Join(w.Append(t.Context(), &steps[i]), want.Append(t.Context(), &steps[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "books.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DROP TABLE subject", "DROP TABLE parted", "DROP TABLE covered", "DROP TABLE drawn", "DROP TABLE rolled", "DROP TABLE movement", "DROP TABLE hour", "DROP TABLE touch", "DROP TABLE open_entry", "DROP TABLE request_run", "DROP TABLE request_page",
		"CREATE INDEX entry_contract ON entry (contract) WHERE contract > 0", "CREATE INDEX entry_suspense ON entry (kind) WHERE kind = 7",
		"CREATE TABLE request (hash INTEGER NOT NULL, intent INTEGER NOT NULL, outcome INTEGER NOT NULL, PRIMARY KEY (hash, intent, outcome)) STRICT, WITHOUT ROWID",
		"DROP TABLE period", "DROP INDEX batch_fact", "ALTER TABLE batch DROP COLUMN fact", "ALTER TABLE batch DROP COLUMN fact_digest",
		"CREATE INDEX entry_debit ON entry (debit)", "CREATE INDEX entry_credit ON entry (credit)", "PRAGMA user_version = 1",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for i := range steps {
		for _, l := range steps[i].Requests {
			sum := sha256.Sum256([]byte(l.Request))
			if _, err := db.Exec("INSERT INTO request VALUES (?, ?, ?)", int64(binary.BigEndian.Uint64(sum[:8])), int64(l.Intent), int64(l.Outcome)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, dir)
	defer w.Close()
	have, err := w.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, err := want.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state, have); diff != "" || len(have.Periods) == 0 || len(have.Suspended) == 0 {
		t.Errorf("-fresh +brought up to date:\n%s", diff)
	}
	for i := range steps {
		for _, l := range steps[i].Requests {
			a, err := want.Find(t.Context(), l.Request)
			b, err2 := w.Find(t.Context(), l.Request)
			if err := errors.Join(err, err2); err != nil || len(a) == 0 || !cmp.Equal(a, b) {
				t.Fatalf("places of %s: %v, %v brought up to date: %v", l.Request, a, b, err)
			}
		}
	}
	for _, b := range state.Balances {
		a, err := want.Movements(t.Context(), b.Account, 202606)
		c, err2 := w.Movements(t.Context(), b.Account, 202606)
		if err := errors.Join(err, err2); err != nil || !cmp.Equal(a, c) {
			t.Errorf("movements of %s: %v, %v brought up to date: %v", b.Account, a, c, err)
		}
	}
}
