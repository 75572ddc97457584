package upstreamsim

import (
	"context"
	"sync"
	"time"
)

// pacer is the latency and throughput model of one pool. Its lock is a leaf.
type pacer struct {
	opts  PoolOptions
	idle  bool          // No latency at all: nothing waits and no clock is read.
	share float64       // Shared tokens per second; 0 means no limit.
	slots chan struct{} // One element per request being served; nil means no limit.

	mu     sync.Mutex
	queued int
	free   time.Time // When the shared throughput has no work left.
}

func newPacer(o PoolOptions) *pacer {
	p := &pacer{opts: o, share: o.TokensPerChipSecond * float64(o.Chips) * o.Scale}
	if o.MaxConcurrent > 0 {
		p.slots = make(chan struct{}, o.MaxConcurrent)
	}
	p.idle = p.share == 0 && o.TTFTBase == 0 && o.InputTokensPerSecond == 0 && o.OutputTokensPerSecond == 0
	return p
}

// admission is the answer of enter.
type admission int

const (
	admitted admission = iota
	queueFull
	clientLeft
)

// enter waits for a free place; the caller that is admitted must call leave once.
func (p *pacer) enter(ctx context.Context) admission {
	if p.slots == nil {
		return admitted
	}
	select {
	case p.slots <- struct{}{}:
		return admitted
	default:
	}
	p.mu.Lock()
	if p.queued >= p.opts.MaxQueue {
		p.mu.Unlock()
		return queueFull
	}
	p.queued++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.queued--
		p.mu.Unlock()
	}()
	select {
	case p.slots <- struct{}{}: // The runtime serves waiting senders in order of arrival.
		return admitted
	case <-ctx.Done():
		return clientLeft
	}
}

func (p *pacer) leave() {
	if p.slots != nil {
		<-p.slots
	}
}

// reserve takes n tokens of the shared throughput and says when they are done.
func (p *pacer) reserve(now time.Time, n int64) time.Time {
	if p.share == 0 || n <= 0 {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-p.opts.Burst); p.free.Before(earliest) {
		p.free = earliest
	}
	p.free = p.free.Add(spend(n, p.share))
	return p.free
}

// spend is the time that n tokens take at rate tokens per second; no rate takes none.
func spend(n int64, rate float64) time.Duration {
	if rate == 0 || n <= 0 {
		return 0
	}
	seconds := float64(n) / rate
	if seconds > maxDelay.Seconds() {
		return maxDelay
	}
	return time.Duration(seconds * float64(time.Second))
}

// clock is the position of one request in the model.
type clock struct {
	p   *pacer
	due time.Time // When the tokens so far are ready at this stream's own speed.
	ran bool      // The first token, which TTFT includes, is out.
}

// begin waits for the first token of a request with these many tokens of input
// to read and of reasoning to write.
func (p *pacer) begin(ctx context.Context, input, reasoning int64) (*clock, error) {
	c := &clock{p: p}
	if p.idle {
		return c, nil
	}
	c.due = time.Now().Add(p.opts.TTFTBase + spend(input, p.opts.InputTokensPerSecond) + spend(reasoning, p.opts.OutputTokensPerSecond))
	return c, waitUntil(ctx, later(c.due, p.reserve(time.Now(), input+reasoning)))
}

// next waits until n more output tokens are ready.
func (c *clock) next(ctx context.Context, n int64) error {
	if c.p.idle {
		return nil
	}
	timed := n
	if !c.ran {
		c.ran = true
		timed--
	}
	c.due = c.due.Add(spend(timed, c.p.opts.OutputTokensPerSecond))
	return waitUntil(ctx, later(c.due, c.p.reserve(time.Now(), n)))
}

// stall waits d more and shifts what follows by it.
func (c *clock) stall(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	c.due = later(c.due, time.Now()).Add(d)
	return waitUntil(ctx, time.Now().Add(d))
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// waitUntil returns the context's error when the client leaves first.
func waitUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
