package ledger

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/rating"
)

// sale adds what the operator is paid: by the customer where it sells the
// plan itself, by the seller where another party does, nothing where the plan
// is included. It reports whether the request can be rated.
func (r *resolver) sale() bool {
	plan := r.t.plans[alliance.PlanID(r.in.Plan)]
	if plan == nil {
		r.flow.why = NoPlan
		return false
	}
	sold := r.in.Variant
	if sold == "" {
		sold = r.in.Model
	}
	kind, from, price := Sale, r.in.Tenant, r.in.SalePrice
	if plan.Seller != r.t.alliance.Operator {
		kind, from, price = Wholesale, string(plan.Seller), ""
		if plan.Wholesale != nil {
			price = string(plan.Wholesale.ID)
		}
	}
	if price == "" {
		return true
	}
	rates, ok := r.t.prices.ByID(alliance.PriceID(price))
	if !ok {
		r.flow.why = NoPrice
		return false
	}
	account := "inference"
	if kind == Wholesale {
		account = "wholesale"
	}
	r.add(Key{
		Kind: kind, Debit: r.account(contract.Asset, "receivable", from),
		Credit: r.account(contract.Revenue, account, name(sold), r.in.Channel), Asset: r.currency(), Price: price,
	},
		rule{basis: byRates, divisor: rating.Divisor, rates: rates})
	return true
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
