package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
)

// attempt is one try at one pool.
type attempt struct {
	c       *call
	st      *compiled
	d       *route.Decision
	id      record.AttemptID
	intent  uint64
	opened  bool // the intent is in the journal
	sent    bool // the provider may have seen the request
	started time.Time
	first   time.Time // of the answer
	deltas  int64
	ended   bool
	watch   *watch
	body    [][]byte // to send
	number  int
	span    AttemptSpan // or nil
	hedge   bool        // sent because another had not begun to answer

	upstreamID, tier, version string
}

// verdict is what the loop over candidates needs to know.
type verdict struct {
	err   *openai.Error // nil: the client has its answer
	retry bool
}

// run journals the intent, calls, relays, and journals the outcome. Whatever
// happens in between, the outcome is written exactly once.
func (a *attempt) run() verdict {
	defer a.finally()
	v, ready := a.prepare()
	if !ready {
		return v
	}
	defer a.watch.stop()
	if h := a.c.key.plan.Hedge; h != nil {
		return a.hedged(h)
	}
	return a.take(a.send())
}

// finally writes the outcome when a panic is on its way, or a path forgot: an
// intent is never left open.
func (a *attempt) finally() {
	if !a.ended {
		a.end(request.Ending{Status: record.Suspense, Reason: request.ReasonPanic})
	}
}

// prepare journals the intent. When the attempt cannot be made it says what
// the client is told, and ready is false.
func (a *attempt) prepare() (v verdict, ready bool) {
	c, g := a.c, a.c.g
	a.id = record.AttemptID(randomID())
	if a.st.upstreams[a.d.Pool.ID] == nil {
		a.end(request.Ending{Status: record.Unserved, Reason: request.ReasonNoClient})
		return verdict{openai.Server(503, "no_pool", 0, "The chosen pool has no connection. Ask the operator to look at the log."), true}, false
	}
	seq, err := g.journal.Intent(c.r.Context(), a.record())
	if err != nil {
		a.ended = true
		g.observe(g.now(), route.Outcome{Reservation: a.d.Reservation, Pool: a.d.Pool.ID, Failure: route.FailureCancelled})
		if c.gone() {
			return verdict{clientLeft(), false}, false
		}
		g.log.Error("intent not written", "request_id", c.ID, "error", err)
		return verdict{openai.Server(503, "journal_unavailable", 5*time.Second, "The gateway cannot write its journal, and serves nothing that it cannot account for. Try again later; the operator finds the cause in the log and at /readyz."), false}, false
	}
	a.intent, a.opened, a.sent = seq, true, true
	if a.number = c.Attempts; c.trace != nil {
		a.span = c.trace.Attempt(a.started)
	}
	a.watch = newWatch(c.r.Context(), a.timeouts(), c.req.Stream)
	a.body = c.req.Splice(openai.Edit{Model: upstreamName(a.d), Usage: true, MaxOutput: c.SetOutput(), System: c.System})
	return verdict{}, true
}

// send calls the provider and waits for the header of its answer. It changes
// nothing of the call, so that two attempts may be sent at a time.
func (a *attempt) send() (*http.Response, error) {
	c := a.c
	path := "/chat/completions"
	if c.Kind == openai.Embedding {
		path = "/embeddings"
	}
	return a.st.upstreams[a.d.Pool.ID].Send(a.watch, path, string(a.id), c.ID, a.sendHeader(), a.body)
}

// take hands the answer on, or says what its lack means.
func (a *attempt) take(resp *http.Response, err error) verdict {
	if err != nil {
		return a.noAnswer(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return a.status(resp)
	case a.c.req.Stream:
		return a.stream(resp)
	}
	return a.plain(resp)
}

func upstreamName(d *route.Decision) string {
	if d.PoolModel.UpstreamName != "" {
		return d.PoolModel.UpstreamName
	}
	return string(d.PoolModel.Model)
}

// record is the intent as the journal keeps it.
func (a *attempt) record() *record.Intent {
	c := a.c
	c.Intent(&c.intent, a.id, a.d)
	c.row.choose(a)
	return &c.intent
}

// end tells the router, journals the outcome and notes what the customer
// used. It acts once; the error says that the record is not safe: it is kept,
// and written once the journal can be written again.
func (a *attempt) end(e request.Ending) error {
	if a.ended {
		return nil
	}
	a.ended = true
	c, g := a.c, a.c.g
	now := g.now()
	if !a.first.IsZero() {
		e.TTFT = a.first.Sub(a.started)
	}
	e.Duration, e.Deltas, e.Tier, e.Upstream, e.Version = now.Sub(a.started), a.deltas, a.tier, a.upstreamID, a.version
	c.End(&e)
	observation := g.observe(now, e.Observed(a.d.Pool.ID, a.d.Reservation))
	c.row.end(a, &e)
	g.metrics.attempt(a, &e)
	a.endTrace(now, &e)
	if !a.opened {
		return nil
	}
	c.outcome = e.Outcome(a.id, a.intent, observation)
	if _, err := g.journal.Outcome(context.WithoutCancel(c.r.Context()), &c.outcome); err != nil {
		kept := g.keepLate(&c.outcome, err)
		g.log.Error("outcome not written", "request_id", c.ID, "attempt", string(a.id), "kept", kept, "error", err)
		return err
	}
	return nil
}

// noAnswer ends an attempt whose call brought no response.
func (a *attempt) noAnswer(err error) verdict {
	cause, sent := request.ReasonCut, true
	var classified interface {
		Sent() bool
		Cause() string
	}
	if errors.As(err, &classified) {
		cause, sent = classified.Cause(), classified.Sent()
	}
	a.sent = sent
	if a.watch.Err() != nil {
		return a.broken(request.ReasonCut)
	}
	status := record.Suspense
	if !sent {
		status = record.Unserved
	}
	a.c.g.log.Warn("call failed", "request_id", a.c.ID, "attempt", string(a.id), "pool", string(a.d.Pool.ID), "cause", cause, "error", err)
	if cause == request.ReasonProtocol { // it was reached, and does not speak HTTP as it should
		return a.faulty(cause)
	}
	a.end(request.Ending{Status: status, Reason: cause})
	return verdict{openai.Server(502, "provider_unreachable", time.Second, "The provider could not be reached, and no other pool could take over. Try again."), true}
}

// broken ends an attempt that was cut: by the provider, a timeout, the
// client or a drain. otherwise is the reason when none of ours did it.
func (a *attempt) broken(otherwise string) verdict {
	reason, e, retry := otherwise, openai.Server(502, "provider_cut", time.Second, "The provider cut the answer, and no other pool could take over. Try again."), true
	failure := ""
	var t *timeout
	switch cause := a.watch.Cause(); {
	case cause == nil:
	case errors.As(cause, &t):
		reason = t.reason
		e = openai.Server(504, t.reason, time.Second, "The provider did not answer within %s (%s), and no other pool could take over. Try again, or ask for a shorter answer.", t.after, t.reason)
		retry = t.reason != request.ReasonTotal
	case errors.Is(cause, errHedged):
		reason, failure = request.ReasonHedged, route.FailureCancelled
	case errors.Is(cause, errDraining):
		reason, failure, retry = request.ReasonDraining, route.FailureCancelled, false
		e = openai.Server(503, "stopping", 2*time.Second, "The gateway had to stop before the answer was complete. Try again.")
	default:
		reason, failure, retry, e = request.ReasonClientLeft, route.FailureCancelled, false, clientLeft()
	}
	status := record.Suspense
	if !a.sent {
		status = record.Unserved
	}
	a.end(request.Ending{Status: status, Reason: reason, Failure: failure, Delivered: a.c.wrote || reason == request.ReasonClientLeft})
	if a.c.wrote || !retry { // else the hold stays for the next pool
		a.c.settle()
	}
	return verdict{e, retry}
}

// clientLeft is what nobody reads; its status is for metrics and the console.
func clientLeft() *openai.Error {
	return openai.Server(499, "client_left", 0, "The client left before the answer was complete.")
}

// status ends an attempt that the provider refused.
func (a *attempt) status(resp *http.Response) verdict {
	code, asks := resp.StatusCode, retryAfter(resp.Header, a.c.g.now())
	e, retry := request.Refused(code, asks)
	if !retry {
		body, err := io.ReadAll(io.LimitReader(resp.Body, MaxErrorBytes))
		if err != nil && a.watch.Err() != nil {
			return a.broken(request.ReasonCut)
		}
		err = a.end(e)
		if err != nil || !openai.IsErrorObject(body) {
			return verdict{openai.Invalid("", "provider_refused", "The provider refused the request (status %d) without saying why. Check its parameters against the model's documentation.", code), false}
		}
		a.pass(code, body)
		return verdict{}
	}
	if code == 401 || code == 403 {
		a.c.g.log.Error("provider refuses the credential", "pool", string(a.d.Pool.ID), "status", code)
	}
	a.end(e)
	switch asks = max(asks, time.Second); code {
	case 429:
		return verdict{openai.Server(503, "providers_rate_limited", asks, "The providers that may serve %s accept no more requests at the moment. Try again in %s.", a.c.Asked, request.Wait(asks)), true}
	case 503, 529:
		return verdict{openai.Server(503, "provider_overloaded", asks, "The provider is overloaded, and no other pool could take over. Try again in a moment."), true}
	}
	return verdict{openai.Server(502, "provider_failed", time.Second, "The provider failed (status %d), and no other pool could take over. Try again.", code), true}
}

// pass hands the provider's own error object to the client.
func (a *attempt) pass(code int, body []byte) {
	c := a.c
	c.settle()
	c.wrote, c.row.Status = true, code
	h := c.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	a.standIn(h)
	c.boundWrite()
	c.w.WriteHeader(code)
	_, _ = c.w.Write(body)
}

// standIn says who really answered.
func (a *attempt) standIn(h http.Header) {
	if says := a.st.standIn(a.d.Pool); says != "" {
		h["X-Accordo-Stand-In"] = []string{headerText(says)}
	}
}

// headerText keeps what a header may hold.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

func (a *attempt) timeouts() timeouts {
	ms := func(v int64, fallback time.Duration) time.Duration {
		if v > 0 {
			return time.Duration(v) * time.Millisecond
		}
		return fallback
	}
	l, e := &a.c.g.limits, &a.d.Pool.Endpoint
	return timeouts{ms(e.FirstTokenMS, l.FirstToken), ms(e.BetweenTokensMS, l.BetweenToken), ms(e.TotalMS, l.Total)}
}
