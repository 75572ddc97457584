package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// TestMonths_AddUpToTheTermInTheBooks closes the months of a term in which a
// fee is parted over three pools, revenue is shared and a floor's height earns
// a discount: each comes to what the term has of it, as if it were one month.
func TestMonths_AddUpToTheTermInTheBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		months := rapid.IntRange(2, 11).Draw(t, "months")
		term := alliance.Term{From: civil(2026, 1), Until: civil(2026, time.Month(1+months))}
		fee := money.Amount(rapid.Int64Range(1, 1_000_003).Draw(t, "fee"))
		share, off := rapid.Int64Range(3, 999_999).Draw(t, "share"), rapid.Int64Range(1, 999_999).Draw(t, "discount")
		owed := money.Currency(rapid.SampledFrom([]string{"", "EUR"}).Draw(t, "currency"))
		a := &alliance.Alliance{
			Hash: "t", Operator: "lab", Currency: "USD",
			Contracts: []alliance.Contract{
				{ID: "k", Provider: "aws", Shape: alliance.SpendFloor, Term: term, Floors: []alliance.Floor{{Term: term, Amount: 9}}, TrueUp: &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: 1, DiscountPPM: off}}}, Currency: owed},
				{ID: "rack", Provider: "neo", Shape: alliance.TakeOrPay, Term: term, Fees: []alliance.Fee{{Term: term, Amount: fee}}, Ramp: []alliance.RampStep{{From: term.From, Chips: 15}}},
				{ID: "one", Provider: "ms", Shape: alliance.PayPerUse, Term: term, RevenueShare: &alliance.RevenueShare{RatePPM: share, Base: alliance.ShareOfSales, Term: term}, Currency: owed},
				{ID: "two", Provider: "ms", Shape: alliance.PayPerUse, Term: term, RevenueShare: &alliance.RevenueShare{RatePPM: share / 3, Base: alliance.ShareOfSales, Term: term}, Currency: owed},
			},
			Pools: []alliance.Pool{{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken}},
			Plans: []alliance.Plan{{ID: "api", Seller: "lab", Price: &alliance.SalePrice{ID: "s", Rates: alliance.Rates{Output: money.Micro}}}},
			Prices: []alliance.Price{
				{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: term, List: alliance.Rates{Output: money.Micro}},
			},
		}
		sizes := map[alliance.PoolID]int64{"r1": 3, "r2": 5, "r3": 7}
		for _, id := range []alliance.PoolID{"r1", "r2", "r3"} {
			a.Pools = append(a.Pools, alliance.Pool{ID: id, Provider: "neo", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: sizes[id]})
		}
		records := []record.Record{{Sequence: 1, At: term.From.UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}}}
		sold := int64(0)
		for m := range months {
			n, id := uint64(len(records)), record.AttemptID(fmt.Sprint("a", m))
			at, tokens := civil(2026, time.Month(1+m)).UnixNano(), rapid.Int64Range(1, 5000).Draw(t, "tokens")
			sold += tokens
			records = append(records, record.Record{Sequence: n + 1, At: at, Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Tenant: "x", Plan: "api", Model: "m", Pool: "p", CostPrice: "c", SalePrice: "s"}},
				record.Record{Sequence: n + 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n + 1, Status: record.Served, Usage: usage.Vector{Output: tokens}}})
		}
		records = append(records, record.Record{Sequence: uint64(len(records) + 1), At: civil(2027, 1).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}})
		d := &desk{book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil }), records: records}
		if _, err := d.book.Post(records[:1]); err != nil {
			t.Fatal(err)
		}
		if owed != "" { // at par, so that what is owed can be compared
			if err := d.fact(rate(t, "EUR", "USD", "1", "2026-01-01")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.book.Post(records[1:]); err != nil {
			t.Fatal(err)
		}
		for m := range int32(months) {
			if err := d.fact(closeNow(202601 + m)); err != nil {
				t.Fatal(err)
			}
		}
		part := func(n, num, of int64) money.Amount {
			q, _, _ := money.Product(n, num).FloorDiv(of)
			return money.Amount(q)
		}
		suffix := ""
		if owed != "" {
			suffix = ",EUR"
		}
		r1, r2 := part(int64(fee), 3, 15), part(int64(fee), 5, 15)
		want := map[ledger.AccountID]money.Amount{
			"lab/liability/accrued/neo":                                         -fee,
			"lab/expense/unused_capacity/r1":                                    r1,
			"lab/expense/unused_capacity/r2":                                    r2,
			"lab/expense/unused_capacity/r3":                                    fee - r1 - r2,
			ledger.AccountID("lab/liability/revenue_share_payable/ms" + suffix): -part(sold, share, 1_000_000) - part(sold, share/3, 1_000_000),
			ledger.AccountID("lab/liability/accrued/aws" + suffix):              part(sold, off, 1_000_000) - money.Amount(sold),
		}
		for account, amount := range want {
			if got := d.book.Balance(account); got != amount {
				t.Errorf("%s holds %d, want %d", account, got, amount)
			}
		}
	})
}
