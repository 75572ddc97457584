package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// seen is what a client saw of one request.
type seen struct {
	id       string // x-request-id, the client's own
	kind     string
	status   int    // of HTTP, 0 when no answer came
	complete bool   // the whole body, or a finish reason
	broken   bool   // the answer began and ended without a proper end
	code     string // of the error object or event
	input    int64  // usage, where the answer stated it
	output   int64
	usage    bool
	err      error
}

// The kinds of request that a load sends.
const (
	kindPlain   = "plain"
	kindStream  = "stream"
	kindUsage   = "stream with usage"
	kindLeaving = "stream, client leaves"
	kindEmbed   = "embedding"
)

// load is clients that send one request after the other.
type load struct {
	clients int
	seed    uint64
	key     string
	// kinds are drawn from with equal weight.
	kinds []string
	// rest is between two requests of a client.
	rest time.Duration

	client *http.Client
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex
	open    chan struct{} // closed while the program serves
	api     string
	results []seen
}

// mixed is a load of all kinds.
func mixed(clients int, seed uint64) *load {
	return &load{clients: clients, seed: seed, key: keyOpen, kinds: []string{
		kindPlain, kindPlain, kindPlain, kindPlain, kindStream, kindStream, kindStream, kindUsage, kindUsage, kindLeaving, kindEmbed,
	}}
}

// start lets the clients begin; they send once resume says where to.
func (l *load) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel, l.open = cancel, make(chan struct{})
	transport := &http.Transport{MaxIdleConnsPerHost: l.clients, DisableCompression: true}
	l.client = &http.Client{Transport: transport}
	for i := range l.clients {
		l.wait.Go(func() { l.run(ctx, i) })
	}
	t.Cleanup(func() {
		l.stop()
		transport.CloseIdleConnections()
	})
}

// stop lets requests under way end, sends no more, and returns all results.
func (l *load) stop() []seen {
	l.cancel()
	l.wait.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.results
}

// resume tells the clients that api answers.
func (l *load) resume(api string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.api = api
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

// pause makes the clients wait before their next request.
func (l *load) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default:
	}
}

// count is how many results satisfy f.
func (l *load) count(f func(*seen) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.results {
		if f(&l.results[i]) {
			n++
		}
	}
	return n
}

func (l *load) run(ctx context.Context, client int) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(client)))
	for n := 0; ; n++ {
		l.mu.Lock()
		open := l.open
		l.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		api := l.api
		l.mu.Unlock()
		r := l.one(api, fmt.Sprintf("client%d.%d", client, n), l.kinds[rng.IntN(len(l.kinds))], rng)
		l.mu.Lock()
		l.results = append(l.results, r)
		l.mu.Unlock()
		if l.rest > 0 {
			select {
			case <-time.After(l.rest):
			case <-ctx.Done():
			}
		}
	}
}

// requestTime bounds one request of a load.
const requestTime = 60 * time.Second

// one sends a request of a kind, with content by chance.
func (l *load) one(api, id, kind string, rng *rand.Rand) seen {
	path, body := "/chat/completions", chatBody(kind, rng)
	if kind == kindEmbed {
		path, body = "/embeddings", fmt.Sprintf(`{"model":"embed-1","dimensions":4,"input":["%s"]}`, words(rng, 1+rng.IntN(20)))
	}
	leaveAfter := -1
	if kind == kindLeaving {
		leaveAfter = 1 + rng.IntN(2000)
	}
	return l.send(api+path, id, kind, body, leaveAfter)
}

// exactly sends a chat completion with this body.
func (l *load) exactly(api, id, kind, body string) seen {
	return l.send(api+"/chat/completions", id, kind, body, -1)
}

// send sends a request and reads its answer to the end, or until leaveAfter
// bytes of it have come.
func (l *load) send(url, id, kind, body string, leaveAfter int) seen {
	s := seen{id: id, kind: kind}
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		s.err = err
		return s
	}
	r.Header.Set("Authorization", "Bearer "+l.key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", id)
	resp, err := l.client.Do(r)
	if err != nil {
		s.err = err
		return s
	}
	defer resp.Body.Close()
	s.status = resp.StatusCode
	data, err := readUntil(resp.Body, leaveAfter)
	s.err = err
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		s.readStream(data)
	} else {
		s.readPlain(data)
	}
	return s
}

// readUntil reads to the end, or until limit bytes have come; limit -1 is none.
func readUntil(r io.Reader, limit int) ([]byte, error) {
	if limit < 0 {
		return io.ReadAll(r)
	}
	var data []byte
	buf := make([]byte, 512)
	for len(data) < limit {
		n, err := r.Read(buf)
		data = append(data, buf[:n]...)
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
	return data, nil
}

func chatBody(kind string, rng *rand.Rand) string {
	body := fmt.Sprintf(`{"model":"chat","max_tokens":%d,"messages":[{"role":"user","content":"%s"}]`, 4+rng.IntN(30), words(rng, 1+rng.IntN(40)))
	switch kind {
	case kindUsage:
		return body + `,"stream":true,"stream_options":{"include_usage":true}}`
	case kindStream, kindLeaving:
		return body + `,"stream":true}`
	}
	return body + "}"
}

func words(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "word%d ", rng.IntN(1000))
	}
	return b.String()
}

// readPlain takes a body that came whole where err is nil. Names of fields are
// compared exactly, as clients in other languages do.
func (s *seen) readPlain(data []byte) {
	switch answer := gjson.ParseBytes(data); {
	case s.err != nil:
		s.broken = s.status == http.StatusOK
	case !gjson.ValidBytes(data):
		s.err, s.broken = fmt.Errorf("no JSON: %q", data), true
	default:
		s.code = answer.Get("error.code").String()
		s.complete = s.status == http.StatusOK && !answer.Get("error").Exists()
		s.states(answer.Get("usage"))
	}
}

// readStream takes the events that came.
func (s *seen) readStream(data []byte) {
	done := false
	for event := range bytes.SplitSeq(data, []byte("\n\n")) {
		text, ok := bytes.CutPrefix(event, []byte("data: "))
		if !ok {
			continue
		}
		if string(text) == "[DONE]" {
			s.complete, done = true, true
			continue
		}
		if !gjson.ValidBytes(text) {
			continue // the last event of a cut stream
		}
		chunk := gjson.ParseBytes(text)
		for _, reason := range chunk.Get("choices.#.finish_reason").Array() {
			s.complete = s.complete || reason.Type == gjson.String
		}
		if e := chunk.Get("error.code"); e.Exists() {
			s.code = e.String()
		}
		s.states(chunk.Get("usage"))
	}
	s.broken = s.kind != kindLeaving && !done && s.code == ""
}

func (s *seen) states(u gjson.Result) {
	if u.IsObject() {
		s.input, s.output, s.usage = u.Get("prompt_tokens").Int(), u.Get("completion_tokens").Int(), true
	}
}
