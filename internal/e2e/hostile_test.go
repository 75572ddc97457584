package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// hostile is a provider on a socket of its own, whose behaviour the path
// chooses.
type hostile struct {
	t      *testing.T
	l      net.Listener
	faults []fault
	mu     sync.Mutex
	conns  map[net.Conn]bool
	wait   sync.WaitGroup
}

func startHostile(t *testing.T, faults []fault) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t, l: l, faults: faults, conns: map[net.Conn]bool{}}
	h.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns[c] = true
			h.mu.Unlock()
			h.wait.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		h.mu.Lock()
		for c := range h.conns {
			_ = c.Close()
		}
		h.mu.Unlock()
		h.wait.Wait()
	})
	return h
}

// serve answers requests until the connection ends.
func (h *hostile) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		h.mu.Lock()
		delete(h.conns, c)
		h.mu.Unlock()
	}()
	br := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d/v1/", &n); err != nil || n >= len(h.faults) || strings.HasSuffix(r.URL.Path, "/embeddings") != h.faults[n].embedding {
			h.t.Errorf("the provider is asked for %s", r.URL.Path)
			return
		}
		f := &h.faults[n]
		s := &f.plain
		if !f.early {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if bytes.Contains(body, []byte(`"stream":true`)) {
				s = &f.stream
			}
		}
		s.does(c)
		if f.early {
			return
		}
	}
}
