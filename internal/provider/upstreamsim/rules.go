package upstreamsim

import "sync/atomic"

// liveScript is a script with the counts of its rules. It is swapped whole.
type liveScript struct {
	script  *Script
	matched []atomic.Int64
	fired   []atomic.Int64
	early   bool // Some rule acts before the body is read.
}

func newLiveScript(s *Script) *liveScript {
	l := &liveScript{script: s, matched: make([]atomic.Int64, len(s.Rules)), fired: make([]atomic.Int64, len(s.Rules))}
	for i := range s.Rules {
		l.early = l.early || s.Rules[i].Action.AnswerEarly
	}
	return l
}

// subject is what a rule's filters look at.
type subject struct {
	pool, endpoint, model string
	stream                bool
	early                 bool // The body has not been read yet.
}

// served is the action of a request that no rule touches.
var served = new(Action)

// pick counts the request on the rules that it reaches and gives the action of
// the first that fires, else nil. Rules that act early are tried only before the
// body is read, the others only after it.
func (l *liveScript) pick(s *subject) *Action {
	if l == nil {
		return nil
	}
	for i := range l.script.Rules {
		r := &l.script.Rules[i]
		if r.Action.AnswerEarly != s.early || !r.matches(s) {
			continue
		}
		count := l.matched[i].Add(1)
		if r.fires(count, mix(l.script.Seed+uint64(i)<<40)) {
			l.fired[i].Add(1)
			return &r.Action
		}
	}
	return nil
}

func (r *Rule) matches(s *subject) bool {
	return (r.Pool == "" || r.Pool == s.pool) &&
		(r.Endpoint == "" || r.Endpoint == s.endpoint) &&
		(r.Model == "" || r.Model == s.model) &&
		(r.Stream == nil || *r.Stream == s.stream)
}

func (r *Rule) fires(count int64, seed uint64) bool {
	if r.Nth != 0 && count != r.Nth || r.First != 0 && count > r.First || r.Every != 0 && count%r.Every != 0 {
		return false
	}
	if r.Probability == nil {
		return true
	}
	// 53 bits make an exact float in [0, 1).
	return float64(mix(seed+uint64(count))>>11)/(1<<53) < *r.Probability
}
