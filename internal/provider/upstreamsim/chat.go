package upstreamsim

import (
	"context"
	"errors"
	"net/http"
)

// job is one request from its arrival to the end of its answer.
type job struct {
	s         *Server
	pool      *pool
	r         *http.Request
	wire      wire
	requestID string
	attemptID string
	script    *liveScript

	line     Line // The bill as far as work was done.
	billed   bool // Something was served, so a line is due.
	recorded bool
	partial  int // Bytes generated of the choice that is being streamed.
}

// record writes the invoice line once; later calls do nothing.
func (j *job) record(status string) error {
	if !j.billed || j.recorded {
		return nil
	}
	j.recorded = true
	j.line.Output += tokens(j.partial)
	j.partial = 0
	j.line.Status = status
	j.line.At = j.s.opts.Now().UTC()
	if err := j.s.invoice.record(&j.line); err != nil {
		j.s.opts.Logger.Error("invoice line lost", "error", err, "request_id", j.requestID)
		// An answer that cannot be billed must not look complete.
		return errAbort
	}
	return nil
}

// bill opens the invoice line: from here on the request is served.
func (j *job) bill(a *answer, model string) {
	j.billed = true
	j.line = Line{
		AttemptID: j.attemptID, RequestID: j.requestID, Pool: j.pool.name, Model: model, Tier: a.tier,
		UncachedInput: a.input - a.cacheRead - a.cacheWrite, CacheRead: a.cacheRead, CacheWrite: a.cacheWrite,
	}
}

// send writes p and records a cut before the bytes that the client is left with.
func (j *job) send(p []byte, flush bool) error {
	if j.wire.cuts(len(p)) {
		if err := j.record(StatusCut); err != nil {
			return err
		}
	}
	return j.wire.write(p, flush)
}

// end closes the books of the job after err and breaks the connection if that is due.
func (j *job) end(err error) {
	if err == nil {
		return
	}
	status := StatusCancelled
	if errors.Is(err, errAbort) {
		status = StatusCut
	}
	// The error of a second failure adds nothing: the connection ends either way.
	_ = j.record(status)
	if left(j.r.Context(), err) {
		return
	}
	j.wire.abort()
}

// chat serves one chat request whose body is read.
func (j *job) chat(body []byte) {
	q, fail := j.s.decodeChat(body)
	if fail != nil {
		j.fail(fail)
		return
	}
	if !j.pool.serves(q.model) {
		j.fail(unknownModel(q.model))
		return
	}
	act := j.script.pick(&subject{pool: j.pool.name, endpoint: EndpointChat, model: q.model, stream: q.stream})
	j.serveChat(q, act)
}

// serveChat answers q as act says; a nil act serves normally.
func (j *job) serveChat(q *chatRequest, act *Action) {
	if act != nil {
		j.wire.act = act
	}
	act = j.wire.act
	if j.refuses(act) {
		return
	}
	if !j.enter() {
		return
	}
	defer j.pool.pace.leave()
	ctx := j.r.Context()
	a := j.s.plan(j.pool, q, act)
	j.bill(a, q.model)
	c, err := j.pool.pace.begin(ctx, j.line.UncachedInput, a.reasoning)
	if err == nil {
		j.line.Reasoning = a.reasoning
		err = c.stall(ctx, act.StallFirstByte)
	}
	if err == nil {
		switch {
		case act.Body != nil:
			err = j.exact(ctx, c, a)
		case q.stream:
			err = j.stream(ctx, c, a, q.includeUsage)
		default:
			err = j.plain(ctx, c, a)
		}
	}
	j.end(err)
}

// refuses handles the actions that serve nothing, and reports whether it did.
func (j *job) refuses(act *Action) bool {
	if act.Refuse {
		panic(http.ErrAbortHandler)
	}
	if act.Status < 400 {
		return false
	}
	var c clock
	err := c.stall(j.r.Context(), act.StallFirstByte)
	if err == nil {
		j.wire.header("application/json", j.s.opts.Now)
		body := act.errorObject(act.Status).appendJSON(nil)
		if act.Body != nil {
			body = []byte(*act.Body)
			j.wire.w.Header().Set("Content-Type", orDefault(act.ContentType, "application/json"))
		}
		err = j.wire.whole(act.Status, body)
	}
	j.end(err)
	return true
}

// enter takes a place in the pool, or answers that it is full.
func (j *job) enter() bool {
	switch j.pool.pace.enter(j.r.Context()) {
	case queueFull:
		j.wire.w.Header().Set("Retry-After", "1")
		j.fail(&apiError{
			status: http.StatusTooManyRequests, kind: "requests", code: "rate_limit_exceeded",
			message: "Rate limit reached: pool " + j.pool.name + " serves as many requests as it can. Please try again in 1s.",
		})
		return false
	case clientLeft:
		return false
	}
	return true
}

// plain generates everything, then sends it at once.
func (j *job) plain(ctx context.Context, c *clock, a *answer) error {
	if err := j.generate(ctx, c, a); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = a.appendPlain((*buf)[:0], j.wire.act)
	j.wire.header("application/json", j.s.opts.Now)
	status := StatusComplete
	if j.wire.cuts(len(*buf)) || j.wire.act.ContentLengthDelta != 0 {
		status = StatusCut
	}
	if err := j.record(status); err != nil {
		return err
	}
	return j.wire.whole(http.StatusOK, *buf)
}

// generate waits for the output of a plain answer and bills it as it comes.
func (j *job) generate(ctx context.Context, c *clock, a *answer) error {
	step := int64(j.pool.pace.opts.TokensPerChunk)
	if c.p.idle {
		j.line.Output = a.output()
		return ctx.Err()
	}
	for left := a.output(); left > 0; left -= step {
		n := min(step, left)
		if err := c.next(ctx, n); err != nil {
			return err
		}
		j.line.Output += n
	}
	return nil
}
