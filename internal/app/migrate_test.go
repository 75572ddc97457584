package app

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/datadir"
)

// thawed is a frozen data directory of an older version.
func thawed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "settle", "testdata", "golden-1"))); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(dir, "books.sqlite.gz")
	f, err := os.Open(packed)
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
	if err := os.WriteFile(filepath.Join(dir, "books.sqlite"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(packed); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMigrate_ShowsThePlanThenDoesItAndTheBooksVerify(t *testing.T) {
	dir := thawed(t)
	books := filepath.Join(dir, "books.sqlite")
	before, err := os.ReadFile(books)
	if err != nil {
		t.Fatal(err)
	}
	if err := Balances(t.Context(), io.Discard, dir, false); err == nil || !strings.Contains(err.Error(), "accordo migrate") {
		t.Errorf("reading older books says %v", err)
	}
	var out bytes.Buffer
	if err := Migrate(t.Context(), &out, dir, true, false); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "books, schema 4: ") || !strings.Contains(text, "DRY RUN") {
		t.Errorf("the plan says:\n%s", text)
	}
	if after, err := os.ReadFile(books); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("a dry run changed the books: %v", err)
	}
	out.Reset()
	if err := Migrate(t.Context(), &out, dir, false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(books + ".schema3"); err != nil || !strings.Contains(out.String(), "books.sqlite.schema3") {
		t.Errorf("no copy was kept: %v\n%s", err, out.String())
	}
	if err := VerifyBooks(t.Context(), io.Discard, dir, false); err != nil {
		t.Error(err)
	}
	out.Reset()
	if err := Migrate(t.Context(), &out, dir, false, false); err != nil || !strings.Contains(out.String(), "nothing to do") {
		t.Errorf("again: %v\n%s", err, out.String())
	}
}

func TestMigrate_RefusesADirectoryThatIsServedOrNewer(t *testing.T) {
	dir := thawed(t)
	serving, err := datadir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), io.Discard, dir, false, false); err == nil || !strings.Contains(err.Error(), "stop the serving process first") {
		t.Errorf("beside a serving process: %v", err)
	}
	if err := serving.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "facts.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"at":1,"fact_of_tomorrow":{}}` + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		if err := Migrate(t.Context(), io.Discard, dir, dry, false); err == nil || !strings.Contains(err.Error(), "use the version of accordo that wrote it") {
			t.Errorf("facts of a newer version, dry run %v: %v", dry, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "books.sqlite.schema3")); err == nil {
		t.Error("it began to migrate")
	}
}
