package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type rateCommand struct {
	booksFlags
	Base   string `help:"Currency of which one unit is quoted." required:"" placeholder:"EUR"`
	Quote  string `help:"Currency in which it is quoted." required:"" placeholder:"USD"`
	Rate   string `help:"Units of --quote for one of --base, digit by digit as quoted." required:"" placeholder:"1.0842"`
	On     string `help:"Day of the quote." required:"" placeholder:"YYYY-MM-DD"`
	Source string `help:"Who quoted it, such as ECB." required:""`
	DryRun bool   `name:"dry-run" help:"Record nothing."`
}

// Run records a rate of exchange.
func (c rateCommand) Run(ctx context.Context, s streams) error {
	q := app.QuotedRate{Base: c.Base, Quote: c.Quote, Rate: c.Rate, On: c.On, Source: c.Source, Dry: c.DryRun, JSON: c.JSON}
	return app.RecordRate(ctx, s.out, c.Data, q)
}
