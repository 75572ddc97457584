package main

import (
	"context"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type exportCommand struct {
	Focus focusCommand `cmd:"" help:"Write the books as FOCUS, the open format of cost and usage, with metadata beside."`
}

type focusCommand struct {
	booksFlags
	Dataset      string `help:"What to write: cost-and-usage, contract-commitment, billing-period or invoice-detail." enum:"cost-and-usage,contract-commitment,billing-period,invoice-detail" default:"cost-and-usage"`
	FocusVersion string `name:"focus-version" help:"1.4, or 1.2 (cost-and-usage only), which most tools read." enum:"1.4,1.2" default:"1.4"`
	Format       string `help:"csv or parquet." enum:"csv,parquet" default:"csv"`
	Out          string `help:"Directory to write to." default:"." type:"path"`
	From         string `help:"First day or instant (default: the month in which the books begin)." placeholder:"DATE"`
	Until        string `help:"End, not included (default: now). Fixed fees accrue up to it." placeholder:"DATE"`
	Check        string `help:"Published requirement rules of FOCUS 1.2 to check the written file by." placeholder:"RULES.json" type:"existingfile"`
}

// Run writes one dataset; a rule that fails exits with 1.
func (c focusCommand) Run(ctx context.Context, s streams) error {
	return app.ExportFocus(ctx, s.out, c.Data, app.FocusOrder{
		Dataset: c.Dataset, FocusVersion: c.FocusVersion, Format: c.Format, Out: c.Out, From: c.From, Until: c.Until,
		Rules: c.Check, JSON: c.JSON, Version: version, Now: time.Now(), Progress: s.err,
	})
}
