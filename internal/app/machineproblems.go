package app

import (
	"fmt"
	"sync"
	"time"
)

const (
	// crowdedTime is how long it is said that connections were refused.
	crowdedTime = time.Minute
	// steppedTime is how long it is said that the clock was set.
	steppedTime = time.Hour
)

// machineProblems are what the machine under the program does to it, for
// people: too few files for the connections that come, and a clock that is set
// while requests are served.
func (s *server) machineProblems() (list []string) {
	if l := s.clients.Load(); l != nil {
		list = l.problems(list, time.Now())
	}
	at := time.Unix(0, s.journal.State().At)
	if s.simulated != "" {
		at = time.Time{} // what was played may lie in any year
	}
	now := time.Now()
	return append(list, s.clockWatch.problems(now.Round(0), now.Sub(s.started), at)...)
}

// problems says that connections were refused, while they are or were lately.
func (l *limitedListener) problems(list []string, now time.Time) []string {
	if last := l.refused.Load(); last != 0 && now.Sub(time.Unix(0, last)) < crowdedTime {
		list = append(list, fmt.Sprintf("Clients' connections were refused with 503: %d are open, and %d are the most that the limit of open files allows. Raise the limit (ulimit -n, or LimitNOFILE of the service), or find who keeps them open.", l.open.Load(), l.most()))
	}
	return list
}

// clockWatch notices that the clock of the machine was set. Setting it does
// not change how much time has passed since the start. A machine that sleeps
// looks the same where its sleep does not count as time that passes.
type clockWatch struct {
	mu      sync.Mutex
	base    time.Time     // what the clock said at the start, as it is set now; zero: not known yet
	step    time.Duration // the last one that was seen
	stepped time.Duration // since the start, when it was seen
}

// problems says what the clock, now, did after elapsed since the start, and
// that it is behind the journal's last record.
func (c *clockWatch) problems(now time.Time, elapsed time.Duration, journal time.Time) (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	base := now.Add(-elapsed)
	if c.base.IsZero() {
		c.base = base
	}
	if step := base.Sub(c.base); step.Abs() > clockSlack {
		c.base, c.step, c.stepped = base, step, elapsed
	}
	if c.step != 0 && elapsed-c.stepped < steppedTime {
		way, slept := "forward", ", or the machine slept"
		if c.step < 0 {
			way, slept = "back", ""
		}
		list = append(list, fmt.Sprintf("The clock of this machine was set %s by %s while requests were served%s. They are served on, and limits and rights go by the clock as it is now; keep it with NTP.", way, c.step.Abs().Round(time.Second), slept))
	}
	if behind := journal.Sub(now); behind > clockSlack {
		list = append(list, fmt.Sprintf("The clock is %s behind the journal's last record. Requests are served, and recorded at that record's time until the clock has passed it: look at the clock.", behind.Round(time.Second)))
	}
	return list
}
