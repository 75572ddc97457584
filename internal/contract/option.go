package contract

import (
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
	added := *o
	added.Fees = optionFees(c)
	e.Option = &added
	for _, f := range added.Fees {
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
	e.Ramp, e.Floors, e.Fees = o.Ramp, o.Floors, optionFees(c)
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

// optionFees are the fees of what an option adds: as listed, or by its price,
// for each interval of the contract's own fees in which it adds capacity.
func optionFees(c *alliance.Contract) []alliance.Fee {
	o := c.Option
	if o.Price == nil || !c.Exercised.IsZero() {
		return o.Fees
	}
	added := *c
	added.Ramp, added.Delivered = o.Ramp, nil
	var list []alliance.Fee
	for _, f := range c.Fees {
		until := end(c, f.Until)
		amount, ok := asMuch(portion(f.Amount, o.Price.FactorPPM), Contracted(&added, f.From.Time, until), Contracted(c, f.From.Time, until))
		if ok && amount > 0 {
			list = append(list, alliance.Fee{Term: f.Term, Amount: amount, Sourced: o.Sourced})
		}
	}
	return list
}

// asMuch is what a capacity costs where another costs fee, rounded down.
func asMuch(fee money.Amount, capacity, of int64) (money.Amount, bool) {
	if of <= 0 {
		return 0, false
	}
	q, _, ok := money.Product(int64(fee), capacity).FloorDiv(of)
	return money.Amount(q), ok
}

// LapseCost returns what it costs to let an option lapse, where that can be
// computed: what the capacity that it adds costs more at the contract's own
// price, by its last interval that has one, than by the option; 0 where it is
// not dearer. ok is false for an option on a spend, and where the contract has
// no price of its own: what would replace it is not in the terms.
func LapseCost(c *alliance.Contract) (more money.Amount, ok bool) {
	if !Open(c) || Optional(c) || !Perishes(c.Shape) {
		return 0, false
	}
	e := exercise(c, c.Option.From)
	var own alliance.Fee
	var owned int64
	for _, f := range e.Fees {
		until := end(e, f.Until)
		i := slices.IndexFunc(c.Fees, func(b alliance.Fee) bool { return b.From.Equal(f.From.Time) })
		base, paid := int64(0), money.Amount(0)
		if i >= 0 {
			base, paid = Contracted(c, f.From.Time, until), c.Fees[i].Amount
			if base > 0 {
				own, owned = c.Fees[i], base
			}
		}
		added := Contracted(e, f.From.Time, until) - base
		if added <= 0 {
			continue
		}
		replaced, fits := asMuch(own.Amount, added, owned)
		if !fits {
			return 0, false
		}
		more, ok = plus(more, replaced-(f.Amount-paid)), true
	}
	return max(0, more), ok
}
