package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type invoiceCommand struct {
	booksFlags
	Customer string `arg:"" help:"Tenant, channel that bills customers, or party that sells plans."`
	Month    string `help:"Month." required:"" placeholder:"YYYY-MM"`
	CSV      bool   `name:"csv" help:"Answer as CSV."`
	PDF      string `name:"pdf" help:"Write a PDF file." type:"path" placeholder:"FILE"`
}

// Run prints the invoice to a customer.
func (c invoiceCommand) Run(ctx context.Context, s streams) error {
	return app.SalesInvoice(ctx, s.out, c.Data, app.SalesInvoiceQuestion{Customer: c.Customer, Month: c.Month, JSON: c.JSON, CSV: c.CSV, PDF: c.PDF})
}
