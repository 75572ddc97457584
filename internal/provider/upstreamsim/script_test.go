package upstreamsim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const fullScript = `# every key once
version: 1
seed: 7
pools:
  - name: azure-ptu
    models: [m, n]
    api_key: sk-x
    ttft_base: 250ms
    input_tokens_per_second: 20_000
    output_tokens_per_second: 80
    tokens_per_chip_second: 1500.5
    chips: 64
    scale: 0.001
    burst: 1s
    max_concurrent: 8
    max_queue: 16
    output_tokens: 100
    tokens_per_chunk: 2
    embedding_size: 256
rules:
  - name: refused
    pool: azure-ptu
    model: m
    endpoint: chat
    stream: true
    nth: 3
    first: 9
    every: 3
    probability: 0.25
    action: {status: 429, retry_after: "2", headers: {X-A: b}, error_message: a, error_type: b, error_code: c, error_param: d}
  - action:
      text: |
        two
        lines
      finish_reason: length
      usage: {input: -1, output: 2, total: 3, cache_read: 4, reasoning: 5}
      cut_at_byte: 0
      stall_first_byte: 1s
      stall_after_chunk: 2
      stall_for: 3s
      chunk_delay: 4ms
      content_length_delta: -5
      omit_done: true
  - action: {tool_calls: [{name: f, arguments: "{}"}], cache_read_tokens: 1, cache_write_tokens: 2, reasoning_tokens: 3, service_tier: flex, model: z, output_tokens: 6}
  - action: {body: "{}", content_type: text/plain, reset_at_byte: 9}
  - action: {endless: true, endless_chunks: 5, usage_missing: true}
  - action: {status: 503, retry_after_date: 1m, refuse: false, answer_early: true}
  - action: {error_after_chunk: 2}
`

func TestParseConfig_ReadsEveryKey(t *testing.T) {
	cfg, err := ParseConfig("full.yaml", []byte(fullScript))
	if err != nil {
		t.Fatal(err)
	}
	wantPool := PoolOptions{
		Name: "azure-ptu", Models: []string{"m", "n"}, APIKey: "sk-x", TTFTBase: 250 * time.Millisecond,
		InputTokensPerSecond: 20000, OutputTokensPerSecond: 80, TokensPerChipSecond: 1500.5, Chips: 64, Scale: 0.001,
		Burst: time.Second, MaxConcurrent: 8, MaxQueue: 16, OutputTokens: 100, TokensPerChunk: 2, EmbeddingSize: 256,
	}
	want := &Config{Pools: []PoolOptions{wantPool}, Script: &Script{Seed: 7, Rules: []Rule{
		{
			Name: "refused", Pool: "azure-ptu", Model: "m", Endpoint: "chat", Stream: ptr(true), Nth: 3, First: 9, Every: 3, Probability: ptr(0.25),
			Action: Action{Status: 429, RetryAfter: "2", Headers: map[string]string{"X-A": "b"}, ErrorMessage: "a", ErrorType: "b", ErrorCode: "c", ErrorParam: "d"},
		},
		{Action: Action{
			Text: ptr("two\nlines\n"), FinishReason: "length",
			Usage:     WireUsage{Input: ptr(int64(-1)), Output: ptr(int64(2)), Total: ptr(int64(3)), CacheRead: ptr(int64(4)), Reasoning: ptr(int64(5))},
			CutAtByte: ptr(int64(0)), StallFirstByte: time.Second, StallAfterChunk: 2, StallFor: 3 * time.Second, ChunkDelay: 4 * time.Millisecond,
			ContentLengthDelta: -5, OmitDone: true,
		}},
		{Action: Action{ToolCalls: []ToolCall{{"f", "{}"}}, CacheReadTokens: 1, CacheWriteTokens: 2, ReasoningTokens: 3, ServiceTier: "flex", Model: "z", OutputTokens: 6}},
		{Action: Action{Body: ptr("{}"), ContentType: "text/plain", ResetAtByte: ptr(int64(9))}},
		{Action: Action{Endless: true, EndlessChunks: 5, UsageMissing: true}},
		{Action: Action{Status: 503, RetryAfterDate: time.Minute, AnswerEarly: true}},
		{Action: Action{ErrorAfterChunk: 2}},
	}}}
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Error(diff)
	}
}

func TestParseConfig_TakesJSON(t *testing.T) {
	cfg, err := ParseConfig("s.json", []byte("{\n\t\"rules\": [\n\t\t{\"every\": 2, \"action\": {\"status\": 500, \"error_message\": \"a\\tb \\u00e9\"}}\n\t]\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{{Every: 2, Action: Action{Status: 500, ErrorMessage: "a\tb é"}}}
	if diff := cmp.Diff(want, cfg.Script.Rules); diff != "" {
		t.Error(diff)
	}
	for _, empty := range []string{"", "# nothing\n", "{}"} {
		if cfg, err := ParseConfig("e", []byte(empty)); err != nil || cfg.Script == nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestParseConfig_ReportsFaultsWithPlaceAndHint(t *testing.T) {
	rows := []struct {
		name, text string
		want       []string
	}{
		{"unknown key near a known one", "rules:\n  - action:\n      statu: 500\n", []string{`s:3:7: unknown key "statu" in an action: did you mean "status"?`}},
		{"unknown key near none", "zzzzzzzz: 1\n", []string{`s:1:1: unknown key "zzzzzzzz" in the file: known keys are pools, rules, seed, version`}},
		{"all faults at once", "rules:\n  - nth: 0\n    action: {status: 200, cut_at_byte: x}\n  - model: m\n", []string{
			"s:2:10: 0 matches nothing: count from 1", "s:3:40: expected a whole number", "s:4:5: the rule has no action",
		}},
		{"a status that no provider sends", "rules: [{action: {status: 302}}]", []string{"s:1:19: status: 302 is not an answer of a provider: write 200 or 400 to 599"}},
		{"a duration without a unit", "rules: [{action: {chunk_delay: 5}}]", []string{"s:1:32: expected a duration with its unit, such as 250ms or 3s"}},
		{"probability above one", "rules: [{probability: 2, action: {}}]", []string{"probability: 2 is out of range: write 0 to 1"}},
		{"unknown endpoint", "rules: [{endpoint: chats, action: {}}]", []string{`endpoint: "chats" is unknown: write one of chat, embeddings, models`}},
		{"early and by model", "rules: [{model: m, action: {answer_early: true}}]", []string{"remove that filter"}},
		{"text and tool calls", "rules: [{action: {text: a, tool_calls: [{}]}}]", []string{"text and tool_calls exclude each other: keep one"}},
		{"stall without a length", "rules: [{action: {stall_after_chunk: 2}}]", []string{"write both"}},
		{"error words without an error", "rules: [{action: {error_code: a}}]", []string{"an error object needs a status"}},
		{"a body file over the wire", "rules: [{action: {body_file: x}}]", []string{"write its content under body"}},
		{"wrong version", "version: 2\n", []string{"s:1:10: version 2 is unknown: write 1"}},
		{"a key twice", "seed: 1\nseed: 2\n", []string{"s:2:1:"}},
		{"a list where a mapping is due", "[]", []string{"s:1:1: the file must be a mapping"}},
		{"an alias", "rules: &a\n  - *a\n", []string{"must be a list"}},
		{"two documents", "{}\n---\n{}\n", []string{"keep one"}},
		{"deep nesting", strings.Repeat("[", 5000), []string{"s:1: more than 64 levels"}},
		{"deep nesting of dashes", strings.Repeat("- ", 5000), []string{"s:1: more than 64 levels"}},
		{"a pool out of range", "pools: [{name: a b}]", []string{`pool name "a b" is not usable`}},
		{"too large", strings.Repeat("#", maxScriptBytes+1), []string{"move long bodies to body_file"}},
		{"broken YAML", "rules: [", []string{"s:1:8: not valid YAML"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := ParseConfig("s", []byte(row.text))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestLoadConfig_BodyFilesStayInTheirDirectory(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../secret", filepath.Join(sub, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../secret", "link", "missing", filepath.Join(dir, "secret")} {
		name := filepath.Join(sub, "script.yaml")
		if err := os.WriteFile(name, []byte("rules: [{action: {body_file: '"+path+"'}}]"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(name); err == nil || !strings.Contains(err.Error(), "script.yaml:1:") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestRules_CountAndChoose(t *testing.T) {
	rows := []struct {
		name, rules, want string // want has one letter a request: x fires.
	}{
		{"nth", "{nth: 3, action: {status: 500}}", "..x....."},
		{"first", "{first: 2, action: {status: 500}}", "xx......"},
		{"every", "{every: 3, action: {status: 500}}", "..x..x.."},
		{"first and every", "{first: 5, every: 2, action: {status: 500}}", ".x.x...."},
		{"the first rule that fires wins", "{nth: 1, action: {}}, {first: 2, action: {status: 500}}", ".xx....."},
		{"another model", "{model: other, action: {status: 500}}", "........"},
		{"another pool", "{pool: b, action: {status: 500}}", "........"},
		{"streams only", "{stream: true, action: {status: 500}}", "........"},
		{"embeddings only", "{endpoint: embeddings, action: {status: 500}}", "........"},
		{"never by chance", "{probability: 0, action: {status: 500}}", "........"},
		{"always by chance", "{probability: 1, action: {status: 500}}", "xxxxxxxx"},
		{"plain answers of this model", "{pool: a, model: m, endpoint: chat, stream: false, action: {status: 500}}", "xxxxxxxx"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, url := start(t, Options{Pools: []PoolOptions{{Name: "a"}, {Name: "b"}}, Script: script(t, "rules: ["+row.rules+"]")})
			var got strings.Builder
			for range row.want {
				if post(t, url+"/pools/a/v1/chat/completions", hello).status == 500 {
					got.WriteByte('x')
				} else {
					got.WriteByte('.')
				}
			}
			if got.String() != row.want {
				t.Errorf("fired at %s, want %s", got.String(), row.want)
			}
		})
	}
}

func TestRules_ProbabilityIsASeededShare(t *testing.T) {
	fired := func(seed uint64) (string, int) {
		l := newLiveScript(&Script{Seed: seed, Rules: []Rule{{Probability: ptr(0.3)}}})
		var b strings.Builder
		n := 0
		for range 10_000 {
			if l.pick(&subject{}) != nil {
				b.WriteByte('x')
				n++
			} else {
				b.WriteByte('.')
			}
		}
		return b.String(), n
	}
	one, n := fired(1)
	again, _ := fired(1)
	two, _ := fired(2)
	if one != again || one == two {
		t.Error("the choice must follow the seed")
	}
	if n < 2800 || n > 3200 {
		t.Errorf("fired %d times of 10000 at 0.3", n)
	}
}

func TestControl_ScriptChangesAtRunTime(t *testing.T) {
	_, url := start(t, Options{})
	status := func() int { return post(t, url+"/v1/chat/completions", hello).status }
	if status() != 200 {
		t.Error("no script, yet refused")
	}
	if r := post(t, url+"/script", "rules:\n- name: down\n  every: 2\n  action: {status: 503}\n"); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if a, b := status(), status(); a != 200 || b != 503 {
		t.Errorf("got %d, %d", a, b)
	}
	if r := get(t, url+"/script"); r.body != `{"pools":["default"],"rules":[{"name":"down","matched":2,"fired":1}]}`+"\n" {
		t.Errorf("%s", r.body)
	}
	if r := post(t, url+"/script", "rules: [{action: {statsu: 1}}]"); r.status != 400 || !strings.Contains(r.body, `script:1:19: unknown key "statsu"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := post(t, url+"/script", "rules: [{pool: x, action: {}}]"); r.status != 400 || !strings.Contains(r.body, "write one of default") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := post(t, url+"/script", "pools: [{name: x}]"); r.status != 400 || !strings.Contains(r.body, "fixed when the server starts") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := post(t, url+"/script", strings.Repeat(" ", maxScriptBytes+1)); r.status != 413 {
		t.Errorf("a large script: %d", r.status)
	}
	if r := post(t, url+"/script", "rules: []", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); r.status != 403 {
		t.Errorf("a page of another origin changed the script: %d", r.status)
	}
	if r := get(t, url+"/script"); !strings.Contains(r.body, "down") {
		t.Error("a bad script must leave the old one in force")
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(fullScript)
	f.Add(`{"rules":[{"action":{"status":500}}]}`)
	f.Add("rules:\n- action: {text: \"\\u00e9\"}\n")
	f.Add("rules: &a [*a]")
	f.Add("? a\n: b\n")
	f.Add("%YAML 1.2\n--- !!map {a: !!str b, <<: {}}")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := ParseConfig("fuzz", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz:") {
				t.Errorf("error without a place: %v", err)
			}
			return
		}
		// What the parser accepts, a server accepts; pool names may still clash.
		if err := cfg.Script.validate(); err != nil {
			t.Errorf("accepted, but invalid: %v", err)
		}
		for _, p := range cfg.Pools {
			if err := p.validate(); err != nil {
				t.Errorf("accepted, but invalid: %v", err)
			}
		}
	})
}

func FuzzChatBody(f *testing.F) {
	f.Add(hello)
	f.Add(helloStream)
	f.Add(request(withTools + `,"tool_choice":"required"`))
	f.Add(request(`,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"number","minimum":1e308,"maximum":-1}}}`))
	f.Add(`{"model":"m","messages":[{"content":[{"text":"a"},1,null]}],"n":2}`)
	s := newServer(f, Options{MaxInvoiceLines: 4})
	f.Fuzz(func(t *testing.T, body string) {
		w := call1(t.Context(), s, body)
		if w.status != 200 && w.status != 400 {
			t.Fatalf("status %d for %q", w.status, body)
		}
		if w.status == 200 && strings.HasPrefix(w.header.Get("Content-Type"), "text/event-stream") {
			if st := readStream(t, w.body.String()); !st.done || st.finish == "" {
				t.Fatalf("stream without an end: %q", w.body.String())
			}
			return
		}
		decode(t, w.body.String())
	})
}
