package gateway_test

import (
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/journal"
)

// Whatever the clock does, requests are served and recorded in order, nothing
// is held for ever, and a limit that was full is open again a period later.
func TestClock_StepsBackwardAndForward(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []time.Duration
	}{
		{"a second back", []time.Duration{-time.Second}},
		{"an hour back", []time.Duration{-time.Hour}},
		{"a month back and forward again", []time.Duration{-31 * 24 * time.Hour, 31 * 24 * time.Hour}},
		{"a day forward", []time.Duration{24 * time.Hour}},
		{"ten years forward and back", []time.Duration{10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour}},
		{"back and forth", []time.Duration{time.Minute, -2 * time.Minute, 3 * time.Minute, -4 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, setup{})
			ask := func(key string, want int) {
				t.Helper()
				if resp, body := h.chat(key, `{"model":"m","max_tokens":20,"messages":[{"role":"user","content":"hello"}]}`); resp.StatusCode != want {
					t.Errorf("%s: %d %s, want %d", key, resp.StatusCode, body, want)
				}
			}
			ask("sk-open", 200)
			ask("sk-rate", 200)
			ask("sk-rate", 200)
			ask("sk-rate", 429)
			for _, step := range c.steps {
				h.skew.Add(int64(step))
				ask("sk-open", 200)
				ask("sk-small", 200)
			}
			h.chat("sk-rate", hello) // from the first request on, a minute at most is owed
			h.skew.Add(int64(2 * time.Minute))
			ask("sk-rate", 200)
			h.noHolds()
			for _, p := range h.attempts() {
				if p.out.Duration < 0 || p.out.TTFT < 0 {
					t.Errorf("an attempt lasted %d ns, its first byte came after %d", p.out.Duration, p.out.TTFT)
				}
			}
			at := int64(0)
			for r, err := range journal.Read(h.dir, 1) {
				if err != nil {
					t.Fatal(err)
				}
				if r.At < at {
					t.Errorf("record %d is older than the one before it", r.Sequence)
				}
				at = r.At
			}
		})
	}
}
