package route

import (
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// delivered folds a delivery of chips into the terms of the trio.
func delivered(a *alliance.Alliance, from string, chips int64) *alliance.Alliance {
	return contract.Fold(a, []contract.Change{{Contract: "rack", Delivery: &alliance.Delivery{From: date(from), Chips: chips}}})
}

func TestRouter_UsesOnlyWhatWasDelivered(t *testing.T) {
	before := trio()
	before.Pools[0].Chips = 2
	rows := []struct {
		name  string
		terms *alliance.Alliance
		at    time.Time
		want  int64 // of a second's two chip-seconds, in micro
	}{
		{"as contracted where no fact says otherwise", before, noon, 1_000_000},
		{"none of it", delivered(before, "2026-01-01", 0), noon, 0},
		{"more than contracted is as contracted", delivered(before, "2026-01-01", 2), noon, 1_000_000},
		{"the ramp steps, the delivery does not", delivered(before, "2026-01-01", 1), date("2026-08-01").Time, 1_000_000},
		{"before the delivery is late", delivered(before, "2026-06-02", 0), noon, 1_000_000},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := New(before, row.at.Add(-time.Second))
			r.Reload(row.terms, row.at) // as a fact does that is recorded while serving
			if got := r.pools[0].capacity; got != row.want*60 {
				t.Errorf("capacity of a minute is %d, want %d", got, row.want*60)
			}
		})
	}
}

func TestRouter_FollowsADeliveryOnItsDay(t *testing.T) {
	r := New(delivered(trio(), "2026-06-02", 0), noon)
	if got, _ := take(t, r, noon, ask(100)); got != "rack" {
		t.Fatalf("before the day %s is taken", got)
	}
	if got, _ := take(t, r, date("2026-06-02").Time, ask(100)); got == "rack" {
		t.Error("a rack of which nothing is delivered is taken")
	}
}

// saver is the trio whose floor is a commitment of 12 an hour at two thirds of
// the list price: a token of output draws 8 micro-units and lists at 12.
func saver() *alliance.Alliance {
	a := trio()
	k := &a.Contracts[1]
	k.Shape, k.Floors = alliance.HourlyRate, nil
	k.Rates = []alliance.HourRate{{Term: k.Term, PerHour: 12 * money.Micro}}
	a.Prices[0].Contracted = &alliance.Rates{Input: 2_000_000, Output: 8_000_000}
	a.Contracts[0].Until = date("2026-02-01") // no rack
	return a
}

func TestRouter_AnHourIsFreeUntilItIsDrawnThenCostsTheList(t *testing.T) {
	r := New(saver(), noon)
	draw := func(at time.Time, tokens int64) (string, int64) {
		t.Helper()
		got, d := take(t, r, at, ask(tokens))
		for _, x := range d.Considered {
			if x.Pool == "floor" {
				return got, x.Price
			}
		}
		t.Fatal("the pool of the commitment was not considered")
		return "", 0
	}
	for _, row := range []struct {
		name   string
		at     time.Time
		tokens int64
		want   string
		price  int64 // nano-units of the pool of the commitment
	}{
		{"inside the hour nothing more is paid", noon, 1_000_000, "floor", 0},
		{"what the hour does not cover costs the list: less than elsewhere in all", noon.Add(time.Minute), 1_000_000, "floor", 6_000_000_000},
		{"the hour is drawn: the list is dearer than elsewhere", noon.Add(2 * time.Minute), 1_000_000, "free", 12_000_000_000},
		{"the next hour is another", noon.Add(time.Hour), 500_000, "floor", 0},
	} {
		if got, price := draw(row.at, row.tokens); got != row.want || price != row.price {
			t.Errorf("%s: %s at %d, want %s at %d", row.name, got, price, row.want, row.price)
		}
	}
}

func TestRouter_PutsAnHourRightWhenRequestsEndAndByTheBooks(t *testing.T) {
	r := New(saver(), noon)
	_, d := take(t, r, noon, ask(1_500_000))
	if left := r.hours["floor"].left(noon.UnixNano()); left != 0 {
		t.Fatalf("%v are left after an estimate of the whole hour", left)
	}
	r.Observe(noon, Outcome{Reservation: d.Reservation, Pool: "floor", Served: true, Usage: usage.Vector{Output: 500_000}})
	if left := r.hours["floor"].left(noon.UnixNano()); left != 8e9 {
		t.Errorf("%v are left after 4 of 12 were drawn", left)
	}
	r.Reload(saver(), noon)
	if left := r.hours["floor"].left(noon.UnixNano()); left != 8e9 {
		t.Errorf("%v are left after a reload", left)
	}
	r.Resolve(noon, func(alliance.ContractID) money.Amount { return 9 * money.Micro })
	if left := r.hours["floor"].left(noon.UnixNano()); left != 3e9 {
		t.Errorf("%v are left where the books have drawn 9 of 12", left)
	}
}

func TestRouter_AnOptionIsNoCandidateUntilItIsExercised(t *testing.T) {
	a := trio()
	whole := a.Contracts[0]
	a.Contracts[0] = alliance.Contract{
		ID: "rack", Shape: alliance.OptionShape, Term: whole.Term,
		Option: &alliance.Option{Term: term("2026-01-01", "2026-05-01"), Becomes: alliance.TakeOrPay, Ramp: []alliance.RampStep{{From: date("2026-05-01"), Chips: 1}}},
	}
	r := New(a, noon)
	got, _ := take(t, r, noon, ask(100))
	out := r.Explain(noon, noon, ask(100)).Ineligible
	if got == "rack" || len(out) != 1 || out[0].Cause != NotExercised {
		t.Fatalf("%s is taken, ineligible %+v", got, out)
	}
	at := date("2026-04-01")
	r.Reload(contract.Fold(a, []contract.Change{{Contract: "rack", Exercised: &at}}), noon)
	if got, _ := take(t, r, noon, ask(100)); got != "rack" {
		t.Errorf("%s is taken after the option was exercised", got)
	}
}
