package route

import "math"

// The rules of outliers: a pool of which outlierShare of at least outlierLeast
// recent answers were failures is taken only where no other candidate can
// serve, for shunFor from the last failure. What was long ago counts half after
// each outlierHalfLife.
const (
	outlierShare    = 0.5
	outlierLeast    = 10
	outlierHalfLife = 30e9 // ns
	shunFor         = 15e9 // ns
)

// odds are the recent answers of a pool, and how many of them were failures.
// Three failures in a row are found without it; it finds a pool that fails now
// and then, which no streak shows.
type odds struct {
	answers, failures float64
	at                int64 // ns
}

// note counts one answer and reports whether the pool is an outlier.
func (o *odds) note(at int64, failed bool) bool {
	keep := math.Exp2(-float64(max(at-o.at, 0)) / outlierHalfLife)
	o.answers, o.failures, o.at = o.answers*keep+1, o.failures*keep, max(at, o.at)
	if failed {
		o.failures++
	}
	return o.answers >= outlierLeast && o.failures >= outlierShare*o.answers
}
