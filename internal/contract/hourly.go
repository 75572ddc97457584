package contract

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// Covers reports whether use under the shape is covered by a commitment per
// hour: it costs nothing more inside the hour's commitment, and the list price
// beyond it.
func Covers(s alliance.Shape) bool { return s == alliance.HourlyRate }

// HourAt returns the commitment of the hour that contains at, with the hour's
// begin.
func HourAt(c *alliance.Contract, at time.Time) (r alliance.HourRate, hour time.Time, ok bool) {
	hour = at.UTC().Truncate(time.Hour)
	for _, r := range c.Rates {
		if r.Holds(hour) {
			return r, hour, true
		}
	}
	return alliance.HourRate{}, hour, false
}

// CommittedUpTo returns what a rate commits from its begin to an instant,
// rounded down once.
func CommittedUpTo(c *alliance.Contract, r *alliance.HourRate, at time.Time) (money.Amount, error) {
	until := end(c, r.Until)
	if at.Before(until) {
		until = at
	}
	seconds := int64(until.Sub(r.From.Time) / time.Second)
	if seconds <= 0 {
		return 0, nil
	}
	part, _, ok := money.Product(int64(r.PerHour), seconds).FloorDiv(int64(time.Hour / time.Second))
	if !ok {
		return 0, money.ErrRange
	}
	return money.Amount(part), nil
}

// hoursUpTo is what the rates of a contract commit up to an instant.
func hoursUpTo(c *alliance.Contract, at time.Time) (total money.Amount, err error) {
	for i := range c.Rates {
		part, err := CommittedUpTo(c, &c.Rates[i], at)
		if err != nil {
			return 0, err
		}
		if total, err = total.Add(part); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// FeesOf returns what is paid whether used or not, interval by interval: the
// fixed fees, or of a commitment per hour the whole of each rate.
func FeesOf(c *alliance.Contract) ([]alliance.Fee, error) {
	if !Covers(c.Shape) {
		return c.Fees, nil
	}
	list := make([]alliance.Fee, len(c.Rates))
	for i := range c.Rates {
		r := &c.Rates[i]
		whole, err := CommittedUpTo(c, r, end(c, r.Until))
		if err != nil {
			return nil, err
		}
		list[i] = alliance.Fee{Term: r.Term, Amount: whole, Sourced: r.Sourced}
	}
	return list, nil
}

// Alone returns the contract with only that fee of FeesOf.
func Alone(c *alliance.Contract, f *alliance.Fee) *alliance.Contract {
	alone := *c
	alone.Fees, alone.Rates = []alliance.Fee{*f}, nil
	if Covers(c.Shape) {
		alone.Fees = nil
		for _, r := range c.Rates {
			if r.From.Equal(f.From.Time) {
				alone.Rates = []alliance.HourRate{r}
			}
		}
	}
	return &alone
}
