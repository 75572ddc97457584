package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type marginCommand struct {
	booksFlags
	By    string `help:"What a row is." enum:"plan,model,channel,tenant" default:"plan"`
	Month string `help:"Month." required:"" placeholder:"YYYY-MM"`
	CSV   bool   `name:"csv" help:"Answer as CSV."`
}

// Run prints revenue and cost of a month.
func (c marginCommand) Run(ctx context.Context, s streams) error {
	return app.Margin(ctx, s.out, c.Data, app.MarginQuestion{By: c.By, Month: c.Month, JSON: c.JSON, CSV: c.CSV})
}
