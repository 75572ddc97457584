package sqlite

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/settle"
)

// olderBooks are the frozen books of schema 3.
func olderBooks(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "settle", "testdata", "golden-1", "books.sqlite.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dump is all that a file holds: its schema and every row.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := open(path, "rw", "query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	var tables []string
	err = each(t.Context(), db, func(r row) error {
		var kind, name, text string
		err := r.Scan(&kind, &name, &text)
		fmt.Fprintln(&out, kind, name, text)
		if kind == "table" {
			tables = append(tables, name)
		}
		return err
	}, "SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	have, err := version(t.Context(), db, path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, "schema", have)
	for _, table := range tables {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %x\n", table, digestOf(t, rows))
	}
	return out.String()
}

func digestOf(t *testing.T, rows *sql.Rows) []byte {
	t.Helper()
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%q\n", values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return sum.Sum(nil)
}

func put(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "books.sqlite")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var errStopped = errors.New("stopped")

func TestMigrate_StoppedBeforeAnyStatementLeavesTheOldBooksWhole(t *testing.T) {
	data := olderBooks(t)
	path := put(t, data)
	old := dump(t, path)
	if copied, err := Migrate(t.Context(), path); err != nil || dump(t, copied) != old {
		t.Fatalf("the copy %s is not what was there: %v", copied, err)
	}
	want := dump(t, path)
	if want == old || !strings.Contains(want, fmt.Sprintln("schema", mustLatest(t))) {
		t.Fatal("it changed nothing")
	}
	for stop := 0; ; stop++ {
		path := put(t, data)
		db, err := open(path, "rw")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		left := stop
		err = migrate(t.Context(), db, path, func() error {
			if left--; left < 0 {
				return errStopped
			}
			return nil
		})
		if cerr := db.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		if err == nil {
			if stop < 20 {
				t.Fatalf("only %d statements", stop)
			}
			return
		}
		if !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		if now := dump(t, path); now != old {
			t.Fatalf("stopped before statement %d it left:\n%s", stop, now)
		}
		if stop%7 > 0 {
			continue
		}
		if _, err := Migrate(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if now := dump(t, path); now != want {
			t.Fatalf("stopped before statement %d and run again it made:\n%s\nwant:\n%s", stop, now, want)
		}
	}
}

func mustLatest(t *testing.T) int {
	t.Helper()
	n, err := latestVersion()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrate_RefusesBooksOfANewerVersionAndSaysWhatToDo(t *testing.T) {
	path := put(t, olderBooks(t))
	db, err := open(path, "rw")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), path); !errors.Is(err, settle.ErrNewer) || !strings.Contains(err.Error(), "use the version that wrote it") {
		t.Errorf("migrating gave %v", err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, settle.ErrNewer) {
		t.Errorf("opening gave %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("it changed the file: %v", err)
	}
}

func TestSchemaOf_SaysWhatEachStepDoes(t *testing.T) {
	s, err := SchemaOf(t.Context(), put(t, olderBooks(t)))
	if err != nil {
		t.Fatal(err)
	}
	if s.Have != 3 || s.Latest != mustLatest(t) || len(s.Steps) != s.Latest-3 {
		t.Errorf("%+v", s)
	}
	for _, step := range s.Steps {
		if step.Says == "" {
			t.Errorf("step %d says nothing", step.To)
		}
	}
}
