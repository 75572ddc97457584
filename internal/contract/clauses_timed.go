package contract

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// timed are the clauses about hours in words.
func timed(c *alliance.Contract, in func(money.Amount) string) (list []Clause) {
	for i := range c.Rates {
		r := &c.Rates[i]
		list = append(list, Clause{"Rate per hour", fmt.Sprintf("%s for every hour from %s to %s. What an hour leaves of it is lost with the hour.", in(r.PerHour), r.From, r.Until), r.Claim, r.Assumption})
	}
	return list
}
