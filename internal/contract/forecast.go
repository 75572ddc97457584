package contract

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// PaceFrom returns the instant from which on use makes the pace at an instant
// by which an interval's end is foreseen: the same time a civil month before,
// or the begin of the interval if that is later. It is a month, and not a
// number of days, because books know of closed months only what each did to an
// account: so a close and an outlook at its instant foresee the same.
func PaceFrom(f *alliance.Floor, at time.Time) time.Time {
	at = at.UTC()
	from := at.AddDate(0, -1, 0)
	if from.Day() != at.Day() { // a month without that day: its last
		from = from.AddDate(0, 0, -from.Day())
	}
	if f.From.After(from) {
		return f.From.Time
	}
	return from
}

// LikelyShortfall is what a floor is missed by when its interval ends with so
// much used, less credits of earlier intervals that hold until then and what
// will itself roll over.
func LikelyShortfall(c *alliance.Contract, floor, used, credits money.Amount) money.Amount {
	missing := Shortfall(floor, used)
	missing -= min(missing, credits)
	return missing - Rollover(c, missing)
}

// Forecast is what is used after some more time at the pace of a burn over
// another, rounded down.
func Forecast(used, burnt money.Amount, over, rest time.Duration) money.Amount {
	seconds, left := int64(over/time.Second), int64(rest/time.Second)
	if seconds <= 0 || left <= 0 {
		return used
	}
	more, _, ok := money.Product(int64(burnt), left).FloorDiv(seconds)
	if !ok {
		return used
	}
	return used + money.Amount(more)
}
