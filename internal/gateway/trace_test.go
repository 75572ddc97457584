package gateway_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

// heard is a tracer and a meter that keep what they are told.
type heard struct {
	mu       sync.Mutex
	begun    int
	spans    []gateway.AttemptTrace
	measured []gateway.AttemptTrace
	requests int
}

func (h *heard) Request(time.Time, string) gateway.RequestSpan { return h }

func (h *heard) End(string, *gateway.Row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests++
}

func (h *heard) Attempt(time.Time) gateway.AttemptSpan {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun++
	return &heardAttempt{h, h.begun}
}

type heardAttempt struct {
	h *heard
	n int
}

func (a *heardAttempt) Traceparent() string { return fmt.Sprint("span-", a.n) }

func (a *heardAttempt) End(_ time.Time, e gateway.AttemptTrace) {
	a.h.mu.Lock()
	defer a.h.mu.Unlock()
	a.h.spans = append(a.h.spans, e)
}

// heardMeter is the meter of what is heard.
type heardMeter struct{ *heard }

func (m heardMeter) Attempt(e *gateway.AttemptTrace) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measured = append(m.measured, *e)
}

// Each attempt of a hedged request has a span of its own, which its provider
// is told; the one that lost is marked as cancelled, whichever it is.
func TestHedge_EveryAttemptIsTracedAndTheLoserCancelled(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for winner, slow := range map[string]map[string]time.Duration{
			"b": {"a": time.Hour},
			"a": {"a": 100 * time.Millisecond, "b": time.Hour},
		} {
			t.Run(fmt.Sprintf("stream %v, %s wins", stream, winner), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					told := &heard{}
					h := start(t, setup{pipes: true, change: hedging(money.Micro), tracer: told, meter: heardMeter{told}})
					var rules []upstreamsim.Rule
					for pool, d := range slow {
						rules = append(rules, upstreamsim.Rule{Pool: pool, Action: upstreamsim.Action{StallFirstByte: d}})
					}
					h.script(rules...)
					if resp, body := h.chat("sk-open", h.body(stream)); resp.StatusCode != 200 {
						t.Fatalf("%d %s", resp.StatusCode, body)
					}
					synctest.Wait()
					h.noHolds()
					told.mu.Lock()
					defer told.mu.Unlock()
					if told.begun != 2 || len(told.spans) != 2 || len(told.measured) != 2 || told.requests != 1 {
						t.Fatalf("%d spans begun, %d ended, %d attempts measured, %d requests", told.begun, len(told.spans), len(told.measured), told.requests)
					}
					sent := map[string]bool{}
					for _, r := range h.sim.Requests() {
						for _, v := range r.Header["Traceparent"] {
							sent[v] = true
						}
					}
					if !sent["span-1"] || !sent["span-2"] {
						t.Errorf("the providers were told %v", sent)
					}
					for _, e := range append(told.spans, told.measured...) {
						won := e.Pool == winner
						if e.Cancelled == won || (e.Reason == "hedged") == won || (e.Outcome == "served") != won || e.Hedge != (e.Pool == "b") || e.Number != map[string]int{"a": 1, "b": 2}[e.Pool] || e.Stream != stream || !won && e.Took <= 0 {
							t.Errorf("%+v", e)
						}
					}
				})
			})
		}
	}
}

// A provider that fails is no cancelled attempt.
func TestTrace_AFailureIsNotCancelled(t *testing.T) {
	told := &heard{}
	h := start(t, setup{tracer: told})
	h.script(upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{Status: 500}})
	if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	if len(told.spans) != 2 || told.spans[0].Cancelled || told.spans[0].Reason != "status_500" || told.spans[1].Hedge {
		t.Errorf("%+v", told.spans)
	}
}
