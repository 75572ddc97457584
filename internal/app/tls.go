package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
)

// maxCertificates bounds a file of certificates in bytes.
const maxCertificates = 4 << 20

// serverTLS is the configuration of a listener, nil for a plain one. With a
// file of certificate authorities only clients are let in that show a
// certificate of one of them.
func serverTLS(o *UpOptions, clientCA string) (*tls.Config, error) {
	if o.TLSCert == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if clientCA != "" {
		pool, err := authorities(clientCA)
		if err != nil {
			return nil, err
		}
		c.ClientCAs, c.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// authorities reads certificate authorities in PEM.
func authorities(file string) (*x509.CertPool, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	if info.Size() > maxCertificates {
		return nil, fmt.Errorf("%s is larger than %d bytes: give a file of certificates in PEM", file, maxCertificates)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// endpointTLS adds the certificates that the terms name for a pool.
func endpointTLS(e *alliance.Endpoint, o *upstream.Options) (err error) {
	if e.CA != "" {
		if o.Roots, err = authorities(e.CA); err != nil {
			return err
		}
	}
	if e.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(e.ClientCert, e.ClientKey)
		if err != nil {
			return fmt.Errorf("read the client certificate %s: %w", e.ClientCert, err)
		}
		o.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// onlyLoopbackNames refuses requests to a loopback listener under a name that
// is not loopback's: a page of another site can give its own name our address
// (DNS rebinding), but cannot make a browser ask for an address.
func onlyLoopbackNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
			host = host[1 : len(host)-1]
		}
		if host != "localhost" && net.ParseIP(host) == nil {
			http.Error(w, "This address answers to localhost and to IP addresses only.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
