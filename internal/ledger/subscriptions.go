package ledger

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// subscribed is what the fees of plans come to in a month.
type subscribed struct{ sales, wholesale money.Amount }

// subscriptions books the month's fee of every plan that has one: per tenant
// where the operator sells it, in one sum where another party does. Tenants
// are those with a key on the plan in the terms, and those that were served
// under it.
func (p *monthPosting) subscriptions() (sum subscribed, err error) {
	served := p.subjectsOf()
	for i := range p.t.alliance.Plans {
		plan := &p.t.alliance.Plans[i]
		own := plan.Seller == p.t.alliance.Operator
		fee := plan.WholesaleFee
		if own {
			fee = plan.Fee
		}
		if fee == nil {
			continue
		}
		all := int64(0)
		for _, tenant := range p.subscribers(plan, served) {
			n := int64(1)
			if fee.Per != alliance.PerTenant {
				n = int64(served[tenantPlan{tenant, string(plan.ID)}])
			}
			all += n
			if own {
				amount, err := p.subscription(fee, n, tenant, p.account(contract.Revenue, "subscription", string(plan.ID)))
				if err != nil {
					return sum, err
				}
				sum.sales += amount
			}
		}
		if !own {
			amount, err := p.subscription(fee, all, string(plan.Seller), p.account(contract.Revenue, "wholesale_fee", string(plan.ID)))
			if err != nil {
				return sum, err
			}
			sum.wholesale += amount
		}
	}
	return sum, nil
}

// subscription adds the entry of n fees that somebody owes.
func (p *monthPosting) subscription(fee *alliance.SubscriptionFee, n int64, from string, revenue AccountID) (money.Amount, error) {
	amount, _, ok := money.Product(int64(fee.Amount), n).FloorDiv(1)
	if !ok {
		return 0, money.ErrRange
	}
	if amount == 0 {
		return 0, nil
	}
	p.list = append(p.list, unrounded{Entry{
		Key: Key{
			Kind: Subscription, Debit: p.account(contract.Asset, "receivable", from), Credit: revenue,
			Asset: p.currency(), Price: string(fee.ID), Terms: p.t.Hash, Period: p.month,
		},
		Divisor: 1, First: p.b.head.Last, Last: p.b.head.Last, From: p.start.UnixNano(), Until: p.end.UnixNano() - 1, Digest: sha256.Sum256(nil),
	}, money.WideOf(amount)})
	return money.Amount(amount), nil
}

type tenantPlan struct{ tenant, plan string }

// subjectsOf counts the subjects that were served in the month.
func (p *monthPosting) subjectsOf() map[tenantPlan]money.Amount {
	served := map[tenantPlan]money.Amount{}
	for k, n := range p.b.periods {
		if k.period == p.month && k.account.Class() == contract.Memo && k.account.Kind() == "subjects" {
			tenant, plan, _ := strings.Cut(k.account.Ref(), ",")
			served[tenantPlan{tenant, plan}] = n
		}
	}
	return served
}

func (p *monthPosting) subscribers(plan *alliance.Plan, served map[tenantPlan]money.Amount) (tenants []string) {
	for i := range p.t.alliance.Tenants {
		t := &p.t.alliance.Tenants[i]
		if slices.ContainsFunc(t.Keys, func(k alliance.Key) bool { return k.Plan == plan.ID }) {
			tenants = append(tenants, string(t.ID))
		}
	}
	for k := range served {
		if k.plan == string(plan.ID) {
			tenants = append(tenants, k.tenant)
		}
	}
	slices.SortFunc(tenants, cmp.Compare[string])
	return slices.Compact(tenants)
}
