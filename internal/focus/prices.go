package focus

import (
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// rateOf returns the rate of one kind of token.
func rateOf(r alliance.Rates, m meter) money.Amount {
	return [meters]money.Amount{r.Input, r.CacheRead, r.CacheWrite, r.Output, r.Reasoning}[m]
}

// listRate returns the list price of a kind of token at the instant of an
// intent: that of the price by which the cost was rated, or of the price book
// where the contract has a fee and no price. ok is false when there is none.
func listRate(t *ledger.Terms, in *record.Intent, at time.Time, m meter) (rate money.Amount, ok bool) {
	a := t.Alliance()
	if in.CostPrice != "" {
		if p := a.Price(alliance.PriceID(in.CostPrice)); p != nil {
			return rateOf(p.List, m), true
		}
	}
	model, _ := modelVersion(in.Model)
	for i := range a.Prices {
		p := &a.Prices[i]
		if string(p.Model) != model || !p.Holds(at) {
			continue
		}
		for _, pool := range p.Pools {
			if string(pool) == in.Pool {
				return rateOf(p.List, m), true
			}
		}
	}
	return 0, false
}

// modelVersion parts "id@version".
func modelVersion(id string) (model, version string) {
	model, version, _ = strings.Cut(id, "@")
	return model, version
}
