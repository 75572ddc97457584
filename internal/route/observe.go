package route

import (
	"math"
	"time"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
)

// The rules of health: after failuresToOpen failures in a row a pool is left
// alone for firstBackoff, doubled with each failed probe up to maxBackoff;
// then one request probes it, and while none has ended another every
// probeEach, because a probe may be an answer of minutes. A 429 without a
// Retry-After closes it for defaultRetryAfter, one with for at most
// maxRetryAfter.
const (
	failuresToOpen    = 3
	firstBackoff      = time.Second
	maxBackoff        = time.Minute
	probeEach         = 5 * time.Second
	defaultRetryAfter = time.Second
	maxRetryAfter     = 5 * time.Minute
)

// ttftWeight is the weight of a new measurement in the expected TTFT.
const ttftWeight = 0.1

// ttftHalfLife is how long a measured TTFT takes to come half way back to the
// declared one when nothing is measured any more: a pool that was slow once is
// asked again.
const ttftHalfLife = time.Minute

// forgetTTFT lets measured TTFTs relax over the seconds dt.
func (r *Router) forgetTTFT(dt float64) {
	keep := math.Exp2(-dt / ttftHalfLife.Seconds())
	for i := range r.pools {
		if p := &r.pools[i]; p.measured {
			declared := float64(p.terms.Endpoint.TTFTMS) / 1000
			p.ttft = declared + keep*(p.ttft-declared)
		}
	}
}

// health is what failures say of a pool. Invariant: probing only after until
// has passed, and only while a request is under way as the probe; closed
// follows every change of the others.
type health struct {
	closed     int64 // ns: the latest of those below, as one number for Decide
	failures   int
	until      int64 // ns: left alone until then
	fullUntil  int64 // ns: said 429
	probing    bool
	probeUntil int64 // ns: while probing, no other probe until then
	shunned    int64 // ns: until then others go first
	odds       odds
}

// close brings closed up to date.
func (h *health) close() {
	h.closed = max(h.until, h.fullUntil, h.shunned)
	if h.probing {
		h.closed = max(h.closed, h.probeUntil)
	}
}

// gone is the pool of a reservation whose pool left the terms, and free that
// of a slot that is not in use.
const (
	gone = -2
	free = -1
)

// reservation is capacity that a decision booked.
type reservation struct {
	pool          int32
	generation    uint32
	probe         bool
	use           int64
	in, out       float64
	window        int64   // end of the window that it was taken from
	useIn, useOut float64 // of the candidate
	useCached     float64
	useWrite      float64     // input written to a cache
	commitment    *commitment // that it retires, or nil
	clauses       *clauses
	held          float64 // of the commitment, micro-units
	spilled       bool    // beyond the pool's capacity: it takes none
	others        int32   // under way at the pool when it was booked
	drawn         float64 // of the hour's commitment
	begin         int64   // of that hour
	draws         cover
}

func (r *Router) reserve(at int64, c *candidate, in, out float64) Reservation {
	p := c.pool
	var i uint32
	if n := len(r.free); n > 0 {
		i, r.free = r.free[n-1], r.free[:n-1]
	} else {
		i = uint32(len(r.reservations))
		r.reservations = append(r.reservations, reservation{})
	}
	v := &r.reservations[i]
	// The slot is empty. A whole one written in its place, of which the
	// generation is read from the slot, would be made elsewhere and copied.
	v.pool, v.generation, v.in, v.out, v.window = p.index, v.generation+1, in, out, r.windowEnd
	v.probe, v.others = p.health.failures >= failuresToOpen, int32(p.inFlight)
	if m := p.commitment; m != nil && c.clauses != nil && c.clauses.retires {
		v.commitment, v.clauses, v.held = m, c.clauses, c.clauses.burns(in, out)
		m.hold(v.held)
	}
	if v.spilled = c.spills(at, p, c.useIn*in+c.useOut*out, out); c.kind == committed && !v.spilled {
		v.use = c.takes(in, out)
		v.useIn, v.useOut, v.useCached, v.useWrite = c.useIn, c.useOut, c.useIn, c.useIn
		if p.tokens && c.model.CachedWeightPPM+c.model.InputWeightPPM > 0 {
			_, write, read, _ := contract.BurnWeights(c.model)
			v.useWrite, v.useCached = float64(write), float64(read)
		}
	}
	if h := p.hour; h != nil {
		v.draws, v.drawn, v.begin = c.draws, c.draws.in*in+c.draws.out*out, h.begin
		h.drawn += v.drawn
	}
	if v.probe {
		p.health.probing, p.health.probeUntil = true, at+int64(probeEach)
		p.health.close()
	}
	p.inFlight++
	p.left -= v.use
	p.setRoom()
	if !v.spilled {
		p.draw(at, float64(v.use), out)
	}
	return Reservation{uint64(v.generation)<<32 | uint64(i) + 1}
}

// Observe reconciles a reservation with what happened and returns its
// sequence number, which counts decisions and observations together. What was
// used above the estimate is taken off what is left, now or of the next
// window; what was not used comes back only within its own window.
func (r *Router) Observe(now time.Time, o Outcome) uint64 {
	r.seq++
	at := now.UnixNano()
	r.roll(at)
	i, generation := o.Reservation.ID&0xffffffff-1, uint32(o.Reservation.ID>>32)
	if o.Reservation.ID == 0 || i >= uint64(len(r.reservations)) {
		return r.seq
	}
	v := r.reservations[i]
	if v.pool == free || v.generation != generation {
		return r.seq
	}
	r.reservations[i] = reservation{pool: free, generation: generation}
	r.free = append(r.free, uint32(i))
	if v.commitment != nil {
		v.commitment.release(at, v.held, v.burnt(&o))
	}
	if v.pool == gone {
		return r.seq
	}
	p := &r.pools[v.pool]
	p.inFlight--
	used, out := v.used(&o)
	if d := v.use - used; d < 0 || v.window == r.windowEnd {
		p.left = min(p.left+d, p.capacity)
	}
	if !v.spilled {
		p.draw(at, float64(used-v.use), out-v.out)
	}
	v.settle(p.hour, &o)
	if o.TTFT > 0 && o.Served {
		x := o.TTFT.Seconds()
		if p.measured {
			x = p.ttft + ttftWeight*(x-p.ttft)
		}
		p.ttft, p.measured = x, true
	}
	switch {
	case o.Served:
		p.pressure.took(min(p.inFlight, int64(v.others)))
	case o.Failure == FailureRateLimited:
		p.pressure.full(at, max(p.inFlight, int64(v.others)), o.RetryAfter, p.health.fullUntil > at)
		p.relax()
	}
	p.setRoom()
	p.health.learn(at, &o, v.probe)
	return r.seq
}

// burnt is what the attempt retired of a commitment: nothing where nothing was
// served, because what may be owed all the same is suspense.
func (v *reservation) burnt(o *Outcome) float64 {
	switch {
	case !o.Served:
		return 0
	case o.Usage == usage.Vector{}:
		return v.held
	}
	q, _, ok := rating.Numerator(v.clauses.burn, o.Usage).FloorDiv(rating.Divisor)
	if !ok {
		return v.held
	}
	return float64(q)
}

// settle puts right what the attempt drew on its hour.
func (v *reservation) settle(h *hour, o *Outcome) {
	if h == nil || h.begin != v.begin {
		return
	}
	drawn := v.drawn
	switch u := o.Usage; {
	case u != (usage.Vector{}):
		drawn = v.draws.in*float64(u.UncachedInput+u.CacheWrite) + v.draws.cached*float64(u.CacheRead) + v.draws.out*float64(u.AllOutput())
	case !o.Served:
		drawn = 0
	}
	h.drawn = max(0, h.drawn+drawn-v.drawn)
}

// used is the capacity that the attempt took in truth, and its output.
func (v *reservation) used(o *Outcome) (use int64, out float64) {
	if o.Usage == (usage.Vector{}) {
		if o.Served {
			return v.use, v.out
		}
		return 0, 0
	}
	u := o.Usage
	x := v.useIn*float64(u.UncachedInput) + v.useWrite*float64(u.CacheWrite) + v.useCached*float64(u.CacheRead) + v.useOut*float64(u.AllOutput())
	return int64(min(x, 1<<60)), float64(u.AllOutput())
}

func (h *health) learn(at int64, o *Outcome, probe bool) {
	defer h.close()
	if probe {
		h.probing = false
	}
	switch {
	case o.Served:
		h.failures, h.until = 0, 0
		h.odds.note(at, false)
	case o.Failure == FailureRateLimited:
		wait := o.RetryAfter
		if wait <= 0 {
			wait = defaultRetryAfter
		}
		h.fullUntil = max(h.fullUntil, at+int64(min(wait, maxRetryAfter)))
		if probe {
			h.failures, h.until = 0, 0
		}
	case o.Failure == FailureCancelled || o.Failure == FailureRequest || o.Failure == "":
	case h.odds.note(at, true):
		h.shunned = at + shunFor
		h.fail(at, probe)
	default:
		h.fail(at, probe)
	}
}

// fail counts a failure towards those in a row.
func (h *health) fail(at int64, probe bool) {
	switch {
	case probe || h.until <= at:
		h.failures++
		if h.failures >= failuresToOpen {
			wait := firstBackoff << min(h.failures-failuresToOpen, 10)
			h.until = at + int64(min(wait, maxBackoff))
		}
	}
}
