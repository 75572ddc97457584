package upstreamsim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChat_PlainAnswerIsAnOpenAICompletion(t *testing.T) {
	_, url := start(t, Options{Pools: []PoolOptions{{Name: "azure", OutputTokens: 10}}})
	r := post(t, url+"/pools/azure/v1/chat/completions", hello)
	if r.err != nil || r.status != 200 {
		t.Fatalf("status %d, %v: %s", r.status, r.err, r.body)
	}
	c := decode(t, r.body)
	if !strings.HasPrefix(c.ID, "chatcmpl-") || len(c.ID) != len("chatcmpl-")+29 {
		t.Errorf("id %q", c.ID)
	}
	if c.Object != "chat.completion" || c.Created != fixedTime.Unix() || c.Model != "m" || c.Tier != "default" || !strings.HasPrefix(c.Print, "fp_") {
		t.Errorf("envelope: %+v", c)
	}
	text := *c.Choices[0].Message.Content
	if !strings.HasPrefix(text, "[simulated azure] ") || len(text) != 40 {
		t.Errorf("text %q must be labelled and 40 bytes long", text)
	}
	// "hello there" has 11 bytes: 3 tokens.
	if want := (&usage{Input: 3, Output: 10, Total: 13}); !cmp.Equal(c.Usage, want) {
		t.Error(cmp.Diff(want, c.Usage))
	}
	if *c.Choices[0].Finish != "stop" {
		t.Errorf("finish reason %q", *c.Choices[0].Finish)
	}
}

func TestChat_StreamCarriesThePlainAnswer(t *testing.T) {
	_, url := start(t, Options{})
	plain := decode(t, post(t, url+"/v1/chat/completions", hello).body)
	r := post(t, url+"/v1/chat/completions", helloStream)
	s := readStream(t, r.body)
	if s.text != *plain.Choices[0].Message.Content {
		t.Errorf("streamed %q, plain %q", s.text, *plain.Choices[0].Message.Content)
	}
	if !s.done || s.finish != "stop" || !cmp.Equal(s.usage, plain.Usage) {
		t.Errorf("done %v, finish %q, usage %s", s.done, s.finish, cmp.Diff(plain.Usage, s.usage))
	}
	if got := r.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	last := s.chunks[len(s.chunks)-1]
	if len(last.Choices) != 0 || last.Usage == nil {
		t.Errorf("the last chunk must carry usage alone: %+v", last)
	}
	for i, c := range s.chunks {
		if c.ID != s.chunks[0].ID || c.Object != "chat.completion.chunk" || c.Model != "m" {
			t.Errorf("chunk %d: %+v", i, c)
		}
	}
	if got := strings.Count(r.body, `"usage":null`); got != len(s.chunks)-1 {
		t.Errorf("%d of %d chunks say usage null", got, len(s.chunks)-1)
	}
	bare := post(t, url+"/v1/chat/completions", strings.Replace(helloStream, "true}", "false}", 1))
	if strings.Contains(bare.body, "usage") {
		t.Error("usage was sent without being asked for")
	}
}

func TestChat_SameConversationGivesSameText(t *testing.T) {
	_, one := start(t, Options{Seed: 1})
	_, two := start(t, Options{Seed: 2})
	text := func(url, body string) string {
		return *decode(t, post(t, url+"/v1/chat/completions", body).body).Choices[0].Message.Content
	}
	if a, b := text(one, hello), text(one, strings.Replace(hello, `"m"`, `"m","unknown_field":[1]`, 1)); a != b {
		t.Errorf("options changed the text: %q, %q", a, b)
	}
	if a, b := text(one, hello), text(one, " \n"+strings.Replace(hello, `"messages":`, `"messages" : `, 1)); a != b {
		t.Errorf("white space changed the text: %q, %q", a, b)
	}
	if a, b := text(one, hello), text(two, hello); a == b {
		t.Errorf("the seed did not change the text %q", a)
	}
	if a, b := text(one, hello), text(one, strings.Replace(hello, "there", "you", 1)); a == b {
		t.Errorf("the conversation did not change the text %q", a)
	}
}

const withTools = `,"tools":[{"type":"function","function":{"name":"other"}},{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":3,"maximum":3}},"required":["city"]}}}]`

func request(extra string) string {
	return strings.TrimSuffix(hello, "}") + extra + "}"
}

func TestChat_ToolCalls(t *testing.T) {
	rows := []struct {
		name, script, extra        string
		tool, args, finish, reject string
	}{
		{name: "a forced function is called", extra: withTools + `,"tool_choice":{"type":"function","function":{"name":"weather"}}`, tool: "weather", finish: "stop"},
		{name: "required calls the first", extra: withTools + `,"tool_choice":"required"`, tool: "other", finish: "tool_calls"},
		{name: "the script chooses", script: "tool_calls: [{name: weather, arguments: '{\"city\":\"Ulm\"}'}]", extra: withTools, tool: "weather", args: `{"city":"Ulm"}`, finish: "tool_calls"},
		{name: "auto answers with text", extra: withTools + `,"tool_choice":"auto"`, finish: "stop"},
		{name: "none overrides the script", script: "tool_calls: [{}]", extra: withTools + `,"tool_choice":"none"`, finish: "stop"},
		{name: "no tools, no call", script: "tool_calls: [{}]", finish: "stop"},
		{name: "an unknown forced function is refused", extra: withTools + `,"tool_choice":{"type":"function","function":{"name":"x"}}`, reject: "tool_choice"},
		{name: "required without tools is refused", extra: `,"tool_choice":"required"`, reject: "tool_choice"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			o := Options{}
			if row.script != "" {
				o.Script = always(t, row.script)
			}
			s, url := start(t, o)
			r := post(t, url+"/v1/chat/completions", request(row.extra))
			c := decode(t, r.body)
			if row.reject != "" {
				if r.status != 400 || c.Error == nil || *c.Error.Param != row.reject {
					t.Fatalf("%d %s", r.status, r.body)
				}
				return
			}
			m := c.Choices[0].Message
			if *c.Choices[0].Finish != row.finish {
				t.Errorf("finish %q, want %q", *c.Choices[0].Finish, row.finish)
			}
			st := readStream(t, post(t, url+"/v1/chat/completions", request(`,"stream":true`+row.extra)).body)
			if row.tool == "" {
				if len(m.Calls) != 0 || m.Content == nil {
					t.Errorf("want text: %s", r.body)
				}
				return
			}
			if m.Content != nil || len(m.Calls) != 1 || m.Calls[0].Function.Name != row.tool || m.Calls[0].Type != "function" {
				t.Fatalf("message %+v", m)
			}
			args := m.Calls[0].Function.Arguments
			if !json.Valid([]byte(args)) || row.args != "" && args != row.args {
				t.Errorf("arguments %s", args)
			}
			if st.name != row.tool || st.args != args || st.finish != row.finish {
				t.Errorf("stream says %q %s %q", st.name, st.args, st.finish)
			}
			lines := invoiceLines(t, s)
			if want := tokens(len(row.tool) + len(args)); lines[0].Output != want || lines[1].Output != want {
				t.Errorf("billed %d and %d, want %d", lines[0].Output, lines[1].Output, want)
			}
		})
	}
}

func TestChat_StructuredOutputFitsTheSchema(t *testing.T) {
	schema := `{"type":"object","properties":{"kind":{"enum":["a","b"]},"n":{"type":"integer","minimum":5,"maximum":9},"list":{"type":"array","items":{"$ref":"#/$defs/item"},"minItems":2},"either":{"anyOf":[{"type":"boolean"}]},"fixed":{"const":7}},"$defs":{"item":{"type":["string","null"],"maxLength":4}}}`
	_, url := start(t, Options{})
	c := decode(t, post(t, url+"/v1/chat/completions", request(`,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":`+schema+`}}`)).body)
	var v struct {
		Kind   string   `json:"kind"`
		N      int      `json:"n"`
		List   []string `json:"list"`
		Either *bool    `json:"either"`
		Fixed  int      `json:"fixed"`
	}
	if err := json.Unmarshal([]byte(*c.Choices[0].Message.Content), &v); err != nil {
		t.Fatal(err)
	}
	if v.Kind != "a" && v.Kind != "b" || v.N < 5 || v.N > 9 || len(v.List) != 2 || len(v.List[0]) > 4 || v.Either == nil || v.Fixed != 7 {
		t.Errorf("%s", *c.Choices[0].Message.Content)
	}
	c = decode(t, post(t, url+"/v1/chat/completions", request(`,"response_format":{"type":"json_object"}`)).body)
	if !json.Valid([]byte(*c.Choices[0].Message.Content)) {
		t.Errorf("%s", *c.Choices[0].Message.Content)
	}
	// A schema that refers to itself must end.
	loop := `{"type":"object","properties":{"again":{"$ref":"#"},"more":{"type":"array","items":{"$ref":"#"},"minItems":16}}}`
	r := post(t, url+"/v1/chat/completions", request(`,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":`+loop+`}}`))
	if c = decode(t, r.body); !json.Valid([]byte(*c.Choices[0].Message.Content)) {
		t.Error("a schema that refers to itself gives broken JSON")
	}
}

func TestChat_LengthAndTokens(t *testing.T) {
	rows := []struct {
		name, extra, script string
		want                usage
		text                int
		finish              string
	}{
		{name: "the client's maximum cuts", extra: `,"max_completion_tokens":4`, want: usage{Input: 3, Output: 4, Total: 7}, text: 16, finish: "length"},
		{name: "the newer key wins", extra: `,"max_completion_tokens":4,"max_tokens":2`, want: usage{Input: 3, Output: 4, Total: 7}, text: 16, finish: "length"},
		{name: "several choices add up", extra: `,"n":3`, want: usage{Input: 3, Output: 144, Total: 147}, text: 192, finish: "stop"},
		{name: "an exact text is counted", script: `text: "grüße"`, want: usage{Input: 3, Output: 2, Total: 5}, text: 7, finish: "stop"},
		{name: "an exact text is cut between runes", script: `text: "abcü"`, extra: `,"max_tokens":1`, want: usage{Input: 3, Output: 1, Total: 4}, text: 3, finish: "length"},
		{name: "a scripted length", script: `output_tokens: 9`, want: usage{Input: 3, Output: 9, Total: 12}, text: 36, finish: "stop"},
		{name: "a scripted finish reason", script: `finish_reason: content_filter`, want: usage{Input: 3, Output: 48, Total: 51}, text: 192, finish: "content_filter"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			o := Options{}
			if row.script != "" {
				o.Script = always(t, row.script)
			}
			s, url := start(t, o)
			r := post(t, url+"/v1/chat/completions", request(row.extra))
			c := decode(t, r.body)
			if !cmp.Equal(*c.Usage, row.want) {
				t.Error(cmp.Diff(row.want, *c.Usage))
			}
			if got := *c.Choices[0].Message.Content; len(got) != row.text || *c.Choices[0].Finish != row.finish {
				t.Errorf("text %q, finish %q", got, *c.Choices[0].Finish)
			}
			post(t, url+"/v1/chat/completions", request(`,"stream":true`+row.extra))
			for _, l := range invoiceLines(t, s) {
				if l.UncachedInput != row.want.Input || l.Output != row.want.Output || l.Status != StatusComplete {
					t.Errorf("billed %+v", l)
				}
			}
		})
	}
}

func TestChat_CacheAndReasoningDoNotOverlapOnTheInvoice(t *testing.T) {
	s, url := start(t, Options{Script: always(t, "cache_read_tokens: 2, cache_write_tokens: 50, reasoning_tokens: 7, output_tokens: 5, service_tier: flex, model: m-2030")})
	c := decode(t, post(t, url+"/v1/chat/completions", strings.Replace(hello, "hello there", "hello there, friend", 1), "x-accordo-attempt", "a-1").body)
	want := usage{Input: 5, Output: 12, Total: 17}
	want.Details.Cached, want.Details.Write, want.OutputDetails.Reasoning = 2, 3, 7
	if !cmp.Equal(*c.Usage, want) {
		t.Error(cmp.Diff(want, *c.Usage))
	}
	if c.Tier != "flex" || c.Model != "m-2030" {
		t.Errorf("tier %q, model %q", c.Tier, c.Model)
	}
	got := invoiceLines(t, s)[0]
	got.RequestID = ""
	line := Line{AttemptID: "a-1", Pool: "default", Model: "m", CacheRead: 2, CacheWrite: 3, Output: 5, Reasoning: 7, Tier: "flex", Status: StatusComplete, At: fixedTime}
	if !cmp.Equal(got, line) {
		t.Error(cmp.Diff(line, got))
	}
}

func TestCountInput_FollowsTheDeclaredRule(t *testing.T) {
	rows := []struct {
		name, messages string
		want           int64
	}{
		{"text is bytes by four rounded up", `[{"role":"user","content":"12345"}]`, 2},
		{"messages are counted together", `[{"role":"system","content":"12"},{"role":"user","content":"34"}]`, 1},
		{"escapes count as what they stand for", `[{"role":"user","content":"\u00e9\n\n"}]`, 1},
		{"parts and images", `[{"role":"user","content":[{"type":"text","text":"1234"},{"type":"image_url","image_url":{"url":"data:x"}}]}]`, 86},
		{"tool calls of the past", `[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"ab","arguments":"{}"}}]}]`, 1},
		{"something is always read", `[{}]`, 1},
	}
	s := newServer(t, Options{})
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			q, fail := s.decodeChat([]byte(`{"model":"m","messages":` + row.messages + `}`))
			if fail != nil || q.input != row.want {
				t.Errorf("got %+v, %v, want %d", q, fail, row.want)
			}
		})
	}
}

func TestChat_RefusesLikeAProvider(t *testing.T) {
	o := Options{MaxBodyBytes: 4096, Pools: []PoolOptions{{Name: "p", Models: []string{"m"}, APIKey: "sk-right"}}}
	s, url := start(t, o)
	rows := []struct {
		name, path, body, key string
		status                int
		code                  string
	}{
		{"wrong key", "/v1/chat/completions", hello, "sk-wrong", 401, "invalid_api_key"},
		{"broken JSON", "/v1/chat/completions", `{"model":`, "", 400, ""},
		{"not an object", "/v1/chat/completions", `[1]`, "", 400, ""},
		{"no model", "/v1/chat/completions", `{"messages":[{}]}`, "", 400, ""},
		{"no messages", "/v1/chat/completions", `{"model":"m"}`, "", 400, ""},
		{"empty messages", "/v1/chat/completions", `{"model":"m","messages":[]}`, "", 400, ""},
		{"maximum of zero", "/v1/chat/completions", request(`,"max_tokens":0`), "", 400, ""},
		{"too many choices", "/v1/chat/completions", request(`,"n":99`), "", 400, ""},
		{"unknown model", "/v1/chat/completions", strings.Replace(hello, `"m"`, `"x"`, 1), "", 404, "model_not_found"},
		{"unknown URL", "/v1/answers", hello, "", 404, "unknown_url"},
		{"wrong method", "/v1/models", hello, "", 405, "method_not_supported"},
		{"unknown pool", "/pools/q/v1/chat/completions", hello, "", 404, "unknown_pool"},
		{"body over the limit", "/v1/chat/completions", strings.Repeat(" ", 5000), "", 413, ""},
		{"empty embedding", "/v1/embeddings", `{"model":"m","input":""}`, "", 400, ""},
		{"unknown embedding format", "/v1/embeddings", `{"model":"m","input":"x","encoding_format":"hex"}`, "", 400, ""},
		{"embedding too long", "/v1/embeddings", `{"model":"m","input":"x","dimensions":99999}`, "", 400, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := post(t, url+row.path, row.body, "Authorization", "Bearer "+orDefault(row.key, "sk-right"))
			c := decode(t, r.body)
			if r.status != row.status || c.Error == nil || c.Error.Message == "" || deref(c.Error.Code) != row.code {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	if r := post(t, url+"/v1/chat/completions", hello, "Authorization", "Bearer sk-right", "x-accordo-attempt", strings.Repeat("a", 200)); r.status != 400 {
		t.Errorf("a long attempt id: status %d", r.status)
	}
	if lines := invoiceLines(t, s); len(lines) != 0 {
		t.Errorf("refusals were billed: %+v", lines)
	}
}

func TestEmbeddings_AreDeterministicInBothEncodings(t *testing.T) {
	s, url := start(t, Options{})
	fetch := func(extra string) (vectors []json.RawMessage, u usage) {
		r := post(t, url+"/v1/embeddings", `{"model":"e","input":["hello","world"],"dimensions":8`+extra+`}`)
		var v struct {
			Data []struct {
				Index     int
				Embedding json.RawMessage
			}
			Usage usage
		}
		if err := json.Unmarshal([]byte(r.body), &v); err != nil || len(v.Data) != 2 {
			t.Fatalf("%v: %s", err, r.body)
		}
		return []json.RawMessage{v.Data[0].Embedding, v.Data[1].Embedding}, v.Usage
	}
	floats, u := fetch("")
	again, _ := fetch(`,"encoding_format":"float"`)
	encoded, _ := fetch(`,"encoding_format":"base64"`)
	if !cmp.Equal(floats, again) || cmp.Equal(floats[0], floats[1]) {
		t.Error("vectors must depend on the input alone")
	}
	if u.Input != 4 || u.Total != 4 {
		t.Errorf("usage %+v", u)
	}
	var v []float32
	var text string
	if err := json.Unmarshal(floats[0], &v); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded[0], &text); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != 32 {
		t.Fatalf("%v, %d bytes", err, len(raw))
	}
	var norm float64
	for i, x := range v {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); got != x {
			t.Errorf("element %d: %v and %v", i, got, x)
		}
		norm += float64(x) * float64(x)
	}
	if math.Abs(norm-1) > 1e-5 {
		t.Errorf("norm %v", norm)
	}
	if r := post(t, url+"/v1/embeddings", `{"model":"e","input":[1,2,3]}`); r.status != 200 || !strings.Contains(r.body, `"prompt_tokens":3`) {
		t.Errorf("token input: %d", r.status)
	}
	if lines := invoiceLines(t, s); len(lines) != 4 || lines[0].UncachedInput != 4 || lines[0].Output != 0 {
		t.Errorf("billed %+v", lines)
	}
}

func TestModels_ListsWhatThePoolHas(t *testing.T) {
	_, url := start(t, Options{Pools: []PoolOptions{{Name: "a", Models: []string{"x", "y"}}, {Name: "b"}}})
	if r := get(t, url+"/v1/models"); !strings.Contains(r.body, `{"id":"x","object":"model",`) || strings.Count(r.body, `"object":"model"`) != 2 {
		t.Errorf("%s", r.body)
	}
	if r := get(t, url+"/pools/b/v1/models"); !strings.Contains(r.body, `"data":[]`) {
		t.Errorf("%s", r.body)
	}
	if r := get(t, url+"/v1/models/y"); r.status != 200 {
		t.Errorf("%d", r.status)
	}
	if r := get(t, url+"/v1/models/z"); r.status != 404 {
		t.Errorf("%d", r.status)
	}
	for _, path := range []string{"/healthz", "/pools/b/healthz"} {
		if r := get(t, url+path); r.body != "ok\n" {
			t.Errorf("%s: %q", path, r.body)
		}
	}
}

func TestAppendString_IsReadBackByJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\\n\t\x00\x7f", "grüße 漢字 🙂", "<&>\u2028"} {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil || got != s {
			t.Errorf("%q came back as %q, %v", s, got, err)
		}
	}
	if got := string(appendString(nil, "a\xffb")); got != "\"a\ufffdb\"" {
		t.Errorf("invalid UTF-8 gives %s", got)
	}
}
