package route

import (
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/right"
)

// Window is the time over which the capacity of a pool is counted. Windows
// begin at whole minutes.
const Window = time.Minute

// MaxSets bounds the (model, variant, plan, channel, territory) combinations
// whose candidates are kept; the oldest makes room for a new one.
const MaxSets = 4096

// MaxInFlight bounds the requests under way at a pool whose terms state none.
const MaxInFlight = 1 << 20

// maxCapacity bounds the micro-units of a window: a hundred million chips.
const maxCapacity = 1 << 52

// Router holds candidates, market and health for one version of the terms.
type Router struct {
	a      *alliance.Alliance
	rights *right.Register
	book   *rating.Book
	rates  *exchange.Table // of exchange, as known; nil: none
	seq    uint64
	window int64 // ns

	pools      []pool
	index      map[alliance.PoolID]int32
	serving    map[alliance.ModelID][]int32 // pools that have the model
	boundaries []time.Time                  // of prices, contracts and ramps
	validUntil int64                        // ns: candidates and capacities hold until then
	epoch      uint64                       // grows when candidates must be made anew

	hours map[alliance.ContractID]*hour // of contracts with a commitment per hour

	sets  map[key]*set
	order []key // of sets, oldest first
	last  *set  // that a decision used

	commitments map[alliance.ContractID]*commitment
	booked      time.Time // up to which the books hold everything

	windowEnd    int64 // ns
	reservations []reservation
	free         []uint32

	learnedAt int64 // ns of the last Resolve
	den       float64
	classes   int
	solver    solver
}

// pool is the state of a pool in the market. Money is in nano-units of the
// currency and capacity in micro-units; both are estimates that no book uses,
// which is why they may be floats.
// What every decision reads comes first, so that it is in two lines of cache.
type pool struct {
	room   float64 // the largest use that needs no closer look; negative: every one does
	mu     float64
	scale  float64 // the most that a unit was worth to any class
	margin float64 // share of the price that one more request costs
	ttft   float64 // expected, in seconds
	lambda int64   // ppm
	health health

	terms      *alliance.Pool
	index      int32 // among the router's
	contract   *alliance.Contract
	hour       *hour // of the contract; nil: it commits to no amount per hour
	capacity   int64 // of a window; 0: nothing bounds it but requests in flight
	left       int64 // of the window; negative: a debt that the next one pays
	inFlight   int64
	most       int64   // in flight
	roomy      int64   // below so many in flight nobody need ask crowded
	muFirst    float64 // mu at the start of the last window
	measured   bool
	fixed      bool        // a fee pays for it
	commitment *commitment // of the contract, where usage beyond it is special
	tokens     bool        // capacity is in burn units, else in chip-seconds
	buckets    []bucket
	special    bool // the contract's clauses, or its hour, have a say in what a request costs
	pressure   pressure
}

// New returns a router for a with no history.
func New(a *alliance.Alliance, now time.Time) *Router {
	r := &Router{window: int64(Window), sets: map[key]*set{}, learnedAt: now.UnixNano()}
	r.Reload(a, now)
	return r
}

// Reload replaces the terms. Prices, health, requests in flight and learned
// rates of pools that are still there are kept.
func (r *Router) Reload(a *alliance.Alliance, now time.Time) {
	old, oldIndex := r.pools, r.index
	r.a, r.rights, r.book = a, right.New(a), rating.NewBook(a)
	r.pools = make([]pool, len(a.Pools))
	r.index = make(map[alliance.PoolID]int32, len(a.Pools))
	r.serving = map[alliance.ModelID][]int32{}
	for i := range a.Pools {
		t, p := &a.Pools[i], &r.pools[i]
		if j, kept := oldIndex[t.ID]; kept {
			*p = old[j]
		}
		p.terms, p.index, p.contract, p.most = t, int32(i), a.Contract(t.Contract), t.MaxInFlight
		if p.most <= 0 {
			p.most = MaxInFlight
		}
		p.relax()
		if !p.measured {
			p.ttft = float64(t.Endpoint.TTFTMS) / 1000
		}
		r.margin(p)
		p.fixed = p.contract != nil && contract.Perishes(p.contract.Shape)
		p.special = p.contract != nil && (p.contract.Overage != nil || p.contract.Eligibility != nil || contract.Covers(p.contract.Shape))
		r.index[t.ID] = int32(i)
		for j := range t.Models {
			m := t.Models[j].Model
			if !slices.Contains(r.serving[m], int32(i)) {
				r.serving[m] = append(r.serving[m], int32(i))
			}
		}
	}
	for i := range r.reservations {
		v := &r.reservations[i]
		if v.pool < 0 {
			continue
		}
		if j, kept := r.index[old[v.pool].terms.ID]; kept {
			v.pool = j
		} else {
			v.pool = gone
		}
	}
	for _, s := range r.sets {
		s.candidates = nil // they would keep the old pools and terms
	}
	r.indexCommitments()
	r.indexBoundaries()
	r.indexHours(now)
	r.refresh(now)
	r.roll(now.UnixNano())
}

func (r *Router) indexBoundaries() {
	var b []time.Time
	add := func(dates ...alliance.Date) {
		for _, d := range dates {
			if !d.IsZero() {
				b = append(b, d.Time)
			}
		}
	}
	for i := range r.a.Prices {
		add(r.a.Prices[i].From, r.a.Prices[i].Until)
	}
	for i := range r.a.Contracts {
		c := &r.a.Contracts[i]
		add(c.From, c.Until)
		for j := range c.Ramp {
			add(c.Ramp[j].From)
		}
		for j := range c.Delivered {
			add(c.Delivered[j].From)
		}
	}
	slices.SortFunc(b, time.Time.Compare)
	r.boundaries = slices.CompactFunc(b, time.Time.Equal)
}

// refresh makes candidates and capacities anew at a boundary.
func (r *Router) refresh(now time.Time) {
	r.epoch++
	next := r.rights.NextChange(now)
	i, found := slices.BinarySearchFunc(r.boundaries, now, time.Time.Compare)
	if found {
		i++
	}
	if i < len(r.boundaries) && (next.IsZero() || r.boundaries[i].Before(next)) {
		next = r.boundaries[i]
	}
	r.validUntil = 1<<63 - 1
	if !next.IsZero() && next.Year() < 2200 {
		r.validUntil = next.UnixNano()
	}
	chips := map[alliance.ContractID]int64{}
	tokens := map[alliance.ContractID]int64{}
	for i := range r.pools {
		t := r.pools[i].terms
		chips[t.Contract] += t.Chips
		tokens[t.Contract] += t.TokensPerMinute
	}
	for i := range r.pools {
		p := &r.pools[i]
		before := p.capacity
		p.setCapacity(now, r.window, chips[p.terms.Contract], tokens[p.terms.Contract])
		p.setBuckets(now.UnixNano())
		if p.left = min(p.left+p.capacity-before, p.capacity); before <= 0 {
			p.left = p.capacity
		}
		p.setRoom()
	}
}

// setCapacity works out what the pool can serve in a window: what the terms
// give it, scaled down where what the contract's ramp has delivered is less than its
// pools add up to.
func (p *pool) setCapacity(now time.Time, window, chips, tokens int64) {
	t := p.terms
	perSecond := float64(t.Chips) * contract.UseDivisor
	whole, ramp := chips, int64(-1)
	if p.tokens = t.TokensPerMinute > 0; p.tokens {
		perSecond = float64(t.TokensPerMinute) * contract.UseDivisor / 60
		whole = tokens
	}
	if p.contract != nil && len(p.contract.Ramp) > 0 {
		c, m := contract.CapacityAt(p.contract, now)
		switch {
		case p.tokens && anyTokens(p.contract):
			ramp = m
		case !p.tokens && anyChips(p.contract):
			ramp = c
		}
	}
	if ramp >= 0 && ramp < whole {
		perSecond *= float64(ramp) / float64(whole)
	}
	if s := t.StandIn; s != nil && s.ScalePPM > 0 {
		perSecond *= float64(s.ScalePPM) / contract.PPM
	}
	p.capacity = int64(min(perSecond*float64(window)/1e9, maxCapacity))
}

func anyTokens(c *alliance.Contract) bool {
	return slices.ContainsFunc(c.Ramp, func(s alliance.RampStep) bool { return s.TokensPerMinute > 0 })
}

func anyChips(c *alliance.Contract) bool {
	return slices.ContainsFunc(c.Ramp, func(s alliance.RampStep) bool { return s.Chips > 0 })
}

// limited reports whether the terms bound what the pool serves in a window.
func (p *pool) limited() bool { return p.terms.Chips > 0 || p.terms.TokensPerMinute > 0 }

// roll begins a new window when the last one is over: capacity is whole
// again, less debts, and prices are those of the start of a window.
func (r *Router) roll(at int64) {
	if at < r.windowEnd && at >= r.windowEnd-2*r.window {
		return
	}
	start := at - at%r.window
	if at < r.windowEnd { // the clock stepped back: the window that it left is over
		r.windowEnd = start
		r.forgive(at)
	}
	windows := (start-r.windowEnd)/r.window + 1
	r.windowEnd = start + r.window
	for _, h := range r.hours {
		h.roll(at)
	}
	for i := range r.pools {
		p := &r.pools[i]
		if p.left < 0 && windows < 1<<20 {
			p.left = min(p.left+windows*p.capacity, p.capacity)
		} else {
			p.left = p.capacity
		}
		p.mu = p.muFirst
		p.setRoom()
	}
}

// forgive shortens waits that only a clock that has stepped back can explain.
func (r *Router) forgive(at int64) {
	for i := range r.pools {
		for j := range r.pools[i].buckets {
			b := &r.pools[i].buckets[j]
			b.at = min(b.at, at)
		}
		h := &r.pools[i].health
		h.until = min(h.until, at+int64(maxBackoff))
		h.fullUntil = min(h.fullUntil, at+int64(maxRetryAfter))
		h.shunned = min(h.shunned, at+shunFor)
		h.probeUntil = min(h.probeUntil, at+int64(probeEach))
		h.close()
		r.pools[i].pressure.since = min(r.pools[i].pressure.since, at)
	}
}

// setRoom follows every change of what is left, of the requests under way and
// of what bounds them.
func (p *pool) setRoom() {
	if p.room = float64(p.left); p.special || p.buckets != nil || p.inFlight >= p.roomy {
		p.room = -1
	}
}

// margin follows the price of the contract's floor.
func (r *Router) margin(p *pool) {
	if p.contract != nil {
		p.margin = float64(contract.MarginalPPM(p.contract.Shape, p.lambda)) / contract.PPM
	}
}
