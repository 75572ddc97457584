package ledger

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// credit settles one interval of a prepaid credit: it is bought in its first
// month, what use and fees drew beyond it is owed at each close, and what is
// left at its end is forfeited. Intervals that had begun when the books did are
// bought at the first close.
func (p *monthPosting) credit(c *alliance.Contract, f *alliance.Floor) {
	id := string(c.ID)
	bought := !f.From.Before(p.start) && f.From.Before(p.end) || p.b.closedMonth == 0 && f.From.Before(p.start) && f.Until.After(p.start)
	var left money.Amount
	for _, leg := range contract.Legs(c, "", contract.CreditBought) {
		account := interval(p.t, leg.Debit, c, *f)
		left = p.withPending(account)
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
