package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Providers that take a few requests at once and refuse the rest are kept
// busy when three times as much is asked of them; what is refused is refused
// at once, in the dialect, with the time to try again. The exact share is
// asserted in virtual time by TestOverload_GoodputStaysAtThreeTimesTheCapacity
// of the router; here the programs run, so the machine's other work shows.
func TestOverload_GoodputDoesNotCollapse(t *testing.T) {
	const places, latency = 5, 200 * time.Millisecond // per pool, of four
	config := func(pools ...string) string {
		var b strings.Builder
		b.WriteString("pools:\n")
		for _, p := range pools {
			key := ""
			if strings.HasPrefix(p, "north") {
				key = ", api_key: " + providerSecret
			}
			fmt.Fprintf(&b, "  - {name: %s, ttft_base: %s, max_concurrent: %d%s}\n", p, latency, places, key)
		}
		return b.String()
	}
	d := deploy(t, setup{
		north: startProvider(t, config("north-floor-a", "north-list-a")),
		south: startProvider(t, config("south-reserved-a", "south-list-a")),
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 400}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	defer transport.CloseIdleConnections()
	ask := func() (served bool) {
		r, err := http.NewRequest("POST", d.api+"/chat/completions", strings.NewReader(helloBody))
		if err != nil {
			t.Error(err)
			return false
		}
		r.Header.Set("Authorization", "Bearer "+keyOpen)
		resp, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			t.Error(err)
		case resp.StatusCode == http.StatusOK:
			return true
		case resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), `"type":"server_error"`):
			t.Errorf("%s %v %s", resp.Status, resp.Header, body)
		}
		return false
	}
	// offer sends at a steady rate, whatever comes back, and counts what is
	// served per second.
	offer := func(perSecond int, lasts time.Duration) float64 {
		var served atomic.Int64
		var wait sync.WaitGroup
		begin := time.Now()
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for time.Since(begin) < lasts {
			<-ticker.C
			wait.Go(func() {
				if ask() {
					served.Add(1)
				}
			})
		}
		took := time.Since(begin)
		wait.Wait()
		return float64(served.Load()) / took.Seconds()
	}
	capacity := 4 * places * int(time.Second/latency)
	offer(3*capacity, 3*time.Second) // what the providers take is learned from their refusals
	peak := max(offer(capacity*8/10, 5*time.Second), offer(capacity, 5*time.Second))
	over := offer(3*capacity, 15*time.Second)
	t.Logf("capacity %d a second; peak %.1f, at three times the capacity %.1f", capacity, peak, over)
	if over < 0.9*peak {
		t.Errorf("at three times the capacity %.1f are served a second, at the peak %.1f", over, peak)
	}
	d.waitIdle()
	eventually(t, 10*time.Second, "nothing is served after the overload", ask)
}
