package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// expect takes back what the close before accrued for shortfalls that were
// likely then, and accrues those that are now. Nobody is owed it yet: it is a
// liability of the contract's interval, not to the provider. With the
// interval's last month the actual shortfall takes its place.
func (p *monthPosting) expect() {
	var accrued []AccountID
	for a, v := range p.b.balances {
		if v.Amount != 0 && a.Class() == contract.Liability && a.Kind() == ExpectedKind {
			accrued = append(accrued, a)
		}
	}
	slices.Sort(accrued)
	for _, a := range accrued {
		id, _, _ := strings.Cut(a.Ref(), ",")
		p.post(Expected, p.account(contract.Expense, "shortfall", id), a, p.currency(), id, p.b.balances[a].Amount)
	}
	for i := range p.t.alliance.Contracts {
		c := &p.t.alliance.Contracts[i]
		for _, leg := range contract.Legs(c, "", contract.MissExpected) {
			for j := range c.Floors {
				f := &c.Floors[j]
				if f.From.Before(p.end) && f.Until.After(p.end) && !p.b.waived[waiver{string(c.ID), f.From.String()}] {
					p.post(Expected, p.of(leg.Debit, c, ""), interval(p.t, leg.Credit, c, *f), p.currency(), string(c.ID), p.expected(c, f))
				}
			}
		}
	}
}

// ExpectedKind is the kind of the account of shortfalls that are likely: a
// liability that nobody claims yet, which stands on no statement.
const ExpectedKind = "expected_shortfall"

// expected is the part, by the seconds that have passed, of the shortfall to
// which the month's pace of use leads, less what rolled over from earlier
// intervals and what will roll over from this one.
func (p *monthPosting) expected(c *alliance.Contract, f *alliance.Floor) money.Amount {
	var used, burnt money.Amount
	for _, leg := range contract.Legs(c, "", contract.Usage) {
		if leg.Basis == contract.AtCommitment {
			account := interval(p.t, leg.Debit, c, *f)
			used, burnt = p.upTo(account), p.b.periods[periodKey{account, p.month}]
		}
	}
	forecast := contract.Forecast(used, burnt, p.end.Sub(contract.PaceFrom(f, p.end)), f.Until.Sub(p.end))
	var credits money.Amount
	for i := range c.Floors {
		earlier := &c.Floors[i]
		credit := p.account(contract.Asset, "rollover_credit", string(c.ID), earlier.From.String())
		if earlier.From.Before(f.From.Time) && !contract.RolloverEnds(c, earlier).Before(f.Until.Time) {
			credits += p.withPending(credit)
		}
	}
	missing := contract.LikelyShortfall(c, f.Amount+p.changedBy(c, f), forecast, credits)
	length, elapsed := int64(f.Until.Sub(f.From.Time)/time.Second), int64(p.end.Sub(f.From.Time)/time.Second)
	part, _, ok := money.Product(int64(missing), elapsed).FloorDiv(max(length, 1))
	if !ok {
		return 0
	}
	return money.Amount(part)
}
