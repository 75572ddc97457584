package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
	"github.com/accordo-ai/accordo/internal/artifact"
	"github.com/accordo-ai/accordo/internal/provider/llama"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

type keyCommand struct {
	New    keyNewCommand    `cmd:"" default:"1" help:"Make a key to put into an alliance file."`
	Revoke keyRevokeCommand `cmd:"" help:"Take back a key that a start has issued; the next start issues another."`
}

type keyNewCommand struct{}

// Run prints a new API key with the line that puts it into an alliance file.
// The key is shown once and kept nowhere.
func (keyNewCommand) Run(s streams) error {
	secret, sum, err := app.NewSecret("ak-")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "key     %s   (shown once)\nsha256: %s   (for the alliance file)\n", secret, sum)
	return err
}

type keyRevokeCommand struct {
	ID     string `arg:"" help:"Id of the key in the alliance file."`
	Data   string `help:"Data directory; nothing may serve from it." default:"data" type:"path"`
	Reason string `help:"Why, for the record." required:""`
}

// Run appends the fact that the key is revoked.
func (c keyRevokeCommand) Run(s streams) error {
	return app.RevokeKey(s.out, c.Data, c.ID, c.Reason, time.Now())
}

type fetchCommand struct {
	CacheDir string `help:"Folder for engine and weights (default: the user's cache)." type:"path"`
	Env      bool   `help:"Print the places as shell variables for the tests."`
}

// Run fetches what the local model needs, or finds that it is there.
func (c fetchCommand) Run(ctx context.Context, s streams) error {
	dir := c.CacheDir
	if dir == "" {
		var err error
		if dir, err = artifact.DefaultDir(); err != nil {
			return err
		}
	}
	manifest, err := artifact.Default()
	if err != nil {
		return err
	}
	got, err := artifact.Fetch(ctx, dir, manifest, os.Stderr)
	if err != nil {
		return err
	}
	format := "engine  %s\nweights %s\n"
	if c.Env {
		format = "export ACCORDO_ENGINE_DIR='%s'\nexport ACCORDO_WEIGHTS='%s'\n"
	}
	_, err = fmt.Fprintf(s.out, format, got.EngineDir, got.WeightsFile)
	return err
}

type modelServeCommand struct {
	llama.ServeCommand
}

// Run serves until it is told to stop. Prompts are in its memory as well.
func (c *modelServeCommand) Run(ctx context.Context) error {
	app.HideMemory()
	return c.ServeCommand.Run(ctx)
}

type upstreamSimCommand struct {
	Config  string `arg:"" optional:"" help:"YAML file with pools and a script of faults (without: one pool without latency)." type:"existingfile"`
	Listen  string `help:"Address to listen on." default:"127.0.0.1:9090"`
	Invoice string `help:"File that a line for every served attempt is appended to." type:"path"`
	Record  int    `help:"How many request bodies to keep for GET /requests."`
	Seed    uint64 `help:"Changes every generated text."`
}

// Run serves until it is told to stop.
func (c upstreamSimCommand) Run(ctx context.Context, s streams) error {
	options := upstreamsim.Options{Seed: c.Seed, InvoicePath: c.Invoice, RecordRequests: c.Record, Listen: c.Listen, Logger: logger(s.err)}
	if c.Config != "" {
		config, err := upstreamsim.LoadConfig(filepath.Clean(c.Config))
		if err != nil {
			return err
		}
		options.Pools, options.Script = config.Pools, config.Script
	}
	options.OnListen = func(a net.Addr) {
		fmt.Fprintf(s.out, "Simulated provider on http://%s/v1 (invoice: /invoice, script: POST /script). Its text is invented.\n", a)
	}
	return upstreamsim.Run(ctx, options)
}
