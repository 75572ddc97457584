package focusfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/focusfile"
)

// drawn is a table of every type with nulls in it.
func drawn(t *rapid.T) focus.Table {
	table := focus.Table{Columns: []focus.Column{{Name: "Amount", Type: focus.Number}, {Name: "At", Type: focus.DateTime}, {Name: "Details", Type: focus.JSON}, {Name: "Zulu", Type: focus.String}, {Name: "x_Any", Type: focus.String}}}
	for range rapid.IntRange(0, 40).Draw(t, "rows") {
		number := focus.NewDecimal(rapid.Int64().Draw(t, "n"), rapid.IntRange(0, focus.Scale).Draw(t, "scale"))
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		row := []focus.Cell{focus.Value(number), focus.Instant(at), focus.Text(`{"a":1}`)}
		for range 2 {
			// CSV keeps a line's end as one character.
			row = append(row, focus.Text(strings.ReplaceAll(rapid.String().Draw(t, "text"), "\r", "")))
		}
		if i := rapid.IntRange(0, 2*len(row)).Draw(t, "null"); i < len(row) {
			row[i] = focus.Null
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

func TestParquet_ReadsBackTypesNullsAndNumbersExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawn(t)
		var file bytes.Buffer
		if err := focusfile.WriteParquet(&file, &table, []byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
		got, metadata, err := focusfile.ReadParquet(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil || string(metadata) != `{"a":1}` {
			t.Fatal(err, string(metadata))
		}
		table.Columns[2].Type = focus.String // JSON is kept as text
		if diff := cmp.Diff(table, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestCSV_ReadsBackNullsAndTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawn(t)
		var file bytes.Buffer
		if err := focusfile.WriteCSV(&file, &table); err != nil {
			t.Fatal(err)
		}
		got, err := focusfile.ReadCSV(&file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range table.Columns {
			table.Columns[i].Type = focus.Untyped
		}
		if diff := cmp.Diff(table, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestParquet_RefusesWhatAColumnCannotHold(t *testing.T) {
	for name, row := range map[string]struct {
		kind  focus.Type
		value string
	}{
		"a number with too many decimals": {focus.Number, "0.0000000000001"},
		"a number with too many digits":   {focus.Number, "1" + strings.Repeat("0", 40)},
		"a text among numbers":            {focus.Number, "many"},
		"a day among instants":            {focus.DateTime, "2026-01-01"},
	} {
		table := focus.Table{Columns: []focus.Column{{Name: "A", Type: row.kind}}, Rows: [][]focus.Cell{{focus.Text(row.value)}}}
		if err := focusfile.WriteParquet(&bytes.Buffer{}, &table, nil); err == nil || !strings.Contains(err.Error(), "row 1, column A") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadCSV_NullsAndFaults(t *testing.T) {
	got, err := focusfile.ReadCSV(strings.NewReader("\ufeffA,B\nNULL,x\n,\"NULL \"\n"), "NULL")
	if err != nil {
		t.Fatal(err)
	}
	want := focus.Table{Columns: []focus.Column{{Name: "A"}, {Name: "B"}}, Rows: [][]focus.Cell{{focus.Null, focus.Text("x")}, {focus.Null, focus.Text("NULL ")}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, text := range map[string]string{
		"nothing": "", "a row too short": "A,B\n1\n", "a quote without end": "A\n\"x", "too many columns": strings.Repeat("A,", focusfile.MaxColumns) + "A\n",
	} {
		if _, err := focusfile.ReadCSV(strings.NewReader(text)); !errors.Is(err, focusfile.ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplace_LeavesTheOldFileWhenWritingFails(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := focus.Table{Columns: []focus.Column{{Name: "A", Type: focus.Number}}, Rows: [][]focus.Cell{{focus.Text("x")}}}
	err := focusfile.Replace(name, func(w io.Writer) error { return focusfile.WriteParquet(w, &bad, nil) })
	if err == nil {
		t.Fatal("a number that is none was written")
	}
	entries, _ := os.ReadDir(filepath.Dir(name))
	if data, _ := os.ReadFile(name); string(data) != "old" || len(entries) != 1 {
		t.Errorf("the directory has %d files, the file %q", len(entries), data)
	}
	for _, file := range []string{"absent.csv", "absent.parquet"} {
		if _, err := focusfile.Read(filepath.Join(filepath.Dir(name), file)); err == nil {
			t.Errorf("%s was read", file)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("A,B\n1,2\n")
	f.Add("\ufeffA\n\"x\"\"y\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := focusfile.ReadCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Fatalf("%d cells in %d columns", len(row), len(table.Columns))
			}
		}
		var out bytes.Buffer
		if err := focusfile.WriteCSV(&out, &table); err != nil && !errors.Is(err, csv.ErrQuote) {
			t.Fatal(err)
		}
	})
}

func FuzzReadParquet(f *testing.F) {
	table := focus.Table{Columns: []focus.Column{{Name: "A", Type: focus.Number}, {Name: "B", Type: focus.DateTime}, {Name: "C", Type: focus.String}}, Rows: [][]focus.Cell{{focus.Text("1.5"), focus.Instant(time.Unix(1, 0)), focus.Text("x")}}}
	var file bytes.Buffer
	if err := focusfile.WriteParquet(&file, &table, []byte("{}")); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("PAR1\xff\xff\xff\xffPAR1")) // an end that claims four gigabytes
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := focusfile.ReadParquet(bytes.NewReader(data), int64(len(data))); err != nil && !errors.Is(err, focusfile.ErrFile) {
			t.Fatal(err)
		}
	})
}
