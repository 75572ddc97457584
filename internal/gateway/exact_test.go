package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

// rawly sends text on a connection of its own, ends the sending side when half
// is set, and returns the status of the answer and its body.
func (h *harness) rawly(text string, half bool) string {
	h.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, text)
		if half {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	all, err := io.ReadAll(conn)
	if len(all) < 12 {
		h.Fatalf("%v %q", err, all)
	}
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	return string(all[9:12]) + " " + body
}

// What clients do to the limits gets the exact answer, calls nobody and holds
// and books nothing.
func TestLimits_AreToldExactly(t *testing.T) {
	const (
		limit = 4096
		head  = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer sk-open\r\n"
		large = `413 {"error":{"message":"The body of the request is larger than 4096 bytes. Shorten the conversation, or send images by address.","type":"invalid_request_error","param":null,"code":"request_too_large"}}`
		slow  = `408 {"error":{"message":"The body of the request did not arrive within 50ms. Send it again over a better connection, or send less.","type":"invalid_request_error","param":null,"code":"request_timeout"}}`
		short = `400 {"error":{"message":"The body of the request could not be read to its end. Send it again, with a Content-Length that is its length.","type":"invalid_request_error","param":null,"code":null}}`
	)
	h := start(t, setup{limits: gateway.Limits{BodyBytes: limit, BodyTime: 50 * time.Millisecond}})
	for _, row := range []struct {
		name, text string
		half       bool
		want       string
	}{
		{"a body whose length is too large", head + "Content-Length: 4097\r\n\r\n", false, large},
		{"a body whose length is beyond all", head + "Content-Length: 9223372036854775807\r\n\r\n{", false, large},
		{"chunks that come to too much", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("a", 1024)+"\r\n", 5) + "0\r\n\r\n", false, large},
		{"a chunk that says it is too large", head + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n" + strings.Repeat("a", 8192), false, large},
		{"a body that does not come", head + "Content-Length: 100\r\n\r\n{", false, slow},
		{"chunks that do not come", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", false, slow},
		{"a body that ends before its length", head + "Content-Length: 100\r\n\r\n{", true, short},
		{"chunks that end in the middle", head + "Transfer-Encoding: chunked\r\n\r\n64\r\n{", true, short},
		{"a chunk that is no chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", true, short},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := h.rawly(row.text, row.half); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
	if n := len(h.sim.Requests()) + len(h.attempts()); n != 0 {
		t.Errorf("%d calls and intents", n)
	}
	h.noHolds()
}

// What the gateway itself cannot do is told exactly, too.
func TestItself_IsToldExactly(t *testing.T) {
	const (
		journal  = `{"error":{"message":"The gateway cannot write its journal, and serves nothing that it cannot account for. Try again later; the operator finds the cause in the log and at /readyz.","type":"server_error","param":null,"code":"journal_unavailable"}}`
		outcome  = `{"error":{"message":"The answer came, but the gateway could not record it and so does not hand it out. Try again later; the operator finds the cause in the log.","type":"server_error","param":null,"code":"outcome_not_recorded"}}`
		stopping = `{"error":{"message":"The gateway is stopping. Try again in a moment; another instance or the restarted one will answer.","type":"server_error","param":null,"code":"stopping"}}`
	)
	disk := &fullDisk{}
	h := start(t, setup{disk: disk})
	ask := func(stream bool, status int, retryAfter, want string) {
		t.Helper()
		resp, body := h.chat("sk-open", h.body(stream))
		if resp.StatusCode != status || resp.Header.Get("Retry-After") != retryAfter || body != want {
			t.Errorf("stream %v: %d, Retry-After %q\n%s\nwant %d, %q\n%s", stream, resp.StatusCode, resp.Header.Get("Retry-After"), body, status, retryAfter, want)
		}
	}
	disk.intents.Store(true)
	ask(false, http.StatusServiceUnavailable, "5", journal)
	ask(true, http.StatusServiceUnavailable, "5", journal)
	disk.intents.Store(false)
	const delta = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m@1","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}` + "\n\n"
	end := strings.Replace(delta, "null}", `"stop"}`, 1) + strings.Replace(delta, `"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]`, `"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}`, 1) + "data: [DONE]\n\n"
	h.script(upstreamsim.Rule{Stream: ptr(true), Action: upstreamsim.Action{Body: ptr(delta + end)}}, upstreamsim.Rule{Action: upstreamsim.Action{Body: ptr(wellPlain)}})
	disk.outcomes.Store(true)
	ask(false, http.StatusInternalServerError, "5", outcome)
	ask(true, http.StatusOK, "", fmt.Sprintf("%sdata: %s\n\n", delta, outcome))
	disk.outcomes.Store(false)
	ask(false, http.StatusOK, "", wellPlain)
	ask(true, http.StatusOK, "", delta+strings.Replace(delta, "null}", `"stop"}`, 1)+"data: [DONE]\n\n")
	h.noHolds()
	h.g.Drain(t.Context())
	ask(false, http.StatusServiceUnavailable, "2", stopping)
}
