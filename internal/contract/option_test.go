package contract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

func yearOf(year int) alliance.Term {
	return alliance.Term{From: yearStart(year), Until: yearStart(year + 1)}
}

func yearStart(year int) alliance.Date {
	return alliance.Date{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// rack is two years of 4 chips for 4,000 and 8 chips for 6,000, with an option.
func rack(o alliance.Option) *alliance.Contract {
	o.Term = alliance.Term{From: yearStart(2025), Until: yearStart(2026)}
	return &alliance.Contract{
		ID: "rack", Shape: alliance.TakeOrPay, Term: alliance.Term{From: yearStart(2026), Until: yearStart(2028)},
		Ramp:   []alliance.RampStep{{From: yearStart(2026), Chips: 4}, {From: yearStart(2027), Chips: 8}},
		Fees:   []alliance.Fee{{Term: yearOf(2026), Amount: 4000}, {Term: yearOf(2027), Amount: 6000}},
		Option: &o,
	}
}

func TestOptionPrice_IsAFactorOfTheContractsOwnForAsMuch(t *testing.T) {
	c := rack(alliance.Option{Ramp: []alliance.RampStep{{From: yearStart(2026), Chips: 1}, {From: yearStart(2027), Chips: 4}}, Price: &alliance.OptionPrice{FactorPPM: 900_000}})
	// 4,000 / 4 x 1 and 6,000 / 8 x 4, less a tenth.
	want := []alliance.Fee{{Term: yearOf(2026), Amount: 900}, {Term: yearOf(2027), Amount: 2700}}
	if diff := cmp.Diff(want, contract.Offered(c).Fees); diff != "" {
		t.Errorf("offered (-want +got):\n%s", diff)
	}
	day := yearStart(2025)
	a := &alliance.Alliance{Contracts: []alliance.Contract{*c}}
	e := contract.Fold(a, []contract.Change{{Contract: "rack", Exercised: &day}, {Contract: "rack", Exercised: &day}}).Contracts[0]
	if e.Fees[0].Amount != 4900 || e.Fees[1].Amount != 8700 || len(e.Fees) != 2 {
		t.Errorf("exercised %+v", e.Fees)
	}
	for _, c := range []*alliance.Contract{c, &e} {
		if says := contract.OptionAdds(c, "USD"); !strings.Contains(says, "at 90 % of the contract's own price") || !strings.Contains(says, "0.0036 USD of fees from 2026-01-01 to 2028-01-01") {
			t.Errorf("says %q", says)
		}
	}
}

func TestLapseCost_IsWhatAsMuchCostsMoreAtTheContractsOwnPrice(t *testing.T) {
	more := []alliance.RampStep{{From: yearStart(2027), Chips: 4}}
	next := []alliance.RampStep{{From: yearStart(2028), Chips: 4}}
	for _, row := range []struct {
		name   string
		option alliance.Option
		edit   func(*alliance.Contract)
		want   money.Amount
		known  bool
	}{
		{"by a formula", alliance.Option{Ramp: more, Price: &alliance.OptionPrice{FactorPPM: 900_000}}, nil, 300, true},
		{"by a listed fee", alliance.Option{Ramp: more, Fees: []alliance.Fee{{Term: yearOf(2027), Amount: 1000}}}, nil, 2000, true},
		{"a dearer one costs nothing to let go", alliance.Option{Ramp: more, Price: &alliance.OptionPrice{FactorPPM: 1_100_000}}, nil, 0, true},
		// A further year, of 366 days, of 8 + 4 chips at 6,000 for 8 in 365 days.
		{"behind the contract", alliance.Option{Ramp: next, Fees: []alliance.Fee{{Term: yearOf(2028), Amount: 7000}}}, nil, 6000*12*366/(8*365) - 7000, true},
		{"on a spend", alliance.Option{Floors: []alliance.Floor{{Term: yearOf(2027), Amount: 1000}}}, func(c *alliance.Contract) { c.Shape, c.Fees, c.Ramp = alliance.SpendFloor, nil, nil }, 0, false},
		{"exercised", alliance.Option{Ramp: more}, func(c *alliance.Contract) { c.Exercised = yearStart(2025) }, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := rack(row.option)
			if row.edit != nil {
				row.edit(c)
			}
			got, known := contract.LapseCost(c)
			if got != row.want || known != row.known {
				t.Errorf("%d (%v), want %d (%v)", got, known, row.want, row.known)
			}
		})
	}
}
