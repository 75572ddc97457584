package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type ledgerCommand struct {
	Balances balancesCommand `cmd:"" help:"Accounts with their balances, and the trial balance."`
	Entries  entriesCommand  `cmd:"" help:"Entries, oldest first."`
	Trace    traceCommand    `cmd:"" help:"One request from decision to entries, exactly."`
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
	Contract string `help:"Only entries of this contract."`
	Newest   bool   `help:"Newest first."`
	Limit    int    `help:"At most so many." default:"50"`
}

// Run prints entries.
func (c entriesCommand) Run(ctx context.Context, s streams) error {
	return app.Entries(ctx, s.out, c.Data, app.EntriesQuestion{Account: c.Account, Contract: c.Contract, Newest: c.Newest, Limit: c.Limit, JSON: c.JSON})
}

type traceCommand struct {
	booksFlags
	Request string `arg:"" help:"x-request-id."`
}

// Run prints a trace.
func (c traceCommand) Run(ctx context.Context, s streams) error {
	return app.TraceRequest(ctx, s.out, c.Data, c.Request, c.JSON)
}

type verifyCommand struct{ booksFlags }

// Run verifies; a difference exits with 1.
func (c verifyCommand) Run(ctx context.Context, s streams) error {
	return app.VerifyBooks(ctx, s.out, c.Data, c.JSON)
}

type contractsCommand struct{ booksFlags }

// Run prints the burn of every contract.
func (c contractsCommand) Run(ctx context.Context, s streams) error {
	return app.Contracts(ctx, s.out, c.Data, c.JSON)
}
