package focus_test

import (
	"strings"
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

// hourlyTerms are those of creditTerms whose used pool draws on a commitment
// of 0.02 an hour at four fifths of the list price.
func hourlyTerms(hash string) (*alliance.Alliance, error) {
	a, err := creditTerms(hash)
	term := a.Contracts[1].Term
	a.Contracts[1] = alliance.Contract{
		ID: "metered", Title: "Saver", Provider: "azure", Shape: alliance.HourlyRate, Term: term,
		Rates: []alliance.HourRate{{Term: term, PerHour: 20_000}},
	}
	a.Prices[0].Contracted = &alliance.Rates{Input: 1_600_000, Output: 6_400_001}
	return a, err
}

func TestHourly_CoveredRowsAreNotBilledAndUnusedHoursAre(t *testing.T) {
	d := newDiary(t, hourlyTerms)
	d.record(day("2026-01-05"), record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: "credit", Node: "n1"}})
	for range 3 { // 0.0104, 0.0104 and what is left of 0.02: the third is parted
		d.request(day("2026-01-10"), day("2026-01-10"), "used", 2501, 1000, record.Served)
	}
	d.request(day("2026-01-11"), day("2026-01-11"), "used", 2501, 1000, record.Served)
	d.post(day("2026-01-31"))
	check := func(when string) {
		t.Helper()
		table := d.table(focus.Window{AsOf: day("2026-03-01")})
		faults, err := focus.Identity(&table, true)
		for _, f := range faults {
			if strings.HasPrefix(f, "commitment metered") || strings.HasPrefix(f, "charges without") {
				t.Error(when, f)
			}
		}
		if err != nil {
			t.Error(err)
		}
		covered := map[string]string{"CommitmentDiscountId": "metered", "CommitmentDiscountStatus": "Used"}
		if got := sum(t, &table, covered, "BilledCost"); count(&table, covered) == 0 || got.String() != "0" {
			t.Errorf("%s: covered rows bill %s", when, got)
		}
		if got := sum(t, &table, covered, "EffectiveCost"); got.String() != "0.0304" {
			t.Errorf("%s: covered rows cost %s", when, got)
		}
		beyond := map[string]string{"PricingCategory": "Standard", "ChargeCategory": "Usage", "x_Contract": "metered"}
		if n := sum(t, &table, beyond, "BilledCost"); count(&table, beyond) == 0 || n.String() != sum(t, &table, beyond, "EffectiveCost").String() {
			t.Errorf("%s: %d rows beyond the commitment bill %s", when, count(&table, beyond), n)
		}
		tokens := sum(t, &table, map[string]string{"x_Contract": "metered", "ConsumedUnit": "Tokens"}, "ConsumedQuantity")
		if tokens.String() != "14004" {
			t.Errorf("%s: %s tokens", when, tokens)
		}
		if n := count(&table, map[string]string{"CommitmentDiscountId": "metered", "CommitmentDiscountStatus": "Unused", "CommitmentDiscountCategory": "Spend"}); n == 0 {
			t.Errorf("%s: no unused commitment", when)
		}
	}
	check("open")
	for month, at := range map[int32]string{202601: "2026-02-03"} {
		d.fact(day(at), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: month}})
	}
	d.fact(day("2026-03-02"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202602}})
	check("closed")
	table := d.table(focus.Window{AsOf: day("2026-04-01")})
	if owed := d.owed(); sum(t, &table, nil, "BilledCost").Cmp(focus.AmountDecimal(owed)) != 0 {
		t.Errorf("rows bill %s, the books owe %s", sum(t, &table, nil, "BilledCost"), owed)
	}
	commitments, err := d.books.Commitments(d.latest(), focus.Window{AsOf: day("2026-04-01")})
	if err != nil {
		t.Fatal(err)
	}
	ownRules(t, focus.ContractCommitment, focus.V14, &commitments)
	if n := count(&commitments, map[string]string{"ContractId": "metered", "ContractCommitmentFulfillmentInterval": "Hourly", "ContractCommitmentModel": "Continuous", "ContractCommitmentCost": "28.32"}); n != 1 {
		t.Errorf("%d hourly commitments, want 1", n)
	}
}

func TestOption_IsProposedThenPendingThenActive(t *testing.T) {
	terms := func(hash string) (*alliance.Alliance, error) {
		a, err := creditTerms(hash)
		next := alliance.Term{From: date("2026-03-01"), Until: date("2026-05-01")}
		a.Contracts[2].Option = &alliance.Option{
			Term: alliance.Term{From: date("2026-01-01"), Until: date("2026-03-01")}, NoticeDays: 9,
			Fees: []alliance.Fee{{Term: next, Amount: 61_000_000}}, Ramp: []alliance.RampStep{{From: date("2026-03-01"), Chips: 2}},
		}
		return a, err
	}
	d := newDiary(t, terms)
	d.record(day("2026-01-05"), record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: "credit", Node: "n1"}})
	d.request(day("2026-01-10"), day("2026-01-10"), "own", 4000, 1000, record.Served)
	d.post(day("2026-01-31"))
	status := func(at string) (s string) {
		t.Helper()
		table, err := d.books.Commitments(d.latest(), focus.Window{AsOf: day(at)})
		if err != nil {
			t.Fatal(err)
		}
		ownRules(t, focus.ContractCommitment, focus.V14, &table)
		for i := range table.Rows {
			if table.At(i, "ContractCommitmentPeriodStart").Text == "2026-03-01T00:00:00Z" && table.At(i, "ContractId").Text == "rack" {
				s += table.At(i, "ContractCommitmentId").Text + " " + table.At(i, "ContractCommitmentLifecycleStatus").Text
			}
		}
		return s
	}
	if got := status("2026-02-01"); got != "rack,2026-03-01,option Proposed" {
		t.Errorf("before: %q", got)
	}
	if got := status("2026-02-20"); got != "rack,2026-03-01,option Expired" {
		t.Errorf("after its notice: %q", got)
	}
	d.fact(day("2026-02-01"), ledger.Event{OptionExercised: &ledger.OptionExercised{Contract: "rack", Reason: "notice"}})
	if got := status("2026-02-20"); got != "rack,2026-03-01 Pending" {
		t.Errorf("exercised: %q", got)
	}
	if got := status("2026-03-20"); got != "rack,2026-03-01 Active" {
		t.Errorf("begun: %q", got)
	}
}
