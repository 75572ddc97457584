package contract

import (
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// timed are the clauses about hours in words.
func timed(c *alliance.Contract, in func(money.Amount) string) (list []Clause) {
	for i := range c.Rates {
		r := &c.Rates[i]
		list = append(list, Clause{"Rate per hour", fmt.Sprintf("%s for every hour from %s to %s. What an hour leaves of it is lost with the hour.", in(r.PerHour), r.From, r.Until), r.Claim, r.Assumption})
	}
	if o := c.Option; o != nil {
		says := fmt.Sprintf("From %s it can be exercised, and has to be before %s; it adds %s.", o.From, alliance.Date{Time: NoticeEnds(o)}, adds(c, in))
		if !c.Exercised.IsZero() {
			says = fmt.Sprintf("It was exercised on %s and added %s.", c.Exercised.UTC().Format(time.DateOnly), adds(c, in))
		}
		list = append(list, Clause{"Option", says, o.Claim, o.Assumption})
	}
	return list
}
