package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/usage"
)

// copied are the provider's headers that a client may see.
var copied = [...]string{"Openai-Processing-Ms", "Openai-Version"}

// plain reads the whole answer, makes its outcome safe and then sends it.
func (a *attempt) plain(resp *http.Response) verdict {
	c := a.c
	a.first = c.g.now()
	held, body, err := readBody(resp.Body, resp.ContentLength, c.g.limits.AnswerBytes, c.count, &c.g.slabs)
	defer func() { c.g.slabs.give(held) }()
	if errors.Is(err, errTooLarge) {
		return a.faulty(request.ReasonTooLarge)
	}
	if err != nil {
		return a.broken(request.ReasonCut)
	}
	ans, err := openai.ScanAnswer(body)
	a.upstreamID, a.version, a.tier = ans.ID, ans.Model, ans.ServiceTier
	if err != nil || !ans.Complete(c.Kind) {
		return a.faulty(request.ReasonProtocol)
	}
	if err := a.end(billed(ans.Usage, ans.UsageErr)); err != nil {
		c.settle()
		return verdict{notSafe(), false}
	}
	c.settle()
	out := body
	if name := openai.QuoteModel(c.Shown()); ans.Model != c.Shown() {
		renamed := c.g.slabs.take(int64(len(body) + len(name)))
		defer c.g.slabs.give(renamed)
		out = ans.Rewrite(renamed.b[:0], name, false)
	}
	c.wrote, c.row.Status = true, http.StatusOK
	h := a.header(resp)
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(out))}
	c.boundWrite()
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(out)
	return verdict{}
}

// billed is the ending of a complete answer: a bill when the provider stated
// its usage, suspense when it did not or contradicts itself.
func billed(v usage.Vector, err error) request.Ending {
	switch {
	case err == nil:
		return request.Ending{Status: record.Served, Usage: v, Delivered: true, Complete: true}
	case errors.Is(err, openai.ErrNoUsage):
		return request.Ending{Status: record.Suspense, Reason: request.ReasonNoUsage, Delivered: true, Complete: true}
	}
	return request.Ending{Status: record.Suspense, Reason: request.ReasonContradiction, Delivered: true, Complete: true}
}

// notSafe is the answer when the outcome could not be journalled: a client
// never sees an answer complete that the books do not know.
func notSafe() *openai.Error {
	return openai.Server(500, "outcome_not_recorded", 5*time.Second, "The answer came, but the gateway could not record it and so does not hand it out. Try again later; the operator finds the cause in the log.")
}

// faulty ends an attempt whose answer is not what the dialect allows.
func (a *attempt) faulty(reason string) verdict {
	a.end(request.Ending{Status: record.Suspense, Reason: reason, Delivered: a.c.wrote})
	if a.c.wrote { // else the hold stays for the next pool
		a.c.settle()
	}
	return verdict{openai.Server(502, "provider_answer_invalid", time.Second, "The provider's answer is not valid (%s), and no other pool could take over. Try again.", reason), true}
}

// header prepares the answer's header.
func (a *attempt) header(resp *http.Response) http.Header {
	h := a.c.w.Header()
	for _, name := range copied {
		if v := resp.Header[name]; len(v) == 1 && len(v[0]) < 128 {
			h[name] = v
		}
	}
	a.standIn(h)
	a.c.limitHeaders(h)
	return h
}

// A stream is read into few bytes while it comes slowly, so that ten thousand
// that say nothing hold little, and into many while it fills them.
const (
	readBytes = 32 << 10
	slowBytes = 1 << 10
)

func newReadBuffer() any { return new([readBytes]byte) }

// relay is the state of one stream on its way to the client.
type relay struct {
	*attempt
	resp *http.Response
	st   *openai.Stream
	rc   *http.ResponseController
	lost bool // a write to the client failed
}

// stream relays events as they come. What carries the finish reason, and all
// after it, waits until the outcome is safe.
func (a *attempt) stream(resp *http.Response) verdict {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return a.faulty(request.ReasonProtocol)
	}
	c := a.c
	st := c.g.streams.Get().(*openai.Stream)
	defer c.g.streams.Put(st)
	st.Reset(c.Shown(), c.req.IncludeUsage, c.req.Choices)
	s := &relay{a, resp, st, http.NewResponseController(c.w), false}
	var large *[readBytes]byte
	defer func() { c.g.keep(large) }()
	small := make([]byte, slowBytes)
	for buf := small; ; {
		n, readErr := resp.Body.Read(buf)
		out, fault := s.st.Feed(buf[:n])
		if fault == nil && readErr != nil {
			fault = s.st.Close()
		}
		s.learn()
		if fault != nil {
			return s.fault(out, fault)
		}
		if len(out) > 0 && !s.send(out) {
			return s.clientGone()
		}
		switch {
		case s.st.Phase() == openai.Done, readErr != nil && s.st.Complete():
			return s.finish(small)
		case readErr != nil:
			return s.cut(request.ReasonCut)
		}
		s.rearm(n)
		switch {
		case large == nil && n == len(small):
			large = c.g.buffers.Get().(*[readBytes]byte)
			buf = large[:]
		case large != nil && n < len(small):
			c.g.keep(large)
			buf, large = small, nil
		}
	}
}

// keep takes a buffer back; nil is none.
func (g *Gateway) keep(buf *[readBytes]byte) {
	if buf != nil {
		g.buffers.Put(buf)
	}
}

// learn takes over what the stream has stated so far.
func (s *relay) learn() {
	if s.first.IsZero() && s.st.Phase() > openai.Waiting {
		s.first = s.c.g.now()
	}
	s.deltas, s.upstreamID, s.version, s.tier = s.st.Deltas, s.st.ID, s.st.Model, s.st.ServiceTier
}

// usageGrace is how long [DONE] may take once everything else is there.
const usageGrace = time.Second

func (s *relay) rearm(n int) {
	between := s.watch.limits.between
	switch {
	case n == 0 || s.st.Phase() == openai.Waiting: // comments are no token
	case s.st.Phase() == openai.Holding && s.st.Complete() && s.st.UsageErr == nil:
		s.watch.rearm(min(between, usageGrace))
	case s.st.Phase() == openai.Holding:
		s.watch.rearm(min(between, s.c.g.limits.UsageWait))
	default:
		s.watch.rearm(between)
	}
}

// send writes events and flushes; false means that the client is gone.
func (s *relay) send(out []byte) bool {
	c := s.c
	if !c.wrote {
		c.wrote, c.row.Status = true, http.StatusOK
		h := s.header(s.resp)
		h["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
		h["Cache-Control"] = []string{"no-cache"}
		h["X-Accel-Buffering"] = []string{"no"}
		c.w.WriteHeader(http.StatusOK)
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(c.g.limits.WriteTime))
	if _, err := c.w.Write(out); err != nil {
		s.lost = true
		return false
	}
	if err := s.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.lost = true
		return false
	}
	return true
}

// finish makes the outcome safe, sends what was held, and lets the
// connection be used again.
func (s *relay) finish(buf []byte) verdict {
	if err := s.end(billed(s.st.Usage, s.st.UsageErr)); err != nil {
		s.c.settle()
		return s.terminal(verdict{notSafe(), false})
	}
	s.c.settle()
	held := s.st.Held()
	if s.st.Phase() != openai.Done {
		held = append(held, "data: [DONE]\n\n"...)
	}
	if s.send(held) {
		s.watch.rearm(usageGrace / 4)
		for n := 0; n < readBytes; {
			k, err := s.resp.Body.Read(buf)
			if err != nil {
				break
			}
			n += k
		}
	}
	return verdict{}
}

// fault ends a stream that broke the dialect or carried an error.
func (s *relay) fault(out []byte, fault error) verdict {
	reason := request.ReasonProtocol
	if errors.Is(fault, openai.ErrStreamError) {
		reason = request.ReasonErrorEvent
	}
	if s.c.wrote && len(out) > 0 {
		s.send(out)
	}
	return s.terminal(s.faulty(reason))
}

// clientGone ends a stream whose client takes nothing more. Usage that has
// arrived is a bill.
func (s *relay) clientGone() verdict {
	if s.st.UsageErr == nil && s.st.Complete() {
		s.end(billed(s.st.Usage, nil))
		s.c.settle()
		return verdict{clientLeft(), false}
	}
	s.end(request.Ending{Status: record.Suspense, Reason: request.ReasonClientLeft, Failure: "cancelled", Delivered: true})
	s.c.settle()
	return verdict{clientLeft(), false}
}

// cut ends a stream that stopped: by the provider, a timeout, a drain or the
// client.
func (s *relay) cut(reason string) verdict {
	if s.c.gone() {
		return s.clientGone()
	}
	return s.terminal(s.broken(reason))
}

// terminal tells a client that has seen a part of the answer how it ended;
// one that has seen nothing may be served by another pool.
func (s *relay) terminal(v verdict) verdict {
	if !s.c.wrote || s.lost {
		return v
	}
	s.send(v.err.AppendEvent(nil))
	s.c.row.Code = v.err.Code
	return v
}
