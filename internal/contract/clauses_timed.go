package contract

import (
	"fmt"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// timed are the clauses about hours, capacity, options and loans in words.
func timed(c *alliance.Contract, in func(money.Amount) string) (list []Clause) {
	for i := range c.Rates {
		r := &c.Rates[i]
		list = append(list, Clause{"Rate per hour", fmt.Sprintf("%s for every hour from %s to %s, used or not; what an hour leaves of it is lost with the hour, and use beyond it costs the list price.", in(r.PerHour), r.From, r.Until), r.Claim, r.Assumption})
	}
	if n := len(c.Ramp); n > 0 {
		first, last := &c.Ramp[0], &c.Ramp[n-1]
		says := fmt.Sprintf("Capacity of %s is contracted from %s on", StepSize(first), first.From)
		if n > 1 {
			says += fmt.Sprintf(", and in %s up to %s from %s on", count(n-1, "further step"), StepSize(last), last.From)
		}
		list = append(list, Clause{"Ramp", says + "; what is delivered of it, facts say.", first.Claim, first.Assumption})
	}
	if l := c.Loan; l != nil {
		says := fmt.Sprintf("The operator lends the provider %s from %s, to be paid back on %s, at %s simple interest a year that is due at each month's close.", in(l.Amount), l.From, l.Until, ppm(l.RatePPM))
		list = append(list, Clause{"Loan", says, l.Claim, l.Assumption})
	}
	if o := c.Option; o != nil {
		says := fmt.Sprintf("From %s it can be exercised, and has to be before %s; it adds %s.", o.From, alliance.Date{Time: NoticeEnds(o)}, adds(c, in))
		if o.Becomes != "" {
			says += " It then becomes a " + strings.ReplaceAll(string(o.Becomes), "_", " ") + "."
		}
		if !c.Exercised.IsZero() {
			says = fmt.Sprintf("It was exercised on %s and added %s.", c.Exercised.UTC().Format(time.DateOnly), adds(c, in))
		}
		list = append(list, Clause{"Option", says, o.Claim, o.Assumption})
	}
	return list
}

// StepSize tells the capacity of one step of a ramp.
func StepSize(s *alliance.RampStep) string {
	if s.TokensPerMinute > 0 {
		return fmt.Sprintf("%d tokens a minute", s.TokensPerMinute)
	}
	return fmt.Sprintf("%d chips", s.Chips)
}
