package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func term(from, until string) alliance.Term {
	t := alliance.Term{From: date(from)}
	if until != "" {
		t.Until = date(until)
	}
	return t
}

// trio is an alliance with a rack of its own, a cloud with a spend floor and
// one without a promise, that all serve model m.
func trio() *alliance.Alliance {
	whole := term("2026-01-01", "2028-01-01")
	price := func(id, pool string, out money.Amount) alliance.Price {
		return alliance.Price{ID: alliance.PriceID(id), Pools: []alliance.PoolID{alliance.PoolID(pool)}, Model: "m", Term: whole, List: alliance.Rates{Input: out / 4, Output: out}}
	}
	return (&alliance.Alliance{
		Operator: "op",
		Parties:  []alliance.Party{{ID: "op"}, {ID: "c1", Kinds: []string{"cloud"}}, {ID: "c2", Kinds: []string{"cloud"}}},
		Channels: []alliance.Channel{{ID: "api", Party: "op"}, {ID: "partner", Party: "op"}},
		Models:   []alliance.Model{{ID: "m", Kind: "chat", Weights: "closed"}, {ID: "other", Kind: "chat", Weights: "closed"}},
		Families: []alliance.Family{{ID: "fam", Members: []alliance.FamilyMember{{Model: "m", From: date("2026-01-01")}}}},
		Variants: []alliance.Variant{{ID: "v", Base: "fam", Plans: []alliance.PlanID{"basic"}}},
		Plans: []alliance.Plan{
			{ID: "basic", Seller: "op", Models: []alliance.ModelID{"fam", "v"}},
			{ID: "eu", Seller: "op", Models: []alliance.ModelID{"m"}, Residency: []alliance.Territory{"EU"}},
			{ID: "moon", Seller: "op", Models: []alliance.ModelID{"m"}, Residency: []alliance.Territory{"XX"}},
			{ID: "fast", Seller: "op", Models: []alliance.ModelID{"m"}, LatencyPerSecond: 1_000_000},
			{ID: "none", Seller: "op", Models: []alliance.ModelID{"other"}},
		},
		Claims: []alliance.Claim{{ID: "K1", Known: date("2026-01-01")}, {ID: "K2", Known: date("2026-01-01"), Conflicts: []alliance.ClaimID{"K1"}}},
		Rights: []alliance.Right{
			{ID: "all", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"fam"}, Channel: "api", Term: term("2026-01-01", "2027-01-01"), Mode: alliance.NonExclusive},
			{ID: "not-c2-in-ca", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"m"}, Host: "c2", Territories: []alliance.Territory{"CA"}, Term: term("2026-01-01", ""), Mode: alliance.Denied, Claim: []alliance.ClaimID{"K1"}},
		},
		Contracts: []alliance.Contract{
			{ID: "rack", Shape: alliance.TakeOrPay, Term: whole, Ramp: []alliance.RampStep{{From: date("2026-01-01"), Chips: 1}, {From: date("2026-07-01"), Chips: 2}}},
			{ID: "floor", Provider: "c1", Shape: alliance.SpendFloor, Term: whole, Floors: []alliance.Floor{{Term: term("2026-01-01", "2027-01-01"), Amount: 1000 * money.Micro}}},
			{ID: "free", Provider: "c2", Shape: alliance.PayPerUse, Term: whole},
		},
		Prices: []alliance.Price{price("p-floor", "floor", 12_000_000), price("p-free", "free", 10_000_000)},
		Pools: []alliance.Pool{
			{ID: "rack", Provider: "op", Region: "r0", Residency: "DE", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: 1, MaxInFlight: 100, Models: []alliance.PoolModel{{Model: "m", InputTokensPerChipSecond: 1000, OutputTokensPerChipSecond: 100}}, Endpoint: alliance.Endpoint{TTFTMS: 500}},
			{ID: "floor", Provider: "c1", Region: "r1", Residency: "US", Contract: "floor", BilledBy: alliance.BilledByToken, MaxInFlight: 100, Models: []alliance.PoolModel{{Model: "m"}}},
			{ID: "free", Provider: "c2", Region: "r2", Residency: "US", Contract: "free", BilledBy: alliance.BilledByToken, MaxInFlight: 100, Models: []alliance.PoolModel{{Model: "m"}}},
		},
	}).Build()
}

func ask(output int64) *Request {
	return &Request{Model: "m", Plan: "basic", Channel: "api", Territory: "US", Output: output}
}

// take decides and returns the pool's id and the decision.
func take(t *testing.T, r *Router, now time.Time, q *Request) (string, Decision) {
	t.Helper()
	d := r.Decide(now, q, 1)
	if d.Pool == nil {
		return d.Reason, d
	}
	if d.Reservation == (Reservation{}) {
		t.Error("a decision with a pool has no reservation")
	}
	return string(d.Pool.ID), d
}

func expect(t *testing.T, r *Router, now time.Time, q *Request, want string) Decision {
	t.Helper()
	got, d := take(t, r, now, q)
	if got != want {
		t.Fatalf("took %s, want %s: %+v", got, want, d.Considered)
	}
	return d
}

func TestDecide_TakesTheCheapestAtTheMargin(t *testing.T) {
	behind := func(alliance.ContractID) money.Amount { return 0 }
	met := func(alliance.ContractID) money.Amount { return 1000 * money.Micro }
	for _, c := range []struct {
		name  string
		spent func(alliance.ContractID) money.Amount
		takes []string // of requests that fill the rack one after another
	}{
		{"capacity that is paid for first, then the cheaper price", met, []string{"rack", "rack", "free"}},
		{"capacity first, then the floor while it is behind", behind, []string{"rack", "rack", "floor"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := New(trio(), noon)
			r.Resolve(noon, c.spent)
			for _, want := range c.takes {
				expect(t, r, noon, ask(3000), want)
			}
		})
	}
}

func TestDecide_SaysWhatItConsidered(t *testing.T) {
	r := New(trio(), noon)
	r.Resolve(noon, func(alliance.ContractID) money.Amount { return 413 * money.Micro })
	q := ask(1000)
	q.Tried = []alliance.PoolID{"free"}
	d := expect(t, r, noon, q, "rack")
	lambda := r.pools[1].lambda
	if lambda <= 0 || lambda >= 500_000 {
		t.Fatalf("lambda is %d ppm although the floor is a little behind", lambda)
	}
	floor := int64(12_000_000 * float64(1_000_000-lambda) / 1e6)
	want := []record.Considered{
		{Pool: "rack", Verdict: record.Chosen},
		{Pool: "floor", Verdict: record.Dearer, Cost: floor, Price: floor, LambdaPPM: lambda},
		{Pool: "free", Verdict: record.Tried, Cost: 10_000_000, Price: 10_000_000},
	}
	if diff := cmp.Diff(want, d.Considered); diff != "" {
		t.Errorf("considered differs (-want +got):\n%s", diff)
	}
	if d.Contract != "rack" || d.Right != "all" || d.CostPrice != "" || d.PoolModel.Model != "m" {
		t.Errorf("decision names %s, %s, %q, %s", d.Contract, d.Right, d.CostPrice, d.PoolModel.Model)
	}
}

func TestDecide_LatencyCostsWhereThePlanSaysSo(t *testing.T) {
	r := New(trio(), noon)
	q := ask(1000)
	q.Plan = "fast"
	d := expect(t, r, noon, q, "free")
	if got := d.Considered[0].Latency; got != 500_000_000 {
		t.Errorf("half a second at one unit a second costs %d nano-units", got)
	}
	r.Observe(noon, Outcome{Reservation: d.Reservation, Pool: "free", Served: true, TTFT: 3 * time.Second})
	expect(t, r, noon, q, "floor")
}

func TestDecide_APoolThatWasSlowOnceIsAskedAgain(t *testing.T) {
	r := New(trio(), noon)
	q := ask(1000)
	q.Plan = "fast"
	d := expect(t, r, noon, q, "free")
	r.Observe(noon, Outcome{Reservation: d.Reservation, Pool: "free", Served: true, TTFT: 3 * time.Second})
	for now := noon; now.Before(noon.Add(15 * time.Minute)); now = now.Add(2 * time.Second) {
		r.Resolve(now, nil)
	}
	later := noon.Add(15 * time.Minute)
	if got, _ := take(t, r, later, q); got != "free" {
		t.Errorf("a quarter of an hour later %s is taken", got)
	}
}

func TestObserve_ReconcilesOnce(t *testing.T) {
	sixty := int64(60 * contract.UseDivisor)
	left := func(r *Router) int64 { return r.Pools(noon)[0].Left }
	for _, c := range []struct {
		name string
		o    Outcome
		left int64
	}{
		{"served as estimated", Outcome{Served: true}, sixty - 10*contract.UseDivisor},
		{"less than estimated comes back", Outcome{Served: true, Usage: usage.Vector{Output: 100}}, sixty - contract.UseDivisor},
		{"more than estimated is taken", Outcome{Served: true, Usage: usage.Vector{Output: 7000}}, sixty - 70*contract.UseDivisor},
		{"refused comes back whole", Outcome{Failure: "status_500"}, sixty},
		{"cancelled after some tokens keeps those", Outcome{Failure: FailureCancelled, Usage: usage.Vector{UncachedInput: 1000}}, sixty - contract.UseDivisor},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := New(trio(), noon)
			d := expect(t, r, noon, ask(1000), "rack")
			if got := r.Pools(noon)[0]; got.InFlight != 1 || got.Left != sixty-10*contract.UseDivisor {
				t.Fatalf("after the decision: %+v", got)
			}
			c.o.Reservation = d.Reservation
			for range 2 {
				r.Observe(noon, c.o)
				if got := r.Pools(noon)[0]; got.InFlight != 0 || got.Left != c.left {
					t.Errorf("in flight %d, left %d, want 0 and %d", got.InFlight, got.Left, c.left)
				}
			}
		})
	}
	t.Run("a debt is paid by the next window", func(t *testing.T) {
		r := New(trio(), noon)
		r.Observe(noon, Outcome{Reservation: expect(t, r, noon, ask(1000), "rack").Reservation, Served: true, Usage: usage.Vector{Output: 7000}})
		if got := left(r); got != -10*contract.UseDivisor {
			t.Errorf("left %d", got)
		}
		if got := r.Pools(noon.Add(time.Minute))[0].Left; got != sixty-10*contract.UseDivisor {
			t.Errorf("left %d of the next window", got)
		}
	})
	t.Run("a late refund is forfeited and a late excess is not", func(t *testing.T) {
		r := New(trio(), noon)
		a, b := expect(t, r, noon, ask(1000), "rack"), expect(t, r, noon, ask(1000), "rack")
		later := noon.Add(time.Minute)
		r.Observe(later, Outcome{Reservation: a.Reservation, Failure: "status_500"})
		if got := r.Pools(later)[0].Left; got != sixty {
			t.Errorf("left %d", got)
		}
		r.Observe(later, Outcome{Reservation: b.Reservation, Served: true, Usage: usage.Vector{Output: 1100}})
		if got := r.Pools(later)[0].Left; got != sixty-contract.UseDivisor {
			t.Errorf("left %d", got)
		}
	})
	t.Run("a request larger than a window takes an untouched one and leaves a debt", func(t *testing.T) {
		r := New(trio(), noon)
		expect(t, r, noon, ask(9000), "rack")
		expect(t, r, noon.Add(time.Minute), ask(9000), "free")
	})
}

func TestUse_AgreesWithTheLedger(t *testing.T) {
	a := trio()
	r := New(a, noon)
	pm := &a.Pools[0].Models[0]
	in, out := r.pools[0].use(pm)
	c := candidate{kind: committed, useIn: in, useOut: out}
	for _, u := range []usage.Vector{{UncachedInput: 1}, {Output: 1}, {UncachedInput: 12345, Output: 678}} {
		if d := c.takes(float64(u.Input()), float64(u.AllOutput())) - contract.Use(alliance.TakeOrPay, pm, u); d < 0 || d > 1 {
			t.Errorf("use of %+v differs by %d micro-units", u, d)
		}
	}
}

func TestHealth_FailuresOpenAndOneProbeCloses(t *testing.T) {
	r := New(trio(), noon)
	fail := func(now time.Time) {
		r.Observe(now, Outcome{Reservation: expect(t, r, now, ask(10), "rack").Reservation, Failure: "timeout"})
	}
	fail(noon)
	fail(noon)
	fail(noon)
	d := expect(t, r, noon, ask(10), "free")
	if d.Considered[0].Verdict != record.Unhealthy || r.Pools(noon)[0].Healthy {
		t.Fatalf("after three failures: %+v", d.Considered[0])
	}
	at := noon
	for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
		expect(t, r, at.Add(wait-1), ask(10), "free")
		at = at.Add(wait)
		probe := expect(t, r, at, ask(10), "rack")
		expect(t, r, at, ask(10), "free")
		r.Observe(at, Outcome{Reservation: probe.Reservation, Failure: "status_500"})
	}
	at = at.Add(time.Minute)
	probe := expect(t, r, at, ask(10), "rack")
	r.Observe(at, Outcome{Reservation: probe.Reservation, Served: true})
	expect(t, r, at, ask(10), "rack")
	expect(t, r, at, ask(10), "rack")
}

func TestHealth_ALongProbeKeepsThePoolFromNobodyForLong(t *testing.T) {
	r := New(trio(), noon)
	for range failuresToOpen {
		r.Observe(noon, Outcome{Reservation: expect(t, r, noon, ask(10), "rack").Reservation, Failure: "timeout"})
	}
	at := noon.Add(firstBackoff)
	long := expect(t, r, at, ask(10), "rack") // a stream of minutes, say
	expect(t, r, at.Add(probeEach-1), ask(10), "free")
	at = at.Add(probeEach)
	short := expect(t, r, at, ask(10), "rack")
	expect(t, r, at, ask(10), "free")
	r.Observe(at, Outcome{Reservation: short.Reservation, Served: true})
	expect(t, r, at, ask(10), "rack")
	r.Observe(at.Add(time.Minute), Outcome{Reservation: long.Reservation, Served: true})
	expect(t, r, at.Add(time.Minute), ask(10), "rack")
}

func TestHealth_WhatSaysNothingAboutThePool(t *testing.T) {
	r := New(trio(), noon)
	for range 5 {
		for _, f := range []string{FailureCancelled, FailureRequest} {
			r.Observe(noon, Outcome{Reservation: expect(t, r, noon, ask(10), "rack").Reservation, Failure: f})
		}
	}
	expect(t, r, noon, ask(10), "rack")
}

func TestHealth_RateLimitedIsFullUntilRetryAfter(t *testing.T) {
	r := New(trio(), noon)
	r.Observe(noon, Outcome{Reservation: expect(t, r, noon, ask(10), "rack").Reservation, Failure: FailureRateLimited, RetryAfter: 7 * time.Second})
	d := expect(t, r, noon.Add(7*time.Second-1), ask(10), "free")
	if d.Considered[0].Verdict != record.Full {
		t.Errorf("verdict %d", d.Considered[0].Verdict)
	}
	expect(t, r, noon.Add(7*time.Second), ask(10), "rack")
}

func TestDecide_SaysWhyThereIsNoPool(t *testing.T) {
	full := func(r *Router) {
		for i := range r.pools {
			r.pools[i].inFlight = r.pools[i].most
			r.pools[i].setRoom()
		}
	}
	sick := func(r *Router) {
		for i := range r.pools {
			r.pools[i].health = health{failures: 3, until: noon.Add(5 * time.Second).UnixNano()}
			r.pools[i].health.close()
		}
	}
	for _, c := range []struct {
		name  string
		q     Request
		do    func(*Router)
		want  string
		retry time.Duration
	}{
		{"no right on the channel", Request{Model: "m", Plan: "basic", Channel: "partner"}, nil, NoRight, 0},
		{"no pool in the residency", Request{Model: "m", Plan: "moon", Channel: "api", Territory: "US"}, nil, NoResidency, 0},
		{"not in the plan", Request{Model: "m", Plan: "none", Channel: "api"}, nil, NoPool, 0},
		{"nobody serves it", Request{Model: "other", Plan: "none", Channel: "api"}, nil, NoPool, 0},
		{"another kind", Request{Model: "m", Plan: "basic", Channel: "api", Territory: "US", Kind: "embedding"}, nil, NoPool, 0},
		{"full", *ask(1), full, Full, time.Second},
		{"unhealthy", *ask(1), sick, Unhealthy, 5 * time.Second},
		{"all tried", Request{Model: "m", Plan: "basic", Channel: "api", Territory: "US", Tried: []alliance.PoolID{"rack", "floor", "free"}}, nil, Unhealthy, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := New(trio(), noon)
			if c.do != nil {
				c.do(r)
			}
			d := r.Decide(noon, &c.q, 1)
			if d.Pool != nil || d.Reason != c.want || d.RetryAfter != c.retry {
				t.Errorf("pool %v, reason %s, retry after %s", d.Pool, d.Reason, d.RetryAfter)
			}
		})
	}
}

func TestExplain_EveryPoolIsACandidateOrSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		name string
		at   string
		q    Request
		edit func(*alliance.Alliance)
		want map[string]string
	}{
		{"all may", "2026-06-01", *ask(1000), nil, map[string]string{"rack": "chosen", "floor": "", "free": ""}},
		{"a variant through its base", "2026-06-01", Request{Model: "m", Variant: "v", Plan: "basic", Channel: "api", Territory: "US", Output: 1}, nil, map[string]string{"rack": "chosen", "floor": "", "free": ""}},
		{"one host is denied", "2026-06-01", Request{Model: "m", Plan: "basic", Channel: "api", Territory: "CA", Output: 1}, nil, map[string]string{"rack": "chosen", "floor": "", "free": NoRight}},
		{"only Europe", "2026-06-01", Request{Model: "m", Plan: "eu", Channel: "api", Territory: "US", Output: 1}, nil, map[string]string{"rack": "chosen", "floor": NoResidency, "free": NoResidency}},
		{"after the right", "2027-01-01", *ask(1), nil, map[string]string{"rack": NoRight, "floor": NoRight, "free": NoRight}},
		{"after the contracts", "2026-12-31", *ask(1), func(a *alliance.Alliance) { a.Contracts[1].Until = date("2026-12-31") }, map[string]string{"rack": "chosen", "floor": NotInTerm, "free": ""}},
		{"before the ramp", "2026-06-01", *ask(1), func(a *alliance.Alliance) { a.Contracts[0].Ramp = a.Contracts[0].Ramp[1:] }, map[string]string{"rack": NoCapacity, "floor": "chosen", "free": ""}},
		{"without a price", "2026-06-01", *ask(1), func(a *alliance.Alliance) { a.Prices = a.Prices[:1] }, map[string]string{"rack": "chosen", "floor": "", "free": NoPrice}},
		{"another model", "2026-06-01", Request{Model: "other", Plan: "none", Channel: "api"}, nil, map[string]string{"rack": NotServed, "floor": NotServed, "free": NotServed}},
		{"not in the plan", "2026-06-01", Request{Model: "m", Plan: "none", Channel: "api"}, nil, map[string]string{"rack": NotInPlan, "floor": NotInPlan, "free": NotInPlan}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := trio()
			if c.edit != nil {
				c.edit(a)
			}
			at := date(c.at).Time
			r := New(a.Build(), at)
			r.Resolve(at, func(alliance.ContractID) money.Amount { return 0 })
			e := r.Explain(at, at, &c.q)
			got := map[string]string{}
			for _, x := range e.Candidates {
				got[string(x.Pool.ID)] = ""
				if x.Cost.Verdict == record.Chosen {
					got[string(x.Pool.ID)] = "chosen"
				}
			}
			for _, x := range e.Ineligible {
				got[string(x.Pool.ID)] = x.Cause
				if x.Why == "" {
					t.Errorf("pool %s is ineligible without a why", x.Pool.ID)
				}
				if c.q.Territory == "CA" && (len(x.Refusals) != 1 || x.Refusals[0].Right.Claim[0] != "K1" || len(x.Conflicts) != 1 || x.Conflicts[0].ID != "K2") {
					t.Errorf("refusals %+v, conflicts %+v", x.Refusals, x.Conflicts)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("pools differ (-want +got):\n%s", d)
			}
			d := r.Decide(at, &c.q, 0)
			if (d.Pool != nil) != (len(e.Candidates) > 0) || d.Pool != nil && got[string(d.Pool.ID)] != "chosen" {
				t.Errorf("decision %v does not agree with the explanation", d.Pool)
			}
		})
	}
}

func TestDecide_CandidatesEndWithTheRightAndGrowWithTheRamp(t *testing.T) {
	end := date("2027-01-01").Time
	r := New(trio(), noon)
	expect(t, r, noon, ask(1), "rack")
	expect(t, r, end.Add(-1), ask(1), "rack")
	expect(t, r, end, ask(1), NoRight)
	a := trio()
	a.Pools[0].Chips = 2
	r = New(a.Build(), noon)
	for _, c := range []struct {
		at    string
		chips int64
	}{{"2026-06-30", 1}, {"2026-07-01", 2}} {
		r.Decide(date(c.at).Time, ask(1), 1)
		if got := r.Pools(date(c.at).Time)[0].Capacity; got != c.chips*60*contract.UseDivisor {
			t.Errorf("on %s the capacity is %d", c.at, got)
		}
	}
}

func TestStandIn_ScalesCapacity(t *testing.T) {
	a := trio()
	a.Pools[0].StandIn = &alliance.StandIn{Kind: "simulated", ScalePPM: 1000}
	if got := New(a.Build(), noon).Pools(noon)[0].Capacity; got != 60*contract.UseDivisor/1000 {
		t.Errorf("capacity %d", got)
	}
}

func TestLambda_FollowsWhatTheRestOfTheIntervalNeeds(t *testing.T) {
	c := &trio().Contracts[1]
	f := c.Floors[0]
	mid := f.From.Add(f.Until.Sub(f.From.Time) / 2)
	for _, x := range []struct {
		name  string
		at    time.Time
		spent money.Amount
		want  int64
	}{
		{"on the path", mid, 500 * money.Micro, 0},
		{"ahead of it", mid, 600 * money.Micro, 0},
		{"a hundredth of the floor behind", mid, 490 * money.Micro, 160_000},
		{"far behind", mid, 100 * money.Micro, 1_000_000},
		{"met", f.Until.Add(-time.Hour), 1000 * money.Micro, 0},
		{"a little missing at the very end", f.Until.Add(-time.Minute), 970 * money.Micro, 1_000_000},
	} {
		if got := lambdaOf(x.at, c, f, x.spent); got != x.want {
			t.Errorf("%s: lambda is %d ppm, want %d", x.name, got, x.want)
		}
	}
}

func TestReload_KeepsThePoolsState(t *testing.T) {
	r := New(trio(), noon)
	d := expect(t, r, noon, ask(3000), "rack")
	r.Resolve(noon, func(alliance.ContractID) money.Amount { return 0 })
	a := trio()
	a.Pools = []alliance.Pool{a.Pools[2], a.Pools[0]}
	r.Reload(a.Build(), noon)
	for _, s := range r.sets {
		if s.candidates != nil {
			t.Error("candidates of the old terms are kept")
		}
	}
	if got := r.Pools(noon)[1]; got.ID != "rack" || got.InFlight != 1 || got.Left != 30*contract.UseDivisor {
		t.Fatalf("after the reload: %+v", got)
	}
	a = trio()
	a.Pools = a.Pools[1:]
	gone := New(trio(), noon)
	lost := expect(t, gone, noon, ask(3000), "rack")
	gone.Reload(a.Build(), noon)
	gone.Observe(noon, Outcome{Reservation: lost.Reservation, Served: true})
	for _, p := range gone.Pools(noon) {
		if p.InFlight != 0 {
			t.Errorf("pool %s has %d in flight", p.ID, p.InFlight)
		}
	}
	r.Observe(noon, Outcome{Reservation: d.Reservation, Failure: "status_500"})
	if got := r.Pools(noon)[1]; got.InFlight != 0 || got.Left != 60*contract.UseDivisor {
		t.Errorf("after the observation: %+v", got)
	}
}

func TestCheckpoint_RestoresPricesRatesAndHealth(t *testing.T) {
	f := newFamily(3, 1.3, 1, 1)
	at := date("2026-05-01").Time
	r := New(f.terms, at)
	q := Request{Plan: "plan", Channel: "api", Territory: "US", Output: familyTokens}
	list, _ := f.arrivals(0)
	for i, x := range list {
		q.Model = f.terms.Models[x.class].ID
		at = at.Add(50 * time.Millisecond)
		d := r.Decide(at, &q, 0)
		r.Observe(at, Outcome{Reservation: d.Reservation, Served: i%5 != 0, Failure: "timeout", TTFT: time.Second})
		if i%40 == 0 {
			r.Resolve(at, nil)
		}
	}
	r.Resolve(at, nil)
	saved := r.Checkpoint()
	s := New(f.terms, at)
	if err := s.Restore(saved); err != nil {
		t.Fatal(err)
	}
	checkRoom(t, s)
	if d := cmp.Diff(string(saved), string(s.Checkpoint())); d != "" {
		t.Errorf("the checkpoint of the restored router differs:\n%s", d)
	}
	s.learnedAt = r.learnedAt
	r.Resolve(at.Add(time.Second), nil)
	s.Resolve(at.Add(time.Second), nil)
	priced := false
	for i := range r.pools {
		priced = priced || r.pools[i].mu > 0
		if r.pools[i].mu != s.pools[i].mu {
			t.Errorf("pool %d: mu %g and %g", i, r.pools[i].mu, s.pools[i].mu)
		}
	}
	if !priced {
		t.Error("no pool has a price: the test shows nothing")
	}
	for _, bad := range []string{"", "{}", `{"version":2}`, `{"version":1,"pools":[{"id":"x","mu":-1}]}`, `{"version":1,"classes":[{"bucket":9999}]}`} {
		if New(f.terms, at).Restore([]byte(bad)) == nil {
			t.Errorf("restored %q", bad)
		}
	}
}

func TestDecide_TheSameCallsGiveTheSameDecisions(t *testing.T) {
	trace := func() string {
		f := newFamily(5, 1.3, 1, 1)
		at := date("2026-05-01").Time
		r := New(f.terms, at)
		list, _ := f.arrivals(0)
		out := ""
		for i, x := range list[:600] {
			at = at.Add(80 * time.Millisecond)
			d := r.Decide(at, &Request{Model: f.terms.Models[x.class].ID, Plan: "plan", Channel: "api", Output: familyTokens}, uint64(i))
			out += fmt.Sprintln(d.Sequence, d.Pool.ID, d.Considered)
			if i%7 != 0 {
				out += fmt.Sprintln(r.Observe(at, Outcome{Reservation: d.Reservation, Served: true}))
			}
			if i%25 == 0 {
				r.Resolve(at, nil)
			}
		}
		return out + string(r.Checkpoint())
	}
	if a, b := trace(), trace(); a != b {
		t.Error("two runs differ")
	}
}

func TestDecide_AllocatesNothingWithABuffer(t *testing.T) {
	r := New(trio(), noon)
	q := ask(100)
	q.Buffer = make([]record.Considered, 8)
	if n := testing.AllocsPerRun(100, func() {
		d := r.Decide(noon, q, 1)
		r.Observe(noon, Outcome{Reservation: d.Reservation, Served: true})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSets_AreBounded(t *testing.T) {
	r := New(trio(), noon)
	for i := range MaxSets + 100 {
		q := ask(1)
		q.Territory = alliance.Territory(fmt.Sprintf("t%d", i))
		r.Decide(noon, q, 1)
	}
	if len(r.sets) != MaxSets || len(r.order) != MaxSets || r.classes > MaxClasses {
		t.Errorf("%d sets, %d in order, %d classes", len(r.sets), len(r.order), r.classes)
	}
}

func FuzzRestore(f *testing.F) {
	r := New(trio(), noon)
	r.Decide(noon, ask(10), 1)
	r.Resolve(noon, nil)
	f.Add(r.Checkpoint())
	f.Add([]byte(`{"version":1,"den":1e300,"pools":[{"id":"rack","mu":1e200,"scale":1e-300}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := New(trio(), noon)
		if r.Restore(b) != nil {
			return
		}
		for i := range 3 {
			at := noon.Add(time.Duration(i) * 2 * time.Second)
			r.Decide(at, ask(100), 1)
			r.Resolve(at, nil)
		}
		if err := New(trio(), noon).Restore(r.Checkpoint()); err != nil {
			t.Errorf("what was restored does not restore again: %v", err)
		}
	})
}
