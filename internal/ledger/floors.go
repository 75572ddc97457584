package ledger

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// ShortfallWaived says that the provider does not charge the shortfall of one
// interval of a floor. It is recorded before the interval's last month closes.
type ShortfallWaived struct {
	Contract string `json:"contract"`
	From     string `json:"from"` // first day of the floor's interval, as the terms state it
	Reason   string `json:"reason"`
}

func (s *ShortfallWaived) check() error {
	if s.Contract == "" || s.From == "" {
		return refuse("a waiver names the contract and the first day of the interval")
	}
	return checkReason(s.Reason)
}

// endFloor settles an interval of a floor: what is open of it lapses; it is
// owed unless it was waived, less what rolled over from earlier intervals;
// a share of what is paid rolls over.
func (p *monthPosting) endFloor(c *alliance.Contract, f *alliance.Floor) {
	missed := contract.Legs(c, "", contract.FloorMissed)
	if len(missed) == 0 {
		return
	}
	id, open := string(c.ID), p.open(c, f)
	if open <= 0 {
		return
	}
	for _, leg := range missed {
		if leg.Debit.Class == contract.Memo {
			p.post(Lapse, interval(p.t, leg.Debit, c, *f), interval(p.t, leg.Credit, c, *f), commitAsset(p.t, c), id, open)
			continue
		}
		if !p.b.waived[waiver{id, f.From.String()}] {
			p.shortfall(c, f, leg, open)
		}
	}
}

func (p *monthPosting) shortfall(c *alliance.Contract, f *alliance.Floor, leg contract.Leg, owed money.Amount) {
	id := string(c.ID)
	expense := p.of(leg.Debit, c, "")
	for i := range c.Floors {
		earlier := p.account(contract.Asset, "rollover_credit", id, c.Floors[i].From.String())
		used := min(owed, p.b.balances[earlier].Amount)
		if used > 0 && c.Floors[i].From.Before(f.From.Time) && !contract.RolloverEnds(c, &c.Floors[i]).Before(f.Until.Time) {
			p.post(Rollover, expense, earlier, p.currency(), id, used)
			p.rolled(earlier, used)
			owed -= used
		}
	}
	p.post(Shortfall, expense, p.of(leg.Credit, c, ""), p.currency(), id, owed)
	p.post(Rollover, p.account(contract.Asset, "rollover_credit", id, f.From.String()), expense, p.currency(), id, contract.Rollover(c, owed))
}

// open returns what is open of a floor's interval, which comes into the books
// now if nothing has used it. What this close itself draws on it opens it, too.
func (p *monthPosting) open(c *alliance.Contract, f *alliance.Floor) (open money.Amount) {
	for _, leg := range contract.Legs(c, "", contract.FloorOpened) {
		debit, credit := interval(p.t, leg.Debit, c, *f), interval(p.t, leg.Credit, c, *f)
		booked := -p.b.balances[credit].Amount
		drawn := false
		for i := range p.list {
			drawn = drawn || p.list[i].Kind == Commitment && p.list[i].Credit == debit
		}
		open = p.b.balances[debit].Amount + p.pending(debit) + f.Amount - booked
		if booked == 0 && !drawn {
			p.post(Opening, debit, credit, commitAsset(p.t, c), string(c.ID), f.Amount)
		}
	}
	return open
}

// rolled remembers what this close takes from a credit, so that the same
// close does not let it expire.
func (p *monthPosting) rolled(a AccountID, amount money.Amount) {
	if p.taken == nil {
		p.taken = map[AccountID]money.Amount{}
	}
	p.taken[a] += amount
}

// expire forfeits the credits whose time has come.
func (p *monthPosting) expire(c *alliance.Contract) {
	for i := range c.Floors {
		f := &c.Floors[i]
		credit := p.account(contract.Asset, "rollover_credit", string(c.ID), f.From.String())
		left := p.b.balances[credit].Amount - p.taken[credit]
		if ends := contract.RolloverEnds(c, f); left > 0 && !ends.After(p.end) {
			p.post(Forfeiture, p.account(contract.Expense, "forfeiture", string(c.ID)), credit, p.currency(), string(c.ID), left)
		}
	}
}

// waiver names an interval of a floor; poolMonth a pool's bill.
type waiver struct{ contract, from string }

// waive records that a shortfall is not charged. It posts nothing: the close
// does.
func (p *factPosting) waive(s *ShortfallWaived) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	c := t.contracts[alliance.ContractID(s.Contract)]
	if c == nil {
		return refuse("there is no contract %s", s.Contract)
	}
	for i := range c.Floors {
		if f := &c.Floors[i]; f.From.String() == s.From {
			if p.b.closedMonth > 0 && !f.Until.After(monthStart(nextMonth(p.b.closedMonth))) {
				return refuse("the interval is settled: %d is closed", p.b.closedMonth)
			}
			return nil
		}
	}
	return refuse("contract %s has no floor from %s", s.Contract, s.From)
}
