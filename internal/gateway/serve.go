package gateway

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/usage"
)

// call is one request of a client from its first byte to its last.
type call struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	started time.Time
	id      string
	st      *compiled
	kind    openai.Kind

	secret    [32]byte // hash of the key that was sent
	key       *principal
	territory alliance.Territory
	endUser   string
	surface   string

	req     *openai.Request
	model   *alliance.Model
	variant *alliance.Variant
	flow    *alliance.Flow
	shown   string
	system  string

	maxOutput int64 // to send per choice; 0: as the client wrote it
	estimate  usage.Vector
	subject   string
	holdID    quota.HoldID
	held      bool
	used      usage.Vector // what the customer was served

	considered []record.Considered
	tried      []alliance.PoolID
	attempts   int
	decision   route.Decision
	attempt    attempt // the latest
	intent     record.Intent
	outcome    record.Outcome
	wrote      bool  // the client has seen a byte of the answer
	claimed    int64 // bytes of memory for bodies
	body       *slab // that holds the request's body
	row        Row
	trace      RequestSpan // or nil
	logged     *recorder   // or nil
}

// borrow returns a call that keeps the memory of an earlier one.
func (g *Gateway) borrow(w http.ResponseWriter, r *http.Request) *call {
	c := g.calls.Get().(*call)
	c.g, c.w, c.r, c.started, c.id = g, w, r, g.now(), requestID(r.Header["X-Request-Id"])
	return c
}

// giveBack ends the use of a call. One that ended in a panic is not given
// back.
func (g *Gateway) giveBack(c *call) {
	*c = call{considered: c.considered[:0], tried: c.tried[:0]}
	g.calls.Put(c)
}

// serve answers a chat completion or an embedding.
func (c *call) serve() {
	c.beginTrace()
	c.beginLog()
	defer c.close()
	e := c.decode()
	if e == nil {
		e = c.resolve()
	}
	if e == nil {
		e = c.admit()
	}
	if e != nil {
		c.refuse(e)
		return
	}
	if e := c.answer(); e != nil {
		c.refuse(e)
	}
}

// close runs on every path: the hold never outlives the request.
func (c *call) close() {
	c.settle()
	c.row.Duration = c.g.now().Sub(c.started)
	c.row.ID, c.row.At, c.row.Tenant, c.row.Key = c.id, c.started, string(c.key.Tenant), string(c.key.ID)
	c.row.Plan, c.row.Territory, c.row.Attempts, c.row.Stream = string(c.key.plan.ID), string(c.territory), c.attempts, c.req != nil && c.req.Stream
	c.g.recent.add(c.row)
	c.g.metrics.request(c)
	c.endLog()
	c.free()
	if c.trace != nil {
		c.trace.End(c.operation(), &c.row)
	}
}

// decode reads the body whole, within its limits, and scans it once.
func (c *call) decode() *openai.Error {
	limits := &c.g.limits
	if c.r.ContentLength > limits.BodyBytes {
		return openai.TooLarge(limits.BodyBytes)
	}
	rc := http.NewResponseController(c.w)
	if c.r.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(limits.BodyTime))
	}
	held, body, err := readBody(c.r.Body, c.r.ContentLength, limits.BodyBytes, c.claim, &c.g.slabs)
	c.body = held
	switch {
	case errors.Is(err, errTooLarge):
		return openai.TooLarge(limits.BodyBytes)
	case errors.Is(err, errNoMemory):
		return openai.Server(503, "overloaded", time.Second, "The gateway holds as many large requests as it can. Try again in a moment.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return openai.Slow(limits.BodyTime)
	case err != nil:
		return openai.Invalid("", "", "The body of the request could not be read to its end. Send it again, with a Content-Length that is its length.")
	}
	_ = rc.SetReadDeadline(time.Time{})
	var e *openai.Error
	if c.req, e = openai.Scan(c.kind, body); e != nil {
		return e
	}
	c.row.Asked = c.req.Model
	return nil
}

// answer tries candidates until one has answered. A nil error means that the
// client has its answer, or its terminal error event, or has left.
func (c *call) answer() *openai.Error {
	g := c.g
	g.retries.earn(int64(g.limits.RetryPercent)*milli/100, int64(g.limits.RetryBurst)*milli)
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
			return c.noPool(&c.decision)
		}
		c.attempts++
		c.tried = append(c.tried, d.Pool.ID)
		c.attempt = attempt{c: c, st: c.st, d: &c.decision, started: now}
		verdict := c.attempt.run()
		if verdict.err == nil || c.wrote || !verdict.retry {
			return verdict.err
		}
		last = verdict.err
		if c.attempts >= g.limits.Attempts || !g.retries.take() {
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
	q := route.Request{Model: c.model.ID, Plan: c.key.plan.ID, Channel: c.key.Channel, Territory: c.territory, Kind: c.kind.String(), Input: c.estimate.Input(), Output: c.estimate.AllOutput(), Tried: c.tried, Buffer: c.considered}
	if c.variant != nil {
		q.Variant = c.variant.ID
	}
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

// noPool is the answer when the router has no candidate at all.
func (c *call) noPool(d *route.Decision) *openai.Error {
	why := ""
	if i := slices.IndexFunc(d.Refused, func(x route.Ineligible) bool { return x.Cause == d.Reason }); i >= 0 {
		why = ": " + d.Refused[i].Why
	}
	c.considered = d.Considered
	switch retry := max(d.RetryAfter, time.Second); d.Reason {
	case route.NoRight:
		return openai.Forbidden("no_right", "No right allows %s in %s through this key's channel%s. `accordo explain` shows every right that was looked at.", c.req.Model, c.territory, why)
	case route.NoResidency:
		return openai.Forbidden("residency", "No pool that has %s lies where the plan %s allows data to be%s.", c.req.Model, c.key.plan.ID, why)
	case route.Full:
		return openai.Server(503, "capacity_full", retry, "Every pool that may serve %s is full at the moment. Try again in %s.", c.req.Model, wait(retry))
	case route.UsedUp:
		return openai.Server(503, "commitment_used_up", 0, "The contract of every pool that may serve %s stops where its commitment is used up, and it is. Ask the operator to look at `accordo contracts`.", c.req.Model)
	case route.Unhealthy:
		return openai.Server(503, "providers_unavailable", retry, "Every pool that may serve %s is failing at the moment. Try again in %s.", c.req.Model, wait(retry))
	}
	return openai.Server(503, "no_pool", 0, "No pool serves %s for the plan %s at the moment%s. Ask the operator to look at `accordo explain`.", c.req.Model, c.key.plan.ID, why)
}

// refuse sends an error object and, for a known key, notes the refusal.
func (c *call) refuse(e *openai.Error) {
	c.row.Status, c.row.Code = e.Status, e.Code
	if c.key != nil {
		r := &record.Refusal{Request: c.id, Tenant: string(c.key.Tenant), Key: string(c.key.ID), Plan: string(c.key.Plan), Channel: string(c.key.Channel), Territory: string(c.territory), EndUser: c.endUser, Terms: c.st.a.Hash, Model: c.row.Asked, Code: e.Code, Reason: e.Message, Considered: c.considered}
		if c.attempts == 0 {
			c.g.journal.Refusal(r)
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
		h["Retry-After"] = []string{strconv.FormatInt(int64(wait(e.RetryAfter)/time.Second), 10)}
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
