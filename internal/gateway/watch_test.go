package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/request"
)

// TestWatch_EndsWhenTheLastThingAwaitedIsDue: not earlier, though the timer
// fires earlier, and not later.
func TestWatch_EndsWhenTheLastThingAwaitedIsDue(t *testing.T) {
	limits := timeouts{first: 60 * time.Second, between: 30 * time.Second, total: 100 * time.Second}
	rows := []struct {
		name   string
		stream bool
		waits  []time.Duration // before each rearm
		rearm  time.Duration
		after  time.Duration // the end, from the start
		reason string
	}{
		{"no token", true, nil, 0, 60 * time.Second, request.ReasonFirstToken},
		{"no answer", false, nil, 0, 100 * time.Second, request.ReasonTotal},
		{"one token", true, []time.Duration{time.Second}, 30 * time.Second, 31 * time.Second, request.ReasonBetweenTokens},
		{"a late first token", true, []time.Duration{50 * time.Second}, 30 * time.Second, 80 * time.Second, request.ReasonBetweenTokens},
		{"tokens put the end off", true, []time.Duration{time.Second, 20 * time.Second, 20 * time.Second, 5 * time.Millisecond}, 30 * time.Second, 71*time.Second + 5*time.Millisecond, request.ReasonBetweenTokens},
		{"tokens beyond the total", true, []time.Duration{20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second}, 30 * time.Second, 100 * time.Second, request.ReasonTotal},
		{"a shorter wait", true, []time.Duration{40 * time.Second}, time.Second, 41 * time.Second, request.ReasonBetweenTokens},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				w := newWatch(t.Context(), limits, row.stream)
				defer w.stop()
				for _, d := range row.waits {
					time.Sleep(d)
					w.rearm(row.rearm)
				}
				<-w.Done()
				var got *timeout
				if !errors.As(w.Cause(), &got) || got.reason != row.reason || time.Since(begun) != row.after {
					t.Errorf("%v after %v", w.Cause(), time.Since(begun))
				}
			})
		})
	}
}

// TestWatch_StopsItsTimer: neither a stop nor what follows it leaves a timer
// that fires, and a rearm after the end changes nothing.
func TestWatch_StopsItsTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t.Context(), timeouts{first: time.Second, between: time.Second, total: time.Minute}, true)
		time.Sleep(time.Second - 1)
		w.rearm(time.Second)
		time.Sleep(time.Second - 1) // the timer has fired once
		w.stop()
		w.rearm(time.Millisecond)
		if w.timer.Stop() {
			t.Error("the timer runs")
		}
		if !errors.Is(w.Cause(), context.Canceled) {
			t.Errorf("cause %v", w.Cause())
		}
	})
}

// TestWatch_CallsWhoeverWaitsForItsEnd: in any number, but those that stopped.
func TestWatch_CallsWhoeverWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t.Context(), timeouts{first: time.Second, between: time.Second, total: time.Minute}, true)
		defer w.stop()
		var called [4]bool
		var stops [4]func() bool
		for i := range called {
			stops[i] = w.AfterFunc(func() { called[i] = true })
			if i == 0 && !stops[0]() {
				t.Error("the first one could not be stopped")
			}
		}
		if !stops[2]() || stops[2]() {
			t.Error("one is stopped once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if called != [4]bool{false, true, false, true} {
			t.Errorf("called %v", called)
		}
		if stops[1]() {
			t.Error("what has been called was stopped")
		}
	})
}
