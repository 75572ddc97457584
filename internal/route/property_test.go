package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/right"
)

func some[T any](t *rapid.T, name string, list ...T) T { return rapid.SampledFrom(list).Draw(t, name) }

// drawTerms draws an alliance whose rights, terms, prices and ramps begin and
// end within the minutes that the test walks through.
func drawTerms(t *rapid.T) *alliance.Alliance {
	at := func(name string) alliance.Date {
		return alliance.Date{Time: noon.Add(time.Duration(rapid.IntRange(-1, 4).Draw(t, name)) * 45 * time.Second)}
	}
	span := func(name string) alliance.Term {
		x := alliance.Term{From: at(name + " from")}
		if some(t, name+" ends", true, false) {
			x.Until = at(name + " until")
		}
		return x
	}
	a := trio()
	a.Rights, a.Pools, a.Prices = nil, nil, nil
	for i := range rapid.IntRange(1, 6).Draw(t, "rights") {
		x := alliance.Right{
			ID: alliance.RightID(fmt.Sprintf("r%d", i)), Object: alliance.StatelessAPI, Models: []alliance.ModelID{some[alliance.ModelID](t, "right to", "m", "fam", "v", "*")},
			Channel: some[alliance.ChannelID](t, "channel", "", "api", "partner"), Host: some[alliance.PartyID](t, "holder", "", "", "c1", "c2"),
			Mode: some(t, "mode", alliance.NonExclusive, alliance.NonExclusive, alliance.NonExclusive, alliance.Exclusive, alliance.Denied), Term: span("right"), Known: at("known"),
		}
		a.Rights = append(a.Rights, x)
	}
	for i := range a.Contracts {
		a.Contracts[i].Term = alliance.Term{From: date("2026-01-01")}
		if some(t, "contract ends", true, false, false) {
			a.Contracts[i].Until = at("contract until")
		}
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "pools") {
		p := alliance.Pool{
			ID: alliance.PoolID(fmt.Sprintf("p%d", i)), Provider: some[alliance.PartyID](t, "host", "op", "c1", "c2"), Region: "r", Residency: some[alliance.Territory](t, "residency", "US", "DE"),
			Contract: some[alliance.ContractID](t, "contract", "rack", "floor", "free"), MaxInFlight: int64(rapid.IntRange(1, 6).Draw(t, "in flight")),
			Models: []alliance.PoolModel{{Model: "m", OutputTokensPerChipSecond: 100, OutputWeightPPM: contract.UseDivisor}},
		}
		switch some(t, "bound", "chips", "tokens", "none") {
		case "chips":
			p.Chips = 1
		case "tokens":
			p.TokensPerMinute = 5000
		}
		a.Pools = append(a.Pools, p)
		if some(t, "priced", true, true, false) {
			a.Prices = append(a.Prices, alliance.Price{
				ID: alliance.PriceID(fmt.Sprintf("c%d", i)), Pools: []alliance.PoolID{p.ID}, Model: "m", Term: span("price"),
				List: alliance.Rates{Output: money.Amount(rapid.IntRange(0, 100).Draw(t, "price")) * money.Micro},
			})
		}
	}
	return a.Build()
}

// checkChoice holds a choice against the terms themselves.
func checkChoice(t *rapid.T, a *alliance.Alliance, rights *right.Register, now time.Time, q *Request, d *Decision) {
	asked := q.Model
	if q.Variant != "" {
		asked = q.Variant
	}
	v := rights.Evaluate(right.Query{
		Object: alliance.StatelessAPI, Model: asked, Seller: a.Plan(q.Plan).Seller, Channel: q.Channel, Host: d.Pool.Provider, Region: d.Pool.Region,
		Territory: q.Territory, At: now, Known: now,
	})
	if !v.Allowed || v.By.ID != d.Right {
		t.Fatalf("pool %s was chosen under right %q: %s", d.Pool.ID, d.Right, v.Reason)
	}
	if q.Plan == "eu" && (d.Pool.Residency != "DE" || q.Variant != "") {
		t.Fatalf("pool %s in %s was chosen for plan %s", d.Pool.ID, d.Pool.Residency, q.Plan)
	}
	c := a.Contract(d.Pool.Contract)
	if !c.Holds(now) {
		t.Fatalf("contract %s is not in its term", c.ID)
	}
	if d.CostPrice == "" && contract.MarginalPPM(c.Shape, 0) > 0 || d.CostPrice != "" && !a.Price(d.CostPrice).Holds(now) {
		t.Fatalf("price %q is not in force", d.CostPrice)
	}
}

// checkScan holds what few steps say of the candidates against what a closer
// look at each of them says.
func checkScan(t *rapid.T, r *Router, now time.Time, q *Request) {
	s := r.set(now, q)
	few, all := make([]record.Considered, len(s.candidates)), make([]record.Considered, len(s.candidates))
	a := weighing{at: now.UnixNano(), in: float64(q.Input), out: float64(q.Output)}
	b := a
	s.weigh(&a, few)
	b.best.clear()
	s.closer(&b, all)
	if d := cmp.Diff(few, all); d != "" {
		t.Fatalf("a closer look says otherwise: %s", d)
	}
	for k := range a.best {
		if a.best[k].rank != b.best[k].rank {
			t.Fatalf("the best of kind %d ranks at %v, after a closer look at %v", k, a.best[k].rank, b.best[k].rank)
		}
	}
}

// checkRoom holds the room of each pool against what it follows.
func checkRoom(t interface{ Fatalf(string, ...any) }, r *Router) {
	for i := range r.pools {
		p := r.pools[i]
		if p.setRoom(); p.room != r.pools[i].room {
			t.Fatalf("pool %s has room for %v, not %v", p.terms.ID, p.room, r.pools[i].room)
		}
	}
}

// useOf is what a request takes of a pool and what the pool has in a window,
// in micro-units; most is 0 where nothing bounds it.
func useOf(p *alliance.Pool, q *Request) (use, most int64) {
	switch {
	case p.TokensPerMinute > 0:
		return q.Output * contract.UseDivisor, p.TokensPerMinute * contract.UseDivisor
	case p.Chips > 0:
		return q.Output * contract.UseDivisor / 100, p.Chips * 60 * contract.UseDivisor
	}
	return 0, 0
}

// TestDecide_NeverPassesARightNorOverbooks walks a router through random
// terms, requests, outcomes and time, and checks every choice against the
// terms themselves and against its own count of what was booked.
func TestDecide_NeverPassesARightNorOverbooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawTerms(t)
		now := noon
		r := New(a, now)
		rights := right.New(a)
		type booking struct {
			d      Decision
			use    int64
			window time.Time
		}
		var open []booking
		booked := map[alliance.PoolID]int64{}
		inFlight := map[alliance.PoolID]int64{}
		window := now.Truncate(Window)
		pass := func(d time.Duration) {
			now = now.Add(d)
			if w := now.Truncate(Window); w != window {
				window, booked = w, map[alliance.PoolID]int64{}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"decide": func(t *rapid.T) {
				q := &Request{
					Model: "m", Variant: some[alliance.ModelID](t, "variant", "", "", "v"), Plan: some[alliance.PlanID](t, "plan", "basic", "eu"),
					Channel: some[alliance.ChannelID](t, "on", "api", "partner"), Territory: some[alliance.Territory](t, "in", "US", "CA"), Output: int64(rapid.IntRange(1, 2000).Draw(t, "output")),
				}
				d := r.Decide(now, q, rapid.Uint64().Draw(t, "random"))
				checkScan(t, r, now, q)
				if d.Pool == nil {
					return
				}
				checkChoice(t, a, rights, now, q, &d)
				b := booking{d: d, window: window}
				var most int64
				if b.use, most = useOf(d.Pool, q); most > 0 {
					if booked[d.Pool.ID] += b.use; booked[d.Pool.ID] > most {
						t.Fatalf("pool %s has %d booked of %d", d.Pool.ID, booked[d.Pool.ID], most)
					}
				}
				if inFlight[d.Pool.ID]++; inFlight[d.Pool.ID] > d.Pool.MaxInFlight {
					t.Fatalf("pool %s has %d requests in flight, the limit is %d", d.Pool.ID, inFlight[d.Pool.ID], d.Pool.MaxInFlight)
				}
				open = append(open, b)
			},
			"observe": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				b := open[i]
				open = append(open[:i], open[i+1:]...)
				o := Outcome{Reservation: b.d.Reservation, Pool: b.d.Pool.ID, Served: some(t, "served", true, true, false), Failure: some(t, "failure", "timeout", FailureRateLimited, FailureCancelled)}
				if !o.Served && b.window.Equal(window) {
					booked[b.d.Pool.ID] -= b.use
				}
				inFlight[b.d.Pool.ID]--
				for range some(t, "times", 1, 1, 2) {
					r.Observe(now, o)
				}
			},
			"time":    func(t *rapid.T) { pass(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond) },
			"resolve": func(t *rapid.T) { r.Resolve(now, func(alliance.ContractID) money.Amount { return 400 * money.Micro }) },
			"reload":  func(*rapid.T) { r.Reload(a, now) },
			"": func(t *rapid.T) {
				for _, p := range r.Pools(now) {
					if p.InFlight != inFlight[p.ID] {
						t.Fatalf("pool %s says %d in flight, %d are", p.ID, p.InFlight, inFlight[p.ID])
					}
				}
				checkRoom(t, r)
			},
		})
	})
}
