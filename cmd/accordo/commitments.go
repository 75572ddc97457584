package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

type marketplaceCommand struct {
	booksFlags
	Contract string       `arg:"" help:"Contract with a floor."`
	Month    string       `help:"Month that the charge is of." required:"" placeholder:"YYYY-MM"`
	Amount   money.Amount `help:"What was charged, in the contract's currency." required:""`
	Reason   string       `help:"Such as what was bought; kept with the fact." required:""`
	DryRun   bool         `name:"dry-run" help:"Record nothing."`
}

// Run records a charge of a provider's marketplace.
func (c marketplaceCommand) Run(ctx context.Context, s streams) error {
	charge := ledger.MarketplaceCharge{Contract: c.Contract, Amount: c.Amount, Reason: c.Reason}
	return app.ChargeMarketplace(ctx, s.out, c.Data, c.Month, charge, c.DryRun, c.JSON)
}

// floorFlags name a change of a floor.
type floorFlags struct {
	booksFlags
	Contract string       `arg:"" help:"Contract with a floor."`
	From     string       `help:"First day of the interval." required:"" placeholder:"YYYY-MM-DD"`
	Amount   money.Amount `help:"By how much, in the contract's currency." required:""`
	Reason   string       `help:"Why; kept with the fact." required:""`
	DryRun   bool         `name:"dry-run" help:"Record nothing."`
}

func (f *floorFlags) change() *ledger.FloorChange {
	return &ledger.FloorChange{Contract: f.Contract, From: f.From, Amount: f.Amount, Reason: f.Reason}
}

type trueUpCommand struct{ floorFlags }

// Run records that a floor was raised.
func (c trueUpCommand) Run(ctx context.Context, s streams) error {
	return app.RecordEvent(ctx, s.out, c.Data, ledger.Event{TrueUp: c.change()}, c.DryRun, c.JSON)
}

type trueDownCommand struct{ floorFlags }

// Run records that a floor was cut.
func (c trueDownCommand) Run(ctx context.Context, s streams) error {
	return app.RecordEvent(ctx, s.out, c.Data, ledger.Event{TrueDown: c.change()}, c.DryRun, c.JSON)
}
