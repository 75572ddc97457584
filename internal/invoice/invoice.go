// Package invoice reads providers' invoices, by attempt or by aggregate: CSV
// with the columns of docs/format/invoice.md, and FOCUS Cost and Usage with
// Invoice Detail beside it. It also writes invoices, right ones and ones with
// planted errors, so that finding errors can be proved. It is pure: bytes go
// in, lines come out. It refuses figures that are no figures, columns of its
// own format that it does not know, and to compare anything with the books:
// the ledger does.
package invoice

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Limits of an invoice.
const (
	MaxLines      = 20_000_000
	MaxText       = 256       // bytes of one cell that names something
	MaxRecord     = 256 << 10 // bytes of one row with all its cells
	MaxColumns    = 512
	MaxFocusRows  = 2_000_000 // rows of FOCUS, which are kept to find repeated ones
	maxTokens     = 1 << 50   // of one cell
	maxLineTokens = 1 << 60   // of one line, of each kind
)

// Errors of Parse that a caller tells apart.
var (
	// ErrInvoice reports a file that is no invoice.
	ErrInvoice = errors.New("not an invoice")
	// ErrIssuers reports a FOCUS file with rows of several issuers.
	ErrIssuers = errors.New("the rows are of several issuers")
)

// LineKind says what a line charges for.
type LineKind uint8

// The kinds of line.
const (
	Use    LineKind = iota // tokens
	Credit                 // gives money back
	Fee                    // a fixed fee of a contract, or the bill of a pool
	Levy                   // a tax
	Other                  // anything else

	OptionFee   // the part of a fee that an exercised option added
	Shortfall   // what a floor was missed by, or trued up to
	Share       // revenue shared with the provider
	Overage     // what use beyond a commitment costs
	Interest    // on a loan to the provider, which takes it off the invoice
	Discount    // what a floor's height takes off the month's use
	Marketplace // a charge of the provider's marketplace
)

// lineKinds are the kinds as the column kind names them.
var lineKinds = [...]string{
	"usage", "credit", "fee", "tax", "other", "option_fee", "shortfall", "revenue_share", "overage", "interest", "discount", "marketplace",
}

// String names the kind as the column kind does.
func (k LineKind) String() string { return lineKinds[k] }

// Line is one line of an invoice, or several rows of FOCUS that bill one
// attempt or one aggregate together.
type Line struct {
	Number  int              // of the file's line, the header being 1; the first one's, where there are several
	Rows    []int            // numbers of all its rows, where there are several
	Attempt record.AttemptID // empty: the line is an aggregate or no use
	Kind    LineKind
	Pool    string
	Model   string
	Tier    string // empty: any
	// Period is what an aggregate bills: an hour (2026-06-30T05), a day
	// (2026-06-30) or a month (2026-06), in UTC.
	Period   string
	Contract string // of a fee or another charge of one; empty: not stated
	Tokens   usage.Vector
	// Amount is what the line charges, in micro-units of the invoice's
	// currency, rounded down; nil where the invoice states tokens only.
	Amount *money.Amount
	Again  bool   // repeats another row of the file in every cell
	Text   string // what the line says of itself, for people
}

// Invoice is what a file charges.
type Invoice struct {
	Format   Format
	Issuer   string         // of a FOCUS file
	Currency money.Currency // empty: not stated
	Lines    []Line
	// Rest is what the fractions of micro-units that rounding the lines down
	// left come to.
	Rest money.Amount
	// Covered counts rows that charge nothing, such as use that a fixed fee
	// pays for; Others those of another issuer or billing period. They are no
	// lines.
	Rows, Covered, Others int
	// Stated is what the invoice says that it comes to without taxes, where
	// an Invoice Detail is beside it.
	Stated *money.Amount
}

// Options say what of a file is wanted.
type Options struct {
	// Issuer is the InvoiceIssuerName whose rows of FOCUS count; empty: the
	// file must have one issuer only.
	Issuer string
	// Month is the billing period of the rows of FOCUS that count, as YYYYMM;
	// 0: all.
	Month int32
	// Detail is the Invoice Detail of FOCUS that belongs to the file; nil:
	// none.
	Detail []byte
	// Rules is the version of the rules to read by: 0 is that before charges
	// of contracts besides fees were told apart.
	Rules int32
}

// Parse reads an invoice; the format is told by the first line.
func Parse(data []byte, o Options) (*Invoice, error) {
	t, err := newTable(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvoice, err)
	}
	var v *Invoice
	switch {
	case t.has("BilledCost", "ChargeCategory", "ChargePeriodStart"):
		v, err = parseFocus(t, o)
	case t.has("InvoiceDetailId", "BilledCost"):
		err = errors.New("this is an Invoice Detail alone: give the Cost and Usage that it bills, and this file with --detail")
	case o.Detail != nil:
		err = errors.New("an Invoice Detail goes with Cost and Usage of FOCUS only")
	default:
		v, err = parseCSV(t)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvoice, err)
	}
	return v, nil
}

// table reads rows by the names of columns, one at a time.
type table struct {
	r      *csv.Reader
	lim    *limiter
	header []string
	at     map[string]int
	row    []string
	number int // line of the row in the file
}

var bom = []byte("\xef\xbb\xbf")

func newTable(data []byte) (*table, error) {
	lim := &limiter{r: bytes.NewReader(bytes.TrimPrefix(data, bom))}
	t := &table{r: csv.NewReader(lim), lim: lim, at: map[string]int{}}
	lim.left = MaxRecord
	header, err := t.r.Read()
	if err != nil || len(header) == 0 {
		return nil, errors.New("it has no line with the names of columns")
	}
	if len(header) > MaxColumns {
		return nil, fmt.Errorf("it has %d columns, at most %d", len(header), MaxColumns)
	}
	t.r.ReuseRecord = true
	for i, name := range header {
		name = strings.TrimSpace(name)
		if _, twice := t.at[name]; twice {
			return nil, fmt.Errorf("the column %q stands twice", name)
		}
		t.at[name] = i
		t.header = append(t.header, name)
	}
	return t, nil
}

func (t *table) has(names ...string) bool {
	for _, n := range names {
		if _, ok := t.at[n]; !ok {
			return false
		}
	}
	return true
}

// next reads a row; it is io.EOF after the last.
func (t *table) next() (err error) {
	t.lim.left = MaxRecord
	if t.row, err = t.r.Read(); err == nil {
		t.number, _ = t.r.FieldPos(0)
	}
	return err
}

// cell returns a cell of the row, empty where there is no such column. It is
// good until the next row: keep copies.
func (t *table) cell(name string) string {
	if i, ok := t.at[name]; ok {
		return strings.TrimSpace(t.row[i])
	}
	return ""
}

// name returns a copy of a cell that names something.
func (t *table) name(column string) (string, error) {
	text := t.cell(column)
	if len(text) > MaxText {
		return "", fmt.Errorf("%s has %d bytes, at most %d", column, len(text), MaxText)
	}
	return strings.Clone(text), nil
}

// limiter stops a row that does not end.
type limiter struct {
	r    io.Reader
	left int
}

// Read reads on while the row is within its limit. What the CSV reader takes
// ahead counts too, so the limit is not sharp.
func (l *limiter) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("a row has more than %d bytes: is a quote missing?", MaxRecord)
	}
	n, err := l.r.Read(p)
	l.left -= n
	return n, err
}
