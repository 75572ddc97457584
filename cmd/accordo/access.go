package main

import (
	"context"
	"errors"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type accessCommand struct {
	New    accessNewCommand    `cmd:"" help:"Make a token for a role; it is shown once."`
	List   accessListCommand   `cmd:"" help:"Who may come in besides the holder of the admin token."`
	Revoke accessRevokeCommand `cmd:"" help:"Take an access back; its sessions end at once."`
}

type accessNewCommand struct {
	ID    string `arg:"" help:"Name of the access: lower-case letters, digits and hyphens."`
	Role  string `help:"operator (all), finance (books, requests and pools; no chat, keys or metrics) or partner (its own legs)." required:"" enum:"operator,finance,partner"`
	Party string `help:"Of a partner: the party or tenant whose legs it sees."`
	Data  string `help:"Data directory; a server may serve from it." default:"data" type:"path"`
}

// Run makes the token and appends the fact.
func (c accessNewCommand) Run(ctx context.Context, s streams) error {
	if (c.Role == "partner") != (c.Party != "") {
		return app.ExitError{Code: app.ExitUsage, Err: errors.New("--party goes with --role partner, and with it only")}
	}
	return app.GrantAccess(ctx, s.out, app.AccessOrder{Data: c.Data, ID: c.ID, Role: c.Role, Party: c.Party}, time.Now())
}

type accessListCommand struct {
	booksFlags
}

// Run prints who may come in.
func (c accessListCommand) Run(s streams) error { return app.ListAccess(s.out, c.Data, c.JSON) }

type accessRevokeCommand struct {
	ID     string `arg:"" help:"Name of the access."`
	Data   string `help:"Data directory; a server may serve from it." default:"data" type:"path"`
	Reason string `help:"Why, for the record." required:""`
}

// Run appends the fact that the access is over.
func (c accessRevokeCommand) Run(ctx context.Context, s streams) error {
	return app.RevokeAccess(ctx, s.out, app.AccessOrder{Data: c.Data, ID: c.ID, Reason: c.Reason}, time.Now())
}
