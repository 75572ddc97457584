package contract

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// UseDivisor is the number of micro-units of capacity in one unit: a use of
// UseDivisor is one chip-second, or one burn unit of a throughput reservation.
const UseDivisor = 1_000_000

// maxRate bounds a throughput in tokens per chip-second, far above any chip,
// so that products of two stay within an int64.
const maxRate = 1 << 30

// Units names what the shape's capacity is counted in: "CHIPSEC" for
// chip-seconds, "BURN" for burn units, "" where capacity is not counted.
func Units(s alliance.Shape) string {
	switch s {
	case alliance.TakeOrPay:
		return "CHIPSEC"
	case alliance.ThroughputReserved:
		return "BURN"
	}
	return ""
}

// Use returns the capacity that u takes of a pool, in micro-units (micro
// chip-seconds, or micro burn units): rounded half up once per attempt, so
// that sums over attempts do not depend on how they are batched. A rate or
// weight of zero counts nothing for its tokens.
func Use(s alliance.Shape, pm *alliance.PoolModel, u usage.Vector) int64 {
	switch s {
	case alliance.TakeOrPay:
		in, out := min(pm.InputTokensPerChipSecond, maxRate), min(pm.OutputTokensPerChipSecond, maxRate)
		switch {
		case in > 0 && out > 0:
			n := money.Product(u.Input(), out).Add(money.Product(u.AllOutput(), in))
			return scaled(n, in, out)
		case out > 0:
			return scaled(money.WideOf(u.AllOutput()), out, 1)
		case in > 0:
			return scaled(money.WideOf(u.Input()), in, 1)
		}
		return 0
	case alliance.ThroughputReserved:
		return u.UncachedInput*pm.InputWeightPPM + u.CacheWrite*cacheWriteWeight(pm) + u.CacheRead*pm.CachedWeightPPM + u.AllOutput()*pm.OutputWeightPPM
	}
	return 0
}

// StandardRate is what one unit of fixed capacity costs when all of it is
// used: Fee ÷ Units, exactly. Fee is in micro-units of the currency, Units in
// chip-seconds or burn units, both divided by their greatest common divisor.
type StandardRate struct {
	Fee   int64
	Units int64
	// From names the fee's interval.
	From time.Time
}

// maxRateUnits keeps Divisor within an int64.
const maxRateUnits = (1<<63 - 1) / UseDivisor

// Numerator returns the exact cost of a use in micro-units of capacity; it is
// divided by Divisor.
func (r StandardRate) Numerator(use int64) money.Wide { return money.Product(r.Fee, use) }

// Divisor turns a numerator into micro-units of the currency.
func (r StandardRate) Divisor() int64 { return r.Units * UseDivisor }

// Times returns the rate multiplied by num ÷ den, both above zero: the rate in
// another currency. A fraction that does not fit is halved until it does.
func (r StandardRate) Times(num, den int64) StandardRate {
	if g := gcd(r.Fee, den); g > 1 {
		r.Fee, den = r.Fee/g, den/g
	}
	if g := gcd(num, r.Units); g > 1 {
		num, r.Units = num/g, r.Units/g
	}
	for {
		fee, _, feeFits := money.Product(r.Fee, num).FloorDiv(1)
		units, _, unitsFit := money.Product(r.Units, den).FloorDiv(1)
		if feeFits && unitsFit && units <= maxRateUnits {
			r.Fee, r.Units = fee, units
			return r
		}
		r.Fee, r.Units = (r.Fee+1)/2, (r.Units+1)/2
	}
}

// StandardRateAt returns the standard rate of the fixed fee in force at an
// instant: the fee, less what late delivery abates, over the capacity that is
// usable in its interval, step by step of the ramp and of what was delivered. ok is false when there is no fee or no capacity: what a token
// then costs is unknown, not zero. A fraction whose units pass 9.2e12 after
// reduction is halved until they fit.
func StandardRateAt(c *alliance.Contract, at time.Time) (r StandardRate, ok bool) {
	fee, ok := FeeAt(c, at)
	if !ok || !Perishes(c.Shape) {
		return StandardRate{}, false
	}
	units := Capacity(c, fee.From.Time, end(c, fee.Until))
	off, err := abated(c, &fee, end(c, fee.Until))
	if units <= 0 || fee.Amount < 0 || err != nil {
		return StandardRate{}, false
	}
	owed := int64(fee.Amount - off)
	g := gcd(owed, units)
	r = StandardRate{Fee: owed / g, Units: units / g, From: fee.From.Time}
	for r.Units > maxRateUnits {
		r.Fee, r.Units = (r.Fee+1)/2, (r.Units+1)/2
	}
	return r, true
}

// Capacity returns the capacity that is usable in [from, until): chip-seconds
// for take-or-pay, burn units for a throughput reservation (tokens per minute
// over whole seconds, rounded down once).
func Capacity(c *alliance.Contract, from, until time.Time) int64 {
	return capacity(c, from, until, CapacityAt)
}

// Contracted returns the capacity contracted in [from, until), delivered or
// not, in the same units.
func Contracted(c *alliance.Contract, from, until time.Time) int64 {
	return capacity(c, from, until, ContractedAt)
}

func capacity(c *alliance.Contract, from, until time.Time, at func(*alliance.Contract, time.Time) (chips, tokens int64)) int64 {
	steps := cuts(c, from, until)
	var total money.Wide
	for i := range len(steps) - 1 {
		chips, tokens := at(c, steps[i])
		n := chips * 60
		if CountsTokens(c.Shape) {
			n = tokens
		}
		total = total.Add(money.Product(n, int64(steps[i+1].Sub(steps[i])/time.Second)))
	}
	units, _, ok := total.FloorDiv(60)
	if !ok {
		return 0
	}
	return units
}

func end(c *alliance.Contract, until alliance.Date) time.Time {
	if until.IsZero() {
		return c.Until.Time
	}
	return until.Time
}

// scaled returns n × UseDivisor ÷ (a × b), rounded half up.
func scaled(n money.Wide, a, b int64) int64 {
	d := a * b
	q, r, ok := n.FloorDiv(d)
	if !ok {
		return 0
	}
	frac, _, _ := money.Product(r, 2*UseDivisor).Add(money.WideOf(d)).FloorDiv(2 * d)
	return q*UseDivisor + frac
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, 1)
}
