package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
)

// fullDisk is a journal that cannot write intents or outcomes when told so.
type fullDisk struct {
	gateway.Journal
	intents, outcomes atomic.Bool
}

var errNoSpace = errors.New("no space left on device")

func (f *fullDisk) Intent(ctx context.Context, in *record.Intent) (uint64, error) {
	if f.intents.Load() {
		return 0, errNoSpace
	}
	return f.Journal.Intent(ctx, in)
}

func (f *fullDisk) Outcome(ctx context.Context, o *record.Outcome) (uint64, error) {
	if f.outcomes.Load() {
		return 0, errNoSpace
	}
	return f.Journal.Outcome(ctx, o)
}

func TestJournal_WithoutAnIntentNothingIsCalled(t *testing.T) {
	disk := &fullDisk{}
	h := start(t, setup{disk: disk})
	disk.intents.Store(true)
	resp, body := h.chat("sk-open", hello)
	if resp.StatusCode != 503 || !strings.Contains(body, "journal_unavailable") || len(h.sim.Requests()) != 0 {
		t.Errorf("%d %s, %d requests sent", resp.StatusCode, body, len(h.sim.Requests()))
	}
	h.noHolds()
	disk.intents.Store(false)
	if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
		t.Errorf("after the disk is back: %d %s", resp.StatusCode, body)
	}
}

func TestJournal_NoCompleteAnswerWithoutItsOutcome(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream %v", stream), func(t *testing.T) {
			disk := &fullDisk{}
			h := start(t, setup{disk: disk})
			h.script(upstreamsim.Rule{Action: upstreamsim.Action{Text: ptr("the whole answer")}})
			disk.outcomes.Store(true)
			_, body := h.chat("sk-open", h.body(stream))
			if !strings.Contains(body, "outcome_not_recorded") || strings.Contains(body, `"finish_reason":"`) || strings.Contains(body, "[DONE]") {
				t.Errorf("%s", body)
			}
			h.noHolds()
		})
	}
}

func TestRateLimitedPool_IsLeftAloneUntilItSaid(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Pool: "a", First: 1, Action: upstreamsim.Action{Status: 429, RetryAfter: "100"}})
	for range 2 {
		if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	h.skew.Add(101e9)
	if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	var pools []string
	for _, p := range h.attempts() {
		pools = append(pools, p.in.Pool)
	}
	if got := strings.Join(pools, " "); got != "a b b a" {
		t.Errorf("attempts went to %s", got)
	}
}

func TestRetries_StayWithinTheBudget(t *testing.T) {
	h := start(t, setup{limits: gateway.Limits{RetryBurst: 1, RetryPercent: 1}})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{Status: 500}})
	for range 2 {
		if resp, _ := h.chat("sk-open", hello); resp.StatusCode != 502 {
			t.Errorf("%d", resp.StatusCode)
		}
	}
	if n := len(h.attempts()); n != 3 {
		t.Errorf("%d attempts for two requests with a budget of one retry", n)
	}
}
