package sim

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/usage"
)

// call is one request of a customer, with what it takes to answer it.
type call struct {
	*class
	request.Request
	demand usage.Vector
}

// request plays one call of a class at s.now.
func (s *Simulator) request(c *class, j Journal) error {
	s.stats.Requests++
	r := &call{class: c}
	r.Terms, r.ID, r.At, r.Tenant, r.Key, r.Plan = s.terms, "req_"+s.draw.id(), s.now, c.tenant.ID, c.key, c.plan
	r.Territory, r.Asked, r.Choices = c.territory, string(c.asked), 1
	s.say(r)
	e := r.Resolve()
	if e != nil {
		s.giveUp(c)
		return s.refuse(r, e, j)
	}
	if r.Kind == openai.Embedding {
		r.demand.Output, r.demand.Reasoning, r.Stream, r.MaxOutput = 0, 0, false, 0
	}
	if e = r.Admit(s.now, s.quota, s.limits); e != nil {
		return s.refuse(r, e, j)
	}
	s.retries += s.limits.RetryShare(s.retries)
	return s.try(r, j)
}

// say draws what the customer sends, and what it takes to answer.
func (s *Simulator) say(r *call) {
	c := r.class
	r.Surface = c.key.Surface
	if c.key.Trusted {
		r.EndUser = fmt.Sprintf("%s-user-%d", c.key.ID, s.draw.below(c.users))
		if n := len(c.plan.Surfaces); n > 0 {
			r.Surface = c.plan.Surfaces[s.draw.below(int64(n))]
		}
	}
	r.Stream = s.draw.below(2) == 0
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
		r.MaxOutput = 64 << s.draw.below(5)
	}
	r.TextBytes = in * (85 + s.draw.below(31)) * request.BytesPerToken / 100
}

// settle replaces what is held by what the customer was served, once.
func (s *Simulator) settle(r *call) {
	if r.Settle(s.now, s.quota) {
		s.stats.Overshoot++
	}
}

// refuse notes a request that went nowhere.
func (s *Simulator) refuse(r *call, e *openai.Error, j Journal) error {
	s.settle(r)
	if r.Attempts > 0 {
		return nil
	}
	s.stats.Refused++
	s.records++
	return j.Refusal(s.now, r.Refusal(e))
}
