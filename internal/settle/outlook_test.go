package settle_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/usage"
)

// TestOutlook_FollowsThePaceAtAnyInstant spends 1 a day in the first half of
// the year's first hundred days and 3 a day after that, on a floor of 1,000.
func TestOutlook_FollowsThePaceAtAnyInstant(t *testing.T) {
	date := func(d int) alliance.Date {
		return alliance.Date{Time: time.Date(2026, 1, 1+d, 0, 0, 0, 0, time.UTC)}
	}
	term := alliance.Term{From: date(0), Until: date(365)}
	a := &alliance.Alliance{
		Hash: "t", Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{{
			ID: "k", Title: "K", Provider: "aws", Shape: alliance.SpendFloor, Term: term, Floors: []alliance.Floor{{Term: term, Amount: 1000 * money.Micro}},
			Ramp: []alliance.RampStep{{From: date(0), Chips: 1}, {From: date(200), Chips: 8}},
		}},
		Pools:  []alliance.Pool{{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken}},
		Prices: []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: term, List: alliance.Rates{Output: money.Micro}}},
		Plans:  []alliance.Plan{{ID: "free", Seller: "lab"}},
	}
	terms := func(string) (*alliance.Alliance, error) { return a, nil }
	n := openNode(t, t.TempDir())
	defer n.close(t)
	book, sequence := ledger.New(terms), uint64(0)
	for d := range 100 {
		spend := int64(1)
		if d >= 50 {
			spend = 3
		}
		at := date(d).Add(time.Hour).UnixNano()
		id := record.AttemptID(fmt.Sprint(d))
		in := &record.Intent{Attempt: id, Terms: "t", Plan: "free", Model: "m", Pool: "p", CostPrice: "c"}
		step, err := book.Post([]record.Record{
			{Sequence: sequence + 1, At: at, Kind: record.KindIntent, Intent: in},
			{Sequence: sequence + 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: sequence + 1, Status: record.Served, Usage: usage.Vector{Output: spend * 1_000_000}}},
			{Sequence: sequence + 3, At: at, Kind: record.KindMark, Mark: &record.Mark{}},
		})
		if err == nil {
			err = n.store.Append(t.Context(), &step)
		}
		if err != nil {
			t.Fatal(err)
		}
		sequence += 3
	}
	units := func(n int64) money.Amount { return money.Amount(n * money.Micro) }
	rows := []struct {
		day  int
		want settle.IntervalOutlook
	}{
		{40, settle.IntervalOutlook{Used: units(40), Open: units(960), Forecast: units(365), Low: units(365), High: units(365), LostForecast: units(635), LostMost: units(635)}},
		{100, settle.IntervalOutlook{Used: units(200), Open: units(800), Forecast: units(995), Low: units(730), High: units(995), LostForecast: units(5), LostMost: units(270)}},
	}
	for _, row := range rows {
		o, err := settle.MakeOutlook(t.Context(), n.store, ledger.NewTerms(a), "k", date(row.day).Time)
		if err != nil {
			t.Fatal(err)
		}
		row.want.From, row.want.Until, row.want.Promised = term.From, term.Until, units(1000)
		if diff := cmp.Diff(&row.want, o.Interval); diff != "" {
			t.Errorf("day %d (-want +got):\n%s", row.day, diff)
		}
		if len(o.Dates) != 3 || o.Dates[0].On != date(200) || o.Dates[1].Cost != o.Interval.Open {
			t.Errorf("dates %+v", o.Dates)
		}
		if err := settle.WriteOutlook(io.Discard, o); err != nil {
			t.Fatal(err)
		}
	}
	o, err := settle.MakeOutlook(t.Context(), n.store, ledger.NewTerms(a), "k", date(100).Time)
	if err != nil {
		t.Fatal(err)
	}
	line, err := settle.BurnLine(t.Context(), n.store, ledger.NewTerms(a), o, 3)
	if diff := cmp.Diff([]settle.BurnPoint{{At: date(0).Time}, {At: date(50).Time, Used: units(50)}, {At: date(100).Time, Used: units(200)}}, line); diff != "" || err != nil {
		t.Errorf("line (-want +got):\n%s %v", diff, err)
	}
	if _, err := settle.MakeOutlook(t.Context(), n.store, ledger.NewTerms(a), "none", date(1).Time); err == nil {
		t.Error("an outlook of no contract")
	}
}
