package focus

import (
	"cmp"
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

func feeFrom(c *alliance.Contract, at time.Time) string {
	if fee, ok := contract.FeeAt(c, at); ok {
		return fee.From.String()
	}
	if len(c.Fees) > 0 {
		return c.Fees[0].From.String()
	}
	return c.From.String()
}

// fees makes, for each month of each fixed fee, a purchase and what of it was
// not used: as booked where the books have closed the month and the window
// holds all of it, else what has accrued, so that a window that cuts a month
// has as much fee as it has use.
func fees(a *alliance.Alliance, w Window, uses map[feeKey]capacityUse, booked map[feeKey]*bookedFee, to *[]charge) error {
	done := map[feeKey]bool{}
	for i := range a.Contracts {
		c := &a.Contracts[i]
		if !paysFees(c) {
			continue
		}
		list, err := contract.FeesOf(c)
		if err != nil {
			return err
		}
		for _, f := range list {
			end := cmp.Or(f.Until, c.Until).Time
			for from := later(f.From.Time, w.From); from.Before(end) && from.Before(w.Until); {
				next := earlier(month(from).AddDate(0, 1, 0), end)
				k := feeKey{contract: string(c.ID), month: month(from)}
				p := feePart{a: a, c: c, f: f, from: from, until: earlier(next, w.Until), use: uses[feeKey{string(c.ID), f.From.String(), month(from)}]}
				if whole := !month(from).Before(w.From) && !month(from).AddDate(0, 1, 0).After(w.Until); whole {
					p.booked = booked[k]
				}
				// Of a booked month one part stands for all.
				if p.booked == nil || !done[k] {
					done[k] = true
					two, err := p.charges()
					if err != nil {
						return err
					}
					*to = append(*to, two...)
				}
				from = next
			}
		}
	}
	return nil
}

// feePart is a fixed fee within one month.
type feePart struct {
	a           *alliance.Alliance
	c           *alliance.Contract
	f           alliance.Fee
	from, until time.Time
	use         capacityUse
	booked      *bookedFee
}

// amounts returns what was bought and what of it was not used.
func (p *feePart) amounts() (bought, lost money.Amount, err error) {
	if p.booked != nil {
		return p.booked.fee, p.booked.unused, nil
	}
	alone := contract.Alone(p.c, &p.f)
	before, err := contract.FeesOwedUpTo(alone, p.from)
	if err != nil {
		return 0, 0, err
	}
	after, err := contract.FeesOwedUpTo(alone, p.until)
	return after - before, after - before - p.use.cost, err
}

func (p *feePart) charges() ([]charge, error) {
	fee, rest, err := p.amounts()
	if err != nil {
		return nil, err
	}
	capacity := contract.Capacity(p.c, p.from, p.until)
	if capacity > (1<<63-1)/contract.UseDivisor {
		return nil, fmt.Errorf("capacity of contract %s: %w", p.c.ID, money.ErrRange)
	}
	base := charge{from: p.from, until: p.until, terms: p.a, contract: p.c, fixed: true, fee: p.f.From.String()}
	if p.c.Provider == p.a.Operator {
		base.note = "capacity of one's own: nobody bills it"
	}
	bought, lost := base, base
	bought.category, bought.billed, bought.quantity = purchaseCharge, fee, capacity*contract.UseDivisor
	bought.description = "Fixed fee of " + p.c.Title
	lost.category, lost.status, lost.effective, lost.quantity = usageCharge, unused, rest, max(0, capacity*contract.UseDivisor-p.use.micro)
	lost.description = "Unused capacity of " + p.c.Title
	if contract.Covers(p.c.Shape) {
		bought.hourly, lost.hourly, bought.quantity, lost.quantity = true, true, int64(fee), max(0, int64(rest))
		bought.description, lost.description = "Commitment per hour of "+p.c.Title, "Unused commitment of "+p.c.Title
	}
	if rest < 0 {
		lost.note = "more was used than the fee of this time pays for at the standard rate"
	}
	if rest == 0 && lost.quantity == 0 {
		return []charge{bought}, nil
	}
	return []charge{bought, lost}, nil
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

func earlier(x, y time.Time) time.Time {
	if x.Before(y) {
		return x
	}
	return y
}
