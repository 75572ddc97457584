package upstreamsim

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAction_ErrorStatusIsAnErrorObjectAndNotBilled(t *testing.T) {
	rows := []struct {
		name, action string
		status       int
		kind, code   string
		header       [2]string
	}{
		{"429 with seconds", `status: 429, retry_after: "2"`, 429, "requests", "rate_limit_exceeded", [2]string{"Retry-After", "2"}},
		{"429 with a fraction", `status: 429, retry_after: "0.25"`, 429, "requests", "rate_limit_exceeded", [2]string{"Retry-After", "0.25"}},
		{"429 with nonsense", `status: 429, retry_after: "soon"`, 429, "requests", "rate_limit_exceeded", [2]string{"Retry-After", "soon"}},
		{"429 with a date", `status: 429, retry_after_date: 30s`, 429, "requests", "rate_limit_exceeded", [2]string{"Retry-After", "Wed, 02 Jan 2030 03:04:35 GMT"}},
		{"429 with milliseconds", `status: 429, headers: {retry-after-ms: "1500"}`, 429, "requests", "rate_limit_exceeded", [2]string{"Retry-After-Ms", "1500"}},
		{"500", `status: 500`, 500, "server_error", "", [2]string{}},
		{"503", `status: 503`, 503, "server_error", "", [2]string{}},
		{"401", `status: 401`, 401, "invalid_request_error", "invalid_api_key", [2]string{}},
		{"400 with its own words", `status: 400, error_message: bad, error_type: odd, error_code: c, error_param: messages`, 400, "odd", "c", [2]string{}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, url := start(t, Options{Script: always(t, row.action)})
			r := post(t, url+"/v1/chat/completions", hello)
			c := decode(t, r.body)
			if r.status != row.status || c.Error == nil || c.Error.Type != row.kind || deref(c.Error.Code) != row.code {
				t.Errorf("%d %s", r.status, r.body)
			}
			if row.header[0] != "" && r.header.Get(row.header[0]) != row.header[1] {
				t.Errorf("%s is %q", row.header[0], r.header.Get(row.header[0]))
			}
			if lines := invoiceLines(t, s); len(lines) != 0 {
				t.Errorf("billed %+v", lines)
			}
		})
	}
	_, url := start(t, Options{Script: always(t, `status: 400, body: "<html>no</html>", content_type: text/html`)})
	if r := post(t, url+"/v1/chat/completions", hello); r.status != 400 || r.body != "<html>no</html>" || r.header.Get("Content-Type") != "text/html" {
		t.Errorf("%+v", r)
	}
}

func TestAction_RefuseClosesWithoutAnAnswer(t *testing.T) {
	s, url := start(t, Options{Script: always(t, "refuse: true")})
	if r := post(t, url+"/v1/chat/completions", hello); r.err == nil {
		t.Errorf("got an answer: %+v", r)
	}
	if lines := invoiceLines(t, s); len(lines) != 0 {
		t.Errorf("billed %+v", lines)
	}
}

// TestAction_CutAtEveryByte cuts a stream and a plain answer at every byte of
// their bodies: the client sees exactly so many bytes, then a broken connection,
// and each request is billed exactly once.
func TestAction_CutAtEveryByte(t *testing.T) {
	for _, row := range []struct{ name, body string }{
		{"plain", request(`,"max_tokens":4`)},
		{"stream", request(`,"max_tokens":4,"stream":true,"stream_options":{"include_usage":true}`)},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, url := start(t, Options{})
			full := post(t, url+"/v1/chat/completions", row.body).body
			want := invoiceLines(t, s)[0]
			step := 1
			if testing.Short() {
				step = 37
			}
			// The id in the answer changes from request to request; its length does not.
			for at := 0; at < len(full); at += step {
				if err := s.SetScript(&Script{Rules: []Rule{{Action: Action{CutAtByte: ptr(int64(at))}}}}); err != nil {
					t.Fatal(err)
				}
				r := post(t, url+"/v1/chat/completions", row.body)
				if len(r.body) != at || r.err == nil {
					t.Fatalf("cut at %d gave %d bytes, error %v", at, len(r.body), r.err)
				}
				lines := invoiceLines(t, s)
				last := lines[len(lines)-1]
				if last.Status != StatusCut || last.UncachedInput != want.UncachedInput || last.Output > want.Output {
					t.Fatalf("cut at %d billed %+v", at, last)
				}
				if row.name == "plain" && last.Output != want.Output {
					t.Fatalf("a plain answer is generated before it is cut: %+v", last)
				}
			}
			lines := invoiceLines(t, s)
			if n := (len(full)+step-1)/step + 1; len(lines) != n {
				t.Errorf("%d lines for %d requests", len(lines), n)
			}
			if err := s.SetScript(&Script{Rules: []Rule{{Action: Action{CutAtByte: ptr(int64(len(full)))}}}}); err != nil {
				t.Fatal(err)
			}
			if r := post(t, url+"/v1/chat/completions", row.body); r.err != nil || len(r.body) != len(full) {
				t.Errorf("a cut at the end must not cut: %v", r.err)
			}
		})
	}
}

func TestAction_CutBillsWhatWasGenerated(t *testing.T) {
	s, url := start(t, Options{})
	full := post(t, url+"/v1/chat/completions", helloStream).body
	fourth := strings.Index(full, strings.Split(full, "\n\n")[5])
	if err := s.SetScript(&Script{Rules: []Rule{{Action: Action{CutAtByte: ptr(int64(fourth - 1))}}}}); err != nil {
		t.Fatal(err)
	}
	post(t, url+"/v1/chat/completions", helloStream)
	if lines := invoiceLines(t, s); lines[1].Output != 4 || lines[1].Status != StatusCut {
		t.Errorf("billed %+v, want 4 tokens", lines[1])
	}
}

func TestAction_ResetIsSeenAsAReset(t *testing.T) {
	s, url := start(t, Options{Script: always(t, "reset_at_byte: 500")})
	r := post(t, url+"/v1/chat/completions", helloStream)
	if !errors.Is(r.err, syscall.ECONNRESET) {
		t.Errorf("error %v", r.err)
	}
	if lines := invoiceLines(t, s); len(lines) != 1 || lines[0].Status != StatusCut {
		t.Errorf("billed %+v", lines)
	}
}

func TestAction_WrongContentLength(t *testing.T) {
	s, url := start(t, Options{Script: always(t, "content_length_delta: 10")})
	if r := post(t, url+"/v1/chat/completions", hello); !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("too long a length gives %v", r.err)
	}
	if err := s.SetScript(always(t, "content_length_delta: -10")); err != nil {
		t.Fatal(err)
	}
	if r := post(t, url+"/v1/chat/completions", hello); r.err != nil || strings.HasSuffix(r.body, "}\n") {
		t.Errorf("too short a length gives %v, %s", r.err, r.body)
	}
	if lines := invoiceLines(t, s); len(lines) != 2 || lines[0].Status != StatusCut || lines[0].Output != 48 {
		t.Errorf("billed %+v", lines)
	}
}

func TestAction_UsageOnTheWireLiesButTheInvoiceDoesNot(t *testing.T) {
	rows := []struct {
		name, action string
		want         *usage
	}{
		{"missing", "usage_missing: true", nil},
		{"negative", "usage: {input: -5}", &usage{Input: -5, Output: 48, Total: 43}},
		{"total disagrees", "usage: {total: 1}", &usage{Input: 3, Output: 48, Total: 1}},
		{"output too low", "usage: {output: 0}", &usage{Input: 3, Output: 0, Total: 3}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, url := start(t, Options{Script: always(t, row.action)})
			plain := decode(t, post(t, url+"/v1/chat/completions", hello).body)
			stream := readStream(t, post(t, url+"/v1/chat/completions", helloStream).body)
			for _, got := range []*usage{plain.Usage, stream.usage} {
				if (got == nil) != (row.want == nil) || got != nil && *got != *row.want {
					t.Errorf("usage %+v, want %+v", got, row.want)
				}
			}
			if !stream.done {
				t.Error("the stream must be complete")
			}
			for _, l := range invoiceLines(t, s) {
				if l.UncachedInput != 3 || l.Output != 48 || l.Status != StatusComplete {
					t.Errorf("billed %+v", l)
				}
			}
		})
	}
}

func TestAction_StreamEndings(t *testing.T) {
	rows := []struct {
		name, action string
		check        func(r reply, s streamed) bool
		status       string
		output       int64
	}{
		{"no DONE", "omit_done: true", func(r reply, s streamed) bool { return r.err == nil && !s.done && s.finish == "stop" }, StatusComplete, 48},
		{"no finish reason", "finish_reason: none", func(r reply, s streamed) bool { return r.err == nil && s.done && s.finish == "" }, StatusComplete, 48},
		{"odd finish reason", "finish_reason: whatever", func(r reply, s streamed) bool { return s.finish == "whatever" }, StatusComplete, 48},
		{"an error event", "error_after_chunk: 3, error_message: broke", func(r reply, s streamed) bool {
			return r.err != nil && s.fault != nil && s.fault.Message == "broke" && len(s.chunks) == 4
		}, StatusCut, 2},
		{"endless until its cap", "endless: true, endless_chunks: 100", func(r reply, s streamed) bool {
			return r.err != nil && s.finish == "" && len(s.chunks) == 100
		}, StatusCut, 99},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, url := start(t, Options{Script: always(t, row.action)})
			r := post(t, url+"/v1/chat/completions", helloStream)
			if !row.check(r, readStream(t, r.body)) {
				t.Errorf("%v\n%s", r.err, r.body)
			}
			if lines := invoiceLines(t, s); len(lines) != 1 || lines[0].Status != row.status || lines[0].Output != row.output {
				t.Errorf("billed %+v", lines)
			}
		})
	}
	s, url := start(t, Options{EndlessMaxChunks: 50, Script: always(t, "endless: true")})
	if r := post(t, url+"/v1/chat/completions", helloStream); r.err == nil || len(readStream(t, r.body).chunks) != 50 {
		t.Error("an endless stream must end at the server's limit")
	}
	if n := invoiceLines(t, s)[0].Output; n != 49 {
		t.Errorf("billed %d", n)
	}
}

func TestAction_ExactBodyIsSentAndBilledByItsUsage(t *testing.T) {
	dir := t.TempDir()
	plain := `{"id":"x","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}`
	sse := "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n"
	for name, text := range map[string]string{
		"plain.json": plain, "stream.sse": sse,
		"script.yaml": "rules:\n  - stream: false\n    action: {body_file: plain.json}\n  - stream: true\n    action: {body_file: stream.sse}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := LoadConfig(filepath.Join(dir, "script.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, url := start(t, Options{Script: cfg.Script})
	if r := post(t, url+"/v1/chat/completions", hello); r.body != plain || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", r)
	}
	if r := post(t, url+"/v1/chat/completions", helloStream); r.body != sse || !strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("%+v", r)
	}
	lines := invoiceLines(t, s)
	if l := lines[0]; l.UncachedInput != 7 || l.CacheRead != 4 || l.Output != 5 || l.Reasoning != 2 {
		t.Errorf("plain billed %+v", l)
	}
	if l := lines[1]; l.UncachedInput != 5 || l.Output != 1 || l.Status != StatusComplete {
		t.Errorf("stream billed %+v", l)
	}
}

func TestAction_AnswersBeforeTheRequestEnds(t *testing.T) {
	for _, row := range []struct {
		name, action, want string
		lines              int
	}{
		{"an error", "status: 413, answer_early: true", "HTTP/1.1 413", 0},
		{"an answer", "text: early, answer_early: true", "HTTP/1.1 200", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, url := start(t, Options{Script: always(t, row.action)})
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// The announced body never comes, so only an early answer can arrive.
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n{\"model\"")
			head := make([]byte, len(row.want))
			if _, err := io.ReadFull(conn, head); err != nil || string(head) != row.want {
				t.Errorf("%q, %v", head, err)
			}
			if lines := invoiceLines(t, s); len(lines) != row.lines || row.lines == 1 && lines[0].UncachedInput != 1000 {
				t.Errorf("billed %+v", lines)
			}
		})
	}
}

func TestClientThatLeavesIsBilledForWhatWasGenerated(t *testing.T) {
	s, url := start(t, Options{Script: always(t, "stall_after_chunk: 5, stall_for: 1h")})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(helloStream))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-accordo-attempt", "gone")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for buf := make([]byte, 1<<16); events < 5; {
		n, err := resp.Body.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		events += strings.Count(string(buf[:n]), "\n\n")
	}
	if lines := invoiceLines(t, s); len(lines) != 0 {
		t.Errorf("billed too early: %+v", lines)
	}
	resp.Body.Close()
	deadline := time.Now().Add(10 * time.Second)
	for len(invoiceLines(t, s)) == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	lines := invoiceLines(t, s)
	if len(lines) != 1 || lines[0].Status != StatusCancelled || lines[0].Output != 4 || lines[0].AttemptID != "gone" {
		t.Errorf("billed %+v", lines)
	}
}
