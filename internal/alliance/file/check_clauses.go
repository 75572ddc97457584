package file

import (
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// lateDelivery checks that there is a ramp to be late with and, where fees
// abate, fees.
func (c *checker) lateDelivery(k *alliance.Contract) {
	l := k.LateDelivery
	if l == nil {
		return
	}
	if len(k.Ramp) == 0 && !c.wrong(k, "ramp") {
		c.log.add(c.at(k, "late_delivery"), fmt.Sprintf("contract %s: nothing is delivered by a ramp", k.ID), "ramp: what is contracted from when, or take late_delivery out")
	}
	if l.Abates == alliance.AbatesFees && len(k.Fees) == 0 && !c.wrong(k, "fees") {
		c.log.add(c.at(l, "abates"), fmt.Sprintf("contract %s: a %s contract has no fees that could abate", k.ID, k.Shape), "abates: nothing, or shape: take_or_pay or throughput_reservation")
	}
}

// hourly checks that rates follow each other by whole hours over the term and
// are small enough to be counted.
func (c *checker) hourly(k *alliance.Contract) {
	var list []interval
	for j := range k.Rates {
		r := &k.Rates[j]
		list = append(list, interval{r.Term, 0, r})
		if r.PerHour > alliance.MaxPerHour {
			c.log.add(c.at(r, "per_hour"), fmt.Sprintf("contract %s: %s an hour is more than can be counted", k.ID, r.PerHour), fmt.Sprintf("per_hour: %s or less, in units of the currency", money.Amount(alliance.MaxPerHour)))
		}
		for _, end := range []struct {
			field string
			day   alliance.Date
		}{{"from", r.From}, {"until", r.Until}} {
			if !end.day.IsZero() && !end.day.Equal(end.day.Truncate(time.Hour)) {
				c.log.add(c.at(r, end.field), fmt.Sprintf("contract %s: a commitment per hour changes at the full hour", k.ID), end.field+": a day, or an instant at a full hour")
			}
		}
	}
	headline := k.Headline
	k.Headline = nil // a rate has no total that it could be compared with
	c.intervals(k, "rates", list)
	if k.Headline = headline; headline != nil {
		c.log.add(c.at(k, "headline"), fmt.Sprintf("contract %s: rates per hour add up to no headline", k.ID), "take headline out")
	}
}

// loan checks that money is lent to somebody else, for a time, at a rate.
func (c *checker) loan(k *alliance.Contract) {
	l := k.Loan
	if l == nil {
		return
	}
	c.term(l, l.Term)
	if l.RatePPM > 1_000_000 {
		c.log.add(c.at(l, "rate_ppm"), fmt.Sprintf("contract %s: %d parts per million a year are more than the loan itself", k.ID, l.RatePPM), "rate_ppm: at most 1_000_000; 60_000 is 6 % a year")
	}
	if l.Amount == 0 && c.has(l, "amount") {
		c.log.add(c.at(l, "amount"), fmt.Sprintf("contract %s: a loan of nothing", k.ID), "amount: what is lent, or take loan out")
	}
	if k.Provider != "" && k.Provider == c.Operator {
		c.log.add(c.at(k, "loan"), fmt.Sprintf("contract %s: %s would lend to itself", k.ID, k.Provider), "provider: the party that gets the loan, or take loan out")
	}
}

// besides checks fees that are due besides use: they cover the term like
// others, and are no part of the headline.
func (c *checker) besides(k *alliance.Contract, fees []interval) {
	if len(fees) > 0 {
		headline := k.Headline
		k.Headline = nil
		c.intervals(k, "fees", fees)
		k.Headline = headline
	}
}
