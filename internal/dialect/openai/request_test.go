package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScan_FindsWhatMatters(t *testing.T) {
	body := `{"messages":[{"role":"user","content":[{"type":"text","text":"héllo \u00e9"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]}],` +
		` "model" : "m:flow" , "stream":true,"stream_options":{"include_usage":true,"x":1},"max_completion_tokens":77,"n":2,"user":"u","service_tier":"flex","tools":[{"type":"function"}],"new_field":{"a":[1,2.5e3,null]}}`
	r, e := Scan(Chat, []byte(body))
	if e != nil {
		t.Fatal(e)
	}
	got := []any{r.Model, r.Stream, r.IncludeUsage, r.MaxOutput, r.Choices, r.User, r.ServiceTier, r.Tools, r.Images, r.TextBytes}
	want := []any{"m:flow", true, true, int64(77), int64(2), "u", "flex", true, int64(1), int64(len(body) - len(`"data:image/png;base64,AAAA"`))}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestScan_RefusesWithTheParameter(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	rows := []struct {
		name, body, param, code, says string
	}{
		{"not an object", `[]`, "", "", "must be a JSON object"},
		{"empty", ``, "", "", "must be a JSON object"},
		{"cut", `{"model":"m","messages":[{"role"`, "", "", "parse the JSON body"},
		{"something after the end", `{"model":"m","messages":[{}]} x`, "", "", "follows the end"},
		{"trailing comma", `{"model":"m","messages":[{}],}`, "", "", "parse the JSON body"},
		{"trailing comma in an array", `{"model":"m","messages":[{},]}`, "", "", "parse the JSON body"},
		{"number with leading zero", `{"model":"m","messages":[{}],"x":01}`, "", "", "must not start with 0"},
		{"control character", "{\"model\":\"m\n\",\"messages\":[{}]}", "", "", "control character"},
		{"bad escape", `{"model":"m\x","messages":[{}]}`, "", "", "escape"},
		{"invalid UTF-8", "{\"model\":\"m\",\"messages\":[\"\xff\"]}", "", "", "UTF-8"},
		{"too deep", `{"model":"m","messages":` + deep + `}`, "", "", "deeper than"},
		{"duplicate key", `{"model":"m","messages":[{}],"model":"n"}`, "model", "duplicate_parameter", "occurs twice"},
		{"duplicate key by escape", `{"model":"m","messages":[{}],"mod\u0065l":"n"}`, "model", "duplicate_parameter", "occurs twice"},
		{"unknown key twice", `{"model":"m","messages":[{}],"x":1,"x":2}`, "x", "duplicate_parameter", "occurs twice"},
		{"a key in another case", `{"model":"m","messages":[{}],"Model":"n"}`, "Model", "unknown_parameter", "Write it as 'model'"},
		{"no model", `{"messages":[{}]}`, "model", "missing_required_parameter", "provide a model"},
		{"model is a number", `{"model":7,"messages":[{}]}`, "model", "invalid_type", "a string"},
		{"no messages", `{"model":"m"}`, "messages", "missing_required_parameter", "messages"},
		{"null messages", `{"model":"m","messages":null}`, "messages", "missing_required_parameter", "messages"},
		{"empty messages", `{"model":"m","messages":[]}`, "messages", "empty_array", "empty array"},
		{"messages is an object", `{"model":"m","messages":{}}`, "messages", "invalid_type", "an array"},
		{"stream is a string", `{"model":"m","messages":[{}],"stream":"yes"}`, "stream", "invalid_type", "a boolean"},
		{"max_tokens is a decimal", `{"model":"m","messages":[{}],"max_tokens":1.5}`, "max_tokens", "invalid_type", "an integer"},
		{"max_tokens is zero", `{"model":"m","messages":[{}],"max_tokens":0}`, "max_tokens", "integer_below_min_value", ">= 1"},
		{"max_tokens beyond an integer", `{"model":"m","messages":[{}],"max_tokens":99999999999999999999}`, "max_tokens", "integer_above_max_value", "out of range. Send a smaller one."},
		{"max_tokens far below an integer", `{"model":"m","messages":[{}],"max_tokens":-99999999999999999999}`, "max_tokens", "integer_below_min_value", ">= 1"},
		{"n beyond an integer", `{"model":"m","messages":[{}],"n":99999999999999999999}`, "n", "integer_out_of_range", "from 1 to 128"},
		{"max_completion_tokens absurd", `{"model":"m","messages":[{}],"max_completion_tokens":999999999999999999}`, "max_completion_tokens", "integer_above_max_value", "out of range"},
		{"max_tokens absurd", `{"model":"m","messages":[{}],"max_tokens":999999999999999999}`, "max_tokens", "integer_above_max_value", "out of range"},
		{"both maxima", `{"model":"m","messages":[{}],"max_tokens":1,"max_completion_tokens":2}`, "max_completion_tokens", "invalid_parameter_combination", "same time"},
		{"n too large", `{"model":"m","messages":[{}],"n":129}`, "n", "integer_out_of_range", "1 to 128"},
		{"include_usage twice", `{"model":"m","messages":[{}],"stream_options":{"include_usage":false,"include_usage":true}}`, "stream_options", "duplicate_parameter", "twice"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, e := Scan(Chat, []byte(row.body))
			if e == nil {
				t.Fatal("accepted")
			}
			if e.Status != 400 || e.Param != row.param || e.Code != row.code || !strings.Contains(e.Message, row.says) {
				t.Errorf("got %+v", e)
			}
			if !json.Valid(e.Append(nil)) {
				t.Errorf("the error object is not JSON: %s", e.Append(nil))
			}
		})
	}
}

func TestScan_RefusesTooManyKeys(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"model":"m","messages":[{}]`)
	for i := range MaxKeys {
		b.WriteString(`,"k` + strings.Repeat("x", i) + `":1`)
	}
	if _, e := Scan(Chat, []byte(b.String()+"}")); e == nil || e.Code != "too_many_parameters" {
		t.Fatalf("got %v", e)
	}
}

func TestSplice_TouchesOnlyItsValues(t *testing.T) {
	edit := Edit{Model: `up"m`, Usage: true, MaxOutput: 9, System: "be\nkind"}
	sys := `{"role":"system","content":"be\nkind"},`
	rows := []struct{ name, in, out string }{
		{"plain", ` {"messages":[ {"a":1}],"model":"x"} `, ` {"messages":[` + sys + ` {"a":1}],"model":"up\"m","max_completion_tokens":9} `},
		{"stream without options", `{"model":"x","messages":[{}],"stream":true}`, `{"model":"up\"m","messages":[` + sys + `{}],"stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":9}`},
		{"null options and maximum", `{"model":"x","messages":[{}],"stream":true,"stream_options":null,"max_tokens":null}`, `{"model":"up\"m","messages":[` + sys + `{}],"stream":true,"stream_options":{"include_usage":true},"max_tokens":9}`},
		{"usage false", `{"stream_options":{ "include_usage": false },"model":"x","messages":[{}],"stream":true,"max_tokens":5}`, `{"stream_options":{ "include_usage": true },"model":"up\"m","messages":[` + sys + `{}],"stream":true,"max_tokens":9}`},
		{"other options", `{"stream_options":{ "z":1},"model":"x","messages":[{}],"stream":true,"max_completion_tokens":5}`, `{"stream_options":{"include_usage":true, "z":1},"model":"up\"m","messages":[` + sys + `{}],"stream":true,"max_completion_tokens":9}`},
		{"empty options", `{"stream_options":{ },"model":"x","messages":[{}],"stream":true,"max_completion_tokens":9}`, `{"stream_options":{"include_usage":true },"model":"up\"m","messages":[` + sys + `{}],"stream":true,"max_completion_tokens":9}`},
		{"a null and a number", `{"model":"x","messages":[{}],"max_tokens":null,"max_completion_tokens":5}`, `{"model":"up\"m","messages":[` + sys + `{}],"max_tokens":null,"max_completion_tokens":9}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, e := Scan(Chat, []byte(row.in))
			if e != nil {
				t.Fatal(e)
			}
			p := r.Splice(edit)
			got := string(p.Append(nil))
			if d := cmp.Diff(row.out, got); d != "" || p.Len() != int64(len(got)) {
				t.Error(d)
			}
		})
	}
}

func TestSplice_OfNothingIsTheSameBytes(t *testing.T) {
	in := `{"model":"x","messages":[{"content":"\u0000é","z":1e400}],"stream":true,"stream_options":{"include_usage":true},"max_tokens":3}`
	r, e := Scan(Chat, []byte(in))
	if e != nil {
		t.Fatal(e)
	}
	if got := string(r.Splice(Edit{Model: "x", Usage: true, MaxOutput: 3}).Append(nil)); got != in {
		t.Errorf("got %s", got)
	}
}

func TestErrors_AreOpenAIsObjects(t *testing.T) {
	e := Limited(TypeTokens, 1500, "left %d", 3)
	want := `{"error":{"message":"left 3","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`
	if got := string(e.Append(nil)); got != want {
		t.Errorf("got %s", got)
	}
	if got := string(WrongKey().AppendEvent(nil)); !strings.HasPrefix(got, `data: {"error":`) || !strings.HasSuffix(got, "}}\n\n") {
		t.Errorf("got %q", got)
	}
}

// FuzzScan checks the scanner against encoding/json and the splicer against
// a decoded comparison.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":false},"max_tokens":7}`,
		`{"model":"m","messages":[{"content":[{"image_url":{"url":"data:image/png;base64,AA"}}]}],"n":2,"stream_options":null,"stream":true}`,
		`{"model":"m","input":["a","b"]}`, `{"a":[1,-0.5e+7,true,null,"\ud800"],"model":"\u006d","messages":[1]}`, "{\"model\":\"m\n\"}", `{"a":{"b":}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []Kind{Chat, Embedding} {
			r, e := Scan(kind, body)
			if e != nil {
				if !json.Valid(e.Append(nil)) {
					t.Fatalf("error object: %s", e.Append(nil))
				}
				continue
			}
			if !json.Valid(body) {
				t.Fatal("accepted what is not JSON")
			}
			checkSplice(t, r, body)
		}
	})
}

func checkSplice(t *testing.T, r *Request, body []byte) {
	t.Helper()
	out := r.Splice(Edit{Model: "up", Usage: true, MaxOutput: 5, System: "sys"}).Append(nil)
	if !json.Valid(out) {
		t.Fatalf("spliced into invalid JSON: %s", out)
	}
	var before, after map[string]json.RawMessage
	if err := json.Unmarshal(body, &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &after); err != nil {
		t.Fatal(err)
	}
	if string(after["model"]) != `"up"` {
		t.Fatalf("model is %s", after["model"])
	}
	limit := string(after["max_tokens"]) == "5" || string(after["max_completion_tokens"]) == "5"
	if r.Kind == Chat && !limit {
		t.Fatalf("no limit in %s", out)
	}
	if r.Stream && !strings.Contains(string(after["stream_options"]), `"include_usage"`) && !strings.Contains(string(after["stream_options"]), `\u`) {
		t.Fatalf("no usage asked for in %s", out)
	}
	for _, key := range []string{"model", "stream_options", "max_tokens", "max_completion_tokens"} {
		delete(before, key)
		delete(after, key)
	}
	if r.Kind == Chat {
		if want := strings.Replace(string(before["messages"]), "[", `[{"role":"system","content":"sys"},`, 1); string(after["messages"]) != want {
			t.Fatalf("messages are %s", after["messages"])
		}
		delete(before, "messages")
		delete(after, "messages")
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Fatal(d)
	}
}
