package main

import (
	"context"
	"os"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type topCommand struct {
	Admin     string        `help:"Address of the operator's listener of the process to watch." default:"http://127.0.0.1:8081"`
	TokenFile string        `name:"token-file" help:"File with an operator's token (default: the variable ACCORDO_ADMIN_TOKEN)." type:"existingfile"`
	CA        string        `name:"ca" help:"Certificate authorities in PEM that the listener's certificate is checked against (default: the system's)." type:"existingfile"`
	Every     time.Duration `help:"Time between two frames." default:"2s"`
	Once      bool          `help:"Print one frame, of two samples that lie --every apart, and end."`
}

// Run draws until Ctrl-C, or once.
func (c topCommand) Run(ctx context.Context, s streams) error {
	return app.Top(ctx, app.TopOptions{
		Admin: c.Admin, Token: os.Getenv("ACCORDO_ADMIN_TOKEN"), TokenFile: c.TokenFile, CA: c.CA, Every: c.Every, Once: c.Once,
		Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", Out: s.out,
	})
}
