package focus_test

import (
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// inEuro has the credit and the use in EUR.
func inEuro(hash string) (*alliance.Alliance, error) {
	a, err := creditTerms(hash)
	for i := range a.Contracts {
		if a.Contracts[i].ID != "rack" {
			a.Contracts[i].Currency = "EUR"
		}
	}
	return a, err
}

func TestCurrencies_EachIsBilledInItsOwnAndAddsUpByItself(t *testing.T) {
	rate, err := exchange.ParseDecimal("1.25")
	if err != nil {
		t.Fatal(err)
	}
	d := writtenUnder(t, inEuro, ledger.Event{ExchangeRate: &exchange.Quote{Base: "EUR", Quote: "USD", Rate: rate, On: "2026-01-02", Source: "ECB"}})
	w := focus.Window{AsOf: day("2026-04-01")}
	table := d.table(w)
	if faults, err := focus.Identity(&table, true); err != nil || len(faults) > 0 {
		t.Error(err, faults)
	}
	owed := map[string]money.Amount{}
	booked := money.Amount(0)
	for _, b := range d.book.Balances() {
		switch b.Account.Kind() {
		case "accrued", "payable":
			owed[string(b.Asset)] -= b.Amount
		case "compute":
			booked += b.Amount
		}
	}
	for i := range table.Rows {
		if in, bills := table.At(i, "PricingCurrency").Text, table.At(i, "BillingCurrency").Text; in != bills || in != "EUR" != (table.At(i, "x_Contract").Text == "rack") {
			t.Errorf("row %d of %s is priced in %s and billed in %s", i+1, table.At(i, "x_Contract").Text, in, bills)
		}
	}
	for _, code := range []string{"USD", "EUR"} {
		if got := sum(t, &table, map[string]string{"BillingCurrency": code}, "BilledCost"); owed[code] == 0 || got.Cmp(focus.AmountDecimal(owed[code])) != 0 {
			t.Errorf("rows bill %s %s, the books owe %s", got, code, owed[code])
		}
	}
	// Suspense that was closed is in the books and in a row of its own, without
	// what requests booked.
	late := money.Amount(0)
	for _, b := range d.book.Balances() {
		if b.Account == "lab/expense/compute/used" {
			late = b.Amount
		}
	}
	rows := sum(t, &table, map[string]string{"x_BookedCurrency": "USD"}, "x_BookedCost")
	if rows.Cmp(focus.AmountDecimal(booked)) > 0 || rows.Cmp(focus.AmountDecimal(booked-late)) < 0 {
		t.Errorf("rows are booked as %s USD, the books have %s", rows, booked)
	}
	totals, err := d.books.Totals(&table, "USD")
	if err != nil || len(totals.Others) != 1 || totals.Others[0].Currency != "EUR" || totals.Others[0].Billed != focus.AmountDecimal(owed["EUR"]).String() {
		t.Errorf("totals %+v, %v", totals, err)
	}
	commitments, err := d.books.Commitments(d.latest(), w)
	if err != nil {
		t.Fatal(err)
	}
	ownRules(t, focus.ContractCommitment, focus.V14, &commitments)
	if n := count(&commitments, map[string]string{"ContractId": "credit", "BillingCurrency": "EUR", "PricingCurrency": "EUR"}); n != 2 {
		t.Errorf("%d intervals of the credit in EUR, want 2", n)
	}
}
