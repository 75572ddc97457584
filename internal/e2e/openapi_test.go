package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// strictStart bounds the time in which the strict upstream reads its
// description on a busy machine.
const strictStart = 90 * time.Second

// strict is a server made of OpenAI's own description of its API, which
// refuses every request that does not fit it. It sits behind a proxy that
// notes its verdicts.
type strict struct {
	t   *testing.T
	url string // of the proxy

	mu       sync.Mutex
	verdicts []verdict
}

// verdict is what the strict upstream said of one request.
type verdict struct {
	path, body string
	valid      bool
	why        string
}

func startStrict(t *testing.T) *strict {
	t.Helper()
	sdk := need(t, "ACCORDO_NODE_SDK", "`make deps` installs the strict upstream beside the Node SDK")
	description := need(t, "ACCORDO_OPENAI_SPEC", "it names OpenAI's API description (openapi.yaml of github.com/openai/openai-openapi)")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	// The program itself: the script in .bin would leave it behind when killed.
	programs, err := filepath.Glob(filepath.Join(sdk, "node_modules", "@stdy", "cli-*", "bin", "steady"))
	if err != nil || len(programs) != 1 {
		t.Fatalf("one program of the strict upstream is expected below %s: %v %v", sdk, programs, err)
	}
	cmd := exec.Command(programs[0], "--port", port, "--reject-on-sdk-error", "--no-color", "--log=false", description)
	cmd.Env, cmd.SysProcAttr = append(os.Environ(), "NO_COLOR=1"), childAttributes()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	target, err := url.Parse("http://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, strictStart, "the strict upstream does not answer", func() bool {
		select {
		case <-ended:
			t.Fatalf("the strict upstream ended:\n%s", tail(out.String(), 4000))
		default:
		}
		resp, err := http.Get(target.String() + "/models")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	s := &strict{t: t}
	proxy := httptest.NewServer(s.proxy(target))
	t.Cleanup(proxy.Close)
	s.url = proxy.URL
	return s
}

// proxy notes what the description makes of each request that passes.
func (s *strict) proxy(target *url.URL) http.Handler {
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/v1")
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			s.t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		kept := httptest.NewRecorder()
		p.ServeHTTP(kept, r)
		v := verdict{path: r.URL.Path, body: string(body), valid: kept.Code == http.StatusOK && kept.Header().Get("X-Steady-Request-Valid") == "true"}
		if !v.valid {
			v.why = kept.Body.String()
		}
		s.mu.Lock()
		s.verdicts = append(s.verdicts, v)
		s.mu.Unlock()
		for name, values := range kept.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(kept.Code)
		_, _ = w.Write(kept.Body.Bytes())
	})
}

// take returns the verdicts since the last call.
func (s *strict) take() []verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.verdicts
	s.verdicts = nil
	return v
}

// strictCases are requests in which every kind of parameter occurs.
func strictCases() []sdkCase {
	conversation := `[{"role":"developer","content":"Be brief.","name":"dev"},{"role":"system","content":[{"type":"text","text":"Be kind."}]},` +
		`{"role":"user","content":"Weather?","name":"ada"},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Bern\"}"}}]},` +
		`{"role":"tool","tool_call_id":"call_1","content":"rain"},{"role":"assistant","content":"Rain.","refusal":null},{"role":"user","content":"And tomorrow?"}]`
	media := `[{"role":"user","content":[{"type":"text","text":"Look and listen."},{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"high"}},` +
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},` +
		`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}}]}]`
	var list []sdkCase
	add := func(call, params string) {
		list = append(list, sdkCase{Name: params, Call: call, Key: keyOpen, Params: json.RawMessage(params)})
	}
	for _, rest := range []string{
		``,
		`,"stream":false`,
		`,"max_completion_tokens":12,"temperature":0,"top_p":0.5,"n":2,"seed":-7,"stop":"END","presence_penalty":-1.5,"frequency_penalty":2`,
		`,"max_tokens":12,"stop":["a","b"],"logit_bias":{"50256":-100},"user":"u-1","store":true,"metadata":{"team":"a"}`,
		`,"logprobs":true,"top_logprobs":3,"service_tier":"flex","reasoning_effort":"low","verbosity":"low","safety_identifier":"s","prompt_cache_key":"k"`,
		`,"tools":` + toolsJSON + `,"tool_choice":{"type":"function","function":{"name":"clock"}},"parallel_tool_calls":false`,
		`,"tools":` + toolsJSON + `,"tool_choice":"required"`,
		`,"response_format":` + format,
		`,"response_format":{"type":"json_object"}`,
		`,"prediction":{"type":"content","content":"hello world"},"modalities":["text"]`,
		`,"web_search_options":{"search_context_size":"low"}`,
	} {
		add("chat", `{"model":"chat-1","messages":`+hello+rest+`}`)
	}
	add("stream", `{"model":"chat-1","messages":`+hello+`,"tools":`+toolsJSON+`}`)
	add("chat", `{"model":"chat","messages":`+conversation+`,"tools":`+toolsJSON+`}`)
	add("chat", `{"model":"chat-1","messages":`+media+`}`)
	for _, input := range []string{`"one"`, `["one","two"]`, `[1,2,3]`, `[[1,2],[3]]`} {
		add("embeddings", `{"model":"embed-1","input":`+input+`,"encoding_format":"float","dimensions":8,"user":"u"}`)
	}
	return list
}

// strictTerms let one pool at the strict upstream serve everything.
func strictTerms(address string) string {
	return fmt.Sprintf(`
remove: [north-floor-a, north-list-a, south-reserved-a, south-list-a, north-chat, north-kept, north-embed, south-chat, south-embed]
pools:
  - {id: strict, provider: north, region: us-east-1, residency: US, contract: north-payg, billed_by: token, max_in_flight: 8, claim: [paper],
     models: [{model: chat-1, upstream_name: gpt-4o}, {model: embed-1, upstream_name: text-embedding-3-small}],
     endpoint: {url: "%s/v1", dialect: openai, secret: ACCORDO_SECRET_TEST}}
prices:
  - {id: strict-chat, pools: [strict], model: chat-1, from: 2026-01-01, list: {input: 2, output: 8}, claim: [paper]}
  - {id: strict-embed, pools: [strict], model: embed-1, from: 2026-01-01, list: {input: 1, output: 0}, claim: [paper]}
`, address)
}

// TestOpenAPI_RejectsNothingThatTheSDKsSend puts OpenAI's own description of
// its API behind the gateway: what arrives there must be what it describes.
func TestOpenAPI_RejectsNothingThatTheSDKsSend(t *testing.T) {
	t.Parallel()
	up := startStrict(t)
	t.Run("a mangled request is rejected", func(t *testing.T) {
		for _, mangled := range []string{
			`{"model":"gpt-4o","messages":` + hello + `,"max_completion_tokens":"256"}`,
			`{"model":"gpt-4o"}`,
			`{"model":"gpt-4o","messages":` + hello + `,"response_format":{"type":"json_schema"}}`,
		} {
			resp, err := http.Post(up.url+"/v1/chat/completions", "application/json", strings.NewReader(mangled))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if v := up.take(); len(v) != 1 || v[0].valid || resp.StatusCode == http.StatusOK {
				t.Errorf("%s passed: %s %+v", mangled, resp.Status, v)
			}
		}
	})
	d := deploy(t, setup{north: &provider{address: "127.0.0.1:1"}, south: &provider{address: "127.0.0.1:1"}, more: strictTerms(up.url)})
	for _, sdk := range []struct {
		name, variable string
		run            func(t *testing.T, api string, cases []sdkCase) []sdkResult
	}{{"go", "", runGo}, {"python", "ACCORDO_PYTHON_SDK", runPython}, {"node", "ACCORDO_NODE_SDK", runNode}} {
		t.Run(sdk.name, func(t *testing.T) {
			if sdk.variable != "" {
				need(t, sdk.variable, "`make deps` installs it")
			}
			cases := strictCases()
			for i, r := range sdk.run(t, d.api, cases) {
				// It answers a wish for a stream with plain JSON: only what it
				// makes of the request counts.
				if r.Error != nil && cases[i].Call != "stream" {
					t.Errorf("%s: %+v", cases[i].Name, r.Error)
				}
			}
			verdicts := up.take()
			for _, v := range verdicts {
				if !v.valid {
					t.Errorf("%s rejected\n%s\nbecause %s", v.path, v.body, tail(v.why, 1500))
				}
			}
			if len(verdicts) != len(cases) {
				t.Errorf("%d requests arrived of %d", len(verdicts), len(cases))
			}
		})
	}
}
