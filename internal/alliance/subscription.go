package alliance

import "github.com/accordo-ai/accordo/internal/money"

// The subjects that a fee or an included quota is counted for.
const (
	PerTenant  = "tenant"
	PerKey     = "key"
	PerEndUser = "end_user"
)

// MaxIncludedSpend bounds an included quota of spend, so that what is used of
// it fits an integer of millionths of a micro-unit.
const MaxIncludedSpend money.Amount = 9_000_000 * money.Micro

// SubscriptionFee is what a plan costs per civil month, used or not.
type SubscriptionFee struct {
	ID     PriceID      `yaml:"id"`
	Amount money.Amount `yaml:"amount"`
	// Per is PerTenant (each tenant with a key on the plan), or PerKey or
	// PerEndUser (each that was served in the month).
	Per string `yaml:"per"`
}

// IncludedUse is a quota per subject and civil month. Exactly one of Tokens
// and Spend is set.
type IncludedUse struct {
	Per    string `yaml:"per"`              // PerTenant, PerKey or PerEndUser
	Tokens int64  `yaml:"tokens,omitempty"` // of all five kinds
	// Spend is an amount of use at the plan's Price.
	Spend money.Amount `yaml:"spend,omitempty"`
}

// Sales are the prices per token of the plan, those that it has.
func (p *Plan) Sales() (list []*SalePrice) {
	for _, s := range [...]*SalePrice{p.Price, p.Overage, p.Wholesale} {
		if s != nil {
			list = append(list, s)
		}
	}
	return list
}

// Fees are the monthly fees of the plan, those that it has.
func (p *Plan) Fees() (list []*SubscriptionFee) {
	for _, f := range [...]*SubscriptionFee{p.Fee, p.WholesaleFee} {
		if f != nil {
			list = append(list, f)
		}
	}
	return list
}

// Bounds are the limits of the plan with its included quota as one of them
// where nothing may be used beyond it.
func (p *Plan) Bounds() Limits {
	l := p.Limits
	if p.Included == nil || p.Overage != nil {
		return l
	}
	if n := p.Included.Tokens; n > 0 && (l.TokensPerMonth == 0 || n < l.TokensPerMonth) {
		l.TokensPerMonth = n
	}
	if n := p.Included.Spend; n > 0 && (l.SpendPerMonth == 0 || n < l.SpendPerMonth) {
		l.SpendPerMonth = n
	}
	return l
}
