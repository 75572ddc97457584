package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
)

// maxCertificates bounds a file of certificates in bytes.
const maxCertificates = 4 << 20

// certificates are those of a listener. They are read from their files at the
// start and at each reload; what cannot be read leaves the old ones in force.
type certificates struct {
	cert, key, clientCA string
	now                 atomic.Pointer[tls.Config]
}

// newCertificates reads the files of a listener; nil where it is a plain one.
// With a file of certificate authorities only clients are let in that show a
// certificate of one of them.
func newCertificates(o *UpOptions, clientCA string) (*certificates, error) {
	if o.TLSCert == "" {
		return nil, nil
	}
	c := &certificates{cert: o.TLSCert, key: o.TLSKey, clientCA: clientCA}
	return c, c.read()
}

// read reads the files. A session of TLS that began before goes on only where
// the authority of its client is still in force.
func (c *certificates) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read the certificate %s and its key: %w", c.cert, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.clientCA != "" {
		if config.ClientCAs, err = authorities(c.clientCA); err != nil {
			return err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.now.Store(config)
	return nil
}

// config is for a server: each handshake takes the certificates in force.
func (c *certificates) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now.Load(), nil },
	}
}

// rereadCertificates reads the files of both listeners again.
func (s *server) rereadCertificates(of ...*certificates) {
	for _, c := range of {
		if c == nil {
			continue
		}
		if err := c.read(); err != nil {
			s.o.Log.Error("the listener's certificates stay as they are", "error", err)
			continue
		}
		s.o.Log.Info("the listener's certificates are read again", "file", c.cert)
	}
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
			admin.Refuse(w, http.StatusMisdirectedRequest, "This address answers to localhost and to IP addresses only: ask for it under one of them.")
			return
		}
		next.ServeHTTP(w, r)
	})
}
