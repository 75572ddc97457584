package app

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/requestlog"
)

func TestRequestLog_IsDrawnWithoutControlCharacters(t *testing.T) {
	var b bytes.Buffer
	r := requestlog.Record{Request: "req_1", Tenant: "acme", Asked: "m\x1b[2J", EndUser: "u\x07", Prompt: "line one\nline\x1b]0;two\u009b\r", PromptBytes: 900, Answer: "日本語"}
	if err := writeLogged(&b, &r); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\r\u009b") || !strings.Contains(b.String(), "日本語") || !strings.Contains(b.String(), "of 900 bytes") || !strings.Contains(b.String(), "line one\n    line") {
		t.Errorf("%q", b.String())
	}
}

func TestRequestLog_SinceWhen(t *testing.T) {
	now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"2026-06-01":           time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC),
		"2026-06-01T08:00:00Z": time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC),
		"90m":                  now.Add(-90 * time.Minute),
		"7d":                   time.Date(2026, 6, 3, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := sinceWhen(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "-3h", "-3d", "7dx", "2026-13-01"} {
		if got, err := sinceWhen(text, now); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
