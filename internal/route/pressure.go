package route

import (
	"math"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// A pool's terms say how many requests it may have under way, and its
// provider may take fewer. Without learning that number every burst ends in a
// 429 that closes the pool, and under steady overload a pool serves a burst a
// second: goodput collapses. So a 429 with a short wait, which speaks of
// requests under way rather than of a spent minute, sets a ceiling. It is the
// number of requests that the provider did take. The bound starts somewhat
// below it, comes back to it over ceilingTime, stays near it, and then rises
// ever faster, as a cubic does, so that a provider that takes more again is
// found out soon and a probe costs little.
//
// Some providers refuse by chance, or for a reason that has nothing to do with
// what is under way. A ceiling from such a 429 would be the load of that
// instant, the next one below it, until a pool that takes all but a few serves
// one at a time. So a 429 is heeded only where more was under way than beside
// any request that the provider took since some bursts of 429s ago: a provider
// that takes fewer than before is believed once that many have been forgotten.
const (
	ceilingTime = 20 * time.Second
	// ceilingCut is the share of the ceiling that is left unused at first.
	ceilingCut = 0.1
	// ceilingWait is the longest Retry-After that speaks of requests under way.
	ceilingWait = 5 * time.Second
	// ceilingBursts is for how many bursts of 429s it is remembered what was
	// taken. With fewer, two refusals by chance in a row are taken for a limit.
	ceilingBursts = 4
)

// pressure is the ceiling that a provider's answers taught.
type pressure struct {
	ceiling float64 // requests under way; 0: none is known
	since   int64   // ns: when it was set
	// held is how many were under way beside a request that the provider took,
	// at most: of those that ended since the last burst, and before it.
	held [ceilingBursts]int64
	// heeded says that the last burst taught something.
	heeded bool
}

// took learns from a request that the provider took while at least others were
// under way beside it.
func (p *pressure) took(others int64) { p.held[0] = max(p.held[0], others) }

// full learns from a 429 of a pool that had others under way beside the
// request, and whether it was said to be full already: then the request belongs
// to the same burst, and one more of it was not taken.
func (p *pressure) full(at, others int64, wait time.Duration, already bool) {
	if !already {
		p.heeded = wait <= ceilingWait && others > slices.Max(p.held[:])
		copy(p.held[1:], p.held[:])
		p.held[0] = 0
	}
	switch {
	case wait > ceilingWait:
	case !p.heeded:
		if float64(others) < p.ceiling { // refused below the ceiling, where others were taken: it was none
			p.ceiling = 0
		}
	case already && p.ceiling > 0:
		p.ceiling, p.since = max(1, p.ceiling-1), at
	case !already:
		p.ceiling, p.since = float64(others), at
	}
}

// relax brings roomy up to date: the least that crowded will ever ask for.
func (p *pool) relax() {
	p.roomy = max(1, p.pressure.most(p.pressure.since, p.most)*backgroundShare/whole)
}

// most is how many requests may be under way, at most limit.
func (p *pressure) most(at, limit int64) int64 {
	if p.ceiling == 0 {
		return limit
	}
	x := float64(at-p.since)/float64(ceilingTime) - 1
	bound := p.ceiling + max(p.ceiling*ceilingCut, 1)*x*x*x
	if !(bound < float64(limit)) {
		return limit
	}
	return max(1, int64(math.Floor(bound)))
}

// The shares, in parts per million, of the requests under way that plans of a
// lower priority may fill while there are plans of a higher one. The rest is
// room for those when a pool, or the gateway as a whole, is saturated.
const (
	whole           = 1_000_000
	standardShare   = 900_000
	backgroundShare = 800_000
)

// SharePPM is the share, in parts per million, of the requests under way that
// requests of a plan may fill: all, unless the terms have plans of a higher
// priority.
func SharePPM(a *alliance.Alliance, p *alliance.Plan) int64 {
	if p == nil || p.Priority == alliance.Critical {
		return whole
	}
	standard, critical := false, false
	for i := range a.Plans {
		switch a.Plans[i].Priority {
		case alliance.Critical:
			critical = true
		case alliance.Standard, "":
			standard = true
		}
	}
	switch {
	case p.Priority == alliance.Background && (critical || standard):
		return backgroundShare
	case p.Priority != alliance.Background && critical:
		return standardShare
	}
	return whole
}
