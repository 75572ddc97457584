package route

import (
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/record"
)

// Explain lists every pool of the terms with its verdict at now as known at
// known, and the cost of candidates at this instant, cheapest first. It
// changes nothing, and a model that differs in kind has no candidates.
func (r *Router) Explain(now, known time.Time, q *Request) Explanation {
	var e Explanation
	s := &set{key: keyOf(q)}
	if p := r.a.Plan(q.Plan); p != nil {
		s.latency = float64(p.LatencyPerSecond) * 1000
	}
	m := r.a.Model(q.Model)
	for i := range r.pools {
		c, no := r.judge(now, known, s.key, int32(i))
		if no == nil && q.Kind != "" && m != nil && m.Kind != "" && m.Kind != q.Kind {
			no = &Ineligible{Pool: r.pools[i].terms, Cause: NotServed, Why: fmt.Sprintf("%s is a model of kind %s, not %s", m.ID, m.Kind, q.Kind)}
		}
		if no != nil {
			e.Ineligible = append(e.Ineligible, *no)
			continue
		}
		s.candidates = append(s.candidates, c)
	}
	costs := make([]record.Considered, len(s.candidates))
	best := s.weigh(&weighing{at: now.UnixNano(), in: float64(max(q.Input, 0)), out: float64(max(q.Output, 0)), tried: q.Tried}, costs)
	for i := range s.candidates {
		c := &s.candidates[i]
		if i == best {
			costs[i].Verdict = record.Chosen
		}
		e.Candidates = append(e.Candidates, Candidate{
			Pool: c.pool.terms, PoolModel: c.model, Contract: c.pool.contract, Right: c.right, CostPrice: c.price, Cost: costs[i],
		})
	}
	slices.SortStableFunc(e.Candidates, func(a, b Candidate) int {
		switch chosen := record.Chosen; {
		case a.Cost.Verdict == chosen:
			return -1
		case b.Cost.Verdict == chosen:
			return 1
		case a.Cost.Cost != b.Cost.Cost:
			return int(min(max(a.Cost.Cost-b.Cost.Cost, -1), 1))
		}
		return 0
	})
	return e
}

// The units of a pool's capacity.
const (
	MicroChipSeconds = "micro_chip_seconds"
	MicroBurnUnits   = "micro_burn_units"
)

// Pools returns the state of every pool in the order of the terms.
func (r *Router) Pools(now time.Time) []PoolState {
	at := now.UnixNano()
	r.roll(at)
	out := make([]PoolState, 0, len(r.pools))
	for i := range r.pools {
		p := &r.pools[i]
		s := PoolState{
			ID: p.terms.ID, InFlight: p.inFlight, Healthy: true, Mu: nano(p.mu * 1e6), LambdaPPM: p.lambda,
			TTFT: time.Duration(p.ttft * 1e9), WindowEnd: time.Unix(0, r.windowEnd).UTC(),
			LoadPPM: int64(float64(p.inFlight) / float64(p.most) * 1e6),
		}
		if p.limited() {
			s.Capacity, s.Left, s.Unit = p.capacity, p.left, MicroChipSeconds
			if p.tokens {
				s.Unit = MicroBurnUnits
			}
			if p.capacity > 0 {
				s.LoadPPM = int64(float64(p.capacity-p.left) / float64(p.capacity) * 1e6)
			}
		}
		switch h := &p.health; {
		case h.until > at:
			s.Healthy = false
			s.Reason = fmt.Sprintf("%d failures in a row; the next request probes it in %s", h.failures, time.Duration(h.until-at).Round(time.Millisecond))
		case h.probing:
			s.Healthy, s.Reason = false, "one request is probing it"
		case h.fullUntil > at:
			s.Reason = fmt.Sprintf("its provider said to wait another %s", time.Duration(h.fullUntil-at).Round(time.Millisecond))
		case h.shunned > at:
			s.Healthy = false
			s.Reason = fmt.Sprintf("%d %% of its recent answers were failures; for %s it is asked only where no other pool can serve", int(100*h.odds.failures/h.odds.answers), time.Duration(h.shunned-at).Round(time.Millisecond))
		case p.contract == nil || !p.contract.Holds(now):
			s.Reason = fmt.Sprintf("contract %s is not in its term", p.terms.Contract)
		}
		out = append(out, s)
	}
	return out
}
