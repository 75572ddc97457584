package request

import (
	"math"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
)

// The bounds that admission uses.
const (
	// MaxHold is the longest attempt for which a hold is kept.
	MaxHold = 24 * time.Hour
	// ImageTokens bounds the input tokens of one image.
	ImageTokens = 2_500
	// TemplateTokens bounds what a chat template adds to a conversation
	// beyond the bytes of its JSON.
	TemplateTokens = 64
	// BytesPerToken divides bytes of text for an estimate.
	BytesPerToken = 4
	// ImageEstimate is the estimate of the input tokens of one image.
	ImageEstimate = 800
	// OutputEstimate is the estimate of output tokens when more are allowed.
	OutputEstimate = 512
	// DefaultOutput bounds an answer when neither client nor plan does.
	DefaultOutput = 4096
	// MinOutput is the least that is worth sending when a limit is nearly spent.
	MinOutput = 16
)

// Holds is where limits are counted: a quota.Book, or one behind a lock.
type Holds interface {
	Hold(now time.Time, subject string, l alliance.Limits, a quota.Ask) (quota.HoldID, *quota.Refusal)
	Settle(now time.Time, id quota.HoldID, tokens int64, spend money.Amount) (overshoot bool)
}

// Admit bounds the request and holds its upper bound under the plan's limits.
// An output that nobody chose is made smaller where that makes it fit.
func (q *Request) Admit(now time.Time, h Holds, l Limits) *openai.Error {
	if q.Plan.Subject == "end_user" && q.Key.Trusted && q.EndUser == "" {
		return openai.Invalid("x-accordo-end-user", "missing_header", "The plan %s counts per end user. Send the header x-accordo-end-user.", q.Plan.ID)
	}
	q.Subject = Subject(q.Plan, q.Tenant, q.Key.ID, q.EndUser)
	text := q.TextBytes + int64(len(q.System))
	input := text + q.Images*ImageTokens + TemplateTokens
	q.Estimate.UncachedInput = text/BytesPerToken + q.Images*ImageEstimate + 1
	out, chosen := q.outputLimit()
	for range 3 {
		refusal := q.ask(now, h, l, input, out*q.Choices)
		if refusal == nil {
			break
		}
		smaller := q.outputLeft(refusal, input)
		if chosen || smaller < MinOutput || smaller >= out {
			return q.limited(refusal)
		}
		out = smaller
	}
	if !q.held {
		return q.limited(&quota.Refusal{Limit: quota.LimitTokensPerDay, RetryAfter: time.Minute})
	}
	q.Output = out
	q.Estimate.Output = min(out*q.Choices, OutputEstimate)
	if out == 0 && q.Kind == openai.Chat {
		q.Estimate.Output = OutputEstimate
	}
	return nil
}

// SetOutput is the maximum to write into the request that is sent on; 0: it
// stays as the client wrote it.
func (q *Request) SetOutput() int64 {
	if q.Output == q.MaxOutput {
		return 0
	}
	return q.Output
}

// outputLimit is the most output tokens per choice, and whether the client
// chose it. 0 is "no limit", for a plan that has none either.
func (q *Request) outputLimit() (out int64, chosen bool) {
	if q.Kind == openai.Embedding {
		return 0, true
	}
	out, chosen = q.MaxOutput, q.MaxOutput > 0
	if !chosen {
		out = q.Plan.DefaultOutputTokens
		l := q.Plan.Bounds()
		if out == 0 && (l.TokensPerDay > 0 || l.TokensPerMonth > 0 || l.SpendPerDay > 0 || l.SpendPerMonth > 0) {
			out = DefaultOutput
		}
	}
	if q.Flow != nil && q.Flow.MaxOutputTokens > 0 && (out == 0 || out > q.Flow.MaxOutputTokens) {
		out = q.Flow.MaxOutputTokens
	}
	return out, chosen
}

// ask asks for the upper bound; nil means that it is held.
func (q *Request) ask(now time.Time, h Holds, l Limits, input, output int64) *quota.Refusal {
	id, refusal := h.Hold(now, q.Subject, q.Plan.Bounds(), quota.Ask{
		Tokens:         input + output,
		EstimateTokens: q.Estimate.UncachedInput + min(output, OutputEstimate),
		Spend:          rating.Ceil(dearest(q.Plan.Price), usage.Vector{UncachedInput: input, Output: output}),
		Expires:        now.Add(max(l.Total, q.Terms.longest)*time.Duration(l.Attempts) + time.Minute),
	})
	if refusal == nil {
		q.hold, q.held = id, true
	}
	return refusal
}

// dearest are rates at which no split of the tokens costs more.
func dearest(p *alliance.SalePrice) alliance.Rates {
	if p == nil {
		return alliance.Rates{}
	}
	return alliance.Rates{Input: max(p.Input, p.CacheRead, p.CacheWrite), Output: max(p.Output, p.Reasoning)}
}

// outputLeft is the output per choice that what is left of a limit allows.
func (q *Request) outputLeft(r *quota.Refusal, input int64) int64 {
	switch r.Limit {
	case quota.LimitTokensPerDay, quota.LimitTokensPerMonth:
		return (r.Left - input) / q.Choices
	case quota.LimitSpendPerDay, quota.LimitSpendPerMonth:
		rates := dearest(q.Plan.Price)
		if rates.Output <= 0 {
			return 0
		}
		rest := money.Product(r.Left, rating.Divisor).Add(money.Product(-int64(rates.Input), input))
		n, _, ok := rest.FloorDiv(int64(rates.Output))
		if !ok {
			return 0
		}
		return n / q.Choices
	}
	return 0
}

// limited is the dialect's 429 for a limit that refused.
func (q *Request) limited(r *quota.Refusal) *openai.Error {
	kind := openai.TypeQuota
	unit := "tokens"
	switch r.Limit {
	case quota.LimitRequestsPerMinute:
		kind, unit = openai.TypeRequests, "requests"
	case quota.LimitTokensPerMinute:
		kind = openai.TypeTokens
	case quota.LimitSpendPerDay, quota.LimitSpendPerMonth:
		return openai.Limited(kind, r.RetryAfter, "You exceeded your current quota (%s of the plan %s): %s %s is the limit, %s is left. Send a smaller request or a smaller max_completion_tokens, wait, or ask for a larger plan.", r.Limit, q.Plan.ID, money.Amount(r.Max), q.Terms.a.Currency, money.Amount(r.Left))
	case quota.LimitSubjects, quota.LimitHolds:
		return openai.Server(503, "overloaded", max(r.RetryAfter, time.Second), "The gateway counts as many customers as it can. Try again in a moment.")
	}
	if r.RetryAfter == 0 {
		return openai.Limited(kind, 0, "This request is larger than the limit %s of the plan %s: %d %s, left %d. Send a smaller request or a smaller max_completion_tokens.", r.Limit, q.Plan.ID, r.Max, unit, r.Left)
	}
	return openai.Limited(kind, r.RetryAfter, "Rate limit reached (%s of the plan %s): limit %d %s, left %d. Please try again in %s, or send a smaller request.", r.Limit, q.Plan.ID, r.Max, unit, r.Left, Wait(r.RetryAfter))
}

// Wait is a duration in whole seconds, rounded up, as clients are told it.
func Wait(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds())) * time.Second
}

// Settle replaces what is held by what the customer was served, once.
// overshoot reports that it was more.
func (q *Request) Settle(now time.Time, h Holds) (overshoot bool) {
	if !q.held {
		return false
	}
	q.held = false
	tokens, spend := Counted(q.Plan, q.Used)
	return h.Settle(now, q.hold, tokens, spend)
}

// Held reports whether something is held for the request.
func (q *Request) Held() bool { return q.held }
