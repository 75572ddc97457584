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

// TestGolden_Sales pins the bytes of batches that quotas, fees and commissions
// make. A change here is a change of the format.
func TestGolden_Sales(t *testing.T) {
	records := storetest.SalesHistory(storetest.Random(42), 250)
	d := &desk{book: ledger.New(storetest.SalesTerms), records: records}
	for _, b := range storetest.Split(records) {
		step, err := d.book.Post(b)
		if err != nil {
			t.Fatal(err)
		}
		d.steps = append(d.steps, step)
	}
	for _, e := range []ledger.Event{{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Reason: "golden"}}, closeMonth(202606)} {
		if err := d.fact(e); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	for _, s := range d.steps {
		fmt.Fprintf(&out, "batch %d\n  hash %s\n", s.Batch.Sequence, s.Batch.Hash)
		for _, e := range s.Batch.Entries {
			if e.Kind >= ledger.Subscriber && e.Kind <= ledger.Commission || e.Kind == ledger.Sale {
				fmt.Fprintf(&out, "  %s %d %s: %s <- %s price %q period %d tokens %d\n", e.Kind, e.Amount, e.Asset, e.Debit, e.Credit, e.Price, e.Period, e.Tokens.Total())
			}
		}
	}
	path := filepath.Join("testdata", "sales.golden")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
