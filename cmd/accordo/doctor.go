package main

import (
	"context"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type doctorCommand struct {
	File   string `arg:"" optional:"" help:"Alliance file (without: the built-in example)." type:"path"`
	Data   string `help:"Data directory." default:"data" type:"path"`
	Call   bool   `help:"Also ask every provider for its models, with the credential; nothing else is called."`
	Limits bool   `help:"Also drive every kind of limit through the code that serves, with simulated requests."`
	JSON   bool   `name:"json" help:"Answer as JSON."`
}

// Run examines file, keys, providers, disk, clock, journal and books; what is
// wrong exits with 1.
func (c doctorCommand) Run(ctx context.Context, s streams) error {
	return app.Doctor(ctx, s.out, app.DoctorOptions{File: c.File, Data: c.Data, Call: c.Call, Limits: c.Limits, JSON: c.JSON, Now: time.Now()})
}
