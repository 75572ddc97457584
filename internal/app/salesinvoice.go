package app

import (
	"context"
	"io"
	"time"

	"github.com/accordo-ai/accordo/internal/settle"
)

// SalesInvoiceQuestion asks for the invoice to a customer.
type SalesInvoiceQuestion struct {
	Customer string // tenant, channel that bills customers, or party that sells plans
	Month    string // YYYY-MM
	JSON     bool
	CSV      bool
	PDF      string // file to write as PDF, or empty
}

// SalesInvoice writes what a customer owes the operator for a month, line by
// line: a draft until the month is closed.
func SalesInvoice(ctx context.Context, w io.Writer, data string, q SalesInvoiceQuestion) error {
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
	closedAt, err := b.closedAt(ctx, month)
	if err != nil {
		return err
	}
	v, err := settle.MakeSalesInvoice(ctx, b.store, termsFrom(b.dir), terms, q.Customer, month, closedAt)
	if err != nil {
		return err
	}
	played, err := b.dir.Simulated()
	if err != nil {
		return err
	}
	if played != nil {
		v.Simulated, v.SimulatedSays = true, played.Says
	}
	if q.PDF != "" {
		return writeInvoicePDF(q.PDF, terms.Alliance(), v)
	}
	if q.CSV {
		return settle.WriteSalesInvoiceCSV(w, v)
	}
	return show(w, q.JSON, v, func(w io.Writer) error { return settle.WriteSalesInvoice(w, v) })
}

// closedAt is when a month was closed, zero while it is open.
func (b *books) closedAt(ctx context.Context, month int32) (at time.Time, err error) {
	head, err := b.store.Head(ctx)
	if err != nil {
		return at, err
	}
	facts, err := b.dir.Booked()
	if err != nil {
		return at, err
	}
	for i := range facts {
		if m := facts[i].MonthClosed; m != nil && m.Month >= month && facts[i].Number <= head.Facts {
			return time.Unix(0, facts[i].At), nil
		}
	}
	return at, nil
}
