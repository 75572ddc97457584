package gateway

import (
	"context"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
)

// How permits are given while the processors are saturated.
const (
	// permitEach is how often the wait for a processor is looked at.
	permitEach = 50 * time.Millisecond
	// permitStrain is the mean wait of a goroutine for a processor above which
	// they are saturated.
	permitStrain = 500 * time.Microsecond
	// permitLeast is how many requests a processor may always have under way.
	permitLeast = 32
	// permitRate is how many requests a second a processor begins however many
	// are under way: most of those wait for providers then, and whoever else
	// uses the machine must not make a gateway idle.
	permitRate = 1000
	// permitPatience is how many strained looks in a row change nothing: a burst
	// is over before the next.
	permitPatience = 3
	// permitBurst is how long the oldest waits in a queue that a burst has left.
	permitBurst = 100 * time.Millisecond
	// permitSteps looks without strain in a row make the bound grow by a quarter
	// at each look, fewer by less.
	permitSteps = 8
)

// permits bounds the requests under way to what the processors get done. Beyond
// that each request more makes all of them slower, because what they keep in
// memory fits no cache: they wait once their body is read, in the order of
// their plans' priority, and are refused after a time.
//
// The bound follows the wait of goroutines for a processor: it shrinks while
// that is long and grows while it is short, and without strain there is none.
type permits struct {
	most, least int64         // between which the bound moves
	atLeast     int64         // begun in permitEach, whatever the bound
	longest     time.Duration // that a request waits
	queued      prometheus.Gauge
	now         func() time.Time
	delay       func() time.Duration // mean wait for a processor since the last call

	mu       sync.Mutex
	bound    int64 // of those under way; most: none
	underWay int64
	lanes    []lane // highest share first
	waiting  int
	ticking  bool // a call of tick will come
	looked   time.Time
	strained int   // looks with strain in a row
	calm     int64 // looks without, up to permitSteps
}

// lane is those that wait whose plans have one share of the gateway.
type lane struct {
	share int64
	queue []*waiter
}

// waiter is a request that waits. It hears once whether it has its permit.
type waiter struct {
	since time.Time
	come  chan bool
	left  bool
}

func newPermits(l *Limits, processors int64, queued prometheus.Gauge, now func() time.Time, delay func() time.Duration) *permits {
	return &permits{
		most: l.Concurrent, bound: l.Concurrent, least: permitLeast * processors, atLeast: permitRate * processors * int64(permitEach) / int64(time.Second),
		longest: l.PermitTime, queued: queued, now: now, delay: delay,
	}
}

// take waits for a permit for a request of a plan with this share. When ok,
// leave must be called.
func (t *permits) take(ctx context.Context, now time.Time, share int64) (ok bool) {
	t.mu.Lock()
	t.look(now)
	if t.waiting == 0 && t.underWay < t.bound {
		t.underWay++
		t.mu.Unlock()
		return true
	}
	w := &waiter{since: now, come: make(chan bool, 1)}
	l := t.lane(share)
	l.queue = append(l.queue, w)
	t.waiting++
	if !t.ticking {
		t.ticking = true
		time.AfterFunc(permitEach, t.tick)
	}
	t.fill()
	t.mu.Unlock()
	t.queued.Inc()
	defer t.queued.Dec()
	select {
	case ok = <-w.come:
		return ok
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case ok = <-w.come: // it came at the same time
	default:
		w.left = true
		t.waiting--
	}
	return ok
}

// lane finds or makes the lane of a share. There are as many as priorities.
func (t *permits) lane(share int64) *lane {
	i, ok := slices.BinarySearchFunc(t.lanes, share, func(l lane, share int64) int { return int(share - l.share) })
	if !ok {
		t.lanes = slices.Insert(t.lanes, i, lane{share: share})
	}
	return &t.lanes[i]
}

// leave gives a permit back.
func (t *permits) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.underWay--
	t.fill()
}

// fill lets in whom the bound allows.
func (t *permits) fill() {
	for t.waiting > 0 && t.underWay < t.bound {
		t.admit()
	}
}

// admit lets one of the highest lane in. There is one.
func (t *permits) admit() {
	for i := range t.lanes {
		if w := t.lanes[i].pop(t.now); w != nil {
			t.waiting--
			t.underWay++
			w.come <- true
			return
		}
	}
}

// pop takes the next of a lane, or nil: the oldest, unless it has waited so
// long that the queue is no burst. Then most of it will be refused whatever
// the order, and the newest is the one whose client still waits and whose
// memory the processor's caches still hold.
func (l *lane) pop(now func() time.Time) *waiter {
	for len(l.queue) > 0 && l.queue[0].left {
		l.queue[0], l.queue = nil, l.queue[1:]
	}
	if len(l.queue) == 0 {
		return nil
	}
	if w := l.queue[0]; now().Sub(w.since) < permitBurst {
		l.queue[0], l.queue = nil, l.queue[1:]
		return w
	}
	for { // ends at the oldest
		last := len(l.queue) - 1
		w := l.queue[last]
		if l.queue[last], l.queue = nil, l.queue[:last]; !w.left {
			return w
		}
	}
}

// tick runs while requests wait: it refuses those who have waited long enough,
// and lets in whom the bound or the least rate allows.
func (t *permits) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.look(now)
	for i := range t.lanes {
		for l := &t.lanes[i]; len(l.queue) > 0 && (l.queue[0].left || now.Sub(l.queue[0].since) >= t.longest); l.queue = l.queue[1:] {
			if w := l.queue[0]; !w.left {
				t.waiting--
				w.come <- false
			}
			l.queue[0] = nil
		}
	}
	for n := t.atLeast; t.waiting > 0 && n > 0; n-- {
		t.admit()
	}
	t.fill()
	if t.ticking = t.waiting > 0; t.ticking {
		time.AfterFunc(permitEach, t.tick)
	}
}

// look moves the bound when it is time.
func (t *permits) look(now time.Time) {
	since := now.Sub(t.looked)
	if since < permitEach {
		return
	}
	t.looked = now
	delay := t.delay()
	if delay > permitStrain && since < 4*permitEach { // longer: nobody came
		t.strained, t.calm = t.strained+1, 0
	} else {
		t.strained, t.calm = 0, min(t.calm+1, permitSteps)
	}
	switch {
	case t.strained > permitPatience && delay > 4*permitStrain:
		t.bound = min(t.bound, max(t.least, t.underWay*3/4))
	case t.strained > permitPatience:
		t.bound = min(t.bound, max(t.least, t.underWay*15/16))
	case t.strained > 0:
	case t.waiting > 0:
		t.bound = min(t.most, t.bound+t.bound*t.calm/(4*permitSteps)+1)
	case t.calm == permitSteps:
		t.bound = t.most
	}
}

// processorDelay returns a function that tells the mean time that goroutines
// of this process waited for a processor since its last call, as the runtime
// samples it ("/sched/latencies:seconds", one transition in eight).
func processorDelay() func() time.Duration {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	var last []uint64
	return func() time.Duration {
		metrics.Read(sample)
		h := sample[0].Value.Float64Histogram()
		var n uint64
		var seconds float64
		for i, count := range h.Counts {
			if last != nil {
				count -= last[i]
			}
			if count > 0 && i > 0 { // the first bucket begins at minus infinity and holds nothing
				n += count
				seconds += float64(count) * h.Buckets[i]
			}
		}
		last = append(last[:0], h.Counts...)
		if n == 0 {
			return 0
		}
		return time.Duration(seconds / float64(n) * float64(time.Second))
	}
}

// permit waits for a permit. Without an error the caller gives it back.
func (c *call) permit() *openai.Error {
	t := c.g.permits
	switch {
	case t.take(c.r.Context(), c.g.now(), c.key.share):
		return nil
	case c.gone():
		return clientLeft()
	case c.r.Context().Err() != nil:
		return stopping()
	}
	return openai.Server(503, "overloaded", time.Second, "The gateway is saturated, and the request has waited %s for its turn, which requests of plans of a higher priority than %s get first. Try again in a moment.", t.longest, c.key.plan.ID)
}
