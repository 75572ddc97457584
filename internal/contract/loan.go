package contract

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// InterestUpTo returns the simple interest on a loan from its begin to an
// instant, by elapsed seconds of years of 365 days, rounded down once: the
// interest of a month is the difference of two calls.
func InterestUpTo(l *alliance.Loan, at time.Time) (money.Amount, error) {
	if l.Until.Before(at) {
		at = l.Until.Time
	}
	seconds := int64(at.Sub(l.From.Time) / time.Second)
	if seconds <= 0 {
		return 0, nil
	}
	weight, _, ok := money.Product(l.RatePPM, seconds).FloorDiv(1)
	if !ok {
		return 0, money.ErrRange
	}
	due, _, ok := money.Product(int64(l.Amount), weight).FloorDiv(PPM * 365 * 24 * 3600)
	if !ok {
		return 0, money.ErrRange
	}
	return money.Amount(due), nil
}
