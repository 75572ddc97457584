//go:build unix

package llama

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testServer is a served tiny model.
type testServer struct {
	url  string
	m    *Model
	log  *bytes.Buffer
	stop func()
}

// serveTiny serves until stop is called; the log may be read after that.
func serveTiny(t *testing.T, o Options) *testServer {
	t.Helper()
	ts := &testServer{m: tinyModel(t, ModelOptions{}), log: &bytes.Buffer{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Model, o.Names, o.Log = ts.m, []string{"tiny", "alias"}, slog.New(slog.NewJSONHandler(ts.log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, o) }()
	ts.url = "http://" + l.Addr().String()
	stopped := false
	ts.stop = func() {
		if stopped {
			return
		}
		stopped = true
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(ts.stop)
	return ts
}

func (ts *testServer) do(ctx context.Context, t *testing.T, method, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, ts.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(AttemptHeader, "attempt-77")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (ts *testServer) post(t *testing.T, body string) *http.Response {
	t.Helper()
	return ts.do(t.Context(), t, http.MethodPost, "/v1/chat/completions", body)
}

func decodeBody[T any](t *testing.T, r *http.Response) T {
	t.Helper()
	var v T
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// events reads the data of a stream to its end.
func events(t *testing.T, r io.Reader) []string {
	t.Helper()
	var all []string
	s := bufio.NewScanner(r)
	for s.Scan() {
		if line := s.Text(); line != "" {
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				t.Fatalf("unexpected line %q", line)
			}
			all = append(all, data)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

const hello = `"model":"tiny","messages":[{"role":"user","content":"zebra"}],"max_tokens":20,"temperature":1,"seed":5`

// longStream cannot end before a few hundred tokens, whatever the weights are.
const longStream = `{"model":"tiny","stream":true,"messages":[{"role":"user","content":"x"}],"max_tokens":440,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"array","items":{"enum":["aaaaaaaaaaaaaaaa"]},"minItems":60,"maxItems":60}}}}`

func TestServe_PlainAnswerHasExactUsage(t *testing.T) {
	ts := serveTiny(t, Options{})
	resp := ts.post(t, "{"+hello+`,"tools":[{"type":"function","function":{"name":"f"}}],"unknown_field":1}`)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	got := decodeBody[map[string]any](t, resp)
	in := len(input(t, ts.m, "zebra"))
	usage := got["usage"].(map[string]any)
	out := usage["completion_tokens"].(float64)
	if out < 1 || out > 20 {
		t.Errorf("output of %v tokens", out)
	}
	choice := got["choices"].([]any)[0].(map[string]any)
	finish := choice["finish_reason"]
	if (finish == finishLength) != (out == 20) {
		t.Errorf("finish %v after %v tokens", finish, out)
	}
	content := choice["message"].(map[string]any)["content"]
	want := map[string]any{
		"id": got["id"], "object": "chat.completion", "created": got["created"], "model": "tiny", "system_fingerprint": got["system_fingerprint"],
		"choices": []any{map[string]any{
			"index": 0.0, "finish_reason": finish, "logprobs": nil,
			"message": map[string]any{"role": "assistant", "content": content, "refusal": nil},
		}},
		"usage": map[string]any{
			"prompt_tokens": float64(in), "completion_tokens": out, "total_tokens": float64(in) + out,
			"prompt_tokens_details":     map[string]any{"cached_tokens": 0.0},
			"completion_tokens_details": map[string]any{"reasoning_tokens": 0.0},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ts.stop()
	if log := ts.log.String(); strings.Contains(log, "zebra") || !strings.Contains(log, `"attempt":"attempt-77"`) || !strings.Contains(log, `"status":200`) {
		t.Errorf("log: %s", log)
	}
}

func TestServe_StreamSaysTheSameAsThePlainAnswer(t *testing.T) {
	ts := serveTiny(t, Options{})
	plain := decodeBody[completionBody](t, ts.post(t, "{"+hello+"}"))
	resp := ts.post(t, "{"+hello+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %q", ct)
	}
	all := events(t, resp.Body)
	n := len(all)
	if n < 4 || all[n-1] != "[DONE]" {
		t.Fatalf("%d events: %v", n, all)
	}
	text, finish := "", ""
	for i, e := range all[:n-1] {
		var c chunkBody
		if err := json.Unmarshal([]byte(e), &c); err != nil {
			t.Fatal(err)
		}
		if c.Object != "chat.completion.chunk" || c.ID == "" || c.Model != "tiny" {
			t.Errorf("chunk %s", e)
		}
		if i == n-2 {
			var u usageBody
			if err := json.Unmarshal(c.Usage, &u); err != nil || len(c.Choices) != 0 {
				t.Fatalf("usage chunk %s: %v", e, err)
			}
			if diff := cmp.Diff(*plain.Usage, u); diff != "" {
				t.Error(diff)
			}
			continue
		}
		if !strings.Contains(e, `"usage":null`) || (c.Choices[0].Delta.Role == roleAssistant) != (i == 0) {
			t.Errorf("chunk %d: %s", i, e)
		}
		if d := c.Choices[0].Delta.Content; d != nil {
			text += *d
		}
		if f := c.Choices[0].Finish; f != nil {
			finish = *f
		}
	}
	if text != plain.Choices[0].Message.Content || finish != plain.Choices[0].Finish {
		t.Errorf("stream %q %q, plain %+v", text, finish, plain.Choices[0])
	}
	for _, e := range events(t, ts.post(t, "{"+hello+`,"stream":true}`).Body) {
		if strings.Contains(e, "usage") {
			t.Errorf("usage was not asked for: %s", e)
		}
	}
}

func TestServe_RefusesWithTheDialectsErrors(t *testing.T) {
	ts := serveTiny(t, Options{MaxBodyBytes: 8 << 10})
	const user = `"model":"tiny","messages":[{"role":"user","content":"x"}]`
	tests := []struct {
		name, method, path, body string
		status                   int
		code, param              string
	}{
		{"no JSON", "POST", "", `{`, 400, "", ""},
		{"a wrong type", "POST", "", `{"model":7}`, 400, "invalid_type", "model"},
		{"no model", "POST", "", `{"messages":[{"role":"user","content":"x"}]}`, 400, "", "model"},
		{"no messages", "POST", "", `{"model":"tiny","messages":[]}`, 400, "empty_array", "messages"},
		{"an unknown model", "POST", "", `{"model":"other","messages":[{"role":"user","content":"x"}]}`, 404, "model_not_found", "model"},
		{"an unknown role", "POST", "", `{"model":"tiny","messages":[{"role":"boss","content":"x"}]}`, 400, "invalid_value", "messages[0].role"},
		{"an image", "POST", "", `{"model":"tiny","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:"}}]}]}`, 400, "unsupported_content", "messages[0].content[1]"},
		{"content that is a number", "POST", "", `{"model":"tiny","messages":[{"role":"user","content":3}]}`, 400, "invalid_type", "messages[0].content"},
		{"two choices", "POST", "", `{` + user + `,"n":2}`, 400, "unsupported_value", "n"},
		{"log probabilities", "POST", "", `{` + user + `,"logprobs":true}`, 400, "unsupported_value", "logprobs"},
		{"no output at all", "POST", "", `{` + user + `,"max_tokens":0}`, 400, "integer_below_min_value", "max_tokens"},
		{"too hot", "POST", "", `{` + user + `,"temperature":3}`, 400, "", "temperature"},
		{"stream options without stream", "POST", "", `{` + user + `,"stream_options":{"include_usage":true}}`, 400, "", "stream_options"},
		{"five stops", "POST", "", `{` + user + `,"stop":["a","b","c","d","e"]}`, 400, "array_above_max_length", "stop"},
		{"a schema that is not understood", "POST", "", `{` + user + `,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string","format":"date"}}}}`, 400, "invalid_json_schema", "response_format"},
		{"an unknown response format", "POST", "", `{` + user + `,"response_format":{"type":"xml"}}`, 400, "invalid_value", "response_format.type"},
		{"more input than the context", "POST", "", `{"model":"tiny","messages":[{"role":"user","content":"` + strings.Repeat("a", 600) + `"}]}`, 400, "context_length_exceeded", "messages"},
		{"a body above the limit", "POST", "", `{` + user + `,"x":"` + strings.Repeat("a", 9<<10) + `"}`, 413, "request_too_large", ""},
		{"embeddings", "POST", "/v1/embeddings", `{"model":"tiny","input":"x"}`, 404, "unsupported_endpoint", ""},
		{"an unknown path", "GET", "/v1/files", ``, 404, "unknown_url", ""},
		{"an unknown model's entry", "GET", "/v1/models/other", ``, 404, "model_not_found", "model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path
			if path == "" {
				path = "/v1/chat/completions"
			}
			resp := ts.do(t.Context(), t, tt.method, path, tt.body)
			got := decodeBody[struct{ Error apiError }](t, resp)
			e := got.Error
			if resp.StatusCode != tt.status || e.Message == "" || e.Type != "invalid_request_error" {
				t.Fatalf("%d %+v", resp.StatusCode, e)
			}
			if code, param := deref(e.Code), deref(e.Param); code != tt.code || param != tt.param {
				t.Errorf("code %q, param %q: %s", code, param, e.Message)
			}
		})
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestServe_ListsItsModelsAndItsHealth(t *testing.T) {
	ts := serveTiny(t, Options{})
	got := decodeBody[struct{ Data []struct{ ID, Object string } }](t, ts.do(t.Context(), t, "GET", "/v1/models", ""))
	want := []struct{ ID, Object string }{{"tiny", "model"}, {"alias", "model"}}
	if diff := cmp.Diff(want, got.Data); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"/healthz", "/v1/models/alias"} {
		if resp := ts.do(t.Context(), t, "GET", path, ""); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestServe_ReadsPartsStopsAndOtherRoles(t *testing.T) {
	ts := serveTiny(t, Options{})
	resp := ts.post(t, `{"model":"tiny","messages":[{"role":"developer","content":[{"type":"text","text":"a"}]},{"role":"user","content":"b"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"d"}],
		"max_completion_tokens":3,"stop":"q","response_format":{"type":"json_object"}}`)
	got := decodeBody[completionBody](t, resp)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(got.Choices[0].Message.Content, "{") {
		t.Fatalf("%d %+v", resp.StatusCode, got)
	}
}

func TestServe_RefusesWhenTheQueueIsFull(t *testing.T) {
	m := tinyModel(t, ModelOptions{})
	s := &server{Options: Options{Model: m, QueueRequests: 1}}
	held, err := m.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		sl, err := s.enter(t.Context())
		if err == nil {
			m.release(sl)
		}
		waited <- err
	}()
	for s.waiting.Load() == 0 {
		runtime.Gosched()
	}
	_, err = s.enter(t.Context())
	e, ok := err.(*apiError)
	if !ok || e.status != http.StatusTooManyRequests {
		t.Fatalf("got %v", err)
	}
	m.release(held)
	if err := <-waited; err != nil {
		t.Errorf("the waiting request got %v", err)
	}
	if n := s.waiting.Load(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
}

func TestWriteError_BusyAsksToComeBack(t *testing.T) {
	w := &headerOnly{h: http.Header{}}
	writeError(w, &apiError{status: http.StatusTooManyRequests})
	if w.h.Get("Retry-After") != fmt.Sprint(retryAfterSeconds) || w.status != http.StatusTooManyRequests {
		t.Errorf("%+v", w)
	}
}

type headerOnly struct {
	h      http.Header
	status int
}

func (w *headerOnly) Header() http.Header         { return w.h }
func (w *headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (w *headerOnly) WriteHeader(s int)           { w.status = s }

func TestServe_FreesTheSlotWhenTheClientLeaves(t *testing.T) {
	ts := serveTiny(t, Options{})
	ctx, leave := context.WithCancel(t.Context())
	resp := ts.do(ctx, t, http.MethodPost, "/v1/chat/completions", longStream)
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	leave()
	s, err := ts.m.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ts.m.release(s)
	ts.stop()
	if log := ts.log.String(); !strings.Contains(log, `"status":499`) {
		t.Errorf("log: %s", log)
	}
}

func TestServe_LetsARunningAnswerEndWhenItStops(t *testing.T) {
	ts := serveTiny(t, Options{})
	resp := ts.post(t, longStream)
	r := bufio.NewReader(resp.Body)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { ts.stop(); close(stopped) }()
	all := events(t, r)
	<-stopped
	if all[len(all)-1] != "[DONE]" {
		t.Errorf("the stream was cut: %v", all[len(all)-1])
	}
}

func FuzzParseChat(f *testing.F) {
	f.Add([]byte("{" + hello + "}"))
	f.Add([]byte(longStream))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"stop":["a"],"response_format":{"type":"json_schema","json_schema":{"schema":{"type":["string","null"],"anyOf":[{}]}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, messages, err := parseChat(b)
		if err != nil {
			if _, ok := err.(*apiError); !ok {
				t.Fatalf("%T is not an error of the dialect: %v", err, err)
			}
			return
		}
		if len(messages) != len(r.Messages) {
			t.Fatal("a message was lost")
		}
		_, _ = r.stops()
		if g, err := r.grammar(); err == nil && g != "" && !strings.HasPrefix(g, "root ::= ") {
			t.Fatalf("grammar %q", g)
		}
	})
}
