package app

import (
	"context"
	"io"

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
	b, err := openMonth(ctx, data, q.Month)
	if err != nil {
		return err
	}
	defer b.Close()
	v, err := b.salesInvoice(ctx, q.Customer)
	if err != nil {
		return err
	}
	if q.PDF != "" {
		return writeInvoicePDF(q.PDF, b.terms.Alliance(), v)
	}
	if q.CSV {
		return settle.WriteSalesInvoiceCSV(w, v)
	}
	return show(w, q.JSON, v, func(w io.Writer) error { return settle.WriteSalesInvoice(w, v) })
}
