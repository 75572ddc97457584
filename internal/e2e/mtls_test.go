package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A provider's certificate must come from the authority that the file names,
// or from the system's; a provider that asks for a certificate gets the one of
// its pool, and a failed handshake sends no credential.
func TestSecurity_TLSTowardsProviders(t *testing.T) {
	t.Parallel()
	theirs, ours := newAuthority(t, "theirs"), newAuthority(t, "ours")
	clientCert, clientKey := ours.issue("gateway")
	clients := x509.NewCertPool()
	clients.AddCert(ours.cert)
	var names []string
	var sent atomic.Int64 // requests that a provider got
	provide := func(auth tls.ClientAuthType, highest uint16, change func(*x509.Certificate)) string {
		pair, err := tls.LoadX509KeyPair(theirs.issue("provider", change))
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent.Add(1)
			if len(r.TLS.PeerCertificates) > 0 {
				names = append(names, r.TLS.PeerCertificates[0].Subject.CommonName)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","created":1,"model":"chat-1","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth, ClientCAs: clients, MinVersion: tls.VersionTLS10, MaxVersion: highest}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	ca := filepath.Join(theirs.dir, "ca.pem")
	fine := func(*x509.Certificate) {}
	for _, c := range []struct {
		name, endpoint string
		auth           tls.ClientAuthType
		served         bool
		highest        uint16
		change         func(*x509.Certificate)
	}{
		{"the system does not know the authority", "", tls.NoClientCert, false, 0, fine},
		{"another authority", ", ca: " + filepath.Join(ours.dir, "ca.pem"), tls.NoClientCert, false, 0, fine},
		{"the file names the authority", ", ca: " + ca, tls.NoClientCert, true, 0, fine},
		{"TLS 1.2", ", ca: " + ca, tls.NoClientCert, true, tls.VersionTLS12, fine},
		{"TLS 1.1", ", ca: " + ca, tls.NoClientCert, false, tls.VersionTLS11, fine},
		{"a certificate that has expired", ", ca: " + ca, tls.NoClientCert, false, 0, expired},
		{"a certificate of another name", ", ca: " + ca, tls.NoClientCert, false, 0, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"provider.example"}
		}},
		{"a certificate for clients", ", ca: " + ca, tls.NoClientCert, false, 0, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}},
		{"the provider asks for a certificate, the pool has none", ", ca: " + ca, tls.RequireAndVerifyClientCert, false, 0, fine},
		{"the provider asks for a certificate", ", ca: " + ca + ", client_cert: " + clientCert + ", client_key: " + clientKey, tls.RequireAndVerifyClientCert, true, 0, fine},
	} {
		t.Run(c.name, func(t *testing.T) {
			names = nil
			url := provide(c.auth, c.highest, c.change)
			before := sent.Load()
			var more strings.Builder
			more.WriteString("set:\n")
			for _, pool := range []string{"north-floor-a", "north-list-a", "south-reserved-a", "south-list-a"} {
				more.WriteString("  " + pool + ": {endpoint: {url: \"" + url + "/v1\", dialect: openai, secret: ACCORDO_SECRET_TEST" + c.endpoint + "}}\n")
			}
			d := deploy(t, setup{north: &provider{address: "127.0.0.1:1"}, south: &provider{address: "127.0.0.1:1"}, more: more.String()})
			resp, body := d.post(keyOpen, helloBody)
			if served := resp.StatusCode == http.StatusOK; served != c.served {
				t.Errorf("%s %s", resp.Status, body)
			}
			if !c.served && sent.Load() != before {
				t.Error("a request with its credential was sent over a connection that is not to be trusted")
			}
			if c.served && c.auth != tls.NoClientCert && strings.Join(names, "") != "gateway" {
				t.Errorf("the provider saw %q", names)
			}
			if !c.served && resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s %s", resp.Status, body)
			}
		})
	}
}
