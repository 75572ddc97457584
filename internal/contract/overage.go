package contract

import (
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// StopsAtCommitment reports whether nothing may be sent to the contract's
// pools once an interval's commitment is used up. A throughput reservation
// stops by the minute, which its pools' capacity sees to.
func StopsAtCommitment(c *alliance.Contract) bool {
	return c.Overage != nil && c.Overage.At == alliance.OverageStops && HasFloor(c.Shape)
}

// OveragePrice returns what usage at p costs beyond the contract's commitment,
// and the name by which the books cite it. ok is false where it costs what it
// cost before: there is no clause, it says so, or it stops.
func OveragePrice(c *alliance.Contract, p *alliance.Price) (rates alliance.Rates, name string, ok bool) {
	if c.Overage == nil || p == nil {
		return alliance.Rates{}, "", false
	}
	name = string(p.ID) + "+" + c.Overage.At
	switch c.Overage.At {
	case alliance.OverageAtList:
		return p.List, name, p.Contracted != nil && p.List != *p.Contracted
	case alliance.OverageAtPremium:
		at := slices.IndexFunc(c.Overage.Rates, func(r alliance.OverageRates) bool { return r.Model == p.Model })
		if at >= 0 {
			return c.Overage.Rates[at].Rates, name, true
		}
		rates = paid(p)
		if c.Overage.FactorPPM == 0 {
			return rates, name, false
		}
		for _, r := range [...]*money.Amount{&rates.Input, &rates.CacheRead, &rates.CacheWrite, &rates.Output, &rates.Reasoning} {
			*r = times(*r, c.Overage.FactorPPM)
		}
		return rates, name, true
	}
	return alliance.Rates{}, "", false
}

// Overflowed reports whether a provider that served in a tier served beyond
// the contract's reserved throughput, at the price that Overflow returns.
func Overflowed(c *alliance.Contract, tier string) bool {
	return c.Overage != nil && c.Overage.At != alliance.OverageStops && slices.Contains(c.Overage.Tiers, tier)
}

// Overflow returns what usage costs that a throughput reservation served
// beyond what is reserved: the whole price, since no fee pays for it.
func Overflow(c *alliance.Contract, p *alliance.Price) (rates alliance.Rates, name string, ok bool) {
	if c.Overage == nil || len(c.Overage.Tiers) == 0 || p == nil || c.Overage.At == alliance.OverageStops {
		return alliance.Rates{}, "", false
	}
	if rates, name, ok = OveragePrice(c, p); ok {
		return rates, name, true
	}
	return paid(p), string(p.ID), true
}

// paid is what a price charges before any overage.
func paid(p *alliance.Price) alliance.Rates {
	if p.Contracted != nil {
		return *p.Contracted
	}
	return p.List
}

// times multiplies a price by parts per million, rounded half up to a
// micro-unit per million tokens: the premium is a price itself.
func times(rate money.Amount, ppm int64) money.Amount {
	q, _, ok := money.Product(int64(rate), ppm).Add(money.WideOf(PPM / 2)).FloorDiv(PPM)
	if !ok {
		return rate
	}
	return money.Amount(q)
}
