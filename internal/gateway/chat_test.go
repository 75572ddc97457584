package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

const hello = `{"model":"fam","messages":[{"role":"user","content":"hello"}]}`

func TestChat_PlainIsServedBookedAndNamed(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{Text: ptr("Guten Tag"), ServiceTier: "default", CacheReadTokens: 1}})
	resp, body := h.chat("sk-open", hello, "X-Request-Id", "my-id.1", "Cookie", "secret", "User-Agent", "ua")
	if resp.StatusCode != 200 || resp.Header.Get("X-Request-Id") != "my-id.1" || resp.Header.Get("X-Accordo-Stand-In") != "" {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	var answer struct {
		ID, Model string
		Choices   []struct{ Message struct{ Content string } }
		Usage     struct {
			Prompt int64 `json:"prompt_tokens"`
			Total  int64 `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Model != "m@1" || answer.Choices[0].Message.Content != "Guten Tag" {
		t.Fatalf("%v %s", err, body)
	}
	all := h.attempts()
	if len(all) != 1 {
		t.Fatalf("%d attempts", len(all))
	}
	in, out := all[0].in, all[0].out
	if in.Request != "my-id.1" || in.Pool != "a" || in.Model != "m@1" || in.Contract != "payg" || in.Right != "all" || in.CostPrice != "cost-a-m" || in.SalePrice != "sale" || in.Decision == 0 || len(in.Considered) != 2 || in.Terms != h.state.Alliance.Hash {
		t.Errorf("intent %+v", in)
	}
	lines, err := h.sim.Lines("a")
	if err != nil || len(lines) != 1 {
		t.Fatalf("invoice %v %v", lines, err)
	}
	l := lines[0]
	billed := usage.Vector{UncachedInput: l.UncachedInput, CacheRead: l.CacheRead, CacheWrite: l.CacheWrite, Output: l.Output, Reasoning: l.Reasoning}
	if l.AttemptID != string(in.Attempt) || out.Status != record.Served || out.Usage != billed || out.Usage.CacheRead != 1 || out.Upstream != answer.ID || out.Version != "up-m" || out.Tier != "default" || out.TTFT <= 0 || out.Observation <= in.Decision {
		t.Errorf("outcome %+v, invoice %+v", out, l)
	}
	header := http.Header(h.sim.Requests()[0].Header)
	if header.Get("Cookie") != "" || header.Get("User-Agent") != "ua" || header.Get("X-Request-Id") != "my-id.1" || header.Get("Authorization") == "" {
		t.Errorf("headers sent: %v", header)
	}
	rows, n := h.g.Recent(10)
	if n != 1 || rows[0].ID != "my-id.1" || rows[0].Pool != "a" || rows[0].Status != 200 || rows[0].Cost <= 0 || rows[0].Usage != billed {
		t.Errorf("recent: %+v", rows)
	}
	h.noHolds()
}

func TestChat_BodyIsPassedOnByteForByte(t *testing.T) {
	h := start(t, setup{})
	body := ` { "x_new":{"b":[1.50,1e3,"\u00e9"]}, "model":"m@1","messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"response_format":{"type":"json_object"},"max_tokens":20}`
	if resp, b := h.chat("sk-open", body); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	want := strings.Replace(body, `"m@1"`, `"up-m"`, 1)
	if d := cmp.Diff(want, string(h.sim.Requests()[0].Body)); d != "" {
		t.Error(d)
	}
}

func TestChat_StreamStripsUsageOnlyWhenNotAskedFor(t *testing.T) {
	h := start(t, setup{})
	for _, options := range []string{"", `,"stream_options":{"include_usage":true}`, `,"stream_options":{"include_usage":false}`} {
		asked := strings.Contains(options, "true")
		resp, body := h.chat("sk-open", `{"model":"m","stream":true`+options+`,"max_tokens":4,"messages":[{"role":"user","content":"hello"}]}`)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if !strings.HasSuffix(body, "data: [DONE]\n\n") || strings.Contains(body, "prompt_tokens") != asked || strings.Contains(body, `"usage"`) != asked || strings.Contains(body, `"up-m"`) || !strings.Contains(body, `"m@1"`) {
			t.Errorf("options %q: %s", options, body)
		}
	}
	for _, r := range h.sim.Requests() {
		if !strings.Contains(string(r.Body), `"include_usage":true`) {
			t.Errorf("usage not asked for: %s", r.Body)
		}
	}
	for _, p := range h.attempts() {
		if p.out.Status != record.Served || p.out.Usage.Output != 4 || !p.in.Stream {
			t.Errorf("%+v", p.out)
		}
	}
	h.noHolds()
}

func TestChat_ToolCallsPassUnchanged(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{ToolCalls: []upstreamsim.ToolCall{{Name: "weather", Arguments: `{"city":"Ulm"}`}}}})
	tools := `,"tools":[{"type":"function","function":{"name":"weather"}}]}`
	for _, stream := range []string{"", `,"stream":true`} {
		_, body := h.chat("sk-open", `{"model":"m"`+stream+`,"messages":[{"role":"user","content":"x"}]`+tools)
		if !strings.Contains(body, "tool_calls") || !strings.Contains(body, "weather") {
			t.Errorf("stream %q: %s", stream, body)
		}
	}
}

func TestEmbeddings_PassThrough(t *testing.T) {
	h := start(t, setup{})
	resp, body := h.do("POST", "/v1/embeddings", "sk-open", `{"model":"e","input":["a","b"]}`)
	if resp.StatusCode != 200 || !strings.Contains(body, `"e@2"`) || strings.Count(body, `"embedding":`) != 2 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if p := h.attempts(); len(p) != 1 || p[0].out.Status != record.Served || p[0].out.Usage.AllOutput() != 0 || p[0].out.Usage.Input() == 0 {
		t.Errorf("%+v", p[0].out)
	}
	if resp, body := h.do("POST", "/v1/embeddings", "sk-open", `{"model":"m","input":"a"}`); resp.StatusCode != 404 {
		t.Errorf("a chat model embedded: %d %s", resp.StatusCode, body)
	}
}

func TestVariant_AddsItsMessageAndItsLimit(t *testing.T) {
	h := start(t, setup{change: func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
		a.Pools[0].StandIn = &alliance.StandIn{Kind: "simulated", Says: "a simulator, not the real thing"}
	}})
	resp, body := h.chat("sk-open", `{"model":"asst:shop","messages":[{"role":"user","content":"hello"}],"max_tokens":100}`)
	if resp.StatusCode != 200 || !strings.Contains(body, `"asst@abc"`) || resp.Header.Get("X-Accordo-Stand-In") != "a simulator, not the real thing" {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	sent := string(h.sim.Requests()[0].Body)
	if !strings.Contains(sent, `"messages":[{"role":"system","content":"You are Assistant.\n\nBehaviour:\n- Be kind.\n\nOperating priorities of the flow \"shop\"`) || !strings.Contains(sent, `"max_tokens":7`) {
		t.Errorf("sent %s", sent)
	}
	if p := h.attempts()[0]; p.in.Variant != "asst@abc" || p.in.Model != "m@1" {
		t.Errorf("%+v", p.in)
	}
}

func TestModels_OnlyWhatTheKeyMaySee(t *testing.T) {
	h := start(t, setup{})
	rows := []struct{ name, key, want string }{
		{"open plan", "sk-open", "asst asst:info asst:shop fam m e"},
		{"a plan without the variant", "sk-small", "fam m e"},
		{"a plan with only the variant", "sk-free", "asst asst:info asst:shop"},
		{"opted in", "sk-german", "asst asst:info asst:shop fam m e"},
		{"a channel without a right", "sk-wrong-channel", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			resp, body := h.do("GET", "/v1/models", row.key, "")
			var list struct {
				Object string
				Data   []struct {
					ID, Object string
					OwnedBy    string `json:"owned_by"`
				}
			}
			if err := json.Unmarshal([]byte(body), &list); err != nil || resp.StatusCode != 200 || list.Object != "list" {
				t.Fatalf("%v %s", err, body)
			}
			var ids []string
			for _, m := range list.Data {
				ids = append(ids, m.ID)
			}
			if got := strings.Join(ids, " "); got != row.want {
				t.Errorf("got %q", got)
			}
		})
	}
	if resp, body := h.do("GET", "/v1/models/fam", "sk-open", ""); resp.StatusCode != 200 || !strings.Contains(body, `"id":"fam"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if rows, _ := h.g.Recent(10); len(rows) != 0 {
		t.Errorf("lists of models are among the requests: %+v", rows)
	}
	if resp, body := h.do("GET", "/v1/models/hidden", "sk-open", ""); resp.StatusCode != 404 || !strings.Contains(body, "model_not_found") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if rows, _ := h.g.Recent(10); len(rows) != 1 || rows[0].Status != 404 {
		t.Errorf("the refused one is not among the requests: %+v", rows)
	}
}
