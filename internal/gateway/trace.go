package gateway

import (
	"maps"
	"net/http"
	"time"

	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Tracer hears of requests of known keys and of their attempts. Its methods
// return at once: a tracer that falls behind drops spans.
type Tracer interface {
	// Request begins the span of a request. traceparent is what the client
	// sent, which may be anything.
	Request(at time.Time, traceparent string) RequestSpan
}

// RequestSpan is the span of one request.
type RequestSpan interface {
	// Attempt begins the span of an attempt.
	Attempt(at time.Time) AttemptSpan
	// End ends the span with what is remembered of the request.
	End(operation string, r *Row)
}

// AttemptSpan is the span of one attempt; two of a request may be under way.
type AttemptSpan interface {
	// Traceparent is what the provider is sent.
	Traceparent() string
	End(at time.Time, e AttemptTrace)
}

// AttemptTrace is what a trace tells of an attempt: names and figures, never
// content.
type AttemptTrace struct {
	Operation string // chat or embeddings
	Attempt   record.AttemptID
	Number    int
	Request   string
	Provider  string
	Pool      string
	Contract  string
	Asked     string // model, as the provider is asked for it
	Answered  string // model, as the provider says
	Upstream  string // the provider's id of its answer
	Outcome   string
	Reason    string // empty when served
	Usage     usage.Vector
	TTFT      time.Duration

	Model  string // of the terms, id@version
	Stream bool
	Took   time.Duration // from the intent to the end
	// Hedge says that the attempt was sent because another had not begun to answer.
	Hedge bool
	// Cancelled says that the gateway ended the attempt: another was first,
	// the client left, or the gateway stops.
	Cancelled bool
}

// Meter hears of every attempt as it ends. Its method returns at once and
// keeps nothing of what it is given.
type Meter interface{ Attempt(e *AttemptTrace) }

// beginTrace begins the request's span, where requests are traced.
func (c *call) beginTrace() {
	if t := c.g.tracer; t != nil {
		parent := ""
		if v := c.r.Header["Traceparent"]; len(v) == 1 {
			parent = v[0]
		}
		c.trace = t.Request(c.At, parent)
	}
}

// endTrace ends the attempt's span and has it measured, where somebody asked
// for that.
func (a *attempt) endTrace(now time.Time, e *request.Ending) {
	c, d := a.c, a.d
	if a.span == nil && c.g.meter == nil {
		return
	}
	v := AttemptTrace{
		Operation: c.operation(), Attempt: a.id, Number: a.number, Request: c.ID, Provider: string(d.Pool.Provider), Pool: string(d.Pool.ID), Contract: string(d.Contract),
		Asked: upstreamName(d), Answered: a.version, Upstream: a.upstreamID, Outcome: outcomeName(e.Status), Usage: e.Usage, TTFT: e.TTFT,
		Model: c.ModelName, Stream: c.req.Stream, Took: e.Duration, Hedge: a.hedge,
	}
	if e.Status != record.Served {
		v.Reason = e.Reason
		v.Cancelled = e.Reason == request.ReasonHedged || e.Reason == request.ReasonClientLeft || e.Reason == request.ReasonDraining
	}
	if c.g.meter != nil {
		c.g.meter.Attempt(&v)
	}
	if a.span != nil {
		a.span.End(now, v)
	}
}

// operation is the name that traces have for the kind of the request.
func (c *call) operation() string {
	if c.Kind.String() == "embedding" {
		return "embeddings"
	}
	return "chat"
}

// traceHeader is the name under which a provider is sent the trace. In this
// spelling no client's header can have it: net/http writes names its own way.
const traceHeader = "traceparent"

// sendHeader is what the provider may be sent of the client's.
func (a *attempt) sendHeader() http.Header {
	if a.span == nil {
		return a.c.r.Header
	}
	h := maps.Clone(a.c.r.Header)
	h[traceHeader] = []string{a.span.Traceparent()}
	return h
}
