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
	s := r.set(now, q)
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
	best := s.weigh(&weighing{at: at, in: in, out: out, tried: q.Tried, rnd: rnd}, d.Considered)
	if best < 0 {
		d.Reason, d.RetryAfter = r.whyNone(at, s, d.Considered)
		return d
	}
	d.Considered[best].Verdict = record.Chosen
	c := &s.candidates[best]
	p := c.pool
	d.Pool, d.PoolModel, d.Contract, d.Right = p.terms, c.model, p.terms.Contract, c.right.ID
	if c.price != nil {
		d.CostPrice = c.price.ID
	}
	d.Reservation = r.reserve(at, c, in, out)
	return d
}

// kind says against which candidates one is compared.
type kind uint8

const (
	committed kind = iota // takes of a capacity that is lost when unused
	overflow
	resort  // an outlier, taken where there is nothing else
	refused // cannot serve this request
	kinds
)

// choice is the best candidate of a kind so far.
type choice struct {
	index int
	rank  float64 // what is compared: cost and tie-break
	cost  float64
	ties  uint32
}

// offer takes a candidate that ranks no worse than the best; of equals each
// is as likely. It returns the next random number.
func (b *choice) offer(i int, rank, cost float64, rnd uint64) uint64 {
	if rank < b.rank {
		*b = choice{i, rank, cost, 1}
		return rnd
	}
	b.ties++
	rnd = rnd*6364136223846793005 + 1442695040888963407
	if uint32(rnd>>33)%b.ties == 0 {
		b.index, b.cost = i, cost
	}
	return rnd
}

// choices are the best candidates of all kinds.
type choices [kinds]choice

// clear forgets all; nothing ranks before the best of the refused.
func (b *choices) clear() {
	for k := range b {
		b[k] = choice{index: -1, rank: math.Inf(1), cost: math.Inf(1)}
	}
	b[refused].rank = math.Inf(-1)
}

// first is the index of the candidate to take, or -1.
func (b *choices) first() int {
	switch c, o := &b[committed], &b[overflow]; {
	case c.index >= 0 && (o.index < 0 || c.cost <= o.cost):
		return c.index
	case o.index >= 0:
		return o.index
	}
	return b[resort].index
}

// weighing is a request whose candidates are compared.
type weighing struct {
	at      int64 // ns
	in, out float64
	tried   []alliance.PoolID
	rnd     uint64
	best    choices
	left    bool // scan has left candidates to closer
}

// unseen is the verdict on a candidate that scan leaves to closer.
const unseen record.Verdict = 0

// leave leaves a candidate to closer.
func (w *weighing) leave(x *record.Considered) { x.Verdict, w.left = unseen, true }

// weigh fills considered and returns the index of the candidate to take, or
// -1. It changes nothing else.
func (s *set) weigh(w *weighing, considered []record.Considered) int {
	w.best.clear()
	if len(w.tried) == 0 {
		s.scan(w, considered)
	} else {
		for i := range considered {
			w.leave(&considered[i])
		}
	}
	if w.left {
		s.closer(w, considered)
	}
	return w.best.first()
}

// scan judges the candidates with room and health whose price is what it
// says, which are nearly all of them, in few steps: it calls nothing, so that
// its figures stay in registers.
func (s *set) scan(w *weighing, considered []record.Considered) {
	at, in, out, rnd, perSecond, candidates := w.at, w.in, w.out, w.rnd, s.latency, s.candidates
	considered = considered[:len(candidates)]
	for i := range candidates {
		c, x := &candidates[i], &considered[i]
		p, use := c.pool, c.useIn*in+c.useOut*out
		price, scarcity, latency := (c.priceIn*in+c.priceOut*out)*p.margin, use*p.mu, perSecond*p.ttft
		cost := price + scarcity + latency
		if p.health.closed > at || use > p.room || cost >= mostNano {
			w.leave(x)
			continue
		}
		c.note(x, record.Dearer, int64(price), int64(scarcity), int64(latency))
		rank := cost + use*efficiency*p.scale
		if b := &w.best[c.kind%kinds]; rank <= b.rank {
			rnd = b.offer(i, rank, cost, rnd)
		}
	}
	w.rnd = rnd
}

// closer judges the candidates that scan has left.
func (s *set) closer(w *weighing, considered []record.Considered) {
	again := len(w.tried) > 0
	for i := range considered {
		x := &considered[i]
		if x.Verdict != unseen {
			continue
		}
		c := &s.candidates[i]
		p := c.pool
		k, use, price := c.kind, c.useIn*w.in+c.useOut*w.out, (c.priceIn*w.in+c.priceOut*w.out)*p.margin
		if p.special {
			k, use, price = c.marginalAt(w.at, w.in, w.out, use)
		}
		scarcity, latency := use*p.mu, s.latency*p.ttft
		cost := price + scarcity + latency
		verdict := record.Dearer
		if again || p.health.closed > w.at || use > float64(p.left) || p.inFlight >= p.roomy || p.buckets != nil || p.commitment != nil {
			k, verdict = c.verdict(w, s.share, k, use)
		}
		c.note(x, verdict, nano(price), nano(scarcity), nano(latency))
		rank := cost + use*efficiency*p.scale
		if b := &w.best[k]; rank <= b.rank {
			w.rnd = b.offer(i, rank, cost, w.rnd)
		}
	}
}

// note writes down what was considered.
func (c *candidate) note(x *record.Considered, v record.Verdict, price, scarcity, latency int64) {
	x.Pool, x.Verdict, x.LambdaPPM = c.id, v, c.pool.lambda
	x.Cost, x.Price, x.Scarcity, x.Latency = price+scarcity+latency, price, scarcity, latency
}

// verdict says of which kind a candidate is now, and what to tell of it.
func (c *candidate) verdict(w *weighing, share int64, k kind, use float64) (kind, record.Verdict) {
	p, h, at, limited := c.pool, &c.pool.health, w.at, k == committed
	closed := h.closed > at
	switch {
	case closed && (h.until > at || h.probing && h.probeUntil > at):
		return refused, record.Unhealthy
	case closed && h.fullUntil > at, limited && !p.fits(use):
		return refused, record.Full
	case c.stopped():
		return refused, record.UsedUp
	case p.inFlight >= p.roomy && p.crowded(at, share), limited && !p.admits(at, use, w.out):
		return refused, record.Full
	case wasTried(w.tried, c.id):
		return refused, record.Tried
	case closed:
		return resort, record.Unhealthy
	}
	return k, record.Dearer
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

// mostNano is the largest amount of a record.
const mostNano = math.MaxInt64 / 4

func nano(x float64) int64 {
	if x >= mostNano {
		return mostNano
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
		p := s.candidates[i].pool
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
