package route

import (
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/right"
)

// key names the requests that have the same candidates.
type key struct {
	model, variant alliance.ModelID
	plan           alliance.PlanID
	channel        alliance.ChannelID
	territory      alliance.Territory
}

// set is the candidates of a key, made anew when the epoch changes, and what
// was learned about its demand.
type set struct {
	key        key
	epoch      uint64
	kind       string
	latency    float64 // nano-units per second of TTFT
	share      int64   // of the requests under way, in ppm
	candidates []candidate
	reason     string       // why there are none
	refused    []Ineligible // set when there are none
	classes    []class
	byBucket   [buckets]uint16 // index into classes + 1
}

// candidate is a pool that may serve the key's requests.
type candidate struct {
	pool              *pool
	kind              kind    // committed where it takes of the pool's capacity, else overflow
	useIn, useOut     float64 // micro-units of capacity per token
	priceIn, priceOut float64 // nano-units of the currency per token, before lambda
	id                string
	draws             cover // of the hour's commitment, where the contract has one
	model             *alliance.PoolModel
	right             *alliance.Right
	price             *alliance.Price // nil: fees are fixed and no price is in force
	clauses           *clauses        // nil: none that matters
}

func keyOf(q *Request) key {
	return key{q.Model, q.Variant, q.Plan, q.Channel, q.Territory}
}

// asks reports whether the key is the request's, without making one.
func (k *key) asks(q *Request) bool {
	return k.model == q.Model && k.variant == q.Variant && k.plan == q.Plan && k.channel == q.Channel && k.territory == q.Territory
}

// set returns the candidates for q, at most MaxSets of them kept.
func (r *Router) set(now time.Time, q *Request) *set {
	if s := r.last; s != nil && s.epoch == r.epoch && s.key.asks(q) {
		return s
	}
	k := keyOf(q)
	s := r.sets[k]
	if s == nil {
		if len(r.order) >= MaxSets {
			r.last = nil
			r.classes -= len(r.sets[r.order[0]].classes)
			delete(r.sets, r.order[0])
			r.order = r.order[1:]
		}
		s = &set{key: k}
		r.sets[k] = s
		r.order = append(r.order, k)
	}
	if s.epoch != r.epoch {
		r.fill(now, s)
	}
	r.last = s
	return s
}

func (r *Router) fill(now time.Time, s *set) {
	s.epoch = r.epoch
	s.candidates, s.refused, s.reason = s.candidates[:0], nil, ""
	if m := r.a.Model(s.key.model); m != nil {
		s.kind = m.Kind
	}
	s.share = SharePPM(r.a, r.a.Plan(s.key.plan))
	if p := r.a.Plan(s.key.plan); p != nil {
		s.latency = float64(p.LatencyPerSecond) * 1000
	}
	var refused []Ineligible
	for _, i := range r.serving[s.key.model] {
		c, no := r.judge(now, now, s.key, i)
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		s.candidates = append(s.candidates, c)
	}
	if len(s.candidates) == 0 {
		s.refused, s.reason = refused, reasonOf(refused)
	}
}

// reasonOf says why nothing may serve: what the last check that was reached
// found, as the checks come in the order plan, right, residency, the rest.
func reasonOf(refused []Ineligible) string {
	reason := NoPool
	for _, x := range refused {
		switch x.Cause {
		case NoRight:
			if reason == NoPool {
				reason = NoRight
			}
		case NoResidency:
			reason = NoResidency
		}
	}
	return reason
}

// judge decides whether a pool may serve the key's requests, whatever its
// load. It asks in the order plan, right, residency, contract, capacity,
// price, and names the first that refuses.
func (r *Router) judge(now, known time.Time, k key, i int32) (candidate, *Ineligible) {
	p := &r.pools[i]
	t := p.terms
	no := func(cause, why string, args ...any) (candidate, *Ineligible) {
		return candidate{}, &Ineligible{Pool: t, Cause: cause, Why: fmt.Sprintf(why, args...)}
	}
	c := candidate{pool: p, id: string(t.ID), model: serves(t, k.model)}
	if c.model == nil {
		return no(NotServed, "pool %s does not serve %s", t.ID, k.model)
	}
	plan := r.a.Plan(k.plan)
	if plan == nil {
		return no(NotInPlan, "there is no plan %s", k.plan)
	}
	if !r.inPlan(plan, k) {
		return no(NotInPlan, "plan %s does not include %s", plan.ID, orModel(k))
	}
	v := r.rights.Evaluate(right.Query{
		Object: alliance.StatelessAPI, Model: orModel(k), Seller: plan.Seller, Channel: k.channel,
		Host: t.Provider, Region: t.Region, Territory: k.territory, At: now, Known: known,
	})
	if !v.Allowed {
		_, x := no(NoRight, "%s", v.Reason)
		x.Refusals, x.Conflicts = v.Refusals, v.Conflicts
		return candidate{}, x
	}
	c.right = v.By
	if !t.Residency.In(plan.Residency) {
		return no(NoResidency, "pool %s runs under the rules of %q, plan %s asks for %v", t.ID, t.Residency, plan.ID, plan.Residency)
	}
	if p.contract != nil && contract.Optional(p.contract) {
		return no(NotExercised, "the option of contract %s was not exercised: accordo record exercise %s", t.Contract, t.Contract)
	}
	if p.contract == nil || !p.contract.Holds(now) {
		return no(NotInTerm, "contract %s is not in its term on %s", t.Contract, now.UTC().Format(time.DateOnly))
	}
	if p.limited() && p.capacity <= 0 {
		return no(NoCapacity, "contract %s has no capacity for pool %s on %s", t.Contract, t.ID, now.UTC().Format(time.DateOnly))
	}
	c.price, _ = r.book.Cost(t.ID, k.model, now)
	if c.price == nil && contract.MarginalPPM(p.contract.Shape, 0) > 0 {
		return no(NoPrice, "no price of %s on pool %s is in force on %s", k.model, t.ID, now.UTC().Format(time.DateOnly))
	}
	perUnit, ok := r.perUnit(p.contract, now)
	if !ok {
		return no(NoRate, "%s", noRate(r.a, p.contract, now))
	}
	if c.price != nil {
		rates := rating.Cost(c.price)
		if p.hour != nil { // beyond the hour's commitment the list price is owed
			rates, c.draws = c.price.List, coverOf(c.price)
		}
		c.priceIn, c.priceOut = float64(rates.Input)/1000*perUnit, float64(rates.Output)/1000*perUnit
	}
	c.clauses = c.clausesOf(p.contract, perUnit)
	c.useIn, c.useOut = p.use(c.model)
	if !p.limited() || c.useIn+c.useOut <= 0 {
		c.kind, c.useIn, c.useOut = overflow, 0, 0
	}
	return c, nil
}

func orModel(k key) alliance.ModelID {
	if k.variant != "" {
		return k.variant
	}
	return k.model
}

func serves(t *alliance.Pool, m alliance.ModelID) *alliance.PoolModel {
	for i := range t.Models {
		if t.Models[i].Model == m {
			return &t.Models[i]
		}
	}
	return nil
}

// inPlan reports whether the plan includes what is asked for: the variant,
// where there is one, else the model or a family that has it.
func (r *Router) inPlan(p *alliance.Plan, k key) bool {
	if k.variant != "" {
		v := r.a.Variant(k.variant)
		return v != nil && slices.Contains(v.Plans, p.ID)
	}
	return r.a.Includes(p, k.model)
}

// use returns the micro-units of capacity that one token of a model takes.
// A quota that states no weights counts tokens.
func (p *pool) use(m *alliance.PoolModel) (in, out float64) {
	if p.tokens {
		if m.InputWeightPPM == 0 && m.OutputWeightPPM == 0 {
			return contract.UseDivisor, contract.UseDivisor
		}
		return float64(m.InputWeightPPM), float64(m.OutputWeightPPM)
	}
	if n := m.InputTokensPerChipSecond; n > 0 {
		in = contract.UseDivisor / float64(n)
	}
	if n := m.OutputTokensPerChipSecond; n > 0 {
		out = contract.UseDivisor / float64(n)
	}
	return in, out
}

// takes is the capacity that a request of the given tokens takes, rounded up.
func (c *candidate) takes(in, out float64) int64 {
	if c.kind != committed {
		return 0
	}
	x := c.useIn*in + c.useOut*out
	n := int64(min(x, maxCapacity))
	if float64(n) < x {
		n++
	}
	return n
}
