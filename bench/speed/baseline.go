//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
)

// dialer connects to the upstream of a baseline: https means TLS with the
// bench's own authority.
func dialer(upstream, roots string) (*url.URL, func() (net.Conn, error), *tls.Config, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, nil, nil, err
	}
	plain := func() (net.Conn, error) { return net.Dial("tcp", u.Host) }
	if u.Scheme != "https" {
		return u, plain, nil, nil
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: u.Hostname()}
	return u, func() (net.Conn, error) { return tls.Dial("tcp", u.Host, c) }, c, nil
}

// runReverseProxy is the role "reverseproxy": what net/http gives who takes
// care, with nothing in between.
func runReverseProxy(args []string) error {
	if len(args) != 3 {
		return errors.New("want ADDRESS UPSTREAM ROOTS")
	}
	u, _, secure, err := dialer(args[1], args[2])
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		FlushInterval: -1,
		BufferPool:    &bufferPool{sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}},
		ErrorLog:      log.New(io.Discard, "", 0),
		Transport: &http.Transport{
			DialContext:     (&net.Dialer{}).DialContext,
			TLSClientConfig: secure, MaxIdleConns: 20_000, MaxIdleConnsPerHost: 20_000, DisableCompression: true,
			ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
		},
	}
	return http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // or a fast answer breaks the request's body
		proxy.ServeHTTP(w, r)
	}))
}

type bufferPool struct{ pool sync.Pool }

// Get takes a buffer.
func (p *bufferPool) Get() []byte { return *p.pool.Get().(*[]byte) }

// Put gives it back.
func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }

// relay passes requests to one upstream and answers back, byte for byte. It
// is the floor for Go: no maps, no goroutine but the connection's, pooled
// connections.
type relay struct {
	dial func() (net.Conn, error)
	mu   sync.Mutex
	idle []*link
}

// link is a connection to the upstream.
type link struct {
	net.Conn
	br *bufio.Reader
}

// runRelay is the role "relay".
func runRelay(args []string) error {
	if len(args) != 3 {
		return errors.New("want ADDRESS UPSTREAM ROOTS")
	}
	_, dial, _, err := dialer(args[1], args[2])
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", args[0])
	if err != nil {
		return err
	}
	r := &relay{dial: dial}
	accept(ln, r.serve)
	return nil
}

func (r *relay) take() (*link, error) {
	r.mu.Lock()
	if n := len(r.idle); n > 0 {
		l := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.mu.Unlock()
		return l, nil
	}
	r.mu.Unlock()
	conn, err := r.dial()
	if err != nil {
		return nil, err
	}
	return &link{conn, bufio.NewReaderSize(conn, 16<<10)}, nil
}

func (r *relay) serve(conn net.Conn) {
	br := bufio.NewReaderSize(conn, 32<<10)
	var room []byte
	for {
		var h head
		var err error
		if room, h, err = readHead(br, room[:0]); err != nil || h.chunked {
			return
		}
		up, err := r.take()
		if err != nil {
			fmt.Fprintf(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		if err := exchange(conn, br, up, room, &h); err != nil {
			up.Close()
			return
		}
		r.mu.Lock()
		r.idle = append(r.idle, up)
		r.mu.Unlock()
	}
}

// exchange sends one request, whose head was read, and passes the answer back.
func exchange(conn net.Conn, br *bufio.Reader, up *link, room []byte, h *head) error {
	if p, _ := br.Peek(br.Buffered()); h.length > 0 && len(p) >= h.length {
		room = append(room, p[:h.length]...) // one write for head and body
		_, _ = br.Discard(h.length)
		h.length = 0
	}
	if _, err := up.Write(room); err != nil {
		return err
	}
	if err := pass(up, br, nil, h); err != nil {
		return err
	}
	answer, a, err := readHead(up.br, room[:0])
	if err != nil {
		return err
	}
	return pass(conn, up.br, answer, &a)
}

// pass writes first and the body that follows in br, as it comes.
func pass(dst net.Conn, br *bufio.Reader, first []byte, h *head) error {
	var c chunks
	for left := h.length; h.chunked || left > 0 || first != nil; {
		if first == nil {
			if _, err := br.Peek(1); err != nil {
				return err
			}
		}
		p, _ := br.Peek(br.Buffered())
		done := false
		if h.chunked {
			n, end, err := c.feed(p, nil)
			if err != nil {
				return err
			}
			p, done = p[:n], end
		} else {
			p = p[:max(0, min(left, len(p)))]
			left -= len(p)
		}
		out := p
		if first != nil {
			out = append(first, p...)
			first = nil
		}
		if _, err := dst.Write(out); err != nil {
			return err
		}
		_, _ = br.Discard(len(p))
		if done {
			return nil
		}
	}
	return nil
}
