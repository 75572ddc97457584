package sim

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/usage"
)

// attempt is one try at one pool, with what will become of it.
type attempt struct {
	r           *request
	id          record.AttemptID
	intent      uint64
	at          time.Time
	pool        *alliance.Pool
	reservation route.Reservation

	status     record.Status
	reason     string
	failure    string
	retryAfter time.Duration
	usage      usage.Vector
	deltas     int64 // output seen of a stream that did not end
	ttft       time.Duration
	delivered  bool // the customer was served it, or a part of it
	complete   bool
	retry      bool
	tier       string
	upstream   string
	version    string
}

// The reasons and failures of outcomes: those of the gateway.
const (
	reasonNoUsage    = "usage_missing"
	reasonCut        = "cut"
	reasonClientLeft = "client_left"
	reasonLimited    = "rate_limited"
	reasonDown       = "status_503"
	reasonFault      = "status_500"
	reasonRefused    = "refused"
	reasonEnded      = "process ended"
)

// try asks the router for a pool and sends the request there.
func (s *Simulator) try(r *request, j Journal) error {
	s.resolve()
	q := route.Request{
		Model: r.model.ID, Plan: r.plan.ID, Channel: r.key.Channel, Territory: r.territory, Kind: "chat",
		Input: r.estimate.Input(), Output: r.estimate.AllOutput(), Tried: r.tried, Buffer: r.buffer,
	}
	if r.embeds {
		q.Kind = "embedding"
	}
	if r.variant != nil {
		q.Variant = r.variant.ID
	}
	d := s.router.Decide(s.now, &q, s.draw.bits())
	if d.Pool == nil {
		if d.Reason != route.Full && d.Reason != route.Unhealthy {
			s.giveUp(r.class)
		}
		return s.refuse(r, noPool(r, &d), d.Considered, j)
	}
	r.attempts++
	r.tried = append(r.tried, d.Pool.ID)
	a := &attempt{r: r, id: record.AttemptID(s.draw.id()), at: s.now, pool: d.Pool, reservation: d.Reservation}
	in := &record.Intent{
		Attempt: a.id, Request: r.id, Number: r.attempts, Decision: d.Sequence, Terms: s.a.Hash,
		Tenant: string(r.tenant.ID), Key: string(r.key.ID), Plan: string(r.plan.ID), Channel: string(r.key.Channel),
		Territory: string(r.territory), EndUser: r.endUser, Model: shown(r.model, nil),
		Pool: string(d.Pool.ID), Contract: string(d.Contract), Right: string(d.Right), CostPrice: string(d.CostPrice),
		Estimate: r.estimate, Stream: r.stream, Considered: d.Considered,
	}
	if r.variant != nil {
		in.Variant = shown(r.model, r.variant)
	}
	if p := r.plan.Price; p != nil {
		in.SalePrice = string(p.ID)
	}
	var err error
	if a.intent, err = j.Intent(s.now, in); err != nil {
		return err
	}
	r.buffer = d.Considered[:0]
	s.stats.Attempts++
	s.records++
	length := s.fate(a, &d)
	if s.draw.happens(s.o.Odds.Restart) {
		s.at(s.now.Add(length), event{attempt: a})
		return s.crash(j)
	}
	s.at(s.now.Add(length), event{attempt: a})
	return nil
}

// shown is the name as answers and intents carry it: id@version.
func shown(m *alliance.Model, v *alliance.Variant) string {
	switch {
	case v != nil:
		return string(v.ID) + "@" + v.Version
	case m.Version == "":
		return string(m.ID)
	}
	return string(m.ID) + "@" + m.Version
}

func noPool(r *request, d *route.Decision) *openai.Error {
	why := ""
	for i := range d.Refused {
		if d.Refused[i].Cause == d.Reason {
			why = ": " + d.Refused[i].Why
			break
		}
	}
	switch d.Reason {
	case route.NoRight:
		return openai.Forbidden("no_right", "No right allows %s in %s through this key's channel%s.", r.asked, r.territory, why)
	case route.NoResidency:
		return openai.Forbidden("residency", "No pool that has %s lies where the plan %s allows data to be%s.", r.asked, r.plan.ID, why)
	case route.Full:
		return openai.Server(503, "capacity_full", d.RetryAfter, "Every pool that may serve %s is full at the moment.", r.asked)
	case route.Unhealthy:
		return openai.Server(503, "providers_unavailable", d.RetryAfter, "Every pool that may serve %s is failing at the moment.", r.asked)
	}
	return openai.Server(503, "no_pool", 0, "No pool serves %s for the plan %s at the moment%s.", r.asked, r.plan.ID, why)
}

// fate draws what becomes of an attempt, and how long it takes.
func (s *Simulator) fate(a *attempt, d *route.Decision) time.Duration {
	r := a.r
	out := s.outages[a.pool.ID]
	for !out.from.IsZero() && !s.now.Before(out.until) {
		*out = *s.nextOutage(out.until)
	}
	down := !out.from.IsZero() && !s.now.Before(out.from)
	if down || s.draw.happens(s.o.Odds.Failed) {
		s.refusedBy(a, down)
		return s.draw.between(20*time.Millisecond, 200*time.Millisecond)
	}
	a.tier, a.upstream, a.version = "default", "chatcmpl-"+s.draw.id(), string(d.PoolModel.Model)
	if s.draw.happens(s.o.Odds.Flex) {
		a.tier = "flex"
	}
	if d.PoolModel.UpstreamName != "" {
		a.version = d.PoolModel.UpstreamName
	}
	expected := time.Duration(a.pool.Endpoint.TTFTMS) * time.Millisecond
	if expected == 0 {
		expected = 500 * time.Millisecond
	}
	a.ttft = s.draw.between(expected*7/10, expected*16/10)
	a.usage = r.demand
	if over := a.usage.AllOutput() - r.limit; r.limit > 0 && over > 0 {
		cut := min(over, a.usage.Output)
		a.usage.Output -= cut
		a.usage.Reasoning -= over - cut
	}
	made := a.usage.AllOutput()
	length := func(n int64) time.Duration {
		return a.ttft + time.Duration(n)*s.draw.between(6*time.Millisecond, 16*time.Millisecond)
	}
	switch {
	case r.stream && made > 1 && s.draw.happens(s.o.Odds.Cut):
		a.status, a.reason, a.delivered, a.deltas = record.Suspense, reasonCut, true, 1+s.draw.below(made-1)
		return length(a.deltas)
	case r.stream && made > 1 && s.draw.happens(s.o.Odds.Left):
		a.status, a.reason, a.failure, a.delivered, a.deltas = record.Suspense, reasonClientLeft, route.FailureCancelled, true, 1+s.draw.below(made-1)
		return length(a.deltas)
	case s.draw.happens(s.o.Odds.NoUsage):
		a.status, a.reason, a.delivered, a.complete, a.deltas = record.Suspense, reasonNoUsage, true, true, made
		if !r.stream {
			a.deltas = 0
		}
		return length(made)
	}
	a.status, a.delivered, a.complete = record.Served, true, true
	return length(made)
}

// refusedBy lets a provider fail before any token: nothing is owed, and
// another pool may take over.
func (s *Simulator) refusedBy(a *attempt, down bool) {
	a.status, a.retry, a.reason = record.Unserved, true, reasonDown
	if down {
		return
	}
	switch s.draw.below(4) {
	case 0:
		a.reason, a.failure, a.retryAfter = reasonLimited, route.FailureRateLimited, s.draw.between(time.Second, 5*time.Second)
	case 1:
		a.reason = reasonFault
	case 2:
		a.reason = reasonRefused
	}
}

// end tells the router, journals the outcome and goes on with the request.
func (s *Simulator) end(a *attempt, j Journal) error {
	r := a.r
	u := a.usage
	switch a.status {
	case record.Unserved:
		u = usage.Vector{}
		s.stats.Unserved++
	case record.Suspense:
		u = r.estimate
		if a.deltas > 0 {
			u.Output = a.deltas
		}
		s.stats.Suspense++
	default:
		s.stats.Served++
	}
	failure := a.failure
	if failure == "" {
		failure = a.reason
	}
	length := s.now.Sub(a.at)
	observation := s.router.Observe(s.now, route.Outcome{
		Reservation: a.reservation, Pool: a.pool.ID, Usage: u, Served: a.complete, Failure: failure, TTFT: a.ttft, Duration: length, RetryAfter: a.retryAfter,
	})
	if a.delivered {
		r.used = r.used.Add(u)
	}
	s.outcomes++
	s.records++
	err := j.Outcome(s.now, &record.Outcome{
		Attempt: a.id, Intent: a.intent, Observation: observation, Status: a.status, Usage: u, Tier: a.tier, Upstream: a.upstream,
		Version: a.version, Reason: a.reason, TTFT: int64(a.ttft), Duration: int64(length),
	})
	if err != nil {
		return err
	}
	if a.retry && r.attempts < maxAttempts {
		return s.try(r, j)
	}
	s.settle(r)
	return nil
}

// abandon is the outcome that the next process writes for an attempt whose
// own never came.
func (s *Simulator) abandon(a *attempt, j Journal) error {
	s.stats.Suspense++
	s.outcomes++
	s.records++
	a.r.used = a.r.used.Add(a.r.estimate)
	s.settle(a.r)
	return j.Outcome(s.now, &record.Outcome{Attempt: a.id, Intent: a.intent, Status: record.Abandoned, Usage: a.r.estimate, Reason: reasonEnded})
}
