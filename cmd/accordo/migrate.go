package main

import (
	"context"

	"github.com/accordo-ai/accordo/internal/app"
)

type migrateCommand struct {
	booksFlags
	DryRun bool `name:"dry-run" help:"Show what would be done, change nothing."`
}

// Run brings a data directory to the formats of this version.
func (c migrateCommand) Run(ctx context.Context, s streams) error {
	return app.Migrate(ctx, s.out, c.Data, c.DryRun, c.JSON)
}
