package upstreamsim

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rawClient is one kept-alive connection with as little cost of its own as possible.
type rawClient struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
}

func newRawClient(b *testing.B, h http.Handler, body string) *rawClient {
	b.Helper()
	hs := httptest.NewServer(h)
	b.Cleanup(hs.Close)
	conn, err := net.Dial("tcp", strings.TrimPrefix(hs.URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	request := fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Accordo-Attempt: 0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return &rawClient{conn, bufio.NewReaderSize(conn, 64<<10), request}
}

func (c *rawClient) call(b *testing.B) (size int64, took time.Duration) {
	begin := time.Now()
	if _, err := c.conn.Write(c.request); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatal(resp.Status, err)
	}
	return n, time.Since(begin)
}

// BenchmarkPlainAnswer serves a 1 KB answer to a 1 KB request, and beside each a
// bare handler that reads the request and sends the same number of bytes, ready
// made, under the same headers. The ratio of the two is printed as x_bare.
func BenchmarkPlainAnswer(b *testing.B) {
	for _, row := range []struct {
		name    string
		invoice bool
	}{{"memory", false}, {"file", true}} {
		b.Run(row.name, func(b *testing.B) {
			o := Options{Pools: []PoolOptions{{Name: "bench", OutputTokens: 120}}, MaxInvoiceLines: 1000}
			if row.invoice {
				o.InvoicePath = filepath.Join(b.TempDir(), "invoice.jsonl")
			}
			request := strings.Replace(hello, "hello there", strings.Repeat("hello there ", 80), 1)
			sim := newRawClient(b, newServer(b, o), request)
			size, _ := sim.call(b)
			length := strconv.FormatInt(size, 10)
			answer := []byte(strings.Repeat("x", int(size)))
			bare := newRawClient(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					b.Error(err)
				}
				w.Header()["Content-Type"] = []string{"application/json"}
				w.Header()["Content-Length"] = []string{length}
				w.Header()["X-Request-Id"] = []string{"req_0123456789abcdef-12345"}
				w.Header()["X-Simulated"] = []string{"upstream-sim"}
				if _, err := w.Write(answer); err != nil {
					b.Error(err)
				}
			}), request)
			var simTime, bareTime time.Duration
			for b.Loop() {
				_, took := sim.call(b)
				simTime += took
				_, took = bare.call(b)
				bareTime += took
			}
			b.ReportMetric(float64(size), "answer_bytes")
			b.ReportMetric(float64(simTime.Nanoseconds())/float64(b.N), "sim_ns")
			b.ReportMetric(float64(bareTime.Nanoseconds())/float64(b.N), "bare_ns")
			b.ReportMetric(float64(simTime)/float64(bareTime), "x_bare")
		})
	}
}

// BenchmarkStream serves a stream of 120 tokens in 120 events, each flushed.
func BenchmarkStream(b *testing.B) {
	s := newServer(b, Options{Pools: []PoolOptions{{Name: "bench", OutputTokens: 120}}, MaxInvoiceLines: 1000})
	c := newRawClient(b, s, helloStream)
	b.ReportAllocs()
	for b.Loop() {
		c.call(b)
	}
}
