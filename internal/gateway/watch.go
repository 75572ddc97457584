package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/request"
)

type timeouts struct{ first, between, total time.Duration }

// timeout is the cause with which a watch ends a call.
type timeout struct {
	reason string
	after  time.Duration
}

// Error names the timeout.
func (t *timeout) Error() string { return t.reason + " after " + t.after.String() }

// watch is the context of one call to a provider. It ends with the client's
// request, or when the call is silent too long: before its first token,
// between tokens, or in total. It is a context of its own, with one timer,
// because a cancelCtx with a channel and a map of children for every call is a
// tenth of what a short request allocates.
type watch struct {
	context.Context // the request's
	limits          timeouts
	until           time.Time   // of the whole
	leave           func() bool // stops following the request

	mu    sync.Mutex
	timer *time.Timer
	armed time.Time // when the timer fires, to look whether next is due
	due   time.Time // of next: a later one leaves the timer as it is
	next  timeout
	err   error // once it has ended
	cause error
	done  chan struct{} // made when it is asked for
	after []follower    // to run when it ends
	room  [1]follower   // for them: most often there is one
	ids   int
}

// follower is a function that runs when a watch has ended.
type follower struct {
	id int
	f  func()
}

func newWatch(client context.Context, l timeouts, stream bool) *watch {
	now := time.Now()
	w := &watch{Context: client, limits: l, until: now.Add(l.total)}
	first := l.first
	if !stream {
		first = l.total // a plain answer comes as a whole
	}
	w.mu.Lock()
	w.await(now, request.ReasonFirstToken, first)
	w.armed = w.due
	w.timer = time.AfterFunc(w.due.Sub(now), w.fire)
	w.mu.Unlock()
	w.leave = context.AfterFunc(client, func() { w.end(client.Err(), context.Cause(client)) })
	return w
}

// await chooses between the phase's limit and what is left of the total.
func (w *watch) await(now time.Time, reason string, d time.Duration) {
	w.next, w.due = timeout{reason, d}, now.Add(d)
	if !w.due.Before(w.until) {
		w.next, w.due = timeout{request.ReasonTotal, w.limits.total}, w.until
	}
}

// fire ends the watch if what is awaited is due, or goes on waiting for what
// has been put off since.
func (w *watch) fire() {
	w.mu.Lock()
	now, reached := time.Now(), w.next
	if due := !now.Before(w.due); due || w.err != nil {
		w.mu.Unlock()
		w.end(context.Canceled, &reached)
		return
	}
	w.armed = w.due
	w.timer.Reset(w.due.Sub(now))
	w.mu.Unlock()
}

// rearm restarts the clock for the next token, or for what else is awaited
// within d. It leaves the timer to fire too early: a stream that comes in
// thousands of pieces sets it a few times.
func (w *watch) rearm(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.await(now, request.ReasonBetweenTokens, d)
	if w.due.Before(w.armed) && w.err == nil {
		w.armed = w.due
		w.timer.Reset(w.due.Sub(now))
	}
}

// stop ends the watch when its call is over.
func (w *watch) stop() {
	w.leave()
	w.end(context.Canceled, context.Canceled)
	w.timer.Stop() // fire sets it until the watch has ended
}

// end takes effect once.
func (w *watch) end(err, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err, w.cause = err, cause
	if w.done != nil {
		close(w.done)
	}
	for _, f := range w.after {
		go f.f()
	}
	w.after = nil
}

// Done is closed when the watch has ended.
func (w *watch) Done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.err != nil {
			close(w.done)
		}
	}
	return w.done
}

// Err is nil until the watch has ended.
func (w *watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Cause says why it has ended: a *timeout, or the cause of the request's end.
func (w *watch) Cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

// AfterFunc runs f in a goroutine of its own once the watch has ended, unless
// stop is called before: stop reports whether it was. Package context looks
// for this method in contexts that are not its own.
func (w *watch) AfterFunc(f func()) (stop func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		go f()
		return func() bool { return false }
	}
	if w.ids++; w.after == nil {
		w.after = w.room[:0]
	}
	id := w.ids
	w.after = append(w.after, follower{id, f})
	return func() bool { return w.forget(id) }
}

// forget takes a function off the list, unless it has been run.
func (w *watch) forget(id int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.after, func(a follower) bool { return a.id == id })
	if i < 0 {
		return false
	}
	w.after = slices.Delete(w.after, i, i+1)
	return true
}
