package ledger

import (
	"cmp"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// PoolBilled is the provider's bill of a pool that is billed by the
// chip-second, for one month. Requests are allocations of it.
type PoolBilled struct {
	Pool        string       `json:"pool"`
	Month       int32        `json:"month"` // YYYYMM
	ChipSeconds int64        `json:"chip_seconds"`
	Amount      money.Amount `json:"amount"` // in micro-units of the currency
	Reason      string       `json:"reason"` // such as the invoice's number
}

func (b *PoolBilled) check() error {
	if b.Pool == "" || b.Amount < 0 || b.ChipSeconds < 0 {
		return refuse("a pool's bill names the pool, and states chip-seconds and an amount of 0 or more")
	}
	return cmp.Or(checkMonth(b.Month), checkReason(b.Reason))
}

// fee accrues the month's part of a fixed fee, over the contract's pools by
// their size; the last pool takes what rounding leaves. A contract without
// pools has a clearing account of its own.
func (p *monthPosting) fee(c *alliance.Contract, fees map[AccountID]money.Amount) error {
	legs := contract.Legs(c, alliance.BilledByFixed, contract.FeeAccrued)
	if len(legs) == 0 {
		return nil
	}
	if contract.HasFloor(c.Shape) {
		return p.feeBesides(c, legs)
	}
	until, err := contract.FeesUpTo(c, p.end)
	if err != nil {
		return err
	}
	before, err := contract.FeesUpTo(c, p.start)
	if err != nil {
		return err
	}
	parts, err := p.overPools(c, before, until)
	if err != nil {
		return err
	}
	for _, part := range parts {
		for _, leg := range legs {
			debit := p.of(leg.Debit, c, part.pool)
			fees[debit] += part.amount
			p.post(Fee, debit, p.of(leg.Credit, c, part.pool), p.currency(), string(c.ID), part.amount)
		}
	}
	return nil
}

// feeBesides accrues the month's part of a fee that is due besides use: from
// the credit of each interval that the month touches, or as owed.
func (p *monthPosting) feeBesides(c *alliance.Contract, legs []contract.Leg) error {
	for i := range c.Floors {
		f := &c.Floors[i]
		from, until := p.start, p.end
		if f.From.After(from) {
			from = f.From.Time
		}
		if f.Until.Before(until) {
			until = f.Until.Time
		}
		due, err := contract.FeesBetween(c, from, until)
		if err != nil {
			return err
		}
		for _, leg := range legs {
			if leg.Basis == contract.AtCommitment {
				p.post(Commitment, interval(p.t, leg.Debit, c, *f), interval(p.t, leg.Credit, c, *f), commitAsset(p.t, c), string(c.ID), due)
				continue
			}
			credit := p.of(leg.Credit, c, "")
			if leg.Credit.Of == contract.OfInterval {
				credit = interval(p.t, leg.Credit, c, *f)
			}
			p.post(Fee, p.of(leg.Debit, c, ""), credit, p.currency(), string(c.ID), due)
		}
	}
	return nil
}

// poolPart is what one pool gets of an amount.
type poolPart struct {
	pool   string
	amount money.Amount
}

// overPools parts what an amount grew by, from before to until, over the
// contract's pools by their size; the last takes what rounding leaves. Each
// part is the difference of the pool's parts of the two, so that those of
// months add up to the pool's part of them all. A contract without pools takes
// it itself.
func (p *monthPosting) overPools(c *alliance.Contract, before, until money.Amount) ([]poolPart, error) {
	if contract.Covers(c.Shape) { // its pools draw on one account of the contract
		return []poolPart{{string(c.ID), until - before}}, nil
	}
	if p.rules < carryRules {
		before, until = 0, until-before
	}
	names, sizes, total := []string{}, []int64{}, int64(0)
	for i := range p.t.alliance.Pools {
		if pool := &p.t.alliance.Pools[i]; pool.Contract == c.ID {
			size := max(pool.Chips, pool.TokensPerMinute)
			names, sizes, total = append(names, string(pool.ID)), append(sizes, size), total+size
		}
	}
	if total == 0 {
		names, sizes, total = []string{string(c.ID)}, []int64{1}, 1
	}
	list, rest := make([]poolPart, len(names)), until-before
	for i, name := range names {
		part := rest
		if i < len(names)-1 {
			was, _, fits := money.Product(int64(before), sizes[i]).FloorDiv(total)
			is, _, ok := money.Product(int64(until), sizes[i]).FloorDiv(total)
			if !ok || !fits {
				return nil, money.ErrRange
			}
			part = money.Amount(is - was)
		}
		rest -= part
		list[i] = poolPart{name, part}
	}
	return list, nil
}

// unused turns what is left on every clearing account into expense, so that
// the month's clearing is zero. A use above the standard capacity is left as a
// negative expense.
func (p *monthPosting) unused(fees map[AccountID]money.Amount) {
	left := map[AccountID]money.Amount{}
	for k, v := range p.b.periods {
		if k.period == p.month && k.account.Kind() == "capacity_clearing" {
			left[k.account] += v
		}
	}
	for a, v := range fees {
		left[a] += v
	}
	accounts := make([]AccountID, 0, len(left))
	for a := range left {
		accounts = append(accounts, a)
	}
	slices.Sort(accounts)
	for _, a := range accounts {
		c := ""
		if pool := p.t.pools[alliance.PoolID(a.Ref())]; pool != nil {
			c = string(pool.Contract)
		} else if k := p.t.contracts[alliance.ContractID(a.Ref())]; k != nil {
			c = string(k.ID)
		}
		p.post(Unused, p.account(contract.Expense, "unused_capacity", a.Ref()), a, p.currency(), c, left[a])
	}
}

type poolMonth struct {
	pool  string
	month int32
}

// billPool books the bill of a pool by the chip-second.
func (p *factPosting) billPool(b *PoolBilled) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	pool := t.pools[alliance.PoolID(b.Pool)]
	switch {
	case pool == nil || pool.BilledBy != alliance.BilledByChipSecond:
		return refuse("there is no pool %s that is billed by the chip-second", b.Pool)
	case p.b.billed(b.Pool, b.Month):
		return refuse("pool %s has its bill for %d: what is corrected comes as a difference", b.Pool, b.Month)
	case b.Month <= p.b.closedMonth:
		return refuse("%d is closed", b.Month)
	}
	mp := monthPosting{factPosting: p, t: t, month: b.Month, start: monthStart(b.Month), end: monthStart(nextMonth(b.Month))}
	c := t.contracts[pool.Contract]
	if c == nil {
		c = &alliance.Contract{ID: pool.Contract, Provider: pool.Provider}
	}
	for _, leg := range contract.Legs(c, alliance.BilledByChipSecond, contract.PoolBill) {
		mp.post(Fee, mp.of(leg.Debit, c, b.Pool), mp.of(leg.Credit, c, b.Pool), mp.currency(), string(pool.Contract), b.Amount)
	}
	return nil
}

// billed reports whether a pool has its bill for a month.
func (b *Book) billed(pool string, month int32) bool {
	_, ok := b.billedPools[poolMonth{pool, month}]
	return ok
}
