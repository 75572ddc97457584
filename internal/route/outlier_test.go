package route

import (
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// flaky makes the pool that is asked fail every other time, n times, a second
// apart, and returns the time after.
func flaky(t *testing.T, r *Router, now time.Time, pool string, n int) time.Time {
	t.Helper()
	for i := range n {
		now = now.Add(time.Second)
		d := expect(t, r, now, ask(10), pool)
		o := Outcome{Reservation: d.Reservation, Served: true}
		if i%2 == 0 {
			o = Outcome{Reservation: d.Reservation, Failure: "status_500"}
		}
		r.Observe(now, o)
	}
	return now
}

func TestOutlier_APoolThatFailsNowAndThenIsAskedLast(t *testing.T) {
	r := New(trio(), noon)
	now := flaky(t, r, noon, "rack", outlierLeast+3)
	if got, _ := take(t, r, now, ask(10)); got == "rack" {
		t.Fatal("a pool that fails every other time was asked first")
	}
	state := r.Pools(now)[0]
	if state.Healthy || !strings.Contains(state.Reason, "recent answers were failures") {
		t.Errorf("%+v", state)
	}
	expect(t, r, now.Add(shunFor), ask(10), "rack")
}

func TestOutlier_IsAskedWhereThereIsNothingElse(t *testing.T) {
	a := trio()
	a.Pools = a.Pools[:1]
	r := New(a.Build(), noon)
	now := flaky(t, r, noon, "rack", 3*outlierLeast)
	expect(t, r, now, ask(10), "rack")
}

func TestOutlier_FewFailuresOfManyAreNone(t *testing.T) {
	r := New(trio(), noon)
	now := noon
	for i := range 100 {
		now = now.Add(time.Second)
		d := expect(t, r, now, ask(10), "rack")
		o := Outcome{Reservation: d.Reservation, Served: true}
		if i%4 == 0 {
			o = Outcome{Reservation: d.Reservation, Failure: "timeout"}
		}
		r.Observe(now, o)
	}
}

func TestOutlier_WhatTheClientDidOrTheProviderRefusedDoesNotCount(t *testing.T) {
	for _, failure := range []string{FailureCancelled, FailureRequest, FailureRateLimited} {
		a := trio()
		a.Pools = a.Pools[:1]
		r := New(a.Build(), noon)
		now := noon
		for range 3 * outlierLeast {
			now = now.Add(time.Minute)
			r.Observe(now, Outcome{Reservation: expect(t, r, now, ask(10), "rack").Reservation, Failure: failure})
		}
		if h := &r.pools[r.index[alliance.PoolID("rack")]].health; h.shunned != 0 {
			t.Errorf("%s made the pool an outlier", failure)
		}
	}
}
