package contract

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// OptionAdds says in words what the exercise of an option brings.
func OptionAdds(c *alliance.Contract, currency money.Currency) string {
	return adds(c, func(a money.Amount) string { return a.String() + " " + string(currency) })
}

func adds(c *alliance.Contract, in func(money.Amount) string) string {
	o := c.Option
	if o == nil {
		return ""
	}
	text := ""
	add := func(part string) {
		if text != "" {
			text += ", "
		}
		text += part
	}
	if n := len(o.Ramp); n > 0 {
		last := slices.MaxFunc(o.Ramp, func(x, y alliance.RampStep) int {
			return cmp.Or(cmp.Compare(x.Chips, y.Chips), cmp.Compare(x.TokensPerMinute, y.TokensPerMinute))
		})
		add(fmt.Sprintf("up to %s from %s on", StepSize(&last), o.Ramp[0].From))
	}
	var floors, fees money.Amount
	for _, f := range o.Floors {
		floors = plus(floors, f.Amount)
	}
	listed := optionFees(c)
	for _, f := range listed {
		fees = plus(fees, f.Amount)
	}
	if n := len(o.Floors); n > 0 {
		add(fmt.Sprintf("%s of floors from %s to %s", in(floors), o.Floors[0].From, o.Floors[n-1].Until))
	}
	if n := len(listed); n > 0 {
		add(fmt.Sprintf("%s of fees from %s to %s", in(fees), listed[0].From, listed[n-1].Until))
	}
	if o.Price != nil {
		add("at " + ppm(o.Price.FactorPPM) + " of the contract's own price")
	}
	return text
}
