package route

import (
	"math"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
)

// efficiency is the tie-break between committed pools: the share of a unit's
// worth by which capacity counts as scarce although it is not.
const efficiency = 0.005

// fullRetry is when to try again where requests in flight fill a pool.
const fullRetry = time.Second

// Decide chooses a pool and books its use; rnd breaks exact ties. Rights,
// prices and terms are judged at now. Of the committed pools with room the
// cheapest at the margin is compared with the cheapest whose capacity nothing
// bounds: the overflow. At the same cost the committed one is taken: its
// capacity is lost when unused, while a floor can still be met later.
func (r *Router) Decide(now time.Time, q *Request, rnd uint64) Decision {
	r.seq++
	at := now.UnixNano()
	if at >= r.validUntil {
		r.refresh(now)
	}
	r.roll(at)
	d := Decision{Sequence: r.seq}
	s := r.set(now, keyOf(q))
	if q.Kind != "" && s.kind != "" && q.Kind != s.kind {
		d.Reason = NoPool
		return d
	}
	if len(s.candidates) == 0 {
		d.Reason, d.Refused = s.reason, s.refused
		return d
	}
	in, out := float64(max(q.Input, 0)), float64(max(q.Output, 0))
	if len(q.Tried) == 0 {
		r.arrive(s, in, out)
	}
	d.Considered = q.Buffer[:0]
	if cap(d.Considered) < len(s.candidates) {
		d.Considered = make([]record.Considered, 0, len(s.candidates))
	}
	d.Considered = d.Considered[:len(s.candidates)]
	best := r.scan(at, s, q.Tried, in, out, rnd, d.Considered)
	if best < 0 {
		d.Reason, d.RetryAfter = r.whyNone(at, s, d.Considered)
		return d
	}
	d.Considered[best].Verdict = record.Chosen
	c := &s.candidates[best]
	p := &r.pools[c.pool]
	d.Pool, d.PoolModel, d.Contract, d.Right = p.terms, c.model, p.terms.Contract, c.right.ID
	if c.price != nil {
		d.CostPrice = c.price.ID
	}
	d.Reservation = r.reserve(at, c, in, out)
	return d
}

// choice is the best candidate so far.
type choice struct {
	index int
	rank  float64 // what is compared: cost and tie-break
	cost  float64
	ties  uint32
}

// offer takes the candidate when it ranks first; of equals each is as likely.
func (b *choice) offer(i int, rank, cost float64, rnd uint64) uint64 {
	switch {
	case rank < b.rank:
		*b = choice{i, rank, cost, 1}
	case rank == b.rank:
		b.ties++
		rnd = rnd*6364136223846793005 + 1442695040888963407
		if uint32(rnd>>33)%b.ties == 0 {
			b.index, b.cost = i, cost
		}
	}
	return rnd
}

// scan fills considered and returns the index of the candidate to take, or
// -1. It changes nothing else.
func (r *Router) scan(at int64, s *set, tried []alliance.PoolID, in, out float64, rnd uint64, considered []record.Considered) int {
	committed := choice{index: -1, rank: math.Inf(1), cost: math.Inf(1)}
	overflow, resort := committed, committed
	candidates, pools, perSecond := s.candidates, r.pools, s.latency
	considered = considered[:len(candidates)]
	for i := range candidates {
		c := &candidates[i]
		p := &pools[c.pool]
		x := &considered[i]
		use, tie, scarcity, latency := 0.0, 0.0, 0.0, 0.0
		if c.bounded {
			use = c.useIn*in + c.useOut*out
		}
		price, beyond := (c.priceIn*in+c.priceOut*out)*p.margin, false
		if c.clauses != nil || p.hour != nil {
			price, beyond = c.special(at, p, in, out, use)
		}
		limited := c.bounded && !beyond
		if limited {
			scarcity = use * p.mu
			tie = use * efficiency * p.scale
		}
		if perSecond > 0 {
			latency = perSecond * p.ttft
		}
		cost := price + scarcity + latency
		x.Pool, x.LambdaPPM = c.id, p.lambda
		x.Price, x.Scarcity, x.Latency = nano(price), nano(scarcity), nano(latency)
		x.Cost = x.Price + x.Scarcity + x.Latency
		x.Verdict = record.Dearer
		if p.health.closed > at || limited && use > float64(p.left) { // seldom: verdict is not inlined
			if x.Verdict = p.verdict(at, limited, use); x.Verdict != record.Dearer && x.Verdict != shunned {
				continue
			}
		}
		if c.clauses != nil && c.stopped(p) {
			x.Verdict = record.UsedUp
			continue
		}
		if p.inFlight >= p.roomy && p.crowded(at, s.share) {
			x.Verdict = record.Full
			continue
		}
		if limited && p.buckets != nil && !p.admits(at, use, out) {
			x.Verdict = record.Full
			continue
		}
		if len(tried) > 0 && wasTried(tried, c.id) {
			x.Verdict = record.Tried
			continue
		}
		switch {
		case x.Verdict == shunned:
			x.Verdict = record.Unhealthy
			rnd = resort.offer(i, cost, cost, rnd)
		case limited:
			rnd = committed.offer(i, cost+tie, cost, rnd)
		default:
			rnd = overflow.offer(i, cost, cost, rnd)
		}
	}
	switch {
	case committed.index >= 0 && (overflow.index < 0 || committed.cost <= overflow.cost):
		return committed.index
	case overflow.index >= 0:
		return overflow.index
	}
	return resort.index
}

// shunned is the verdict on an outlier while it is being judged: it is taken
// where there is nothing else.
const shunned record.Verdict = 0

// verdict says whether the pool has health and room for a use of its
// capacity; Dearer stands for yes.
func (p *pool) verdict(at int64, bounded bool, use float64) record.Verdict {
	switch {
	case p.health.closed > at:
		if p.health.until > at || p.health.probing && p.health.probeUntil > at {
			return record.Unhealthy
		}
		if p.health.fullUntil > at {
			return record.Full
		}
		if !bounded || p.fits(use) {
			return shunned
		}
		return record.Full
	case bounded && !p.fits(use):
		return record.Full
	}
	return record.Dearer
}

// crowded reports whether as many requests are under way as the terms, the
// provider and the plan's priority allow.
func (p *pool) crowded(at, share int64) bool {
	most := p.pressure.most(at, p.most)
	if share < whole {
		most = max(1, most*share/whole)
	}
	return p.inFlight >= most
}

// fits reports whether a use, rounded up, fits what is left of the window.
// One that is larger than a whole window takes an untouched one and leaves a
// debt. Capacities are far below 2^53, so that the comparison is exact.
func (p *pool) fits(use float64) bool {
	return use <= float64(p.left) || p.left == p.capacity && use > float64(p.capacity) && p.capacity > 0
}

func nano(x float64) int64 {
	if x >= math.MaxInt64/4 {
		return math.MaxInt64 / 4
	}
	return int64(x)
}

func wasTried(tried []alliance.PoolID, id string) bool {
	for _, t := range tried {
		if string(t) == id {
			return true
		}
	}
	return false
}

// whyNone tells full from unhealthy and when to try again.
func (r *Router) whyNone(at int64, s *set, considered []record.Considered) (string, time.Duration) {
	reason, wait := Unhealthy, int64(math.MaxInt64)
	for i := range considered {
		p := &r.pools[s.candidates[i].pool]
		switch considered[i].Verdict {
		case record.Full:
			reason = Full
			switch {
			case p.health.fullUntil > at:
				wait = min(wait, p.health.fullUntil-at)
			case p.crowded(at, s.share):
				wait = min(wait, int64(fullRetry))
			case p.buckets != nil && p.left > 0:
				wait = min(wait, p.refill(at))
			default:
				wait = min(wait, r.windowEnd-at)
			}
		case record.UsedUp:
			if reason == Unhealthy && wait == math.MaxInt64 {
				reason = UsedUp
			}
		case record.Unhealthy:
			if reason == UsedUp {
				reason = Unhealthy
			}
			wait = min(wait, max(p.health.until-at, int64(fullRetry)))
		}
	}
	if wait == math.MaxInt64 {
		wait = 0
	}
	return reason, time.Duration(wait)
}
