package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// selfMade is a certificate that is its own authority, as the files of a
// listener: cert, which is the authority too, and key.
func selfMade(t *testing.T, cert, key string) tls.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"listener"},
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// A session of TLS goes on while the authority of its client is in force, and
// not behind a reload that took it away.
func TestCertificates_ASessionEndsWithItsAuthority(t *testing.T) {
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")
	selfMade(t, cert, key)
	client := selfMade(t, ca, filepath.Join(dir, "client-key"))
	c, err := newCertificates(&UpOptions{TLSCert: cert, TLSKey: key}, ca)
	if err != nil {
		t.Fatal(err)
	}
	server := c.config() // one for all connections, as a listener has it
	sessions := tls.NewLRUClientSessionCache(1)
	visit := func() (tls.ConnectionState, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		answered := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, err = tls.Server(conn, server).Write([]byte{1})
				defer conn.Close()
			}
			answered <- err
		}()
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{
			InsecureSkipVerify: true, ServerName: "listener", Certificates: []tls.Certificate{client},
			NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: sessions,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 1)) // takes the ticket of the session
		return conn.ConnectionState(), <-answered
	}
	for _, resumed := range []bool{false, true} {
		state, err := visit()
		if err != nil || state.DidResume != resumed || state.NegotiatedProtocol != "h2" {
			t.Fatalf("resumed %v, protocol %q, %v", state.DidResume, state.NegotiatedProtocol, err)
		}
	}
	selfMade(t, ca, filepath.Join(dir, "another-key"))
	if err := c.read(); err != nil {
		t.Fatal(err)
	}
	if _, err := visit(); err == nil {
		t.Error("a client of the authority that was taken away goes on with its session")
	}
}
