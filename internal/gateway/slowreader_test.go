package gateway_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/gateway"
)

// A client that sends requests and takes no answers loses its connection,
// with or without a key.
func TestServer_LetsGoOfAClientThatTakesNoAnswers(t *testing.T) {
	for _, row := range []struct{ name, request string }{
		{"without a key", "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"to no path", "GET /" + strings.Repeat("x", 100) + " HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"models", "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-open\r\n\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := start(t, setup{limits: gateway.Limits{WriteTime: 100 * time.Millisecond}})
			conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			many := strings.Repeat(row.request, 1000)
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			for range 1000 {
				if _, err = io.WriteString(conn, many); err != nil {
					break
				}
			}
			if e, ok := err.(net.Error); err == nil || ok && e.Timeout() {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}
