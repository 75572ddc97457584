package upstreamsim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

var fixedTime = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	hello       = `{"model":"m","messages":[{"role":"user","content":"hello there"}]}`
	helloStream = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello there"}]}`
)

func newServer(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return fixedTime }
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start serves o on loopback and gives the server and its address.
func start(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	s := newServer(t, o)
	hs := httptest.NewServer(s)
	t.Cleanup(hs.Close)
	return s, hs.URL
}

func script(t testing.TB, text string) *Script {
	t.Helper()
	s, err := ParseScript("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// always is a script with one rule that fires for every request.
func always(t testing.TB, action string) *Script {
	t.Helper()
	return script(t, "rules: [{action: {"+action+"}}]")
}

// reply is what a client saw.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // Of the request or of reading the body.
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func post(t testing.TB, url, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(req)
}

func get(t testing.TB, url string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(req)
}

func do(req *http.Request) reply {
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

// completion is the part of an answer or a chunk that tests look at.
type completion struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Tier    string `json:"service_tier"`
	Print   string `json:"system_fingerprint"`
	Choices []struct {
		Index   int     `json:"index"`
		Message message `json:"message"`
		Delta   message `json:"delta"`
		Finish  *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage    `json:"usage"`
	Error *apiFault `json:"error"`
}

type message struct {
	Role    string  `json:"role"`
	Content *string `json:"content"`
	Calls   []struct {
		Index    int    `json:"index"`
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

type usage struct {
	Input   int64 `json:"prompt_tokens"`
	Output  int64 `json:"completion_tokens"`
	Total   int64 `json:"total_tokens"`
	Details struct {
		Cached int64 `json:"cached_tokens"`
		Write  int64 `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

type apiFault struct {
	Message, Type string
	Param, Code   *string
}

func decode(t testing.TB, body string) completion {
	t.Helper()
	var c completion
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	return c
}

// streamed is a stream put together as a client does.
type streamed struct {
	chunks []completion
	text   string
	args   string
	name   string
	finish string
	usage  *usage
	done   bool
	fault  *apiFault
}

func readStream(t testing.TB, body string) streamed {
	t.Helper()
	var s streamed
	for event := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if !ok {
			t.Fatalf("not an event: %q", event)
		}
		if s.done {
			t.Fatalf("event after [DONE]: %q", event)
		}
		if data == "[DONE]" {
			s.done = true
			continue
		}
		c := decode(t, data)
		s.chunks = append(s.chunks, c)
		if c.Error != nil {
			s.fault = c.Error
		}
		if c.Usage != nil {
			s.usage = c.Usage
		}
		for _, ch := range c.Choices {
			if ch.Delta.Content != nil {
				s.text += *ch.Delta.Content
			}
			for _, call := range ch.Delta.Calls {
				s.name += call.Function.Name
				s.args += call.Function.Arguments
			}
			if ch.Finish != nil {
				s.finish = *ch.Finish
			}
		}
	}
	return s
}

// invoiceLines gives every line. A line is recorded before the bytes that end an
// answer or a scripted break leave, so no test has to wait for it.
func invoiceLines(t testing.TB, s *Server) []Line {
	t.Helper()
	lines, err := s.Lines("")
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// stampWriter is a ResponseWriter that notes when each event was written.
type stampWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
	begin  time.Time
	at     []time.Duration
}

func newStampWriter() *stampWriter {
	return &stampWriter{header: make(http.Header), begin: time.Now()}
}

func (w *stampWriter) Header() http.Header { return w.header }
func (w *stampWriter) WriteHeader(s int)   { w.status = s }
func (w *stampWriter) Flush()              {}
func (w *stampWriter) Write(p []byte) (int, error) {
	w.at = append(w.at, time.Since(w.begin))
	return w.body.Write(p)
}

func ptr[T any](v T) *T { return &v }

// spyWriter reads the invoice file at the moment the answer becomes complete.
type spyWriter struct {
	*stampWriter
	mark, path string
	seen       []byte
}

func (w *spyWriter) Write(p []byte) (int, error) {
	if w.seen == nil && bytes.Contains(p, []byte(w.mark)) {
		w.seen, _ = os.ReadFile(w.path)
	}
	return w.stampWriter.Write(p)
}

func mustRequest(t testing.TB, body string) *http.Request {
	return httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
}
