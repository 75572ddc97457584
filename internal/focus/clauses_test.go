package focus_test

import (
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// lateTerms are those of creditTerms whose rack abates when it is late.
func lateTerms(hash string) (*alliance.Alliance, error) {
	a, err := creditTerms(hash)
	a.Contracts[2].LateDelivery = &alliance.LateDelivery{Abates: alliance.AbatesFees}
	return a, err
}

func TestLateDelivery_BilledCostIsOwedInOpenAndClosedMonths(t *testing.T) {
	d := newDiary(t, lateTerms)
	late := func(at, from string, chips int64) {
		d.fact(day(at), ledger.Event{Delivered: &ledger.Delivered{Contract: "rack", From: from, Chips: chips, Reason: "report"}})
	}
	d.record(day("2026-01-05"), record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: "credit", Node: "n1"}})
	d.request(day("2026-01-10"), day("2026-01-10"), "own", 4000, 1000, record.Served)
	d.post(day("2026-01-12"))
	late("2026-01-13", "2026-01-17", 1)
	d.request(day("2026-01-18"), day("2026-01-18"), "own", 4000, 1000, record.Served)
	d.post(day("2026-01-31"))
	check := func(when string, credits int) {
		t.Helper()
		table := d.table(focus.Window{AsOf: day("2026-03-01")})
		if faults, err := focus.Identity(&table, credits > 0); err != nil || len(faults) > 0 {
			t.Error(when, err, faults)
		}
		if n := count(&table, map[string]string{"ChargeCategory": "Credit", "ChargeClass": "Correction"}); n != credits {
			t.Errorf("%s: %d credits, want %d", when, n, credits)
		}
		if owed := d.owed(); credits > 0 {
			if got := sum(t, &table, nil, "BilledCost"); owed == 0 || got.Cmp(focus.AmountDecimal(owed)) != 0 {
				t.Errorf("%s: rows bill %s, the books owe %s", when, got, owed)
			}
		}
	}
	check("open", 0)
	d.fact(day("2026-02-03"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202601}})
	check("closed", 0)
	late("2026-02-05", "2026-01-11", 0)
	d.fact(day("2026-03-02"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202602}})
	check("corrected", 1)
}
