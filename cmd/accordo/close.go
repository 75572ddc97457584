package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

type closeCommand struct {
	booksFlags
	Month  string `help:"Month to close; months close in order and never open again." required:"" placeholder:"YYYY-MM"`
	DryRun bool   `name:"dry-run" help:"Say what would be posted, record nothing."`
}

// Run closes a month.
func (c closeCommand) Run(ctx context.Context, s streams) error {
	return app.CloseMonth(ctx, s.out, c.Data, c.Month, c.DryRun, c.JSON)
}

// recordCommand records what happened besides usage.
type recordCommand struct {
	Waiver   waiverCommand   `cmd:"" help:"A provider does not charge the shortfall of an interval."`
	PoolBill poolBillCommand `cmd:"" name:"pool-bill" help:"A provider's bill of a pool by the chip-second."`
	Rate     rateCommand     `cmd:"" help:"A rate of exchange, as quoted on a day."`
	Exercise exerciseCommand `cmd:"" help:"Exercise a contract's option."`
	Delivery deliveryCommand `cmd:"" help:"What of a contract's ramp can really be used from a day on."`

	Marketplace marketplaceCommand `cmd:"" help:"A charge of a provider's marketplace."`
	TrueUp      trueUpCommand      `cmd:"" name:"true-up" help:"A floor was raised, by the contract's right."`
	TrueDown    trueDownCommand    `cmd:"" name:"true-down" help:"A floor was cut, by the contract's right."`
}

type waiverCommand struct {
	booksFlags
	Contract string `arg:"" help:"Contract with a floor."`
	From     string `help:"First day of the interval." required:"" placeholder:"YYYY-MM-DD"`
	Reason   string `help:"Why; kept with the fact." required:""`
	DryRun   bool   `name:"dry-run" help:"Record nothing."`
}

// Run records a waiver.
func (c waiverCommand) Run(ctx context.Context, s streams) error {
	event := ledger.Event{ShortfallWaived: &ledger.ShortfallWaived{Contract: c.Contract, From: c.From, Reason: c.Reason}}
	return app.RecordEvent(ctx, s.out, c.Data, event, c.DryRun, c.JSON)
}

type poolBillCommand struct {
	booksFlags
	Pool        string       `arg:"" help:"Pool."`
	Month       string       `help:"Month that is billed." required:"" placeholder:"YYYY-MM"`
	Amount      money.Amount `help:"What is billed, in the alliance's currency." required:""`
	ChipSeconds int64        `name:"chip-seconds" help:"Chip-seconds that are billed." required:""`
	Reason      string       `help:"Such as the invoice's number; kept with the fact." required:""`
	DryRun      bool         `name:"dry-run" help:"Record nothing."`
}

// Run records a pool's bill.
func (c poolBillCommand) Run(ctx context.Context, s streams) error {
	bill := ledger.PoolBilled{Pool: c.Pool, ChipSeconds: c.ChipSeconds, Amount: c.Amount, Reason: c.Reason}
	return app.BillPool(ctx, s.out, c.Data, c.Month, bill, c.DryRun, c.JSON)
}
