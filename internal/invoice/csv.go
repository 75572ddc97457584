package invoice

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// columns are the names that are read or known to say nothing of money.
var columns = [...]string{
	"attempt_id", "request_id", "pool", "model", "uncached_input", "cache_read", "cache_write", "output", "reasoning",
	"tier", "status", "at", "day", "period", "amount", "kind", "contract", "text", "currency",
}

// The layouts of a Line's Period.
const (
	hourLayout  = "2006-01-02T15"
	monthLayout = "2006-01"
)

// parseCSV reads our own format.
func parseCSV(t *table) (*Invoice, error) {
	for _, name := range t.header {
		if !slices.Contains(columns[:], name) {
			return nil, fmt.Errorf("the column %q is not known: use %s", name, strings.Join(columns[:], ", "))
		}
	}
	if !t.has("model") {
		return nil, errors.New("the column model is missing")
	}
	v := &Invoice{Format: ByAttempt}
	for {
		err := t.next()
		if errors.Is(err, io.EOF) {
			return v, nil
		}
		if err != nil {
			return nil, err
		}
		l, err := csvLine(t)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", t.number, err)
		}
		if err := v.states(t.cell("currency")); err != nil {
			return nil, fmt.Errorf("line %d: %w", t.number, err)
		}
		if l.Number = t.number; len(v.Lines) >= MaxLines {
			return nil, fmt.Errorf("it has more than %d lines: split it", MaxLines)
		}
		if l.Kind == Use && l.Attempt == "" {
			v.Format = Aggregate
		}
		v.Rows++
		v.Lines = append(v.Lines, l)
	}
}

// states takes the currency that a line states: all have the same, or none.
func (v *Invoice) states(text string) error {
	c := money.Currency(text)
	switch {
	case text != "" && !c.Known():
		return fmt.Errorf("currency is %q: write an ISO 4217 code such as USD or EUR", text)
	case v.Rows > 0 && c != v.Currency:
		return fmt.Errorf("currency is %q, and %q before: an invoice has one currency, in every line", text, v.Currency)
	}
	v.Currency = money.Currency(strings.Clone(text))
	return nil
}

func csvLine(t *table) (l Line, err error) {
	for i, text := range t.row {
		if len(text) > MaxText {
			return l, fmt.Errorf("the cell of %s has %d bytes, at most %d", t.header[i], len(text), MaxText)
		}
	}
	cell := func(name string) string { return strings.Clone(t.cell(name)) }
	l = Line{
		Attempt: record.AttemptID(cell("attempt_id")), Pool: cell("pool"), Model: cell("model"), Tier: cell("tier"),
		Contract: cell("contract"), Text: cell("text"),
	}
	for m, name := range meterColumns {
		if text := t.cell(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 || n > maxTokens {
				return l, fmt.Errorf("%s is %q: write a count of tokens", name, text)
			}
			*count(&l.Tokens, Meter(m)) = n
		}
	}
	if text := t.cell("amount"); text != "" {
		a, err := money.Parse(text)
		if err != nil {
			return l, fmt.Errorf("amount: %w", err)
		}
		l.Amount = &a
	}
	if l.Period, err = csvPeriod(t); err != nil {
		return l, err
	}
	return l, l.kind(t.cell("kind"))
}

// csvPeriod reads what a line bills: its period, its day, or the day of its
// time.
func csvPeriod(t *table) (string, error) {
	var day string
	if text := t.cell("at"); text != "" {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return "", fmt.Errorf("at is %q: write an instant such as 2026-06-30T12:00:00Z", text)
		}
		day = when.UTC().Format(time.DateOnly)
	}
	if text := t.cell("day"); text != "" {
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return "", fmt.Errorf("day is %q: write a day such as 2026-06-30", text)
		}
		day = strings.Clone(text)
	}
	text := t.cell("period")
	if text == "" {
		return day, nil
	}
	for _, layout := range [...]string{hourLayout, time.DateOnly, monthLayout} {
		if _, err := time.Parse(layout, text); err == nil {
			return strings.Clone(text), nil
		}
	}
	return "", fmt.Errorf("period is %q: write an hour (2026-06-30T05), a day (2026-06-30) or a month (2026-06)", text)
}

// kind checks that the line says enough for what it is.
func (l *Line) kind(kind string) error {
	var known bool
	if l.Kind, known = kindOf(kind); !known {
		return fmt.Errorf("kind is %q: write %s or true_up", kind, strings.Join(lineKinds[:], ", "))
	}
	switch l.Kind {
	case Use:
		if l.Attempt == "" && (l.Model == "" || l.Period == "") {
			return errors.New("it names neither an attempt nor a model and a day")
		}
		return nil
	case Credit:
		if l.Amount == nil || *l.Amount >= 0 {
			return errors.New("a credit has an amount below zero")
		}
		return nil
	}
	if l.Amount == nil {
		return fmt.Errorf("a line of the kind %s has an amount", kind)
	}
	return nil
}
