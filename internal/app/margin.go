package app

import (
	"context"
	"io"

	"github.com/accordo-ai/accordo/internal/settle"
)

// MarginQuestion asks what the requests of a month brought in and cost.
type MarginQuestion struct {
	By    string // plan, model, channel or tenant
	Month string // YYYY-MM
	JSON  bool
	CSV   bool
}

// Margin writes revenue and cost of a month, row by row, up to the books.
func Margin(ctx context.Context, w io.Writer, data string, q MarginQuestion) error {
	b, err := openMonth(ctx, data, q.Month)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := b.margin(ctx, q.By)
	if err != nil {
		return err
	}
	if q.CSV {
		return settle.WriteMarginCSV(w, m)
	}
	return show(w, q.JSON, m, func(w io.Writer) error { return settle.WriteMargin(w, m) })
}
