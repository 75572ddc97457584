package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// faultBody is what each client of TestFaults sends; a quarter of its bytes,
// and one, is the estimate of its tokens.
const faultBody = `{"model":"%s","max_tokens":4,"stream":%v,"messages":[{"role":"user","content":"Say what two and two make."}]}`

// embedBody is what the client sends that asks for an embedding.
const embedBody = `{"model":"%s","input":"Say what two and two make."}`

// The answers of a provider that does well.
const (
	goodPlain = `{"id":"cmpl-1","object":"chat.completion","created":1,"model":"any","choices":[{"index":0,"message":{"role":"assistant","content":"four"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}`
	goodDelta = `data: {"id":"cmpl-1","object":"chat.completion.chunk","created":1,"model":"any","choices":[{"index":0,"delta":{"content":"four"},"finish_reason":null}]}` + "\n\n"
	goodEnd   = `data: {"id":"cmpl-1","object":"chat.completion.chunk","created":1,"model":"any","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	goodUsage = `data: {"id":"cmpl-1","object":"chat.completion.chunk","created":1,"model":"any","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}` + "\n\n"
	done      = "data: [DONE]\n\n"
)

// What a provider writes to its connection.
func wire(status, contentType, more, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s", status, contentType, more, len(body), body)
}
func plainWire(body string) string { return wire("200 OK", "application/json", "", body) }
func chunk(s string) string        { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	lastChunk  = "0\r\n\r\n"
)

// side is what a fault does to one way of asking: what the provider does, and
// what must come of it, exactly.
type side struct {
	does   func(c net.Conn)
	answer string // status, then Retry-After where there is one, then the body
	status record.Status
	reason string
	usage  usage.Vector
}

// earlyBytes more are sent to a provider that answers before it has read the
// request: far more than what sockets hold.
const earlyBytes = 12 << 20

// fault is a bad day of a provider.
type fault struct {
	name          string
	url           string // instead of the provider's address
	early         bool   // does without reading the request's body
	limits        string // of the endpoint
	embedding     bool   // plain is asked for an embedding
	plain, stream side
}

// says writes text and keeps the connection.
func says(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// thenClose writes text and closes.
func thenClose(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text); _ = c.Close() }
}

// thenReset writes text, lets it arrive, and resets the connection.
func thenReset(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// thenSilence writes text and says nothing more until the other side leaves.
func thenSilence(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
}

// endlessly writes head and then text again and again until nobody reads it.
func endlessly(head, text string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		_, err := io.WriteString(c, head)
		for err == nil {
			time.Sleep(pause)
			_, err = io.WriteString(c, text)
		}
	}
}

// errorObject is an error as the API writes it.
func errorObject(kind, code, message string) string {
	if code != "null" {
		code = `"` + code + `"`
	}
	return `{"error":{"message":"` + message + `","type":"` + kind + `","param":null,"code":` + code + `}}`
}

// The answers that faults have in common. %s is the model as it was asked for.
var (
	unreachable = "502 1 " + errorObject("server_error", "provider_unreachable", "The provider could not be reached, and no other pool could take over. Try again.")
	wasCut      = "502 1 " + errorObject("server_error", "provider_cut", "The provider cut the answer, and no other pool could take over. Try again.")
	overloaded  = errorObject("server_error", "provider_overloaded", "The provider is overloaded, and no other pool could take over. Try again in a moment.")
	cutEvent    = "data: " + errorObject("server_error", "provider_cut", "The provider cut the answer, and no other pool could take over. Try again.") + "\n\n"
)

func failed(status int) string {
	return "502 1 " + errorObject("server_error", "provider_failed", fmt.Sprintf("The provider failed (status %d), and no other pool could take over. Try again.", status))
}

func notValid(reason string) string {
	return errorObject("server_error", "provider_answer_invalid", "The provider's answer is not valid ("+reason+"), and no other pool could take over. Try again.")
}

func tooSlow(reason, after string) string {
	return errorObject("server_error", reason, "The provider did not answer within "+after+" ("+reason+"), and no other pool could take over. Try again, or ask for a shorter answer.")
}

// estimate is what an attempt may have used of which nothing is known: its
// bytes by four and the output that was allowed; seen is with what was seen
// of an answer.
var (
	estimate = usage.Vector{UncachedInput: 29, Output: 4}
	seenOne  = usage.Vector{UncachedInput: 29, Output: 1}
	seenAll  = usage.Vector{UncachedInput: 29, Output: 2} // goodDelta and goodEnd
	billed   = usage.Vector{UncachedInput: 11, Output: 3}
)

// both is a fault that looks the same to both ways of asking.
func both(does func(net.Conn), answer string, status record.Status, reason string) (plain, stream side) {
	s := side{does, answer, status, reason, usage.Vector{}}
	if status == record.Suspense {
		s.usage = estimate
	}
	return s, s
}

func same(name string, does func(net.Conn), answer string, status record.Status, reason string) fault {
	f := fault{name: name}
	f.plain, f.stream = both(does, answer, status, reason)
	return f
}

// wholePlain is the answer of a good provider as the client must see it.
func wholePlain(body string) string {
	return "200  " + strings.Replace(body, `"model":"any"`, `"model":"%[1]s@1"`, 1)
}

func wholeStream(events string) string {
	return "200  " + strings.ReplaceAll(events, `"model":"any"`, `"model":"%[1]s@1"`)
}

// faultID is the model of the nth fault; its pool is p- and that.
func faultID(n int) string { return fmt.Sprintf("f-%02d", n) }

// faultTerms are what the faults add to the alliance file: a model, a pool and a
// price for each, so that none is another's candidate and none's health
// matters to another.
func faultTerms(faults []fault, address string) string {
	var models, pools, prices, ids strings.Builder
	for n, f := range faults {
		id, url := faultID(n), f.url
		if url == "" {
			url = fmt.Sprintf("http://%s/%d/v1", address, n)
		}
		fmt.Fprintf(&ids, ", %s", id)
		kind := "chat"
		if f.embedding {
			kind = "embedding"
		}
		fmt.Fprintf(&models, "  - {id: %s, name: %s, owner: lab, version: \"1\", weights: closed, kind: %s}\n", id, id, kind)
		fmt.Fprintf(&pools, "  - {id: p-%s, provider: south, region: us-west-2, residency: US, contract: south-payg, billed_by: token, max_in_flight: 64, claim: [paper], models: [{model: %s}], endpoint: {url: %q, dialect: openai%s}}\n", id, id, url, f.limits)
		fmt.Fprintf(&prices, "  - {id: c-%s, pools: [p-%s], model: %s, from: 2026-01-01, list: {input: 3, cache_read: 0.30, cache_write: 3, output: 12, reasoning: 12}, claim: [paper]}\n", id, id, id)
	}
	return "models:\n" + models.String() + "pools:\n" + pools.String() + "prices:\n" + prices.String() +
		"set:\n  all: {models: [chat, chat-1, embed-1" + ids.String() + "]}\n  open: {models: [chat, chat-1, embed-1, kept-1" + ids.String() + "]}\n"
}

// postings are a line's, in words: kind, debit, credit, amount exactly.
func postings(l *ledger.Line) string {
	var b strings.Builder
	for _, p := range l.Postings {
		whole, rest, ok := p.Numerator.FloorDiv(p.Divisor)
		if !ok || rest != 0 {
			fmt.Fprintf(&b, "%s: not whole\n", p.Kind)
		}
		fmt.Fprintf(&b, "%s %s > %s %d %s\n", p.Kind, p.Debit, p.Credit, whole, p.Asset)
	}
	return b.String()
}

// wantPostings are what the books must hold of an attempt, with the prices
// of the terms: 3 and 12 are paid, 5 and 20 are asked, per million tokens.
func wantPostings(id string, s *side) string {
	cost := 3*s.usage.UncachedInput + 12*s.usage.Output
	sale := 5*s.usage.UncachedInput + 20*s.usage.Output
	switch s.status {
	case record.Served:
		return fmt.Sprintf("cost lab/expense/compute/p-%[1]s > lab/liability/accrued/south %[2]d USD\nsale lab/asset/receivable/acme > lab/revenue/inference/%[1]s,api %[3]d USD\ntokens lab/memo/tokens_served/open,%[1]s > lab/memo/tokens_bought/p-%[1]s,%[1]s %[4]d TOK(%[1]s)\n", id, cost, sale, s.usage.Input()+s.usage.AllOutput())
	case record.Suspense:
		return fmt.Sprintf("suspense lab/asset/suspense/south > lab/liability/suspense/south %d USD\n", cost)
	}
	return ""
}

// TestFaults gives the program a provider with every bad day there is, one
// after the other, and demands the API's exact answer, the exact outcome in
// the journal and the exact postings in the books.
func TestFaults(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	defer secure.Close()
	closedPort := freeAddress(t)
	faults := allFaults(closedPort, secure.URL)
	h := startHostile(t, faults)
	for i := range faults {
		faults[i].url = strings.ReplaceAll(faults[i].url, "HOSTILE", h.l.Addr().String())
	}
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south, more: faultTerms(faults, h.l.Addr().String())})
	want := map[string]*side{}
	models := map[string]string{}
	t.Run("answers", func(t *testing.T) {
		for n := range faults {
			for _, stream := range []bool{false, true} {
				s := &faults[n].plain
				if stream {
					s = &faults[n].stream
				}
				if s.does == nil && faults[n].url == "" {
					continue
				}
				id := fmt.Sprintf("fault-%02d-%v", n, stream)
				want[id], models[id] = s, faultID(n)
				t.Run(fmt.Sprintf("%s, stream %v", faults[n].name, stream), func(t *testing.T) {
					t.Parallel()
					path, body := "/chat/completions", fmt.Sprintf(faultBody, faultID(n), stream)
					if faults[n].embedding {
						path, body = "/embeddings", fmt.Sprintf(embedBody, faultID(n))
					}
					if faults[n].early {
						body = strings.Replace(body, "Say", "Say"+strings.Repeat("!", earlyBytes), 1)
					}
					got := d.faultAnswer(id, path, body)
					if exact := strings.ReplaceAll(s.answer, "%[1]s", faultID(n)); got != exact {
						t.Errorf("got\n%q\nwant\n%q", got, exact)
					}
				})
			}
		}
	})
	d.waitIdle()
	d.stop(t)
	d.verified()
	a := readAccount(t, d.data)
	for id, s := range want {
		attempts := a.requests[id]
		if len(attempts) != 1 {
			t.Errorf("%s: %d attempts", id, len(attempts))
			continue
		}
		name, stream := models[id], strings.HasSuffix(id, "true")
		o := a.ends[attempts[0]]
		if o.Status != s.status || o.Reason != s.reason || o.Usage != s.usage {
			t.Errorf("%s (%s): outcome %d %q %+v, want %d %q %+v", id, faults[indexOf(name)].name, o.Status, o.Reason, o.Usage, s.status, s.reason, s.usage)
		}
		l := a.lines[attempts[0]]
		if got := postings(&l); got != wantPostings(name, s) {
			t.Errorf("%s (%s, stream %v): booked\n%swant\n%s", id, faults[indexOf(name)].name, stream, got, wantPostings(name, s))
		}
	}
}

func indexOf(model string) (n int) {
	_, _ = fmt.Sscanf(model, "f-%d", &n)
	return n
}

// faultAnswer is what the client sees: status, Retry-After and body.
func (d *deployment) faultAnswer(id, path, body string) string {
	r, err := http.NewRequest("POST", d.api+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+keyOpen)
	r.Header.Set("X-Request-Id", id)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Sprintf("%s, then %v", b, err)
	}
	want := "application/json"
	if resp.StatusCode == http.StatusOK && strings.Contains(body, `"stream":true`) {
		want = "text/event-stream; charset=utf-8"
	}
	if got := resp.Header.Get("Content-Type"); got != want {
		return "Content-Type " + got
	}
	return fmt.Sprintf("%d %s %s", resp.StatusCode, resp.Header.Get("Retry-After"), b)
}
