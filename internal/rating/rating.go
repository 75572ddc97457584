// Package rating turns tokens and prices into exact numerators of money, and
// keeps the price book. It is used on estimates by route and gateway and on
// actuals by the ledger, so that a hold, a decision and a booking can never
// disagree. It refuses to round, except up for holds (Ceil): the ledger rounds
// once, at the posting. It knows no contracts and no facts.
package rating

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Divisor is the number of tokens that a rate is quoted for: a numerator
// divided by Divisor is an amount in micro-units of the currency.
const Divisor = 1_000_000

// Numerator returns Σ count × rate exactly, in micro-units × Divisor. The
// five counts never overlap, so every token is rated once.
func Numerator(r alliance.Rates, u usage.Vector) money.Wide {
	n := money.Product(int64(r.Input), u.UncachedInput)
	n = n.Add(money.Product(int64(r.CacheRead), u.CacheRead))
	n = n.Add(money.Product(int64(r.CacheWrite), u.CacheWrite))
	n = n.Add(money.Product(int64(r.Output), u.Output))
	return n.Add(money.Product(int64(r.Reasoning), u.Reasoning))
}

// Ceil returns the price of u rounded up to a whole micro-unit: what a hold
// must cover at least. An amount beyond the range of money.Amount is the
// largest Amount, so that a hold fails rather than wraps.
func Ceil(r alliance.Rates, u usage.Vector) money.Amount {
	q, _, ok := Numerator(r, u).Add(money.WideOf(Divisor - 1)).FloorDiv(Divisor)
	if !ok {
		return math.MaxInt64
	}
	return money.Amount(q)
}

// Book finds prices: costs by pool, model and instant, and the rates of any
// price by its id. It is immutable and safe for concurrent use.
type Book struct {
	costs map[costKey][]*alliance.Price // latest From first
	rates map[alliance.PriceID]alliance.Rates
}

type costKey struct {
	pool  alliance.PoolID
	model alliance.ModelID
}

// NewBook indexes the prices of a: what pools cost, what plans are sold for,
// and what the operator earns when another party sells them.
func NewBook(a *alliance.Alliance) *Book {
	b := &Book{costs: map[costKey][]*alliance.Price{}, rates: map[alliance.PriceID]alliance.Rates{}}
	for i := range a.Prices {
		p := &a.Prices[i]
		b.rates[p.ID] = Cost(p)
		for _, pool := range p.Pools {
			k := costKey{pool, p.Model}
			b.costs[k] = append(b.costs[k], p)
		}
	}
	for _, list := range b.costs {
		slices.SortFunc(list, func(x, y *alliance.Price) int {
			return cmp.Or(y.From.Compare(x.From.Time), cmp.Compare(x.ID, y.ID))
		})
	}
	for i := range a.Plans {
		for _, s := range a.Plans[i].Sales() {
			b.rates[s.ID] = s.Rates
		}
	}
	return b
}

// Cost returns the rates that the operator pays under p: the contracted ones
// where they were agreed, else the list.
func Cost(p *alliance.Price) alliance.Rates {
	if p.Contracted != nil {
		return *p.Contracted
	}
	return p.List
}

// Cost returns the price of model on pool in force at the instant at. Where
// two terms overlap the later one wins, then the lower id.
func (b *Book) Cost(pool alliance.PoolID, model alliance.ModelID, at time.Time) (*alliance.Price, bool) {
	for _, p := range b.costs[costKey{pool, model}] {
		if p.Holds(at) {
			return p, true
		}
	}
	return nil, false
}

// ByID returns the rates of a price: what the operator pays for a cost price,
// and what it is paid for a sale or wholesale price.
func (b *Book) ByID(id alliance.PriceID) (alliance.Rates, bool) {
	r, ok := b.rates[id]
	return r, ok
}

// Fit parts tokens at the edge of what is left of a quota or a commitment:
// kind by kind in the order of a vector, a token is inside while what is left
// pays for it whole at its weight. used is what those inside take. A token
// without a weight takes nothing and is inside.
func Fit(weights *alliance.Rates, u usage.Vector, left int64) (inside, outside usage.Vector, used int64) {
	for _, k := range [...]struct {
		n, weight   int64
		inside, out *int64
	}{
		{u.UncachedInput, int64(weights.Input), &inside.UncachedInput, &outside.UncachedInput},
		{u.CacheRead, int64(weights.CacheRead), &inside.CacheRead, &outside.CacheRead},
		{u.CacheWrite, int64(weights.CacheWrite), &inside.CacheWrite, &outside.CacheWrite},
		{u.Output, int64(weights.Output), &inside.Output, &outside.Output},
		{u.Reasoning, int64(weights.Reasoning), &inside.Reasoning, &outside.Reasoning},
	} {
		fit := k.n
		if k.weight > 0 {
			fit = min(k.n, (left-used)/k.weight)
		}
		*k.inside, *k.out = fit, k.n-fit
		used += fit * k.weight
	}
	return inside, outside, used
}
