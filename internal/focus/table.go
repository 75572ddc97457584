package focus

import (
	"slices"
	"time"
)

// Dataset names one of FOCUS's datasets as the command line does.
type Dataset string

// The datasets.
const (
	CostAndUsage       Dataset = "cost-and-usage"
	ContractCommitment Dataset = "contract-commitment"
	BillingPeriod      Dataset = "billing-period"
	InvoiceDetail      Dataset = "invoice-detail"
)

// Version is a version of FOCUS.
type Version string

// The versions that can be written. V12 has the dataset CostAndUsage only.
const (
	V12 Version = "1.2"
	V14 Version = "1.4"
)

// Type is the data type of a column.
type Type string

// The data types. Untyped is a column of a file that keeps texts only; its
// values are judged by what they say.
const (
	Untyped  Type = ""
	String   Type = "String"
	Number   Type = "Decimal"
	DateTime Type = "Date/Time"
	JSON     Type = "JSON"
)

// Column is one column of a table.
type Column struct {
	Name string
	Type Type
}

// Cell is one value as text, or null. The text of a number is a decimal with
// a dot, that of an instant RFC 3339 in UTC with whole seconds.
type Cell struct {
	Text  string
	Valid bool // false: null
}

// Null is the absent value.
var Null = Cell{}

// Text returns s as a value, and null for an empty text.
func Text(s string) Cell { return Cell{s, s != ""} }

// Instant returns t as a value, and null for the zero time.
func Instant(t time.Time) Cell {
	if t.IsZero() {
		return Null
	}
	return Cell{t.UTC().Format(time.RFC3339), true}
}

// Value returns d as a value.
func Value(d Decimal) Cell { return Cell{d.String(), true} }

// Table is one dataset: rows of cells in the order of the columns.
type Table struct {
	Columns []Column
	Rows    [][]Cell
}

// Position returns where a column stands, or -1.
func (t *Table) Position(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// At returns the cell of a row in a column, null where there is no such column.
func (t *Table) At(row int, name string) Cell {
	i := t.Position(name)
	if i < 0 {
		return Null
	}
	return t.Rows[row][i]
}

// Sum adds up a column; nulls count nothing.
func (t *Table) Sum(name string) (Decimal, error) {
	var sum Decimal
	i := t.Position(name)
	for _, r := range t.Rows {
		if i < 0 || !r[i].Valid {
			continue
		}
		d, err := ParseDecimal(r[i].Text)
		if err != nil {
			return Decimal{}, err
		}
		sum = sum.Add(d)
	}
	return sum, nil
}

// writer fills rows by the names of columns.
type writer struct {
	table Table
	at    map[string]int
	row   []Cell
}

func newWriter(columns []Column) *writer {
	w := &writer{table: Table{Columns: columns}, at: make(map[string]int, len(columns))}
	for i, c := range columns {
		w.at[c.Name] = i
	}
	return w
}

// next begins a row of nulls.
func (w *writer) next() {
	w.row = make([]Cell, len(w.table.Columns))
	w.table.Rows = append(w.table.Rows, w.row)
}

// set fills a column of the row; a column that this version does not have is
// left out.
func (w *writer) set(name string, c Cell) {
	if i, ok := w.at[name]; ok {
		w.row[i] = c
	}
}
