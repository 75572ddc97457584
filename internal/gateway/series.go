package gateway

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/accordo-ai/accordo/internal/record"
)

// seriesKey is what most figures of an attempt are labelled with.
type seriesKey struct{ pool, model string }

// costKey is what costs are labelled with.
type costKey struct{ pool, currency string }

// series are the figures of one pool and model, each looked up by its labels
// the first time that there is something to count: a series that nobody has
// counted in is not shown.
type series struct {
	attempts             [record.Suspense + 1]counter
	tokens               [len(tokenKinds)]counter
	duration, ttft, tpot observer
}

// tokenKinds are the labels of tokens.
var tokenKinds = [...]string{"input", "cache_read", "cache_write", "output", "reasoning"}

// counter is one that was found by its labels before.
type counter struct {
	found atomic.Pointer[prometheus.Counter]
}

func (c *counter) of(v *prometheus.CounterVec, first, second string) prometheus.Counter {
	if f := c.found.Load(); f != nil {
		return *f
	}
	f := v.WithLabelValues(first, second)
	c.found.Store(&f)
	return f
}

func (c *counter) ofThree(v *prometheus.CounterVec, first, second, third string) prometheus.Counter {
	if f := c.found.Load(); f != nil {
		return *f
	}
	f := v.WithLabelValues(first, second, third)
	c.found.Store(&f)
	return f
}

// observer is one that was found by its labels before.
type observer struct {
	found atomic.Pointer[prometheus.Observer]
}

func (o *observer) of(v *prometheus.HistogramVec, first, second string) prometheus.Observer {
	if f := o.found.Load(); f != nil {
		return *f
	}
	f := v.WithLabelValues(first, second)
	o.found.Store(&f)
	return f
}

// table finds values by keys that come from the terms, so that their number is
// bounded, and are asked for far more often than there is a new one.
type table[K comparable, V any] struct {
	all atomic.Pointer[map[K]*V]
	mu  sync.Mutex
}

func (t *table[K, V]) get(k K) *V {
	if m := t.all.Load(); m != nil {
		if v := (*m)[k]; v != nil {
			return v
		}
	}
	return t.add(k)
}

func (t *table[K, V]) add(k K) *V {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := map[K]*V{}
	if m := t.all.Load(); m != nil {
		old = *m
	}
	if v := old[k]; v != nil {
		return v
	}
	larger := make(map[K]*V, len(old)+1)
	for k, v := range old {
		larger[k] = v
	}
	v := new(V)
	larger[k] = v
	t.all.Store(&larger)
	return v
}
