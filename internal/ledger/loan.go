package ledger

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
)

// lend books a loan to the provider: paid out in its first month, or in the
// first month of books that begin while it runs, paid back in its last, and
// the month's interest.
func (p *monthPosting) lend(c *alliance.Contract) error {
	l := c.Loan
	if l == nil || !l.From.Before(p.end) || !l.Until.After(p.start) {
		return nil
	}
	id := string(c.ID)
	for _, leg := range contract.Legs(c, "", contract.LoanPaid) {
		out := l.Amount - p.upTo(p.of(leg.Debit, c, ""))
		p.post(Loan, p.of(leg.Debit, c, ""), p.of(leg.Credit, c, ""), p.currency(), id, out)
	}
	until, err := contract.InterestUpTo(l, p.end)
	if err != nil {
		return err
	}
	before, err := contract.InterestUpTo(l, p.start)
	if err != nil {
		return err
	}
	for _, leg := range contract.Legs(c, "", contract.InterestDue) {
		p.post(Interest, p.of(leg.Debit, c, ""), p.of(leg.Credit, c, ""), p.currency(), id, until-before)
	}
	if l.Until.After(p.end) {
		return nil
	}
	for _, leg := range contract.Legs(c, "", contract.LoanReturned) {
		p.post(Loan, p.of(leg.Debit, c, ""), p.of(leg.Credit, c, ""), p.currency(), id, l.Amount)
	}
	return nil
}
