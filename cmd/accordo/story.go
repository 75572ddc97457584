package main

import (
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type storyCommand struct {
	At   string `help:"Tell it as known on this day (default: today)."`
	Card string `help:"One card, S01 to S40."`
	JSON bool   `name:"json" help:"Answer as JSON."`
}

// Run tells the story of the built-in example.
func (c storyCommand) Run(s streams) error {
	return app.Tell(s.out, c.At, c.Card, time.Now(), c.JSON)
}

type claimsCommand struct {
	IDs  []string `arg:"" optional:"" name:"id" help:"Claims, objects or systems (S01); without: all claims."`
	File string   `short:"f" help:"Alliance file (without: the built-in example)." type:"path"`
	At   string   `help:"As known on this day (default: today)."`
	JSON bool     `name:"json" help:"Answer as JSON."`
}

// Run shows claims.
func (c claimsCommand) Run(s streams) error {
	return app.Claims(s.out, c.File, c.At, c.IDs, time.Now(), c.JSON)
}
