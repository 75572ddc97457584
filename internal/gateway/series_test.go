package gateway

import (
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTable_GivesEveryoneTheSame: whoever asks at the same time counts in one.
func TestTable_GivesEveryoneTheSame(t *testing.T) {
	var all table[string, counter]
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "n"}, []string{"a", "b"})
	const keys, asked = 20, 8
	var wg sync.WaitGroup
	for range asked {
		wg.Go(func() {
			for i := range keys {
				k := fmt.Sprint(i)
				all.get(k).of(v, k, "b").Inc()
			}
		})
	}
	wg.Wait()
	ch := make(chan prometheus.Metric, keys+1)
	v.Collect(ch)
	if len(ch) != keys || len(*all.all.Load()) != keys {
		t.Errorf("%d series, %d keys", len(ch), len(*all.all.Load()))
	}
	for i := range keys {
		k := fmt.Sprint(i)
		if got, want := all.get(k).of(v, k, "b"), v.WithLabelValues(k, "b"); got != want {
			t.Errorf("%s: another counter than the one of its labels", k)
		}
	}
	if n := testing.AllocsPerRun(100, func() { all.get("3").of(v, "3", "b").Inc() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
