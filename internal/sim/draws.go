package sim

import (
	"math"
	"time"
)

// Odds are how often things happen: parts per million of what the comment
// names, unless it says otherwise. The zero Odds are providers without fault.
type Odds struct {
	Cached  int64 `json:"cached"`   // requests whose input is partly in the provider's cache
	Flex    int64 `json:"flex"`     // answers served in the tier flex instead of default
	Failed  int64 `json:"failed"`   // calls that end before any token: 429, 5xx, refused
	NoUsage int64 `json:"no_usage"` // complete answers that state no usage
	Cut     int64 `json:"cut"`      // streams that the provider cuts in the middle
	Left    int64 `json:"left"`     // clients that leave before the end
	Burst   int64 `json:"burst"`    // arrivals that begin a burst of their kind
	Restart int64 `json:"restart"`  // attempts during which the node's process ends
	// OutageDays is the mean time in days between two outages of a pool; 0: none.
	OutageDays int64 `json:"outage_days"`
}

// UsualOdds are those of an ordinary year: invented, within what operators of
// gateways report.
func UsualOdds() Odds {
	return Odds{Cached: 350_000, Flex: 30_000, Failed: 6_000, NoUsage: 1_000, Cut: 1_000, Left: 1_500, Burst: 2_000, Restart: 60, OutageDays: 30}
}

const million = 1_000_000

// draws turns random bits into what a play needs.
type draws struct{ bits func() uint64 }

// uniform is in [0, 1).
func (d draws) uniform() float64 { return float64(d.bits()>>11) / (1 << 53) }

// below is in [0, n).
func (d draws) below(n int64) int64 { return int64(d.uniform() * float64(n)) }

// happens reports whether something of the given odds does.
func (d draws) happens(ppm int64) bool { return ppm > 0 && d.below(million) < ppm }

// wait is exponential with mean 1.
func (d draws) wait() float64 { return -math.Log(1 - d.uniform()) }

// spread is log-normal with median 1.
func (d draws) spread(sigma float64) float64 {
	n := -6.0
	for range 12 {
		n += d.uniform()
	}
	return math.Exp(sigma * n)
}

// tokens draws a length around its median, at least 1.
func (d draws) tokens(median, sigma float64, most int64) int64 {
	return max(1, min(most, int64(median*d.spread(sigma))))
}

// between is a duration in [least, most).
func (d draws) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.below(int64(most-least)))
}

// id is 128 random bits in hexadecimal, as the gateway's ids are.
func (d draws) id() string {
	const digits = "0123456789abcdef"
	var b [32]byte
	for i := 0; i < len(b); i += 16 {
		v := d.bits()
		for j := i; j < i+16; j++ {
			b[j] = digits[v&15]
			v >>= 4
		}
	}
	return string(b[:])
}

// outage is when a pool's provider fails next.
type outage struct{ from, until time.Time }

func (s *Simulator) nextOutage(after time.Time) *outage {
	if s.o.Odds.OutageDays <= 0 {
		return &outage{}
	}
	from := after.Add(time.Duration(s.draw.wait() * float64(s.o.Odds.OutageDays) * 24 * float64(time.Hour)))
	return &outage{from, from.Add(s.draw.between(5*time.Minute, 45*time.Minute))}
}
