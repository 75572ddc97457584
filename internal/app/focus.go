package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/focusfile"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
)

// FocusOrder is one export of FOCUS on the command line.
type FocusOrder struct {
	Dataset      string
	FocusVersion string
	Format       string // csv or parquet
	Out          string // directory
	From, Until  string
	Rules        string // file of published rules to check by, or empty
	JSON         bool
	Version      string // of the program
	Now          time.Time
	Progress     io.Writer // says on a terminal that it takes long; nil: nobody is told
}

// exported says what an export wrote and how it was judged.
type exported struct {
	File     string        `json:"file"`
	Metadata string        `json:"metadata"`
	Totals   *focus.Totals `json:"totals,omitempty"`
	Rows     int           `json:"rows"`
	Says     string        `json:"says,omitempty"`
	Notice   string        `json:"notice,omitempty"`
	Own      *verdicts     `json:"own_rules"`
	Rules    *verdicts     `json:"rules,omitempty"`
}

// verdicts are the counts of a report, with all that is not right.
type verdicts struct {
	Version       string         `json:"focus_version"`
	Rules         int            `json:"rules"`
	Passed        int            `json:"passed"`
	Failed        int            `json:"failed"`
	Warned        int            `json:"warned"`
	NotApplicable int            `json:"not_applicable"`
	Reasons       map[string]int `json:"reasons"` // why rules are not applicable
	Failures      []focus.Result `json:"failures,omitempty"`
	Warnings      []focus.Result `json:"warnings,omitempty"`
	Corrected     []focus.Result `json:"corrected,omitempty"`
	Identities    []string       `json:"identities,omitempty"` // sums that do not hold
}

func verdictsOf(r *focus.Report) *verdicts {
	v := &verdicts{
		Version: r.Version, Rules: len(r.Results), Passed: r.Count(focus.Passed), Failed: r.Count(focus.Failed), Warned: r.Count(focus.Warned),
		NotApplicable: r.Count(focus.NotApplicable), Reasons: r.Reasons(), Failures: r.Of(focus.Failed), Warnings: r.Of(focus.Warned),
	}
	for _, result := range r.Results {
		if result.Corrected != "" {
			v.Corrected = append(v.Corrected, result)
		}
	}
	return v
}

// ExportFocus writes one dataset of FOCUS with its metadata beside it, and
// checks what it wrote. A rule that fails is an ExitError with ExitWrong.
func ExportFocus(ctx context.Context, w io.Writer, data string, o FocusOrder) error {
	dataset, version := focus.Dataset(o.Dataset), focus.Version(o.FocusVersion)
	if _, err := focus.Columns(dataset, version); err != nil {
		return ExitError{ExitUsage, err}
	}
	var rules *focus.Rules
	if o.Rules != "" {
		if dataset != focus.CostAndUsage || version != focus.V12 {
			return ExitError{ExitUsage, fmt.Errorf("--check judges %s of version %s: add --focus-version %s", focus.CostAndUsage, focus.V12, focus.V12)}
		}
		text, err := os.ReadFile(o.Rules)
		if err != nil {
			return fmt.Errorf("read the rules: %w", err)
		}
		if rules, err = focus.ParseRules(text); err != nil {
			return err
		}
	}
	result, err := o.export(ctx, data, dataset, version)
	if err != nil {
		return err
	}
	if rules != nil {
		written, err := focusfile.Read(result.File)
		if err != nil {
			return err
		}
		result.Rules = verdictsOf(rules.Check(&written, focus.Supported()))
	}
	if err := show(w, o.JSON, result, result.write); err != nil {
		return err
	}
	if result.Own.wrong() || result.Rules.wrong() {
		return ExitError{Code: ExitWrong}
	}
	return nil
}

func (v *verdicts) wrong() bool { return v != nil && (v.Failed > 0 || len(v.Identities) > 0) }

func (o *FocusOrder) window() (focus.Window, error) {
	w := focus.Window{AsOf: o.Now.UTC().Truncate(time.Second)}
	var err error
	if o.From != "" {
		if w.From, err = parseInstant("from", o.From, o.Now); err != nil {
			return w, err
		}
	}
	if w.Until, err = parseInstant("until", o.Until, w.AsOf); err != nil {
		return w, err
	}
	if w.From.After(w.Until) {
		return w, ExitError{ExitUsage, fmt.Errorf("--from %s is after --until %s", o.From, w.Until.Format(time.RFC3339))}
	}
	return w, nil
}

func (o *FocusOrder) export(ctx context.Context, data string, d focus.Dataset, v focus.Version) (*exported, error) {
	if _, err := o.window(); err != nil {
		return nil, err
	}
	b, err := openReading(ctx, data)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if o.Now, err = b.now(ctx, o.Now); err != nil {
		return nil, err
	}
	w, err := o.window()
	if err != nil {
		return nil, err
	}
	terms, closed, err := b.lastTerms(ctx)
	if err != nil {
		return nil, err
	}
	gathered, err := b.gather(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	latest := terms.Alliance()
	result := &exported{Notice: latest.Notice}
	played, err := b.dir.Simulated()
	if err != nil {
		return nil, err
	}
	table, err := result.table(gathered, latest, closed, d, v, w)
	if err != nil {
		return nil, err
	}
	if played != nil {
		result.Says = strings.TrimSpace("SIMULATED: " + played.Says + ". " + result.Says)
	}
	result.Rows = len(table.Rows)
	own, err := focus.OwnRules(d, v)
	if err != nil {
		return nil, err
	}
	result.Own = verdictsOf(own.Check(&table, nil))
	if d == focus.CostAndUsage {
		if result.Own.Identities, err = focus.Identity(&table, false); err != nil {
			return nil, err
		}
	}
	metadata := focus.NewMetadata(d, v, &table, latest, o.Version, w.AsOf)
	metadata.From, metadata.Until, metadata.Totals, metadata.Says = focus.Instant(w.From).Text, focus.Instant(w.Until).Text, result.Totals, result.Says
	return result, o.write(result, &table, metadata, d, v)
}

// table makes the dataset, and says what people must know of it.
func (e *exported) table(b *focus.Books, a *alliance.Alliance, closed int32, d focus.Dataset, v focus.Version, w focus.Window) (t focus.Table, err error) {
	switch d {
	case focus.ContractCommitment:
		return b.Commitments(a, w)
	case focus.BillingPeriod:
		if closed == 0 {
			e.Says = "Every period is open: no month has been closed."
		}
		return b.Periods(a, w, closed)
	case focus.InvoiceDetail:
		if t, err = b.Invoices(a, w); len(t.Rows) == 0 {
			e.Says = "The books hold no invoice of this time, so there is no row. The columns are those of the dataset."
		}
		return t, err
	}
	if t, err = b.CostAndUsage(a, v, w); err != nil {
		return t, err
	}
	totals, err := b.Totals(&t, a.Currency)
	e.Says = "Fixed fees are accrued by the contracts, second by second, where the books have not closed the month."
	if totals.Suspense.Attempts > 0 {
		e.Says += fmt.Sprintf(" %d attempts are suspense (estimate %s): they may be owed, and are in no row until they are closed.", totals.Suspense.Attempts, totals.Suspense.Says(a.Currency))
	}
	e.Totals = &totals
	return t, err
}

// gather reads journal and batches side by side, up to the last batch stored
// when it begins.
func (b *books) gather(ctx context.Context, w io.Writer) (*focus.Books, error) {
	head, err := b.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	terms, err := settle.Versions(termsFrom(b.dir), b.dir)
	if err != nil {
		return nil, err
	}
	gathered := focus.NewBooks(terms)
	shown := startProgress(w, "reading the books", head.Batch)
	defer shown.finish()
	next, stop := iter.Pull2(b.records(1))
	defer stop()
	for batch, err := range b.store.Batches(ctx, 1) {
		if err != nil {
			return nil, err
		}
		if batch.Sequence > head.Batch {
			break
		}
		shown.reach(batch.Sequence)
		if batch.First <= batch.Last { // a batch that posts a fact holds no record
			if err := feed(ctx, gathered, next, batch.Last); err != nil {
				return nil, err
			}
		}
		lefts, err := b.store.Lefts(ctx, batch.First, batch.Last)
		if err != nil {
			return nil, err
		}
		for outcome, left := range lefts {
			if left.Hour != nil {
				gathered.Left(outcome, *left.Hour)
			}
		}
		if err := gathered.Batch(&batch); err != nil {
			return nil, err
		}
	}
	return gathered, nil
}

func feed(ctx context.Context, to *focus.Books, next func() (record.Record, error, bool), last uint64) error {
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r, err, ok := next()
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if !ok {
			return fmt.Errorf("the books cite record %d, which the journal does not hold: put the journal's files back", last)
		}
		to.Record(&r)
		if r.Sequence == last {
			return nil
		}
	}
}

// write puts data and metadata into the directory, each whole or not at all.
func (o *FocusOrder) write(e *exported, t *focus.Table, m focus.Metadata, d focus.Dataset, v focus.Version) error {
	about, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("describe the export: %w", err)
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return fmt.Errorf("make the directory of --out: %w", err)
	}
	base := filepath.Join(o.Out, fmt.Sprintf("focus-%s-%s", v, d))
	e.File, e.Metadata = base+"."+o.Format, base+"."+o.Format+".metadata.json"
	err = focusfile.Replace(e.File, func(w io.Writer) error {
		if o.Format == "parquet" {
			return focusfile.WriteParquet(w, t, about)
		}
		return focusfile.WriteCSV(w, t)
	})
	if err != nil {
		return err
	}
	return focusfile.Replace(e.Metadata, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(append(about, '\n')))
		return err
	})
}

// write tells people what was written and how it was judged.
func (e *exported) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %d rows\n%s: what the columns are\n", e.File, e.Rows, e.Metadata)
	if e.Totals != nil {
		fmt.Fprintf(w, "BilledCost %s, EffectiveCost %s\n", e.Totals.Billed, e.Totals.Effective)
		for _, o := range e.Totals.Others {
			fmt.Fprintf(w, "in %s: BilledCost %s, EffectiveCost %s\n", o.Currency, o.Billed, o.Effective)
		}
	}
	for _, s := range [...]string{e.Says, e.Notice} {
		if s != "" {
			fmt.Fprintln(w, s)
		}
	}
	e.Own.write(w, "Our own rules for FOCUS "+e.Own.Version)
	if e.Rules != nil {
		e.Rules.write(w, "Published rules of FOCUS "+e.Rules.Version)
	}
	return nil
}

func (v *verdicts) write(w io.Writer, title string) {
	fmt.Fprintf(w, "%s: %d rules, %d passed, %d failed, %d not applicable", title, v.Rules, v.Passed, v.Failed, v.NotApplicable)
	if v.Warned > 0 {
		fmt.Fprintf(w, ", %d recommendations not followed", v.Warned)
	}
	fmt.Fprintln(w)
	for _, why := range slices.Sorted(maps.Keys(v.Reasons)) {
		fmt.Fprintf(w, "  not applicable %4d: %s\n", v.Reasons[why], why)
	}
	for _, s := range v.Identities {
		fmt.Fprintf(w, "  failed  sums: %s\n", s)
	}
	for _, r := range v.Failures {
		writeResult(w, "failed ", &r)
	}
	for _, r := range v.Warnings {
		writeResult(w, "warning", &r)
	}
	for _, r := range v.Corrected {
		fmt.Fprintf(w, "  note    %s is judged by its sentence: %s\n", r.Rule, r.Corrected)
	}
}

func writeResult(w io.Writer, label string, r *focus.Result) {
	switch {
	case len(r.Parts) > 0:
		fmt.Fprintf(w, "  %s %s: by %s\n", label, r.Rule, r.Parts)
	case r.Row == 0:
		fmt.Fprintf(w, "  %s %s: column %s is %s: %s\n", label, r.Rule, r.Column, r.Value, r.Text)
	default:
		fmt.Fprintf(w, "  %s %s: column %s, row %d (of %d): %s: %s\n", label, r.Rule, r.Column, r.Row, r.Rows, r.Value, r.Text)
	}
}
