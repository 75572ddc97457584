package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/sheet"
)

// table is a table of a page. What the page shows and what its CSV holds come
// from the same cells.
type table struct {
	Name    string // of its CSV, once on a page
	Caption string
	Columns []column
	Rows    []tableRow
	Foot    []cell
	Empty   string // in place of rows
	Dense   bool
	NoCSV   bool // of a page that cannot be asked for again
	Narrow  bool // few columns: not as wide as the page
}

// column is a column; one that is hidden stands in the CSV only.
type column struct {
	Title  string
	Right  bool
	Hidden bool
	Tight  bool // short words that are not broken over lines
}

type tableRow struct {
	Class string // class, kind, leaf, sum or wrong
	Span  int    // columns that the first cell takes where those after it are empty; 0 for one
	Cells []cell // as many as columns
}

// cell is one cell. Raw is what the CSV has in place of Text: the figure
// without separators and unit.
type cell struct {
	Text, Raw string
	Href      string
	Meta      string
	MetaHref  string
	Chip      string // class of a chip: good, bad, warn or sim
	Mono      bool
	money     bool // Value is money, set with the decimals of its column
	value     money.Amount
}

// Left and right columns.
func left(titles ...string) (list []column) {
	for _, t := range titles {
		list = append(list, column{Title: t})
	}
	return list
}

func tight(title string) column  { return column{Title: title, Tight: true} }
func right(title string) column  { return column{Title: title, Right: true} }
func hidden(title string) column { return column{Title: title, Hidden: true} }

func text(s string) cell { return cell{Text: s} }

func link(s, href string) cell { return cell{Text: s, Href: href} }

// figure is a count.
func figure[N int | int64 | uint64](n N) cell {
	return cell{Text: number(n), Raw: fmt.Sprint(n)}
}

// amount is money, or a quantity of another asset, with its unit only where it
// is not money.
func amount(a money.Amount, asset ledger.Asset) cell {
	if asset.IsCurrency() {
		return cash(a)
	}
	return cell{Text: asAsset(a, asset), Raw: fmt.Sprint(int64(a))}
}

// cash is money without its unit, which the table names.
func cash(a money.Amount) cell {
	return cell{Text: decimalsOf(a), Raw: plain(a), money: true, value: a}
}

// decimalsOf renders money alone: cents, or all six decimals where there is
// less than a cent in it.
func decimalsOf(a money.Amount) string {
	if a%(money.Micro/100) == 0 {
		return decimals(a, 2)
	}
	return decimals(a, 6)
}

// align gives the money of a column the same decimals, so that the points
// stand below one another.
func (t *table) align() {
	for i := range t.Columns {
		n := 2
		for _, r := range t.Rows {
			if i < len(r.Cells) && r.Cells[i].money && r.Cells[i].value%(money.Micro/100) != 0 {
				n = 6
			}
		}
		for _, r := range t.Rows {
			if i < len(r.Cells) && r.Cells[i].money {
				r.Cells[i].Text = decimals(r.Cells[i].value, n)
			}
		}
	}
}

// plain renders money for programs: a point, six decimals, no separators.
func plain(a money.Amount) string {
	return strings.ReplaceAll(strings.ReplaceAll(decimals(a, 6), ",", ""), "−", "-")
}

// Shown are the cells of a row that the page shows; the others are for the CSV.
func (t *table) Shown(r tableRow) (list []shownCell) {
	skip := 0
	for i, c := range t.Columns {
		if c.Hidden || i >= len(r.Cells) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		shown := shownCell{cell: r.Cells[i], Column: c, First: len(list) == 0}
		if shown.First && r.Span > 1 {
			shown.Span, skip = r.Span, r.Span-1
		}
		list = append(list, shown)
	}
	return list
}

type shownCell struct {
	cell
	Column column
	First  bool
	Span   int
}

// Class is the table's class: one of two columns stays a table where others
// become cards.
func (t *table) Class() string {
	class := "stack"
	if len(t.Heads()) == 2 {
		class = "pairs"
	}
	if t.Dense {
		class += " dense"
	}
	if t.Narrow {
		class += " narrow"
	}
	return class
}

// Heads are the columns that the page shows.
func (t *table) Heads() (list []column) {
	for _, c := range t.Columns {
		if !c.Hidden {
			list = append(list, c)
		}
	}
	return list
}

// raw is what the CSV has of a cell.
func (c *cell) raw() string {
	if c.Raw != "" {
		return c.Raw
	}
	return c.Text
}

// records are the rows of the CSV, the names of the columns first.
func (t *table) records() [][]string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = strings.ToLower(strings.ReplaceAll(c.Title, " ", "_"))
	}
	list := [][]string{names}
	for _, r := range t.Rows {
		row := make([]string, len(t.Columns))
		for i := range r.Cells {
			row[i] = r.Cells[i].raw()
		}
		list = append(list, row)
	}
	return list
}

// tabled is the body of a page with tables.
type tabled interface{ tables() []*table }

// wantsCSV says which table of the page is asked for as CSV.
func wantsCSV(r *http.Request) string { return r.URL.Query().Get("csv") }

// writeCSV answers with one table of the page.
func writeCSV(w http.ResponseWriter, body any, name string) error {
	if b, ok := body.(tabled); ok {
		for _, t := range b.tables() {
			if t.Name != name {
				continue
			}
			w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
			w.Header().Set("Content-Disposition", `attachment; filename="accordo-`+name+`.csv"`)
			return sheet.Write(w, t.records())
		}
	}
	return admin.BadRequestError{Says: "This page has no table of that name to write as CSV."}
}

// CSV is the address of a table of this page as CSV, with the page's filters.
func (p page) CSV(name string) string {
	q := url.Values{}
	for k, v := range p.Query {
		q[k] = v
	}
	q.Set("csv", name)
	return "?" + q.Encode()
}

// Table joins a table with the page that it is on.
func (p page) Table(t *table) tableView {
	t.align()
	return tableView{t, p.CSV(t.Name)}
}

type tableView struct {
	*table
	CSV string
}
