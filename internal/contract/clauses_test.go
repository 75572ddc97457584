package contract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

func TestClauses_AreToldInWords(t *testing.T) {
	day := func(year int) alliance.Date {
		return alliance.Date{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}
	}
	limit := money.Amount(38_000_000_000 * money.Micro)
	gap := money.Amount(5 * money.Micro)
	c := &alliance.Contract{
		Shape: alliance.SpendFloor, HeadlineGap: &gap,
		Floors:       []alliance.Floor{{Term: alliance.Term{From: day(2026), Until: day(2027)}}, {Term: alliance.Term{From: day(2027), Until: day(2028)}}},
		Fees:         []alliance.Fee{{Term: alliance.Term{From: day(2026), Until: day(2027)}}},
		Overage:      &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 1_200_000},
		Eligibility:  &alliance.Eligibility{ExceptModels: []alliance.ModelID{"m1", "m2"}, MarketplaceCapPPM: 250_000},
		TrueUp:       &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: gap, DiscountPPM: 50_000}, {Floor: limit, DiscountPPM: 70_000}}},
		TrueDown:     &alliance.TrueDown{MaxPPM: 100_000},
		LateDelivery: &alliance.LateDelivery{Abates: alliance.AbatesFees},
		Rates:        []alliance.HourRate{{Term: alliance.Term{From: day(2026), Until: day(2027)}, PerHour: gap}},
		Rollover:     &alliance.Rollover{SharePPM: 125_000, Months: 1, Sourced: alliance.Sourced{Assumption: true}},
		RevenueShare: &alliance.RevenueShare{RatePPM: 200_000, Base: alliance.ShareOfAll, Cap: &limit, Term: alliance.Term{From: day(2026), Until: day(2031)}, Sourced: alliance.Sourced{Claim: []alliance.ClaimID{"P01"}}},
	}
	got := map[string]contract.Clause{}
	for _, clause := range contract.Clauses(c, "USD") {
		got[clause.Name] = clause
	}
	for name, want := range map[string]string{
		"Shape":         "Spend floor",
		"Intervals":     "2 intervals, from 2026-01-01 to 2028-01-01, of 0.00 USD in all.",
		"Fees":          "Fixed payments in 1 interval,",
		"Headline gap":  "differ by 5.00 USD",
		"Overage":       "costs 120 % of the contract's price",
		"Eligibility":   "retired by what is paid, not for the models m1, m2; charges of the provider's marketplace retire at most 25 % of it.",
		"True-up":       "for a discount on what retires it: 5 % from 5.00 USD, 7 % from 38000000000.00 USD.",
		"True-down":     "cut once, by at most 10 %",
		"Late delivery": "What is not delivered is not paid",
		"Rate per hour": "5.00 USD for every hour from 2026-01-01 to 2027-01-01, used or not",
		"Rollover":      "12.5 % of a paid shortfall counts for later intervals, without a cap, and is forfeited after 1 month.",
		"Revenue share": "The provider gets 20 % of all that is owed to the operator, until it comes to 38000000000.00 USD in all; it begins on 2026-01-01, and ends on 2031-01-01.",
	} {
		if !strings.Contains(got[name].Says, want) {
			t.Errorf("%s says %q, want %q", name, got[name].Says, want)
		}
	}
	if !got["Rollover"].Assumed || len(got["Revenue share"].Claims) != 1 {
		t.Errorf("what they rest on: %+v", got)
	}
	c.Overage, c.LateDelivery.Abates, c.Eligibility = &alliance.Overage{At: alliance.OverageStops}, alliance.AbatesNothing, &alliance.Eligibility{Base: alliance.EligibleGross, Pools: []alliance.PoolID{"p"}, ExceptPools: []alliance.PoolID{"q"}, Models: []alliance.ModelID{"m"}}
	for _, clause := range contract.Clauses(c, "USD") {
		got[clause.Name] = clause
	}
	for name, want := range map[string]string{
		"Overage": "nothing is sent any more", "Late delivery": "paid all the same", "Eligibility": "at list prices, before discounts, for the models m, on the pools p, not on the pools q; charges of the provider's marketplace retire none of it.",
	} {
		if !strings.Contains(got[name].Says, want) {
			t.Errorf("%s says %q, want %q", name, got[name].Says, want)
		}
	}
	c.Shape = alliance.PrepaidCredit
	if says := contract.Clauses(c, "USD")[1].Says; !strings.Contains(says, "is forfeited") {
		t.Errorf("prepaid credit says %q", says)
	}
}
