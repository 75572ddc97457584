package route

import (
	"math"
	"math/bits"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// The learner of arrivals: what it knows halves every halfLife; a class that
// is expected less than once in an hour or so is forgotten.
const (
	halfLife   = 15 * time.Minute
	forget     = 0.05
	MaxClasses = 2048 // over all sets; requests beyond are routed but not learned
)

// Sizes are told apart by octaves of input and double octaves of output.
const (
	inputBuckets  = 24
	outputBuckets = 12
	buckets       = inputBuckets * outputBuckets
)

// class is the demand of one set and size: arrivals and tokens, discounted.
type class struct {
	bucket          uint16
	count, in, out  float64 // since the last Resolve
	sum, sumI, sumO float64 // discounted
	meanIn, meanOut float64
	toCome          float64 // arrivals until the window ends
}

func bucketOf(in, out float64) uint16 {
	i := min(bits.Len64(uint64(in)), inputBuckets-1)
	o := min((bits.Len64(uint64(out))+1)/2, outputBuckets-1)
	return uint16(i*outputBuckets + o)
}

// arrive counts a request. The first of its class also sets what capacity is
// worth to it, so that the tie-break works before the first solve.
func (r *Router) arrive(s *set, in, out float64) {
	b := bucketOf(in, out)
	i := s.byBucket[b]
	if i == 0 {
		if r.classes >= MaxClasses {
			return
		}
		r.classes++
		s.classes = append(s.classes, class{bucket: b})
		i = uint16(len(s.classes))
		s.byBucket[b] = i
		over := r.worth(s, in, out)
		for j := range s.candidates {
			if c := &s.candidates[j]; c.kind == committed {
				if use := c.useIn*in + c.useOut*out; use > 0 {
					p := c.pool
					p.scale = max(p.scale, over/use)
				}
			}
		}
	}
	c := &s.classes[i-1]
	c.count++
	c.in += in
	c.out += out
}

// worth is what a request costs where capacity is not scarce: the cheapest
// overflow. Where there is none, refusing it is taken to cost twice the
// dearest candidate, and at least a unit of currency per million tokens.
func (r *Router) worth(s *set, in, out float64) float64 {
	least, most := math.Inf(1), 1000*(in+out)
	for i := range s.candidates {
		c := &s.candidates[i]
		p := c.pool
		price := c.priceIn*in + c.priceOut*out
		if c.kind == committed {
			most = max(most, 2*price)
			if c.clauses != nil && c.clauses.over && p.fixed {
				least = min(least, c.clauses.cost(in, out)+s.latency*p.ttft)
			}
			continue
		}
		if p.health.until > r.learnedAt {
			continue
		}
		least = min(least, c.marginal(p, in, out)+s.latency*p.ttft)
	}
	if math.IsInf(least, 1) {
		return most
	}
	return least
}

// Resolve sets the shadow prices anew, on the capacity that is left in the
// window and the arrivals that are still to come; call it every two seconds.
// spent tells what a contract has spent in its current interval, or hour, from
// the books; nil leaves the prices of floors as they are.
func (r *Router) Resolve(now time.Time, spent func(alliance.ContractID) money.Amount) {
	at := now.UnixNano()
	if at >= r.validUntil {
		r.refresh(now)
	}
	fresh := at >= r.windowEnd || r.learnedAt < r.windowEnd-r.window
	r.roll(at)
	if spent != nil {
		r.pace(now, spent)
		r.follow(now, spent)
		r.drawn(at, spent)
	}
	r.learn(at)
	r.solve(now)
	if fresh {
		for i := range r.pools {
			r.pools[i].muFirst = r.pools[i].mu
		}
	}
}

// learn folds the arrivals since the last Resolve into the rates.
func (r *Router) learn(at int64) {
	dt := float64(min(max(at-r.learnedAt, 0), r.window)) / 1e9
	r.learnedAt = at
	r.forgetTTFT(dt)
	keep := math.Exp2(-dt / halfLife.Seconds())
	r.den = r.den*keep + dt
	rest := float64(r.windowEnd-at) / 1e9
	for _, k := range r.order {
		s := r.sets[k]
		lost := false
		for i := range s.classes {
			c := &s.classes[i]
			c.sum = c.sum*keep + c.count
			c.sumI = c.sumI*keep + c.in
			c.sumO = c.sumO*keep + c.out
			c.count, c.in, c.out = 0, 0, 0
			c.toCome = 0
			if c.sum > 0 && r.den > 0 {
				c.meanIn, c.meanOut = c.sumI/c.sum, c.sumO/c.sum
				c.toCome = c.sum / r.den * rest
			}
			lost = lost || c.sum < forget
		}
		if lost {
			r.drop(s)
		}
	}
}

// drop forgets the classes of which next to nothing is left.
func (r *Router) drop(s *set) {
	kept := s.classes[:0]
	s.byBucket = [buckets]uint16{}
	for _, c := range s.classes {
		if c.sum >= forget {
			kept = append(kept, c)
			s.byBucket[c.bucket] = uint16(len(kept))
		}
	}
	r.classes -= len(s.classes) - len(kept)
	s.classes = kept
}

// gain is how hard the price of a floor reacts to being behind.
const gain = 8

// pace sets lambda per contract: 0 where the floor of the interval is met,
// else gain × (how much faster than the calendar the rest must be spent - 1).
// At the start of an interval that is gain × (path - spend)/floor with the
// calendar as the path; towards its end it grows, so that being behind by a
// little does not end in a shortfall.
func (r *Router) pace(now time.Time, spent func(alliance.ContractID) money.Amount) {
	lambdas := map[alliance.ContractID]int64{}
	for i := range r.a.Contracts {
		c := &r.a.Contracts[i]
		lambda := int64(0)
		if f, ok := contract.FloorAt(c, now); ok && contract.HasFloor(c.Shape) && f.Amount > 0 {
			lambda = lambdaOf(now, c, f, spent(c.ID))
		}
		lambdas[c.ID] = lambda
	}
	for i := range r.pools {
		p := &r.pools[i]
		if p.contract != nil {
			p.lambda = lambdas[p.contract.ID]
			r.margin(p)
		}
	}
}

func lambdaOf(now time.Time, c *alliance.Contract, f alliance.Floor, spent money.Amount) int64 {
	until := f.Until
	if until.IsZero() {
		until = c.Until
	}
	rest := float64(f.Amount - spent)
	if rest <= 0 {
		return 0
	}
	left := 0.5
	if !until.IsZero() {
		left = until.Sub(now).Seconds() / until.Sub(f.From.Time).Seconds()
	}
	// The last fiftieth of an interval is paced as one.
	behind := rest/float64(f.Amount)/max(left, 0.02) - 1
	return int64(min(max(gain*behind, 0), 1) * contract.PPM)
}
