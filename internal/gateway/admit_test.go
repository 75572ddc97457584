package gateway_test

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

func TestRefusals_AreTheDialectsOwn(t *testing.T) {
	h := start(t, setup{limits: gateway.Limits{BodyBytes: 2000}})
	deep := `{"model":"m","messages":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`
	asst := `{"model":"asst","messages":[{"role":"user","content":"x"}]}`
	rows := []struct {
		name, method, path, key, body string
		header                        []string
		status                        int
		code, param, says             string
	}{
		{"no key", "POST", "", "", hello, nil, 401, "", "", "didn't provide an API key"},
		{"a wrong key", "POST", "", "sk-wrong", hello, nil, 401, "invalid_api_key", "", "Incorrect API key"},
		{"an unknown path", "POST", "/v1/completions", "sk-open", hello, nil, 404, "", "", "Invalid URL"},
		{"a wrong method", "GET", "", "sk-open", "", nil, 405, "method_not_supported", "", "use POST"},
		{"an unknown model", "POST", "", "sk-open", `{"model":"x","messages":[{}]}`, nil, 404, "model_not_found", "model", "does not exist"},
		{"a model outside of the plan", "POST", "", "sk-open", `{"model":"hidden","messages":[{}]}`, nil, 404, "model_not_found", "model", "does not exist"},
		{"a chat model asked for embeddings", "POST", "/v1/embeddings", "sk-open", `{"model":"m","input":"x"}`, nil, 404, "model_not_found", "model", "does not answer at /v1/embeddings. Ask it at /v1/chat/completions"},
		{"a model outside of the plan asked for embeddings", "POST", "/v1/embeddings", "sk-open", `{"model":"hidden","input":"x"}`, nil, 404, "model_not_found", "model", "does not exist"},
		{"another version", "POST", "", "sk-open", `{"model":"m@9","messages":[{}]}`, nil, 404, "model_not_found", "model", "does not exist"},
		{"a body that is too large", "POST", "", "sk-open", `{"model":"m","x":"` + strings.Repeat("y", 3000) + `"}`, nil, 413, "request_too_large", "", "2000 bytes"},
		{"duplicate keys", "POST", "", "sk-open", `{"model":"m","model":"m","messages":[{}]}`, nil, 400, "duplicate_parameter", "model", "twice"},
		{"invalid UTF-8", "POST", "", "sk-open", "{\"model\":\"m\",\"messages\":[\"\xff\"]}", nil, 400, "", "", "UTF-8"},
		{"deep nesting", "POST", "", "sk-open", deep, nil, 400, "", "", "nested deeper"},
		{"not JSON", "POST", "", "sk-open", `{"model"`, nil, 400, "", "", "parse the JSON"},
		{"an empty body", "POST", "", "sk-open", "", nil, 400, "", "", "JSON object"},
		{"an end user from a key without trust", "POST", "", "sk-open", hello, []string{"x-accordo-end-user", "u"}, 403, "key_not_trusted", "", "not marked as trusted"},
		{"a territory from a key without trust", "POST", "", "sk-open", hello, []string{"x-accordo-territory", "US"}, 403, "key_not_trusted", "", "not marked as trusted"},
		{"a territory that is not in the list", "POST", "", "sk-trusted", asst, []string{"x-accordo-territory", "JP", "x-accordo-end-user", "u"}, 403, "territory_not_allowed", "", "US, DE, FR, CH"},
		{"a plan per end user without one", "POST", "", "sk-trusted", asst, nil, 400, "missing_header", "x-accordo-end-user", "x-accordo-end-user"},
		{"a header with blanks", "POST", "", "sk-trusted", asst, []string{"x-accordo-end-user", "a b"}, 400, "invalid_header", "x-accordo-end-user", "visible ASCII"},
		{"a variant that the plan lacks", "POST", "", "sk-small", asst, nil, 403, "variant_not_allowed", "", "open, free"},
		{"an unknown flow", "POST", "", "sk-open", strings.Replace(asst, "asst", "asst:nope", 1), nil, 404, "model_not_found", "model", "does not exist"},
		{"a variant that needs an opt-in", "POST", "", "sk-trusted", asst, []string{"x-accordo-territory", "FR", "x-accordo-end-user", "u"}, 403, "variant_not_rolled_out", "", "C10"},
		{"a variant that is not rolled out", "POST", "", "sk-trusted", asst, []string{"x-accordo-territory", "CH", "x-accordo-end-user", "u"}, 403, "variant_not_rolled_out", "", "US (on), EU (opt_in)"},
		{"a variant on another surface", "POST", "", "sk-trusted", asst, []string{"x-accordo-surface", "tv", "x-accordo-end-user", "u"}, 403, "variant_not_allowed", "", "web"},
		{"no right", "POST", "", "sk-wrong-channel", hello, nil, 403, "no_right", "", "No right allows"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := row.path
			if path == "" {
				path = "/v1/chat/completions"
			}
			resp, body := h.do(row.method, path, row.key, row.body, row.header...)
			var object struct {
				Error struct {
					Message, Type string
					Param, Code   *string
				}
			}
			if err := json.Unmarshal([]byte(body), &object); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			e := object.Error
			got := func(p *string) string {
				if p == nil {
					return ""
				}
				return *p
			}
			if resp.StatusCode != row.status || got(e.Code) != row.code || got(e.Param) != row.param || !strings.Contains(e.Message, row.says) || e.Type != "invalid_request_error" || resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	if n := len(h.sim.Requests()); n != 0 {
		t.Errorf("%d requests reached the provider", n)
	}
	h.noHolds()
}

func TestRefusals_OfKnownKeysAreJournalledWithoutContent(t *testing.T) {
	h := start(t, setup{})
	h.chat("sk-wrong-channel", `{"model":"fam","messages":[{"role":"user","content":"secret words"}]}`, "X-Request-Id", "r1")
	list := h.refusals()
	if len(list) != 1 || list[0].Request != "r1" || list[0].Code != "no_right" || list[0].Key != "key-wrong-channel" || list[0].Model != "fam" || strings.Contains(list[0].Reason, "secret words") {
		t.Errorf("%+v", list)
	}
}

func TestQuota_WhatAPlanIncludesBitesWhereNothingIsSoldBeyond(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{OutputTokens: 600}})
	var last *http.Response
	var body string
	for range 12 {
		if last, body = h.chat("sk-bundle", `{"model":"m","messages":[{"role":"user","content":"x"}]}`); last.StatusCode != 200 {
			break
		}
	}
	if last.StatusCode != 429 || !strings.Contains(body, "tokens_per_month of the plan bundle") || last.Header.Get("Retry-After") == "" {
		t.Fatalf("%d %v %s", last.StatusCode, last.Header, body)
	}
	var used int64
	for _, p := range h.attempts() {
		used += p.out.Usage.Total()
	}
	if used > 1000 || used < 300 {
		t.Errorf("%d tokens of 1000 used", used)
	}
	h.noHolds()
}

func TestQuota_DayBitesAndSendsTheOutputThatIsLeft(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{OutputTokens: 600}})
	long := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 200) + `"}]}`
	var last *http.Response
	var body string
	for range 12 {
		if last, body = h.chat("sk-small", long); last.StatusCode != 200 {
			break
		}
	}
	if last.StatusCode != 429 || !strings.Contains(body, `"code":"insufficient_quota"`) || !strings.Contains(body, "tokens_per_day") || last.Header.Get("Retry-After") == "" || last.Header.Get("X-Should-Retry") != "false" {
		t.Fatalf("%d %v %s", last.StatusCode, last.Header, body)
	}
	var used int64
	all := h.attempts()
	for _, p := range all {
		used += p.out.Usage.Total()
	}
	if used > 1000 || used < 300 {
		t.Errorf("%d tokens of 1000 used", used)
	}
	sent := h.sim.Requests()
	if first, end := string(sent[0].Body), string(sent[len(sent)-1].Body); !strings.Contains(first, `"max_completion_tokens":256`) || strings.Contains(end, `"max_completion_tokens":256`) {
		t.Errorf("sent first %s, last %s", first, end)
	}
	if resp, body := h.chat("sk-small", `{"model":"m","max_tokens":5000,"messages":[{"role":"user","content":"x"}]}`); resp.StatusCode != 429 {
		t.Errorf("a maximum above what is left: %d %s", resp.StatusCode, body)
	}
	h.noHolds()
}

func TestQuota_SpendAndRateBite(t *testing.T) {
	h := start(t, setup{})
	for i := range 3 {
		resp, body := h.chat("sk-rate", hello)
		if i < 2 && (resp.StatusCode != 200 || resp.Header.Get("X-Ratelimit-Limit-Requests") != "2") || i == 2 && (resp.StatusCode != 429 || !strings.Contains(body, `"type":"requests"`) || !strings.Contains(body, "rate_limit_exceeded") || resp.Header.Get("Retry-After") == "") {
			t.Errorf("request %d: %d %v %s", i, resp.StatusCode, resp.Header, body)
		}
	}
	var resp *http.Response
	var body string
	for range 10 {
		if resp, body = h.chat("sk-poor", hello); resp.StatusCode != 200 {
			break
		}
	}
	if resp.StatusCode != 429 || !strings.Contains(body, "spend_per_day") || !strings.Contains(body, "USD") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestQuota_CountsPerEndUserAndNeverPassesUnderABurst(t *testing.T) {
	h := start(t, setup{})
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{OutputTokens: 600}})
	body := `{"model":"asst","max_tokens":300,"messages":[{"role":"user","content":"x"}]}`
	var wait sync.WaitGroup
	for i := range 30 {
		user := []string{"alice", "bob"}[i%2]
		wait.Go(func() {
			if resp, b := h.chat("sk-trusted", body, "x-accordo-end-user", user); resp.StatusCode != 200 && resp.StatusCode != 429 {
				t.Errorf("%d %s", resp.StatusCode, b)
			}
		})
	}
	wait.Wait()
	used := map[string]int64{}
	for _, p := range h.attempts() {
		used[p.in.EndUser] += p.out.Usage.Total()
	}
	if len(used) != 2 || used["alice"] > 1000 || used["bob"] > 1000 || used["alice"] == 0 || used["bob"] == 0 {
		t.Errorf("used %v of 1000 each", used)
	}
	h.noHolds()
}

func TestLimits_TooManyRequestsAndSlowBodies(t *testing.T) {
	h := start(t, setup{limits: gateway.Limits{Concurrent: 1, BodyTime: 50 * time.Millisecond}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-open\r\nContent-Length: 100\r\n\r\n{"))
	buf := make([]byte, 4096)
	n, _ := conn.Read(buf)
	if got := string(buf[:n]); !strings.Contains(got, " 408 ") || !strings.Contains(got, "request_timeout") {
		t.Errorf("slow body: %s", got)
	}
	h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallAfterChunk: 1, StallFor: time.Minute}})
	r, _ := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(h.body(true)))
	r.Header.Set("Authorization", "Bearer sk-open")
	resp, err := h.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp, body := h.chat("sk-open", hello); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, "overloaded") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestReload_SwapsWholeOrNotAtAll(t *testing.T) {
	h := start(t, setup{})
	bad := h.state
	bad.Keys = []gateway.Key{{Tenant: "acme", Key: alliance.Key{ID: "k", SHA256: "zz", Plan: "open"}}}
	if err := h.g.Reload(bad); err == nil {
		t.Error("took a state that is not valid")
	}
	if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	next := h.state
	next.Alliance = terms("a", "b")
	next.Alliance.Hash = strings.Repeat("cd", 32)
	next.Keys = next.Keys[1:]
	if err := h.g.Reload(next); err != nil {
		t.Fatal(err)
	}
	if resp, _ := h.chat("sk-open", hello); resp.StatusCode != 401 {
		t.Errorf("a revoked key: %d", resp.StatusCode)
	}
	if resp, body := h.chat("sk-small", hello); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if p := h.attempts(); p[len(p)-1].in.Terms != next.Alliance.Hash {
		t.Error("the intent names the old terms")
	}
}

func TestMetrics_CountByStatusAndTokens(t *testing.T) {
	h := start(t, setup{})
	h.chat("sk-open", h.body(true))
	h.chat("sk-open", `{}`)
	w := &memory{header: http.Header{}}
	r, _ := http.NewRequest("GET", "/metrics", nil)
	h.g.Metrics().Handler().ServeHTTP(w, r)
	for _, want := range []string{`accordo_requests_total{plan="open",status="200"} 1`, `accordo_refusals_total{code="missing_required_parameter",status="400"} 1`, `gen_ai_client_token_usage_total{accordo_pool="a",gen_ai_request_model="m",gen_ai_token_type="output"} 4`, `gen_ai_server_time_to_first_token_seconds_count`, `gen_ai_server_time_per_output_token_seconds_count`} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("no %s in\n%s", want, w.String())
		}
	}
}
