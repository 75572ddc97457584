package gateway

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
)

// call is one request of a client from its first byte to its last.
type call struct {
	g  *Gateway
	w  http.ResponseWriter
	r  *http.Request
	st *compiled
	request.Request

	secret sum        // of the key that was sent
	who    principal  // whose key it is
	key    *principal // who, or nil where nobody's
	req    *openai.Request

	decision route.Decision
	attempt  attempt // the latest
	intent   record.Intent
	outcome  record.Outcome
	wrote    bool  // the client has seen a byte of the answer
	claimed  int64 // bytes of memory for bodies
	body     *slab // that holds the request's body
	row      Row
	trace    RequestSpan // or nil
	logged   *recorder   // or nil
	racing   bool        // two attempts are under way: what is held is for both
}

// borrow returns a call that keeps the memory of an earlier one.
func (g *Gateway) borrow(w http.ResponseWriter, r *http.Request) *call {
	c := g.calls.Get().(*call)
	c.g, c.w, c.r, c.At, c.ID = g, w, r, g.now(), requestID(r.Header["X-Request-Id"])
	return c
}

// giveBack ends the use of a call. One that ended in a panic is not given
// back.
func (g *Gateway) giveBack(c *call) {
	*c = call{Request: request.Request{Considered: c.Considered[:0], Tried: c.Tried[:0]}}
	g.calls.Put(c)
}

// serve answers a chat completion or an embedding.
func (c *call) serve() {
	c.beginTrace()
	c.beginLog()
	defer c.close()
	if e := c.respond(); e != nil {
		c.refuse(e)
	}
}

// respond reads the request, waits for a permit and answers. It waits with the
// body, which bounds how long a permit is kept by a client that sends slowly,
// and lets net/http see a client that leaves.
func (c *call) respond() *openai.Error {
	body, e := c.read()
	if e != nil {
		return e
	}
	if e := c.permit(); e != nil {
		return e
	}
	defer c.g.permits.leave()
	if e := c.scan(body); e != nil {
		return e
	}
	if e := c.Resolve(); e != nil {
		return e
	}
	if e := c.admit(); e != nil {
		return e
	}
	return c.answer()
}

// close runs on every path: the hold never outlives the request.
func (c *call) close() {
	c.racing = false
	c.settle()
	c.row.Duration = c.g.now().Sub(c.At)
	c.row.ID, c.row.At, c.row.Tenant, c.row.Key = c.ID, c.At, string(c.key.Tenant), string(c.key.ID)
	c.row.Plan, c.row.Territory, c.row.Attempts, c.row.Stream = string(c.key.plan.ID), string(c.Territory), c.Attempts, c.req != nil && c.req.Stream
	if c.Kind != 0 || c.row.Status != http.StatusOK {
		c.g.recent.add(c.row) // a list of models asked nothing of anybody
	}
	c.g.metrics.request(c)
	c.endLog()
	c.free()
	if c.trace != nil {
		c.trace.End(c.operation(), &c.row)
	}
}

// read returns the body whole, within its limits.
func (c *call) read() ([]byte, *openai.Error) {
	limits := &c.g.limits
	if e := encoded(c.r.Header); e != nil {
		return nil, e
	}
	if c.r.ContentLength > limits.BodyBytes {
		return nil, openai.TooLarge(limits.BodyBytes)
	}
	rc := http.NewResponseController(c.w)
	if c.r.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(limits.BodyTime))
	}
	held, body, err := readBody(c.r.Body, c.r.ContentLength, limits.BodyBytes, c.claim, &c.g.slabs)
	c.body = held
	switch {
	case errors.Is(err, errTooLarge):
		return nil, openai.TooLarge(limits.BodyBytes)
	case errors.Is(err, errNoMemory):
		return nil, openai.Server(503, "overloaded", time.Second, "The gateway holds as many large requests as it can. Try again in a moment.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, openai.Slow(limits.BodyTime)
	case err != nil:
		return nil, openai.Invalid("", "", "The body of the request could not be read to its end. Send it again, with a Content-Length that is its length.")
	}
	_ = rc.SetReadDeadline(time.Time{})
	return body, nil
}

// scan looks at the body once for what the gateway has to know.
func (c *call) scan(body []byte) *openai.Error {
	var e *openai.Error
	if c.req, e = openai.Scan(c.Kind, body); e != nil {
		return e
	}
	r := c.req
	c.Asked, c.TextBytes, c.Images, c.Choices, c.MaxOutput, c.Stream = r.Model, r.TextBytes, r.Images, r.Choices, r.MaxOutput, r.Stream
	c.row.Asked = c.Asked
	return nil
}

// answer tries candidates until one has answered. A nil error means that the
// client has its answer, or its terminal error event, or has left.
func (c *call) answer() *openai.Error {
	g := c.g
	g.retries.earn(g.limits.ofRequest())
	var last *openai.Error
	for {
		now := g.now()
		d, e := g.decide(now, c)
		if e != nil {
			return e
		}
		if c.decision = d; d.Pool == nil {
			if last != nil {
				return last
			}
			return c.NoPool(&c.decision)
		}
		c.Began(&c.decision)
		c.attempt = attempt{c: c, st: c.st, d: &c.decision, started: now}
		verdict := c.attempt.run()
		if verdict.err == nil || c.wrote || !verdict.retry {
			return verdict.err
		}
		last = verdict.err
		if c.Attempts >= g.limits.Attempts || !g.retries.take() {
			return last
		}
		g.metrics.retries.Inc()
	}
}

// decide asks the router, under the terms in force: a request that was
// admitted under older ones goes on under these.
func (g *Gateway) decide(now time.Time, c *call) (route.Decision, *openai.Error) {
	for {
		if st := g.state.Load(); st != c.st {
			if e := c.adopt(st); e != nil {
				return route.Decision{}, e
			}
		}
		if d, ok := g.decideUnder(now, c); ok {
			return d, nil
		}
	}
}

// decideUnder asks the router unless the terms have changed since c took them.
func (g *Gateway) decideUnder(now time.Time, c *call) (route.Decision, bool) {
	q := c.Route()
	g.routing.Lock()
	defer g.routing.Unlock()
	if g.state.Load() != c.st {
		return route.Decision{}, false
	}
	return g.router.Decide(now, &q, g.random()), true
}

// observe tells the router what came of an attempt.
func (g *Gateway) observe(now time.Time, o route.Outcome) uint64 {
	g.routing.Lock()
	defer g.routing.Unlock()
	return g.router.Observe(now, o)
}

// refuse sends an error object and, for a known key, notes the refusal.
func (c *call) refuse(e *openai.Error) {
	c.row.Status, c.row.Code = e.Status, e.Code
	if c.key != nil {
		if c.Attempts == 0 {
			c.g.journal.Refusal(c.Refusal(e))
		}
	}
	c.g.metrics.refusals.WithLabelValues(strconv.Itoa(e.Status), e.Code).Inc()
	if c.wrote {
		return
	}
	c.wrote = true
	c.leaveUnread()
	c.boundWrite()
	writeError(c.w, e)
}

// boundWrite bounds how long the client may take to take what is written next:
// one that takes nothing would keep its connection for ever.
func (c *call) boundWrite() {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.g.limits.WriteTime))
}

// writeError sends an error object with its headers.
func writeError(w http.ResponseWriter, e *openai.Error) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	if e.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64(request.Wait(e.RetryAfter)/time.Second), 10)}
	}
	if e.Allow != "" {
		h["Allow"] = []string{e.Allow}
	}
	if e.NoRetry {
		h["X-Should-Retry"] = []string{"false"}
	}
	body := e.Append(nil)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}

// gone reports whether the client has left, as opposed to being cut by a
// drain.
func (c *call) gone() bool {
	return c.r.Context().Err() != nil && !errors.Is(context.Cause(c.r.Context()), errDraining)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
