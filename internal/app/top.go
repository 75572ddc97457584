package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/top"
)

// TopOptions say which process to watch and how. TokenFile goes before Token.
type TopOptions struct {
	Admin            string
	Token, TokenFile string
	CA               string // file of certificate authorities; empty: the system's
	Every            time.Duration
	Once, Color      bool
	Out              io.Writer
}

// maxToken bounds a file with a token in bytes.
const maxToken = 4 << 10

// Top draws how a serving process is until ctx ends, or once.
func Top(ctx context.Context, o TopOptions) error {
	t := top.Options{Admin: o.Admin, Token: o.Token, Every: o.Every, Once: o.Once, Color: o.Color, Out: o.Out}
	if o.TokenFile != "" {
		f, err := os.Open(o.TokenFile)
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxToken))
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		t.Token = strings.TrimSpace(string(text))
	}
	if o.CA != "" {
		roots, err := authorities(o.CA)
		if err != nil {
			return err
		}
		t.Roots = roots
	}
	return top.Run(ctx, t)
}
