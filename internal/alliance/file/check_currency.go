package file

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// currencyOf checks that all pools of a price are billed in one currency, and
// that the price states no other.
func (c *checker) currencyOf(p *alliance.Price) {
	var of money.Currency
	var first alliance.PoolID
	for j, id := range p.Pools {
		pool := c.Pool(id)
		if pool == nil {
			continue
		}
		k := c.Contract(pool.Contract)
		if k == nil || c.wrong(k, "currency") {
			continue
		}
		switch bills := c.CurrencyOf(k); {
		case of == "":
			of, first = bills, id
		case bills != of:
			c.log.add(c.item(p, "pools", j), fmt.Sprintf("price %s: pool %s is billed in %s, pool %s in %s", p.ID, id, bills, first, of), "one price for the pools of each currency")
		}
	}
	if of != "" && p.Currency != "" && p.Currency != of {
		c.log.add(c.at(p, "currency"), fmt.Sprintf("price %s is in %s, but the contract of pool %s bills in %s", p.ID, p.Currency, first, of), fmt.Sprintf("currency: %s, or currency: %s at the contract", of, p.Currency))
	}
}

// also checks that a figure which its source gives in other currencies is one
// of money, has the same ends in each, and stands once in each.
func (c *checker) also(l *alliance.Claim) {
	seen := map[string]bool{l.Unit: true}
	for i := range l.Also {
		f := &l.Also[i]
		complain := func(field, problem, remedy string) {
			c.log.add(c.at(f, field), fmt.Sprintf("claim %s: %s", l.ID, problem), remedy)
		}
		switch {
		case !money.Currency(l.Unit).Known():
			complain("unit", "only a figure of money is given in another currency", "unit: USD, EUR or another currency at the claim, or no also")
		case seen[f.Unit]:
			complain("unit", fmt.Sprintf("the figure stands twice in %s", f.Unit), "once in each currency")
		case (f.Low != nil) != (l.Low != nil) || (f.High != nil) != (l.High != nil):
			complain("unit", fmt.Sprintf("the figure in %s has other ends than the one in %s", f.Unit, l.Unit), "low and high where the claim has them")
		}
		seen[f.Unit] = true
	}
}
