package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// faults are the ways in which pool a fails before the client's first byte,
// with the exact outcome of the attempt.
var faults = []struct {
	name   string
	action upstreamsim.Action
	status record.Status
	reason string
	answer int // of the gateway when no other pool can take over
	code   string
	stream string // "", "plain" or "stream": only there
}{
	{"refuses the connection's request", upstreamsim.Action{Refuse: true}, record.Suspense, "reset", 502, "provider_unreachable", ""},
	{"resets in the header", upstreamsim.Action{ResetAtByte: ptr(int64(0))}, record.Suspense, "*", 502, "*", ""},
	{"says 500", upstreamsim.Action{Status: 500}, record.Unserved, "status_500", 502, "provider_failed", ""},
	{"says 503", upstreamsim.Action{Status: 503, RetryAfter: "3"}, record.Unserved, "status_503", 503, "provider_overloaded", ""},
	{"says 401", upstreamsim.Action{Status: 401}, record.Unserved, "status_401", 502, "provider_failed", ""},
	{"says 404", upstreamsim.Action{Status: 404}, record.Unserved, "status_404", 502, "provider_failed", ""},
	{"says 504", upstreamsim.Action{Status: 504}, record.Suspense, "status_504", 502, "provider_failed", ""},
	{"says 429", upstreamsim.Action{Status: 429, RetryAfter: "7"}, record.Unserved, "rate_limited", 503, "providers_rate_limited", ""},
	{"answers what is not JSON", upstreamsim.Action{Body: ptr("<html>"), ContentType: "text/html"}, record.Suspense, "protocol", 502, "provider_answer_invalid", ""},
	{"answers another kind of object", upstreamsim.Action{Body: ptr(`{"object":"x"}`)}, record.Suspense, "protocol", 502, "provider_answer_invalid", ""},
	{"answers an error with status 200", upstreamsim.Action{Body: ptr(`{"error":{"message":"x"}}`)}, record.Suspense, "protocol", 502, "provider_answer_invalid", ""},
	{"streams rubbish", upstreamsim.Action{Body: ptr("data: {oops\n\n")}, record.Suspense, "protocol", 502, "provider_answer_invalid", "stream"},
	{"streams an error first", upstreamsim.Action{Body: ptr("data: {\"error\":{\"message\":\"x\"}}\n\n")}, record.Suspense, "error_event", 502, "provider_answer_invalid", "stream"},
	{"cuts the body", upstreamsim.Action{CutAtByte: ptr(int64(30))}, record.Suspense, "cut", 502, "provider_cut", "plain"},
	{"lies about the length", upstreamsim.Action{ContentLengthDelta: 10}, record.Suspense, "cut", 502, "provider_cut", "plain"},
	{"is silent before the first byte", upstreamsim.Action{StallFirstByte: time.Hour}, record.Suspense, "first_token_timeout", 504, "first_token_timeout", "stream"},
	{"is silent for too long", upstreamsim.Action{StallFirstByte: time.Hour}, record.Suspense, "total_timeout", 504, "total_timeout", "plain"},
}

// maybeBubble runs f with unreal time when the test is about time.
func maybeBubble(t *testing.T, bubble bool, f func(*testing.T)) {
	t.Helper()
	if bubble {
		synctest.Test(t, f)
		return
	}
	f(t)
}

func (h *harness) body(stream bool) string {
	return fmt.Sprintf(`{"model":"m","stream":%v,"max_tokens":4,"messages":[{"role":"user","content":"hello"}]}`, stream)
}

func quick(a *alliance.Alliance, _ map[alliance.PoolID]string) {
	for i := range a.Pools {
		a.Pools[i].Endpoint.FirstTokenMS = 60
		a.Pools[i].Endpoint.BetweenTokensMS = 60
		a.Pools[i].Endpoint.TotalMS = 150
	}
}

func TestFailure_BeforeTheFirstByteMovesToAnotherPool(t *testing.T) {
	for _, f := range faults {
		for _, stream := range []bool{false, true} {
			if f.stream == "plain" && stream || f.stream == "stream" && !stream || f.reason == "total_timeout" {
				continue
			}
			t.Run(fmt.Sprintf("%s, stream %v", f.name, stream), func(t *testing.T) {
				slow := strings.HasSuffix(f.reason, "timeout")
				maybeBubble(t, slow, func(t *testing.T) {
					h := start(t, setup{pipes: slow})
					h.script(upstreamsim.Rule{Pool: "a", Action: f.action})
					resp, body := h.chat("sk-open", h.body(stream))
					if resp.StatusCode != 200 || strings.Contains(body, `"error"`) {
						t.Fatalf("%d %s", resp.StatusCode, body)
					}
					all := h.attempts()
					if len(all) != 2 || all[0].in.Pool != "a" || all[1].in.Pool != "b" || all[1].in.Number != 2 || all[1].out.Status != record.Served || all[1].in.Request != all[0].in.Request {
						t.Fatalf("%d attempts: %+v", len(all), all[0].in)
					}
					checkFault(t, all[0].out, f.status, f.reason)
					h.noHolds()
				})
			})
		}
	}
}

func checkFault(t *testing.T, out *record.Outcome, status record.Status, reason string) {
	t.Helper()
	if out.Status != status || reason != "*" && out.Reason != reason {
		t.Errorf("outcome %+v, want status %d, reason %s", out, status, reason)
	}
	if out.Usage.IsZero() != (status == record.Unserved) {
		t.Errorf("usage %+v for status %d", out.Usage, status)
	}
}

func TestFailure_WithoutAnotherPoolIsTheDialectsError(t *testing.T) {
	for _, f := range faults {
		for _, stream := range []bool{false, true} {
			if f.stream == "plain" && stream || f.stream == "stream" && !stream {
				continue
			}
			t.Run(fmt.Sprintf("%s, stream %v", f.name, stream), func(t *testing.T) {
				slow := strings.HasSuffix(f.reason, "timeout")
				maybeBubble(t, slow, func(t *testing.T) {
					h := start(t, setup{pools: []string{"a"}, pipes: slow})
					h.script(upstreamsim.Rule{Action: f.action})
					resp, body := h.chat("sk-open", h.body(stream))
					if resp.StatusCode != f.answer || !strings.Contains(body, `"type":"server_error"`) || f.code != "*" && !strings.Contains(body, `"code":"`+f.code+`"`) {
						t.Errorf("%d %s", resp.StatusCode, body)
					}
					if want := f.action.RetryAfter; want != "" && resp.Header.Get("Retry-After") != want {
						t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
					}
					all := h.attempts()
					if len(all) != 1 {
						t.Fatalf("%d attempts", len(all))
					}
					checkFault(t, all[0].out, f.status, f.reason)
					h.noHolds()
				})
			})
		}
	}
}

func TestFailure_UnreachableProviderOwesNothing(t *testing.T) {
	h := start(t, setup{change: func(_ *alliance.Alliance, u map[alliance.PoolID]string) { u["a"] = "http://127.0.0.1:1/v1" }})
	if resp, body := h.chat("sk-open", h.body(true)); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if p := h.attempts(); len(p) != 2 || p[0].out.Status != record.Unserved || p[0].out.Reason != "dial" {
		t.Errorf("%+v", p[0].out)
	}
}

func TestFailure_TheClientsFaultIsPassedOnAndNotRetried(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{Status: 400, ErrorMessage: "bad schema", ErrorParam: "response_format"}})
	resp, body := h.chat("sk-open", h.body(true))
	if resp.StatusCode != 400 || !strings.Contains(body, "bad schema") || !strings.Contains(body, "response_format") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if p := h.attempts(); len(p) != 1 || p[0].out.Status != record.Unserved {
		t.Errorf("%d attempts", len(p))
	}
}

func TestFailure_UsageThatIsMissingOrWrongIsSuspense(t *testing.T) {
	rows := []struct {
		name   string
		action upstreamsim.Action
		reason string
	}{
		{"missing", upstreamsim.Action{UsageMissing: true}, "usage_missing"},
		{"negative", upstreamsim.Action{Usage: upstreamsim.WireUsage{Output: ptr(int64(-5))}}, "usage_contradicts"},
		{"disagreeing with its total", upstreamsim.Action{Usage: upstreamsim.WireUsage{Total: ptr(int64(9999))}}, "usage_contradicts"},
	}
	for _, row := range rows {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", row.name, stream), func(t *testing.T) {
				h := start(t, setup{})
				h.script(upstreamsim.Rule{Action: row.action})
				resp, body := h.chat("sk-open", h.body(stream))
				if resp.StatusCode != 200 || strings.Contains(body, `"error"`) || stream && !strings.HasSuffix(body, "data: [DONE]\n\n") {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				p := h.attempts()
				if len(p) != 1 {
					t.Fatalf("%d attempts", len(p))
				}
				checkFault(t, p[0].out, record.Suspense, row.reason)
			})
		}
	}
}

// A provider that never states usage is a bookkeeper's problem, no reason to
// leave its pool alone.
func TestFailure_MissingUsageLeavesThePoolHealthy(t *testing.T) {
	for _, stream := range []bool{false, true} {
		h := start(t, setup{pools: []string{"a"}})
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{UsageMissing: true}})
		for i := range 10 {
			resp, body := h.chat("sk-open", fmt.Sprintf(`{"model":"m","stream":%t,"messages":[{"role":"user","content":"x"}]}`, stream))
			if resp.StatusCode != 200 {
				t.Fatalf("request %d, stream %t: %s %s", i, stream, resp.Status, body)
			}
		}
	}
}

func TestFailure_AfterTheFirstByteEndsWithTheErrorEvent(t *testing.T) {
	rows := []struct {
		name         string
		action       upstreamsim.Action
		reason, code string
	}{
		{"an error event", upstreamsim.Action{ErrorAfterChunk: 2, ChunkDelay: 20 * time.Millisecond}, "error_event", "provider_answer_invalid"},
		{"a stall", upstreamsim.Action{StallAfterChunk: 2, StallFor: time.Minute}, "between_tokens_timeout", "between_tokens_timeout"},
		{"an endless stream", upstreamsim.Action{Endless: true, ChunkDelay: 20 * time.Millisecond}, "total_timeout", "total_timeout"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, setup{change: quick, pipes: true})
				h.script(upstreamsim.Rule{Action: row.action})
				resp, body := h.chat("sk-open", `{"model":"m","stream":true,"max_tokens":400,"messages":[{"role":"user","content":"hello"}]}`)
				last := body[strings.LastIndex(strings.TrimSuffix(body, "\n\n"), "\n\n")+2:]
				if resp.StatusCode != 200 || !strings.HasPrefix(last, `data: {"error":{`) || !strings.Contains(last, `"code":"`+row.code+`"`) || strings.Contains(body, "[DONE]") {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				p := h.attempts()
				if len(p) != 1 {
					t.Fatalf("%d attempts", len(p))
				}
				checkFault(t, p[0].out, record.Suspense, row.reason)
				h.noHolds()
			})
		})
	}
}

func TestClientLeaving_CancelsTheCallAndIsSuspense(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream %v", stream), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, setup{pipes: true})
				action := upstreamsim.Action{StallFirstByte: time.Minute}
				if stream {
					action = upstreamsim.Action{StallAfterChunk: 2, StallFor: time.Minute}
				}
				h.script(upstreamsim.Rule{Action: action})
				ctx, cancel := context.WithCancel(t.Context())
				r, _ := http.NewRequestWithContext(ctx, "POST", h.url+"/v1/chat/completions", strings.NewReader(h.body(stream)))
				r.Header.Set("Authorization", "Bearer sk-open")
				if stream {
					resp, err := h.client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
						t.Fatal(err)
					}
					cancel()
					resp.Body.Close()
				} else {
					var wait sync.WaitGroup
					wait.Go(func() { _, _ = h.client.Do(r) })
					synctest.Wait() // the provider has the request and is silent
					cancel()
					wait.Wait()
				}
				h.g.Drain(t.Context()) // waits for the outcome
				p := h.attempts()
				if len(p) != 1 {
					t.Fatalf("%d attempts", len(p))
				}
				checkFault(t, p[0].out, record.Suspense, "client_left")
				h.noHolds()
				if rows, _ := h.g.Recent(1); rows[0].Status != 499 {
					t.Errorf("recent %+v", rows[0])
				}
			})
		})
	}
}

func TestDrain_CutsWithTheErrorEventAndRefusesNewRequests(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallAfterChunk: 2, StallFor: time.Minute}})
	r, _ := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(h.body(true)))
	r.Header.Set("Authorization", "Bearer sk-open")
	resp, err := h.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if cut := h.g.Drain(ended); cut != 1 {
		t.Errorf("cut %d", cut)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"code":"stopping"`) {
		t.Errorf("%v %s", err, body)
	}
	if p := h.attempts(); p[0].out.Reason != "gateway_stopping" {
		t.Errorf("%+v", p[0].out)
	}
	if ok, _ := h.g.Ready(); ok {
		t.Error("ready while stopping")
	}
}

func TestDeadPoolUnderLoad_NoClientSeesAFailure(t *testing.T) {
	h := start(t, setup{limits: gateway.Limits{RetryBurst: 1000}})
	h.script(upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{Refuse: true}})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 20 {
				if resp, body := h.chat("sk-open", h.body(i%2 == 0)); resp.StatusCode != 200 || strings.Contains(body, `"error"`) {
					h.Errorf("%d %s", resp.StatusCode, body)
				}
			}
		})
	}
	wait.Wait()
	served := usage.Vector{}
	for _, p := range h.attempts() {
		if p.out.Status == record.Served {
			served = served.Add(p.out.Usage)
		}
	}
	lines, _ := h.sim.Lines("b")
	if len(lines) != 160 || served.Output != 160*4 {
		t.Errorf("%d invoice lines, %d output tokens", len(lines), served.Output)
	}
	h.noHolds()
}
