package file

import (
	"fmt"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// maxFactorPPM bounds a premium: ten times the contract's price.
const maxFactorPPM = 10_000_000

// clauses checks the clauses about usage beyond and below a commitment.
func (c *checker) clauses(k *alliance.Contract) {
	c.overage(k)
	c.eligibility(k)
	c.trueUp(k)
	if d := k.TrueDown; d != nil {
		c.floorsOnly(k, "true_down", "floor that could be cut")
		if d.MaxPPM < 1 || d.MaxPPM > 1_000_000 {
			c.log.add(c.at(d, "max_ppm"), fmt.Sprintf("contract %s: %d is no share of a floor", k.ID, d.MaxPPM), "max_ppm: from 1 to 1_000_000")
		}
	}
}

// floorsOnly complains about a clause that only a spend floor has.
func (c *checker) floorsOnly(k *alliance.Contract, field, what string) {
	if k.Shape != alliance.SpendFloor {
		c.log.add(c.at(k, field), fmt.Sprintf("contract %s: a %s contract has no %s", k.ID, k.Shape, what), "shape: spend_floor, or take "+field+" out")
	}
}

func (c *checker) overage(k *alliance.Contract) {
	o := k.Overage
	if o == nil {
		return
	}
	switch k.Shape {
	case alliance.PayPerUse, alliance.TakeOrPay:
		c.log.add(c.at(k, "overage"), fmt.Sprintf("contract %s: nothing goes beyond a %s contract", k.ID, k.Shape), "shape: spend_floor, prepaid_credit or throughput_reservation, or take overage out")
	case alliance.ThroughputReserved:
		if o.At != alliance.OverageStops && len(o.Tiers) == 0 && !c.wrong(o, "tiers") {
			c.log.add(c.nodes[o], fmt.Sprintf("contract %s: how would the books know what was served beyond the reservation", k.ID), "tiers: the service tiers that the provider names then, such as [default]")
		}
		if o.At != alliance.OverageStops {
			c.overflowPrices(k)
		}
	default:
		if len(o.Tiers) > 0 {
			c.log.add(c.at(o, "tiers"), fmt.Sprintf("contract %s: a %s contract is used up by its spend, not by tiers", k.ID, k.Shape), "take tiers out")
		}
	}
	premium := o.At == alliance.OverageAtPremium
	switch {
	case !premium && o.FactorPPM != 0:
		c.log.add(c.at(o, "factor_ppm"), fmt.Sprintf("contract %s: overage at %s has no factor", k.ID, o.At), "at: premium, or take factor_ppm out")
	case !premium && len(o.Rates) > 0:
		c.log.add(c.at(o, "rates"), fmt.Sprintf("contract %s: overage at %s has no prices of its own", k.ID, o.At), "at: premium, or take rates out")
	case premium && o.FactorPPM == 0 && len(o.Rates) == 0 && !c.wrong(o, "factor_ppm", "rates"):
		c.log.add(c.nodes[o], fmt.Sprintf("contract %s: a premium without a figure", k.ID), "factor_ppm: 1_250_000 for a quarter more, or rates: by model")
	case o.FactorPPM < 0 || o.FactorPPM > maxFactorPPM:
		c.log.add(c.at(o, "factor_ppm"), fmt.Sprintf("contract %s: a premium of %d parts per million", k.ID, o.FactorPPM), fmt.Sprintf("factor_ppm: at most %d; 1_000_000 is the contract's price", maxFactorPPM))
	}
	seen := map[alliance.ModelID]bool{}
	for i := range o.Rates {
		if r := &o.Rates[i]; r.Model != "" {
			if seen[r.Model] {
				c.log.add(c.at(r, "model"), fmt.Sprintf("contract %s prices model %s twice", k.ID, r.Model), "price it once")
			}
			seen[r.Model] = true
		}
	}
}

// overflowPrices checks that what a reservation serves beyond it has a price.
func (c *checker) overflowPrices(k *alliance.Contract) {
	for i := range c.Pools {
		p := &c.Pools[i]
		if p.Contract != k.ID {
			continue
		}
		for j := range p.Models {
			m := &p.Models[j]
			priced := slices.ContainsFunc(c.Prices, func(v alliance.Price) bool { return v.Model == m.Model && slices.Contains(v.Pools, p.ID) })
			if !priced && m.Model != "" {
				c.log.add(c.at(m, "model"), fmt.Sprintf("contract %s: what pool %s serves of %s beyond the reservation has no price", k.ID, p.ID, m.Model), "prices: one with this pool and model, or overage: {at: hard_stop}")
			}
		}
	}
}

func (c *checker) eligibility(k *alliance.Contract) {
	e := k.Eligibility
	if e == nil {
		return
	}
	if k.Shape != alliance.SpendFloor && k.Shape != alliance.PrepaidCredit {
		c.log.add(c.at(k, "eligibility"), fmt.Sprintf("contract %s: a %s contract has nothing that charges could retire", k.ID, k.Shape), "shape: spend_floor or prepaid_credit, or take eligibility out")
		return
	}
	if k.Shape == alliance.PrepaidCredit && (e.Base == alliance.EligibleGross || e.MarketplaceCapPPM != 0) {
		field := "base"
		if e.MarketplaceCapPPM != 0 {
			field = "marketplace_cap_ppm"
		}
		c.log.add(c.at(e, field), fmt.Sprintf("contract %s: a credit is drawn on by what usage costs", k.ID), "take "+field+" out")
	}
	switch {
	case !e.Fees:
	case k.Shape != alliance.PrepaidCredit:
		c.log.add(c.at(e, "fees"), fmt.Sprintf("contract %s: only a credit can be drawn on by fees", k.ID), "shape: prepaid_credit, or take fees out of eligibility")
	case len(k.Fees) == 0 && !c.wrong(k, "fees"):
		c.log.add(c.at(e, "fees"), fmt.Sprintf("contract %s has no fees that could draw on its credit", k.ID), "fees: what is due besides use, or take fees out of eligibility")
	}
	if e.MarketplaceCapPPM < 0 || e.MarketplaceCapPPM > 1_000_000 {
		c.log.add(c.at(e, "marketplace_cap_ppm"), fmt.Sprintf("contract %s: %d is no share of a floor", k.ID, e.MarketplaceCapPPM), "marketplace_cap_ppm: from 1 to 1_000_000")
	}
	for _, id := range e.ExceptModels {
		if slices.Contains(e.Models, id) {
			c.log.add(c.at(e, "except_models"), fmt.Sprintf("contract %s: model %s is eligible and is not", k.ID, id), "name it in one of models and except_models")
		}
	}
	for field, list := range map[string][]alliance.PoolID{"pools": e.Pools, "except_pools": e.ExceptPools} {
		for _, id := range list {
			if p := c.Pool(id); p != nil && p.Contract != k.ID {
				c.log.add(c.at(e, field), fmt.Sprintf("contract %s: pool %s is of contract %s", k.ID, id, p.Contract), "pools of this contract only")
			}
		}
	}
}

func (c *checker) trueUp(k *alliance.Contract) {
	u := k.TrueUp
	if u == nil {
		return
	}
	c.floorsOnly(k, "true_up", "floor that could be raised")
	for i := range u.Tiers {
		t := &u.Tiers[i]
		if t.DiscountPPM < 1 || t.DiscountPPM > 1_000_000 {
			c.log.add(c.at(t, "discount_ppm"), fmt.Sprintf("contract %s: %d is no discount", k.ID, t.DiscountPPM), "discount_ppm: from 1 to 1_000_000")
		}
		if i > 0 && t.Floor <= u.Tiers[i-1].Floor {
			c.log.add(c.at(t, "floor"), fmt.Sprintf("contract %s: the tier from %s is not above the one before it (%s)", k.ID, t.Floor, u.Tiers[i-1].Floor), "tiers in order of floor, each higher than the last")
		}
	}
}
