package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// get asks the operator's listener; more are names and values of headers.
func (d *deployment) get(address string, more ...string) (*http.Response, string) {
	d.t.Helper()
	r, err := http.NewRequest("GET", address, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.send(r, more...)
}

// send sends a request and follows no redirect.
func (d *deployment) send(r *http.Request, more ...string) (*http.Response, string) {
	d.t.Helper()
	for i := 0; i < len(more); i += 2 {
		if more[i] == "Host" {
			r.Host = more[i+1]
		}
		r.Header.Set(more[i], more[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
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

var links = regexp.MustCompile(`(?:href|src|action|data-[a-z-]+)="(/[^"]*)"`)

// crawl visits every page of the console that pages link to.
func (d *deployment) crawl() map[string]string {
	d.t.Helper()
	seen := map[string]string{}
	queue := []string{"/", "/api/overview", "/api/pools", "/api/contracts", "/api/balances", "/api/requests", "/metrics", "/readyz", "/healthz"}
	for len(queue) > 0 && len(seen) < 300 {
		path := strings.ReplaceAll(queue[0], "&amp;", "&")
		queue = queue[1:]
		if _, done := seen[path]; done || strings.HasPrefix(path, "/live") || strings.HasPrefix(path, "/events") || strings.HasPrefix(path, "/logout") {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		r, err := http.NewRequestWithContext(ctx, "GET", d.admin+path, nil)
		if err != nil {
			d.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+d.token)
		r.Header.Set("Accept", "text/html,*/*")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			d.t.Fatal(err)
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<20)) // a live page ends with the context
		resp.Body.Close()
		cancel()
		seen[path] = string(body)
		for _, m := range links.FindAllStringSubmatch(string(body), -1) {
			queue = append(queue, m[1])
		}
	}
	return seen
}

// Nothing that the program prints, logs, serves, keeps or answers holds a
// credential, a key, the text of a prompt or that of an answer.
func TestSecurity_SecretsAndPromptsAreNowhere(t *testing.T) {
	const (
		secret     = "planted-provider-credential-5e0c1d"
		fileSecret = "planted-file-credential-77aa02"
		guess      = "ak-planted-guess-000000000000000000"
		question   = "planted prompt about the merger"
		answer     = "planted answer about the merger"
		user       = "planted-user-field"
	)
	north := startProvider(t, strings.ReplaceAll(northConfig, providerSecret, secret))
	south := startProvider(t, strings.ReplaceAll(southConfig, "{name: south-reserved-a}", "{name: south-reserved-a, api_key: "+fileSecret+"}"))
	file := filepath.Join(t.TempDir(), "credential")
	if err := os.WriteFile(file, []byte(fileSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := deploy(t, setup{
		north: north, south: south, env: []string{"ACCORDO_SECRET_TEST=" + secret, "ACCORDO_LOG=debug"},
		more: "set:\n  south-reserved-a: {endpoint: {url: \"http://SOUTH/pools/south-reserved-a/v1\", dialect: openai, secret: \"file:" + file + "\"}}\n",
	})
	chat := func(more string) string {
		return `{"model":"chat","user":"` + user + `","messages":[{"role":"user","content":"` + question + `"}]` + more + `}`
	}
	var emitted sync.Map
	var requests []string
	ask := func(what, key, body string) {
		resp, text := d.post(key, body)
		if !strings.Contains(what, "served") {
			emitted.Store("the answer to "+what, text+fmt.Sprint(resp.Header))
		}
		requests = append(requests, resp.Header.Get("X-Request-Id"))
	}
	for _, c := range []struct{ what, rule string }{
		{"served", `{action: {text: "` + answer + `"}}`},
		{"status 500", `{action: {status: 500, error_message: "` + answer + `"}}`},
		{"status 401", `{action: {status: 401, error_message: "Incorrect API key provided: ` + secret + `"}}`},
		{"status 429", `{action: {status: 429}}`},
		{"a refused connection", `{action: {refuse: true}}`},
		{"a cut answer", `{action: {text: "` + answer + `", cut_at_byte: 60}}`},
		{"a wrong content", `{action: {body: "` + answer + `"}}`},
		{"usage missing, served", `{action: {text: "` + answer + `", usage_missing: true}}`},
	} {
		for _, p := range []*provider{north, south} {
			p.script("  - " + c.rule + "\n")
		}
		ask(c.what, keyOpen, chat(""))
		if c.what != "served" {
			ask(c.what+", served as a stream", keyOpen, chat(`,"stream":true`))
		}
	}
	ask("a wrong key", guess, chat(""))
	ask("bad JSON", keyOpen, chat("")[:60])
	ask("an unknown parameter", keyOpen, chat(`,"Model":"x"`))
	ask("an unknown model", keyOpen, strings.Replace(chat(""), `"chat"`, `"none"`, 1))
	ask("a model without a right", keyOpen, strings.Replace(chat(""), `"chat"`, `"kept-1"`, 1))
	ask("an unserved variant", keyMinute, chat(""))

	eventually(t, 20*time.Second, "the requests are not booked", func() bool {
		tr := d.trace(requests[0])
		return len(tr.Attempts) == 1 && tr.Attempts[0].State == "posted"
	})
	for path, body := range d.crawl() {
		emitted.Store("page "+path, body)
	}
	for _, id := range requests {
		_, body := d.get(d.admin+"/api/requests/"+url.PathEscape(id), "Authorization", "Bearer "+d.token)
		emitted.Store("trace of "+id, body)
	}
	for _, args := range [][]string{{"ledger", "balances"}, {"ledger", "entries"}, {"ledger", "verify"}, {"ledger", "trace", requests[0]}, {"explain", requests[0]}, {"contracts"}} {
		out, _ := d.command(append(args, "--data", d.data)...)
		emitted.Store(strings.Join(args, " "), out)
	}
	out, _ := d.command("check", d.file)
	emitted.Store("check", out)
	d.stop(t)
	emitted.Store("what the program printed", d.output())
	if err := filepath.WalkDir(d.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		emitted.Store("file "+path, string(b))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	planted := []string{secret, fileSecret, guess, question, answer, user, keyOpen + `"`, keyOpen + "\n", "Bearer " + keyOpen, "Bearer " + secret}
	count, control := 0, 0
	emitted.Range(func(k, v any) bool {
		count++
		control += strings.Count(v.(string), requests[0])
		for _, p := range planted {
			if i := strings.Index(v.(string), p); i >= 0 {
				t.Errorf("%s holds %q: …%q…", k, p, v.(string)[max(0, i-60):min(len(v.(string)), i+len(p)+20)])
			}
		}
		if strings.HasPrefix(k.(string), "file ") && strings.Contains(v.(string), d.token) {
			t.Errorf("%s holds the admin token", k)
		}
		return true
	})
	if control < 3 {
		t.Errorf("the id of a request was found %d times: the search finds nothing", control)
	}
	t.Logf("%d outputs searched for %d secrets", count, len(planted))
	if lines := strings.Count(d.output(), `"level"`); lines < 3 {
		t.Errorf("only %d lines were logged: the test has nothing to search", lines)
	}
}

// A credential goes to its own pool's host and nowhere else: redirects are
// not followed, cookies are not kept, and what a provider's header says
// reaches no client.
func TestSecurity_CredentialsStayWithTheirHost(t *testing.T) {
	var trapped atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { trapped.Add(1) }))
	defer trap.Close()
	var mu sync.Mutex
	var headers []http.Header
	status := http.StatusTemporaryRedirect
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		headers = append(headers, r.Header.Clone())
		w.Header().Set("Location", trap.URL+"/v1/chat/completions")
		w.Header().Set("Set-Cookie", "session=planted")
		w.Header().Set("Alt-Svc", `h2="`+strings.TrimPrefix(trap.URL, "http://")+`"`)
		w.Header().Set("Www-Authenticate", "Basic realm=planted")
		w.WriteHeader(status)
	}))
	defer evil.Close()
	d := deploy(t, setup{north: &provider{address: strings.TrimPrefix(evil.URL, "http://")}, south: &provider{address: strings.TrimPrefix(evil.URL, "http://")}, env: []string{
		"HTTP_PROXY=" + trap.URL, "http_proxy=" + trap.URL, "HTTPS_PROXY=" + trap.URL, "ALL_PROXY=" + trap.URL,
	}})
	for _, code := range []int{301, 302, 303, 307, 308, 401, 407} {
		mu.Lock()
		status = code
		mu.Unlock()
		r, err := http.NewRequest("POST", d.api+"/chat/completions", strings.NewReader(helloBody))
		if err != nil {
			t.Fatal(err)
		}
		resp, body := d.send(r, "Authorization", "Bearer "+keyOpen, "Cookie", "client=planted", "X-Api-Key", "planted", "Proxy-Authorization", "planted", "X-Forwarded-For", "planted",
			"X-Accordo-Attempt", "planted", "Openai-Organization", "planted", "Idempotency-Key", "planted")
		if resp.StatusCode < 500 || resp.Header.Get("Location") != "" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Www-Authenticate") != "" || strings.Contains(body, "planted") {
			t.Errorf("%d: the client got %s %v %s", code, resp.Status, resp.Header, body)
		}
	}
	if n := trapped.Load(); n != 0 {
		t.Errorf("%d requests went to an address that is not in the file", n)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, h := range headers {
		for name, v := range h {
			if strings.Contains(strings.Join(v, ""), "planted") {
				t.Errorf("the provider got %s: %s", name, v)
			}
		}
		if got := h.Get("Authorization"); got != "" && got != "Bearer "+providerSecret {
			t.Errorf("the provider got Authorization %q", got)
		}
	}
	if len(headers) < 7 {
		t.Errorf("the provider was asked %d times", len(headers))
	}
}

// Every address of the operator's listener but health and login asks for the
// token, and takes only the right one; the API's listener has none of them.
func TestSecurity_OperatorsListener(t *testing.T) {
	d := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	resp, _ := d.post(keyOpen, helloBody)
	id := resp.Header.Get("X-Request-Id")
	form := url.Values{"token": {d.token}}
	login, err := http.NewRequest("POST", d.admin+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	in, _ := d.send(login, "Content-Type", "application/x-www-form-urlencoded")
	cookies := in.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/" || cookies[0].Secure {
		t.Fatalf("%s %v", in.Status, in.Header)
	}
	session := cookies[0].Name + "=" + cookies[0].Value
	expiry, mac, _ := strings.Cut(cookies[0].Value, ".")
	protected := []string{"/", "/metrics", "/api/overview", "/api/pools", "/api/contracts", "/api/balances", "/api/requests", "/api/requests/" + id, "/api/entries", "/api/nothing", "/nothing", "/requests", "/contracts", "/chat", "/debug/pprof/", "/debug/vars"}
	for _, path := range protected {
		for _, c := range []struct {
			who  string
			more []string
			in   bool
		}{
			{"nobody", nil, false},
			{"a wrong token", []string{"Authorization", "Bearer admin-00000000000000000000000000000000"}, false},
			{"an empty token", []string{"Authorization", "Bearer "}, false},
			{"an API key", []string{"Authorization", "Bearer " + keyOpen}, false},
			{"another scheme", []string{"Authorization", "Basic " + d.token}, false},
			{"a cookie that is forged", []string{"Cookie", cookies[0].Name + "=9999999999." + mac}, false},
			{"a cookie without a mac", []string{"Cookie", cookies[0].Name + "=" + expiry + "."}, false},
			{"the token in the address", []string{"X-Path", "?token=" + d.token}, false},
			{"the token", []string{"Authorization", "Bearer " + d.token}, true},
			{"a session", []string{"Cookie", session}, true},
		} {
			address := d.admin + path
			if len(c.more) > 0 && c.more[0] == "X-Path" {
				address += c.more[1]
			}
			resp, body := d.get(address, c.more...)
			if got := resp.StatusCode != http.StatusUnauthorized; got != c.in {
				t.Errorf("%s as %s: %s %.200s", path, c.who, resp.Status, body)
			}
			if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("%s as %s: Content-Security-Policy %q", path, c.who, csp)
			}
			if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s as %s: %v", path, c.who, resp.Header)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/login"} {
		resp, body := d.get(d.admin + path)
		if resp.StatusCode != http.StatusOK || strings.Contains(body, "acme") || strings.Contains(body, "north") {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
	base := strings.TrimSuffix(d.api, "/v1")
	for _, path := range append(protected[1:], "/login", "/readyz") {
		resp, body := d.get(base+path, "Authorization", "Bearer "+d.token)
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("the API's listener answers %s: %s %.200s", path, resp.Status, body)
		}
	}
	if resp, _ := d.get(d.admin+"/v1/models", "Authorization", "Bearer "+keyOpen); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the operator's listener answers the API: %s", resp.Status)
	}
}

// What changes something is refused when another site's page asks for it, and
// a name that is not ours is refused before anything is looked at.
func TestSecurity_OtherSites(t *testing.T) {
	d := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	post := func(path string, more ...string) int {
		r, err := http.NewRequest("POST", d.admin+path, strings.NewReader("token="+d.token))
		if err != nil {
			t.Fatal(err)
		}
		resp, _ := d.send(r, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, more...)...)
		return resp.StatusCode
	}
	for _, path := range []string{"/login", "/logout", "/chat/completions", "/play"} {
		for _, c := range [][]string{
			{"Sec-Fetch-Site", "cross-site", "Authorization", "Bearer " + d.token},
			{"Sec-Fetch-Site", "same-site", "Authorization", "Bearer " + d.token},
			{"Origin", "https://evil.example", "Authorization", "Bearer " + d.token},
			{"Origin", "null", "Authorization", "Bearer " + d.token},
		} {
			if got := post(path, c...); got != http.StatusForbidden {
				t.Errorf("POST %s with %v: %d", path, c[:2], got)
			}
		}
	}
	if got := post("/login", "Sec-Fetch-Site", "same-origin"); got != http.StatusSeeOther {
		t.Errorf("a login from the page itself: %d", got)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(d.admin, "http://"))
	for host, want := range map[string]int{
		"rebound.example:" + port: http.StatusMisdirectedRequest, "rebound.example": http.StatusMisdirectedRequest, "localhost.evil.example": http.StatusMisdirectedRequest,
		"127.0.0.1.evil.example": http.StatusMisdirectedRequest, "": http.StatusOK, "localhost:" + port: http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:" + port: http.StatusOK,
	} {
		for _, path := range []string{"/metrics", "/readyz", "/login"} {
			more := []string{"Authorization", "Bearer " + d.token}
			if host != "" {
				more = append(more, "Host", host)
			}
			if resp, body := d.get(d.admin+path, more...); resp.StatusCode != want {
				t.Errorf("Host %s, %s: %s %.100s, want %d", host, path, resp.Status, body, want)
			}
		}
	}
	for _, to := range []string{"https://evil.example/", "//evil.example", `/\\evil.example`, "/%5cevil.example", "javascript:alert(1)"} {
		resp, body := d.get(d.admin + "/login?token=" + d.token + "&to=" + url.QueryEscape(to))
		target, ok := strings.CutPrefix(resp.Header.Get("Refresh"), "0; url=")
		if !ok || target[0] != '/' || len(target) > 1 && (target[1] == '/' || target[1] == '\\') || strings.Contains(body, "javascript:") {
			t.Errorf("login leads to %s: %v %s", to, resp.Header, body)
		}
	}
}

// A listener that other machines reach speaks TLS, or does not start.
func TestSecurity_PlainListenersStayOnLoopback(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "0.0.0.0:0"},
		{"--listen", ":0"},
		{"--listen", "[::]:0"},
		{"--admin-listen", "0.0.0.0:0"},
		{"--admin-listen", "192.0.2.1:0"},
		{"--listen", "example.com:0"},
		{"--tls-cert", "/dev/null"},
		{"--client-ca", "/dev/null"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		cmd := exec.CommandContext(ctx, binary, append([]string{"up", "--no-model", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, args...)...)
		cmd.Env = cleanEnv()
		out, _ := cmd.CombinedOutput()
		cancel()
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
	dir  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, dir: t.TempDir()}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue makes files of a certificate and its key.
func (a *authority) issue(name string, change ...func(*x509.Certificate)) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", secret)
}

// expired makes a certificate one of the past.
func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// client trusts the authority, and shows a certificate when one is given.
func (a *authority) client(cert, key string, highest uint16) *http.Client {
	a.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	c := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: highest} // what is refused is refused by the other side
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}, Timeout: 20 * time.Second}
}

var securedReady = regexp.MustCompile(`(?s)Console      (https://[0-9.:]+)/.*API          (https://[0-9.:]+/v1)\n.*Ctrl-C stops`)

// Both listeners speak TLS 1.2 and later only, and with an authority for
// clients let in only those that show a certificate of it.
func TestSecurity_TLSOfBothListeners(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	plain := deploy(t, setup{north: north, south: south})
	plain.stop(t)
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	cert, key := ours.issue("server")
	clientCert, clientKey := ours.issue("client")
	otherCert, otherKey := others.issue("stranger")
	oldCert, oldKey := ours.issue("former", expired)
	serverOnly, serverOnlyKey := ours.issue("server-only", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	ca := filepath.Join(ours.dir, "ca.pem")
	for _, mutual := range []bool{false, true} {
		t.Run(fmt.Sprintf("client certificates %v", mutual), func(t *testing.T) {
			args := []string{"up", plain.file, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key}
			if mutual {
				args = append(args, "--client-ca", ca, "--admin-client-ca", ca)
			}
			p, m := startProcess(t, securedReady, plain.env, args...)
			for _, address := range []string{m[1] + "/healthz", m[2] + "/models"} {
				for _, c := range []struct {
					name   string
					client *http.Client
					in     bool
				}{
					{"no certificate", ours.client("", "", 0), !mutual},
					{"our certificate", ours.client(clientCert, clientKey, 0), true},
					{"a stranger's", ours.client(otherCert, otherKey, 0), !mutual},
					{"one that has expired", ours.client(oldCert, oldKey, 0), !mutual},
					{"one for servers", ours.client(serverOnly, serverOnlyKey, 0), !mutual},
					{"TLS 1.2", ours.client(clientCert, clientKey, tls.VersionTLS12), true},
					{"TLS 1.1", ours.client(clientCert, clientKey, tls.VersionTLS11), false},
					{"another authority", others.client("", "", 0), false},
				} {
					r, err := http.NewRequest("GET", address, nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Authorization", "Bearer "+keyOpen)
					resp, err := c.client.Do(r)
					if err == nil {
						resp.Body.Close()
					}
					if in := err == nil && resp.StatusCode == http.StatusOK; in != c.in {
						t.Errorf("%s with %s: %v %v", address, c.name, resp, err)
					}
				}
			}
			resp, err := http.Get("http://" + strings.TrimPrefix(m[1], "https://") + "/healthz")
			if err == nil {
				resp.Body.Close()
			}
			if err == nil && resp.StatusCode != http.StatusBadRequest {
				t.Errorf("without TLS: %s", resp.Status)
			}
			token := regexp.MustCompile(`Admin token  (\S+)`).FindStringSubmatch(p.output())[1]
			resp, err = ours.client(clientCert, clientKey, 0).Get(m[1] + "/login?token=" + token)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if c := resp.Cookies(); len(c) != 1 || !c[0].Secure || !c[0].HttpOnly {
				t.Errorf("the session's cookie may travel without TLS: %v", resp.Header)
			}
		})
	}
}

// The memory of the process, which holds every credential, goes into no core
// dump.
func TestSecurity_NoCoreDumps(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not run: core dumps are kept out on Linux only")
	}
	d := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`Max core file size\s+0\s+0\s`).Match(limits) {
		t.Errorf("%s", limits)
	}
	// Every user reads the arguments: nothing secret is one.
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(arguments), "--data") || strings.Contains(string(arguments), providerSecret) || strings.Contains(string(arguments), d.token) || strings.Contains(string(arguments), "ak-") {
		t.Errorf("arguments %q %v", arguments, err)
	}
}

// Keys of 128 random bits are known by their hash alone: neither the file nor
// the data directory holds one, and every key differs.
func TestSecurity_KeysAreRandomAndKeptAsHashes(t *testing.T) {
	d := &deployment{t: t}
	var keys []string
	for range 20 {
		out, code := d.command("key")
		m := regexp.MustCompile(`key     (ak-[0-9a-f]{32}) .*\nsha256: ([0-9a-f]{64}) `).FindStringSubmatch(out)
		if code != 0 || m == nil {
			t.Fatalf("%d %s", code, out)
		}
		keys = append(keys, m[1])
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 20 {
		t.Error("two keys are the same")
	}
}

// The program says what it is made of: every module with its version and
// checksum, as the build recorded it.
func TestSecurity_BillOfMaterials(t *testing.T) {
	d := &deployment{t: t}
	out, code := d.command("version", "--sbom")
	var bom struct {
		BOMFormat   string
		SpecVersion string
		Components  []struct {
			Type, Name, Version, PURL string
			Hashes                    []struct{ Content string }
			Properties                []struct{ Name, Value string }
		}
	}
	decode(t, out, &bom)
	names := map[string]bool{}
	for _, c := range bom.Components {
		names[c.Name] = true
		if c.Version == "" || c.Type == "library" && (len(c.Properties) != 1 || !strings.HasPrefix(c.Properties[0].Value, "h1:")) || c.Type == "file" && (len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64) {
			t.Errorf("%+v", c)
		}
	}
	if code != 0 || bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || !names["modernc.org/sqlite"] || !names["github.com/alecthomas/kong"] || !names["go"] {
		t.Errorf("%d %.2000s", code, out)
	}
}
