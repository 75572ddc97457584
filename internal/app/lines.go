package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
)

// EntryLines writes the requests behind one entry, recomputed from the
// journal: the way from a total down. number is "batch.number".
func EntryLines(ctx context.Context, w io.Writer, data, number string, asJSON bool) error {
	batchText, entryText, _ := strings.Cut(number, ".")
	n, batchErr := strconv.ParseUint(batchText, 10, 64)
	i, entryErr := strconv.Atoi(entryText)
	if batchErr != nil || entryErr != nil {
		return ExitError{ExitUsage, fmt.Errorf("%q is no entry: write batch and number as accordo ledger entries prints them, such as 4.1", number)}
	}
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	batch, err := b.store.Batch(ctx, n)
	if errors.Is(err, settle.ErrNotFound) || err == nil && (i < 1 || i > len(batch.Entries)) {
		return fmt.Errorf("the books hold no entry %s: accordo ledger entries lists them", number)
	}
	if err != nil {
		return err
	}
	entry := &batch.Entries[i-1]
	lines, err := settle.Lines(ctx, b.store, b.records, termsFrom(b.dir), b.dir, entry)
	if err != nil {
		return err
	}
	return show(w, asJSON, lines, func(w io.Writer) error { return writeLines(w, entry, lines) })
}

func writeLines(w io.Writer, e *ledger.Entry, lines []ledger.Line) error {
	fmt.Fprintf(w, "%s: %s %s, %s to %s\n", e.Kind, e.Asset.Format(e.Amount), e.Asset, e.Credit, e.Debit)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REQUEST\tATTEMPT\tTOKENS\tEXACT SHARE\tJOURNAL\t")
	for i := range lines {
		l := &lines[i]
		for j := range l.Postings {
			if p := &l.Postings[j]; p.Key == e.LineKey() {
				fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d, %d\t\n", l.Request, l.Attempt, p.Of(l).Total(), settle.Exact(p), l.Intent, l.Outcome)
			}
		}
	}
	return t.Flush()
}
