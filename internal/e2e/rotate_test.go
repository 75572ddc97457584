package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// hangUp asks the program to read its files again, and waits until it says so.
func hangUp(t *testing.T, p *process, says string) {
	t.Helper()
	before := len(p.output())
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, startTime, "the program does not say "+says, func() bool { return strings.Contains(p.output()[before:], says) })
}

// replaceFile puts the content of one file in the place of another.
func replaceFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A listener's certificate and the authority of its clients are read again at
// SIGHUP, without a restart; files that cannot be read leave the old ones in
// force.
func TestSecurity_CertificatesAreReadAgain(t *testing.T) {
	plain := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	plain.stop(t)
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	install := func(a *authority) {
		c, k := a.issue("server")
		replaceFile(t, c, cert)
		replaceFile(t, k, key)
		replaceFile(t, filepath.Join(a.dir, "ca.pem"), ca)
	}
	install(first)
	p, m := startProcess(t, securedReady, plain.env, "up", plain.file, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
		"--tls-cert", cert, "--tls-key", key, "--client-ca", ca, "--admin-client-ca", ca)
	in := func(server, client *authority, address string) bool {
		c, k := client.issue("client")
		r, err := http.NewRequest("GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+keyOpen)
		resp, err := server.client(c, k, 0).Do(r)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	addresses := []string{m[1] + "/healthz", m[2] + "/models"}
	check := func(when string, now, not *authority) {
		t.Helper()
		for _, address := range addresses {
			if !in(now, now, address) {
				t.Errorf("%s %s does not answer", when, address)
			}
			if in(not, now, address) || in(now, not, address) {
				t.Errorf("%s %s takes the other authority", when, address)
			}
		}
	}
	check("at first", first, second)
	install(second)
	check("before the signal", first, second)
	hangUp(t, p, `"msg":"reloaded"`)
	check("after it", second, first)
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t, p, `"msg":"reloaded"`)
	if !strings.Contains(p.output(), "the listener's certificates stay as they are") {
		t.Error("it does not say that the file cannot be used")
	}
	check("with a file that is none", second, first)
}

// A provider's credential in a file is changed without a restart and without
// another file of terms.
func TestSecurity_CredentialsAreReadAgain(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "credential")
	write := func(text string) {
		if err := os.WriteFile(secret, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old-credential")
	var more strings.Builder
	more.WriteString("set:\n")
	for _, pool := range []string{"north-floor-a", "north-list-a", "south-reserved-a", "south-list-a"} {
		side := strings.ToUpper(pool[:5])
		more.WriteString("  " + pool + `: {endpoint: {url: "http://` + side + "/pools/" + pool + `/v1", dialect: openai, secret: "file:` + secret + "\"}}\n")
	}
	keyed := func(config string) *provider {
		return startProvider(t, regexp.MustCompile(`\{name: ([a-z-]+)(, api_key: [a-z-]+)?`).ReplaceAllString(config, "{name: $1, api_key: new-credential"))
	}
	d := deploy(t, setup{north: keyed(northConfig), south: keyed(southConfig), more: more.String()})
	if resp, body := d.post(keyOpen, helloBody); resp.StatusCode == http.StatusOK {
		t.Fatalf("the provider takes the old credential: %s", body)
	}
	write("new-credential")
	hangUp(t, d.process, `"msg":"reloaded"`)
	eventually(t, startTime, "no request is served with the new credential", func() bool {
		resp, _ := d.post(keyOpen, helloBody)
		return resp.StatusCode == http.StatusOK
	})
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	hangUp(t, d.process, "reload refused")
	if resp, body := d.post(keyOpen, helloBody); resp.StatusCode != http.StatusOK {
		t.Errorf("after a reload that was refused: %s %s", resp.Status, body)
	}
	if strings.Contains(d.output(), "new-credential") || strings.Contains(d.output(), "old-credential") {
		t.Error("the credential is logged")
	}
}

// A request that fails at one provider and goes on to another takes that one's
// credential along, and none of the first's; a pool without a credential sends
// none, whatever the client sent.
func TestSecurity_ARetryTakesTheOtherPoolsCredential(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]map[string]int{}
	provide := func(name string, fails *atomic.Bool) *provider {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if seen[name] == nil {
				seen[name] = map[string]int{}
			}
			seen[name][strings.Join(r.Header["Authorization"], "|")]++
			mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			if fails.Load() {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","created":1,"model":"chat-1","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}))
		t.Cleanup(s.Close)
		return &provider{address: strings.TrimPrefix(s.URL, "http://")}
	}
	var northFails, southFails atomic.Bool
	d := deploy(t, setup{
		north: provide("north", &northFails), south: provide("south", &southFails), env: []string{"ACCORDO_SECRET_NORTH=credential-of-north"},
		more: `
set:
  north-floor-a: {endpoint: {url: "http://NORTH/pools/north-floor-a/v1", dialect: openai, secret: ACCORDO_SECRET_NORTH}}
  north-list-a: {endpoint: {url: "http://NORTH/pools/north-list-a/v1", dialect: openai, secret: ACCORDO_SECRET_NORTH}}
  south-reserved-a: {endpoint: {url: "http://SOUTH/pools/south-reserved-a/v1", dialect: openai}}
  south-list-a: {endpoint: {url: "http://SOUTH/pools/south-list-a/v1", dialect: openai}}
`,
	})
	served := 0
	for i := range 12 {
		northFails.Store(i%2 == 0)
		southFails.Store(i%2 == 1)
		if resp, _ := d.post(keyOpen, helloBody); resp.StatusCode == http.StatusOK {
			served++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if served == 0 || len(seen["north"]) != 1 || seen["north"]["Bearer credential-of-north"] == 0 || len(seen["south"]) != 1 || seen["south"][""] == 0 {
		t.Errorf("%d served; the providers saw %v", served, seen)
	}
}
