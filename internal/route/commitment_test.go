package route

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// stopping is the trio with the rack taken away and a floor of 100.
func stopping(o *alliance.Overage) *alliance.Alliance {
	a := trio()
	a.Pools = a.Pools[1:]
	c := a.Contract("floor")
	c.Overage = o
	c.Floors[0].Amount = 100
	for i := range a.Prices { // the floor's pool is the cheaper one at the contract's price
		if a.Prices[i].ID == "p-floor" {
			a.Prices[i].Contracted = &alliance.Rates{Input: 2_000_000, Output: 8_000_000}
		}
	}
	return a.Build()
}

func TestHardStop_UsedUpIsNoCandidateAndSaysSo(t *testing.T) {
	a := stopping(&alliance.Overage{At: alliance.OverageStops})
	r := New(a, noon)
	spent := func(n money.Amount) func(alliance.ContractID) money.Amount {
		return func(id alliance.ContractID) money.Amount {
			if id == "floor" {
				return n
			}
			return 0
		}
	}
	r.Resolve(noon, spent(99))
	d := expect(t, r, noon, ask(10), "floor") // 80 of the 1 that is left: the commitment ends within it
	d = expect(t, r, noon, ask(10), "free")
	verdicts := map[string]record.Verdict{}
	for _, c := range d.Considered {
		verdicts[c.Pool] = c.Verdict
	}
	if verdicts["floor"] != record.UsedUp {
		t.Errorf("verdicts %v", verdicts)
	}
	r.Resolve(noon, spent(100))
	for _, c := range r.Explain(noon, noon, ask(10)).Candidates {
		if c.Pool.ID == "floor" && c.Cost.Verdict != record.UsedUp {
			t.Errorf("explained as verdict %d", c.Cost.Verdict)
		}
	}
	q := ask(10)
	q.Tried = nil
	a.Pools = a.Pools[:1]
	alone := New(a.Build(), noon)
	alone.Resolve(noon, spent(100))
	if d := alone.Decide(noon, q, 0); d.Pool != nil || d.Reason != UsedUp {
		t.Errorf("pool %v, reason %q", d.Pool, d.Reason)
	}
	next := date("2027-01-01").Time
	c := a.Contract("floor")
	c.Floors = append(c.Floors, alliance.Floor{Term: term("2027-01-01", "2028-01-01"), Amount: 100})
	a.Rights[0].Until = date("2028-01-01")
	alone.Reload(a.Build(), next)
	alone.Resolve(next, spent(0))
	expect(t, alone, next, ask(10), "floor")
}

// TestHardStop_PassesByNoMoreThanWhatIsUnderWay serves requests whose outcomes
// come and are booked at random times.
func TestHardStop_PassesByNoMoreThanWhatIsUnderWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := stopping(&alliance.Overage{At: alliance.OverageStops})
		floor := money.Amount(rapid.IntRange(0, 2000).Draw(t, "floor"))
		a.Contract("floor").Floors[0].Amount = floor
		a.Pools = a.Pools[:1]
		r := New(a.Build(), noon)
		type sent struct {
			Reservation
			real   money.Amount
			tokens int64
		}
		type done struct {
			at     time.Time
			amount money.Amount
		}
		var way []sent
		var unbooked []done
		var booked, used money.Amount
		now := noon
		bookedUpTo := now
		resolve := func() {
			r.Booked(bookedUpTo)
			r.Resolve(now, func(alliance.ContractID) money.Amount { return booked })
		}
		resolve()
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "wait")) * time.Millisecond)
			// The books follow at any distance, some at once.
			for len(unbooked) > 0 && rapid.Bool().Draw(t, "book") {
				booked, bookedUpTo, unbooked = booked+unbooked[0].amount, unbooked[0].at, unbooked[1:]
			}
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				resolve()
			case 1, 2:
				estimate := rapid.Int64Range(0, 20).Draw(t, "estimate")
				q := ask(0)
				q.Output = estimate
				if d := r.Decide(now, q, 0); d.Pool != nil {
					tokens := rapid.Int64Range(0, estimate).Draw(t, "tokens") // a hold is an upper bound
					way = append(way, sent{d.Reservation, money.Amount(8 * tokens), tokens})
				}
			case 3:
				if len(way) > 0 {
					v := way[0]
					way = way[1:]
					r.Observe(now, Outcome{Reservation: v.Reservation, Served: true, Usage: usage.Vector{Output: v.tokens}})
					used += v.real
					unbooked = append(unbooked, done{now, v.real})
				}
			}
			under := money.Amount(0)
			for _, v := range way {
				under += v.real
			}
			// The request within which the commitment ends is the last.
			if most := max(floor, 0) + 8*20; used+under > most {
				t.Fatalf("used %d and under way %d of %d", used, under, floor)
			}
		}
	})
}

func TestOverage_BeyondTheCommitmentItsPriceDecides(t *testing.T) {
	spent := func(alliance.ContractID) money.Amount { return 100 }
	a := stopping(&alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 1_500_000})
	r := New(a.Build(), noon)
	r.Resolve(noon, func(alliance.ContractID) money.Amount { return 99 })
	expect(t, r, noon, ask(10), "floor")
	r = New(a, noon)
	r.Resolve(noon, spent)
	d := expect(t, r, noon, ask(10), "free")
	for _, c := range d.Considered {
		if c.Pool == "floor" && c.Price != 10*12*1000 {
			t.Errorf("price beyond %d", c.Price)
		}
	}
}

func TestEligibility_WhatRetiresNoFloorHasNoDiscount(t *testing.T) {
	a := stopping(nil)
	a.Contract("floor").Floors[0].Amount = 1000 * money.Micro
	for i := range a.Prices {
		a.Prices[i].Contracted = nil
	}
	a.Contract("floor").Eligibility = &alliance.Eligibility{ExceptModels: []alliance.ModelID{"m"}}
	r := New(a.Build(), noon)
	r.Resolve(noon, func(alliance.ContractID) money.Amount { return 0 })
	expect(t, r, noon, ask(10), "free") // far behind its floor, and still at its full price
}

func TestReservation_BeyondItsMinuteAtThePriceOfItsOverage(t *testing.T) {
	a := trio()
	whole := term("2026-01-01", "2028-01-01")
	a.Contracts = append(a.Contracts, alliance.Contract{
		ID: "reserved", Provider: "c1", Shape: alliance.ThroughputReserved, Term: whole, Ramp: []alliance.RampStep{{From: date("2026-01-01"), TokensPerMinute: 100}},
		Overage: &alliance.Overage{At: alliance.OverageAtList, Tiers: []string{"default"}},
	})
	pool := a.Pools[1]
	pool.ID, pool.Contract, pool.BilledBy, pool.TokensPerMinute = "reserved", "reserved", alliance.BilledByFixed, 100
	pool.Models = []alliance.PoolModel{{Model: "m", InputWeightPPM: 1_000_000, OutputWeightPPM: 1_000_000}}
	a.Pools = []alliance.Pool{pool, a.Pools[2]}
	a.Prices = append(a.Prices, alliance.Price{ID: "p-reserved", Pools: []alliance.PoolID{"reserved"}, Model: "m", Term: whole, List: alliance.Rates{Input: 1_000_000, Output: 9_000_000}})
	r := New(a.Build(), noon)
	q := ask(60)
	q.Input = 0
	expect(t, r, noon, q, "reserved")
	d := expect(t, r, noon, q, "reserved") // 60 of the 40 that are left, at 9 where the other pool asks 10
	if d.Considered[0].Price != 60*9*1000 {
		t.Errorf("considered %+v", d.Considered)
	}
	if left := r.Pools(noon)[0].Left; left != 40_000_000 {
		t.Errorf("%d left of the minute: what went beyond took of it", left)
	}
	a.Contracts[len(a.Contracts)-1].Overage.At = alliance.OverageStops
	r = New(a.Build(), noon)
	expect(t, r, noon, q, "reserved")
	expect(t, r, noon, q, "free")
}
