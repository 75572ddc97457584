package ledger

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// MonthClosed says that a civil month was closed: fees accrue, unused
// capacity becomes expense, floors that end are settled. A closed month never
// changes: what becomes known later is booked in the first open one.
type MonthClosed struct {
	Month int32 `json:"month"` // YYYYMM
}

// ShortfallWaived says that the provider does not charge the shortfall of one
// interval of a floor. It is recorded before the interval's last month closes.
type ShortfallWaived struct {
	Contract string `json:"contract"`
	From     string `json:"from"` // first day of the floor's interval, as the terms state it
	Reason   string `json:"reason"`
}

// PoolBilled is the provider's bill of a pool that is billed by the
// chip-second, for one month. Requests are allocations of it.
type PoolBilled struct {
	Pool        string       `json:"pool"`
	Month       int32        `json:"month"` // YYYYMM
	ChipSeconds int64        `json:"chip_seconds"`
	Amount      money.Amount `json:"amount"` // in micro-units of the currency
	Reason      string       `json:"reason"` // such as the invoice's number
}

func checkMonth(month int32) error {
	if month < 197001 || month > 999912 || month%100 < 1 || month%100 > 12 {
		return refuse("%d is no month: write it as YYYYMM", month)
	}
	return nil
}

func (m *MonthClosed) check() error { return checkMonth(m.Month) }

func (s *ShortfallWaived) check() error {
	if s.Contract == "" || s.From == "" {
		return refuse("a waiver names the contract and the first day of the interval")
	}
	return checkReason(s.Reason)
}

func (b *PoolBilled) check() error {
	if b.Pool == "" || b.Amount < 0 || b.ChipSeconds < 0 {
		return refuse("a pool's bill names the pool, and states chip-seconds and an amount of 0 or more")
	}
	return cmp.Or(checkMonth(b.Month), checkReason(b.Reason))
}

// monthStart is the first instant of a month.
func monthStart(month int32) time.Time {
	return time.Date(int(month/100), time.Month(month%100), 1, 0, 0, 0, 0, time.UTC)
}

func monthOf(t time.Time) int32 {
	t = t.UTC()
	return int32(t.Year()*100 + int(t.Month()))
}

// Closed is the last closed month as YYYYMM, 0 when none is.
func (b *Book) Closed() int32 { return b.closedMonth }

// place moves the key of an entry of a closed month into the first open one.
// Its Ref then names the month that it is about, where it names nothing else.
func (b *Book) place(k Key) Key {
	if k.Period > b.closedMonth {
		return k
	}
	if k.Ref == "" {
		k.Ref = strconv.Itoa(int(k.Period))
	}
	k.Period = nextMonth(b.closedMonth)
	return k
}

// Corrects returns the closed month that the entry is about, or 0 when it is
// booked in the month that it is about.
func (e *Entry) Corrects() int32 {
	if k := e.LineKey(); k.Period != e.Period {
		return k.Period
	}
	return 0
}

// LineKey is the key that the lines of the entry have: its own, but for an
// entry about a closed month.
func (e *Entry) LineKey() Key {
	k := e.Key
	switch n, err := strconv.ParseInt(k.Ref, 10, 32); {
	case k.Kind == Suspense:
		k.Period = monthOf(time.Unix(0, e.From))
	case err == nil && len(k.Ref) == 6 && int32(n) < k.Period:
		k.Period, k.Ref = int32(n), ""
	}
	return k
}

// relocate books a flow of a closed month in the first open one.
func (b *Book) relocate(f *flow) {
	for _, list := range [][]rule{f.served, f.bought} {
		for i := range list {
			list[i].key = b.place(list[i].key)
		}
	}
	f.suspense.key = b.place(f.suspense.key)
}

// monthPosting closes one month.
type monthPosting struct {
	*factPosting
	t          *Terms
	month      int32
	start, end time.Time
}

func (p *factPosting) closeMonth(m *MonthClosed) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	mp := monthPosting{factPosting: p, t: t, month: m.Month, start: monthStart(m.Month), end: monthStart(nextMonth(m.Month))}
	if err := mp.mayClose(); err != nil {
		return err
	}
	fees := map[AccountID]money.Amount{}
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		if err := mp.fee(c, fees); err != nil {
			return err
		}
		for j := range c.Floors {
			if f := &c.Floors[j]; f.Until.After(mp.start) && !f.Until.After(mp.end) {
				mp.endFloor(c, f)
			}
		}
		mp.expire(c)
		if err := mp.share(c); err != nil {
			return err
		}
		for j := range c.Floors {
			mp.credit(c, &c.Floors[j])
		}
	}
	mp.unused(fees)
	return nil
}

// mayClose refuses a month that has not ended, is closed, follows one that is
// open, or has chip-seconds that are not billed.
func (p *monthPosting) mayClose() error {
	if closed := p.b.closedMonth; closed > 0 && p.month != nextMonth(closed) {
		if p.month <= closed {
			return refuse("%d is closed: what becomes known later is booked in %d", p.month, nextMonth(closed))
		}
		return refuse("close %d first", nextMonth(closed))
	}
	if p.end.UnixNano() > p.fact.At {
		return refuse("%d has not ended", p.month)
	}
	for k := range p.b.periods {
		if p.b.closedMonth == 0 && k.period < p.month && k.account.Class() != contract.Memo {
			return refuse("the books have entries of %d: close the months in order", p.earliest())
		}
	}
	for _, pool := range p.t.alliance.Pools {
		if pool.BilledBy != alliance.BilledByChipSecond {
			continue
		}
		used := p.b.periods[periodKey{p.account(contract.Expense, "compute", string(pool.ID)), p.month}]
		if used != 0 && !p.b.billedPools[poolMonth{string(pool.ID), p.month}] {
			return refuse("pool %s was used in %d and its bill by the chip-second is missing: accordo record pool-bill", pool.ID, p.month)
		}
	}
	return nil
}

func (p *monthPosting) earliest() int32 {
	least := p.month
	for k := range p.b.periods {
		if k.account.Class() != contract.Memo {
			least = min(least, k.period)
		}
	}
	return least
}

func (p *monthPosting) account(class contract.Class, kind string, refs ...string) AccountID {
	return NewAccount(string(p.t.alliance.Operator), class, kind, refs...)
}

// post adds an entry of the close.
func (p *monthPosting) post(kind Kind, debit, credit AccountID, asset Asset, c string, amount money.Amount) {
	if amount == 0 {
		return
	}
	k := Key{Kind: kind, Debit: debit, Credit: credit, Asset: asset, Contract: c, Terms: p.t.Hash, Period: p.month}
	p.list = append(p.list, unrounded{Entry{
		Key: k, Divisor: 1, First: p.b.head.Last, Last: p.b.head.Last, From: p.start.UnixNano(), Until: p.end.UnixNano() - 1, Digest: sha256.Sum256(nil),
	}, money.WideOf(int64(amount))})
}

func (p *monthPosting) currency() Asset { return Asset(p.t.alliance.Currency) }

// of fills in the account of one side of a contract's leg.
func (p *monthPosting) of(a contract.Account, c *alliance.Contract, pool string) AccountID {
	switch a.Of {
	case contract.OfPool:
		return p.account(a.Class, a.Kind, pool)
	case contract.OfProvider:
		return p.account(a.Class, a.Kind, string(c.Provider))
	}
	return p.account(a.Class, a.Kind, string(c.ID))
}

// fee accrues the month's part of a fixed fee, over the contract's pools by
// their size; the last pool takes what rounding leaves. A contract without
// pools has a clearing account of its own.
func (p *monthPosting) fee(c *alliance.Contract, fees map[AccountID]money.Amount) error {
	legs := contract.Legs(c, alliance.BilledByFixed, contract.FeeAccrued)
	if len(legs) == 0 {
		return nil
	}
	until, err := contract.FeesUpTo(c, p.end)
	if err != nil {
		return err
	}
	before, err := contract.FeesUpTo(c, p.start)
	if err != nil {
		return err
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
	rest := until - before
	for i, name := range names {
		part := rest
		if i < len(names)-1 {
			q, _, ok := money.Product(int64(until-before), sizes[i]).FloorDiv(total)
			if !ok {
				return money.ErrRange
			}
			part = money.Amount(q)
		}
		rest -= part
		for _, leg := range legs {
			debit := p.of(leg.Debit, c, name)
			fees[debit] += part
			p.post(Fee, debit, p.of(leg.Credit, c, name), p.currency(), string(c.ID), part)
		}
	}
	return nil
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
		}
		p.post(Unused, p.account(contract.Expense, "unused_capacity", a.Ref()), a, p.currency(), c, left[a])
	}
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

// credit settles one interval of a prepaid credit: it is bought in its first
// month, use beyond it is owed at each close, and what is left at its end is
// forfeited. Intervals that had begun when the books did are bought at the
// first close.
func (p *monthPosting) credit(c *alliance.Contract, f *alliance.Floor) {
	id := string(c.ID)
	bought := !f.From.Before(p.start) && f.From.Before(p.end) || p.b.closedMonth == 0 && f.From.Before(p.start) && f.Until.After(p.start)
	var left money.Amount
	for _, leg := range contract.Legs(c, "", contract.CreditBought) {
		account := interval(p.t, leg.Debit, c, *f)
		left = p.upTo(account)
		if bought {
			left += f.Amount
			p.post(Prepayment, account, p.of(leg.Credit, c, ""), p.currency(), id, f.Amount)
		}
	}
	if left < 0 {
		for _, leg := range contract.Legs(c, "", contract.CreditPassed) {
			p.post(Overage, interval(p.t, leg.Debit, c, *f), p.of(leg.Credit, c, ""), p.currency(), id, -left)
		}
	}
	if f.Until.After(p.end) || !f.Until.After(p.start) {
		return
	}
	for _, leg := range contract.Legs(c, "", contract.CreditEnded) {
		credit := interval(p.t, leg.Credit, c, *f)
		if leg.Debit.Class != contract.Memo {
			p.post(Forfeiture, p.of(leg.Debit, c, ""), credit, p.currency(), id, max(left, 0))
			continue
		}
		if open := p.open(c, f); open > 0 {
			p.post(Lapse, interval(p.t, leg.Debit, c, *f), credit, commitAsset(p.t, c), id, open)
		}
	}
}

// share books what the provider gets of the month's revenue, stopping exactly
// at the cap.
func (p *monthPosting) share(c *alliance.Contract) error {
	r := c.RevenueShare
	if r == nil || !r.Holds(p.start) {
		return nil
	}
	legs := contract.Legs(c, "", contract.ShareDue)
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
	due, err := contract.ShareOf(r, p.revenue(r.Base), used)
	if err != nil || due == 0 {
		return err
	}
	for _, leg := range contract.Legs(c, "", contract.ShareOpened) {
		debit, credit := p.of(leg.Debit, c, ""), p.of(leg.Credit, c, "")
		p.post(Opening, debit, credit, commitAsset(p.t, c), string(c.ID), *r.Cap+p.b.balances[credit].Amount)
	}
	for _, leg := range legs {
		asset := p.currency()
		if leg.Debit.Class == contract.Memo {
			asset = commitAsset(p.t, c)
		}
		p.post(Share, p.of(leg.Debit, c, ""), p.of(leg.Credit, c, ""), asset, string(c.ID), due)
	}
	return nil
}

// revenue is what the month brought in, by the base of a share.
func (p *monthPosting) revenue(base string) (sum money.Amount) {
	for k, v := range p.b.periods {
		if k.period != p.month || k.account.Class() != contract.Revenue {
			continue
		}
		switch kind := k.account.Kind(); {
		case base == alliance.ShareOfAll, base == alliance.ShareOfSales && kind == "inference", base == alliance.ShareOfWholesale && kind == "wholesale":
			sum -= v
		}
	}
	return sum
}

// upTo is what an account holds by the entries of months up to this one.
func (p *monthPosting) upTo(a AccountID) (sum money.Amount) {
	for k, v := range p.b.periods {
		if k.account == a && k.period <= p.month {
			sum += v
		}
	}
	return sum
}

// open returns what is open of a floor's interval, which comes into the books
// now if nothing has used it.
func (p *monthPosting) open(c *alliance.Contract, f *alliance.Floor) (open money.Amount) {
	for _, leg := range contract.Legs(c, "", contract.FloorOpened) {
		debit, credit := interval(p.t, leg.Debit, c, *f), interval(p.t, leg.Credit, c, *f)
		booked := -p.b.balances[credit].Amount
		open = p.b.balances[debit].Amount + f.Amount - booked
		if booked == 0 {
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

type poolMonth struct {
	pool  string
	month int32
}

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
	case p.b.billedPools[poolMonth{b.Pool, b.Month}]:
		return refuse("pool %s has its bill for %d: what is corrected comes as a difference", b.Pool, b.Month)
	case b.Month <= p.b.closedMonth:
		return refuse("%d is closed", b.Month)
	}
	mp := monthPosting{factPosting: p, t: t, month: b.Month, start: monthStart(b.Month), end: monthStart(nextMonth(b.Month))}
	mp.post(Fee, mp.account(contract.Asset, "capacity_clearing", b.Pool), mp.account(contract.Liability, "accrued", t.provider(pool)), mp.currency(), string(pool.Contract), b.Amount)
	return nil
}
