package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
	"github.com/accordo-ai/accordo/internal/ledger"
)

type deliveryCommand struct {
	booksFlags
	Contract        string `arg:"" help:"Contract with a ramp."`
	From            string `help:"First day on which it can be used." required:"" placeholder:"YYYY-MM-DD"`
	Chips           int64  `help:"Chips that can be used in all, not those that were added." xor:"capacity" required:""`
	TokensPerMinute int64  `name:"tokens-per-minute" help:"Or the throughput that can be used in all." xor:"capacity" required:""`
	Reason          string `help:"What shows it; kept with the fact." required:""`
	DryRun          bool   `name:"dry-run" help:"Record nothing."`
}

// Run records a delivery.
func (c deliveryCommand) Run(ctx context.Context, s streams) error {
	event := ledger.Event{Delivered: &ledger.Delivered{Contract: c.Contract, From: c.From, Chips: c.Chips, TokensPerMinute: c.TokensPerMinute, Reason: c.Reason}}
	return app.RecordEvent(ctx, s.out, c.Data, event, c.DryRun, c.JSON)
}

type exerciseCommand struct {
	booksFlags
	Contract string `arg:"" help:"Contract with an option."`
	Reason   string `help:"Such as the notice's number; kept with the fact." required:""`
	DryRun   bool   `name:"dry-run" help:"Record nothing."`
}

// Run records that an option was exercised.
func (c exerciseCommand) Run(ctx context.Context, s streams) error {
	event := ledger.Event{OptionExercised: &ledger.OptionExercised{Contract: c.Contract, Reason: c.Reason}}
	return app.RecordEvent(ctx, s.out, c.Data, event, c.DryRun, c.JSON)
}
