package gateway_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
)

// wellPlain is an answer of a provider that does well.
const wellPlain = `{"id":"c","object":"chat.completion","created":1,"model":"m@1","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}`

// A pool that fails three times in a row is called no more: clients are told
// so at once, with a time. Once that has passed a single request tries it,
// however many wait; a probe that fails doubles the time, one that is served
// opens the pool to all. What is refused meanwhile calls and books nothing.
func TestCircuit_OpensProbesOnceAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, setup{pools: []string{"a"}, pipes: true})
		ask := func(status int, retryAfter, body string) {
			t.Helper()
			resp, got := h.chat("sk-open", hello)
			if resp.StatusCode != status || resp.Header.Get("Retry-After") != retryAfter || got != body {
				t.Errorf("%d, Retry-After %q: %s\nwant %d, %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), got, status, retryAfter, body)
			}
		}
		called := func(want int) {
			t.Helper()
			if got := len(h.sim.Requests()); got != want {
				t.Fatalf("the provider was called %d times, want %d", got, want)
			}
		}
		const failed = `{"error":{"message":"The provider failed (status 500), and no other pool could take over. Try again.","type":"server_error","param":null,"code":"provider_failed"}}`
		open := func(wait string) string {
			return `{"error":{"message":"Every pool that may serve fam is failing at the moment. Try again in ` + wait + `.","type":"server_error","param":null,"code":"providers_unavailable"}}`
		}
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{Status: 500}})
		for range 3 {
			ask(502, "1", failed)
		}
		called(3)
		ask(503, "1", open("1s"))
		called(3)

		time.Sleep(time.Second)
		ask(502, "1", failed) // the probe
		called(4)
		ask(503, "2", open("2s")) // twice the time
		time.Sleep(time.Second)
		ask(503, "1", open("1s"))
		called(4)

		time.Sleep(time.Second)
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallFirstByte: 3 * time.Second, Body: ptr(wellPlain), ContentType: "application/json"}})
		var probe sync.WaitGroup
		probe.Go(func() { ask(200, "", wellPlain) })
		synctest.Wait() // the provider has it
		for range 20 {
			ask(503, "1", open("1s"))
		}
		called(5)
		probe.Wait()
		for range 5 {
			ask(200, "", wellPlain)
		}
		called(10)

		var statuses []record.Status
		for _, p := range h.attempts() {
			if statuses = append(statuses, p.out.Status); p.out.Status == record.Unserved && (p.out.Reason != "status_500" || !p.out.Usage.IsZero()) {
				t.Errorf("%+v", p.out)
			}
		}
		if len(statuses) != 10 || statuses[3] != record.Unserved || statuses[4] != record.Served || statuses[9] != record.Served {
			t.Errorf("outcomes %v", statuses)
		}
		for _, r := range h.refusals() {
			if r.Code != "providers_unavailable" {
				t.Errorf("refusal %+v", r)
			}
		}
		if n := len(h.refusals()); n != 23 {
			t.Errorf("%d refusals in the journal, want 23", n)
		}
		h.noHolds()
	})
}
