package file

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
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
