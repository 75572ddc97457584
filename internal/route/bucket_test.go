package route

import (
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/usage"
)

// reserved is the trio with a reservation in the place of the rack: one unit
// of 3,360 tokens a second, one token of output counts as four.
func reserved(seconds, outputPerMinute int64) *alliance.Alliance {
	a := trio()
	a.Contracts[0].Shape = alliance.ThroughputReserved
	a.Contracts[0].Ramp = []alliance.RampStep{{From: date("2026-01-01"), TokensPerMinute: 201_600}}
	p := &a.Pools[0]
	p.Chips, p.TokensPerMinute, p.WindowSeconds, p.OutputTokensPerMinute = 0, 201_600, seconds, outputPerMinute
	p.Models = []alliance.PoolModel{{Model: "m", InputWeightPPM: 1_000_000, OutputWeightPPM: 4_000_000}}
	return a.Build()
}

func TestBucket_AWindowHoldsNoMoreThanItsShareOfAMinute(t *testing.T) {
	// One GSU of 3,360 tokens a second, enforced over 30 seconds, lets 100,800
	// tokens through: the figure of Google's page on Provisioned Throughput.
	r := New(reserved(30, 0), noon)
	q := ask(0)
	q.Input = 25_200
	for range 4 {
		expect(t, r, noon, q, "rack")
	}
	one := ask(0)
	one.Input = 1
	if got, _ := take(t, r, noon, one); got == "rack" {
		t.Error("the window gives more than 100,800 tokens")
	}
	// A second later 3,360 more have come, and no more than that.
	later := noon.Add(time.Second)
	q.Input = 3_360
	expect(t, r, later, q, "rack")
	if got, _ := take(t, r, later, one); got == "rack" {
		t.Error("a second gives more than 3,360 tokens")
	}
	// What is not used does not accumulate.
	q.Input = 100_800
	expect(t, r, noon.Add(time.Hour), q, "rack")
	if got, _ := take(t, r, noon.Add(time.Hour), one); got == "rack" {
		t.Error("an hour of rest gives more than a window")
	}
}

func TestBucket_WhatWasNotUsedComesBackAndWhatWasMoreIsADebt(t *testing.T) {
	for name, c := range map[string]struct {
		used int64
		free bool // for a request of the rest
	}{"less than estimated": {10_000, true}, "more than estimated": {60_000, false}} {
		t.Run(name, func(t *testing.T) {
			r := New(reserved(30, 0), noon)
			q := ask(0)
			q.Input = 50_000
			d := expect(t, r, noon, q, "rack")
			r.Observe(noon, Outcome{Reservation: d.Reservation, Served: true, Usage: usage.Vector{UncachedInput: c.used}})
			q.Input = 50_800
			if got, _ := take(t, r, noon, q); (got == "rack") != c.free {
				t.Errorf("took %s", got)
			}
		})
	}
}

func TestBucket_OutputReservedApartBoundsOnItsOwn(t *testing.T) {
	r := New(reserved(0, 1_000), noon)
	expect(t, r, noon, ask(900), "rack")
	if got, _ := take(t, r, noon, ask(200)); got == "rack" {
		t.Error("took 1,100 tokens of output of 1,000")
	}
	expect(t, r, noon, ask(100), "rack")
}

func TestBucket_NoPoolSaysWhenThereIsRoomAgain(t *testing.T) {
	a := reserved(5, 0)
	a.Pools = a.Pools[:1]
	r := New(a.Build(), noon)
	q := ask(0)
	q.Input = 16_800
	expect(t, r, noon, q, "rack")
	_, d := take(t, r, noon, q)
	if d.Reason != Full || d.RetryAfter <= 0 || d.RetryAfter > 5*time.Second {
		t.Errorf("%s, try again in %s", d.Reason, d.RetryAfter)
	}
}

func TestBucket_NewTermsKeepWhatWasTaken(t *testing.T) {
	r := New(reserved(30, 0), noon)
	q := ask(0)
	q.Input = 100_000
	expect(t, r, noon, q, "rack")
	r.Reload(reserved(30, 0), noon)
	if got, _ := take(t, r, noon, q); got == "rack" {
		t.Error("a reload filled the window again")
	}
	// A clock that steps back gives nothing, and takes nothing for ever.
	back := noon.Add(-24 * time.Hour)
	take(t, r, back, q)
	q.Input = 50_000
	expect(t, r, back.Add(time.Minute), q, "rack")
}
