package ledger

import (
	"crypto/sha256"
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
	// Rules is the version of the rules that closed it, at most CloseRules: a
	// later version of the program closes an old month as it was closed.
	Rules int32 `json:"rules,omitempty"`
}

// CloseRules is the version of the rules that a close is made by now. Version
// 1 accrues shortfalls that are likely. Version 2 carries what rounding leaves
// of a month's share, discount and part of a pool into the next, so that the
// months of a term add up to the term.
const CloseRules = 2

// carryRules is the version that began to carry.
const carryRules = 2

func checkMonth(month int32) error {
	if month < 197001 || month > 999912 || month%100 < 1 || month%100 > 12 {
		return refuse("%d is no month: write it as YYYYMM", month)
	}
	return nil
}

func (m *MonthClosed) check() error {
	if m.Rules < 0 || m.Rules > CloseRules {
		return refuse("the month was closed by the rules %d, this version knows %d", m.Rules, CloseRules)
	}
	return checkMonth(m.Month)
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
	if in := f.included; in != nil {
		in.subject, in.grant, in.uncounted = b.place(in.subject), b.place(in.grant), b.place(in.uncounted)
	}
	if f.beyond != nil {
		for i := range f.beyond.rules {
			f.beyond.rules[i].key = b.place(f.beyond.rules[i].key)
		}
		f.beyond.turn = b.place(f.beyond.turn)
	}
}

// monthPosting closes one month.
type monthPosting struct {
	*factPosting
	t          *Terms
	month      int32
	start, end time.Time
	rules      int32 // of the close, 0 for what is no close
}

func (p *factPosting) closeMonth(m *MonthClosed) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	mp := p.monthOf(t, m.Month)
	mp.rules = m.Rules
	if err := mp.mayClose(); err != nil {
		return err
	}
	due, err := mp.subscriptions()
	if err != nil {
		return err
	}
	fees := map[AccountID]money.Amount{}
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		if err := mp.fee(c, fees); err != nil {
			return err
		}
		if err := mp.abate(c, fees); err != nil {
			return err
		}
		if err := mp.hours(c); err != nil {
			return err
		}
		if err := mp.lend(c); err != nil {
			return err
		}
		for j := range c.Floors {
			if f := &c.Floors[j]; f.Until.After(mp.start) && !f.Until.After(mp.end) {
				mp.endFloor(c, f)
			}
		}
		mp.expire(c)
		mp.discounts(c)
		if err := mp.share(c, due); err != nil {
			return err
		}
		for j := range c.Floors {
			mp.credit(c, &c.Floors[j])
		}
	}
	if m.Rules >= 1 {
		mp.expect()
	}
	mp.unused(fees)
	return mp.revalue()
}

func (p *factPosting) monthOf(t *Terms, month int32) monthPosting {
	return monthPosting{factPosting: p, t: t, month: month, start: monthStart(month), end: monthStart(nextMonth(month))}
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
		if used != 0 && !p.b.billed(string(pool.ID), p.month) {
			return refuse("pool %s was used in %d and its bill by the chip-second is missing: accordo record pool-bill", pool.ID, p.month)
		}
	}
	return nil
}

func (p *monthPosting) earliest() int32 {
	return min(p.month, FirstMonth(p.b.periodList()))
}

func (p *monthPosting) account(class contract.Class, kind string, refs ...string) AccountID {
	return NewAccount(string(p.t.alliance.Operator), class, kind, refs...)
}

// post adds an entry of the close. An amount in the alliance's currency is in
// that of the contract c, where it has another: postForeign then keeps what is
// owed in it and the result in the alliance's.
func (p *monthPosting) post(kind Kind, debit, credit AccountID, asset Asset, c string, amount money.Amount) {
	if owed := p.moneyOf(c, debit, credit); asset == p.currency() && owed != asset {
		p.postForeign(kind, debit, credit, owed, c, amount)
		return
	}
	p.entry(Key{Kind: kind, Debit: debit, Credit: credit, Asset: asset, Contract: c}, amount)
}

// entry adds an entry of the close as it is, unless it moves nothing. One
// about a closed month is booked in the first open one.
func (p *monthPosting) entry(k Key, amount money.Amount) {
	p.fraction(k, money.WideOf(int64(amount)), 1)
}

// fraction is entry for n ÷ divisor: what rounding leaves is carried to the
// next entry between the same accounts at the same price.
func (p *monthPosting) fraction(k Key, n money.Wide, divisor int64) {
	if n.Sign() == 0 {
		return
	}
	k.Terms, k.Period = p.t.Hash, p.month
	k = p.b.place(k)
	p.list = append(p.list, unrounded{Entry{
		Key: k, Divisor: divisor, First: p.b.head.Last, Last: p.b.head.Last, From: p.start.UnixNano(), Until: p.end.UnixNano() - 1, Digest: sha256.Sum256(nil),
	}, n})
}

// carried is post for n ÷ PPM of a month, whose remainder the next month goes
// on with. Rules before that rounded each month alone.
func (p *monthPosting) carried(k Key, n money.Wide) {
	if p.rules < carryRules {
		p.post(k.Kind, k.Debit, k.Credit, k.Asset, k.Contract, floor(n, contract.PPM))
		return
	}
	owed, booked := p.sides(k)
	if booked != nil {
		p.convert(*booked, owed.Asset, floor(n.Add(money.WideOf(p.left(k))), contract.PPM))
	}
	p.fraction(owed, n, contract.PPM)
}

// left is the remainder that the months before left of such entries.
func (p *monthPosting) left(k Key) int64 {
	if p.rules < carryRules {
		return 0
	}
	owed, _ := p.sides(k)
	return p.b.carries[CarryKey{owed.Debit, owed.Credit, owed.Price, contract.PPM}]
}

// sides is an entry in its contract's currency and, where that is not the
// alliance's, the same result in the alliance's.
func (p *monthPosting) sides(k Key) (owed Key, booked *Key) {
	asset := p.moneyOf(k.Contract, k.Debit, k.Credit)
	if k.Asset != p.currency() || asset == k.Asset {
		return k, nil
	}
	parts := p.t.part(k, asset)
	return parts.owed, &parts.booked
}

func (p *monthPosting) currency() Asset { return Asset(p.t.alliance.Currency) }

// of fills in the account of one side of a contract's leg.
func (p *monthPosting) of(a contract.Account, c *alliance.Contract, pool string) AccountID {
	if p.t.own(c) {
		a = contract.Own(a)
	}
	switch a.Of {
	case contract.OfPool:
		return p.account(a.Class, a.Kind, pool)
	case contract.OfCurrency:
		return p.account(a.Class, a.Kind, string(p.t.moneyOf(c)))
	case contract.OfProvider:
		return p.t.held(p.account(a.Class, a.Kind, string(c.Provider)), p.t.moneyOf(c))
	}
	return p.account(a.Class, a.Kind, string(c.ID))
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
