package app

import (
	"context"
	"io"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
)

// MarginQuestion asks what the requests of a month brought in and cost.
type MarginQuestion struct {
	By    string // plan, model, channel or tenant
	Month string // YYYY-MM
	JSON  bool
	CSV   bool
}

// Margin writes revenue and cost of a month, row by row, up to the books.
func Margin(ctx context.Context, w io.Writer, data string, q MarginQuestion) error {
	month, err := parseMonth(q.Month)
	if err != nil {
		return err
	}
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	terms, _, err := b.lastTerms(ctx)
	if err != nil {
		return err
	}
	head, err := b.store.Head(ctx)
	if err != nil {
		return err
	}
	facts, err := b.dir.Booked()
	if err != nil {
		return err
	}
	rates, err := ratesOf(b.dir)
	if err != nil {
		return err
	}
	cache := ledger.New(termsFrom(b.dir))
	cache.Know(rates)
	posted := facts[:min(uint64(len(facts)), head.Facts)]
	m, err := settle.MakeMargin(ctx, b.store, b.records, cache, terms, settle.MarginQuestion{By: q.By, Month: month, Facts: posted})
	if err != nil {
		return err
	}
	played, err := b.dir.Simulated()
	if err != nil {
		return err
	}
	if played != nil {
		m.Simulated, m.SimulatedSays = true, played.Says
	}
	if q.CSV {
		return settle.WriteMarginCSV(w, m)
	}
	return show(w, q.JSON, m, func(w io.Writer) error { return settle.WriteMargin(w, m) })
}
