package contract

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// NoticeEnds returns the instant from which on an option cannot be exercised
// any more: its notice before the window's end.
func NoticeEnds(o *alliance.Option) time.Time { return o.Until.AddDate(0, 0, -int(o.NoticeDays)) }

// Optional reports whether the contract is nothing yet: an option that was not
// exercised.
func Optional(c *alliance.Contract) bool { return c.Shape == alliance.OptionShape }

// Open reports whether the contract has an option that nobody exercised.
func Open(c *alliance.Contract) bool { return c.Option != nil && c.Exercised.IsZero() }

// MayExercise returns why an option cannot be exercised at an instant, or nil.
func MayExercise(c *alliance.Contract, at time.Time) error {
	o := c.Option
	switch {
	case o == nil:
		return fmt.Errorf("contract %s has no option", c.ID)
	case !c.Exercised.IsZero():
		return fmt.Errorf("the option of contract %s was exercised on %s", c.ID, c.Exercised.UTC().Format(time.DateOnly))
	case at.Before(o.From.Time):
		return fmt.Errorf("the option of contract %s can be exercised from %s on", c.ID, o.From)
	case !at.Before(NoticeEnds(o)):
		return fmt.Errorf("the option of contract %s has lapsed: it had to be exercised before %s", c.ID, NoticeEnds(o).Format(time.DateOnly))
	}
	return nil
}

// exercise returns the contract as an exercised option makes it: capacity on
// top of the ramp, amounts on top of the intervals that they name, further
// intervals behind.
func exercise(c *alliance.Contract, at alliance.Date) *alliance.Contract {
	o, e := c.Option, *c
	if o == nil || !c.Exercised.IsZero() {
		return c
	}
	e.Exercised = at
	if Optional(c) {
		e.Shape = o.Becomes
	}
	e.Ramp = sumRamps(c.Ramp, o.Ramp)
	e.Floors, e.Fees = slices.Clone(c.Floors), slices.Clone(c.Fees)
	for _, f := range o.Floors {
		if i := slices.IndexFunc(e.Floors, func(b alliance.Floor) bool { return b.From.Equal(f.From.Time) }); i >= 0 {
			e.Floors[i].Amount = plus(e.Floors[i].Amount, f.Amount)
			continue
		}
		e.Floors = append(e.Floors, f)
		e.Until = latest(e.Until, f.Until)
	}
	for _, f := range o.Fees {
		if i := slices.IndexFunc(e.Fees, func(b alliance.Fee) bool { return b.From.Equal(f.From.Time) }); i >= 0 {
			e.Fees[i].Amount = plus(e.Fees[i].Amount, f.Amount)
			continue
		}
		e.Fees = append(e.Fees, f)
		e.Until = latest(e.Until, f.Until)
	}
	slices.SortFunc(e.Floors, func(x, y alliance.Floor) int { return x.From.Compare(y.From.Time) })
	slices.SortFunc(e.Fees, func(x, y alliance.Fee) int { return x.From.Compare(y.From.Time) })
	return &e
}

// Offered returns what the option of a contract would add, as a contract by
// itself.
func Offered(c *alliance.Contract) *alliance.Contract {
	o, e := c.Option, *c
	if Optional(c) {
		e.Shape = o.Becomes
	}
	e.Ramp, e.Floors, e.Fees = o.Ramp, o.Floors, o.Fees
	for _, f := range o.Floors {
		e.Until = latest(e.Until, f.Until)
	}
	for _, f := range o.Fees {
		e.Until = latest(e.Until, f.Until)
	}
	return &e
}

// plus adds amounts of checked terms; a sum beyond the range stays what it was.
func plus(a, b money.Amount) money.Amount {
	sum, err := a.Add(b)
	if err != nil {
		return a
	}
	return sum
}

func latest(x, y alliance.Date) alliance.Date {
	if x.IsZero() || !y.After(x.Time) {
		return x
	}
	return y
}

// sumRamps returns the ramp whose capacity is that of both together.
func sumRamps(base, more []alliance.RampStep) []alliance.RampStep {
	if len(more) == 0 {
		return base
	}
	list := slices.Concat(base, more)
	slices.SortStableFunc(list, func(x, y alliance.RampStep) int { return x.From.Compare(y.From.Time) })
	at := func(steps []alliance.RampStep, when time.Time) (chips, tokens int64) {
		for _, s := range steps {
			if !s.From.After(when) {
				chips, tokens = s.Chips, s.TokensPerMinute
			}
		}
		return chips, tokens
	}
	for i := range list {
		a, b := at(base, list[i].From.Time)
		x, y := at(more, list[i].From.Time)
		list[i].Chips, list[i].TokensPerMinute = a+x, b+y
	}
	return slices.CompactFunc(list, func(x, y alliance.RampStep) bool { return x.From.Equal(y.From.Time) })
}

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
		size := fmt.Sprintf("%d chips", last.Chips)
		if last.TokensPerMinute > 0 {
			size = fmt.Sprintf("%d tokens a minute", last.TokensPerMinute)
		}
		add(fmt.Sprintf("up to %s from %s on", size, o.Ramp[0].From))
	}
	var floors, fees money.Amount
	for _, f := range o.Floors {
		floors = plus(floors, f.Amount)
	}
	for _, f := range o.Fees {
		fees = plus(fees, f.Amount)
	}
	if floors > 0 {
		add(in(floors) + " of floors")
	}
	if fees > 0 {
		add(in(fees) + " of fees")
	}
	return text
}
