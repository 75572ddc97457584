package focus_test

import (
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// TestFees_BesidesUseAreDrawnOnTheCreditOrBilled closes a month of a credit
// whose contract has a fee besides use.
func TestFees_BesidesUseAreDrawnOnTheCreditOrBilled(t *testing.T) {
	for _, row := range []struct {
		name  string
		drawn bool
		rows  map[string]string
	}{
		{"drawn", true, map[string]string{"ChargeCategory": "Usage", "CommitmentDiscountStatus": "Used", "ChargeDescription": "Fixed fee of Credit, drawn on its credit"}},
		{"billed", false, map[string]string{"ChargeCategory": "Adjustment", "ChargeDescription": "Fixed fee of Credit"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDiary(t, func(hash string) (*alliance.Alliance, error) {
				a, err := creditTerms(hash)
				c := &a.Contracts[0]
				c.Fees = []alliance.Fee{{Term: c.Term, Amount: 1200}}
				c.Eligibility = &alliance.Eligibility{Fees: row.drawn}
				return a, err
			})
			d.record(day("2026-01-05"), record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: "credit", Node: "n1"}})
			d.request(day("2026-01-10"), day("2026-01-10"), "drawn", 40, 90, record.Served)
			d.post(day("2026-01-31"))
			d.fact(day("2026-02-03"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202601, Rules: ledger.CloseRules}})
			d.fact(day("2026-03-02"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202602, Rules: ledger.CloseRules}})
			table := d.table(focus.Window{AsOf: day("2026-03-02")})
			if faults, err := focus.Identity(&table, true); err != nil || len(faults) > 0 {
				t.Error(err, faults)
			}
			if got, owed := sum(t, &table, nil, "BilledCost"), d.owed(); owed == 0 || got.Cmp(focus.AmountDecimal(owed)) != 0 {
				t.Errorf("rows bill %s, the books owe %s", got, owed)
			}
			fee := d.book.Balance("lab/expense/fixed_fee/credit")
			if got := sum(t, &table, row.rows, "EffectiveCost"); fee == 0 || got.Cmp(focus.AmountDecimal(fee)) != 0 {
				t.Errorf("rows have a fee of %s, the books of %s", got, fee)
			}
		})
	}
}
