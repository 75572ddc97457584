package app

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// CloseMonth closes a civil month; with dry it says what would be posted.
func CloseMonth(ctx context.Context, w io.Writer, data, month string, dry, asJSON bool) error {
	n, err := parseMonth(month)
	if err != nil {
		return err
	}
	if err := nothingWaits(ctx, data); err != nil {
		return err
	}
	return RecordEvent(ctx, w, data, ledger.Event{MonthClosed: &ledger.MonthClosed{Month: n, Rules: ledger.CloseRules}}, dry, asJSON)
}

// nothingWaits refuses a close while nothing serves and outcomes of the last
// process wait for their batch: they would become corrections for no reason.
func nothingWaits(ctx context.Context, data string) error {
	dir, err := datadir.Open(filepath.Clean(data))
	if err != nil {
		return nil // it is served, and the serving process posts what waits; or the next step says what is wrong
	}
	defer dir.Close()
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	head, err := b.store.Head(ctx)
	if err != nil {
		return err
	}
	waiting := 0
	for r, err := range journal.Read(dir.Journal(), head.Last+1) {
		switch {
		case err != nil:
			return err
		case r.Kind == record.KindOutcome:
			waiting++
		case r.Kind == record.KindMark:
			waiting = 0
		}
	}
	if waiting > 0 {
		return fmt.Errorf("%d outcomes wait to be posted since the last process ended: start it once, then close", waiting)
	}
	return nil
}

// RecordEvent records one event and writes what it posted.
func RecordEvent(ctx context.Context, w io.Writer, data string, event ledger.Event, dry, asJSON bool) error {
	if err := event.Check(); err != nil {
		return ExitError{ExitUsage, err}
	}
	rec, err := openRecorder(ctx, data)
	if err != nil {
		return err
	}
	defer rec.Close()
	batch, err := rec.Record(ctx, event, dry)
	if err != nil {
		return err
	}
	return show(w, asJSON, batch, func(w io.Writer) error {
		if kind, of, says := matter(&event); !dry && kind != "" {
			fmt.Fprintf(w, "recorded as fact %d: %s of %s, %s\n", batch.Fact, kind, of, says)
		}
		return writePosted(w, []ledger.Batch{batch}, dry)
	})
}

// BillPool records the bill of a pool by the chip-second.
func BillPool(ctx context.Context, w io.Writer, data, month string, bill ledger.PoolBilled, dry, asJSON bool) error {
	n, err := parseMonth(month)
	if err != nil {
		return err
	}
	bill.Month = n
	return RecordEvent(ctx, w, data, ledger.Event{PoolBilled: &bill}, dry, asJSON)
}

// ChargeMarketplace records a charge of a provider's marketplace.
func ChargeMarketplace(ctx context.Context, w io.Writer, data, month string, charge ledger.MarketplaceCharge, dry, asJSON bool) error {
	n, err := parseMonth(month)
	if err != nil {
		return err
	}
	charge.Month = n
	return RecordEvent(ctx, w, data, ledger.Event{MarketplaceCharge: &charge}, dry, asJSON)
}
