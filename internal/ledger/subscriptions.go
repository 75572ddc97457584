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

// subscriptions books the month's fee of every plan that has one, per tenant,
// and returns what they come to. Tenants are those with a key on the plan in
// the terms, and those that were served under it.
func (p *monthPosting) subscriptions() (sum money.Amount, err error) {
	served := p.subjectsOf()
	for i := range p.t.alliance.Plans {
		plan := &p.t.alliance.Plans[i]
		if plan.Fee == nil || plan.Seller != p.t.alliance.Operator {
			continue
		}
		for _, tenant := range p.subscribers(plan, served) {
			n := int64(1)
			if plan.Fee.Per != alliance.PerTenant {
				n = int64(served[tenantPlan{tenant, string(plan.ID)}])
			}
			amount, _, ok := money.Product(int64(plan.Fee.Amount), n).FloorDiv(1)
			if !ok {
				return 0, money.ErrRange
			}
			if amount == 0 {
				continue
			}
			p.list = append(p.list, unrounded{Entry{
				Key: Key{
					Kind: Subscription, Debit: p.account(contract.Asset, "receivable", tenant), Credit: p.account(contract.Revenue, "subscription", string(plan.ID)),
					Asset: p.currency(), Price: string(plan.Fee.ID), Terms: p.t.Hash, Period: p.month,
				},
				Divisor: 1, First: p.b.head.Last, Last: p.b.head.Last, From: p.start.UnixNano(), Until: p.end.UnixNano() - 1, Digest: sha256.Sum256(nil),
			}, money.WideOf(amount)})
			sum += money.Amount(amount)
		}
	}
	return sum, nil
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
