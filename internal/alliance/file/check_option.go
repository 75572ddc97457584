package file

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// exercised is the contract that a contract of the shape option becomes, for
// the checks of what it holds; any other contract is itself. Its lists are
// those of the option, so faults are reported where they stand.
func (c *checker) exercised(k *alliance.Contract) *alliance.Contract {
	if k.Shape != alliance.OptionShape || k.Option == nil {
		return k
	}
	e := *k
	e.Shape, e.Ramp, e.Floors, e.Fees = k.Option.Becomes, k.Option.Ramp, k.Option.Floors, k.Option.Fees
	c.nodes[&e] = c.nodes[k]
	return &e
}

// option checks the clause: its window and notice, and that what it adds
// begins when it can no longer be exercised.
func (c *checker) option(k *alliance.Contract) {
	o := k.Option
	whole := k.Shape == alliance.OptionShape
	if o == nil {
		if whole && !c.has(k, "option") {
			c.log.add(c.at(k, "shape"), fmt.Sprintf("contract %s: a contract of the shape option needs an option", k.ID), "option: {from: and until: of its window, becomes: its shape once it is exercised}")
		}
		return
	}
	c.term(o, o.Term)
	switch {
	case whole && o.Becomes == "" && !c.has(o, "becomes"):
		c.log.add(c.nodes[o], fmt.Sprintf("contract %s: the option does not say what the contract becomes", k.ID), "becomes: spend_floor, prepaid_credit, take_or_pay or throughput_reservation")
	case !whole && o.Becomes != "":
		c.log.add(c.at(o, "becomes"), fmt.Sprintf("contract %s is a %s already", k.ID, k.Shape), "take becomes out, or shape: option")
	}
	if o.NoticeDays > alliance.MaxNoticeDays {
		c.log.add(c.at(o, "notice_days"), fmt.Sprintf("contract %s: a notice of %d days", k.ID, o.NoticeDays), fmt.Sprintf("notice_days: %d or less", alliance.MaxNoticeDays))
		return
	}
	notice := noticeEnds(o)
	if !o.From.IsZero() && o.From.Before(o.Until.Time) && !notice.After(o.From.Time) {
		c.log.add(c.at(o, "notice_days"), fmt.Sprintf("contract %s: the option would have to be exercised before %s, and its window begins on %s", k.ID, notice, o.From), "fewer notice_days, or a longer window")
	}
	if whole {
		for field, n := range map[string]int{"floors": len(k.Floors), "fees": len(k.Fees), "ramp": len(k.Ramp), "rates": len(k.Rates)} {
			if n > 0 {
				c.log.add(c.at(k, field), fmt.Sprintf("contract %s: an option has no %s before it is exercised", k.ID, field), "put them into option:")
			}
		}
	}
	c.additions(k, o, whole)
}

// noticeEnds is the instant from which on an option cannot be exercised.
func noticeEnds(o *alliance.Option) alliance.Date {
	return alliance.Date{Time: o.Until.AddDate(0, 0, -int(o.NoticeDays))}
}

// additions checks what an option adds: to intervals of the contract, or
// after its last one.
func (c *checker) additions(k *alliance.Contract, o *alliance.Option, whole bool) {
	var steps, floors, fees []interval
	for j := range o.Ramp {
		steps = append(steps, interval{alliance.Term{From: o.Ramp[j].From}, 0, &o.Ramp[j]})
	}
	for j := range o.Floors {
		floors = append(floors, interval{o.Floors[j].Term, o.Floors[j].Amount, &o.Floors[j]})
	}
	for j := range o.Fees {
		fees = append(fees, interval{o.Fees[j].Term, o.Fees[j].Amount, &o.Fees[j]})
	}
	c.optionPrice(k, o, whole)
	if len(steps)+len(floors)+len(fees) == 0 {
		c.log.add(c.nodes[o], fmt.Sprintf("contract %s: the option adds nothing", k.ID), "ramp:, floors: or fees: that it adds")
	}
	notice := noticeEnds(o)
	for _, list := range [][]interval{steps, floors, fees} {
		for _, v := range list {
			if !v.From.IsZero() && !o.Until.IsZero() && v.From.Before(notice.Time) {
				c.log.add(c.at(v.object, "from"), fmt.Sprintf("contract %s: the option may be exercised until %s, after what it adds begins on %s", k.ID, notice, v.From), "from: "+notice.String()+" or later, or an earlier end of the window")
			}
		}
	}
	if whole {
		return // its intervals are checked as those of the contract that it becomes
	}
	base := map[string][]interval{}
	for j := range k.Floors {
		base["floors"] = append(base["floors"], interval{k.Floors[j].Term, 0, nil})
	}
	for j := range k.Fees {
		base["fees"] = append(base["fees"], interval{k.Fees[j].Term, 0, nil})
	}
	c.extends(k, "floors", base["floors"], floors)
	c.extends(k, "fees", base["fees"], fees)
	extended := *k
	extended.Ramp, extended.Until = o.Ramp, alliance.Date{}
	c.nodes[&extended] = c.nodes[k]
	if len(k.Ramp) == 0 && len(o.Ramp) > 0 {
		c.log.add(c.at(o, "ramp"), fmt.Sprintf("contract %s has no ramp that the option could add to", k.ID), "ramp: in the contract, or take it out of the option")
		return
	}
	c.ramp(&extended)
}

// extends checks that each interval that an option adds is one of the
// contract's, or follows the last.
func (c *checker) extends(k *alliance.Contract, field string, base, added []interval) {
	if len(base) == 0 {
		c.foreign(k, field, len(added), "one whose contract has "+field)
		return
	}
	last := base[len(base)-1].Until
	for _, v := range added {
		if v.From.IsZero() || v.Until.IsZero() || !c.term(v.object, v.Term) {
			continue
		}
		same := false
		for _, b := range base {
			same = same || v.From.Equal(b.From.Time) && v.Until.Equal(b.Until.Time)
		}
		switch {
		case same:
		case v.From.Equal(last.Time):
			last = v.Until
		default:
			c.log.add(c.at(v.object, "from"), fmt.Sprintf("contract %s: what the option adds from %s to %s is neither an interval of the contract nor follows its last one", k.ID, v.From, v.Until), fmt.Sprintf("from and until of one of its %s, or from: %s", field, last))
		}
	}
}

// optionPrice checks the formula: there are own fees and an own ramp that it
// can be a factor of, and capacity within the term that it prices.
func (c *checker) optionPrice(k *alliance.Contract, o *alliance.Option, whole bool) {
	p := o.Price
	if p == nil {
		return
	}
	if p.FactorPPM < 1 || p.FactorPPM > alliance.MaxOptionFactorPPM {
		c.log.add(c.at(p, "factor_ppm"), fmt.Sprintf("contract %s: %d is no factor of a price", k.ID, p.FactorPPM), fmt.Sprintf("factor_ppm: from 1 to %d; 900_000 is a tenth off", alliance.MaxOptionFactorPPM))
	}
	switch {
	case whole || len(k.Fees) == 0:
		c.log.add(c.at(o, "price"), fmt.Sprintf("contract %s has no fees of its own that the option's price could follow", k.ID), "fees: in the option")
	case len(o.Fees) > 0:
		c.log.add(c.at(o, "price"), fmt.Sprintf("contract %s: the option has a price and fees", k.ID), "one of the two")
	case len(o.Ramp) == 0:
		c.log.add(c.at(o, "price"), fmt.Sprintf("contract %s: the option has a price and adds no capacity", k.ID), "ramp: what it adds, or take price out")
	case !k.Until.IsZero() && !o.Ramp[0].From.Before(k.Until.Time):
		c.log.add(c.at(o, "price"), fmt.Sprintf("contract %s ends on %s: behind it there is no price to follow", k.ID, k.Until), "fees: in the option, for intervals behind the contract")
	}
}
