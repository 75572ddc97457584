package gateway

import (
	"context"
	"sync"
	"time"
)

type timeouts struct{ first, between, total time.Duration }

// timeout is the cause with which a watch cancels a call.
type timeout struct {
	reason string
	after  time.Duration
}

// Error names the timeout.
func (t *timeout) Error() string { return t.reason + " after " + t.after.String() }

// watch cancels a call that is silent too long: before its first token,
// between tokens, or in total. It has one timer.
type watch struct {
	cancel context.CancelCauseFunc
	limits timeouts
	until  time.Time // of the whole
	timer  *time.Timer

	mu     sync.Mutex
	reason *timeout
	done   bool
}

func newWatch(cancel context.CancelCauseFunc, l timeouts, stream bool) *watch {
	w := &watch{cancel: cancel, limits: l, until: time.Now().Add(l.total)}
	first := l.first
	if !stream {
		first = l.total // a plain answer comes as a whole
	}
	d := w.pick(reasonFirstToken, first)
	w.timer = time.AfterFunc(d, w.fire)
	return w
}

// pick chooses between the phase's limit and what is left of the total.
func (w *watch) pick(reason string, d time.Duration) time.Duration {
	if left := time.Until(w.until); left <= d {
		w.reason = &timeout{reasonTotal, w.limits.total}
		return left
	}
	if w.reason == nil || w.reason.reason != reason || w.reason.after != d {
		w.reason = &timeout{reason, d}
	}
	return d
}

func (w *watch) fire() {
	w.mu.Lock()
	reason, done := w.reason, w.done
	w.mu.Unlock()
	if !done {
		w.cancel(reason)
	}
}

// next restarts the clock for the next token, or for what else is awaited
// within d.
func (w *watch) next(d time.Duration) {
	w.mu.Lock()
	d = w.pick(reasonBetweenTokens, d)
	w.mu.Unlock()
	w.timer.Reset(d)
}

func (w *watch) stop() {
	w.mu.Lock()
	w.done = true
	w.mu.Unlock()
	w.timer.Stop()
}
