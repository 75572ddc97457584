package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// pool keeps the HTTP/1.1 connections to one address. A call writes its
// request and reads its answer in its own goroutine; reply parses the answers
// of the common kind, net/http all others. What that saves against net/http's Transport are two goroutines a
// connection and the hand-offs between them.
type pool struct {
	host    string // as the Host line has it
	address string // to dial
	secure  *tls.Config
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	slots   chan struct{} // one taken for every call under way
	outs    sync.Pool     // of *[]byte: what is being written, at most a header or inlineBytes
	aheads  sync.Pool     // of *[aheadBytes]byte

	mu     sync.Mutex
	idle   []*link // used last at the end
	timer  *time.Timer
	closed bool
}

// link is one connection, owned by one call or idle.
type link struct {
	pool     *pool
	net.Conn          // with TLS where there is TLS
	raw      net.Conn // below TLS
	gate     *gate    // between the two; nil: no TLS
	probe    probe    // of raw
	cut      func()   // ends what the call under way waits for
	br       *bufio.Reader
	left     int64  // that may still be read: bounds the header
	ahead    []byte // arrived and not read yet, in room
	room     *[aheadBytes]byte
	fast     bool      // the last read took all it could
	since    time.Time // idle
	used     bool      // has had a call before
	partial  bool      // a request was not written to its end
	written  chan struct{}
}

// inlineBytes is the length up to which a request is written before its
// answer is read: it fits the smallest window of a connection that is at
// rest, so that a provider that answers without reading cannot block it.
const inlineBytes = 32 << 10

// linkBuffer is what a connection holds to read; a body that is read into
// more passes it by.
const linkBuffer = 2 << 10

var errHeaderTooLarge = errors.New("the header of the answer is too large")

func newPool(u *url.URL, dial func(context.Context, string, string) (net.Conn, error), secure *tls.Config, most int) *pool {
	p := &pool{host: u.Host, address: u.Host, dial: dial, slots: make(chan struct{}, most)}
	p.outs.New, p.aheads.New = func() any { return new([]byte) }, func() any { return new([aheadBytes]byte) }
	port := "80"
	if u.Scheme == "https" {
		p.secure, port = secure, "443"
	}
	if u.Port() == "" {
		p.address = net.JoinHostPort(u.Hostname(), port)
	}
	return p
}

// roundTrip posts body and returns the answer, whose body must be closed.
// sent says whether the other side may have seen a byte.
func (p *pool) roundTrip(ctx context.Context, base, path string, fields []field, body [][]byte) (r *reply, sent bool, err error) {
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	for {
		l, err := p.take(ctx)
		if err != nil {
			<-p.slots
			return nil, false, err
		}
		stop := afterFunc(ctx, l.cut)
		r, sent, err := l.exchange(p.host, base, path, fields, body)
		if err != nil {
			stop()
			l.drop()
			if l.used && !sent && ctx.Err() == nil {
				continue // closed by the other side while it was idle
			}
			<-p.slots
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, sent, err
		}
		r.answer = answer{body: r.resp.Body, pool: p, link: l, ctx: ctx, stop: stop, keep: !r.resp.Close && r.resp.StatusCode >= 200}
		r.resp.Body = &r.answer
		return r, true, nil
	}
}

// afterFunc is context.AfterFunc, without its allocations where the context
// has a method for it.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// take returns an idle connection that is alive, or a new one.
func (p *pool) take(ctx context.Context) (*link, error) {
	for {
		p.mu.Lock()
		n := len(p.idle) - 1
		if n < 0 {
			p.mu.Unlock()
			return p.connect(ctx)
		}
		l := p.idle[n]
		p.idle[n] = nil
		p.idle = p.idle[:n]
		p.mu.Unlock()
		if time.Since(l.since) < IdleTimeout && l.probe.alive() {
			l.used = true
			return l, nil
		}
		_ = l.Close()
	}
}

func (p *pool) connect(ctx context.Context) (*link, error) {
	conn, err := p.dial(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	l := &link{pool: p, Conn: conn, raw: conn, left: math.MaxInt64}
	if p.secure != nil {
		limited, cancel := context.WithTimeout(ctx, HandshakeTimeout)
		defer cancel()
		l.gate = &gate{Conn: conn}
		secured := tls.Client(l.gate, p.secure)
		if err := secured.HandshakeContext(limited); err != nil {
			_ = conn.Close()
			return nil, &handshakeError{err}
		}
		l.Conn = secured
	}
	l.br = bufio.NewReaderSize(limitedReader{l}, linkBuffer)
	l.probe.of(l.raw)
	l.cut = func() { _ = l.SetDeadline(time.Unix(1, 0)) }
	return l, nil
}

// handshakeError is a TLS handshake that failed, for classify.
type handshakeError struct{ err error }

// Error says what failed.
func (e *handshakeError) Error() string { return "tls: handshake: " + e.err.Error() }

// Unwrap returns the cause.
func (e *handshakeError) Unwrap() error { return e.err }

// put makes a connection idle.
func (p *pool) put(l *link) {
	l.since, l.fast = time.Now(), false
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = l.Close()
		return
	}
	p.idle = append(p.idle, l)
	if p.timer == nil {
		p.timer = time.AfterFunc(IdleTimeout, p.sweep)
	}
}

// sweep closes what has been idle too long. Its timer runs while anything is
// idle.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, old := time.Now(), 0
	for old < len(p.idle) && now.Sub(p.idle[old].since) >= IdleTimeout {
		_ = p.idle[old].Close()
		old++
	}
	n := copy(p.idle, p.idle[old:])
	clear(p.idle[n:])
	p.idle = p.idle[:n]
	if p.timer = nil; n > 0 {
		p.timer = time.AfterFunc(IdleTimeout-now.Sub(p.idle[0].since), p.sweep)
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.idle {
		_ = l.Close()
	}
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// limitedReader reads from a link no more than its limit. While bytes come
// faster than the link's small buffer takes them it reads further ahead, into
// memory that the link holds only meanwhile.
type limitedReader struct{ l *link }

// Read fails once the limit is used up.
func (r limitedReader) Read(b []byte) (int, error) {
	l := r.l
	if l.left <= 0 {
		return 0, errHeaderTooLarge
	}
	if int64(len(b)) > l.left {
		b = b[:l.left]
	}
	if len(l.ahead) == 0 && !l.fast {
		n, err := l.Conn.Read(b)
		l.fast, l.left = n == len(b), l.left-int64(n)
		return n, err
	}
	if len(l.ahead) == 0 {
		l.room = l.pool.aheads.Get().(*[aheadBytes]byte)
		n, err := l.Conn.Read(l.room[:])
		l.ahead, l.fast = l.room[:n], n == aheadBytes
		if n == 0 {
			l.forget()
			return 0, err
		} // an error comes again
	}
	n := copy(b, l.ahead)
	l.left -= int64(n)
	if l.ahead = l.ahead[n:]; len(l.ahead) == 0 {
		l.forget()
	}
	return n, nil
}

// forget lets go of the memory for reading ahead, and of what is in it.
func (l *link) forget() {
	if l.room != nil {
		l.pool.aheads.Put(l.room)
	}
	l.ahead, l.room = nil, nil
}

// more reports whether so much has arrived that reading on does not wait.
func (l *link) more() bool { return len(l.ahead) >= surelyMore }

const (
	aheadBytes = 32 << 10
	// surelyMore is longer than any line between two chunks.
	surelyMore = 256
)

// exchange writes a request and reads the header of its answer.
func (l *link) exchange(host, base, path string, fields []field, body [][]byte) (r *reply, sent bool, err error) {
	length := 0
	for _, b := range body {
		length += len(b)
	}
	out := l.pool.outs.Get().(*[]byte)
	*out = appendHeader((*out)[:0], host, base, path, fields, length)
	var failed error
	if l.written = nil; len(*out)+length <= inlineBytes {
		for _, b := range body {
			*out = append(*out, b...)
		}
		var n int
		n, failed = l.Conn.Write(*out)
		if l.pool.outs.Put(out); failed != nil {
			if n == 0 {
				return nil, false, failed
			}
			l.partial = true
		}
	} else {
		l.send(out, body)
	}
	// A write that failed does not mean that there is no answer.
	r = new(reply)
	for l.left = MaxHeaderBytes; err == nil; {
		if r.common(l.br) {
			l.left = math.MaxInt64
			return r, true, nil
		}
		var resp *http.Response
		resp, err = http.ReadResponse(l.br, nil)
		// What is informational comes before the answer, within the same limit.
		if err == nil && (resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols) {
			l.left = math.MaxInt64
			r.resp = *resp
			return r, true, nil
		}
	}
	switch {
	case failed != nil:
		err = failed
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return nil, true, err
}

// appendHeader appends the head of a request.
func appendHeader(b []byte, host, base, path string, fields []field, length int) []byte {
	b = append(b, "POST "...)
	b = append(b, base...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(length), 10)
	for _, f := range fields {
		b = append(b, "\r\n"...)
		b = append(b, f.name...)
		b = append(b, ": "...)
		b = append(b, f.value...)
	}
	return append(b, "\r\n\r\n"...)
}

// send writes a long request while its answer is being read: a provider may
// answer before it has read all, and stop reading.
func (l *link) send(out *[]byte, body [][]byte) {
	written := make(chan struct{})
	l.written = written
	pieces := make(net.Buffers, 0, len(body)+1)
	pieces = append(append(pieces, *out), body...)
	go func() {
		defer close(written)
		defer l.pool.outs.Put(out)
		if _, err := pieces.WriteTo(l.Conn); err != nil {
			// What the other side has answered is there; do not wait for more.
			l.partial = true
			_ = l.SetReadDeadline(time.Now().Add(earlyAnswer))
		}
	}()
}

// earlyAnswer is how long an answer to a half-written request may take.
const earlyAnswer = time.Second

// drop closes the connection and waits for a request that is being written.
func (l *link) drop() {
	_ = l.Close()
	l.forget()
	if l.written != nil {
		<-l.written
	}
}

// lateWrite is how long a request may still be being written when its answer
// is complete, for the connection to be kept.
const lateWrite = 5 * time.Millisecond

// whole reports whether the request was written to its end.
func (l *link) whole() bool {
	if l.written != nil {
		select {
		case <-l.written:
		default: // its goroutine may only have to run once more
			select {
			case <-l.written:
			case <-time.After(lateWrite):
				return false
			}
		}
	}
	return !l.partial
}

// silent reports whether TLS has nothing that came behind the answer. It may
// have read a record more than was asked for, which alive cannot see, and which
// would be taken for the answer of the next call.
func (l *link) silent() bool {
	if l.gate == nil {
		return true
	}
	l.gate.shut = true // what is not here yet is alive's to find
	var one [1]byte
	n, err := l.Conn.Read(one[:])
	l.gate.shut = false
	return n == 0 && err == os.ErrDeadlineExceeded
}

// gate is a connection below TLS that can be shut to TLS: as a deadline that
// has passed would do, at less cost.
type gate struct {
	net.Conn
	shut bool // to reads; belongs to who reads
}

// Read reads nothing while the gate is shut.
func (g *gate) Read(b []byte) (int, error) {
	if g.shut {
		return 0, os.ErrDeadlineExceeded
	}
	return g.Conn.Read(b)
}

// answer is the body of an answer. Its end gives the connection back.
type answer struct {
	body io.ReadCloser
	pool *pool
	link *link // nil once it is given back or closed
	ctx  context.Context
	stop func() bool
	keep bool // the connection may serve another call
	err  error
}

// Read reads the body.
func (a *answer) Read(b []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.body.Read(b)
	for err == nil && n < len(b) && a.link.more() {
		var k int
		k, err = a.body.Read(b[n:])
		n += k
	}
	if err == nil {
		return n, nil
	}
	if err != io.EOF && a.ctx.Err() != nil {
		err = a.ctx.Err()
	}
	a.err = err
	a.end(err == io.EOF)
	return n, err
}

// Close closes the connection of a body that was not read to its end.
func (a *answer) Close() error {
	a.end(a.body == http.NoBody)
	if a.err == nil {
		a.err = http.ErrBodyReadAfterClose
	}
	return nil
}

func (a *answer) end(complete bool) {
	l := a.link
	if l == nil {
		return
	}
	a.link = nil
	// A cancellation that has begun may still set the deadline.
	if a.stop() && complete && a.keep && l.whole() && l.br.Buffered() == 0 && len(l.ahead) == 0 && l.silent() {
		l.written = nil
		a.pool.put(l)
	} else {
		l.drop()
	}
	<-a.pool.slots
}
