package gateway_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

// keptRequests is a request log in memory.
type keptRequests struct {
	mu      sync.Mutex
	list    []*gateway.LoggedRequest
	claimed atomic.Int64
	room    int64 // for texts; 0: without end
}

func (k *keptRequests) Claim(n int64) bool {
	if k.claimed.Add(n) > k.room && k.room > 0 {
		k.claimed.Add(-n)
		return false
	}
	return true
}

func (k *keptRequests) Keep(r *gateway.LoggedRequest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claimed.Add(-r.Claimed)
	k.list = append(k.list, r)
}

// last is the record of the request that was answered last, which is kept
// after its client has the answer.
func (k *keptRequests) last(t testing.TB, n int) *gateway.LoggedRequest {
	t.Helper()
	waitFor(t, func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.list) >= n
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list[n-1]
}

func asks(l *alliance.RequestLog) func(*alliance.Alliance, map[alliance.PoolID]string) {
	return func(a *alliance.Alliance, _ map[alliance.PoolID]string) { a.Tenants[0].RequestLog = l }
}

func TestRequestLog_KeepsWhatTheTenantAskedFor(t *testing.T) {
	const answer = "an answer with 日本語"
	for _, row := range []struct {
		name           string
		terms          alliance.RequestLog
		prompt, answer bool
	}{
		{"both", alliance.RequestLog{Prompts: true, Answers: true}, true, true},
		{"prompts", alliance.RequestLog{Prompts: true}, true, false},
		{"answers", alliance.RequestLog{Answers: true}, false, true},
		{"names and figures", alliance.RequestLog{}, false, false},
	} {
		for _, stream := range []bool{false, true} {
			kept := &keptRequests{}
			h := start(t, setup{log: kept, change: asks(&row.terms)})
			h.script(upstreamsim.Rule{Action: upstreamsim.Action{Text: ptr(answer)}})
			sent := h.body(stream)
			resp, body := h.chat("sk-open", sent)
			r := kept.last(h, 1)
			if (string(r.Prompt) == sent) != row.prompt || (string(r.Answer) == body) != row.answer || !row.prompt && r.Prompt != nil || !row.answer && r.Answer != nil {
				t.Errorf("%s, stream %v: prompt %q answer %q", row.name, stream, r.Prompt, r.Answer)
			}
			if r.PromptBytes != int64(len(sent)) || r.AnswerBytes != int64(len(body)) || r.Row.ID != resp.Header.Get("X-Request-Id") || r.Row.Status != 200 || r.Row.Usage.IsZero() || r.Row.Tenant != "acme" {
				t.Errorf("%s, stream %v: %+v", row.name, stream, r)
			}
			if n := kept.claimed.Load(); n != 0 {
				t.Errorf("%d bytes stay claimed", n)
			}
		}
	}
}

// A text is cut at its bound and between characters, and where there is no
// memory for it; the client's answer is whole.
func TestRequestLog_CutsWhatItKeeps(t *testing.T) {
	text := strings.Repeat("語", 2000)
	for _, row := range []struct {
		name  string
		room  int64
		bound int64
	}{{"at its bound", 0, 1000}, {"without memory", 800, 1 << 20}} {
		kept := &keptRequests{room: row.room}
		h := start(t, setup{log: kept, change: asks(&alliance.RequestLog{Prompts: true, Answers: true, MaxBytes: row.bound})})
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{Text: &text}})
		sent := `{"model":"m","messages":[{"role":"user","content":"` + text + `"}],"max_tokens":4000}`
		_, body := h.chat("sk-open", sent)
		r := kept.last(h, 1)
		if !strings.Contains(body, text) {
			t.Errorf("%s: the client has not the whole answer: %s", row.name, body)
		}
		for _, part := range []struct {
			kept  []byte
			whole string
			bytes int64
		}{{r.Prompt, sent, r.PromptBytes}, {r.Answer, body, r.AnswerBytes}} {
			if int64(len(part.kept)) > row.bound || len(part.kept) == len(part.whole) || !strings.HasPrefix(part.whole, string(part.kept)) || !utf8.Valid(part.kept) || part.bytes != int64(len(part.whole)) {
				t.Errorf("%s: %d of %d bytes are kept, told %d", row.name, len(part.kept), len(part.whole), part.bytes)
			}
			if row.room == 0 && len(part.kept) < 997 {
				t.Errorf("%s: only %d bytes are kept", row.name, len(part.kept))
			}
		}
	}
}

// A refusal is kept with what the client was told; a tenant that asked for
// nothing leaves nothing.
func TestRequestLog_RefusalsAndOtherTenants(t *testing.T) {
	kept := &keptRequests{}
	h := start(t, setup{log: kept, change: func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
		a.Tenants = append(a.Tenants, alliance.Tenant{ID: "open", Keys: a.Tenants[0].Keys[:1], RequestLog: &alliance.RequestLog{Prompts: true, Answers: true}})
		a.Tenants[0].Keys = a.Tenants[0].Keys[1:]
		a.Build()
	}})
	h.chat("sk-rate", hello)
	h.chat("sk-open", `{"model":"none","messages":[{"role":"user","content":"hello"}]}`)
	r := kept.last(h, 1)
	if r.Row.Status != 404 || r.Row.Code == "" || !strings.Contains(string(r.Answer), r.Row.Code) || !strings.Contains(string(r.Prompt), "none") {
		t.Errorf("%+v %s", r.Row, r.Answer)
	}
	h.chat("sk-open", `{"model":`)
	if r := kept.last(h, 2); r.Prompt != nil || r.Row.Status != 400 {
		t.Errorf("of a body that is no request: %q %+v", r.Prompt, r.Row)
	}
	for _, r := range kept.list {
		if r.Row.Tenant != "open" {
			t.Errorf("kept of %s", r.Row.Tenant)
		}
	}
}
