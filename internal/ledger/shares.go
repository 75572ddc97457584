package ledger

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// share books what the provider gets of the month's revenue, stopping exactly
// at the cap. fees are those of plans that this close books.
func (p *monthPosting) share(c *alliance.Contract, fees subscribed) error {
	r := c.RevenueShare
	if r == nil || !r.Holds(p.start) {
		return nil
	}
	legs := contract.Legs(c, "", contract.ShareDue)
	if len(legs) == 0 {
		return nil
	}
	var used money.Amount
	for _, leg := range legs {
		if leg.Debit.Class != contract.Memo { // the cost, which is also what was used
			used = -p.b.balances[p.of(leg.Credit, c, "")].Amount
		}
	}
	for _, leg := range legs {
		if leg.Debit.Class == contract.Memo {
			used = p.b.balances[p.of(leg.Debit, c, "")].Amount
		}
	}
	revenue, err := p.inMoneyOf(c, p.revenue(r, fees))
	if err != nil {
		return err
	}
	keys := make([]Key, len(legs))
	for i, leg := range legs {
		keys[i] = Key{Kind: Share, Debit: p.of(leg.Debit, c, ""), Credit: p.of(leg.Credit, c, ""), Asset: p.currency(), Contract: string(c.ID)}
		if leg.Debit.Class == contract.Memo {
			keys[i].Asset = commitAsset(p.t, c)
		}
		if p.rules >= carryRules { // remainders are the contract's, the accounts the provider's
			keys[i].Price = "share," + string(c.ID)
		}
	}
	due, err := contract.ShareOf(r, revenue, used, p.left(keys[0]))
	if err != nil || due.Sign() == 0 {
		return err
	}
	for _, leg := range contract.Legs(c, "", contract.ShareOpened) {
		debit, credit := p.of(leg.Debit, c, ""), p.of(leg.Credit, c, "")
		p.post(Opening, debit, credit, commitAsset(p.t, c), string(c.ID), *r.Cap+p.b.balances[credit].Amount)
	}
	for _, k := range keys {
		p.carried(k, due)
	}
	return nil
}

// revenue is what the month brought in, by the base of a share: before the
// commissions of channels, after them, or as the channels present it.
func (p *monthPosting) revenue(r *alliance.RevenueShare, fees subscribed) (sum money.Amount) {
	sales, wholesale := r.Base != alliance.ShareOfWholesale, r.Base != alliance.ShareOfSales
	if sales {
		sum += fees.sales
	}
	if wholesale {
		sum += fees.wholesale
	}
	for k, v := range p.b.periods {
		if k.period != p.month {
			continue
		}
		class, kind := k.account.Class(), k.account.Kind()
		switch {
		case kind == "commission" && (class == contract.Revenue || class == contract.Expense):
			if sales && (r.Of == alliance.NetOfCommission || r.Of == "" && class == contract.Revenue) {
				sum -= v
			}
		case class != contract.Revenue || kind == contract.InterestKind:
		case sales && wholesale, sales && (kind == "inference" || kind == "subscription"), wholesale && (kind == "wholesale" || kind == "wholesale_fee"):
			sum -= v
		}
	}
	return sum
}
