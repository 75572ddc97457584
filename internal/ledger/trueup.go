package ledger

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// FloorChange says by how much an interval's floor was raised or cut, by a
// right of the contract.
type FloorChange struct {
	Contract string       `json:"contract"`
	From     string       `json:"from"`   // first day of the floor's interval, as the terms state it
	Amount   money.Amount `json:"amount"` // above 0, in micro-units of the contract's currency
	Reason   string       `json:"reason"`
}

func (f *FloorChange) check() error {
	if f.Contract == "" || f.From == "" || f.Amount <= 0 {
		return refuse("a change of a floor names the contract and the first day of the interval, and states an amount above 0")
	}
	return checkReason(f.Reason)
}

// changing finds the interval of a change that is not settled yet, and makes
// the posting at the instant of the fact.
func (p *factPosting) changing(v *FloorChange) (mp monthPosting, c *alliance.Contract, f *alliance.Floor, err error) {
	t, err := p.headTerms()
	if err != nil {
		return mp, nil, nil, err
	}
	if c = t.contracts[alliance.ContractID(v.Contract)]; c == nil {
		return mp, nil, nil, refuse("there is no contract %s", v.Contract)
	}
	at := time.Unix(0, p.fact.At).UTC()
	mp = p.monthOf(t, monthOf(at))
	mp.start, mp.end = at, at.Add(time.Nanosecond)
	for i := range c.Floors {
		if f = &c.Floors[i]; f.From.String() != v.From {
			continue
		}
		if p.b.settled(f) {
			return mp, nil, nil, refuse("the interval is settled: %d is closed", p.b.closedMonth)
		}
		return mp, c, f, nil
	}
	return mp, nil, nil, refuse("contract %s has no floor from %s", v.Contract, v.From)
}

// trueUp raises a floor.
func (p *factPosting) trueUp(v *FloorChange) error {
	mp, c, f, err := p.changing(v)
	if err != nil {
		return err
	}
	if c.TrueUp == nil {
		return refuse("contract %s has no right to raise its floors: true_up", c.ID)
	}
	if _, err := f.Amount.Add(v.Amount); err != nil {
		return refuse("the floor would be more than an amount can hold")
	}
	for _, leg := range contract.Legs(c, "", contract.FloorRaised) {
		mp.post(TrueUp, interval(mp.t, leg.Debit, c, *f), interval(mp.t, leg.Credit, c, *f), commitAsset(mp.t, c), v.Contract, v.Amount)
	}
	return nil
}

// trueDown cuts a floor: once an interval, by no more than the contract's
// share of it and than what is open of it.
func (p *factPosting) trueDown(v *FloorChange) error {
	mp, c, f, err := p.changing(v)
	if err != nil {
		return err
	}
	raised, cut := p.b.moved(mp.t, c, f)
	most := contract.MostCut(c, f.Amount+raised)
	open := f.Amount + raised - p.b.used(mp.t, c, *f)
	switch {
	case c.TrueDown == nil:
		return refuse("contract %s has no right to cut its floors: true_down", c.ID)
	case cut != 0:
		return refuse("the floor from %s was cut by %s before: it may be once", v.From, cut)
	case v.Amount > most:
		return refuse("the floor from %s may be cut by %s at most", v.From, most)
	case v.Amount > open:
		return refuse("of the floor from %s %s is open: what was used cannot be cut", v.From, max(0, open))
	}
	for _, leg := range contract.Legs(c, "", contract.FloorCut) {
		mp.post(TrueDown, interval(mp.t, leg.Debit, c, *f), interval(mp.t, leg.Credit, c, *f), commitAsset(mp.t, c), v.Contract, v.Amount)
	}
	return nil
}

// moved is what facts raised and cut of an interval's floor.
func (b *Book) moved(t *Terms, c *alliance.Contract, f *alliance.Floor) (raised, cut money.Amount) {
	for _, leg := range contract.Legs(c, "", contract.FloorRaised) {
		raised = -b.balances[interval(t, leg.Credit, c, *f)].Amount
	}
	for _, leg := range contract.Legs(c, "", contract.FloorCut) {
		cut = b.balances[interval(t, leg.Debit, c, *f)].Amount
	}
	return raised, cut
}

// changedBy is the same by the entries of months up to the one that closes.
func (p *monthPosting) changedBy(c *alliance.Contract, f *alliance.Floor) (sum money.Amount) {
	for _, leg := range contract.Legs(c, "", contract.FloorRaised) {
		sum -= p.upTo(interval(p.t, leg.Credit, c, *f))
	}
	for _, leg := range contract.Legs(c, "", contract.FloorCut) {
		sum -= p.upTo(interval(p.t, leg.Debit, c, *f))
	}
	return sum
}

// adjusted is what facts changed of the commitment whose use an account counts.
func (b *Book) adjusted(used AccountID) money.Amount {
	raised := NewAccount(used.Party(), contract.Memo, "commit_raised", used.Ref())
	cut := NewAccount(used.Party(), contract.Memo, "commit_cut", used.Ref())
	return -b.balances[raised].Amount - b.balances[cut].Amount
}

// discounts takes off a month's usage what the height of its floor earns.
// Marketplace charges earn nothing.
func (p *monthPosting) discounts(c *alliance.Contract) {
	if c.TrueUp == nil {
		return
	}
	for i := range c.Floors {
		f := &c.Floors[i]
		var base money.Amount
		for _, leg := range contract.Legs(c, "", contract.MarketCharge) {
			switch leg.Basis {
			case contract.AtCommitment:
				base += p.b.periods[periodKey{interval(p.t, leg.Debit, c, *f), p.month}]
			case contract.AtRest:
				base -= p.b.periods[periodKey{interval(p.t, leg.Debit, c, *f), p.month}]
			}
		}
		off := money.Product(int64(base), contract.DiscountPPM(c, f.Amount+p.changedBy(c, f)))
		for _, leg := range contract.Legs(c, "", contract.TierReached) {
			p.carried(Key{Kind: Discount, Debit: p.of(leg.Debit, c, ""), Credit: p.of(leg.Credit, c, ""), Asset: p.currency(), Contract: string(c.ID)}, off)
		}
	}
}
