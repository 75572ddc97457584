package request

import (
	"slices"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/usage"
)

// The reasons of outcomes that are not Served, and of failures that the
// router hears of. They are part of what the journal holds.
const (
	ReasonClientLeft    = "client_left"
	ReasonNoUsage       = "usage_missing"
	ReasonContradiction = "usage_contradicts"
	ReasonCut           = "cut"
	ReasonRefused       = "refused" // the connection
	ReasonProtocol      = "protocol"
	ReasonErrorEvent    = "error_event"
	ReasonTooLarge      = "answer_too_large"
	ReasonFirstToken    = "first_token_timeout"
	ReasonBetweenTokens = "between_tokens_timeout"
	ReasonTotal         = "total_timeout"
	ReasonDraining      = "gateway_stopping"
	ReasonNoClient      = "no_client"
	ReasonPanic         = "internal_error"
	ReasonRateLimited   = "rate_limited"
	ReasonHedged        = "hedged"
)

// Route is what the router is asked for the next attempt.
func (q *Request) Route() route.Request {
	r := route.Request{
		Model: q.Model.ID, Plan: q.Plan.ID, Channel: q.Key.Channel, Territory: q.Territory, Kind: q.Kind.String(),
		Input: q.Estimate.Input(), Output: q.Estimate.AllOutput(), Tried: q.Tried, Buffer: q.Considered,
	}
	if q.Variant != nil {
		r.Variant = q.Variant.ID
	}
	return r
}

// NoPool is the answer when the router has no candidate at all.
func (q *Request) NoPool(d *route.Decision) *openai.Error {
	q.Considered = d.Considered
	why := ""
	if i := slices.IndexFunc(d.Refused, func(x route.Ineligible) bool { return x.Cause == d.Reason }); i >= 0 {
		why = ": " + d.Refused[i].Why
	}
	switch retry := max(d.RetryAfter, time.Second); d.Reason {
	case route.NoRight:
		return openai.Forbidden("no_right", "No right allows %s in %s through this key's channel%s. `accordo explain` shows every right that was looked at.", q.Asked, q.Territory, why)
	case route.NoResidency:
		return openai.Forbidden("residency", "No pool that has %s lies where the plan %s allows data to be%s.", q.Asked, q.Plan.ID, why)
	case route.Full:
		return openai.Server(503, "capacity_full", retry, "Every pool that may serve %s is full at the moment. Try again in %s.", q.Asked, Wait(retry))
	case route.UsedUp:
		return openai.Server(503, "commitment_used_up", 0, "The contract of every pool that may serve %s stops where its commitment is used up, and it is. Ask the operator to look at `accordo contracts`.", q.Asked)
	case route.Unhealthy:
		return openai.Server(503, "providers_unavailable", retry, "Every pool that may serve %s is failing at the moment. Try again in %s.", q.Asked, Wait(retry))
	}
	return openai.Server(503, "no_pool", 0, "No pool serves %s for the plan %s at the moment%s. Ask the operator to look at `accordo explain`.", q.Asked, q.Plan.ID, why)
}

// Began counts an attempt at the pool of a decision.
func (q *Request) Began(d *route.Decision) {
	q.Attempts++
	q.Tried = append(q.Tried, d.Pool.ID)
}

// Intent fills in the journal's record of the attempt that is about to be
// made: the one that Began counted last. It keeps Considered of d only until
// the next decision.
func (q *Request) Intent(in *record.Intent, id record.AttemptID, d *route.Decision) {
	*in = record.Intent{
		Attempt: id, Request: q.ID, Number: int32(q.Attempts), Decision: d.Sequence, Terms: q.Terms.a.Hash,
		Tenant: string(q.Tenant), Key: string(q.Key.ID), Plan: string(q.Key.Plan), Channel: string(q.Key.Channel),
		Territory: string(q.Territory), EndUser: q.EndUser, Model: q.ModelName, Variant: q.VariantName,
		Pool: string(d.Pool.ID), Contract: string(d.Contract), Right: string(d.Right), CostPrice: string(d.CostPrice),
		Estimate: q.Estimate, Stream: q.Stream, Considered: d.Considered,
	}
	if p := q.Plan.Price; p != nil {
		in.SalePrice = string(p.ID)
	}
	q.Considered = d.Considered[:0]
}

// Ending is how an attempt ended.
type Ending struct {
	Status     record.Status
	Usage      usage.Vector // as billed, when Served; End fills it in otherwise
	Deltas     int64        // output tokens seen of an answer without a bill
	Reason     string
	Failure    string // for the router; empty: Reason
	RetryAfter time.Duration
	Delivered  bool // the customer was served it, and counts it
	Complete   bool // the whole answer came: the pool is well, whatever its bill says
	TTFT       time.Duration
	Duration   time.Duration
	Tier       string
	Upstream   string // the provider's id of the answer
	Version    string // of the model, as the provider says
}

// End completes the ending of an attempt and counts what the customer was
// served. An attempt without a bill that may have used something has used the
// estimate, or the output that was seen: never nothing.
func (q *Request) End(e *Ending) {
	switch e.Status {
	case record.Served:
	case record.Unserved:
		e.Usage = usage.Vector{}
	default:
		e.Usage = q.Estimate
		if e.Deltas > 0 {
			e.Usage.Output = e.Deltas
		}
	}
	if e.Failure == "" {
		e.Failure = e.Reason
	}
	if e.Delivered {
		q.Used = q.Used.Add(e.Usage)
	}
}

// Observed is what the router is told of the attempt.
func (e *Ending) Observed(pool alliance.PoolID, r route.Reservation) route.Outcome {
	return route.Outcome{Reservation: r, Pool: pool, Usage: e.Usage, Served: e.Complete, Failure: e.Failure, TTFT: e.TTFT, Duration: e.Duration, RetryAfter: e.RetryAfter}
}

// Outcome is the journal's record of how the attempt ended.
func (e *Ending) Outcome(id record.AttemptID, intent, observation uint64) record.Outcome {
	return record.Outcome{
		Attempt: id, Intent: intent, Observation: observation, Status: e.Status, Usage: e.Usage, Tier: e.Tier, Upstream: e.Upstream,
		Version: e.Version, Reason: e.Reason, TTFT: int64(e.TTFT), Duration: int64(e.Duration),
	}
}

// Refused is the ending of an attempt that the provider answered with another
// status than 200, and whether another pool may be tried. retryAfter is what
// the provider asks for.
func Refused(status int, retryAfter time.Duration) (e Ending, retry bool) {
	e = Ending{Status: record.Unserved, Reason: "status_" + strconv.Itoa(status)}
	switch {
	case status == 400 || status == 413 || status == 422:
		e.Failure = route.FailureCancelled // the client's fault says nothing about the pool
		return e, false
	case status == 429:
		e.Reason, e.Failure, e.RetryAfter = ReasonRateLimited, route.FailureRateLimited, retryAfter
	case status == 504 || status >= 200 && status < 300:
		e.Status = record.Suspense // its gateway gave up, or something was answered: work may be billed
	}
	return e, true
}
