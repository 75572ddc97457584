package ledger

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/rating"
)

// sale adds what the operator is paid: by the customer, or by the channel that
// bills it, where the operator sells the plan itself, by the seller where
// another party does, nothing where the plan is free. It reports whether the
// request can be rated.
func (r *resolver) sale() bool {
	plan := r.t.plans[alliance.PlanID(r.in.Plan)]
	switch {
	case plan == nil:
		r.flow.why = NoPlan
		return false
	case plan.Seller != r.t.alliance.Operator:
		if plan.WholesaleFee != nil {
			r.counted(plan, plan.WholesaleFee.Per)
		}
		if plan.Wholesale == nil {
			return true
		}
		return r.owed(Wholesale, "wholesale", string(plan.Seller), string(plan.Wholesale.ID), whole)
	case plan.Fee != nil || plan.Included != nil:
		return r.subscription(plan)
	}
	return r.sell(r.in.SalePrice, whole)
}

// sell adds a sale of the operator's own, "" being a price of nothing.
func (r *resolver) sell(price string, of part) bool {
	if price == "" {
		return true
	}
	ch := r.t.channels[alliance.ChannelID(r.in.Channel)]
	if ch == nil || ch.Presentation == "" {
		return r.owed(Sale, "inference", r.in.Tenant, price, of)
	}
	if !r.owed(Sale, "inference", string(ch.ID), price, of) {
		return false
	}
	r.commission(ch, price, of)
	return true
}

// owed adds what a party owes for tokens at a price.
func (r *resolver) owed(kind Kind, account, from, price string, of part) bool {
	rates, ok := r.t.prices.ByID(alliance.PriceID(price))
	if !ok {
		r.flow.why = NoPrice
		return false
	}
	r.add(Key{
		Kind: kind, Debit: r.account(contract.Asset, "receivable", from),
		Credit: r.account(contract.Revenue, account, r.sold(), r.in.Channel), Asset: r.currency(), Price: price,
	},
		rule{basis: byRates, divisor: rating.Divisor, rates: rates, part: of})
	return true
}

// sold is the model or variant that the customer asked for.
func (r *resolver) sold() string {
	if r.in.Variant != "" {
		return name(r.in.Variant)
	}
	return name(r.in.Model)
}

// commissionDivisor turns a price's numerator times a share in parts per
// million into micro-units.
const commissionDivisor = rating.Divisor * contract.PPM

// commission adds what a channel keeps of a sale: an expense of the operator
// that sells as principal, less revenue for one that sells as agent. Either
// way the channel owes the same, to the last micro-unit.
func (r *resolver) commission(ch *alliance.Channel, price string, of part) {
	if ch.CommissionPPM == 0 {
		return
	}
	class := contract.Expense
	if ch.Presentation == alliance.Agent {
		class = contract.Revenue
	}
	rates, _ := r.t.prices.ByID(alliance.PriceID(price))
	r.add(Key{
		Kind: Commission, Debit: r.account(class, "commission", string(ch.ID), r.sold()),
		Credit: r.account(contract.Asset, "receivable", string(ch.ID)), Asset: r.currency(), Price: price,
	},
		rule{basis: byRates, divisor: commissionDivisor, rates: rates, part: of, scale: ch.CommissionPPM})
}

// tokens adds the tokens themselves: bought from the pool, served under the plan.
func (r *resolver) tokens() {
	model := name(r.in.Model)
	r.add(Key{
		Kind: Tokens, Debit: r.account(contract.Memo, "tokens_served", r.in.Plan, model),
		Credit: r.account(contract.Memo, "tokens_bought", r.in.Pool, model), Asset: Asset("TOK(" + model + ")"),
	},
		rule{basis: byTokens, divisor: 1})
}
