package main

import (
	"context"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type ledgerCommand struct {
	Balances balancesCommand `cmd:"" help:"Accounts with their balances, and the trial balance."`
	Entries  entriesCommand  `cmd:"" help:"Entries, oldest first."`
	Lines    linesCommand    `cmd:"" help:"The requests behind one entry, each with its exact share."`
	Trace    traceCommand    `cmd:"" help:"One request from decision to entries, exactly."`
	Suspense suspenseCommand `cmd:"" help:"What may be owed and is not proven, by provider and age; --close closes it with a reason."`
	Verify   verifyCommand   `cmd:"" help:"Recompute the books from journal and terms, and compare."`
}

// booksFlags are what every command on the books takes.
type booksFlags struct {
	Data string `help:"Data directory." default:"data" type:"path"`
	JSON bool   `name:"json" help:"Answer as JSON."`
}

type balancesCommand struct{ booksFlags }

// Run prints the balances.
func (c balancesCommand) Run(ctx context.Context, s streams) error {
	return app.Balances(ctx, s.out, c.Data, c.JSON)
}

type entriesCommand struct {
	booksFlags
	Account  string `help:"Only entries of this account; a path that ends in / takes all below it."`
	Against  string `help:"Only entries whose other side is this account, likewise."`
	Kind     string `help:"Only entries of this kind, such as cost or invoice."`
	Contract string `help:"Only entries of this contract."`
	Price    string `help:"Only entries at this price."`
	Month    string `help:"Only entries booked in this month." placeholder:"YYYY-MM"`
	Newest   bool   `help:"Newest first."`
	Limit    int    `help:"At most so many." default:"50"`
}

// Run prints entries.
func (c entriesCommand) Run(ctx context.Context, s streams) error {
	return app.Entries(ctx, s.out, c.Data, app.EntriesQuestion{
		Account: c.Account, Against: c.Against, Kind: c.Kind, Contract: c.Contract, Price: c.Price, Month: c.Month,
		Newest: c.Newest, Limit: c.Limit, JSON: c.JSON,
	})
}

type linesCommand struct {
	booksFlags
	Entry string `arg:"" help:"Number of the entry, as entries prints it, such as 4.1."`
}

// Run prints the lines of an entry.
func (c linesCommand) Run(ctx context.Context, s streams) error {
	return app.EntryLines(ctx, s.out, c.Data, c.Entry, c.JSON)
}

type traceCommand struct {
	booksFlags
	Request string `arg:"" help:"x-request-id."`
}

// Run prints a trace.
func (c traceCommand) Run(ctx context.Context, s streams) error {
	return app.TraceRequest(ctx, s.out, c.Data, c.Request, c.JSON)
}

type suspenseCommand struct {
	booksFlags
	Close        []string      `help:"Attempts to close." placeholder:"ATTEMPT"`
	OlderThan    time.Duration `name:"older-than" help:"Close all that is older, such as 720h." placeholder:"DURATION"`
	By           string        `help:"How to close: estimate or waived (an invoice closes its own: accordo invoices)." enum:"estimate,waived" default:"estimate"`
	BillCustomer bool          `name:"bill-customer" help:"Book the sale too."`
	Reason       string        `help:"Why; kept with the fact."`
	DryRun       bool          `name:"dry-run" help:"Say what would be posted, record nothing."`
}

// Run lists open suspense, or closes some of it.
func (c suspenseCommand) Run(ctx context.Context, s streams) error {
	if len(c.Close) == 0 && c.OlderThan == 0 {
		return app.Suspense(ctx, s.out, c.Data, time.Now(), c.JSON)
	}
	return app.CloseSuspense(ctx, s.out, c.Data, app.SuspenseOrder{
		Attempts: c.Close, OlderThan: c.OlderThan, By: c.By, BillCustomer: c.BillCustomer, Reason: c.Reason, DryRun: c.DryRun, JSON: c.JSON,
	}, time.Now())
}

type verifyCommand struct{ booksFlags }

// Run verifies; a difference exits with 1.
func (c verifyCommand) Run(ctx context.Context, s streams) error {
	return app.VerifyBooks(ctx, s.out, c.Data, c.JSON)
}

type contractsCommand struct {
	booksFlags
	ID string `arg:"" optional:"" help:"One contract: burn-down, forecast of the interval's end, next dates."`
	At string `help:"The instant that is asked about (default: now)." placeholder:"YYYY-MM-DD"`
}

// Run prints the burn of every contract, or the outlook of one.
func (c contractsCommand) Run(ctx context.Context, s streams) error {
	if c.ID != "" {
		return app.Outlook(ctx, s.out, c.Data, c.ID, c.At, time.Now(), c.JSON)
	}
	return app.Contracts(ctx, s.out, c.Data, c.JSON)
}
