package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

	// HTTP/2 is offered still.
	c, k := second.issue("client")
	pair, err := tls.LoadX509KeyPair(c, k)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(second.cert)
	conn, err := tls.Dial("tcp", regexp.MustCompile(`https://([^/]+)`).FindStringSubmatch(m[2])[1], &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("protocol %q", got)
	}
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
