package upstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// gathered is a connection whose writes go out as one when told so.
type gathered struct {
	net.Conn
	mu   sync.Mutex
	hold bool
	kept bytes.Buffer
}

func (g *gathered) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold {
		return g.kept.Write(b)
	}
	return g.Conn.Write(b)
}

func (g *gathered) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = false
	_, err := g.kept.WriteTo(g.Conn)
	return err
}

func TestSend_NeverTakesAnAnswerThatNobodyAskedFor(t *testing.T) {
	cert, roots := secured(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer raw.Close()
				out := &gathered{Conn: raw}
				conn := tls.Server(out, cert)
				br := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return
					}
					out.mu.Lock()
					out.hold = true
					out.mu.Unlock()
					for _, text := range []string{"asked for", "something"} { // each in a record of its own
						if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"+text); err != nil {
							return
						}
					}
					if err := out.release(); err != nil {
						return
					}
				}
			})
		}
	})
	defer wg.Wait()
	defer ln.Close()
	c, err := New(Options{URL: "https://" + ln.Addr().String(), Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		if got := look(c, nil); got.Body != "asked for" {
			t.Fatalf("call %d: %+v", i, got)
		}
	}
}
