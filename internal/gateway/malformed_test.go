package gateway

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wordedListener has its connections write what InDialect says instead.
type wordedListener struct{ net.Listener }

func (l wordedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return wordedConn{conn}, err
}

type wordedConn struct{ net.Conn }

func (c wordedConn) Write(p []byte) (int, error) {
	if instead := InDialect(p); instead != nil {
		_, err := c.Conn.Write(instead)
		return len(p), err
	}
	return c.Conn.Write(p)
}

// serveWorded serves h until the test ends and returns its address.
func serveWorded(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(wordedListener{l}) })
	t.Cleanup(func() { _ = s.Close(); wg.Wait() })
	return l.Addr().String()
}

// exchangeRaw writes text to a connection and reads to its end.
func exchangeRaw(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(conn)
	return string(b)
}

func TestInDialect_RewordsWhatNoHandlerHasSeen(t *testing.T) {
	address := serveWorded(t, func(http.ResponseWriter, *http.Request) { t.Error("a handler was called") })
	for _, row := range []struct{ name, text, status string }{
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400 Bad Request"},
		{"no HTTP", "SSH-2.0-x\r\n\r\n", "400 Bad Request"},
		{"another expectation", "GET / HTTP/1.1\r\nHost: g\r\nExpect: x\r\n\r\n", "417 Expectation Failed"},
		{"another expectation, with a body", "POST / HTTP/1.1\r\nHost: g\r\nExpect: x\r\nContent-Length: 2\r\n\r\n{}", "417 Expectation Failed"},
		{"another transfer encoding", "POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented"},
		{"another version", "GET / HTTP/3.0\r\nHost: g\r\n\r\n", "505 HTTP Version Not Supported"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := exchangeRaw(t, address, row.text)
			if !strings.HasPrefix(got, "HTTP/1.1 "+row.status+"\r\nContent-Type: application/json\r\n") || !strings.HasSuffix(got, "}") {
				t.Errorf("%q", got)
			}
		})
	}
}

// A long answer is written in pieces, and whoever asks for it chooses where
// the last one begins: what it says there must not be taken for a refusal.
func TestInDialect_LeavesAnswersThatQuoteARefusal(t *testing.T) {
	for _, quoted := range []string{
		`HTTP/1.1 417 is what I said"}`,
		"HTTP/1.1 417 Expectation Failed\r\n and more",
		"HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\n and more",
		"HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 0\r\n\r\n and more",
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nand more",
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n200 OK",
	} {
		if got := InDialect([]byte(quoted)); got != nil {
			t.Errorf("%q becomes %q", quoted, got)
		}
	}
	const quoted, connBuffer = `HTTP/1.1 417 is what I said"}`, 4 << 10
	for _, pad := range []int{0, 1} { // whether the last piece begins with it
		var body []byte
		address := serveWorded(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Length"], w.Header()["Date"] = []string{strconv.Itoa(len(body))}, nil
			w.Header()["Content-Type"] = []string{"application/json"}
			_, _ = w.Write(body)
		})
		head := len("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
		body = append(bytes.Repeat([]byte(" "), connBuffer-head+pad), quoted...)
		got := exchangeRaw(t, address, "GET / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
		if !strings.HasSuffix(got, string(body)) || len(got) != head+len(body) {
			t.Errorf("an answer of %d bytes ends with %q", len(got), got[max(0, len(got)-200):])
		}
	}
}
