package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/usage"
)

// sdkTime bounds all cases of one SDK.
const sdkTime = 90 * time.Second

// sdkCase is one call that every SDK makes. The scripts in testdata/sdk read
// a list of them and print a list of sdkResult.
type sdkCase struct {
	Name string `json:"name"`
	// Call is chat, stream, helper (the SDK's own accumulation of a stream),
	// embeddings, models or model.
	Call   string          `json:"call"`
	Key    string          `json:"key"`
	Params json.RawMessage `json:"params"`
	// Extra are parameters that the SDK does not know.
	Extra json.RawMessage `json:"extra,omitempty"`
	// Pad is how many bytes the first message gets.
	Pad int `json:"pad,omitempty"`
	// Repeat makes the call until it is refused, at most so often; then the
	// call is made once more with Retries.
	Repeat    int `json:"repeat,omitempty"`
	Retries   int `json:"retries,omitempty"`
	TimeoutMS int `json:"timeout_ms,omitempty"`

	want sdkResult
	// upstream is the body that the provider must get, as JSON.
	upstream string
}

// sdkResult is what an SDK gave its caller.
type sdkResult struct {
	Name        string      `json:"name"`
	Text        string      `json:"text,omitempty"`
	Finish      string      `json:"finish,omitempty"`
	Model       string      `json:"model,omitempty"`
	Usage       *sdkUsage   `json:"usage,omitempty"`
	UsageChunks int         `json:"usage_chunks,omitempty"` // events of a stream that state usage
	Tools       []sdkTool   `json:"tools,omitempty"`
	Vectors     [][]float64 `json:"vectors,omitempty"`
	IDs         []string    `json:"ids,omitempty"` // of models
	Sent        int         `json:"sent"`          // requests on the wire
	RequestID   string      `json:"request_id,omitempty"`
	Error       *sdkError   `json:"error,omitempty"`
	// Before is the error that ended the repetition.
	Before *sdkError `json:"before,omitempty"`
}

type sdkUsage struct {
	Input     int64 `json:"input"`
	Output    int64 `json:"output"`
	Total     int64 `json:"total"`
	Cached    int64 `json:"cached"`
	Reasoning int64 `json:"reasoning"`
}

type sdkTool struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type sdkError struct {
	Class      string `json:"class"` // of the SDK; Go has one for all
	Status     int    `json:"status,omitempty"`
	Code       string `json:"code,omitempty"`
	Type       string `json:"type,omitempty"`
	Param      string `json:"param,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter bool   `json:"retry_after,omitempty"` // the header was there
}

const (
	unicodeText = "Grüße, \"Welt\" \\ — 你好 👋\n\tEnde </script> \u2028."
	toolArgs    = `{"city":"Zürich \"Nord\"","days":[1,2],"unit":null}`
	schemaText  = `{"name":"Ada","age":36}`
)

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// sdkModels are the models of the cases with the pools that each has.
var sdkModels = []struct {
	id, kind, endpoint string
	pools              int
}{
	{"plain", "chat", "", 1},
	{"tools", "chat", "", 1},
	{"schema", "chat", "", 1},
	{"embed-float", "embedding", "", 1},
	{"embed-base64", "embedding", "", 1},
	{"embed-own", "embedding", "", 1},
	{"flaky", "chat", "", 2},
	{"down", "chat", "", 2},
	{"refused", "chat", "", 1},
	{"slow", "chat", ", first_token_ms: 300", 1},
	{"still", "chat", "", 1},
	{"cut", "chat", "", 1},
	{"broken", "chat", "", 1},
}

// sdkTerms are the terms that the cases add, and the simulator's pools.
func sdkTerms() (more, pools string) {
	var ids, models, list, rates []string
	for _, m := range sdkModels {
		ids = append(ids, m.id)
		models = append(models, fmt.Sprintf("  - {id: %s, name: Of the SDK tests, owner: lab, version: \"1\", weights: closed, kind: %s}\n", m.id, m.kind))
		var of []string
		for n := range m.pools {
			name := fmt.Sprintf("sdk-%s-%d", m.id, n)
			of = append(of, name)
			list = append(list, fmt.Sprintf("  - {id: %s, provider: north, region: us-east-1, residency: US, contract: north-payg, billed_by: token, max_in_flight: 8, claim: [paper], models: [{model: %s, upstream_name: up-%s}], endpoint: {url: \"http://NORTH/pools/%s/v1\", dialect: openai, secret: ACCORDO_SECRET_TEST%s}}\n", name, m.id, m.id, name, m.endpoint))
			pools += fmt.Sprintf("  - {name: %s, api_key: provider-secret, embedding_size: 3}\n", name)
		}
		rates = append(rates, fmt.Sprintf("  - {id: price-%s, pools: [%s], model: %s, from: 2026-01-01, list: {input: 1, output: 4}, claim: [paper]}\n", m.id, strings.Join(of, ", "), m.id))
	}
	all := strings.Join(ids, ", ")
	more = "set:\n  open: {models: [chat, chat-1, embed-1, kept-1, " + all + "]}\n  all: {models: [chat, chat-1, embed-1, " + all + "]}\n" +
		"models:\n" + strings.Join(models, "") + "pools:\n" + strings.Join(list, "") + "prices:\n" + strings.Join(rates, "") + `
plans:
  - {id: sixty, name: Sixty requests a minute, seller: lab, subject: key, models: [plain], default_output_tokens: 256, assumption: true, limits: {requests_per_minute: 60}}
tenants:
  - {id: burst, name: Bursts, keys: [{id: burst-key, sha256: 5a5b0b3a7c1a1b8c4b3bb5d3a52b8f2dd2d12d0f4c9dd6aa64a2e4b0ad0f7a66, plan: sixty, channel: api, territory: US}]}
`
	return strings.Replace(more, "5a5b0b3a7c1a1b8c4b3bb5d3a52b8f2dd2d12d0f4c9dd6aa64a2e4b0ad0f7a66", digest(keySixty), 1), northConfig + pools
}

const keySixty = "sk-sixty"

// sdkScript is what the simulator says to each model.
func sdkScript() string {
	usageOf := "usage: {input: 11, output: 7, total: 18, cache_read: 3, reasoning: 2}"
	vectors := []string{"[0.25,-0.5,1]", "[1,0.125,-2]"}
	encoded := []string{`"AACAPgAAAL8AAIA/"`, `"AACAPwAAAD4AAADA"`}
	embeddings := func(model string, v []string) string {
		return quoted(fmt.Sprintf(`{"object":"list","data":[{"object":"embedding","index":0,"embedding":%s},{"object":"embedding","index":1,"embedding":%s}],"model":"%s","usage":{"prompt_tokens":4,"total_tokens":4}}`, v[0], v[1], model))
	}
	return strings.Join([]string{
		`  - {model: up-plain, action: {text: ` + quoted(unicodeText) + `, ` + usageOf + `}}`,
		`  - {model: up-tools, action: {tool_calls: [{name: weather, arguments: ` + quoted(toolArgs) + `}, {name: clock, arguments: "{}"}], ` + usageOf + `}}`,
		`  - {model: up-schema, action: {text: ` + quoted(schemaText) + `, ` + usageOf + `}}`,
		`  - {model: up-embed-float, action: {body: ` + embeddings("up-embed-float", vectors) + `}}`,
		`  - {model: up-embed-base64, action: {body: ` + embeddings("up-embed-base64", encoded) + `}}`,
		`  - {model: up-flaky, every: 2, action: {text: after a retry, ` + usageOf + `}}`,
		`  - {model: up-flaky, action: {status: 500}}`,
		`  - {model: up-down, action: {status: 500}}`,
		`  - {model: up-refused, action: {status: 400, error_message: The picture is upside down., error_type: invalid_request_error, error_code: upside_down, error_param: messages}}`,
		`  - {model: up-slow, action: {stall_first_byte: 20s}}`,
		`  - {model: up-still, action: {stall_first_byte: 20s}}`,
		`  - {model: up-cut, action: {text: "one two three four five six seven eight", chunk_delay: 30ms, cut_at_byte: 1000}}`,
		`  - {model: up-broken, action: {text: "one two three four five six seven eight", chunk_delay: 30ms, error_after_chunk: 3, error_message: The engine fell over.}}`,
	}, "\n") + "\n"
}

const (
	hello     = `[{"role":"user","content":"hello"}]`
	toolsJSON = `[{"type":"function","function":{"name":"weather","description":"Weather of a city.","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"array","items":{"type":"integer"}}},"required":["city"],"additionalProperties":false},"strict":true}},{"type":"function","function":{"name":"clock","parameters":{"type":"object","properties":{}}}}]`
	format    = `{"type":"json_schema","json_schema":{"name":"person","strict":true,"schema":{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"],"additionalProperties":false}}}`
	pictures  = `[{"role":"system","content":"Look."},{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}},{"type":"image_url","image_url":{"url":"https://example.com/cat.png"}}]}]`
)

func sdkCases() []sdkCase {
	scripted := &sdkUsage{Input: 11, Output: 7, Total: 18, Cached: 3, Reasoning: 2}
	text := func(model string, u *sdkUsage) sdkResult {
		return sdkResult{Text: unicodeText, Finish: "stop", Model: model + "@1", Usage: u, Sent: 1}
	}
	stream := func(r sdkResult, chunks int) sdkResult {
		if r.UsageChunks = chunks; chunks == 0 {
			r.Usage = nil
		}
		return r
	}
	tools := sdkResult{Finish: "tool_calls", Model: "tools@1", Usage: scripted, Sent: 1, Tools: []sdkTool{{"weather", toolArgs}, {"clock", "{}"}}}
	chat := func(model, rest string) json.RawMessage {
		return json.RawMessage(`{"model":"` + model + `","messages":` + hello + rest + `}`)
	}
	// What the gateway adds: the provider's name of the model, the plan's
	// output maximum, and the wish for usage.
	up := func(model, rest string) string {
		return `{"model":"up-` + model + `","messages":` + hello + rest + `,"max_completion_tokens":256}`
	}
	const streamed = `,"stream":true,"stream_options":{"include_usage":true}`
	refusal := func(class string, status int, code, kind, param, message string) sdkResult {
		return sdkResult{Sent: 1, Error: &sdkError{Class: class, Status: status, Code: code, Type: kind, Param: param, Message: message}}
	}
	const invalid = "invalid_request_error"
	cut := sdkResult{Text: "…", Model: "cut@1", Sent: 1, Error: &sdkError{Class: "APIError", Code: "provider_cut", Type: "server_error"}}
	broken := sdkResult{Text: "…", Model: "broken@1", Sent: 1, Error: &sdkError{Class: "APIError", Code: "provider_answer_invalid", Type: "server_error"}}
	limited := &sdkError{Class: "RateLimitError", Status: 429, Code: "rate_limit_exceeded", Type: "requests", RetryAfter: true}
	afterWait := text("plain", scripted)
	afterWait.Sent, afterWait.Before = 2, limited

	return []sdkCase{
		{Name: "plain", Call: "chat", Params: chat("plain", `,"temperature":0.5,"seed":7,"stop":["END"]`), want: text("plain", scripted), upstream: up("plain", `,"temperature":0.5,"seed":7,"stop":["END"]`)},
		{Name: "plain, the client's maximum", Call: "chat", Params: chat("plain", `,"max_completion_tokens":99`), want: text("plain", scripted), upstream: `{"model":"up-plain","messages":` + hello + `,"max_completion_tokens":99}`},
		{Name: "plain, by the version that an answer names", Call: "chat", Params: chat("plain@1", ""), want: text("plain", scripted)},
		{Name: "parameters that nobody knows", Call: "chat", Params: chat("plain", ""), Extra: json.RawMessage(`{"x_vendor":{"deep":[1,2.5,"é",null]}}`), want: text("plain", scripted), upstream: up("plain", `,"x_vendor":{"deep":[1,2.5,"é",null]}`)},
		{Name: "streamed without usage", Call: "stream", Params: chat("plain", ""), want: stream(text("plain", nil), 0), upstream: up("plain", streamed)},
		{Name: "streamed, usage declined", Call: "stream", Params: chat("plain", `,"stream_options":{"include_usage":false}`), want: stream(text("plain", nil), 0), upstream: up("plain", streamed)},
		{Name: "streamed with usage", Call: "stream", Params: chat("plain", `,"stream_options":{"include_usage":true}`), want: stream(text("plain", scripted), 1), upstream: up("plain", streamed)},
		{Name: "streamed through the SDK's helper", Call: "helper", Params: chat("plain", `,"stream_options":{"include_usage":true}`), want: stream(text("plain", scripted), 0).with(scripted), upstream: up("plain", streamed)},

		{Name: "tool calls", Call: "chat", Params: chat("tools", `,"tools":`+toolsJSON+`,"tool_choice":"auto"`), want: tools, upstream: up("tools", `,"tools":`+toolsJSON+`,"tool_choice":"auto"`)},
		{Name: "tool calls, streamed", Call: "stream", Params: chat("tools", `,"tools":`+toolsJSON), want: stream(tools, 0), upstream: up("tools", `,"tools":`+toolsJSON+streamed)},
		{Name: "tool calls through the SDK's helper", Call: "helper", Params: chat("tools", `,"tools":`+toolsJSON), want: stream(tools, 0)},
		{Name: "structured output", Call: "chat", Params: chat("schema", `,"response_format":`+format), want: sdkResult{Text: schemaText, Finish: "stop", Model: "schema@1", Usage: scripted, Sent: 1}, upstream: up("schema", `,"response_format":`+format)},
		{Name: "images", Call: "chat", Params: json.RawMessage(`{"model":"plain","messages":` + pictures + `}`), want: text("plain", scripted), upstream: `{"model":"up-plain","messages":` + pictures + `,"max_completion_tokens":256}`},

		{Name: "embeddings, float", Call: "embeddings", Params: json.RawMessage(`{"model":"embed-float","input":["a","b"],"encoding_format":"float","dimensions":3}`), want: sdkResult{Model: "embed-float@1", Vectors: [][]float64{{0.25, -0.5, 1}, {1, 0.125, -2}}, Usage: &sdkUsage{Input: 4, Total: 4}, Sent: 1}, upstream: `{"model":"up-embed-float","input":["a","b"],"encoding_format":"float","dimensions":3}`},
		{Name: "embeddings, base64", Call: "embeddings", Params: json.RawMessage(`{"model":"embed-base64","input":["a","b"],"encoding_format":"base64"}`), want: sdkResult{Model: "embed-base64@1", Vectors: [][]float64{{0.25, -0.5, 1}, {1, 0.125, -2}}, Usage: &sdkUsage{Input: 4, Total: 4}, Sent: 1}, upstream: `{"model":"up-embed-base64","input":["a","b"],"encoding_format":"base64"}`},
		{Name: "embeddings, as the SDK asks", Call: "embeddings", Params: json.RawMessage(`{"model":"embed-own","input":"a"}`), want: sdkResult{Model: "embed-own@1", Usage: &sdkUsage{Input: 1, Total: 1}, Sent: 1}},
		{Name: "models", Call: "models", want: sdkResult{Sent: 1, IDs: visibleModels()}},
		{Name: "one model", Call: "model", Params: json.RawMessage(`{"model":"plain"}`), want: sdkResult{Sent: 1, IDs: []string{"plain lab"}}},

		{Name: "401", Call: "chat", Key: "sk-wrong", Params: chat("plain", ""), want: refusal("AuthenticationError", 401, "invalid_api_key", invalid, "", "Incorrect API key")},
		{Name: "403", Call: "chat", Params: chat("kept-1", ""), Retries: 2, want: refusal("PermissionDeniedError", 403, "no_right", invalid, "", "No right allows kept-1 in US")},
		{Name: "404, a model that does not exist", Call: "chat", Params: chat("nothing", ""), want: refusal("NotFoundError", 404, "model_not_found", invalid, "model", "The model `nothing` does not exist")},
		{Name: "404, a model that the plan has not", Call: "chat", Key: keyMinute, Params: chat("plain", ""), want: refusal("NotFoundError", 404, "model_not_found", invalid, "model", "The model `plain` does not exist")},
		{Name: "404, model of the list", Call: "model", Params: json.RawMessage(`{"model":"nothing"}`), want: refusal("NotFoundError", 404, "model_not_found", invalid, "model", "The model `nothing` does not exist")},
		{Name: "400 of the gateway", Call: "chat", Params: json.RawMessage(`{"model":"plain","messages":[]}`), want: refusal("BadRequestError", 400, "empty_array", invalid, "messages", "Invalid 'messages': empty array")},
		{Name: "400 of the provider", Call: "chat", Params: chat("refused", ""), Retries: 2, want: refusal("BadRequestError", 400, "upside_down", invalid, "messages", "The picture is upside down.")},
		{Name: "400 of the provider, streamed", Call: "stream", Params: chat("refused", ""), want: refusal("BadRequestError", 400, "upside_down", invalid, "messages", "The picture is upside down.")},
		{Name: "413", Call: "chat", Params: chat("plain", ""), Pad: 21 << 20, want: refusal("APIStatusError", 413, "request_too_large", invalid, "", "The body of the request is larger than 20971520 bytes")},
		{Name: "429, then the SDK waits as told", Call: "chat", Key: keySixty, Params: chat("plain", ""), Repeat: 200, Retries: 3, want: afterWait},
		{Name: "429, larger than an allowance", Call: "chat", Key: keyDay, Params: chat("chat-1", `,"max_completion_tokens":2000`), Retries: 2, want: refusal("RateLimitError", 429, "insufficient_quota", "insufficient_quota", "", "This request is larger than the limit tokens_per_day of the plan day: 1000 tokens, left 1000.")},
		{Name: "500 once, another pool takes over", Call: "chat", Params: chat("flaky", ""), want: sdkResult{Text: "after a retry", Finish: "stop", Model: "flaky@1", Usage: scripted, Sent: 1}},
		{Name: "500 everywhere", Call: "chat", Params: chat("down", ""), want: refusal("InternalServerError", 502, "provider_failed", "server_error", "", "The provider failed (status 500)")},
		{Name: "the gateway's timeout", Call: "stream", Params: chat("slow", ""), want: refusal("InternalServerError", 504, "first_token_timeout", "server_error", "", "The provider did not answer within 300ms")},
		{Name: "the client's timeout", Call: "chat", Params: chat("still", ""), TimeoutMS: 500, want: sdkResult{Sent: 1, Error: &sdkError{Class: "APITimeoutError"}}},
		{Name: "a stream that is cut", Call: "stream", Params: chat("cut", ""), want: cut},
		{Name: "a stream with an error event", Call: "stream", Params: chat("broken", ""), want: broken},
	}
}

// visibleModels are the names that the open key may use, with their owner:
// families first, embeddings last, each kind by name. The model without a
// right is not among them.
func visibleModels() []string {
	chat, embedding := []string{"chat-1 lab"}, []string{"embed-1 lab"}
	for _, m := range sdkModels {
		if m.kind == "chat" {
			chat = append(chat, m.id+" lab")
		} else {
			embedding = append(embedding, m.id+" lab")
		}
	}
	slices.Sort(chat)
	slices.Sort(embedding)
	return slices.Concat([]string{"chat lab"}, chat, embedding)
}

// with returns the result with a usage of its own.
func (r sdkResult) with(u *sdkUsage) sdkResult {
	r.Usage = u
	return r
}

// TestSDK_SeesWhatTheProviderSaid runs every case with the official SDKs,
// unmodified, through the program.
func TestSDK_SeesWhatTheProviderSaid(t *testing.T) {
	for _, sdk := range []struct {
		name string
		run  func(t *testing.T, api string, cases []sdkCase) []sdkResult
	}{{"go", runGo}, {"python", runPython}, {"node", runNode}} {
		t.Run(sdk.name, func(t *testing.T) {
			t.Parallel()
			cases := sdkCases()
			for i := range cases {
				if cases[i].Key == "" {
					cases[i].Key = keyOpen
				}
			}
			sdk := sdkRun{T: t, language: sdk.name, run: sdk.run}
			sdk.need()
			sdk.play(cases)
		})
	}
}

// sdkRun is one SDK with a deployment of its own, so that limits and the
// health of pools begin afresh.
type sdkRun struct {
	*testing.T
	language string
	run      func(t *testing.T, api string, cases []sdkCase) []sdkResult
}

func (r *sdkRun) need() {
	switch r.language {
	case "python":
		need(r.T, "ACCORDO_PYTHON_SDK", "`make deps` installs the Python SDK and names its folder")
	case "node":
		need(r.T, "ACCORDO_NODE_SDK", "`make deps` installs the Node SDK and names its folder")
	}
}

func (r *sdkRun) play(cases []sdkCase) {
	more, pools := sdkTerms()
	north, south := startProvider(r.T, pools), startProvider(r.T, southConfig)
	north.script(sdkScript())
	d := deploy(r.T, setup{north: north, south: south, more: more})
	results := r.run(r.T, d.api, cases)
	if len(results) != len(cases) {
		r.Fatalf("%d results for %d cases", len(results), len(cases))
	}
	for i := range cases {
		if cases[i].Name == "embeddings, as the SDK asks" {
			cases[i].want.Vectors = r.ownVector(north)
			results[i].Vectors = rounded(results[i].Vectors)
		}
		r.check(&cases[i], results[i])
	}
	r.checkUpstream(north, cases)
	// The id that an SDK gives its caller finds the request, its exact usage
	// and its entry.
	d.waitBooked(results[0].RequestID)
	attempt := d.trace(results[0].RequestID).Attempts[0]
	if want := (usage.Vector{UncachedInput: 8, CacheRead: 3, Output: 5, Reasoning: 2}); attempt.Line == nil || attempt.Line.Tokens != want || attempt.Line.Suspense != "" {
		r.Errorf("booked %+v, want %+v", attempt.Line, want)
	}
}

// ownVector asks the simulator for what it says without a script.
func (r *sdkRun) ownVector(north *provider) [][]float64 {
	q, err := http.NewRequest("POST", "http://"+north.address+"/pools/sdk-embed-own-0/v1/embeddings", strings.NewReader(`{"model":"up-embed-own","input":"a"}`))
	if err != nil {
		r.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+providerSecret)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data []struct{ Embedding []float64 }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Data) != 1 || len(answer.Data[0].Embedding) != 3 {
		r.Fatalf("%s: %+v %v", resp.Status, answer, err)
	}
	return rounded([][]float64{answer.Data[0].Embedding})
}

// rounded makes numbers that came as decimals equal to those that came as
// float32s.
func rounded(vectors [][]float64) [][]float64 {
	for _, v := range vectors {
		for i := range v {
			v[i] = float64(float32(v[i]))
		}
	}
	return vectors
}

func (r *sdkRun) check(c *sdkCase, got sdkResult) {
	want := c.want
	want.Name = c.Name
	// Refusals are found by their id too; a client that gave up has none.
	if ok := strings.HasPrefix(got.RequestID, "req_"); !ok && (want.Error == nil || want.Error.Status != 0) {
		r.Errorf("%s: request id %q", c.Name, got.RequestID)
	}
	got.RequestID = ""
	for _, e := range []struct{ want, got **sdkError }{{&want.Error, &got.Error}, {&want.Before, &got.Before}} {
		if *e.want == nil || *e.got == nil {
			continue
		}
		w, g := **e.want, **e.got
		w.Class = r.class(w.Class)
		if r.language == "go" && w.Status == 0 && strings.Contains(g.Message, w.Code) {
			g.Code, g.Type = w.Code, w.Type // the Go SDK hands the event on as text
		}
		// Messages are for people; the words that matter are at their begin,
		// behind what the SDK puts in front.
		if strings.Contains(g.Message, w.Message) {
			g.Message = w.Message
		}
		if g.RetryAfter && !w.RetryAfter && w.Status >= 429 {
			g.RetryAfter = false
		}
		*e.want, *e.got = &w, &g
	}
	if want.Text == "…" && len(got.Text) > 3 && strings.HasPrefix("one two three four five six seven eight", got.Text) {
		got.Text = want.Text
	}
	if c.Repeat > 0 && got.Sent > want.Sent {
		got.Sent = want.Sent // slow clients wait more than once
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		r.Errorf("%s (-want +got):\n%s", c.Name, diff)
	}
}

// class is the SDK's own name of a class of errors.
func (r *sdkRun) class(name string) string {
	switch {
	case r.language == "go":
		return ""
	case r.language == "node" && name == "APITimeoutError":
		return "APIConnectionTimeoutError"
	case r.language == "node" && name == "APIStatusError":
		return "APIError"
	}
	return name
}

// checkUpstream compares what reached the provider with what was asked.
func (r *sdkRun) checkUpstream(north *provider, cases []sdkCase) {
	got := map[string]bool{}
	for _, q := range north.recorded() {
		got[canonical(r.T, string(q.Body))] = true
	}
	for _, c := range cases {
		if c.upstream != "" && !got[canonical(r.T, c.upstream)] {
			r.Errorf("%s: the provider did not get\n%s", c.Name, c.upstream)
		}
	}
	if r.Failed() {
		for body := range got {
			r.Logf("the provider got %s", tail(body, 1000))
		}
	}
}

// canonical sorts keys and keeps numbers as they were written.
func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func runPython(t *testing.T, api string, cases []sdkCase) []sdkResult {
	return runScript(t, api, cases, "PYTHONPATH="+os.Getenv("ACCORDO_PYTHON_SDK"), "python3", "client.py")
}

func runNode(t *testing.T, api string, cases []sdkCase) []sdkResult {
	return runScript(t, api, cases, "ACCORDO_NODE_SDK="+os.Getenv("ACCORDO_NODE_SDK"), "node", "client.cjs")
}

// runScript runs a script of testdata/sdk with the cases on its standard
// input.
func runScript(t *testing.T, api string, cases []sdkCase, env, command, script string) []sdkResult {
	t.Helper()
	input, err := json.Marshal(map[string]any{"api": api, "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), sdkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, filepath.Join("testdata", "sdk", script))
	cmd.Env = append(cleanEnv(), env, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	cmd.SysProcAttr, cmd.WaitDelay = childAttributes(), time.Second
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, tail(stderr.String(), 6000))
	}
	var results []sdkResult
	if err := json.Unmarshal(stdout.Bytes(), &results); err != nil {
		t.Fatalf("%s: %v in %s", script, err, stdout.String())
	}
	return results
}

// floats decodes little-endian float32s in base64.
func floats(t *testing.T, encoded string) (v []float64) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw)%4 != 0 {
		t.Fatalf("%q is no list of floats: %v", encoded, err)
	}
	for ; len(raw) > 0; raw = raw[4:] {
		v = append(v, float64(float32At(raw)))
	}
	return v
}
