// Package sim plays a stretch of traffic on a virtual clock: demand drawn from
// an alliance, through the router, the quota and the rules of plans, rights and
// variants that serve real requests, answered by providers that behave at
// stated odds. It yields the records that the gateway would have journalled.
// It is pure: time comes from the stretch, randomness is an argument, and the
// same random numbers give the same records. It refuses to write, to book and
// to bill: whoever plays it does, by the code that does it for real traffic.
package sim

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
)

// Journal takes the records in order. Intent returns the sequence number that
// it gave, as a real journal does. The instants never fall.
type Journal interface {
	Start(at time.Time, terms string) error
	Intent(at time.Time, in *record.Intent) (uint64, error)
	Outcome(at time.Time, o *record.Outcome) error
	Refusal(at time.Time, r *record.Refusal) error
	Mark(at time.Time) error
}

// Limits of what can be played.
const (
	// MaxRequestsPerDay bounds the demand.
	MaxRequestsPerDay = 10_000_000
	// MarkEvery is how long a batch may be open on the virtual clock, and
	// MarkOutcomes how many outcomes it may hold.
	MarkEvery    = 24 * time.Hour
	MarkOutcomes = 4096
)

// The cadence of the shadow prices: every two seconds when there are requests,
// every minute in between, and not at all when nobody has asked for so long
// that the router has forgotten what it learned.
const (
	resolveEach = 2 * time.Second
	idleEach    = time.Minute
	idleLong    = 2 * time.Hour
)

// Options say what to play. From, RequestsPerDay and Random are required.
type Options struct {
	From time.Time
	// Until is when demand ends: what is under way then still ends. Zero: never.
	Until          time.Time
	RequestsPerDay int64 // over a whole week, on average
	Odds           Odds
	// Random yields 64 random bits: seeded, the play repeats.
	Random func() uint64
	// Spent tells what a contract has spent in its current interval, from the
	// books; nil leaves the prices of floors at 0.
	Spent func(id alliance.ContractID, at time.Time) money.Amount
}

// Stats count what was played.
type Stats struct {
	Requests  int64 `json:"requests"` // that customers made, refused ones included
	Attempts  int64 `json:"attempts"`
	Served    int64 `json:"served"`
	Unserved  int64 `json:"unserved"`
	Suspense  int64 `json:"suspense"`
	Refused   int64 `json:"refused"`
	Restarts  int64 `json:"restarts"`
	Overshoot int64 `json:"overshoot"` // requests that used more than their hold
}

// Simulator plays one node's traffic. It is used by one goroutine.
type Simulator struct {
	a       *alliance.Alliance
	terms   *request.Terms // made of a
	limits  request.Limits // of a gateway whose operator set none
	retries int64          // level of their budget
	o       Options
	draw    draws
	router  *route.Router
	quota   *quota.Book
	rates   *exchange.Table // of exchange, as known
	classes []class
	hours   [hoursOfWeek]hour
	outages map[alliance.PoolID]*outage
	stats   Stats

	now      time.Time
	next     time.Time // of the next arrival
	queue    events
	ordinal  uint64
	begun    bool
	nextMark time.Time
	outcomes int // since the last mark
	records  int // since the last mark
	resolved time.Time
	asked    time.Time // last arrival
}

// ErrOptions reports a play that cannot be.
var ErrOptions = errors.New("this cannot be simulated")

// New prepares a play of the alliance.
func New(a *alliance.Alliance, o Options) (*Simulator, error) {
	switch {
	case o.From.IsZero() || o.Random == nil:
		return nil, fmt.Errorf("%w: it needs a first instant and random numbers", ErrOptions)
	case o.RequestsPerDay < 1 || o.RequestsPerDay > MaxRequestsPerDay:
		return nil, fmt.Errorf("%w: from 1 to %d requests a day", ErrOptions, MaxRequestsPerDay)
	}
	limits := request.Limits{Attempts: request.Attempts, Total: request.Total, RetryBurst: request.RetryBurst, RetryPercent: request.RetryPercent}
	s := &Simulator{
		a: a, o: o, draw: draws{o.Random}, router: route.New(a, o.From), quota: quota.New(quota.Options{}),
		terms: request.NewTerms(a), limits: limits, retries: limits.RetryBudget(), outages: map[alliance.PoolID]*outage{},
		now: o.From, nextMark: o.From.Truncate(MarkEvery).Add(MarkEvery), resolved: o.From, asked: o.From,
	}
	s.makeClasses()
	if len(s.classes) == 0 {
		return nil, fmt.Errorf("%w: no tenant of the terms has a key whose plan has a model: add one", ErrOptions)
	}
	s.makeHours()
	for i := range a.Pools {
		s.outages[a.Pools[i].ID] = s.nextOutage(o.From)
	}
	s.next = s.arrival(o.From)
	return s, nil
}

// Stats returns what was played so far.
func (s *Simulator) Stats() Stats { return s.stats }

// Now is the instant that the play has reached.
func (s *Simulator) Now() time.Time { return s.now }

// Know tells the play what facts have changed: the terms with the changes of
// their contracts, and the rates of exchange. Plans, models and tenants must be
// those that the play was made for.
func (s *Simulator) Know(a *alliance.Alliance, rates *exchange.Table) {
	s.a, s.terms, s.rates = a, request.NewTerms(a), rates
	s.router.Reload(a, s.now)
	s.router.SetRates(rates, s.now)
}

// Advance plays up to an instant and closes the last batch. What is under way
// then goes on with the next call.
func (s *Simulator) Advance(until time.Time, j Journal) error {
	if !s.begun {
		s.begun = true
		if err := s.start(j); err != nil {
			return err
		}
	}
	for {
		at := s.next
		if len(s.queue) > 0 && s.queue[0].at.Before(at) {
			at = s.queue[0].at
		}
		if !s.nextMark.After(at) && s.nextMark.Before(until) {
			s.now = s.nextMark
			s.nextMark = s.nextMark.Add(MarkEvery)
			if err := s.mark(j); err != nil {
				return err
			}
			continue
		}
		if !at.Before(until) {
			break
		}
		s.now = at
		if err := s.step(j); err != nil {
			return err
		}
	}
	s.now = until
	return s.mark(j)
}

// step plays the event that comes next, at s.now.
func (s *Simulator) step(j Journal) error {
	if len(s.queue) == 0 || s.next.Before(s.queue[0].at) {
		s.next = s.arrival(s.now)
		c := s.pick(s.now)
		if c == nil {
			return nil
		}
		s.burst(c)
		return s.request(c, j)
	}
	e := heap.Pop(&s.queue).(event)
	if e.attempt == nil {
		return s.request(e.class, j)
	}
	if err := s.end(e.attempt, j); err != nil {
		return err
	}
	if s.outcomes >= MarkOutcomes {
		return s.mark(j)
	}
	return nil
}

func (s *Simulator) start(j Journal) error {
	s.records++
	return j.Start(s.now, s.a.Hash)
}

// mark closes the batch unless nothing was written since the last.
func (s *Simulator) mark(j Journal) error {
	if s.records == 0 {
		return nil
	}
	s.records, s.outcomes = 0, 0
	s.router.Booked(s.now)
	return j.Mark(s.now)
}

// resolve sets the shadow prices as a running node would have by now.
func (s *Simulator) resolve() {
	if s.now.Sub(s.asked) > idleLong {
		s.resolved = s.now.Add(-idleEach)
	}
	for s.now.Sub(s.resolved) >= idleEach {
		s.resolved = s.resolved.Add(idleEach)
		s.resolveAt(s.resolved)
	}
	if s.now.Sub(s.resolved) >= resolveEach {
		s.resolved = s.now.Truncate(resolveEach)
		s.resolveAt(s.resolved)
	}
	s.asked = s.now
}

func (s *Simulator) resolveAt(at time.Time) {
	var spent func(alliance.ContractID) money.Amount
	if s.o.Spent != nil {
		spent = func(id alliance.ContractID) money.Amount { return s.o.Spent(id, at) }
	}
	s.router.Resolve(at, spent)
	s.quota.Expire(at)
}

// crash ends the node's process and starts the next: what is under way is
// abandoned, the router goes on from its checkpoint.
func (s *Simulator) crash(j Journal) error {
	s.stats.Restarts++
	var open []*attempt
	left := s.queue[:0]
	for _, e := range s.queue {
		if e.attempt == nil {
			left = append(left, e)
			continue
		}
		open = append(open, e.attempt)
	}
	s.queue = left
	heap.Init(&s.queue)
	slices.SortFunc(open, func(x, y *attempt) int { return cmp.Compare(x.intent, y.intent) })
	for _, a := range open {
		if err := s.abandon(a, j); err != nil {
			return err
		}
	}
	s.retries = s.limits.RetryBudget()
	checkpoint := s.router.Checkpoint()
	s.router = route.New(s.a, s.now)
	s.router.SetRates(s.rates, s.now)
	if err := s.router.Restore(checkpoint); err != nil {
		return fmt.Errorf("restart the simulated node: %w", err)
	}
	return s.start(j)
}

// event is an arrival of a burst, or the end of an attempt.
type event struct {
	at      time.Time
	n       uint64 // of equal instants the first made comes first
	class   *class
	attempt *attempt
}

func (s *Simulator) at(t time.Time, e event) {
	s.ordinal++
	e.at, e.n = t, s.ordinal
	heap.Push(&s.queue, e)
}

// events is a heap by instant.
type events []event

// Len, Less, Swap, Push and Pop make events a heap.
func (q events) Len() int { return len(q) }

// Less orders by instant, then by ordinal.
func (q events) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].n < q[j].n
}

// Swap swaps two events.
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push adds an event at the end.
func (q *events) Push(x any) { *q = append(*q, x.(event)) }

// Pop takes the last event.
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
