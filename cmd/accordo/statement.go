package main

import (
	"context"
	"errors"

	"github.com/accordo-ai/accordo/internal/app"
)

type statementCommand struct {
	booksFlags
	Party string `help:"Party or tenant, in the operator's books."`
	As    string `help:"Party or tenant, as its own books must say: every amount mirrored."`
	Month string `help:"Month." required:"" placeholder:"YYYY-MM"`
	CSV   bool   `name:"csv" help:"Answer as CSV."`
	PDF   string `name:"pdf" help:"Write it to this file as PDF, on A4." type:"path" placeholder:"FILE"`
}

// Run prints a statement.
func (c statementCommand) Run(ctx context.Context, s streams) error {
	if (c.Party == "") == (c.As == "") {
		return app.ExitError{Code: app.ExitUsage, Err: errors.New("give --party or --as")}
	}
	return app.Statement(ctx, s.out, c.Data, app.StatementQuestion{Party: c.Party + c.As, Month: c.Month, Mirror: c.As != "", JSON: c.JSON, CSV: c.CSV, PDF: c.PDF})
}
