package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/usage"
)

func TestScanAnswer_Usage(t *testing.T) {
	rows := []struct {
		name, usage string
		want        usage.Vector
		err         error
	}{
		{"plain figures", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`, usage.Vector{UncachedInput: 10, Output: 5}, nil},
		{"cached, written and reasoning do not overlap", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":1,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":3}}`, usage.Vector{UncachedInput: 5, CacheRead: 4, CacheWrite: 1, Output: 2, Reasoning: 3}, nil},
		{"embeddings have no completion", `{"prompt_tokens":10,"total_tokens":10}`, usage.Vector{UncachedInput: 10}, nil},
		{"null details", `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}`, usage.Vector{UncachedInput: 1, Output: 1}, nil},
		{"null", `null`, usage.Vector{}, ErrNoUsage},
		{"total disagrees", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":16}`, usage.Vector{}, usage.ErrContradiction},
		{"total missing", `{"prompt_tokens":10,"completion_tokens":5}`, usage.Vector{}, usage.ErrContradiction},
		{"prompt missing", `{"completion_tokens":5,"total_tokens":5}`, usage.Vector{}, usage.ErrContradiction},
		{"negative", `{"prompt_tokens":-1,"completion_tokens":5,"total_tokens":4}`, usage.Vector{}, usage.ErrContradiction},
		{"decimal", `{"prompt_tokens":1.0,"completion_tokens":5,"total_tokens":6}`, usage.Vector{}, usage.ErrContradiction},
		{"beyond the bound", `{"prompt_tokens":4294967297,"completion_tokens":0,"total_tokens":4294967297}`, usage.Vector{}, usage.ErrContradiction},
		{"stated twice", `{"prompt_tokens":1,"prompt_tokens":2,"completion_tokens":0,"total_tokens":2}`, usage.Vector{}, usage.ErrContradiction},
		{"more cached than sent", `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":2}}`, usage.Vector{}, usage.ErrContradiction},
		{"more reasoning than output", `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"completion_tokens_details":{"reasoning_tokens":2}}`, usage.Vector{}, usage.ErrContradiction},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a, err := ScanAnswer([]byte(`{"id":"i","choices":[{"index":0,"finish_reason":"stop"}],"usage":` + row.usage + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(a.UsageErr, row.err) || a.Usage != row.want {
				t.Errorf("got %+v, %v", a.Usage, a.UsageErr)
			}
		})
	}
}

func TestRewrite_ChangesModelAndUsageOnly(t *testing.T) {
	rows := []struct{ name, in, kept, stripped string }{
		{"usage last", `{"model":"up","choices":[], "usage" : null}`, `{"model":"N","choices":[], "usage" : null}`, `{"model":"N","choices":[]}`},
		{"usage first", `{"usage":{"a":[1]} , "model":"up"}`, `{"usage":{"a":[1]} , "model":"N"}`, `{ "model":"N"}`},
		{"usage in the middle", `{"a":1,"usage":{},"model":"up","b":"ü"}`, `{"a":1,"usage":{},"model":"N","b":"ü"}`, `{"a":1,"model":"N","b":"ü"}`},
		{"usage alone", `{"usage":{} }`, `{"usage":{} }`, `{ }`},
		{"neither", `{"x":"model"}`, `{"x":"model"}`, `{"x":"model"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a, err := ScanAnswer([]byte(row.in))
			if err != nil {
				t.Fatal(err)
			}
			kept, stripped := string(a.Rewrite(nil, QuoteModel("N"), false)), string(a.Rewrite(nil, QuoteModel("N"), true))
			if d := cmp.Diff([]string{row.kept, row.stripped}, []string{kept, stripped}); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestScanAnswer_RefusesDoubleKeys(t *testing.T) {
	for _, in := range []string{`{"usage":null,"usage":{}}`, `{"model":"a","model":"b"}`, `{"choices":[],"choices":[]}`, `{"a":}`, `[]`, "{\"a\":\"\xff\"}"} {
		if _, err := ScanAnswer([]byte(in)); err == nil {
			t.Errorf("accepted %q", in)
		}
	}
}

func FuzzScanAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"i","model":"m","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`))
	f.Add([]byte(`{"usage":null,"model":"m"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ScanAnswer(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted what is not JSON")
		}
		if a.UsageErr == nil && a.Usage.Check() != nil {
			t.Fatalf("usage %+v", a.Usage)
		}
		for _, strip := range []bool{false, true} {
			if out := a.Rewrite(nil, QuoteModel("n"), strip); !json.Valid(out) {
				t.Fatalf("rewrote %q to %q", body, out)
			}
		}
	})
}

// chunk is one event of a stream as a provider sends it.
func chunk(delta, finish, rest string) string {
	return `data: {"id":"c1","object":"chat.completion.chunk","model":"up","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]` + rest + "}\n\n"
}

const usageChunk = `data: {"id":"c1","model":"up","service_tier":"default","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}` + "\n\n"

func recorded() string {
	return ": hello\n\n" + chunk(`{"role":"assistant","content":""}`, "null", `,"usage":null`) + chunk(`{"content":"Hi"}`, "null", `,"usage":null`) + ": ping\r\n\r\n" +
		chunk(`{"content":"ü"}`, "null", `,"usage":null`) + chunk(`{}`, `"stop"`, `,"usage":null`) + usageChunk + "data: [DONE]\n\n"
}

func feedAll(s *Stream, text string, size int) (now, held string, err error) {
	for len(text) > 0 && err == nil {
		n := min(size, len(text))
		var out []byte
		out, err = s.Feed([]byte(text[:n]))
		now += string(out)
		text = text[n:]
	}
	if err == nil {
		err = s.Close()
	}
	return now, string(s.Held()), err
}

func TestStream_HoldsFromTheFinishReasonOn(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s := NewStream("m@1", keep, 1)
		now, held, err := feedAll(s, recorded(), 1<<20)
		if err != nil || !s.Complete() || s.Phase() != Done {
			t.Fatalf("err %v, phase %d", err, s.Phase())
		}
		if s.UsageErr != nil || s.Usage != (usage.Vector{UncachedInput: 3, Output: 2}) || s.ID != "c1" || s.Model != "up" || s.ServiceTier != "default" || s.Deltas != 4 {
			t.Errorf("learnt %+v", s)
		}
		if strings.Contains(now, "stop") || strings.Contains(now, "hello") || !strings.Contains(now, `"content":"ü"`) || !strings.Contains(now, ": ping\r\n\r\n") {
			t.Errorf("passed on %q", now)
		}
		if !strings.Contains(held, `"stop"`) || !strings.HasSuffix(held, "data: [DONE]\n\n") || strings.Contains(held, "prompt_tokens") != keep || strings.Contains(now, "usage") != keep {
			t.Errorf("keep %v: held %q", keep, held)
		}
		if strings.Contains(now+held, `"up"`) || strings.Count(now+held, `"m@1"`) < 4 {
			t.Errorf("the model's name: %q", now+held)
		}
	}
}

func TestStream_SameEventsHoweverItIsCut(t *testing.T) {
	for _, text := range []string{recorded(), strings.ReplaceAll(recorded(), "\n", "\r\n"), strings.ReplaceAll(strings.ReplaceAll(recorded(), "\r", ""), "\n", "\r"), "\ufeff" + recorded()} {
		wantNow, wantHeld, err := feedAll(NewStream("m", true, 1), text, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for size := 1; size < 40; size++ {
			now, held, err := feedAll(NewStream("m", true, 1), text, size)
			if err != nil || now != wantNow || held != wantHeld {
				t.Fatalf("size %d: %v\n%s", size, err, cmp.Diff(wantNow+wantHeld, now+held))
			}
		}
	}
}

func TestStream_Faults(t *testing.T) {
	rows := []struct {
		name, text string
		err        error
	}{
		{"[DONE] before a finish reason", chunk(`{}`, "null", "") + "data: [DONE]\n\n", ErrStreamFault},
		{"not JSON", chunk(`{}`, "null", "") + "data: {oops\n\n", ErrStreamFault},
		{"an error object", chunk(`{}`, "null", "") + `data: {"error":{"message":"x"}}` + "\n\n", ErrStreamError},
		{"an endless line", "data: " + strings.Repeat("x", MaxEventBytes+8), ErrEventTooLarge},
		{"endless after the finish reason", chunk(`{}`, `"stop"`, "") + strings.Repeat(chunk(`{"content":"`+strings.Repeat("x", 1<<20)+`"}`, "null", ""), 5), ErrStreamFault},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if _, _, err := feedAll(NewStream("m", false, 1), row.text, 64<<10); !errors.Is(err, row.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestStream_SeveralDataLinesAndChoices(t *testing.T) {
	s := NewStream("m", false, 2)
	two := `data: {"model":"up",` + "\n" + `data:"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	now, held, err := feedAll(s, chunk(`{}`, "null", "")+two, 7)
	if err != nil || s.Complete() || s.Phase() != Holding || strings.Contains(now, "stop") {
		t.Fatalf("%v %q", err, now)
	}
	if held != `data: {"model":"m", "choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}`+"\n\n" {
		t.Errorf("held %q", held)
	}
	if _, err := s.Feed([]byte(chunk(`{}`, `"length"`, ""))); err != nil || !s.Complete() {
		t.Errorf("%v, complete %v", err, s.Complete())
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(recorded()), uint8(3))
	f.Add([]byte("data:a\r\ndata: b\r\n\r\n\rdata\n\nevent: x\ndata: y\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		read := func(size int) (out []string) {
			var e Events
			visit := func(ev Event) error {
				if ev.At >= 0 && string(ev.Raw[ev.At:ev.At+len(ev.Data)]) != string(ev.Data) {
					t.Fatalf("data is not at %d in %q", ev.At, ev.Raw)
				}
				out = append(out, string(ev.Raw)+"\x00"+string(ev.Data))
				return nil
			}
			for rest := text; len(rest) > 0; {
				n := min(size, len(rest))
				if err := e.Feed(rest[:n], visit); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := e.Close(visit); err != nil {
				t.Fatal(err)
			}
			return out
		}
		want := read(len(text) + 1)
		for _, n := range []int{1, int(size) + 1} {
			if d := cmp.Diff(want, read(n)); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func TestStream_ResetForgetsTheLastOne(t *testing.T) {
	s := NewStream("a", true, 1)
	if _, _, err := feedAll(s, recorded()+"data: rest", 5); err != nil {
		t.Fatal(err)
	}
	s.Reset("m@1", false, 1)
	wantNow, wantHeld, _ := feedAll(NewStream("m@1", false, 1), recorded(), 9)
	now, held, err := feedAll(s, recorded(), 9)
	if err != nil || now != wantNow || held != wantHeld || s.Deltas != 4 {
		t.Errorf("%v\n%s", err, cmp.Diff(wantNow+wantHeld, now+held))
	}
}
