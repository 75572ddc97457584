package contract

import (
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// deliver adds a delivery to those known, in order of their dates. A later
// fact about the same date replaces the earlier one.
func deliver(known []alliance.Delivery, d alliance.Delivery) []alliance.Delivery {
	list := slices.DeleteFunc(slices.Clone(known), func(k alliance.Delivery) bool { return k.From.Equal(d.From.Time) })
	list = append(list, d)
	slices.SortFunc(list, func(x, y alliance.Delivery) int { return x.From.Compare(y.From.Time) })
	return list
}

// CountsTokens reports whether the shape's ramp counts tokens per minute; the
// others count chips.
func CountsTokens(s alliance.Shape) bool { return s == alliance.ThroughputReserved }

// ContractedAt returns the capacity contracted at an instant, by the ramp.
// Both are 0 outside the contract's term and before the first step.
func ContractedAt(c *alliance.Contract, at time.Time) (chips, tokensPerMinute int64) {
	if !c.Holds(at) {
		return 0, 0
	}
	var from time.Time
	for _, s := range c.Ramp {
		if !s.From.After(at) && !s.From.Before(from) {
			chips, tokensPerMinute, from = s.Chips, s.TokensPerMinute, s.From.Time
		}
	}
	return chips, tokensPerMinute
}

// CapacityAt returns the capacity that can be used at an instant: the smaller
// of what is contracted and what was delivered.
func CapacityAt(c *alliance.Contract, at time.Time) (chips, tokensPerMinute int64) {
	chips, tokensPerMinute = ContractedAt(c, at)
	for i := len(c.Delivered) - 1; i >= 0; i-- {
		if d := &c.Delivered[i]; !d.From.After(at) {
			return min(chips, d.Chips), min(tokensPerMinute, d.TokensPerMinute)
		}
	}
	return chips, tokensPerMinute
}

// AbatedUpTo returns what late delivery takes off the fixed fees from the
// start of the contract to an instant: in each second the part of its fee that
// buys what was not delivered. It is rounded down once per fee and stretch of
// constant capacity, so that the parts of periods, as differences of two
// calls, add up to the whole.
func AbatedUpTo(c *alliance.Contract, at time.Time) (money.Amount, error) {
	var total money.Amount
	for i := range c.Fees {
		part, err := abated(c, &c.Fees[i], at)
		if err != nil {
			return 0, err
		}
		if total, err = total.Add(part); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// FeesOwedUpTo returns the fixed fees accrued up to an instant less what late
// delivery abates of them.
func FeesOwedUpTo(c *alliance.Contract, at time.Time) (money.Amount, error) {
	fees, err := FeesUpTo(c, at)
	if err != nil {
		return 0, err
	}
	off, err := AbatedUpTo(c, at)
	return fees - off, err
}

// abated is what late delivery takes off one fee up to an instant.
func abated(c *alliance.Contract, f *alliance.Fee, at time.Time) (total money.Amount, err error) {
	if c.LateDelivery == nil || c.LateDelivery.Abates != alliance.AbatesFees || len(c.Delivered) == 0 {
		return 0, nil
	}
	until := end(c, f.Until)
	length := int64(until.Sub(f.From.Time) / time.Second)
	steps := cuts(c, f.From.Time, until)
	for i := range len(steps) - 1 {
		if !steps[i].Before(at) {
			break
		}
		contracted, usable := counted(c, steps[i])
		if usable >= contracted || length <= 0 {
			continue
		}
		to := steps[i+1]
		if at.Before(to) {
			to = at
		}
		seconds := int64(to.Sub(steps[i]) / time.Second)
		missing, ok := capacityTime(seconds, contracted-usable)
		whole, fits := capacityTime(length, contracted)
		if !ok || !fits {
			return 0, money.ErrRange
		}
		part, _, ok := money.Product(int64(f.Amount), missing).FloorDiv(whole)
		if !ok {
			return 0, money.ErrRange
		}
		if total, err = total.Add(money.Amount(part)); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// counted returns what is contracted and usable at an instant, in what the
// shape's ramp counts.
func counted(c *alliance.Contract, at time.Time) (contracted, usable int64) {
	chips, tokens := ContractedAt(c, at)
	usableChips, usableTokens := CapacityAt(c, at)
	if CountsTokens(c.Shape) {
		return tokens, usableTokens
	}
	return chips, usableChips
}

// capacityTime multiplies seconds and capacity; ok is false when the product
// does not fit.
func capacityTime(seconds, capacity int64) (n int64, ok bool) {
	n, _, ok = money.Product(seconds, capacity).FloorDiv(1)
	return n, ok
}
