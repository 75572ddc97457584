package sim

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
)

// attempt is one try at one pool, with what will become of it.
type attempt struct {
	r           *call
	id          record.AttemptID
	intent      uint64
	at          time.Time
	pool        *alliance.Pool
	reservation route.Reservation
	ending      request.Ending
	retry       bool
}

// try asks the router for a pool and sends the request there.
func (s *Simulator) try(r *call, j Journal) error {
	if r.Terms != s.terms { // as a gateway does whose terms changed
		r.Terms = s.terms
		if e := r.Resolve(); e != nil {
			return s.refuse(r, e, j)
		}
	}
	s.resolve()
	q := r.Route()
	d := s.router.Decide(s.now, &q, s.draw.bits())
	if d.Pool == nil {
		if d.Reason != route.Full && d.Reason != route.Unhealthy {
			s.giveUp(r.class)
		}
		return s.refuse(r, r.NoPool(&d), j)
	}
	r.Began(&d)
	a := &attempt{r: r, id: record.AttemptID(s.draw.id()), at: s.now, pool: d.Pool, reservation: d.Reservation}
	var in record.Intent
	r.Intent(&in, a.id, &d)
	var err error
	if a.intent, err = j.Intent(s.now, &in); err != nil {
		return err
	}
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
	e := &a.ending
	e.Tier, e.Upstream, e.Version = "default", "chatcmpl-"+s.draw.id(), string(d.PoolModel.Model)
	if s.draw.happens(s.o.Odds.Flex) {
		e.Tier = "flex"
	}
	if d.PoolModel.UpstreamName != "" {
		e.Version = d.PoolModel.UpstreamName
	}
	expected := time.Duration(a.pool.Endpoint.TTFTMS) * time.Millisecond
	if expected == 0 {
		expected = 500 * time.Millisecond
	}
	e.TTFT = s.draw.between(expected*7/10, expected*16/10)
	e.Usage = r.demand
	if over := e.Usage.AllOutput() - r.Output; r.Output > 0 && over > 0 {
		cut := min(over, e.Usage.Output)
		e.Usage.Output -= cut
		e.Usage.Reasoning -= over - cut
	}
	made := e.Usage.AllOutput()
	length := func(n int64) time.Duration {
		return e.TTFT + time.Duration(n)*s.draw.between(6*time.Millisecond, 16*time.Millisecond)
	}
	switch {
	case r.Stream && made > 1 && s.draw.happens(s.o.Odds.Cut):
		e.Status, e.Reason, e.Delivered, e.Deltas = record.Suspense, request.ReasonCut, true, 1+s.draw.below(made-1)
		return length(e.Deltas)
	case r.Stream && made > 1 && s.draw.happens(s.o.Odds.Left):
		e.Status, e.Reason, e.Failure, e.Delivered, e.Deltas = record.Suspense, request.ReasonClientLeft, route.FailureCancelled, true, 1+s.draw.below(made-1)
		return length(e.Deltas)
	case s.draw.happens(s.o.Odds.NoUsage):
		e.Status, e.Reason, e.Delivered, e.Complete, e.Deltas = record.Suspense, request.ReasonNoUsage, true, true, made
		if !r.Stream {
			e.Deltas = 0
		}
		return length(made)
	}
	e.Status, e.Delivered, e.Complete = record.Served, true, true
	return length(made)
}

// refusedBy lets a provider fail before any token: nothing is owed, and
// another pool may take over.
func (s *Simulator) refusedBy(a *attempt, down bool) {
	status, wait := 503, time.Duration(0)
	if !down {
		switch s.draw.below(4) {
		case 0:
			status, wait = 429, s.draw.between(time.Second, 5*time.Second)
		case 1:
			status = 500
		case 2:
			a.ending, a.retry = request.Ending{Status: record.Unserved, Reason: request.ReasonRefused}, true
			return
		}
	}
	a.ending, a.retry = request.Refused(status, wait)
}

// end tells the router, journals the outcome and goes on with the request.
func (s *Simulator) end(a *attempt, j Journal) error {
	r, e := a.r, &a.ending
	switch e.Status {
	case record.Unserved:
		s.stats.Unserved++
	case record.Suspense:
		s.stats.Suspense++
	default:
		s.stats.Served++
	}
	e.Duration = s.now.Sub(a.at)
	r.End(e)
	out := e.Outcome(a.id, a.intent, s.router.Observe(s.now, e.Observed(a.pool.ID, a.reservation)))
	s.outcomes++
	s.records++
	if err := j.Outcome(s.now, &out); err != nil {
		return err
	}
	if a.retry && r.Attempts < s.limits.Attempts && s.retries >= request.RetryCost {
		s.retries -= request.RetryCost
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
	a.r.Used = a.r.Used.Add(a.r.Estimate)
	s.settle(a.r)
	out := record.Abandon(a.id, a.intent, a.r.Estimate)
	return j.Outcome(s.now, &out)
}
