package sim_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/sim"
)

func date(t *testing.T, text string) (d alliance.Date) {
	t.Helper()
	if err := d.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return d
}

// clauses are terms with one contract for each clause that a fact is about.
func clauses(t *testing.T) *alliance.Alliance {
	t.Helper()
	year := alliance.Term{From: date(t, "2026-01-01"), Until: date(t, "2027-01-01")}
	half := date(t, "2026-07-01")
	const unit = 1_000_000
	floors := []alliance.Floor{
		{Term: alliance.Term{From: year.From, Until: half}, Amount: 1000 * unit},
		{Term: alliance.Term{From: half, Until: year.Until}, Amount: 1500 * unit},
	}
	return &alliance.Alliance{Currency: "USD", Contracts: []alliance.Contract{
		{
			ID: "floors", Shape: alliance.SpendFloor, Term: year, Floors: floors,
			Eligibility: &alliance.Eligibility{MarketplaceCapPPM: 100_000},
			TrueUp:      &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: 2000 * unit}}}, TrueDown: &alliance.TrueDown{MaxPPM: 100_000},
		},
		{
			ID: "chips", Shape: alliance.TakeOrPay, Term: year, Currency: "EUR",
			Ramp:   []alliance.RampStep{{From: year.From, Chips: 2}, {From: date(t, "2026-03-01"), Chips: 4}, {From: date(t, "2026-06-01"), Chips: 6}, {From: date(t, "2026-09-01"), Chips: 8}},
			Option: &alliance.Option{Term: alliance.Term{From: date(t, "2026-02-01"), Until: date(t, "2026-12-01")}, NoticeDays: 30},
		},
		{ID: "lapses", Shape: alliance.TakeOrPay, Term: year, Option: &alliance.Option{Term: alliance.Term{From: date(t, "2026-02-01"), Until: date(t, "2026-12-01")}}},
		{ID: "plain", Shape: alliance.PayPerUse, Term: year},
	}}
}

func TestFacts_TellsEachClauseOnce(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(1, 0, 0)
	list := sim.Facts(clauses(t), from, until, rand.NewPCG(5, 3).Uint64)
	var got []string
	late := map[string]int64{} // chips by the day from which they are there
	for _, f := range list {
		switch {
		case f.Delivered != nil:
			late[f.Delivered.From] = f.Delivered.Chips
		case f.OptionExercised != nil:
			got = append(got, "exercise "+f.OptionExercised.Contract+" "+f.At.Format(time.DateOnly))
		case f.MarketplaceCharge != nil:
			got = append(got, "marketplace "+f.MarketplaceCharge.Amount.String())
		case f.TrueDown != nil:
			got = append(got, "cut "+f.TrueDown.From+" "+f.TrueDown.Amount.String())
		case f.TrueUp != nil:
			got = append(got, "raise "+f.TrueUp.From+" "+f.TrueUp.Amount.String())
		case f.ExchangeRate != nil && f.ExchangeRate.On == "2026-01-01":
			got = append(got, f.ExchangeRate.ID())
		}
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", f.At, err)
		}
		if f.At.Before(from) || !f.At.Before(until) {
			t.Errorf("%s is out of the play", f.At)
		}
	}
	want := []string{
		"EUR/USD=1.0800@2026-01-01", "cut 2026-01-01 50.00", "marketplace 60.00", "marketplace 60.00",
		"exercise chips 2026-06-17", "raise 2026-07-01 500.00", "marketplace 90.00", "marketplace 90.00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What is late is what was there before, and then what the ramp says; in
	// the end all of it is there.
	ramp := map[string]int64{"2026-01-01": 2, "2026-03-01": 4, "2026-06-01": 6, "2026-09-01": 8}
	before := map[string]int64{"2026-01-01": 1, "2026-03-01": 2, "2026-06-01": 4, "2026-09-01": 6}
	lates, last := 0, int64(0)
	for _, day := range slices.Sorted(maps.Keys(late)) {
		switch last = late[day]; {
		case ramp[day] == 0 && last < 2, ramp[day] != 0 && last != ramp[day] && last != before[day]:
			t.Errorf("%d chips are there on %s", last, day)
		case last == before[day]:
			lates++
		}
	}
	if lates == 0 || last != 8 {
		t.Errorf("deliveries %v", late)
	}
	if !slices.IsSortedFunc(list, func(x, y sim.Dated) int { return x.At.Compare(y.At) }) {
		t.Error("the facts are not in order")
	}
	if diff := cmp.Diff(list, sim.Facts(clauses(t), from, until, rand.NewPCG(5, 3).Uint64)); diff != "" {
		t.Errorf("the same numbers give other facts:\n%s", diff)
	}
}

func TestFacts_KeepsToThePlay(t *testing.T) {
	from := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	list := sim.Facts(clauses(t), from, from.AddDate(0, 2, 0), rand.NewPCG(5, 3).Uint64)
	if len(list) == 0 {
		t.Fatal("nothing happened")
	}
	for _, f := range list {
		if f.At.Before(from) || !f.At.Before(from.AddDate(0, 2, 0)) {
			t.Errorf("%s is out of the play", f.At)
		}
		if d := f.Delivered; d != nil && d.From < "2026-08" {
			t.Errorf("a step of %s came before the play", d.From)
		}
	}
}

func TestFacts_QuotesEachCurrencyAtEachMonthsEnd(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		own, other money.Currency
		first      string
	}{
		{"USD", "EUR", "EUR/USD=1.0800@2026-01-01"},
		{"EUR", "USD", "EUR/USD=1.0800@2026-01-01"},
		{"USD", "JPY", "USD/JPY=149.2537@2026-01-01"},
		{"USD", "MXN", "MXN/USD=1.0000@2026-01-01"},
	} {
		a := &alliance.Alliance{Currency: row.own, Contracts: []alliance.Contract{{ID: "c", Shape: alliance.PayPerUse, Currency: row.other}}}
		var days []string
		for i, f := range sim.Facts(a, from, from.AddDate(0, 2, 0), rand.NewPCG(1, 1).Uint64) {
			if i == 0 && f.ExchangeRate.ID() != row.first {
				t.Errorf("%s in %s begins with %s", row.other, row.own, f.ExchangeRate.ID())
			}
			days = append(days, f.ExchangeRate.On)
		}
		if got := strings.Join(days, " "); got != "2026-01-01 2026-01-31 2026-02-28" {
			t.Errorf("%s in %s is quoted on %s", row.other, row.own, got)
		}
	}
}
