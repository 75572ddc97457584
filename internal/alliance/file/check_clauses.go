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
