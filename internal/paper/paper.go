// Package paper sets documents with tables as PDF files on A4: a heading, a
// few facts, tables that go on over pages, a mark and a notice on every page.
// The same document gives the same bytes. It refuses to know what a document
// means, to compute a figure, and to load anything from a file or an address.
package paper

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
)

// Document is what is set.
type Document struct {
	Title    string
	Subtitle string
	Mark     string    // on every page, such as SIMULATED; empty for none
	Notice   string    // at the foot of every page
	Of       string    // whose document it is, at the head of every page
	Made     time.Time // the document's date in the file; part of its bytes
	Facts    [][2]string
	Tables   []Table
	Closing  string // below the last table
}

// Table is one table; its head stands on every page that it is on.
type Table struct {
	Title   string
	Columns []Column
	Rows    []Row
}

// Column has a share of the page's width.
type Column struct {
	Title string
	Share int
	Right bool // figures: set at the right
}

// Row is one row; a strong one carries a sum or the name of what follows.
type Row struct {
	Cells  []string
	Strong bool
}

// Limits of a document.
const (
	MaxRows = 20_000 // of all its tables
	maxText = 1_500  // characters of one text; what is beyond is cut off with an ellipsis
)

// ErrTooLong reports a document with more than MaxRows.
var ErrTooLong = errors.New("too many rows for a printed document")

// The page in millimetres: A4 with its margins.
const (
	width, height = 210.0, 297.0
	margin        = 15.0
	inner         = width - 2*margin
	top, bottom   = 24.0, 26.0
	line          = 4.1 // height of a line of a table
	gap           = 1.6 // between columns
)

const family = "go"

// Write sets d and writes the file.
func Write(w io.Writer, d *Document) error {
	rows := 0
	for i := range d.Tables {
		rows += len(d.Tables[i].Rows)
	}
	if rows > MaxRows {
		return fmt.Errorf("%w: %d, at most %d", ErrTooLong, rows, MaxRows)
	}
	p := &page{f: fpdf.New("P", "mm", "A4", ""), d: d}
	p.f.SetCatalogSort(true)
	p.f.SetCreationDate(d.Made.UTC())
	p.f.SetModificationDate(d.Made.UTC())
	p.f.SetProducer("Accordo", true)
	p.f.SetTitle(clean(d.Title), true)
	p.f.SetLang("en")
	p.f.AddUTF8FontFromBytes(family, "", goregular.TTF)
	p.f.AddUTF8FontFromBytes(family, "B", gobold.TTF)
	p.f.SetMargins(margin, top, margin)
	p.f.SetAutoPageBreak(false, bottom)
	p.f.AliasNbPages("{pages}")
	p.f.SetHeaderFunc(p.head)
	p.f.SetFooterFunc(p.foot)
	p.f.AddPage()
	p.opening()
	for i := range d.Tables {
		p.table(&d.Tables[i])
	}
	if d.Closing != "" {
		p.room(3 * line)
		p.f.SetY(p.f.GetY() + 3)
		p.font("", 9)
		p.f.MultiCell(inner, 4.4, clean(d.Closing), "", "L", false)
	}
	if err := p.f.Output(w); err != nil {
		return fmt.Errorf("write the PDF: %w", err)
	}
	return nil
}

// page is the document being set.
type page struct {
	f *fpdf.Fpdf
	d *Document
}

func (p *page) font(style string, size float64) { p.f.SetFont(family, style, size) }

func (p *page) head() {
	p.font("", 8)
	p.f.SetTextColor(90, 90, 90)
	p.f.SetXY(margin, 11)
	p.f.CellFormat(inner-30, 4, clean(p.d.Of+"  |  "+p.d.Title), "", 0, "L", false, 0, "")
	p.f.CellFormat(30, 4, fmt.Sprintf("page %d of {pages}", p.f.PageNo()), "", 0, "R", false, 0, "")
	if p.d.Mark != "" {
		p.font("B", 7.5)
		p.f.SetTextColor(140, 20, 20)
		lines := p.split(p.d.Mark, inner)
		for i, text := range lines[:min(len(lines), 2)] {
			p.f.SetXY(margin, 15+3.4*float64(i))
			p.f.CellFormat(inner, 3.4, text, "", 0, "L", false, 0, "")
		}
	}
	p.f.SetTextColor(0, 0, 0)
	p.f.SetDrawColor(160, 160, 160)
	p.f.Line(margin, top-1.5, width-margin, top-1.5)
	p.f.SetXY(margin, top)
}

func (p *page) foot() {
	if p.d.Notice == "" {
		return
	}
	p.f.SetDrawColor(160, 160, 160)
	p.f.Line(margin, height-bottom+3, width-margin, height-bottom+3)
	p.font("", 7)
	p.f.SetTextColor(90, 90, 90)
	lines := p.f.SplitText(clean(p.d.Notice), inner)
	for i, text := range lines[:min(len(lines), 5)] {
		p.f.SetXY(margin, height-bottom+4.5+3.2*float64(i))
		p.f.CellFormat(inner, 3.2, text, "", 0, "L", false, 0, "")
	}
	p.f.SetTextColor(0, 0, 0)
}

// room starts a page when less than h is left on this one.
func (p *page) room(h float64) bool {
	if p.f.GetY()+h <= height-bottom {
		return false
	}
	p.f.AddPage()
	return true
}

func (p *page) opening() {
	p.font("B", 16)
	p.f.MultiCell(inner, 7, clean(p.d.Title), "", "L", false)
	if p.d.Subtitle != "" {
		p.font("", 10)
		p.f.MultiCell(inner, 4.8, clean(p.d.Subtitle), "", "L", false)
	}
	p.f.SetY(p.f.GetY() + 3)
	for _, fact := range p.d.Facts {
		p.font("", 9)
		p.f.SetTextColor(90, 90, 90)
		p.f.CellFormat(45, 5, clean(fact[0]), "", 0, "L", false, 0, "")
		p.f.SetTextColor(0, 0, 0)
		p.font("B", 9)
		p.f.MultiCell(inner-45, 5, clean(fact[1]), "", "L", false)
	}
}

func (p *page) table(t *Table) {
	p.room(5 * line)
	p.f.SetY(p.f.GetY() + 4)
	if t.Title != "" {
		p.font("B", 11)
		p.f.MultiCell(inner, 5.5, clean(t.Title), "", "L", false)
		p.f.SetY(p.f.GetY() + 1)
	}
	p.tableHead(t)
	for i := range t.Rows {
		p.row(t, &t.Rows[i])
	}
}

// widths shares the page's width among the columns.
func widths(t *Table) []float64 {
	sum := 0
	for _, c := range t.Columns {
		sum += max(c.Share, 1)
	}
	list := make([]float64, len(t.Columns))
	for i, c := range t.Columns {
		list[i] = inner * float64(max(c.Share, 1)) / float64(max(sum, 1))
	}
	return list
}

func (p *page) tableHead(t *Table) {
	titles := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		titles[i] = c.Title
	}
	p.font("B", 7.5)
	p.cells(t, titles)
	p.f.SetDrawColor(60, 60, 60)
	p.f.Line(margin, p.f.GetY(), width-margin, p.f.GetY())
	p.f.SetY(p.f.GetY() + 0.8)
}

func (p *page) row(t *Table, r *Row) {
	style := func() {
		if r.Strong {
			p.font("B", 8)
		} else {
			p.font("", 8)
		}
	}
	style()
	if p.room(p.tall(t, r.Cells) + 1) {
		p.tableHead(t)
		style()
	}
	p.cells(t, r.Cells)
	p.f.SetDrawColor(215, 215, 215)
	p.f.Line(margin, p.f.GetY(), width-margin, p.f.GetY())
	p.f.SetY(p.f.GetY() + 0.6)
}

// split breaks the text of a cell into lines that fit, at spaces, else after
// the separators of paths, else anywhere.
func (p *page) split(text string, w float64) (list []string) {
	text = clean(text)
	if p.f.GetStringWidth(text) <= w {
		return []string{text}
	}
	rest := ""
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if p.f.GetStringWidth(rest+string(r)) > w && rest != "" {
			at := strings.LastIndexAny(rest, " /,.-")
			if at <= 0 || at == len(rest)-1 && len(rest) == 1 {
				at = len(rest) - 1
			}
			list, rest = append(list, strings.TrimSpace(rest[:at+1])), strings.TrimLeft(rest[at+1:], " ")
		}
		rest, text = rest+string(r), text[size:]
	}
	return append(list, rest)
}

func (p *page) tall(t *Table, cells []string) float64 {
	most := 1
	for i, w := range widths(t) {
		if i < len(cells) {
			most = max(most, len(p.split(cells[i], w-gap)))
		}
	}
	return float64(most) * line
}

func (p *page) cells(t *Table, cells []string) {
	x, y, tall := margin, p.f.GetY(), p.tall(t, cells)
	for i, w := range widths(t) {
		align := "L"
		if t.Columns[i].Right {
			align = "R"
		}
		if i < len(cells) {
			for n, text := range p.split(cells[i], w-gap) {
				p.f.SetXY(x, y+float64(n)*line)
				p.f.CellFormat(w-gap/2, line, text, "", 0, align, false, 0, "")
			}
		}
		x += w
	}
	p.f.SetXY(margin, y+tall)
}

// clean makes one line of a text: what cannot be printed is left out, and what
// is too long for a cell is cut.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case r < ' ', r == 0x7f, r > 0xffff:
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if n := utf8.RuneCountInString(text); n > maxText {
		text = string([]rune(text)[:maxText-1]) + "…"
	}
	return text
}
