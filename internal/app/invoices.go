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
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// InvoiceOrder says which invoice to import.
type InvoiceOrder struct {
	File     string
	Detail   string // Invoice Detail of FOCUS beside it; empty: none
	Provider string
	Issuer   string // InvoiceIssuerName of a FOCUS file; empty: the only one, or the provider's name
	Month    string // YYYY-MM
	DryRun   bool
	JSON     bool
	Progress io.Writer // says on a terminal that it takes long; nil: nobody is told
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
	text, err := readDocument(o.File)
	if err != nil {
		return err
	}
	var detail []byte
	if o.Detail != "" {
		if detail, err = readDocument(o.Detail); err != nil {
			return err
		}
	}
	options := invoice.Options{Issuer: o.Issuer, Month: month, Detail: detail, Rules: invoice.Rules}
	parsed, err := invoice.Parse(text, options)
	if errors.Is(err, invoice.ErrIssuers) {
		if options.Issuer, err = nameOf(ctx, data, o.Provider); err == nil {
			parsed, err = invoice.Parse(text, options)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.File, err)
	}
	v := &ledger.InvoiceImported{
		Provider: o.Provider, Month: month, Document: hashOf(text), Name: filepath.Base(o.File), Issuer: parsed.Issuer, ByGroup: true, Rules: invoice.Rules,
	}
	if was, err := imported(data, v.InvoiceID()); err != nil || was {
		if err == nil {
			_, err = fmt.Fprintf(w, "invoice %s was imported before: nothing changes\n", v.InvoiceID())
		}
		return err
	}
	rec, err := openRecorder(ctx, data)
	if err != nil {
		return err
	}
	defer rec.Close()
	if _, err = rec.SaveDocument(ctx, text); err != nil {
		return err
	}
	if detail != nil {
		if v.Detail, err = rec.SaveDocument(ctx, detail); err != nil {
			return err
		}
	}
	shown := startProgress(o.Progress, fmt.Sprintf("matching %d lines with the journal", len(parsed.Lines)), 0)
	defer shown.finish()
	batch, err := rec.Record(ctx, ledger.Event{InvoiceImported: v}, o.DryRun)
	shown.finish()
	if err != nil {
		return err
	}
	return show(w, o.JSON, batch, func(w io.Writer) error { return writeImport(ctx, w, data, v, parsed, &batch, o.DryRun) })
}

func readDocument(name string) ([]byte, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if info.Size() > datadir.MaxDocumentBytes {
		return nil, fmt.Errorf("%s has %d bytes, at most %d: split it", name, info.Size(), datadir.MaxDocumentBytes)
	}
	return os.ReadFile(name)
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// nameOf is the name of a party by the terms in force, its id where it has none.
func nameOf(ctx context.Context, data, party string) (string, error) {
	b, err := openReading(ctx, data)
	if err != nil {
		return "", err
	}
	defer b.Close()
	t, _, err := b.lastTerms(ctx)
	if err != nil {
		return "", err
	}
	if p := t.Alliance().Party(alliance.PartyID(party)); p != nil && p.Name != "" {
		return p.Name, nil
	}
	return party, nil
}

// imported reports whether a fact says that the invoice came in already.
func imported(data, id string) (bool, error) {
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	facts, err := dir.Booked()
	return slices.ContainsFunc(facts, func(f ledger.Fact) bool {
		return f.InvoiceImported != nil && f.InvoiceImported.InvoiceID() == id
	}), err
}

func writeImport(ctx context.Context, w io.Writer, data string, v *ledger.InvoiceImported, parsed *invoice.Invoice, b *ledger.Batch, dry bool) error {
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
	fmt.Fprintf(w, "invoice %s of %s for %d: %s, %d lines\n", v.InvoiceID(), v.Provider, v.Month, parsed.Format, len(parsed.Lines))
	if parsed.Covered+parsed.Others > 0 {
		fmt.Fprintf(w, "rows: %d, of which %d charge nothing; %d more are of other issuers or months\n", parsed.Rows-parsed.Others, parsed.Covered, parsed.Others)
	}
	fmt.Fprintf(w, "agreed with the journal  %s %s\ndifferences              %s %s in %d\n", agreed, currency, apart, currency, len(differences))
	if len(differences) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	reader, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer reader.Close()
	open, err := reader.explain(differences, []*ledger.InvoiceImported{v}, map[string]*invoice.Invoice{v.InvoiceID(): parsed})
	if err != nil {
		return err
	}
	return writeDifferences(w, open)
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
