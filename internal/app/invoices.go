package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// InvoiceOrder says which invoice to import.
type InvoiceOrder struct {
	File     string
	Provider string
	Month    string // YYYY-MM
	DryRun   bool
	JSON     bool
}

// parseMonth reads YYYY-MM as YYYYMM.
func parseMonth(text string) (int32, error) {
	t, err := time.Parse("2006-01", text)
	if err != nil {
		return 0, ExitError{ExitUsage, fmt.Errorf("%q is no month: write it like 2026-06", text)}
	}
	return int32(t.Year()*100 + int(t.Month())), nil
}

// ImportInvoice matches an invoice with the journal and posts what agrees and
// what differs.
func ImportInvoice(ctx context.Context, w io.Writer, data string, o InvoiceOrder) error {
	month, err := parseMonth(o.Month)
	if err != nil {
		return err
	}
	if info, err := os.Stat(o.File); err != nil {
		return err
	} else if info.Size() > datadir.MaxDocumentBytes {
		return fmt.Errorf("%s has %d bytes, at most %d: split it", o.File, info.Size(), datadir.MaxDocumentBytes)
	}
	text, err := os.ReadFile(o.File)
	if err != nil {
		return err
	}
	parsed, err := invoice.Parse(text, invoice.Options{Month: month})
	if err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	sum := sha256.Sum256(text)
	if was, err := imported(data, hex.EncodeToString(sum[:])); err != nil || was {
		if err == nil {
			_, err = fmt.Fprintf(w, "invoice %x was imported before: nothing changes\n", sum[:6])
		}
		return err
	}
	rec, err := openRecorder(ctx, data)
	if err != nil {
		return err
	}
	defer rec.Close()
	hash, err := rec.SaveDocument(ctx, text)
	if err != nil {
		return err
	}
	event := ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: o.Provider, Month: month, Document: hash, Name: filepath.Base(o.File), ByGroup: true}}
	batch, err := rec.Record(ctx, event, o.DryRun)
	if err != nil {
		return err
	}
	return show(w, o.JSON, batch, func(w io.Writer) error {
		return writeImport(w, event.InvoiceImported, len(parsed.Lines), &batch, o.DryRun)
	})
}

// imported reports whether a fact says that the document came in already.
func imported(data, hash string) (bool, error) {
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	facts, err := dir.Booked()
	return slices.ContainsFunc(facts, func(f ledger.Fact) bool {
		return f.InvoiceImported != nil && f.InvoiceImported.Document == hash
	}), err
}

func writeImport(w io.Writer, v *ledger.InvoiceImported, lines int, b *ledger.Batch, dry bool) error {
	if dry {
		fmt.Fprintln(w, "DRY RUN: nothing was recorded; this would be posted")
	}
	var agreed, apart money.Amount
	var currency ledger.Asset
	var differences []settle.Placed
	for i := range b.Entries {
		e := b.Entries[i]
		currency = e.Asset
		if e.Kind == ledger.Difference {
			apart += e.Amount
			differences = append(differences, settle.Placed{Batch: b.Sequence, Number: i + 1, At: b.At, Fact: b.Fact, Entry: e})
			continue
		}
		agreed += e.Amount
	}
	fmt.Fprintf(w, "invoice %s of %s for %d: %d lines\nagreed with the journal  %s %s\ndifferences              %s %s in %d\n", v.InvoiceID(), v.Provider, v.Month, lines, agreed, currency, apart, currency, len(differences))
	if len(differences) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return writeDifferences(w, differences)
}

// Differences writes the open differences between invoices and books.
func Differences(ctx context.Context, w io.Writer, data string, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	list, err := b.store.Differences(ctx)
	if err != nil {
		return err
	}
	type difference struct {
		ID   string `json:"id"`
		Kind string `json:"kind"`
		settle.Placed
	}
	all := make([]difference, 0, len(list))
	for i := range list {
		all = append(all, difference{list[i].Ref, ledger.DifferenceKind(&list[i].Entry), list[i]})
	}
	return show(w, asJSON, all, func(w io.Writer) error {
		if len(list) == 0 {
			_, err := fmt.Fprintln(w, "no difference is open")
			return err
		}
		return writeDifferences(w, list)
	})
}

func writeDifferences(w io.Writer, list []settle.Placed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DIFFERENCE\tKIND\tINVOICE LESS BOOKS\tCONTRACT\tOUTCOME\t")
	for i := range list[:min(len(list), maxShown)] {
		e := &list[i]
		outcome := "-"
		if e.From == e.Until && e.Contract != "" {
			outcome = fmt.Sprint(e.First)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", e.Ref, ledger.DifferenceKind(&e.Entry), e.Amount, e.Contract, outcome)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(list) > maxShown {
		fmt.Fprintf(w, "and %d more: --json lists all\n", len(list)-maxShown)
	}
	_, err := fmt.Fprintln(w, "close with: accordo invoices close ID --as accepted|rejected --reason TEXT")
	return err
}

// CloseDifferences closes differences, one fact each.
func CloseDifferences(ctx context.Context, w io.Writer, data string, ids []string, by, reason string, dry, asJSON bool) error {
	if dry && len(ids) > 1 {
		return ExitError{ExitUsage, errors.New("--dry-run takes one difference")}
	}
	rec, err := openRecorder(ctx, data)
	if err != nil {
		return err
	}
	defer rec.Close()
	var done []ledger.Batch
	for _, id := range ids {
		batch, err := rec.Record(ctx, ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: id, By: by, Reason: reason}}, dry)
		if err != nil {
			return fmt.Errorf("%w (%d of %d differences were closed before it)", err, len(done), len(ids))
		}
		done = append(done, batch)
	}
	return show(w, asJSON, done, func(w io.Writer) error { return writePosted(w, done, dry) })
}
