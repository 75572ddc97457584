package focus

import (
	"cmp"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
)

// overageMeter begins the meter of what use beyond a commitment costs on top.
// Its tokens are counted by the rows of their requests as well, under meters
// without it.
const overageMeter = "Overage "

// overage is what the tokens of one kind, beyond a commitment, cost on top of
// the contract's price: of one month, price and version of the terms.
type overage struct {
	overageKey
	tokens int64
	list   money.Amount // micro-units per million tokens above the list price
	rate   money.Amount // micro-units per million tokens above the contract's price
}

type overageKey struct {
	month, booked          int64 // nanoseconds since 1970 UTC; booked: of a correction
	contract, price, model string
	terms                  string
	asset                  ledger.Asset
	meter                  meter
}

// overages gathers surcharges into one charge for each kind of token.
type overages struct {
	books *Books
	by    map[overageKey]*charge
	order []*charge
}

// add parts a surcharge among its kinds of token, to the micro-unit. It
// reports false, and adds nothing, where the prices do not come to the entry,
// or one of them is below the contract's: that is an amount without a price.
func (o *overages) add(base charge, e *ledger.Entry) bool {
	t, err := o.books.terms.Terms(e.Terms)
	if err != nil {
		return false
	}
	of, price := t.Alliance(), (*alliance.Price)(nil)
	var beyond alliance.Rates
	c := of.Contract(alliance.ContractID(e.Contract))
	if c == nil {
		return false
	}
	for i := range of.Prices {
		if rates, name, ok := contract.OveragePrice(c, &of.Prices[i]); ok && name == e.Price {
			beyond, price = rates, &of.Prices[i]
			break
		}
	}
	if price == nil {
		return false
	}
	tokens, own := tokensOf(e.Tokens), rating.Cost(price)
	whole := money.Wide{}
	var parts [meters]money.Wide
	for m := range meter(meters) {
		rate := rateOf(beyond, m) - rateOf(own, m)
		if tokens[m] < 0 || tokens[m] > 0 && rate < 0 {
			return false
		}
		parts[m] = money.Product(int64(rate), tokens[m])
		whole = whole.Add(parts[m])
	}
	begin := money.Product(int64(e.Amount), e.Divisor).Add(money.WideOf(e.Remainder)).Add(whole.Neg())
	q, rest, ok := begin.FloorDiv(e.Divisor)
	if !ok || q != 0 || e.Tokens == (usage.Vector{}) {
		return false
	}
	carry := money.Carry{Remainder: rest}
	for m := range meter(meters) {
		amount, ok := carry.Take(parts[m], e.Divisor)
		if !ok {
			return false // cannot be: the whole is within the range
		}
		if tokens[m] == 0 {
			continue
		}
		x := o.of(&base, &overage{
			overageKey: overageKey{base.from.UnixNano(), base.period().UnixNano(), e.Contract, e.Price, string(price.Model), e.Terms, e.Asset, m},
			list:       max(0, rateOf(beyond, m)-rateOf(price.List, m)), rate: rateOf(beyond, m) - rateOf(own, m),
		})
		x.billed, x.effective, x.beyond.tokens = x.billed+amount, x.effective+amount, x.beyond.tokens+tokens[m]
	}
	return true
}

// of returns the charge that an overage belongs to.
func (o *overages) of(base *charge, v *overage) *charge {
	if x := o.by[v.overageKey]; x != nil {
		return x
	}
	x := *base
	x.category, x.beyond, x.billed, x.effective = usageCharge, v, 0, 0
	x.description = overageMeter + "of " + x.title() + ": " + meterNames[v.meter] + " of " + v.model + " at " + v.price + ", above the contract's price"
	o.by[v.overageKey] = &x
	o.order = append(o.order, &x)
	return &x
}

// charges returns what was gathered, in a fixed order.
func (o *overages) charges() (list []charge) {
	for _, x := range o.order {
		list = append(list, *x)
	}
	slices.SortStableFunc(list, func(x, y charge) int {
		return cmp.Or(cmp.Compare(x.beyond.month, y.beyond.month), cmp.Compare(x.beyond.contract, y.beyond.contract), cmp.Compare(x.beyond.price, y.beyond.price), cmp.Compare(x.beyond.meter, y.beyond.meter))
	})
	return list
}

// beyondCommitment fills a charge for use beyond a commitment.
func (c *charge) beyondCommitment(w *writer) {
	v := c.beyond
	sku := v.model + "-overage"
	w.set("SkuId", Text(sku))
	w.set("SkuPriceId", Text(strings.Join([]string{sku, v.price, meterTypes[v.meter]}, ":")))
	w.set("SkuMeter", Text(overageMeter+meterNames[v.meter]))
	w.set("PricingUnit", Text(tokensPerUnit))
	w.set("ConsumedQuantity", Value(NewDecimal(v.tokens, 0)))
	w.set("ConsumedUnit", Text("Tokens"))
	w.set("ResourceId", Text(v.contract))
	w.set("ResourceName", Text(c.title()))
	w.set("ResourceType", Text("Commitment"))
	w.set("x_Model", Text(v.model))
}
