package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/settle"
)

// Outlook writes how one contract stands at an instant (now when at is
// empty) and what is to come.
func Outlook(ctx context.Context, w io.Writer, data, id, at string, now time.Time, asJSON bool) error {
	if at != "" {
		var d alliance.Date
		if err := d.UnmarshalText([]byte(at)); err != nil {
			return ExitError{ExitUsage, fmt.Errorf("--at: %w", err)}
		}
		now = d.Time
	}
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	terms, _, err := b.lastTerms(ctx)
	if err != nil {
		return err
	}
	o, err := settle.MakeOutlook(ctx, b.store, terms, id, now)
	if err != nil {
		return err
	}
	return show(w, asJSON, o, func(w io.Writer) error { return settle.WriteOutlook(w, o) })
}
