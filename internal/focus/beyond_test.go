package focus_test

import (
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/google/go-cmp/cmp"
)

// beyondTerms are those of creditTerms with a floor in the place of what is
// metered, and with prices beyond both.
func beyondTerms(hash string) (*alliance.Alliance, error) {
	a, err := creditTerms(hash)
	floor := &a.Contracts[1]
	floor.Shape = alliance.SpendFloor
	floor.Floors = []alliance.Floor{{Term: floor.Term, Amount: 3_000}}
	floor.Overage = &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 1_500_000}
	floor.Eligibility = &alliance.Eligibility{MarketplaceCapPPM: 100_000}
	floor.TrueUp = &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: 0, DiscountPPM: 10_000}}}
	a.Contracts[0].Overage = &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 2_000_000}
	a.Contracts[0].Floors[0].Amount = 10_000
	return a, err
}

// TestBeyond_RowsBillWhatIsOwed goes beyond a floor and a credit, buys at a
// marketplace and earns a discount.
func TestBeyond_RowsBillWhatIsOwed(t *testing.T) {
	d := newDiary(t, beyondTerms)
	d.record(day("2026-01-05"), record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: "credit", Node: "n1"}})
	for _, pool := range []string{"used", "drawn", "used", "drawn"} {
		d.request(day("2026-01-10"), day("2026-01-10"), pool, 400, 900, record.Served)
	}
	d.post(day("2026-01-31"))
	d.fact(day("2026-02-01"), ledger.Event{MarketplaceCharge: &ledger.MarketplaceCharge{Contract: "metered", Month: 202601, Amount: 500, Reason: "a tool"}})
	d.fact(day("2026-02-01"), ledger.Event{TrueUp: &ledger.FloorChange{Contract: "metered", From: "2026-01-01", Amount: 77, Reason: "growth"}})
	d.fact(day("2026-02-03"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202601, Rules: ledger.CloseRules}})
	d.request(day("2026-02-10"), day("2026-02-10"), "drawn", 40, 90, record.Served)
	d.post(day("2026-02-11"))
	d.fact(day("2026-03-02"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202602, Rules: ledger.CloseRules}})
	table := d.table(focus.Window{AsOf: day("2026-03-02")})
	if faults, err := focus.Identity(&table, true); err != nil || len(faults) > 0 {
		t.Error(err, faults)
	}
	if got, owed := sum(t, &table, nil, "BilledCost"), d.owed(); owed == 0 || got.Cmp(focus.AmountDecimal(owed)) != 0 {
		t.Errorf("rows bill %s, the books owe %s", got, owed)
	}
	for account, kind := range map[ledger.AccountID]string{
		"lab/expense/overage/metered,2026-01-01": "Overage of Use", "lab/expense/overage/credit,2026-01-01": "Overage of Credit",
		"lab/expense/marketplace/metered": "Marketplace charge under Use", "lab/expense/discount/metered": "Discount by the height of the floor of Use",
	} {
		booked := d.book.Balance(account)
		var rows focus.Decimal
		for i := range table.Rows {
			if text := table.At(i, "ChargeDescription").Text; len(text) >= len(kind) && text[:len(kind)] == kind {
				v, err := focus.ParseDecimal(table.At(i, "BilledCost").Text)
				if err != nil {
					t.Fatal(err)
				}
				rows = rows.Add(v)
			}
		}
		if booked == 0 || rows.Cmp(focus.AmountDecimal(booked)) != 0 {
			t.Errorf("%s: rows come to %s, the books hold %s", kind, rows, booked)
		}
	}
	overageRows(t, &table)
	commitments, err := d.books.Commitments(mustTerms(t, beyondTerms), focus.Window{AsOf: day("2026-03-02")})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for i := range commitments.Rows {
		if commitments.At(i, "ContractCommitmentId").Text == "metered,2026-01-01" {
			found = true
			if cost := commitments.At(i, "ContractCommitmentCost").Text; cost != "0.003077" {
				t.Errorf("the floor that was raised costs %s", cost)
			}
		}
	}
	if !found {
		t.Error("no row of the floor")
	}
}

func mustTerms(t *testing.T, terms func(string) (*alliance.Alliance, error)) *alliance.Alliance {
	t.Helper()
	a, err := terms("credit")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// overageRows demands that use beyond a commitment is usage with its contract
// and price, one row for each month, contract and kind of token, and that our
// own rules hold.
func overageRows(t *testing.T, table *focus.Table) {
	t.Helper()
	got := map[string]string{}
	for i := range table.Rows {
		meter := table.At(i, "SkuMeter").Text
		if !strings.HasPrefix(meter, "Overage ") {
			if text := table.At(i, "ChargeDescription").Text; strings.HasPrefix(text, "Overage") {
				t.Errorf("%q has the meter %q", text, meter)
			}
			continue
		}
		name := table.At(i, "ChargePeriodStart").Text[:7] + " " + table.At(i, "x_Contract").Text + " " + meter
		if got[name] != "" {
			t.Errorf("two rows of %s", name)
		}
		for _, column := range []string{"ChargeCategory", "PricingCategory", "ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "BilledCost"} {
			got[name] += table.At(i, column).Text + " "
		}
	}
	want := map[string]string{
		"2026-01 credit Overage Output Tokens":  "Usage Standard 750 8.000001 8.000001 0.006 ",
		"2026-01 metered Overage Input Tokens":  "Usage Standard 400 1 1 0.0004 ",
		"2026-01 metered Overage Output Tokens": "Usage Standard 1525 4.000001 4.000001 0.0061 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ownRules(t, focus.CostAndUsage, focus.V14, table)
}
