package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// A provider's certificate must come from the authority that the file names,
// or from the system's; a provider that asks for a certificate gets the one of
// its pool, and a failed handshake sends no credential.
func TestSecurity_TLSTowardsProviders(t *testing.T) {
	t.Parallel()
	theirs, ours := newAuthority(t, "theirs"), newAuthority(t, "ours")
	serverCert, serverKey := theirs.issue("provider")
	clientCert, clientKey := ours.issue("gateway")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ours.cert)
	var names []string
	provide := func(auth tls.ClientAuthType) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) > 0 {
				names = append(names, r.TLS.PeerCertificates[0].Subject.CommonName)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","created":1,"model":"chat-1","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth, ClientCAs: clients}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	ca := filepath.Join(theirs.dir, "ca.pem")
	for _, c := range []struct {
		name, endpoint string
		auth           tls.ClientAuthType
		served         bool
	}{
		{"the system does not know the authority", "", tls.NoClientCert, false},
		{"another authority", ", ca: " + filepath.Join(ours.dir, "ca.pem"), tls.NoClientCert, false},
		{"the file names the authority", ", ca: " + ca, tls.NoClientCert, true},
		{"the provider asks for a certificate, the pool has none", ", ca: " + ca, tls.RequireAndVerifyClientCert, false},
		{"the provider asks for a certificate", ", ca: " + ca + ", client_cert: " + clientCert + ", client_key: " + clientKey, tls.RequireAndVerifyClientCert, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			names = nil
			url := provide(c.auth)
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
			if c.served && c.auth != tls.NoClientCert && strings.Join(names, "") != "gateway" {
				t.Errorf("the provider saw %q", names)
			}
			if !c.served && resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s %s", resp.Status, body)
			}
		})
	}
}
