package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type invoicesCommand struct {
	Import      importCommand      `cmd:"" help:"Match a provider's invoice (CSV or FOCUS) with the journal; what differs stands apart."`
	Differences differencesCommand `cmd:"" help:"Open differences between invoices and books: what they are, what stands behind them, what to do."`
	Close       closeDifference    `cmd:"" help:"Close differences, with a reason."`
}

type importCommand struct {
	booksFlags
	File     string `arg:"" help:"CSV file, of our own format or Cost and Usage of FOCUS." type:"existingfile"`
	Provider string `help:"Who bills." required:""`
	Issuer   string `help:"InvoiceIssuerName whose rows of a FOCUS file count, where it has several; else the provider's name."`
	Detail   string `help:"Invoice Detail of FOCUS beside it." type:"existingfile" placeholder:"FILE"`
	Month    string `help:"Month that is billed." required:"" placeholder:"YYYY-MM"`
	DryRun   bool   `name:"dry-run" help:"Say what would be posted, record nothing."`
}

// Run imports an invoice.
func (c importCommand) Run(ctx context.Context, s streams) error {
	return app.ImportInvoice(ctx, s.out, c.Data, app.InvoiceOrder{
		File: c.File, Detail: c.Detail, Provider: c.Provider, Issuer: c.Issuer, Month: c.Month, DryRun: c.DryRun, JSON: c.JSON, Progress: s.err,
	})
}

type differencesCommand struct{ booksFlags }

// Run lists open differences.
func (c differencesCommand) Run(ctx context.Context, s streams) error {
	return app.Differences(ctx, s.out, c.Data, c.JSON)
}

type closeDifference struct {
	booksFlags
	IDs    []string `arg:"" name:"id" help:"Differences."`
	As     string   `help:"accepted: the books follow the invoice; rejected: the provider corrects it." enum:"accepted,rejected" required:""`
	Reason string   `help:"Why; kept with the fact." required:""`
	DryRun bool     `name:"dry-run" help:"Say what would be posted, record nothing."`
}

// Run closes differences.
func (c closeDifference) Run(ctx context.Context, s streams) error {
	return app.CloseDifferences(ctx, s.out, c.Data, c.IDs, c.As, c.Reason, c.DryRun, c.JSON)
}
