package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/settle"
)

// post sends a chat completion with a key and returns status and body.
func (d *deployment) post(key, body string) (*http.Response, string) {
	d.t.Helper()
	r, err := http.NewRequest("POST", d.api+"/chat/completions", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp, string(b)
}

// A request is served, booked, found again by its id before and after a
// crash, and the books agree with the invoice.
func TestUp_BooksWhatTheProviderBills(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	var ids []string
	for range 3 {
		resp, body := d.post(keyOpen, `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"model":"chat-1@2026-01"`) {
			t.Fatalf("%s: %s", resp.Status, body)
		}
		ids = append(ids, resp.Header.Get("X-Request-Id"))
	}
	d.waitBooked(ids...)
	d.kill()
	d.start()
	lines := append(north.lines(), south.lines()...)
	if len(lines) != len(ids) {
		t.Errorf("%d invoice lines for %d requests", len(lines), len(ids))
	}
	for _, id := range ids {
		tr := d.trace(id)
		if len(tr.Attempts) != 1 || tr.Attempts[0].State != settle.Posted || len(tr.Attempts[0].Entries) == 0 {
			t.Errorf("trace %s: %+v", id, tr)
		}
	}
	d.stop(t)
	if out, code := d.command("ledger", "verify", "--data", d.data); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
}
