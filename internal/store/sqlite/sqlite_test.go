package sqlite_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

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
		"DROP TABLE subject", "DROP TABLE parted", "DROP TABLE period", "DROP INDEX batch_fact", "DROP INDEX entry_difference", "ALTER TABLE batch DROP COLUMN fact", "ALTER TABLE batch DROP COLUMN fact_digest",
		"DROP INDEX entry_debit", "DROP INDEX entry_credit", "CREATE INDEX entry_debit ON entry (debit)", "CREATE INDEX entry_credit ON entry (credit)", "PRAGMA user_version = 1",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
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
}
