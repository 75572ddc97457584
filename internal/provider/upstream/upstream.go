// Package upstream calls the provider of one pool over HTTP. The address
// comes from the alliance file only, the credential is bound to that address,
// connections are kept alive, and nothing is followed, retried or cached. It
// refuses to choose pools, to read answers and to decide how long to wait:
// route, dialect and gateway do.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of a client; Options may set others where it has a field.
const (
	DefaultMaxConnections = 4096
	DefaultMaxBodyBytes   = 256 << 20
	MaxHeaderBytes        = 64 << 10
	DialTimeout           = 5 * time.Second
	HandshakeTimeout      = 5 * time.Second
	IdleTimeout           = 30 * time.Second
	keepAlive             = 15 * time.Second
	readBuffer            = 16 << 10
)

// Options describe one pool's provider.
type Options struct {
	// URL is the base address up to and including the version.
	URL string
	// Credential is sent as a bearer token; empty: none.
	Credential string
	// Dial replaces the network, for a unix socket or a server in the same
	// process; nil: TCP. The address is the URL's host and port.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are the trusted certificate authorities; nil: the system's.
	Roots *x509.CertPool
	// Certificates are shown to a provider that asks for one.
	Certificates []tls.Certificate
	// MaxConnections bounds open connections; 0: DefaultMaxConnections.
	MaxConnections int
	// MaxBodyBytes bounds one answer; 0: DefaultMaxBodyBytes.
	MaxBodyBytes int64
	// Standard calls through net/http's Transport instead of this package's
	// own connections: the reference that tests compare them with.
	Standard bool
}

// Client calls one provider. It is safe for concurrent use.
type Client struct {
	base       url.URL
	path       string // of base, escaped
	host       string
	credential string          // with its scheme
	transport  *http.Transport // set: Options.Standard
	pool       *pool           // else
	maxBody    int64
}

// New checks the options and returns a client. It does not connect.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the endpoint %q is not an address: %w", o.URL, err)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the endpoint %q needs the scheme https (or http on a network of your own)", o.URL)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the endpoint %q must be scheme, host and path only; put the credential into secret", u.Redacted())
	case strings.ContainsAny(o.Credential, "\r\n\x00"):
		return nil, errors.New("the credential contains a line end; write it on one line")
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: DialTimeout, KeepAlive: keepAlive}).DialContext
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	c := &Client{base: *u, path: u.EscapedPath(), host: u.Host, maxBody: o.MaxBodyBytes}
	if o.Credential != "" {
		c.credential = "Bearer " + o.Credential
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, Certificates: o.Certificates, ServerName: u.Hostname(), ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if !o.Standard && ascii(u.Host) { // the Transport knows how to write other names
		c.pool = newPool(u, o.Dial, secure, o.MaxConnections)
		return c, nil
	}
	c.transport = &http.Transport{
		Proxy:                  nil, // an environment variable must not move traffic
		DialContext:            o.Dial,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    HandshakeTimeout,
		MaxIdleConns:           o.MaxConnections,
		MaxIdleConnsPerHost:    o.MaxConnections,
		MaxConnsPerHost:        o.MaxConnections,
		IdleConnTimeout:        IdleTimeout,
		MaxResponseHeaderBytes: MaxHeaderBytes,
		ReadBufferSize:         readBuffer,
		WriteBufferSize:        readBuffer,
		DisableCompression:     true,
	}
	return c, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] > '~' {
			return false
		}
	}
	return true
}

// Close closes idle connections. Calls under way go on.
func (c *Client) Close() {
	if c.pool != nil {
		c.pool.close()
		return
	}
	c.transport.CloseIdleConnections()
}

// forwarded are the client's headers that a provider may see. The last is in a
// spelling that no client's header has in net/http: it is the gateway's own.
var forwarded = [...]string{"Openai-Beta", "User-Agent", "X-Stainless-Lang", "X-Stainless-Package-Version", "X-Stainless-Runtime", "X-Stainless-Runtime-Version", "X-Stainless-Os", "X-Stainless-Arch", "traceparent"}

// Error is a call that got no answer. Sent says whether the provider may have
// seen the request and so may bill it.
type Error struct {
	Kind string // a short constant: dial, tls, reset, cancelled, protocol
	sent bool
	err  error
}

// Error says what happened; it holds no credential.
func (e *Error) Error() string { return "call upstream: " + e.Kind + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Sent says whether any byte of the request may have reached the provider.
func (e *Error) Sent() bool { return e.sent }

// Cause is the Kind.
func (e *Error) Cause() string { return e.Kind }

// Send posts body to path below the base address and returns the answer's
// header; the caller reads and closes its body, whose size is bounded. The
// pieces must not change before the answer's body is closed, or Send has
// returned an error. ctx cancels the call at any point. Redirects are returned as they are.
func (c *Client) Send(ctx context.Context, path, attempt, requestID string, client http.Header, body [][]byte) (*http.Response, error) {
	var resp *http.Response
	var err error
	sent := false
	var room [len(forwarded) + 5]field
	fields := c.fields(room[:0], attempt, requestID, client)
	var limit *bounded
	if c.pool != nil {
		var r *reply
		if r, sent, err = c.pool.roundTrip(ctx, c.path, path, fields, body); err == nil {
			resp, limit = &r.resp, &r.whole
		}
	} else {
		resp, sent, err = c.standard(ctx, path, fields, body)
		limit = new(bounded)
	}
	if err != nil {
		return nil, classify(ctx, err, sent)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		resp.Body.Close()
		return nil, &Error{"protocol", true, fmt.Errorf("the answer is encoded as %q, which was not asked for", enc)}
	}
	*limit = bounded{ReadCloser: resp.Body, left: c.maxBody}
	resp.Body = limit
	return resp, nil
}

// field is one line of a request's header.
type field struct{ name, value string }

// fields appends the header of a call, without what the way of sending adds.
func (c *Client) fields(list []field, attempt, requestID string, client http.Header) []field {
	agent := false
	for _, name := range forwarded {
		if v := client[name]; len(v) == 1 && sane(v[0]) {
			list = append(list, field{name, v[0]})
			agent = agent || name == "User-Agent"
		}
	}
	if !agent {
		list = append(list, field{"User-Agent", "accordo"})
	}
	list = append(list, field{"Content-Type", "application/json"}, field{"X-Accordo-Attempt", attempt}, field{"X-Request-Id", requestID})
	if c.credential != "" {
		list = append(list, field{"Authorization", c.credential})
	}
	return list
}

// sane reports whether a value may stand in a header: no line ends, no
// control characters.
func sane(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// standard calls through net/http's Transport.
func (c *Client) standard(ctx context.Context, path string, fields []field, body [][]byte) (resp *http.Response, sent bool, err error) {
	p := &pieces{list: body}
	p.of = p
	for _, b := range body {
		p.left += int64(len(b))
	}
	u := c.base
	u.Path += path
	h := make(http.Header, len(fields))
	for _, f := range fields {
		h[f.name] = []string{f.value}
	}
	r := (&http.Request{Method: http.MethodPost, URL: &u, Host: c.host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: p, ContentLength: p.left}).WithContext(ctx)
	length := p.left
	r.GetBody = func() (io.ReadCloser, error) {
		p.begin()
		return &pieces{list: body, left: length, of: p}, nil
	}
	p.begin()
	if resp, err = c.transport.RoundTrip(r); err != nil {
		p.use.Wait()
		return nil, p.read.Load(), err
	}
	resp.Body = &waiting{resp.Body, p}
	return resp, true, nil
}

// waiting is the body of an answer whose Close waits until the Transport has
// let go of the request.
type waiting struct {
	io.ReadCloser
	request *pieces
}

// Close closes the body and waits.
func (w *waiting) Close() error {
	err := w.ReadCloser.Close()
	w.request.use.Wait()
	return err
}

func classify(ctx context.Context, err error, sent bool) *Error {
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	kind := "reset"
	switch {
	case ctx.Err() != nil:
		kind = "cancelled"
	case errors.As(err, &cert), errors.As(err, &record), strings.Contains(err.Error(), "tls: "):
		kind = "tls"
	case errors.As(err, &op) && op.Op == "dial", !sent:
		kind, sent = "dial", false
	case malformed(err):
		kind = "protocol"
	}
	return &Error{kind, sent, err}
}

// malformed reports whether an answer came that is not HTTP as it should be.
// net/http has no errors of their own for it.
func malformed(err error) bool {
	if errors.Is(err, errHeaderTooLarge) {
		return true
	}
	for _, words := range [...]string{"malformed", "Content-Length", "transfer encoding", "response headers exceeded"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// pieces reads a list of byte slices and notes whether anyone began to.
type pieces struct {
	list   [][]byte
	at     int // in the first slice
	left   int64
	read   atomic.Bool
	of     *pieces // the first of those that send the same request
	use    sync.WaitGroup
	closed sync.Once
}

// begin counts a reader, until it closes.
func (p *pieces) begin() { p.use.Add(1) }

// Read reads the next bytes.
func (p *pieces) Read(dst []byte) (n int, err error) {
	p.of.read.Store(true)
	for n < len(dst) && len(p.list) > 0 {
		k := copy(dst[n:], p.list[0][p.at:])
		n, p.at = n+k, p.at+k
		if p.at == len(p.list[0]) {
			p.list, p.at = p.list[1:], 0
		}
	}
	if n == 0 && len(dst) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close ends the use of the slices, which are the caller's.
func (p *pieces) Close() error {
	p.closed.Do(p.of.use.Done)
	return nil
}

// ErrTooLarge reports an answer above the limit.
var ErrTooLarge = errors.New("the answer of the provider is too large")

type bounded struct {
	io.ReadCloser
	left int64
}

// Read fails once more than the limit was read.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		n, err := b.ReadCloser.Read(one[:])
		if n > 0 {
			return 0, ErrTooLarge
		}
		return 0, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
