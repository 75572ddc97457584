package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is what a caller sees of one call.
type seen struct {
	Status int
	Header http.Header
	Body   string
	Cause  string // of Send
	Sent   bool
	Broken bool // the body ended with an error
}

func look(c *Client, body [][]byte) (s seen) {
	resp, err := c.Send(context.Background(), "/chat/completions", "att-1", "req-1", http.Header{"User-Agent": {"sdk"}}, body)
	var e *Error
	if errors.As(err, &e) {
		s.Cause, s.Sent = e.Cause(), e.Sent()
		return s
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	s.Status, s.Header, s.Body, s.Broken = resp.StatusCode, resp.Header, string(b), err != nil
	return s
}

// rawServer answers every request with the bytes that say returns, and closes
// the connection unless it keeps it.
type rawServer struct {
	net.Listener
	connections atomic.Int64
}

func startRaw(t *testing.T, secure *tls.Config, say func() (text string, keep bool)) *rawServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	s := &rawServer{Listener: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			wg.Go(func() {
				defer conn.Close()
				br := bufio.NewReader(conn)
				for keep := true; keep; {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return
					}
					var text string
					text, keep = say()
					if _, err := io.WriteString(conn, text); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return s
}

func both(t *testing.T, o Options) (ours, standard *Client) {
	t.Helper()
	ours, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Standard = true
	standard, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ours.Close)
	t.Cleanup(standard.Close)
	return ours, standard
}

// awaitEnd waits until the other side's end has arrived.
func awaitEnd(c *Client) {
	for len(c.pool.idle) > 0 && c.pool.idle[0].probe.alive() {
		time.Sleep(time.Millisecond)
	}
}

var answers = map[string]string{
	"with a length":           "HTTP/1.1 200 OK\r\nContent-Type: a\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 5\r\n\r\nhello",
	"of no length":            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"without content":         "HTTP/1.1 204 No Content\r\n\r\n",
	"in chunks":               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
	"in chunks with trailer":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
	"until the end":           "HTTP/1.1 200 OK\r\n\r\nhello",
	"closing":                 "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
	"of an old server":        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"after early hints":       "HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"refusing":                "HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno",
	"with more than it says":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello",
	"with less than it says":  "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
	"with two lengths":        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello",
	"with a negative length":  "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhello",
	"with a bad chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhel\r\n",
	"with length and chunks":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"that is no HTTP":         "SSH-2.0-OpenSSH\r\n\r\n",
	"with a bad field":        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"with a huge header":      "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 2*MaxHeaderBytes) + "\r\n\r\n",
	"of nothing":              "",
	"encoded":                 "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello",
	"with a status of no use": "HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello",
	"after endless hints":     strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2*MaxHeaderBytes/28) + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}

// TestSend_SeesWhatTheTransportSees compares this package's connections with
// net/http's Transport, over whole answers and over answers cut at each byte.
func TestSend_SeesWhatTheTransportSees(t *testing.T) {
	bodies := map[string][][]byte{"short": {[]byte("he"), nil, []byte("llo")}, "long": {[]byte("he"), make([]byte, 4*inlineBytes)}}
	for name, text := range answers {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int64
			s := startRaw(t, nil, func() (string, bool) { return text[:served.Load()], false })
			ours, standard := both(t, Options{URL: "http://" + s.Addr().String() + "/v1"})
			for size, body := range bodies {
				for cut := len(text); cut >= 0; cut-- {
					served.Store(int64(cut))
					if size == "long" && cut < len(text) || len(text) > 1000 && cut < len(text) {
						break
					}
					a, diff := look(ours, body), "-"
					awaitEnd(ours)
					// The Transport now and then loses an answer whose connection ends right behind it.
					for range 20 {
						if diff = cmp.Diff(look(standard, body), a); diff == "" {
							break
						}
					}
					if diff != "" {
						t.Fatalf("%s body, answer cut at %d: the transport sees -, we see +\n%s", size, cut, diff)
					}
				}
			}
		})
	}
}

func TestSend_WritesWhatTheTransportWrites(t *testing.T) {
	type request struct {
		Method, URI, Host, Body string
		Length                  int64
		Header                  http.Header
	}
	got := make(chan request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- request{r.Method, r.RequestURI, r.Host, string(b), r.ContentLength, r.Header}
	}))
	defer s.Close()
	ours, standard := both(t, Options{URL: s.URL + "/a%20b/v1/", Credential: "cred"})
	for _, body := range [][][]byte{{[]byte("x")}, {[]byte("x"), make([]byte, 3*inlineBytes), []byte("y")}} {
		client := http.Header{"User-Agent": {"sdk\r\nEvil: 1"}, "Openai-Beta": {"b"}, "X-Stainless-Os": {"one", "two"}}
		var written []request
		for _, c := range []*Client{ours, standard} {
			resp, err := c.Send(t.Context(), "/embeddings", "att", "req", client, body)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			written = append(written, <-got)
		}
		if diff := cmp.Diff(written[1], written[0]); diff != "" || written[0].Header.Get("User-Agent") != "accordo" {
			t.Errorf("the transport writes -, we write +\n%s", diff)
		}
	}
}

func secured(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, roots
}

func TestSend_UsesConnectionsAgain(t *testing.T) {
	cert, roots := secured(t)
	const once = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	rows := []struct {
		name   string
		secure bool
		text   string
		body   [][]byte
		keep   bool // by the server
		want   int64
	}{
		{"kept", false, once, nil, true, 1},
		{"kept with TLS", true, once, nil, true, 1},
		{"kept after a long request", false, once, [][]byte{make([]byte, 4*inlineBytes)}, true, 1},
		{"kept after chunks", false, answers["in chunks"], nil, true, 1},
		{"closed by the server meanwhile", false, once, nil, false, 3},
		{"closed by the server meanwhile, with TLS", true, once, nil, false, 3},
		{"announced as the last", false, answers["closing"], nil, true, 3},
		{"more than it said", false, answers["with more than it says"], nil, true, 3},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			o := Options{URL: "http://"}
			var secure *tls.Config
			if row.secure {
				o, secure = Options{URL: "https://", Roots: roots}, cert
			}
			s := startRaw(t, secure, func() (string, bool) { return row.text, row.keep })
			o.URL += s.Addr().String()
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for i := range 3 {
				if got := look(c, row.body); got.Status != 200 || got.Broken {
					t.Fatalf("call %d: %+v", i, got)
				}
				if !row.keep {
					awaitEnd(c)
				}
			}
			if n := s.connections.Load(); n != row.want {
				t.Errorf("%d connections, want %d", n, row.want)
			}
		})
	}
}

func TestSend_TakesAnAnswerThatComesBeforeTheRequestIsRead(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	held := make(chan struct{})
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		<-held // reads nothing
	}()
	c, err := New(Options{URL: "http://" + ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := look(c, [][]byte{make([]byte, 32<<20)})
	close(held)
	if got.Status != 413 || got.Body != "no" || len(c.pool.idle) != 0 || len(c.pool.slots) != 0 {
		t.Errorf("%+v, %d idle, %d slots", got, len(c.pool.idle), len(c.pool.slots))
	}
}

func TestSend_EndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Request-Id") == "body" {
			_, _ = io.WriteString(w, "data")
			w.(http.Flusher).Flush()
		}
		<-release
	}))
	defer s.Close()
	defer close(release)
	c, err := New(Options{URL: s.URL, MaxConnections: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, phase := range []string{"header", "body", "waiting for a connection"} {
		t.Run(phase, func(t *testing.T) {
			if strings.HasPrefix(phase, "waiting") {
				c.pool.slots <- struct{}{}
				defer func() { <-c.pool.slots }()
			}
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(20*time.Millisecond, cancel)
			defer timer.Stop()
			resp, err := c.Send(ctx, "/", "a", phase, nil, nil)
			if phase == "body" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if n := len(c.pool.idle); n != 0 {
				t.Errorf("%d connections are kept", n)
			}
		})
	}
	if n := len(c.pool.slots); n != 0 {
		t.Errorf("%d slots are not given back", n)
	}
}

func TestClose_ClosesIdleConnectionsNowAndLater(t *testing.T) {
	s := startRaw(t, nil, func() (string, bool) { return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true })
	c, err := New(Options{URL: "http://" + s.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	look(c, nil)
	resp, err := c.Send(t.Context(), "/", "a", "r", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hi" {
		t.Errorf("a call under way was cut: %q, %v", b, err)
	}
	if len(c.pool.idle) != 0 || c.pool.timer != nil {
		t.Error("a connection outlives its client")
	}
}

func TestPool_ClosesWhatIsIdleTooLong(t *testing.T) {
	s := startRaw(t, nil, func() (string, bool) { return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true })
	c, err := New(Options{URL: "http://" + s.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	look(c, nil)
	c.pool.idle[0].since = time.Now().Add(-IdleTimeout)
	c.pool.sweep()
	if n := len(c.pool.idle); n != 0 || c.pool.timer != nil {
		t.Errorf("%d connections are kept", n)
	}
	look(c, nil)
	c.pool.idle[0].since = time.Now().Add(-IdleTimeout)
	if look(c, nil); s.connections.Load() != 3 {
		t.Errorf("%d connections, want 3", s.connections.Load())
	}
}

// BenchmarkSend compares a call over our connections with the Transport's.
func BenchmarkSend(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	})
	plain, secured := httptest.NewServer(h), httptest.NewTLSServer(h)
	defer plain.Close()
	defer secured.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secured.Certificate())
	body := [][]byte{[]byte(strings.Repeat("y", 1000))}
	for _, s := range []*httptest.Server{plain, secured} {
		for _, standard := range []bool{true, false} {
			b.Run(fmt.Sprintf("tls=%v/standard=%v", s == secured, standard), func(b *testing.B) {
				c, err := New(Options{URL: s.URL, Standard: standard, Roots: roots})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				b.ReportAllocs()
				for b.Loop() {
					if got := look(c, body); got.Status != 200 {
						b.Fatalf("%+v", got)
					}
				}
			})
		}
	}
}
