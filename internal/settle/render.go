package settle

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// Sentence says what an entry moves.
func Sentence(e *ledger.Entry) string {
	return fmt.Sprintf("%s: %s %s, %s <- %s", e.Kind, e.Asset.Format(e.Amount), e.Asset, e.Debit, e.Credit)
}

func clock(at int64) string { return time.Unix(0, at).UTC().Format("2006-01-02 15:04:05.000Z") }

// table writes rows in columns; numeric columns are padded by the writer.
func table(w io.Writer, rows func(line func(cells ...any))) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c)
		}
		fmt.Fprintln(t)
	})
	return t.Flush()
}

// WriteBalances writes the accounts with their balances, and the trial
// balance per asset. Debit balances are positive.
func WriteBalances(w io.Writer, list []ledger.Balance) error {
	err := table(w, func(line func(...any)) {
		line("ACCOUNT", "BALANCE", "ASSET")
		for _, b := range list {
			line(b.Account, b.Asset.Format(b.Amount), b.Asset)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	return WriteTrial(w, ledger.TrialBalance(list))
}

// WriteTrial writes the trial balance.
func WriteTrial(w io.Writer, list []ledger.Total) error {
	return table(w, func(line func(...any)) {
		line("TRIAL BALANCE", "DEBITS", "CREDITS", "")
		for _, t := range list {
			verdict := "balanced"
			if !t.Balanced() {
				verdict = "NOT BALANCED"
			}
			line(t.Asset, t.Asset.Format(t.Debits), t.Asset.Format(t.Credits), verdict)
		}
	})
}

// WriteEntries writes entries as a table.
func WriteEntries(w io.Writer, list []Placed) error {
	return table(w, func(line func(...any)) {
		line("ENTRY", "POSTED", "KIND", "DEBIT", "CREDIT", "AMOUNT", "ASSET", "TOKENS", "LINES", "JOURNAL", "PRICE")
		for i := range list {
			e := &list[i]
			price := e.Price
			if e.Ref != "" {
				price = strings.TrimSpace(price + " attempt " + e.Ref)
			}
			line(fmt.Sprintf("%d.%d", e.Batch, e.Number), clock(e.At), e.Kind, e.Debit, e.Credit, e.Asset.Format(e.Amount), e.Asset, e.Tokens.Total(), e.Lines,
				fmt.Sprintf("%d-%d", e.First, e.Last), price)
		}
	})
}

var statusNames = map[record.Status]string{record.Served: "served", record.Unserved: "unserved: nothing is owed", record.Suspense: "suspense", record.Abandoned: "abandoned: in flight when the process ended"}

// WriteTrace writes a trace for people: decision, outcome, line and entries.
func WriteTrace(w io.Writer, t *Trace) error {
	fmt.Fprintf(w, "request %s\n", t.Request)
	for _, r := range t.Refusals {
		fmt.Fprintf(w, "\nrefused %s, record %d: %s: %s\n", clock(r.At), r.Sequence, r.Refusal.Code, r.Refusal.Reason)
	}
	for i := range t.Attempts {
		if err := writeAttempt(w, &t.Attempts[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeAttempt(w io.Writer, a *Attempt) error {
	in := a.Intent.Intent
	fmt.Fprintf(w, "\nattempt %d, %s\n", in.Number, in.Attempt)
	err := table(w, func(line func(...any)) {
		line("  intent", fmt.Sprintf("record %d, %s, decision %d", a.Intent.Sequence, clock(a.Intent.At), in.Decision))
		line("  asked by", fmt.Sprintf("tenant %s, key %s, plan %s, channel %s, territory %s", in.Tenant, in.Key, in.Plan, in.Channel, in.Territory))
		line("  served by", fmt.Sprintf("%s on pool %s, contract %s, right %s", in.Model, in.Pool, in.Contract, in.Right))
		line("  terms", in.Terms)
		if a.Outcome == nil {
			line("  outcome", "none yet: in flight, or the process ended; it becomes suspense at the next start")
			return
		}
		out := a.Outcome.Outcome
		line("  outcome", fmt.Sprintf("record %d, %s, %s %s", a.Outcome.Sequence, clock(a.Outcome.At), statusNames[out.Status], out.Reason))
		u := a.Line.Tokens
		line("  tokens", fmt.Sprintf("%d uncached input, %d cache read, %d cache write, %d output, %d reasoning", u.UncachedInput, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning))
		if a.Line.Suspense != "" {
			line("  suspense", a.Line.Suspense+": may be owed, at the estimate; an invoice line or the estimate closes it")
		}
		if a.Line.Note != "" {
			line("  note", a.Line.Note)
		}
	})
	if err != nil || a.Line == nil {
		return err
	}
	return writeLine(w, a)
}

func writeLine(w io.Writer, a *Attempt) error {
	if len(a.Line.Postings) == 0 {
		fmt.Fprintln(w, "  no entry: nothing is owed")
		return nil
	}
	return table(w, func(line func(...any)) {
		line("  LINE", "DEBIT", "CREDIT", "EXACT AMOUNT", "ASSET", "IN ENTRY", "OF")
		for i := range a.Line.Postings {
			p := &a.Line.Postings[i]
			place, of := a.State, ""
			for j := range a.Entries {
				if e := &a.Entries[j]; e.LineKey() == p.Key {
					place, of = fmt.Sprintf("%d.%d", e.Batch, e.Number), fmt.Sprintf("%s, %d lines", e.Asset.Format(e.Amount), e.Lines)
				}
			}
			line("  "+p.Kind.String(), p.Debit, p.Credit, Exact(p), p.Asset, place, of)
		}
	})
}

// Exact renders a numerator over its divisor: whole units of the asset's
// smallest kind, and the rest as a fraction.
func Exact(p *ledger.Posting) string {
	q, r, ok := p.Numerator.FloorDiv(p.Divisor)
	if !ok {
		return p.Numerator.String() + "/" + fmt.Sprint(p.Divisor)
	}
	text := p.Asset.Format(p.Amount())
	if r == 0 {
		return text
	}
	if p.Asset.IsCurrency() {
		return fmt.Sprintf("%s + %d/%d micro", text, r, p.Divisor)
	}
	return fmt.Sprintf("%d + %d/%d", q, r, p.Divisor)
}

// WriteVerification writes what Verify found.
func WriteVerification(w io.Writer, v *Verification) error {
	fmt.Fprintf(w, "%d batches recomputed from %d records and %d facts: %d served, %d unserved, %d suspense, %d open\n", v.Batches, v.Records, v.Facts, v.Served, v.Unserved, v.Suspense, v.Open)
	fmt.Fprintf(w, "chain %s\n", v.Head.Hash)
	if v.Unposted > 0 {
		fmt.Fprintf(w, "%d records of the journal are not posted yet\n", v.Unposted)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if v.Fault != nil {
		_, err := fmt.Fprintf(w, "WRONG: %s\n", v.Fault)
		return err
	}
	fmt.Fprintln(w)
	if err := WriteTrial(w, v.Trial); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "the books are right: every byte follows from the journal and the terms")
	return err
}
