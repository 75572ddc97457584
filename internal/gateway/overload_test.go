package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

// A saturated gateway refuses plans of a lower priority first, with the time
// to try again, and serves them again as soon as there is room.
func TestOverload_LowPriorityIsRefusedFirst(t *testing.T) {
	h := start(t, setup{limits: gateway.Limits{Concurrent: 10}, change: func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
		for i := range a.Plans {
			switch a.Plans[i].ID {
			case "open":
				a.Plans[i].Priority = alliance.Critical
			case "small":
				a.Plans[i].Priority = alliance.Background
			}
		}
	}})
	ask := func(key string) (status int, body, retry string) {
		resp, text := h.chat(key, `{"model":"m","max_tokens":20,"messages":[{"role":"user","content":"hello"}]}`)
		return resp.StatusCode, text, resp.Header.Get("Retry-After")
	}
	if status, body, _ := ask("sk-small"); status != 200 {
		t.Fatalf("a background plan with room: %d %s", status, body)
	}
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallFirstByte: time.Minute}})
	stalled := make(chan struct{})
	var wait sync.WaitGroup
	hold := func(n int) {
		for range n {
			wait.Go(func() {
				r, _ := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(hello))
				r.Header.Set("Authorization", "Bearer sk-open")
				ctx, cancel := contextUntil(stalled)
				defer cancel()
				if resp, err := h.client.Do(r.WithContext(ctx)); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
	}
	sent := len(h.sim.Requests())
	hold(8)
	waitFor(t, func() bool { return len(h.sim.Requests()) == sent+8 })
	h.script()
	if status, body, retry := ask("sk-small"); status != 503 || !strings.Contains(body, `"code":"overloaded"`) || retry == "" {
		t.Errorf("a background plan, saturated: %d %s, retry after %q", status, body, retry)
	}
	if status, body, _ := ask("sk-rate"); status != 200 {
		t.Errorf("a standard plan with nine tenths: %d %s", status, body)
	}
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallFirstByte: time.Minute}})
	hold(1)
	waitFor(t, func() bool { return len(h.sim.Requests()) == sent+10 })
	h.script()
	if status, body, _ := ask("sk-rate"); status != 503 {
		t.Errorf("a standard plan, saturated: %d %s", status, body)
	}
	if status, body, _ := ask("sk-open"); status != 200 {
		t.Errorf("a critical plan takes the last place: %d %s", status, body)
	}
	close(stalled)
	wait.Wait()
	waitFor(t, func() bool { status, _, _ := ask("sk-small"); return status == 200 })
	h.noHolds()
}

// saturated is a gateway whose processors are saturated, and whose provider
// takes its time. It has served before requests already.
func saturated(t *testing.T, longest time.Duration) (h *harness, before int) {
	h = start(t, setup{pipes: true, limits: gateway.Limits{PermitTime: longest}, strain: func() time.Duration { return time.Second }, change: func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
		for i := range a.Pools {
			a.Pools[i].MaxInFlight = 10_000
		}
	}})
	for before = range 4 { // while they come the strain is found
		if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
			t.Fatalf("one after the other: %d %s", resp.StatusCode, body)
		}
		time.Sleep(100 * time.Millisecond)
	}
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallFirstByte: 5 * time.Second}})
	return h, before + 1
}

// While the processors are saturated requests wait for a permit, at most
// for the limit, and those that were refused leave nothing behind.
func TestOverload_SaturatedProcessorsRefuseWhoWaitedTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, before := saturated(t, 100*time.Millisecond)
		n := 400 * runtime.GOMAXPROCS(0) // at once: much more than may be under way and is begun meanwhile
		var served, refused atomic.Int64
		var wait sync.WaitGroup
		for range n {
			wait.Go(func() {
				switch resp, body := h.chat("sk-open", hello); {
				case resp.StatusCode == 200:
					served.Add(1)
				case resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "1" && strings.Contains(body, `"code":"overloaded"`) && strings.Contains(body, "100ms"):
					refused.Add(1)
				default:
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			})
		}
		wait.Wait()
		if served.Load() == 0 || refused.Load() == 0 || served.Load()+refused.Load() != int64(n) {
			t.Errorf("%d served, %d refused of %d", served.Load(), refused.Load(), n)
		}
		if got := len(h.attempts()); got != before+int(served.Load()) {
			t.Errorf("%d attempts, %d served", got-before, served.Load())
		}
		h.noHolds()
	})
}

// Those who left while they waited for a permit cost no attempt.
func TestOverload_WhoLeftTheQueueIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, before := saturated(t, time.Hour)
		leaving, leave := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		ask := func(ctx context.Context, n int) {
			for range n {
				wait.Go(func() {
					r, _ := http.NewRequestWithContext(ctx, "POST", h.url+"/v1/chat/completions", strings.NewReader(hello))
					r.Header.Set("Authorization", "Bearer sk-open")
					if resp, err := h.client.Do(r); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			synctest.Wait()
		}
		n := 200 * runtime.GOMAXPROCS(0) // four ticks begin them all
		ask(t.Context(), n)
		ask(leaving, 50)
		leave()
		wait.Wait()
		time.Sleep(time.Minute)
		if began := len(h.attempts()) - before; began != n {
			t.Errorf("%d attempts of %d that stayed", began, n)
		}
		h.noHolds()
	})
}

// Those who wait for a permit hear of a stop.
func TestOverload_WhoWaitsHearsOfAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, before := saturated(t, time.Hour)
		ask := func() (status int, body string) {
			r, _ := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(hello))
			r.Header.Set("Authorization", "Bearer sk-open")
			resp, err := h.client.Do(r)
			if err != nil {
				return 0, err.Error()
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(b)
		}
		n := 50 * runtime.GOMAXPROCS(0)
		answers := make(chan string, n)
		for range n {
			go func() {
				status, body := ask()
				answers <- fmt.Sprint(status, " ", body)
			}()
		}
		synctest.Wait()
		ended, end := context.WithCancel(t.Context())
		end()
		h.g.Drain(ended)
		for range n {
			if a := <-answers; !strings.HasPrefix(a, "503 ") || !strings.Contains(a, `"code":"stopping"`) {
				t.Error(a)
			}
		}
		if began := len(h.attempts()) - before; began == 0 || began >= n {
			t.Errorf("%d of %d had a permit", began, n)
		}
		h.noHolds()
	})
}

// Large bodies together are bounded, do not keep small ones out, and give
// back what they took.
func TestOverload_LargeBodiesShareABudget(t *testing.T) {
	h := start(t, setup{limits: gateway.Limits{BodyMemory: 1 << 20}})
	large := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("a", 900<<10) + `"}]}`
	if resp, body := h.chat("sk-open", large); resp.StatusCode != 200 {
		t.Fatalf("alone: %d %s", resp.StatusCode, body)
	}
	h.script(upstreamsim.Rule{Stream: ptr(true), Action: upstreamsim.Action{StallFirstByte: time.Minute}})
	stalled := make(chan struct{})
	var wait sync.WaitGroup
	sent := len(h.sim.Requests())
	wait.Go(func() {
		r, _ := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(`{"stream":true,`+large[1:]))
		r.Header.Set("Authorization", "Bearer sk-open")
		ctx, cancel := contextUntil(stalled)
		defer cancel()
		if resp, err := h.client.Do(r.WithContext(ctx)); err == nil {
			resp.Body.Close()
		}
	})
	waitFor(t, func() bool { return len(h.sim.Requests()) == sent+1 })
	if resp, body := h.chat("sk-open", large); resp.StatusCode != 503 || !strings.Contains(body, `"code":"overloaded"`) || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("a second one beside: %d %s", resp.StatusCode, body)
	}
	if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
		t.Errorf("a small one beside: %d %s", resp.StatusCode, body)
	}
	close(stalled)
	wait.Wait()
	waitFor(t, func() bool { resp, _ := h.chat("sk-open", large); return resp.StatusCode == 200 })
}

// contextUntil ends when done is closed.
func contextUntil(done <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// waitFor asks until it holds.
func waitFor(t testing.TB, holds func() bool) {
	t.Helper()
	for range 3000 {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it never holds")
}
