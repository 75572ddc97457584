package contract

import (
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// Retires reports whether usage of a model on a pool retires the contract's
// floor, or draws on its credit.
func Retires(c *alliance.Contract, pool alliance.PoolID, model alliance.ModelID) bool {
	e := c.Eligibility
	if e == nil {
		return true
	}
	return (len(e.Models) == 0 || slices.Contains(e.Models, model)) && !slices.Contains(e.ExceptModels, model) &&
		(len(e.Pools) == 0 || slices.Contains(e.Pools, pool)) && !slices.Contains(e.ExceptPools, pool)
}

// DrawnByFees reports whether the contract's fees draw on its credit.
func DrawnByFees(c *alliance.Contract) bool { return c.Eligibility != nil && c.Eligibility.Fees }

// RetiringRates returns the prices at which usage at p retires the floor: net
// what is paid, gross the list price.
func RetiringRates(c *alliance.Contract, p *alliance.Price) alliance.Rates {
	if c.Eligibility != nil && c.Eligibility.Base == alliance.EligibleGross {
		return p.List
	}
	return paid(p)
}

// MarketplaceCap is how much of an interval's floor marketplace charges may
// retire, rounded down.
func MarketplaceCap(c *alliance.Contract, floor money.Amount) money.Amount {
	if c.Eligibility == nil {
		return 0
	}
	return portion(floor, c.Eligibility.MarketplaceCapPPM)
}

// portion is a share of an amount in parts per million, rounded down.
func portion(a money.Amount, ppm int64) money.Amount {
	q, _, ok := money.Product(int64(a), ppm).FloorDiv(PPM)
	if !ok {
		return 0
	}
	return money.Amount(q)
}

// MostCut is how much of an interval's floor may be cut, rounded down.
func MostCut(c *alliance.Contract, floor money.Amount) money.Amount {
	if c.TrueDown == nil {
		return 0
	}
	return portion(floor, c.TrueDown.MaxPPM)
}

// DiscountPPM is the share that the height of an interval's floor takes off
// what usage retired of it, in parts per million: the highest tier that the
// floor reaches.
func DiscountPPM(c *alliance.Contract, floor money.Amount) (share int64) {
	if c.TrueUp == nil {
		return 0
	}
	for _, t := range c.TrueUp.Tiers {
		if floor >= t.Floor {
			share = t.DiscountPPM
		}
	}
	return share
}
