package ledger

import (
	"cmp"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
)

// charge is what a contract, or the bill of a pool, makes owed to a provider
// for a month besides tokens: what the month's close books, or has booked.
type charge struct {
	kind           invoice.LineKind
	contract, pool string
	amount         money.Amount
	// on is the account that holds it. One that moves is on it until it is
	// invoiced; another is payable, or stands apart for good, without an
	// invoice, and is only compared.
	on     AccountID
	moves  bool
	option money.Amount // of a fee: what an exercised option added
	// undecided says that the month's close decides the amount and has not
	// been made.
	undecided bool
	attempts  []*billed // what they cost beyond a commitment is part of it
	taken     bool
}

func (c *charge) place() string { return invoice.ChargePlace(c.kind, cmp.Or(c.pool, c.contract)) }

func (c *charge) name() string { return chargeName(c.kind, c.contract, c.pool) }

// booked is what the books have of the charge, each price rounded down.
func (c *charge) booked() money.Amount {
	type bucket struct {
		name    string
		divisor int64
	}
	sum, sums := c.amount, map[bucket]money.Wide{}
	for _, a := range c.attempts {
		for _, s := range a.surcharges(a.apart) {
			k := bucket{s.bucket(), s.rule.divisor}
			sums[k] = sums[k].Add(s.rule.numerator(s.tokens))
		}
	}
	for k, n := range sums {
		sum += floor(n, k.divisor)
	}
	return sum
}

// DueKey names a charge that the books have of a contract and month.
type DueKey struct {
	Contract string
	Month    int32 // that it is about, YYYYMM
	Kind     invoice.LineKind
}

// Due is a charge of a contract, besides tokens and fees, that the books have:
// above zero where the provider is owed it.
type Due struct {
	DueKey
	Amount money.Amount
}

// DueKinds are the kinds of entry that make charges due.
func DueKinds() []Kind { return []Kind{Shortfall, Overage, Share, Marketplace, Discount} }

// DueOf adds up the charges that entries make due, in a fixed order.
func DueOf(entries []Entry) []Due {
	due := map[DueKey]money.Amount{}
	for i := range entries {
		if k, amount, ok := dueOf(&entries[i]); ok {
			due[k] += amount
		}
	}
	return dueList(due)
}

func dueList(due map[DueKey]money.Amount) (list []Due) {
	for k, amount := range due {
		list = append(list, Due{k, amount})
	}
	slices.SortFunc(list, func(x, y Due) int {
		return cmp.Or(cmp.Compare(x.Month, y.Month), cmp.Compare(x.Contract, y.Contract), cmp.Compare(x.Kind, y.Kind))
	})
	return list
}

func dueOf(e *Entry) (k DueKey, amount money.Amount, ok bool) {
	k = DueKey{Contract: e.Contract, Month: e.LineKey().Period}
	if e.Kind == Discount {
		k.Kind = invoice.Discount
		return k, -e.Amount, e.Debit.Class() == contract.Liability
	}
	switch e.Kind {
	case Shortfall:
		k.Kind = invoice.Shortfall
	case Overage:
		k.Kind = invoice.Overage
	case Share:
		k.Kind = invoice.Share
	case Marketplace:
		k.Kind = invoice.Marketplace
	default:
		return k, 0, false
	}
	return k, e.Amount, e.Credit.Class() == contract.Liability
}

// charges lists what a provider may charge for a month besides tokens. Fees
// and interest follow from the terms and run the close's own posting, so the
// two cannot differ; the others are what is booked.
func (b *Book) charges(t *Terms, provider string, month int32, asset Asset) ([]charge, error) {
	list, err := b.fees(t, provider, month, asset)
	if err != nil {
		return nil, err
	}
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		if string(c.Provider) != provider || t.own(c) || t.moneyOf(c) != asset {
			continue
		}
		interest, err := b.interest(t, c, month)
		if err != nil {
			return nil, err
		}
		list = append(list, interest...)
		list = append(list, b.decided(t, c, month)...)
	}
	return slices.DeleteFunc(list, func(c charge) bool { return b.writtenOffCharges[missedCharge{c.place(), month}] }), nil
}

// fees lists the fixed fees of a month and the bills of pools.
func (b *Book) fees(t *Terms, provider string, month int32, asset Asset) ([]charge, error) {
	operator := string(t.alliance.Operator)
	accrued := t.held(NewAccount(operator, contract.Liability, "accrued", provider), asset)
	var list []charge
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		if string(c.Provider) != provider || t.own(c) || t.moneyOf(c) != asset {
			continue
		}
		p := (&factPosting{posting: posting{b: b}, fact: &Fact{}}).monthOf(t, month)
		fees := map[AccountID]money.Amount{}
		if err := cmp.Or(p.fee(c, fees), p.abate(c, fees)); err != nil {
			return nil, err
		}
		fee := charge{kind: invoice.Fee, contract: string(c.ID), on: accrued, moves: true}
		for i := range p.list {
			switch e := &p.list[i]; {
			case e.Credit.Kind() == "accrued":
				fee.amount += floor(e.n, e.Divisor)
			case e.Debit.Kind() == "accrued": // what late delivery takes off
				fee.amount -= floor(e.n, e.Divisor)
			}
		}
		var err error
		if fee.option, err = p.option(c, fee.amount); err != nil {
			return nil, err
		}
		if fee.amount != 0 {
			list = append(list, fee)
		}
		for _, leg := range contract.Legs(c, "", contract.CreditBought) {
			for _, f := range c.Floors {
				if !f.From.Before(p.start) && f.From.Before(p.end) {
					list = append(list, charge{kind: invoice.Fee, contract: string(c.ID), amount: f.Amount, on: p.of(leg.Credit, c, "")})
				}
			}
		}
	}
	for i := range t.alliance.Pools {
		pool := &t.alliance.Pools[i]
		if amount, ok := b.billedPools[poolMonth{string(pool.ID), month}]; ok && t.provider(pool) == provider && t.moneyOf(t.contracts[pool.Contract]) == asset {
			list = append(list, charge{kind: invoice.Fee, pool: string(pool.ID), contract: string(pool.Contract), amount: amount, on: accrued, moves: true})
		}
	}
	return list, nil
}

// option is the part of a month's fee that an exercised option added: all of
// it where the contract is nothing without the option.
func (p *monthPosting) option(c *alliance.Contract, fee money.Amount) (money.Amount, error) {
	if c.Option == nil || c.Exercised.IsZero() || len(c.Option.Fees) == 0 {
		return 0, nil
	}
	if len(c.Option.Fees) == len(c.Fees) && slices.EqualFunc(c.Option.Fees, c.Fees, func(x, y alliance.Fee) bool { return x.From.Equal(y.From.Time) && x.Amount == y.Amount }) {
		return fee, nil
	}
	offered := contract.Offered(c)
	until, err := contract.FeesUpTo(offered, p.end)
	if err != nil {
		return 0, err
	}
	before, err := contract.FeesUpTo(offered, p.start)
	return until - before, err
}

// interest is what the provider pays on a loan, and takes off its invoice.
func (b *Book) interest(t *Terms, c *alliance.Contract, month int32) ([]charge, error) {
	p := (&factPosting{posting: posting{b: b}, fact: &Fact{}}).monthOf(t, month)
	if err := p.lend(c); err != nil {
		return nil, err
	}
	for i := range p.list {
		if e := &p.list[i]; e.Kind == Interest && e.Debit.Class() == contract.Asset {
			return []charge{{kind: invoice.Interest, contract: string(c.ID), amount: -floor(e.n, e.Divisor), on: e.Debit, moves: true}}, nil
		}
	}
	return nil, nil
}

// decided are the charges of a contract that the books have, or that the
// month's close still decides.
func (b *Book) decided(t *Terms, c *alliance.Contract, month int32) (list []charge) {
	p := (&factPosting{posting: posting{b: b}, fact: &Fact{}}).monthOf(t, month)
	for _, of := range p.clauses(c) {
		of.contract = string(c.ID)
		of.amount = b.due[DueKey{of.contract, month, of.kind}]
		of.undecided = of.undecided && month > b.closedMonth
		if of.amount != 0 || of.undecided {
			list = append(list, of)
		}
	}
	return list
}

// clauses are the charges that a contract may have in the month.
func (p *monthPosting) clauses(c *alliance.Contract) (list []charge) {
	within, ends := false, false
	for i := range c.Floors {
		f := &c.Floors[i]
		within = within || f.From.Before(p.end) && f.Until.After(p.start)
		ends = ends || f.Until.After(p.start) && !f.Until.After(p.end)
	}
	for _, leg := range contract.Legs(c, "", contract.FloorMissed) {
		if leg.Debit.Class != contract.Memo {
			list = append(list, charge{kind: invoice.Shortfall, on: p.of(leg.Credit, c, ""), undecided: ends})
		}
	}
	for _, leg := range contract.Legs(c, "", contract.CreditPassed) {
		list = append(list, charge{kind: invoice.Overage, on: p.of(leg.Credit, c, ""), moves: true, undecided: within})
	}
	for _, leg := range contract.Legs(c, "", contract.ShareDue) {
		if leg.Debit.Class != contract.Memo {
			list = append(list, charge{kind: invoice.Share, on: p.of(leg.Credit, c, ""), undecided: c.RevenueShare.Holds(p.start)})
		}
	}
	for _, leg := range contract.Legs(c, "", contract.TierReached) {
		list = append(list, charge{kind: invoice.Discount, on: p.of(leg.Debit, c, ""), moves: true, undecided: within && c.TrueUp != nil})
	}
	for _, leg := range contract.Legs(c, "", contract.MarketCharge) {
		if leg.Basis == contract.AtFee {
			list = append(list, charge{kind: invoice.Marketplace, on: p.of(leg.Credit, c, ""), moves: true})
		}
	}
	return list
}

// missedCharge names a charge whose absence from an invoice was accepted: by
// its place, and the month.
type missedCharge struct {
	place string
	month int32
}

// invoiceOf finds an invoice that is in the books by its short name.
func (b *Book) invoiceOf(id string) *InvoiceImported {
	for _, v := range b.invoices {
		if v.InvoiceID() == id {
			return v
		}
	}
	return nil
}
