package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// TestGolden_Facts pins the bytes of batches that facts make: closed
// suspense, an invoice with differences, what came of one, a bill and a close.
// A change here is a change of the format.
func TestGolden_Facts(t *testing.T) {
	records := storetest.History(storetest.Random(42), 250)
	d := newDesk(t, records)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := d.book.State().Suspended
	for i, by := range []string{ledger.ByEstimate, ledger.ByWaiver} {
		out := records[open[i]-1].Outcome
		must(d.fact(ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: out.Attempt, Intent: out.Intent, Outcome: open[i], By: by, Reason: "golden"}}))
	}
	text := billHeader
	for i, l := range bill(t, records) {
		if i > 0 {
			text += l.csv(true)
		}
	}
	text += (&billLine{attempt: "nobody", amount: 42}).csv(true)
	must(d.importCSV(text))
	must(d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: d.book.State().Differences[0].Ref, By: ledger.Accepted, Reason: "golden"}}))
	must(d.fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, ChipSeconds: 10, Amount: 5, Reason: "golden"}}))
	must(d.fact(closeMonth(202606)))
	var out strings.Builder
	for _, s := range d.steps {
		b := &s.Batch
		fmt.Fprintf(&out, "batch %d fact %d records %d-%d\n  hash %s\n", b.Sequence, b.Fact, b.First, b.Last, b.Hash)
		for _, e := range b.Entries {
			fmt.Fprintf(&out, "  %s %d %s: %s <- %s price %q period %d ref %q\n", e.Kind, e.Amount, e.Asset, e.Debit, e.Credit, e.Price, e.Period, e.Ref)
		}
	}
	path := filepath.Join("testdata", "facts.golden")
	if *update {
		must(os.WriteFile(path, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	must(err)
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
