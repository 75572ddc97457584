package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
)

// endpoints looks at credentials, certificates and addresses of pools.
func (d *doctor) endpoints(ctx context.Context, a *alliance.Alliance) {
	standIns, reached := 0, map[string]error{}
	for i := range a.Pools {
		p := &a.Pools[i]
		if p.StandIn != nil {
			standIns++
			continue
		}
		about := "pool " + string(p.ID)
		credential, err := upstream.Secret(p.Endpoint.Secret, os.Getenv)
		if err != nil {
			d.wrong(about, "give the credential to the process that serves, and to this one: export "+p.Endpoint.Secret+"=…, or a file that secret names", "%s", err)
			continue
		}
		d.secretFile(about, p.Endpoint.Secret)
		options := upstream.Options{URL: p.Endpoint.URL, Credential: credential}
		if err := endpointTLS(&p.Endpoint, &options); err != nil {
			d.wrong(about, "put the file back, or take it out of the endpoint", "%s", err)
			continue
		}
		u, err := url.Parse(p.Endpoint.URL)
		if err != nil {
			continue // the loader has refused it
		}
		if u.Scheme == "http" && credential != "" && !loopbackHost(u.Hostname()) {
			d.note(about, "https:, unless nobody else is on that network", "the credential goes to %s in clear", u.Host)
		}
		place := u.Scheme + "://" + u.Host + p.Endpoint.CA + p.Endpoint.ClientCert
		if _, known := reached[place]; !known && len(reached) < maxUpstreamsSeen {
			reached[place] = d.reach(ctx, about, u, &options)
		}
		if reached[place] == nil && d.o.Call {
			d.call(ctx, about, &options)
		}
	}
	if standIns > 0 {
		d.note("pools", "", "%d of %d pools are answered by stand-ins; their providers are not called", standIns, len(a.Pools))
	}
}

func (d *doctor) secretFile(about, reference string) {
	path, isFile := strings.CutPrefix(reference, "file:")
	if !isFile {
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.note(about, "chmod 600 "+path, "others can read the credential: its file has mode %o", info.Mode().Perm())
	}
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// reach opens a connection, with TLS where there is TLS, and sends nothing.
func (d *doctor) reach(ctx context.Context, about string, u *url.URL, o *upstream.Options) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	begin := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		d.wrong(about, "check the address in the file, name service, routes and firewalls", "%s cannot be reached: %s", address, err)
		return err
	}
	defer conn.Close()
	if u.Scheme == "http" {
		d.fine(about, "%s accepts connections (%s)", address, time.Since(begin).Round(time.Millisecond))
		return nil
	}
	secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, Certificates: o.Certificates, ServerName: u.Hostname()})
	if err := secured.HandshakeContext(ctx); err != nil {
		d.wrong(about, tlsRemedy(err, u.Hostname()), "%s does not agree on TLS: %s", address, err)
		return err
	}
	state := secured.ConnectionState()
	d.fine(about, "%s speaks %s (%s)", address, tls.VersionName(state.Version), time.Since(begin).Round(time.Millisecond))
	if until := state.PeerCertificates[0].NotAfter; until.Before(d.o.Now.Add(expirySoon)) {
		d.note(about, "ask the provider to renew it", "the certificate of %s ends on %s", address, until.UTC().Format(time.DateOnly))
	}
	return nil
}

// tlsRemedy says what to do about a handshake that failed.
func tlsRemedy(err error, host string) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var sent *net.OpError
	switch {
	case errors.As(err, &plain):
		return "there is no TLS at that port: check the port, or write http: where the network is private"
	case errors.As(err, &unknown):
		return "if the provider has authorities of its own, name their file as the endpoint's ca; if not, somebody else may answer there"
	case errors.As(err, &name):
		return "write the name that the certificate is for into the endpoint's url, instead of " + host
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "look at this machine's clock; if it is right, ask the provider for a certificate that is valid"
	case errors.As(err, &sent) && sent.Op == "remote error": // an alert of the other side
		return "the provider refuses this client: give the endpoint its client_cert and client_key, or newer ones"
	}
	return "a certificate of this name from an authority that this machine or the endpoint's ca knows"
}

// call asks the provider for its models, which costs nothing.
func (d *doctor) call(ctx context.Context, about string, o *upstream.Options) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(o.URL, "/")+"/models", nil)
	if err != nil {
		return
	}
	if o.Credential != "" {
		r.Header.Set("Authorization", "Bearer "+o.Credential)
	}
	client := http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, Certificates: o.Certificates}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		d.wrong(about, "look at the provider's status page", "GET /models: %s", err)
		return
	}
	defer resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if off := d.o.Now.Sub(at).Abs(); off > time.Minute {
			d.wrong("clock", "set the clock, and keep it with NTP", "this machine and %s are %s apart", r.URL.Host, off.Round(time.Second))
		}
	}
	switch c := resp.StatusCode; {
	case c == http.StatusOK:
		d.fine(about, "answers GET /models")
	case c == http.StatusUnauthorized || c == http.StatusForbidden:
		d.wrong(about, "put the right credential into what secret names", "the provider refuses the credential (status %d)", c)
	default:
		d.note(about, "check that the address goes up to the version, such as https://host/v1", "GET /models has status %d", c)
	}
}
