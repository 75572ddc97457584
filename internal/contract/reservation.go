package contract

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// cacheWriteWeight is what a token written to a cache burns.
func cacheWriteWeight(pm *alliance.PoolModel) int64 {
	if pm.CacheWriteWeightPPM > 0 {
		return pm.CacheWriteWeightPPM
	}
	return pm.InputWeightPPM
}

// BurnWeights are the micro burn units of one token of uncached input, of a
// cache write, a cache read and of output.
func BurnWeights(pm *alliance.PoolModel) (input, write, read, output int64) {
	return pm.InputWeightPPM, cacheWriteWeight(pm), pm.CachedWeightPPM, pm.OutputWeightPPM
}

// Window is how long a reservation's throughput is averaged over by its
// provider: what is not used in one is not there in the next.
func Window(p *alliance.Pool) time.Duration {
	if p.WindowSeconds <= 0 {
		return time.Minute
	}
	return time.Duration(p.WindowSeconds) * time.Second
}

// Size is what a load takes of a reservation.
type Size struct {
	PerRequest int64 `json:"micro_units_per_request"` // micro burn units
	PerMinute  int64 `json:"units_per_minute"`        // burn units, rounded up
	// Units is how many of the provider's units that needs: rounded up to what
	// can be bought. 0 where the pool does not say what its units are.
	Units int64 `json:"units,omitempty"`
}

// SizeOf works out what a number of like requests a minute takes of a pool's
// reservation, and how many of its units must be bought for them.
func SizeOf(p *alliance.Pool, pm *alliance.PoolModel, u usage.Vector, perMinute int64) (Size, error) {
	s := Size{PerRequest: Use(alliance.ThroughputReserved, pm, u)}
	q, rest, ok := money.Product(s.PerRequest, perMinute).FloorDiv(UseDivisor)
	if !ok {
		return s, money.ErrRange
	}
	if s.PerMinute = q; rest > 0 {
		s.PerMinute++
	}
	if p.BoughtAs != nil {
		s.Units = UnitsFor(p.BoughtAs, s.PerMinute)
	}
	return s, nil
}

// UnitsFor is the least count of units that can be bought and give so many
// burn units a minute: the minimum, and from there on by increments.
func UnitsFor(b *alliance.Units, perMinute int64) int64 {
	each, step := max(b.TokensPerMinute, 1), max(b.Increment, 1)
	need := perMinute / each
	if perMinute%each > 0 {
		need++
	}
	if need <= b.Minimum {
		return max(b.Minimum, need)
	}
	over := need - b.Minimum
	return b.Minimum + (over+step-1)/step*step
}
