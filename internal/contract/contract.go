// Package contract says what each shape of contract means: what one more
// request costs at the margin, what was promised and paid when, how much
// capacity is there, the standard rate of a fixed fee, and which accounts an
// event moves. It is the only package that tells the shapes apart, and a test
// holds the others to it. It refuses to know balances, routes and clocks.
package contract

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// PPM is one whole in parts per million.
const PPM = 1_000_000

// MarginalPPM returns the share of the price that one more request costs, in
// parts per million. lambdaPPM is the shadow price of the contract's floor,
// in [0, PPM]; values outside are taken as the nearest end. Of a prepaid
// credit it is the part that would be forfeited: the credit's own shadow
// price nu is PPM less lambda, 0 while a surplus runs towards its expiry, and
// the whole price once the credit is used up.
func MarginalPPM(s alliance.Shape, lambdaPPM int64) int64 {
	switch s {
	case alliance.SpendFloor, alliance.PrepaidCredit:
		return PPM - min(max(lambdaPPM, 0), PPM)
	case alliance.TakeOrPay, alliance.ThroughputReserved:
		return 0
	}
	return PPM
}

// Perishes reports whether capacity under the shape is lost when it is not
// used, so that it has a scarcity price mu and no price per token.
func Perishes(s alliance.Shape) bool {
	switch s {
	case alliance.TakeOrPay, alliance.ThroughputReserved:
		return true
	}
	return false
}

// HasFloor reports whether the shape promises a spend or has it paid ahead,
// so that it has a shadow price lambda and a commitment that burns down.
func HasFloor(s alliance.Shape) bool {
	return s == alliance.SpendFloor || s == alliance.PrepaidCredit
}

// FloorAt returns the floor of the interval that contains at.
func FloorAt(c *alliance.Contract, at time.Time) (alliance.Floor, bool) {
	for _, f := range c.Floors {
		if f.Holds(at) {
			return f, true
		}
	}
	return alliance.Floor{}, false
}

// FeeAt returns the fixed fee of the interval that contains at.
func FeeAt(c *alliance.Contract, at time.Time) (alliance.Fee, bool) {
	for _, f := range c.Fees {
		if f.Holds(at) {
			return f, true
		}
	}
	return alliance.Fee{}, false
}

// Shortfall returns what is owed on top of spent when the interval ends now:
// the rest of the floor, never negative.
func Shortfall(floor, spent money.Amount) money.Amount { return max(0, floor-spent) }

// Rollover returns the part of a paid shortfall that counts for later
// intervals, rounded down.
func Rollover(c *alliance.Contract, paid money.Amount) money.Amount {
	r := c.Rollover
	if r == nil || paid <= 0 {
		return 0
	}
	part, _, ok := money.Product(int64(paid), r.SharePPM).FloorDiv(PPM)
	if !ok {
		return 0
	}
	if r.Cap != nil {
		part = min(part, int64(*r.Cap))
	}
	return money.Amount(part)
}

// ShareOf returns what the provider gets for a month's revenue, in PPM-ths of
// a micro-unit: the rate of it, of which with what earlier months left to
// carry whole micro-units are due. The provider has got used before, and never
// gets more than the cap; revenue below zero takes back what it gave.
func ShareOf(r *alliance.RevenueShare, revenue, used money.Amount, carried int64) (money.Wide, error) {
	share := money.Product(int64(revenue), r.RatePPM)
	part, _, ok := share.Add(money.WideOf(carried)).FloorDiv(PPM)
	if !ok {
		return money.Wide{}, money.ErrRange
	}
	due := money.Amount(part)
	if r.Cap != nil {
		due = min(due, *r.Cap-used)
	}
	if due = max(due, -used); due != money.Amount(part) {
		return money.Product(int64(due), PPM).Add(money.WideOf(-carried)), nil
	}
	return share, nil
}

// RolloverEnds returns the instant at which what rolled over from an interval
// is forfeited: whole civil months after its end.
func RolloverEnds(c *alliance.Contract, f *alliance.Floor) time.Time {
	if c.Rollover == nil {
		return f.Until.Time
	}
	return f.Until.AddDate(0, int(c.Rollover.Months), 0)
}

// FeesBetween returns the fixed fees that accrue in [from, until), 0 when it
// is empty.
func FeesBetween(c *alliance.Contract, from, until time.Time) (money.Amount, error) {
	before, err := FeesUpTo(c, from)
	if err != nil {
		return 0, err
	}
	after, err := FeesUpTo(c, until)
	return max(0, after-before), err
}

// FeesUpTo returns the fixed fees, or commitments per hour, accrued from the
// start of the contract to an instant, by elapsed seconds, rounded down once
// per fee. The accrual of a
// period is the difference of two calls, so periods add up to the fee.
func FeesUpTo(c *alliance.Contract, at time.Time) (money.Amount, error) {
	total, err := hoursUpTo(c, at)
	if err != nil {
		return 0, err
	}
	for _, f := range c.Fees {
		length := int64(end(c, f.Until).Sub(f.From.Time) / time.Second)
		elapsed := min(int64(at.Sub(f.From.Time)/time.Second), length)
		if length <= 0 || elapsed <= 0 {
			continue
		}
		part, _, ok := money.Product(int64(f.Amount), elapsed).FloorDiv(length)
		if !ok {
			return 0, money.ErrRange
		}
		sum, err := total.Add(money.Amount(part))
		if err != nil {
			return 0, err
		}
		total = sum
	}
	return total, nil
}
