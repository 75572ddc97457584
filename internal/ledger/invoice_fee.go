package ledger

import (
	"cmp"
	"strconv"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
)

// expectedFee is a fixed fee of a month, or the bill of a pool: what the
// month's close accrues, or has accrued. One that is payable without an
// invoice, such as a credit that is paid ahead, is only compared.
type expectedFee struct {
	contract, pool string
	amount         money.Amount
	accrued        bool // owed by an account of what is accrued
	taken          bool
}

// expectedFees lists what a provider may charge for a month besides tokens. It
// runs the close's own posting, so the two cannot differ.
func (b *Book) expectedFees(t *Terms, provider string, month int32, asset Asset) ([]expectedFee, error) {
	var list []expectedFee
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
		fee := expectedFee{contract: string(c.ID), accrued: true}
		for i := range p.list {
			switch e := &p.list[i]; {
			case e.Credit.Kind() == "accrued":
				fee.amount += floor(e.n, e.Divisor)
			case e.Debit.Kind() == "accrued": // what late delivery takes off
				fee.amount -= floor(e.n, e.Divisor)
			}
		}
		if fee.amount != 0 {
			list = append(list, fee)
		}
		if len(contract.Legs(c, "", contract.CreditBought)) == 0 {
			continue
		}
		for _, f := range c.Floors {
			if !f.From.Before(p.start) && f.From.Before(p.end) {
				list = append(list, expectedFee{contract: string(c.ID), amount: f.Amount})
			}
		}
	}
	for i := range t.alliance.Pools {
		pool := &t.alliance.Pools[i]
		if amount, ok := b.billedPools[poolMonth{string(pool.ID), month}]; ok && t.provider(pool) == provider && t.moneyOf(t.contracts[pool.Contract]) == asset {
			list = append(list, expectedFee{pool: string(pool.ID), contract: string(pool.Contract), amount: amount, accrued: true})
		}
	}
	return list, nil
}

// fee matches a line of the kind fee.
func (im *importer) fee(l *invoice.Line) error {
	place := strconv.Itoa(l.Number)
	if im.fees == nil {
		var err error
		if im.fees, err = im.b.expectedFees(im.terms, im.in.Provider, im.in.Month, im.provided.asset); err != nil {
			return err
		}
	}
	again := im.before[billedName(l)]
	im.before[billedName(l)] = true
	f := im.feeOf(l)
	switch {
	case f == nil:
		return im.differ(UnknownCharge, place, *l.Amount, evidenceOf(nil))
	case again || f.taken:
		return im.differ(DoubleLine, place, *l.Amount, im.contractEvidence(f.contract))
	}
	f.taken = true
	d := *l.Amount - f.amount
	im.claimed += *l.Amount
	im.apart += d
	im.settled += f.amount
	if f.accrued {
		im.payFee(f)
	}
	if d == 0 {
		return nil
	}
	return im.differ(FeeDiffers, place, d, im.contractEvidence(f.contract))
}

// feeOf finds the fee that a line bills: that of its pool or contract; where
// it names neither, the only one there is, or the only one of its amount.
func (im *importer) feeOf(l *invoice.Line) *expectedFee {
	match := func(fit func(f *expectedFee) bool) *expectedFee {
		var found *expectedFee
		for i := range im.fees {
			if f := &im.fees[i]; fit(f) {
				if found != nil {
					return nil
				}
				found = f
			}
		}
		return found
	}
	if l.Pool != "" {
		return match(func(f *expectedFee) bool { return f.pool == l.Pool })
	}
	if _, ok := im.terms.contracts[alliance.ContractID(l.Contract)]; ok {
		named := func(f *expectedFee) bool { return f.contract == l.Contract && f.pool == "" }
		if f := match(named); f != nil {
			return f
		}
		if f := match(func(f *expectedFee) bool { return named(f) && f.amount == *l.Amount }); f != nil {
			return f
		}
		// The bill of a pool by the contract that the pool is under.
		return match(func(f *expectedFee) bool { return f.contract == l.Contract })
	}
	open := func(f *expectedFee) bool { return !f.taken }
	if f := match(func(f *expectedFee) bool { return open(f) && f.amount == *l.Amount }); f != nil {
		return f
	}
	return match(open)
}

// payFee moves a fee from what is accrued to what is payable. An invoice that
// comes before the close leaves a debit there until the close accrues the fee.
func (im *importer) payFee(f *expectedFee) {
	asset := Asset(im.terms.MoneyOf(alliance.ContractID(f.contract)))
	k := Key{
		Kind: Invoice, Debit: im.terms.held(im.account("accrued"), asset), Credit: im.terms.held(im.payable(), asset), Asset: asset,
		Contract: f.contract, Terms: im.terms.Hash, Period: im.b.bookedIn(im.in.Month), Ref: im.in.InvoiceID(),
	}
	if f.pool != "" {
		k.Price = "fee," + f.pool
	} else {
		k.Price = "fee," + f.contract
	}
	start := monthStart(im.in.Month).UnixNano()
	im.list = append(im.list, unrounded{Entry{
		Key: k, Divisor: 1, First: im.b.head.Last, Last: im.b.head.Last, From: start, Until: start, Digest: sumOfNothing,
	}, money.WideOf(int64(f.amount))})
}

func (im *importer) contractEvidence(id string) evidence {
	ev := evidenceOf(nil)
	ev.contract = id
	return ev
}
