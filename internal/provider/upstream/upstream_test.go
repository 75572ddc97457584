package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func send(t *testing.T, c *Client, header http.Header) (*http.Response, error) {
	t.Helper()
	return c.Send(t.Context(), "/chat/completions", "att-1", "req-1", header, [][]byte{[]byte("he"), nil, []byte("llo")})
}

func TestSend_SendsOnlyWhatItMay(t *testing.T) {
	var got *http.Request
	var body []byte
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Location", "https://elsewhere.invalid/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := New(Options{URL: s.URL + "/base/v1/", Credential: "cred", Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client := http.Header{"Authorization": {"Bearer client"}, "Cookie": {"c"}, "X-Forwarded-For": {"1.2.3.4"}, "Openai-Organization": {"o"}, "User-Agent": {"sdk"}, "Openai-Beta": {"b"}, "Host": {"evil"}}
	resp, err := send(t, c, client)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("followed a redirect: %d", resp.StatusCode)
	}
	want := map[string]string{"Authorization": "Bearer cred", "Content-Type": "application/json", "User-Agent": "sdk", "Openai-Beta": "b", "X-Accordo-Attempt": "att-1", "X-Request-Id": "req-1", "Content-Length": "5"}
	for k, v := range got.Header {
		if want[k] != v[0] {
			t.Errorf("sent %s: %v", k, v)
		}
		delete(want, k)
	}
	if len(want) != 0 || got.URL.Path != "/base/v1/chat/completions" || string(body) != "hello" || got.Host != strings.TrimPrefix(s.URL, "https://") {
		t.Errorf("missing %v, path %s, body %q, host %s", want, got.URL.Path, body, got.Host)
	}
}

func TestSend_ClassifiesFailures(t *testing.T) {
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	defer tlsServer.Close()
	cutting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer cutting.Close()
	encoded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
	}))
	defer encoded.Close()
	rows := []struct {
		name, url, cause string
		dial             func(context.Context, string, string) (net.Conn, error)
		sent             bool
	}{
		{"nobody listens", "http://127.0.0.1:1", "dial", nil, false},
		{"the name is not known", "http://name.invalid", "dial", func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "name.invalid", IsNotFound: true}}
		}, false},
		{"the certificate is not trusted", tlsServer.URL, "tls", nil, false},
		{"cut without an answer", cutting.URL, "reset", nil, true},
		{"encoded without being asked", encoded.URL, "protocol", nil, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c, err := New(Options{URL: row.url, Dial: row.dial, Credential: "very-secret"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = send(t, c, nil)
			var e *Error
			if !errors.As(err, &e) || e.Cause() != row.cause || e.Sent() != row.sent || strings.Contains(err.Error(), "very-secret") {
				t.Errorf("%v: %+v", err, e)
			}
		})
	}
}

func TestSend_BoundsTheAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 101)) }))
	defer s.Close()
	for limit, want := range map[int64]error{100: ErrTooLarge, 101: nil} {
		c, err := New(Options{URL: s.URL, MaxBodyBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := send(t, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, want) {
			t.Errorf("limit %d: %v", limit, err)
		}
		resp.Body.Close()
		c.Close()
	}
}

func TestNew_RefusesAddressesItCannotBindACredentialTo(t *testing.T) {
	for _, u := range []string{"", "host/v1", "ftp://h/v1", "http:///v1", "https://u:p@h/v1", "https://h/v1?k=v", "https://h/v1#f", "https://h:bad/"} {
		if _, err := New(Options{URL: u}); err == nil || strings.Contains(err.Error(), ":p@") {
			t.Errorf("%q: %v", u, err)
		}
	}
	if _, err := New(Options{URL: "https://h", Credential: "a\r\nX: y"}); err == nil {
		t.Error("took a credential with a line end")
	}
}

func TestSecret_ComesFromTheEnvironmentOrAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(" from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		return map[string]string{"ACCORDO_SECRET_X": "from-env", "HOME": "home"}[name]
	}
	rows := []struct{ name, reference, want, says string }{
		{"none", "", "", ""},
		{"environment", "ACCORDO_SECRET_X", "from-env", ""},
		{"file", "file:" + path, "from-file", ""},
		{"another variable", "HOME", "", "begins with ACCORDO_SECRET_"},
		{"not set", "ACCORDO_SECRET_Y", "", "is empty"},
		{"no such file", "file:" + path + "x", "", "read the credential"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, err := Secret(row.reference, env)
			if got != row.want || (err != nil) != (row.says != "") || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
