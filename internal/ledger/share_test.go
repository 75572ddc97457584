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

// TestRevenueShare_StopsExactlyAtItsCap sells in six months, of which the
// share holds in four, and closes them.
func TestRevenueShare_StopsExactlyAtItsCap(t *testing.T) {
	month := func(m time.Month) time.Time { return time.Date(2026, m, 1, 0, 0, 0, 0, time.UTC) }
	span := func(from, until time.Month) alliance.Term {
		return alliance.Term{From: alliance.Date{Time: month(from)}, Until: alliance.Date{Time: month(until)}}
	}
	rapid.Check(t, func(t *rapid.T) {
		limit := money.Amount(rapid.IntRange(0, 120).Draw(t, "cap"))
		share := &alliance.RevenueShare{RatePPM: 200_000, Base: alliance.ShareOfSales, Cap: &limit, Term: span(2, 6)}
		terms := func(hash string) (*alliance.Alliance, error) {
			return &alliance.Alliance{
				Hash: hash, Operator: "lab", Currency: "USD",
				Contracts: []alliance.Contract{{ID: "k", Provider: "cloud", Shape: alliance.PayPerUse, Term: span(1, 12), RevenueShare: share}},
				Pools:     []alliance.Pool{{ID: "p", Provider: "cloud", Contract: "k", BilledBy: alliance.BilledByToken}},
				Prices:    []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: span(1, 12), List: alliance.Rates{Output: money.Micro}}},
				Plans:     []alliance.Plan{{ID: "api", Seller: "lab", Price: &alliance.SalePrice{ID: "s", Rates: alliance.Rates{Output: money.Micro}}}},
			}, nil
		}
		var records []record.Record
		add := func(at time.Time, r record.Record) {
			r.Sequence, r.At = uint64(len(records)+1), at.UnixNano()
			records = append(records, r)
		}
		want := money.Amount(0)
		for m := time.January; m <= time.June; m++ {
			sold := rapid.Int64Range(1, 400).Draw(t, "sold")
			id := record.AttemptID(fmt.Sprint("a", m))
			add(month(m), record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Tenant: "x", Plan: "api", Model: "m", Pool: "p", CostPrice: "c", SalePrice: "s"}})
			add(month(m), record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: uint64(len(records)), Status: record.Served, Usage: usage.Vector{Output: sold}}})
			if m >= time.February && m < time.June {
				want = min(limit, want+money.Amount(sold/5))
			}
		}
		add(month(8), record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
		d := &desk{book: ledger.New(terms), records: records}
		if _, err := d.book.Post(records); err != nil {
			t.Fatal(err)
		}
		for m := int32(202601); m <= 202606; m++ {
			if err := d.fact(closeMonth(m)); err != nil {
				t.Fatal(err)
			}
			used, open := d.book.Balance("lab/memo/share_used/k"), d.book.Balance("lab/memo/share_open/k")
			if held := -d.book.Balance("lab/memo/share_cap/k"); used > limit || used+open != held || held != 0 && held != limit {
				t.Fatalf("used %d, open %d, cap %d of %d", used, open, held, limit)
			}
		}
		if got := d.book.Balance("lab/expense/revenue_share/cloud"); got != want || d.book.Balance("lab/liability/revenue_share_payable/cloud") != -want {
			t.Fatalf("shared %d, want %d", got, want)
		}
	})
}

// TestRevenueShare_TakesGrossOrNetOfCommission sells directly, with a fee, and
// through a channel of either presentation, and closes the month.
func TestRevenueShare_TakesGrossOrNetOfCommission(t *testing.T) {
	day := func(m time.Month) alliance.Date {
		return alliance.Date{Time: time.Date(2026, m, 1, 0, 0, 0, 0, time.UTC)}
	}
	span := alliance.Term{From: day(1), Until: day(12)}
	// 1,000 directly, 500 as a fee, 2,000 through the channel, which keeps a
	// quarter, 300 of a plan that another party sells.
	for _, c := range []struct {
		presentation, base, of string
		want                   money.Amount
	}{
		{alliance.Principal, alliance.ShareOfSales, "", 350},
		{alliance.Agent, alliance.ShareOfSales, "", 300},
		{alliance.Principal, alliance.ShareOfSales, alliance.NetOfCommission, 300},
		{alliance.Agent, alliance.ShareOfSales, alliance.NetOfCommission, 300},
		{alliance.Principal, alliance.ShareOfSales, alliance.GrossOfCommission, 350},
		{alliance.Agent, alliance.ShareOfSales, alliance.GrossOfCommission, 350},
		{alliance.Agent, alliance.ShareOfAll, alliance.GrossOfCommission, 380},
		{alliance.Agent, alliance.ShareOfAll, "", 330},
		{alliance.Principal, alliance.ShareOfWholesale, alliance.NetOfCommission, 30},
	} {
		t.Run(fmt.Sprint(c.presentation, " ", c.base, " ", c.of), func(t *testing.T) {
			terms := func(hash string) (*alliance.Alliance, error) {
				price := func(id alliance.PriceID) *alliance.SalePrice {
					return &alliance.SalePrice{ID: id, Rates: alliance.Rates{Output: money.Micro}}
				}
				return &alliance.Alliance{
					Hash: hash, Operator: "lab", Currency: "USD",
					Contracts: []alliance.Contract{{
						ID: "k", Provider: "cloud", Shape: alliance.PayPerUse, Term: span,
						RevenueShare: &alliance.RevenueShare{RatePPM: 100_000, Base: c.base, Of: c.of, Term: span},
					}},
					Pools:    []alliance.Pool{{ID: "p", Provider: "cloud", Contract: "k", BilledBy: alliance.BilledByToken}},
					Prices:   []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: span, List: alliance.Rates{Output: money.Micro}}},
					Channels: []alliance.Channel{{ID: "own", Party: "lab"}, {ID: "market", Party: "cloud", Presentation: c.presentation, CommissionPPM: 250_000}},
					Plans: []alliance.Plan{
						{ID: "api", Seller: "lab", Price: price("s")},
						{ID: "club", Seller: "lab", Price: price("club-price"), Fee: &alliance.SubscriptionFee{ID: "club-fee", Amount: 500, Per: alliance.PerTenant}},
						{ID: "resold", Seller: "reseller", Wholesale: price("w")},
					},
				}, nil
			}
			var records []record.Record
			add := func(r record.Record) {
				r.Sequence, r.At = uint64(len(records)+1), day(3).UnixNano()
				records = append(records, r)
			}
			for i, s := range []struct {
				plan, channel, price string
				tokens               int64
			}{{"api", "own", "s", 900}, {"api", "market", "s", 2000}, {"club", "own", "club-price", 100}, {"resold", "own", "", 300}} {
				id := record.AttemptID(fmt.Sprint("a", i))
				add(record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Tenant: "x", Plan: s.plan, Channel: s.channel, Model: "m", Pool: "p", CostPrice: "c", SalePrice: s.price}})
				add(record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: uint64(len(records)), Status: record.Served, Usage: usage.Vector{Output: s.tokens}}})
			}
			records = append(records, record.Record{Sequence: uint64(len(records) + 1), At: day(5).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}})
			d := &desk{book: ledger.New(terms), records: records}
			if _, err := d.book.Post(records); err != nil {
				t.Fatal(err)
			}
			if err := d.fact(closeMonth(202603)); err != nil {
				t.Fatal(err)
			}
			if got := -d.book.Balance("lab/liability/revenue_share_payable/cloud"); got != c.want {
				t.Errorf("shared %d, want %d", got, c.want)
			}
			if got := d.book.Balance("lab/asset/receivable/market"); got != 1500 {
				t.Errorf("the channel owes %d", got)
			}
		})
	}
}
