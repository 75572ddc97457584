package ledger

import (
	"iter"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// Burn is how a contract stands: every figure is a balance of the books or a
// term of the contract.
type Burn struct {
	Contract alliance.ContractID `json:"contract"`
	Title    string              `json:"title"`
	Provider alliance.PartyID    `json:"provider"`
	Shape    alliance.Shape      `json:"shape"`
	Currency money.Currency      `json:"currency"` // of all but Cost
	// Cost is what served requests cost on the contract's pools, in
	// micro-units of the alliance's currency: at the price, or at the standard rate of
	// fixed capacity.
	Cost money.Amount `json:"cost"`
	// Floors are the intervals of a spend floor, in order.
	Floors []FloorBurn `json:"floors,omitempty"`
	// Hours are the intervals of a commitment per hour, in order: Floor is the
	// commitment of all its hours, and what is Open comes or has lapsed.
	Hours []FloorBurn `json:"hours,omitempty"`
	// Capacity is what was used of fixed capacity, by pool.
	Capacity []Balance `json:"capacity,omitempty"`
	// FeesAccrued is the part of the fixed fees whose time has passed since the
	// first month in the books: what closes of months book, and what has accrued
	// after the last of them. FeesSinceStart counts from the contract's start.
	FeesAccrued    money.Amount `json:"fees_accrued"`
	FeesSinceStart money.Amount `json:"fees_since_contract_start"`
}

// FloorBurn is one interval of a floor: Floor = Used + Open. An Open below
// zero is spend beyond the floor. Floor is that of the terms with what facts
// raised and cut.
type FloorBurn struct {
	From   alliance.Date `json:"from"`
	Until  alliance.Date `json:"until"`
	Floor  money.Amount  `json:"floor"`
	Used   money.Amount  `json:"used"`
	Open   money.Amount  `json:"open"`
	Raised money.Amount  `json:"raised,omitempty"`
	Cut    money.Amount  `json:"cut,omitempty"`
	// Overage is what usage beyond the floor cost on top of the contract's price.
	Overage money.Amount `json:"overage,omitempty"`
	Current bool         `json:"current"` // the interval contains the asked instant
}

// Spent returns what is not open any more of the floor that the terms state
// for the contract's interval that contains at, in micro-units: what retired
// it, more by what a fact cut and less by what one raised it. It is 0
// for a contract without a floor then. Of a commitment per hour it is what its
// hour has had drawn.
func (b *Book) Spent(t *Terms, id alliance.ContractID, at time.Time) money.Amount {
	c := t.contracts[id]
	if c == nil {
		return 0
	}
	if contract.Covers(c.Shape) {
		return b.drawnAt(c, at)
	}
	f, ok := contract.FloorAt(c, at)
	if !ok {
		return 0
	}
	raised, cut := b.moved(t, c, &f)
	return b.used(t, c, f) - raised + cut
}

func (b *Book) used(t *Terms, c *alliance.Contract, f alliance.Floor) (used money.Amount) {
	for _, leg := range contract.Legs(c, "", contract.Usage) {
		if leg.Basis == contract.AtCommitment || leg.Basis == contract.AtDrawn {
			used = b.Balance(interval(t, leg.Debit, c, f))
		}
	}
	return used
}

// Burns returns how every contract of the terms stands at an instant.
func (b *Book) Burns(t *Terms, at time.Time) []Burn {
	list := make([]Burn, 0, len(t.alliance.Contracts))
	opened := at
	if first := FirstMonth(b.periodList()); first != 0 {
		opened = monthStart(first)
	}
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		burn := Burn{Contract: c.ID, Title: c.Title, Provider: c.Provider, Shape: c.Shape, Currency: t.alliance.CurrencyOf(c)}
		for _, f := range c.Floors {
			used := b.used(t, c, f)
			raised, cut := b.moved(t, c, &f)
			v := FloorBurn{From: f.From, Until: f.Until, Floor: f.Amount + raised - cut, Used: used, Open: f.Amount + raised - cut - used, Raised: raised, Cut: cut, Current: f.Holds(at)}
			for _, leg := range contract.Legs(c, "", contract.UsageBeyond) {
				v.Overage = b.Balance(interval(t, leg.Debit, c, f))
			}
			burn.Cost += v.Overage
			burn.Floors = append(burn.Floors, v)
		}
		if contract.Covers(c.Shape) {
			// A total beyond the range of money cannot come from a checked file.
			rates, _ := contract.FeesOf(c)
			for _, f := range rates {
				used := b.used(t, c, alliance.Floor{Term: f.Term})
				burn.Hours = append(burn.Hours, FloorBurn{From: f.From, Until: f.Until, Floor: f.Amount, Used: used, Open: f.Amount - used, Current: f.Holds(at)})
			}
		}
		for j := range t.alliance.Pools {
			if p := &t.alliance.Pools[j]; p.Contract == c.ID {
				b.burnPool(t, c, p, &burn)
			}
		}
		// A sum beyond the range of money cannot come from a checked file.
		burn.FeesSinceStart, _ = contract.FeesUpTo(c, at)
		burn.FeesAccrued, _ = contract.FeesBetween(c, opened, at)
		list = append(list, burn)
	}
	return list
}

// FirstMonth returns the month (YYYYMM) in which books begin that hold these
// balances by month, 0 for books without money. Fixed fees accrue from it on,
// however long before it their contract began.
func FirstMonth(periods iter.Seq2[AccountID, int32]) (first int32) {
	for account, period := range periods {
		if account.Class() != contract.Memo && (first == 0 || period < first) {
			first = period
		}
	}
	return first
}

func (b *Book) periodList() iter.Seq2[AccountID, int32] {
	return func(yield func(AccountID, int32) bool) {
		for k := range b.periods {
			if !yield(k.account, k.period) {
				return
			}
		}
	}
}

func (b *Book) burnPool(t *Terms, c *alliance.Contract, p *alliance.Pool, burn *Burn) {
	for _, leg := range contract.Legs(c, p.BilledBy, contract.Usage) {
		account := NewAccount(string(t.alliance.Operator), leg.Debit.Class, leg.Debit.Kind, string(p.ID))
		switch leg.Basis {
		case contract.AtPrice, contract.AtStandard, contract.AtCovered:
			burn.Cost += b.Balance(account)
		case contract.AtUse:
			if v, ok := b.balances[account]; ok {
				burn.Capacity = append(burn.Capacity, v)
			}
		}
	}
}
