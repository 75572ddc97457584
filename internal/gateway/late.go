package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/accordo-ai/accordo/internal/record"
)

// lateText is the length in bytes to which a provider's texts are cut in an
// outcome that is kept.
const lateText = 256

// late keeps outcomes that the journal refused, oldest first, until it writes
// again. What does not fit stands as suspense after the next start, as does
// everything here if the process ends first: the intents are still open.
type late struct {
	writing sync.Mutex // held by whoever writes what waits

	mu       sync.Mutex
	waiting  []record.Outcome
	leftOpen int64 // outcomes that found no room
}

// keep takes an outcome that the journal refused with err. It reports false
// when there is no room, or when no journal would ever take it.
func (g *Gateway) keepLate(o *record.Outcome, err error) bool {
	g.late.mu.Lock()
	defer g.late.mu.Unlock()
	if len(g.late.waiting) >= g.limits.LateOutcomes || errors.Is(err, record.ErrInvalid) {
		g.late.leftOpen++
		g.metrics.lateOutcomes.WithLabelValues("left_open").Inc()
		return false
	}
	kept := *o
	for _, s := range [...]*string{&kept.Tier, &kept.Upstream, &kept.Version, &kept.Reason} {
		*s = strings.ToValidUTF8(strings.Clone((*s)[:min(len(*s), lateText)]), "")
	}
	g.late.waiting = append(g.late.waiting, kept)
	g.metrics.lateWaiting.Set(float64(len(g.late.waiting)))
	return true
}

// Late is how many outcomes wait for the journal, and how many found no room
// since the start and stand as suspense after the next.
func (g *Gateway) Late() (waiting int, leftOpen int64) {
	g.late.mu.Lock()
	defer g.late.mu.Unlock()
	return len(g.late.waiting), g.late.leftOpen
}

// WriteLate journals the outcomes that the journal refused before, each once,
// and returns how many it wrote and how many still wait. It gives up at the
// second refusal; one that is refused alone goes behind the others, so that
// it holds up none of them.
func (g *Gateway) WriteLate(ctx context.Context) (written, waiting int) {
	g.late.writing.Lock()
	defer g.late.writing.Unlock()
	waiting, _ = g.Late()
	refused := 0
	for n := waiting; n > 0 && refused < 2; n-- {
		g.late.mu.Lock()
		o := g.late.waiting[0]
		g.late.mu.Unlock()
		_, err := g.journal.Outcome(ctx, &o)
		g.late.mu.Lock()
		g.late.waiting = g.late.waiting[1:]
		switch {
		case err == nil:
			written++
			g.metrics.lateOutcomes.WithLabelValues("written").Inc()
		default:
			refused++
			g.late.waiting = append(g.late.waiting, o)
		}
		waiting = len(g.late.waiting)
		if waiting == 0 {
			g.late.waiting = nil
		}
		g.metrics.lateWaiting.Set(float64(waiting))
		g.late.mu.Unlock()
		if err != nil {
			g.log.Warn("outcome not written yet", "attempt", string(o.Attempt), "error", err)
		}
	}
	return written, waiting
}
