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

// TestPrepaid_EachMonthIsPaidForfeitedOrPassed draws on monthly credits and
// closes month by month.
func TestPrepaid_EachMonthIsPaidForfeitedOrPassed(t *testing.T) {
	day := func(m time.Month) alliance.Date {
		return alliance.Date{Time: time.Date(2026, m, 1, 0, 0, 0, 0, time.UTC)}
	}
	const credit = money.Amount(100)
	terms := func(hash string) (*alliance.Alliance, error) {
		a := &alliance.Alliance{
			Hash: hash, Operator: "lab", Currency: "USD",
			Contracts: []alliance.Contract{{ID: "uc", Provider: "oracle", Shape: alliance.PrepaidCredit, Term: alliance.Term{From: day(1), Until: day(5)}}},
			Pools:     []alliance.Pool{{ID: "p", Provider: "oracle", Contract: "uc", BilledBy: alliance.BilledByToken}},
			Prices:    []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: alliance.Term{From: day(1)}, List: alliance.Rates{Output: money.Micro}}},
			Plans:     []alliance.Plan{{ID: "free", Seller: "lab"}},
		}
		for m := time.January; m < time.May; m++ {
			a.Contracts[0].Floors = append(a.Contracts[0].Floors, alliance.Floor{Term: alliance.Term{From: day(m), Until: day(m + 1)}, Amount: credit})
		}
		return a, nil
	}
	rapid.Check(t, func(t *rapid.T) {
		var records []record.Record
		add := func(at time.Time, r record.Record) {
			r.Sequence, r.At = uint64(len(records)+1), at.UnixNano()
			records = append(records, r)
		}
		spent := map[time.Month]money.Amount{}
		for m := time.January; m <= time.May; m++ { // May is behind the term
			for n := range rapid.IntRange(0, 3).Draw(t, "requests") {
				at := day(m).Add(time.Duration(n+1) * time.Hour)
				tokens := rapid.Int64Range(0, 100).Draw(t, "tokens")
				spent[m] += money.Amount(tokens)
				id := record.AttemptID(fmt.Sprint("a", len(records)))
				add(at, record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Plan: "free", Model: "m", Pool: "p", CostPrice: "c"}})
				add(at, record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: uint64(len(records)), Status: record.Served, Usage: usage.Vector{Output: tokens}}})
			}
		}
		if len(records) == 0 {
			return
		}
		add(day(7).Time, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
		d := &desk{book: ledger.New(terms), records: records}
		if _, err := d.book.Post(records); err != nil {
			t.Fatal(err)
		}
		var paid, passed, lost money.Amount
		for m := time.January; m <= time.May; m++ {
			if err := d.fact(closeMonth(202600 + int32(m))); err != nil {
				t.Fatal(err)
			}
			if m == time.May {
				passed += spent[m]
				continue
			}
			paid, passed, lost = paid+credit, passed+max(0, spent[m]-credit), lost+max(0, credit-spent[m])
			from := day(m).String()
			floor := -d.book.Balance(ledger.NewAccount("lab", "memo", "commit_floor", "uc", from))
			used := d.book.Balance(ledger.NewAccount("lab", "memo", "commit_used", "uc", from))
			open := d.book.Balance(ledger.NewAccount("lab", "memo", "commit_open", "uc", from))
			lapsed := d.book.Balance(ledger.NewAccount("lab", "memo", "commit_lapsed", "uc", from))
			if left := d.book.Balance(ledger.NewAccount("lab", "asset", "prepaid", "uc", from)); left != 0 || floor != credit || used+open+lapsed != floor || open > 0 {
				t.Fatalf("%s: prepaid %d, floor %d, used %d, open %d, lapsed %d", from, left, floor, used, open, lapsed)
			}
		}
		for account, want := range map[ledger.AccountID]money.Amount{
			"lab/liability/payable/oracle": -paid, "lab/liability/accrued/oracle": -passed, "lab/expense/forfeiture/uc": lost,
			"lab/expense/compute/p": paid + passed - lost,
		} {
			if got := d.book.Balance(account); got != want {
				t.Fatalf("%s: %d, want %d (spent %v)", account, got, want, spent)
			}
		}
	})
}

// TestPrepaid_FeesDrawOnTheCreditWhereTheyAreEligible closes two quarters of a
// credit of 1,000 each with a fee of 500 a quarter: in the first 700 are used,
// so that the fee goes beyond the credit; in the second nothing is.
func TestPrepaid_FeesDrawOnTheCreditWhereTheyAreEligible(t *testing.T) {
	for _, row := range []struct {
		name     string
		eligible bool
		want     map[ledger.AccountID]money.Amount
	}{
		{"eligible", true, map[ledger.AccountID]money.Amount{
			"lab/expense/fixed_fee/uc": 1000, "lab/expense/forfeiture/uc": 500, "lab/liability/payable/oracle": -2000, "lab/liability/accrued/oracle": -200,
			"lab/memo/commit_used/uc,2026-01-01": 1200, "lab/memo/commit_open/uc,2026-01-01": -200, "lab/memo/commit_lapsed/uc,2026-01-01": 0,
			"lab/memo/commit_used/uc,2026-04-01": 500, "lab/memo/commit_open/uc,2026-04-01": 0, "lab/memo/commit_lapsed/uc,2026-04-01": 500,
			"lab/memo/commit_floor/uc,2026-04-01": -1000,
		}},
		{"beside it", false, map[ledger.AccountID]money.Amount{
			"lab/expense/fixed_fee/uc": 1000, "lab/expense/forfeiture/uc": 1300, "lab/liability/payable/oracle": -2000, "lab/liability/accrued/oracle": -1000,
			"lab/memo/commit_used/uc,2026-01-01": 700, "lab/memo/commit_lapsed/uc,2026-01-01": 300,
			"lab/memo/commit_used/uc,2026-04-01": 0, "lab/memo/commit_lapsed/uc,2026-04-01": 1000,
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			half := alliance.Term{From: civil(2026, 1), Until: civil(2026, 7)}
			quarters := [2]alliance.Term{{From: civil(2026, 1), Until: civil(2026, 4)}, {From: civil(2026, 4), Until: civil(2026, 7)}}
			a := &alliance.Alliance{
				Hash: "t", Operator: "lab", Currency: "USD",
				Contracts: []alliance.Contract{{
					ID: "uc", Provider: "oracle", Shape: alliance.PrepaidCredit, Term: half,
					Floors:      []alliance.Floor{{Term: quarters[0], Amount: 1000}, {Term: quarters[1], Amount: 1000}},
					Fees:        []alliance.Fee{{Term: quarters[0], Amount: 500}, {Term: quarters[1], Amount: 500}},
					Eligibility: &alliance.Eligibility{Fees: row.eligible},
				}},
				Pools:  []alliance.Pool{{ID: "p", Provider: "oracle", Contract: "uc", BilledBy: alliance.BilledByToken}},
				Prices: []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: half, List: alliance.Rates{Output: money.Micro}}},
				Plans:  []alliance.Plan{{ID: "free", Seller: "lab"}},
			}
			at := civil(2026, 2).UnixNano()
			records := []record.Record{
				{Sequence: 1, At: at, Kind: record.KindIntent, Intent: &record.Intent{Attempt: "a", Terms: "t", Plan: "free", Model: "m", Pool: "p", CostPrice: "c"}},
				{Sequence: 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: "a", Intent: 1, Status: record.Served, Usage: usage.Vector{Output: 700}}},
				{Sequence: 3, At: civil(2026, 9).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}},
			}
			d := &desk{book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil }), records: records}
			if _, err := d.book.Post(records); err != nil {
				t.Fatal(err)
			}
			for m := int32(202601); m <= 202606; m++ {
				d.must(t, closeNow(m))
			}
			for account, want := range row.want {
				if got := d.book.Balance(account); got != want {
					t.Errorf("%s holds %d, want %d", account, got, want)
				}
			}
			for _, total := range ledger.TrialBalance(d.book.Balances()) {
				if !total.Balanced() {
					t.Errorf("%s does not balance: %+v", total.Asset, total)
				}
			}
		})
	}
}
