package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The view of `accordo top` over a process that serves: every figure comes
// from its own listener.
func TestTop_ShowsARealProcess(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	for range 3 {
		if resp, body := d.post(keyOpen, `{"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}`); resp.StatusCode != 200 {
			t.Fatalf("status %d: %s", resp.StatusCode, body)
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(d.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := d.command("top", "--admin", d.admin, "--token-file", file, "--once", "--every", "200ms")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{
		`since the start 3\b`, `in flight 0\b`, `cost `, `TTFT     p50 \S+  p99 \S+`, `suspense `, `books behind `,
		`(?m)^north-floor-a .* ok$`, `(?m)^POOL .*LAMBDA`, `(?m)^CONTRACT `, `spend_floor`, `(?m)^\d\d:\d\d:\d\d  200 served `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if strings.ContainsRune(out, '\x1b') {
		t.Errorf("escape sequences where there is no terminal:\n%s", out)
	}
	if out, code := d.command("top", "--admin", d.admin, "--once"); code != 1 || out != "" {
		t.Errorf("without a token: exit code %d, %q", code, out)
	}
}
