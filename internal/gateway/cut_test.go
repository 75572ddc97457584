package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// TestFailure_CutAtEveryByte cuts a recorded stream at each of its bytes and
// demands the exact answer and the exact outcome.
func TestFailure_CutAtEveryByte(t *testing.T) {
	h := start(t, setup{pools: []string{"a"}})
	full := recordStream(t, h)
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{Body: &full}})
	_, sent := h.chat("sk-open", h.body(true)) // what a client is sent of it
	const cutObject = `{"error":{"message":"The provider cut the answer, and no other pool could take over. Try again.","type":"server_error","param":null,"code":"provider_cut"}}`
	firstEvent := strings.Index(full, "\n\n") + 2
	finish := strings.Index(full, `"finish_reason":"`)
	finish += strings.Index(full[finish:], "\n\n") + 2
	counted := strings.Index(full, `"prompt_tokens"`)
	counted += strings.Index(full[counted:], "\n\n") + 2
	for cut := range len(full) + 1 {
		h.skew.Add(int64(10 * time.Minute)) // past every back-off of the router
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{Body: &full, CutAtByte: ptr(int64(cut))}})
		resp, body := h.chat("sk-open", h.body(true))
		var bad string
		switch {
		case cut < firstEvent:
			// Whether the header had left at byte 0 is the network's choice.
			if resp.StatusCode != 502 || body != cutObject && (cut > 0 || !strings.Contains(body, `"code":"provider_unreachable"`)) {
				bad = "want 502"
			}
		case cut < finish:
			// The events that came whole, as they come otherwise, and the error.
			whole := strings.Count(full[:cut], "\n\n")
			want := strings.Join(strings.SplitAfter(sent, "\n\n")[:whole], "") + "data: " + cutObject + "\n\n"
			if resp.StatusCode != 200 || body != want {
				bad = "want the terminal error event"
			}
		default:
			if resp.StatusCode != 200 || body != sent {
				bad = "want the whole answer"
			}
		}
		if bad != "" {
			t.Fatalf("cut at %d of %d: %s, got %d %s", cut, len(full), bad, resp.StatusCode, body)
		}
	}
	for cut, p := range h.attempts() {
		want, reason := record.Suspense, "cut"
		switch {
		case cut < 2:
			want, reason = record.Served, ""
		case cut-2 >= counted:
			want, reason = record.Served, ""
		case cut-2 >= finish:
			reason = "usage_missing"
		case cut-2 == 0:
			reason = "*" // whether the header had left is the network's choice
		}
		checkFault(t, p.out, want, reason)
	}
	h.noHolds()
}

// recordStream is the provider's own stream for the test's request, with
// usage, as it came.
func recordStream(t *testing.T, h *harness) string {
	t.Helper()
	if resp, body := h.chat("sk-open", h.body(true)); resp.StatusCode != 200 {
		t.Fatal(body)
	}
	sent := h.sim.Requests()[0]
	resp, err := http.Post(h.provider+"/pools/a/v1/chat/completions", "application/json", bytes.NewReader(sent.Body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	full, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(full)
}

// A plain answer that is cut at any of its bytes is an error object that says
// so, and suspense.
func TestFailure_PlainAnswerCutAtEveryByte(t *testing.T) {
	h := start(t, setup{pools: []string{"a"}})
	const full = wellPlain
	for cut := range len(full) + 1 {
		h.skew.Add(int64(10 * time.Minute)) // past every back-off of the router
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{Body: ptr(full), CutAtByte: ptr(int64(cut))}})
		resp, body := h.chat("sk-open", h.body(false))
		status, want := 502, `{"error":{"message":"The provider cut the answer, and no other pool could take over. Try again.","type":"server_error","param":null,"code":"provider_cut"}}`
		if cut == len(full) {
			status, want = 200, full
		}
		if unreachable := cut == 0 && strings.Contains(body, `"code":"provider_unreachable"`); resp.StatusCode != status || body != want && !unreachable {
			t.Fatalf("cut at %d of %d: %d %s", cut, len(full), resp.StatusCode, body)
		}
	}
	for cut, p := range h.attempts() {
		switch {
		case cut == len(full):
			checkFault(t, p.out, record.Served, "")
			if p.out.Usage != (usage.Vector{UncachedInput: 2, Output: 1}) {
				t.Errorf("%+v", p.out.Usage)
			}
		case cut == 0:
			checkFault(t, p.out, record.Suspense, "*")
		default:
			checkFault(t, p.out, record.Suspense, "cut")
		}
	}
	h.noHolds()
}
