// Package invoice reads providers' invoices: CSV with the columns of
// docs/format/invoice.md, by attempt or by aggregate. It refuses columns that
// it does not know, figures that are no figures, and to compare anything with
// the books: the ledger does.
package invoice

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Limits of an invoice.
const (
	MaxLines = 20_000_000
	MaxText  = 256 // bytes of one cell
)

// ErrInvoice reports a file that is no invoice.
var ErrInvoice = errors.New("not an invoice")

// Line is one line of an invoice.
type Line struct {
	Number  int              // of the file's line, the header being 1
	Attempt record.AttemptID // empty: the line is an aggregate or a credit
	Pool    string
	Model   string
	Tier    string
	Day     string // YYYY-MM-DD of an aggregate, or of the line's time
	Tokens  usage.Vector
	// Amount is what the line charges, in micro-units of the alliance's
	// currency; nil where the invoice states tokens only.
	Amount *money.Amount
	Credit bool // gives money back for an earlier month
}

// columns are the names that are read or known to say nothing of money.
var columns = []string{
	"attempt_id", "request_id", "pool", "model", "uncached_input", "cache_read", "cache_write", "output", "reasoning",
	"tier", "status", "at", "day", "amount", "kind",
}

// Parse reads an invoice.
func Parse(data []byte) ([]Line, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: it has no line with the names of columns", ErrInvoice)
	}
	at := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("%w: the column %q is not known: use %s", ErrInvoice, name, strings.Join(columns, ", "))
		}
		if _, twice := at[name]; twice {
			return nil, fmt.Errorf("%w: the column %q stands twice", ErrInvoice, name)
		}
		at[name] = i
	}
	if _, ok := at["model"]; !ok {
		return nil, fmt.Errorf("%w: the column model is missing", ErrInvoice)
	}
	var lines []Line
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		number, _ := r.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvoice, err)
		}
		l, err := parseLine(at, row)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrInvoice, number, err)
		}
		if l.Number = number; len(lines) >= MaxLines {
			return nil, fmt.Errorf("%w: it has more than %d lines: split it", ErrInvoice, MaxLines)
		}
		lines = append(lines, l)
	}
}

func parseLine(at map[string]int, row []string) (l Line, err error) {
	cell := func(name string) string {
		if i, ok := at[name]; ok {
			return strings.Clone(row[i])
		}
		return ""
	}
	for _, text := range row {
		if len(text) > MaxText {
			return l, fmt.Errorf("a cell has %d bytes, at most %d", len(text), MaxText)
		}
	}
	l = Line{Attempt: record.AttemptID(cell("attempt_id")), Pool: cell("pool"), Model: cell("model"), Tier: cell("tier"), Day: cell("day")}
	t := &l.Tokens
	for _, f := range []struct {
		name string
		to   *int64
	}{{"uncached_input", &t.UncachedInput}, {"cache_read", &t.CacheRead}, {"cache_write", &t.CacheWrite}, {"output", &t.Output}, {"reasoning", &t.Reasoning}} {
		if text := cell(f.name); text != "" {
			if *f.to, err = strconv.ParseInt(text, 10, 64); err != nil || *f.to < 0 || *f.to > 1<<50 {
				return l, fmt.Errorf("%s is %q: write a count of tokens", f.name, text)
			}
		}
	}
	if text := cell("amount"); text != "" {
		a, err := money.Parse(text)
		if err != nil {
			return l, fmt.Errorf("amount: %w", err)
		}
		l.Amount = &a
	}
	if text := cell("at"); text != "" {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return l, fmt.Errorf("at is %q: write an instant such as 2026-06-30T12:00:00Z", text)
		}
		if l.Day == "" {
			l.Day = when.UTC().Format(time.DateOnly)
		}
	}
	if l.Day != "" {
		if _, err := time.Parse(time.DateOnly, l.Day); err != nil {
			return l, fmt.Errorf("day is %q: write a day such as 2026-06-30", l.Day)
		}
	}
	return l, l.kind(cell("kind"))
}

// kind checks that the line says enough for what it is.
func (l *Line) kind(kind string) error {
	switch kind {
	case "", "usage":
		if l.Attempt == "" && (l.Model == "" || l.Day == "") {
			return errors.New("it names neither an attempt nor a model and a day")
		}
	case "credit":
		if l.Credit = true; l.Amount == nil || *l.Amount >= 0 {
			return errors.New("a credit has an amount below zero")
		}
	default:
		return fmt.Errorf("kind is %q: write usage or credit", kind)
	}
	return nil
}
