package route

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
)

// bookedWithin is how long before the instant up to which the books hold
// everything an outcome must have been observed to be in them: it is written
// to the journal about when it is observed. What was observed later counts on
// top of what the books say. Near the end of a commitment some of it counts
// twice for so long, so that the end comes early and never late.
const bookedWithin = 2 * time.Second

// Booked tells the router up to which instant the books hold everything, for
// the Resolve that follows.
func (r *Router) Booked(at time.Time) { r.booked = at }

// commitment is what is left of the interval in force of a contract whose
// usage beyond it stops or has another price. Amounts are micro-units of the
// contract's currency.
type commitment struct {
	stops  bool
	known  bool
	floor  float64
	spent  float64 // by the books, at the last Resolve
	held   float64 // estimates of what is under way
	recent []spending
	used   bool // nothing is left
}

// spending is what was observed in one second.
type spending struct {
	second int64
	amount float64
}

// commitments makes those of the contracts with an overage; what was learned of
// one that was there before is kept, reservations refer to it.
func (r *Router) indexCommitments() {
	kept := map[alliance.ContractID]*commitment{}
	for i := range r.a.Contracts {
		c := &r.a.Contracts[i]
		if c.Overage == nil || !contract.HasFloor(c.Shape) {
			continue
		}
		m := r.commitments[c.ID]
		if m == nil {
			m = &commitment{}
		}
		m.stops = contract.StopsAtCommitment(c)
		kept[c.ID] = m
	}
	r.commitments = kept
	for i := range r.pools {
		r.pools[i].commitment = kept[r.pools[i].terms.Contract]
	}
}

// follow takes over what the books say of each commitment.
func (r *Router) follow(now time.Time, spent func(alliance.ContractID) money.Amount) {
	for id, m := range r.commitments {
		f, ok := contract.FloorAt(r.a.Contract(id), now)
		m.known = ok
		m.floor, m.spent = float64(f.Amount), 0
		if ok {
			m.spent = float64(spent(id))
		}
		old := r.booked.Add(-bookedWithin).Unix()
		for len(m.recent) > 0 && m.recent[0].second < old {
			m.recent = m.recent[1:]
		}
		m.settle()
	}
}

func (m *commitment) settle() {
	sum := m.spent + m.held
	for i := range m.recent {
		sum += m.recent[i].amount
	}
	m.used = m.known && sum >= m.floor
}

// hold counts the estimate of a request that is sent.
func (m *commitment) hold(amount float64) {
	m.held += amount
	m.settle()
}

// release counts what came of it.
func (m *commitment) release(at int64, held, amount float64) {
	m.held -= held
	second := at / int64(time.Second)
	if n := len(m.recent); n > 0 && m.recent[n-1].second >= second {
		m.recent[n-1].amount += amount
	} else if amount > 0 {
		m.recent = append(m.recent, spending{second, amount})
	}
	m.settle()
}

// clauses are what a contract says of usage beyond its commitment and of what
// retires it, for one candidate.
type clauses struct {
	retires         bool           // the floor, or draws on the credit
	burn            alliance.Rates // at which it does
	over            bool           // usage beyond the commitment has a price of its own
	overIn, overOut float64        // that price, as a candidate's
}

// clausesOf returns those of a candidate, nil where its contract has none.
func (c *candidate) clausesOf(k *alliance.Contract, perUnit float64) *clauses {
	if c.price == nil || k.Overage == nil && k.Eligibility == nil {
		return nil
	}
	x := &clauses{retires: contract.Retires(k, alliance.PoolID(c.id), c.model.Model), burn: contract.RetiringRates(k, c.price)}
	rates, _, ok := contract.OveragePrice(k, c.price)
	if contract.Perishes(k.Shape) {
		rates, _, ok = contract.Overflow(k, c.price)
	}
	if x.over = ok && x.retires; x.over {
		x.overIn, x.overOut = float64(rates.Input)/1000*perUnit, float64(rates.Output)/1000*perUnit
	}
	return x
}

// marginal is what a request of the given tokens costs at the margin, without
// scarcity and latency: the price less what the floor gives for it, and beyond
// the commitment the price that holds there.
func (c *candidate) marginal(p *pool, in, out float64) float64 {
	if c.clauses != nil {
		switch {
		case p.commitment != nil && p.commitment.used && c.clauses.over:
			return c.clauses.cost(in, out)
		case !p.fixed && !c.clauses.retires:
			return c.priceIn*in + c.priceOut*out
		}
	}
	return (c.priceIn*in + c.priceOut*out) * p.margin
}

// marginalAt is what a candidate counts as where clauses or an hour's
// commitment have a say in its cost, what it uses, and the marginal cost:
// nothing of what is left of a reservation where the request goes beyond it.
func (c *candidate) marginalAt(at int64, in, out, use float64) (k kind, uses, price float64) {
	p := c.pool
	if c.spills(at, p, use, out) {
		return overflow, 0, c.clauses.cost(in, out)
	}
	price = c.marginal(p, in, out)
	if p.hour != nil {
		price = p.hour.beyond(at, c.draws.in*in+c.draws.out*out, price)
	}
	return c.kind, use, price
}

// cost is the price beyond the commitment.
func (x *clauses) cost(in, out float64) float64 { return x.overIn*in + x.overOut*out }

// spills reports whether a request goes beyond what is left of a reservation's
// minute, at the price of its overage.
func (c *candidate) spills(at int64, p *pool, use, out float64) bool {
	return c.clauses != nil && c.clauses.over && p.fixed && c.kind == committed && (!p.fits(use) || !p.admits(at, use, out))
}

// stopped reports whether nothing may be sent any more.
func (c *candidate) stopped() bool {
	m := c.pool.commitment
	return m != nil && m.used && m.stops && c.clauses != nil && c.clauses.retires
}

// burns is what a request of the given tokens retires of the commitment.
func (x *clauses) burns(in, out float64) float64 {
	return (float64(x.burn.Input)*in + float64(x.burn.Output)*out) / rating.Divisor
}
