// Package focusfile writes tables of FOCUS as CSV and as Parquet and reads
// them back. It refuses to know what a column means: types come with the
// table, nulls stay nulls, and numbers go from their decimal text to the file
// without a float between.
package focusfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/accordo-ai/accordo/internal/focus"
)

// The limits of what is read.
const (
	MaxRows    = 5_000_000
	MaxColumns = 1000
)

// ErrFile reports a file that cannot be read as a table.
var ErrFile = errors.New("the file is no table")

// WriteCSV writes a header and the rows: UTF-8, a comma between values, a null
// as nothing between commas.
func WriteCSV(w io.Writer, t *focus.Table) error {
	out := csv.NewWriter(w)
	line := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		line[i] = c.Name
	}
	if err := out.Write(line); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	for _, row := range t.Rows {
		for i, c := range row {
			line[i] = c.Text
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// ReadCSV reads a table whose columns have no type. An empty value is null,
// and so is each of the texts given ("NULL"). A byte order mark is skipped.
func ReadCSV(r io.Reader, nulls ...string) (focus.Table, error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return focus.Table{}, fmt.Errorf("%w: it has no header: %w", ErrFile, err)
	}
	if len(header) > MaxColumns {
		return focus.Table{}, fmt.Errorf("%w: it has %d columns, at most %d are read", ErrFile, len(header), MaxColumns)
	}
	var t focus.Table
	for i, name := range header {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff")
		}
		t.Columns = append(t.Columns, focus.Column{Name: strings.Clone(name)})
	}
	for {
		line, err := in.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return focus.Table{}, fmt.Errorf("%w: %w", ErrFile, err)
		}
		if len(t.Rows) >= MaxRows {
			return focus.Table{}, fmt.Errorf("%w: it has more than %d rows", ErrFile, MaxRows)
		}
		row := make([]focus.Cell, len(line))
		for i, s := range line {
			row[i] = focus.Text(strings.Clone(s))
			for _, null := range nulls {
				if s == null {
					row[i] = focus.Null
				}
			}
		}
		t.Rows = append(t.Rows, row)
	}
}
