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
