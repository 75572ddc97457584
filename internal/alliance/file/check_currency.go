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
