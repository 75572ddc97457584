package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
	"github.com/accordo-ai/accordo/internal/variant"
)

// The bounds that admission uses: those of the gateway.
const (
	bytesPerToken  = 4
	templateTokens = 64
	outputEstimate = 512
	defaultOutput  = 4096
	minOutput      = 16
	longestAttempt = 10 * time.Minute
	maxAttempts    = 4
)

// request is one call of a customer.
type request struct {
	*class
	id      string
	endUser string
	surface string
	started time.Time
	stream  bool
	embeds  bool
	chosen  int64 // output maximum that the client sets, 0: none
	text    int64 // bytes of its text
	demand  usage.Vector

	model    *alliance.Model
	variant  *alliance.Variant
	flow     *alliance.Flow
	estimate usage.Vector
	limit    int64 // of output tokens, 0: none
	hold     quota.HoldID
	held     bool
	used     usage.Vector
	tried    []alliance.PoolID
	attempts int32
	buffer   []record.Considered
}

// request plays one call of a class at s.now.
func (s *Simulator) request(c *class, j Journal) error {
	s.stats.Requests++
	r := &request{class: c, id: "req_" + s.draw.id(), started: s.now}
	s.say(r)
	e := s.resolveModel(r)
	if e != nil {
		s.giveUp(c)
	} else {
		e = s.admit(r)
	}
	if e != nil {
		return s.refuse(r, e, nil, j)
	}
	return s.try(r, j)
}

// say draws what the customer sends, and what it takes to answer.
func (s *Simulator) say(r *request) {
	c := r.class
	r.surface = c.key.Surface
	if c.key.Trusted {
		r.endUser = fmt.Sprintf("%s-user-%d", c.key.ID, s.draw.below(c.users))
		if n := len(c.plan.Surfaces); n > 0 {
			r.surface = c.plan.Surfaces[s.draw.below(int64(n))]
		}
	}
	r.stream = s.draw.below(2) == 0
	in := s.draw.tokens(c.input, 0.8, 60_000)
	r.demand = usage.Vector{UncachedInput: in, Output: s.draw.tokens(c.output, 0.6, 8_000)}
	if s.draw.happens(s.o.Odds.Cached) {
		r.demand.CacheRead = in * (20 + s.draw.below(70)) / 100
		r.demand.UncachedInput -= r.demand.CacheRead
		if s.draw.below(8) == 0 {
			r.demand.CacheWrite = r.demand.UncachedInput / 2
			r.demand.UncachedInput -= r.demand.CacheWrite
		}
	}
	if s.draw.below(6) == 0 {
		r.demand.Reasoning = r.demand.Output * s.draw.below(60) / 100
		r.demand.Output -= r.demand.Reasoning
	}
	if s.draw.below(3) == 0 {
		r.chosen = 64 << s.draw.below(5)
	}
	r.text = in * (85 + s.draw.below(31)) * bytesPerToken / 100
}

// resolveModel finds what was asked for and checks plan, surface and rollout,
// in the gateway's order and with its codes.
func (s *Simulator) resolveModel(r *request) *openai.Error {
	id := r.asked
	m, v, flow, ok := s.a.Resolve(id, r.started)
	if !ok || v != nil && !slices.Contains(v.Plans, r.plan.ID) {
		return openai.NoModel(string(id))
	}
	r.model, r.variant, r.flow, r.embeds = m, v, flow, m.Kind == "embedding"
	if r.embeds {
		r.demand.Output, r.demand.Reasoning, r.stream, r.chosen = 0, 0, false, 0
	}
	if len(r.plan.Surfaces) > 0 && !slices.Contains(r.plan.Surfaces, r.surface) {
		return openai.Forbidden("surface_not_in_plan", "The plan %s is for other surfaces than %q.", r.plan.ID, r.surface)
	}
	if v == nil {
		return nil
	}
	if ok, why := variant.Allowed(v, r.plan.ID, r.surface); !ok {
		return openai.Forbidden("variant_not_allowed", "Refused: %s.", why)
	}
	if out := variant.RolledOut(v, r.territory, slices.Contains(r.key.OptIn, v.ID), r.started); !out.On {
		return openai.Forbidden("variant_not_rolled_out", "Refused: %s.", out.Why)
	}
	return nil
}

// admit holds the request's upper bound under the plan's limits.
func (s *Simulator) admit(r *request) *openai.Error {
	text := r.text
	if r.flow != nil {
		n, known := s.systems[r.flow]
		if !known {
			n = int64(len(variant.Compile(r.variant, r.flow)))
			s.systems[r.flow] = n
		}
		text += n
	}
	input := text + templateTokens
	r.estimate.UncachedInput = text/bytesPerToken + 1
	out, chosen := r.outputLimit()
	for range 3 {
		refusal := s.hold(r, input, out)
		if refusal == nil {
			break
		}
		smaller := r.outputLeft(refusal, input)
		if chosen || smaller < minOutput || smaller >= out {
			return s.limited(r, refusal)
		}
		out = smaller
	}
	if !r.held {
		return s.limited(r, &quota.Refusal{Limit: quota.LimitTokensPerDay, RetryAfter: time.Minute})
	}
	r.limit = out
	r.estimate.Output = min(out, outputEstimate)
	if out == 0 && !r.embeds {
		r.estimate.Output = outputEstimate
	}
	return nil
}

// outputLimit is the most output tokens, and whether the client chose it.
func (r *request) outputLimit() (out int64, chosen bool) {
	if r.embeds {
		return 0, true
	}
	out, chosen = r.chosen, r.chosen > 0
	if !chosen {
		l := r.plan.Bounds()
		if out = r.plan.DefaultOutputTokens; out == 0 && (l.TokensPerDay > 0 || l.SpendPerDay > 0 || l.SpendPerMonth > 0) {
			out = defaultOutput
		}
	}
	if r.flow != nil && r.flow.MaxOutputTokens > 0 && (out == 0 || out > r.flow.MaxOutputTokens) {
		out = r.flow.MaxOutputTokens
	}
	return out, chosen
}

func (s *Simulator) hold(r *request, input, output int64) *quota.Refusal {
	id, refusal := s.quota.Hold(s.now, r.subject(), r.plan.Bounds(), quota.Ask{
		Tokens: input + output, EstimateTokens: r.estimate.UncachedInput + min(output, outputEstimate),
		Spend:   rating.Ceil(dearest(r.plan.Price), usage.Vector{UncachedInput: input, Output: output}),
		Expires: s.now.Add(longestAttempt*maxAttempts + time.Minute),
	})
	if refusal == nil {
		r.hold, r.held = id, true
	}
	return refusal
}

// subject is whom the plan's limits count.
func (r *request) subject() string {
	if r.plan.Subject == "end_user" && r.endUser != "" {
		return "user:" + string(r.tenant.ID) + ":" + r.endUser
	}
	return "key:" + string(r.key.ID)
}

// dearest are rates at which no split of the tokens costs more.
func dearest(p *alliance.SalePrice) alliance.Rates {
	if p == nil {
		return alliance.Rates{}
	}
	return alliance.Rates{Input: max(p.Input, p.CacheRead, p.CacheWrite), Output: max(p.Output, p.Reasoning)}
}

// outputLeft is the output that what is left of a limit allows.
func (r *request) outputLeft(q *quota.Refusal, input int64) int64 {
	switch q.Limit {
	case quota.LimitTokensPerDay:
		return q.Left - input
	case quota.LimitSpendPerDay, quota.LimitSpendPerMonth:
		rates := dearest(r.plan.Price)
		if rates.Output <= 0 {
			return 0
		}
		rest := money.Product(q.Left, rating.Divisor).Add(money.Product(-int64(rates.Input), input))
		n, _, ok := rest.FloorDiv(int64(rates.Output))
		if !ok {
			return 0
		}
		return n
	}
	return 0
}

func (s *Simulator) limited(r *request, q *quota.Refusal) *openai.Error {
	kind := openai.TypeQuota
	switch q.Limit {
	case quota.LimitRequestsPerMinute:
		kind = openai.TypeRequests
	case quota.LimitTokensPerMinute:
		kind = openai.TypeTokens
	}
	return openai.Limited(kind, q.RetryAfter, "The limit %s of the plan %s: %d, of which %d is left.", q.Limit, r.plan.ID, q.Max, q.Left)
}

// settle replaces the hold by what the customer was served, once.
func (s *Simulator) settle(r *request) {
	if !r.held {
		return
	}
	r.held = false
	if r.used.IsZero() {
		s.quota.Release(s.now, r.hold)
		return
	}
	var spend money.Amount
	if p := r.plan.Price; p != nil {
		spend = rating.Ceil(p.Rates, r.used)
	}
	if s.quota.Settle(s.now, r.hold, r.used.Total(), spend) {
		s.stats.Overshoot++
	}
}

// refuse notes a request that went nowhere.
func (s *Simulator) refuse(r *request, e *openai.Error, considered []record.Considered, j Journal) error {
	s.settle(r)
	if r.attempts > 0 {
		return nil
	}
	s.stats.Refused++
	s.records++
	return j.Refusal(s.now, &record.Refusal{
		Request: r.id, Tenant: string(r.tenant.ID), Key: string(r.key.ID), Plan: string(r.plan.ID), Channel: string(r.key.Channel),
		Territory: string(r.territory), EndUser: r.endUser, Terms: s.a.Hash, Model: string(r.asked), Code: e.Code, Reason: e.Message, Considered: considered,
	})
}
