package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type simulateCommand struct {
	File           string `arg:"" optional:"" help:"Alliance file (default: the built-in example)." type:"path"`
	From           string `help:"First month (default: 2026-01)." default:"2026-01" placeholder:"YYYY-MM"`
	Months         int    `help:"How many." default:"12"`
	RequestsPerDay int64  `name:"requests-per-day" help:"Requests a day, on average." default:"550"`
	Seed           uint64 `help:"The same seed gives the same bytes." default:"1"`
	Data           string `help:"Data directory to make; it must not hold anything." default:"simulated" type:"path"`
	Facts          string `help:"File of events to record at their instants: one JSON object a line." type:"existingfile"`
	MadeUpFacts    bool   `name:"made-up-facts" negatable:"" default:"true" help:"Also make up, from the terms, what happens under contracts: options exercised, capacity delivered late, marketplace charges, floors raised, cut and waived, rates of exchange. What --facts says of a matter takes its place."`
	InvoiceErrors  int    `name:"invoice-errors" help:"Errors of each kind in every simulated invoice, found and closed by its import." default:"1"`
	DryRun         bool   `name:"dry-run" help:"Say how large it would be, write nothing."`
	JSON           bool   `name:"json" help:"Answer as JSON."`
}

// Run plays the months and says what was made.
func (c simulateCommand) Run(ctx context.Context, s streams) error {
	return app.Simulate(ctx, s.out, app.SimulateOrder{
		File: c.File, From: c.From, Months: c.Months, RequestsPerDay: c.RequestsPerDay, Seed: c.Seed, Data: c.Data, Facts: c.Facts, OnlyGivenFacts: !c.MadeUpFacts, InvoiceErrors: c.InvoiceErrors,
		DryRun: c.DryRun, JSON: c.JSON, Version: version, Progress: s.err,
	})
}
