package route

import (
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
)

// SetRates gives the router the rates of exchange that are known, by which
// pools of other currencies are compared in the alliance's. It is called at
// the start and when a rate becomes known.
func (r *Router) SetRates(rates *exchange.Table, now time.Time) {
	r.rates = rates
	r.refresh(now)
}

// perUnit is what one unit of a contract's currency is worth in the alliance's:
// an estimate for comparing pools, which no book uses. It reports false when
// no rate is known.
func (r *Router) perUnit(c *alliance.Contract, now time.Time) (float64, bool) {
	from := r.a.CurrencyOf(c)
	if from == r.a.Currency {
		return 1, true
	}
	rate, ok := r.rates.Find(from, r.a.Currency, now.UTC().Format(time.DateOnly), exchange.Always)
	if !ok {
		return 0, false
	}
	return float64(rate.Num) / float64(rate.Den), true
}

func noRate(a *alliance.Alliance, c *alliance.Contract, now time.Time) string {
	from, day := a.CurrencyOf(c), now.UTC().Format(time.DateOnly)
	return fmt.Sprintf("contract %s bills in %s, and no rate of it in %s is known on or before %s: accordo record rate --base %s --quote %s --rate RATE --on %s --source WHO", c.ID, from, a.Currency, day, from, a.Currency, day)
}
