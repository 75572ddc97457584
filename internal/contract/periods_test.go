package contract_test

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// TestPeriods_AddUpToTheTermHoweverItIsSplit draws a contract with a fee, a
// rate per hour, a loan and late deliveries, and cuts its term into months, or
// anywhere: what accrues in the parts is what accrues in the whole.
func TestPeriods_AddUpToTheTermHoweverItIsSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		months := rapid.IntRange(1, 36).Draw(t, "months")
		day := func(at time.Time) alliance.Date { return alliance.Date{Time: at} }
		term := alliance.Term{From: day(begin), Until: day(begin.AddDate(0, months, 0))}
		amount := rapid.Int64Range(1, 1_000_000_000_007)
		loan := &alliance.Loan{Term: term, Amount: money.Amount(amount.Draw(t, "loan")), RatePPM: rapid.Int64Range(1, 1_000_000).Draw(t, "rate")}
		lateDays := rapid.IntRange(1, 28).Draw(t, "late days")
		fixed := &alliance.Contract{
			Shape: alliance.TakeOrPay, Term: term, Fees: []alliance.Fee{{Term: term, Amount: money.Amount(amount.Draw(t, "fee"))}},
			Ramp: []alliance.RampStep{{From: term.From, Chips: 7}}, LateDelivery: &alliance.LateDelivery{Abates: alliance.AbatesFees},
			Delivered: []alliance.Delivery{{From: term.From, Chips: rapid.Int64Range(0, 7).Draw(t, "chips")}, {From: day(begin.AddDate(0, 0, lateDays)), Chips: 7}},
		}
		hours := &alliance.Contract{Shape: alliance.HourlyRate, Term: term, Rates: []alliance.HourRate{{Term: term, PerHour: money.Amount(amount.Draw(t, "per hour"))}}}
		seconds := int64(term.Until.Sub(begin) / time.Second)
		accruals := []struct {
			name string
			upTo func(time.Time) (money.Amount, error)
			num  *big.Int // over den: what the whole term accrues
			den  int64
		}{
			{"fees", func(at time.Time) (money.Amount, error) { return contract.FeesUpTo(fixed, at) }, product(int64(fixed.Fees[0].Amount)), 1},
			{"hours", func(at time.Time) (money.Amount, error) { return contract.FeesUpTo(hours, at) }, product(int64(hours.Rates[0].PerHour), seconds), 3600},
			{"late", func(at time.Time) (money.Amount, error) { return contract.AbatedUpTo(fixed, at) }, product(int64(fixed.Fees[0].Amount), 7-fixed.Delivered[0].Chips, int64(lateDays)*86400), 7 * seconds},
			{"interest", func(at time.Time) (money.Amount, error) { return contract.InterestUpTo(loan, at) }, product(int64(loan.Amount), loan.RatePPM, seconds), 365 * 86400 * contract.PPM},
		}
		cuts := []time.Time{begin}
		if rapid.Bool().Draw(t, "by months") {
			for m := range months {
				cuts = append(cuts, begin.AddDate(0, m+1, 0))
			}
		} else {
			for at := begin; at.Before(term.Until.Time); {
				at = at.Add(time.Duration(rapid.IntRange(1, 200*24*3600).Draw(t, "seconds")) * time.Second)
				cuts = append(cuts, at)
			}
		}
		for _, v := range accruals {
			want := v.num.Div(v.num, big.NewInt(v.den))
			var sum, last money.Amount
			for _, at := range cuts {
				n, err := v.upTo(at)
				if err != nil || n < last {
					t.Fatalf("%s up to %s: %d after %d, %v", v.name, at, n, last, err)
				}
				sum, last = sum+n-last, n
			}
			if want.Cmp(big.NewInt(int64(sum))) != 0 {
				t.Fatalf("%s: the parts come to %d, the term to %s", v.name, sum, want)
			}
		}
	})
}

func product(factors ...int64) *big.Int {
	n := big.NewInt(1)
	for _, f := range factors {
		n.Mul(n, big.NewInt(f))
	}
	return n
}

// TestShareOf_OfMonthsAddsUpToTheShareOfAll shares revenue month by month and
// compares with the share of the sum, under a cap and without one.
func TestShareOf_OfMonthsAddsUpToTheShareOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := &alliance.RevenueShare{RatePPM: rapid.Int64Range(1, contract.PPM).Draw(t, "rate")}
		if rapid.Bool().Draw(t, "capped") {
			limit := money.Amount(rapid.Int64Range(0, 20_000_000).Draw(t, "cap"))
			share.Cap = &limit
		}
		var all, used money.Amount
		var carry money.Carry
		for range rapid.IntRange(1, 40).Draw(t, "months") {
			revenue := money.Amount(rapid.Int64Range(0, 3_000_001).Draw(t, "revenue"))
			all += revenue
			n, err := contract.ShareOf(share, revenue, used, carry.Remainder)
			if err != nil {
				t.Fatal(err)
			}
			due, ok := carry.Take(n, contract.PPM)
			if !ok {
				t.Fatal("out of range")
			}
			used += due
		}
		whole, _, _ := money.Product(int64(all), share.RatePPM).FloorDiv(contract.PPM)
		want := money.Amount(whole)
		if share.Cap != nil {
			want = min(want, *share.Cap)
		}
		if used != want {
			t.Fatalf("the months share %d, all of it %d", used, want)
		}
	})
}
