package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// matches reports whether body fits the pattern of an earlier chunk, and fails
// if a scan would have found anything else.
func matches(t *testing.T, earlier, body string) bool {
	t.Helper()
	var h holes
	a, err := scanAnswer([]byte(earlier), true, &h)
	if err != nil {
		return false
	}
	var p pattern
	p.keep(&a, &h)
	got, ok := p.match([]byte(body))
	if !ok {
		return false
	}
	want, err := scanAnswer([]byte(body), false, &holes{})
	if err != nil {
		t.Fatalf("%q fits %q, but the scan says %v", body, earlier, err)
	}
	if diff := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); diff != "" {
		t.Fatalf("%q after %q: the scan finds -, the pattern +\n%s", body, earlier, diff)
	}
	for _, strip := range []bool{false, true} {
		if a, b := want.Rewrite(nil, []byte(`"n"`), strip), got.Rewrite(nil, []byte(`"n"`), strip); string(a) != string(b) {
			t.Fatalf("the scan rewrites to %q, the pattern to %q", a, b)
		}
	}
	return true
}

func TestPattern_FitsWhatDiffersInItsTextsOnly(t *testing.T) {
	const a, z = `{"id":"c1","model":"up","choices":[{"index":0,"delta":{"content":"`, `"},"finish_reason":null}],"usage":null}`
	const odd = `","role":"assistant"},"finish_reason":null}],"usage":null,"model":"up","obfuscation":"`
	rows := []struct {
		name, earlier, body string
		want                bool
	}{
		{"the same", a + "x" + z, a + "x" + z, true},
		{"a longer text", a + "x" + z, a + "a longer one" + z, true},
		{"no text", a + "x" + z, a + z, true},
		{"escapes", a + "x" + z, a + `\"},\u00fc\n` + z, true},
		{"beyond ASCII", a + "x" + z, a + "ü€" + z, true},
		{"two texts, usage and model between", `{"choices":[{"delta":{"content":"x` + odd + `abc"}`, `{"choices":[{"delta":{"content":"xyz` + odd + `"}`, true},
		{"an escape that is none", a + "x" + z, a + `\x` + z, false},
		{"a control character", a + "x" + z, a + "\n" + z, false},
		{"no UTF-8", a + "x" + z, a + "\xff" + z, false},
		{"a text that does not end", a + "x" + z, a + "y", false},
		{"the end missing", a + "x" + z, strings.TrimSuffix(a+"x"+z, "}"), false},
		{"something behind the end", a + "x" + z, a + "x" + z + "}", false},
		{"a finish reason", a + "x" + z, strings.Replace(a+"x"+z, `"finish_reason":null`, `"finish_reason":"stop"`, 1), false},
		{"another choice", a + "x" + z, strings.Replace(a+"x"+z, `"index":0`, `"index":1`, 1), false},
		{"another id", a + "x" + z, strings.Replace(a+"x"+z, `"c1"`, `"c2"`, 1), false},
		{"usage", a + "x" + z, strings.Replace(a+"x"+z, `"usage":null`, `"usage":{"prompt_tokens":1}`, 1), false},
		{"after a finish reason", strings.Replace(a+"x"+z, `"finish_reason":null`, `"finish_reason":"stop"`, 1), strings.Replace(a+"y"+z, `"finish_reason":null`, `"finish_reason":"stop"`, 1), false},
		{"after usage", strings.Replace(a+"x"+z, `"usage":null`, `"usage":{"prompt_tokens":1}`, 1), strings.Replace(a+"y"+z, `"usage":null`, `"usage":{"prompt_tokens":1}`, 1), false},
		{"too many texts", strings.Replace(a+"x"+z, `"content"`, `"a":"","b":"","c":"","d":"","content"`, 1), strings.Replace(a+"x"+z, `"content"`, `"a":"","b":"","c":"","d":"","content"`, 1), false},
		{"too long", a + strings.Repeat("x", maxPattern) + z, a + "x" + z, false},
		{"nothing said", `{"choices":[{"delta":{}}]}`, `{"choices":[{"delta":{}}]}`, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := matches(t, row.earlier, row.body); got != row.want {
				t.Errorf("fits: %v", got)
			}
		})
	}
}

func TestPattern_IsGivenUpWhereChunksNeverFit(t *testing.T) {
	s := NewStream("m", false, 1)
	for i := range maxMisses + 1 {
		if _, err := s.Feed([]byte(chunk(`{"content":"x"}`, "null", fmt.Sprintf(`,"n":%d`, i)))); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.pattern.body) != 0 {
		t.Errorf("%d misses, and a pattern is kept", s.pattern.misses)
	}
	s.Reset("m", false, 1)
	if s.pattern.misses != 0 {
		t.Error("the next stream is not tried")
	}
}

// FuzzPattern holds what a pattern finds against a scan.
func FuzzPattern(f *testing.F) {
	for _, c := range strings.Split(recorded(), "\n\n") {
		c = strings.TrimPrefix(c, "data: ")
		f.Add(c, strings.Replace(c, "Hi", `\u0041"`, 1))
	}
	f.Add(`{"choices":[{"delta":{"content":"x","role":"a"}}],"usage":null,"model":"up","obfuscation":"abc"}`, `{"choices":[{"delta":{"content":"","role":"ab"}}],"usage":null,"model":"up","obfuscation":""}`)
	f.Fuzz(func(t *testing.T, earlier, body string) { matches(t, earlier, body) })
}
