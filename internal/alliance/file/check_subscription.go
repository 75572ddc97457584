package file

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// subscription checks that the fee, the included quota and the overage of a
// plan say together what a month costs.
func (c *checker) subscription(p *alliance.Plan) {
	if p.WholesaleFee != nil && p.Seller == c.Operator && p.Seller != "" {
		c.log.add(c.at(p, "wholesale_fee"), fmt.Sprintf("plan %s is sold by the operator, who would pay itself", p.ID), "fee: for what the customer pays, or the seller that pays the wholesale fee")
	}
	for _, f := range p.Fees() {
		if f.Per == alliance.PerEndUser && p.Subject != alliance.PerEndUser && !c.wrong(p, "subject") {
			c.log.add(c.at(f, "per"), fmt.Sprintf("plan %s has a fee per end user, and its subject is %s", p.ID, p.Subject), "subject: end_user, so that every request names its end user")
		}
	}
	if p.Fee == nil && p.Included == nil && p.Overage == nil {
		return
	}
	at := func(field string) *node { return c.at(p, field) }
	first := "fee"
	switch {
	case p.Fee != nil:
	case p.Included != nil:
		first = "included"
	default:
		first = "overage"
	}
	if p.Seller != c.Operator && p.Seller != "" && c.Operator != "" {
		c.log.add(at(first), fmt.Sprintf("plan %s is sold by %s: what its customers pay is not the operator's", p.ID, p.Seller), "wholesale: or wholesale_fee: for what the operator earns, or seller: the operator")
		return
	}
	in := p.Included
	if in == nil {
		if p.Overage != nil {
			c.log.add(at("overage"), fmt.Sprintf("plan %s has a price for use beyond a quota, and no quota", p.ID), "included: with the quota, or price: for all use")
		}
		return
	}
	if p.Fee != nil && p.Fee.Per != in.Per && !c.wrong(p.Fee, "per") && !c.wrong(in, "per") {
		c.log.add(c.at(in, "per"), fmt.Sprintf("plan %s has its fee per %s and its quota per %s", p.ID, p.Fee.Per, in.Per), "the same per in both")
	}
	if (in.Tokens > 0) == (in.Spend > 0) && !c.wrong(in, "tokens", "spend") {
		c.log.add(c.at(p, "included"), fmt.Sprintf("plan %s includes tokens or an amount of spend, one of the two", p.ID), "tokens: or spend:, above 0")
	}
	if in.Spend > alliance.MaxIncludedSpend {
		c.log.add(c.at(in, "spend"), fmt.Sprintf("plan %s includes more than is counted", p.ID), fmt.Sprintf("at most %s", alliance.MaxIncludedSpend))
	}
	switch {
	case in.Tokens > 0 && p.Price != nil:
		c.log.add(at("price"), fmt.Sprintf("plan %s has a price and includes tokens: use inside the quota costs nothing", p.ID), "overage: for use beyond the quota")
	case in.Spend > 0 && p.Price == nil:
		c.log.add(at("included"), fmt.Sprintf("plan %s includes spend, and has no price to count it at", p.ID), "price: with the rates that use is counted at")
	}
	if p.Overage == nil && in.Per != p.Subject && !c.wrong(in, "per") && !c.wrong(p, "subject") {
		c.log.add(c.at(in, "per"), fmt.Sprintf("plan %s refuses use beyond a quota per %s, and its limits count per %s", p.ID, in.Per, p.Subject), fmt.Sprintf("per: %s, or overage: with a price for use beyond the quota", p.Subject))
	}
	if in.Per == alliance.PerEndUser && p.Subject != alliance.PerEndUser && !c.wrong(p, "subject") {
		c.log.add(c.at(in, "per"), fmt.Sprintf("plan %s counts per end user, and its subject is %s", p.ID, p.Subject), "subject: end_user, so that every request names its end user")
	}
}

// channels checks that a commission says how its sales are shown.
func (c *checker) channels() {
	for i := range c.Channels {
		ch := &c.Channels[i]
		switch {
		case ch.Presentation == "" && ch.CommissionPPM > 0 && !c.wrong(ch, "presentation"):
			c.log.add(c.at(ch, "commission_ppm"), fmt.Sprintf("channel %s has a commission, and does not say whose sales its sales are", ch.ID), "presentation: principal (the price is revenue, the commission expense) or agent (the price less the commission is revenue)")
		case ch.Presentation != "" && ch.Party == c.Operator && ch.Party != "":
			c.log.add(c.at(ch, "presentation"), fmt.Sprintf("channel %s is the operator's own: nobody else bills its customers", ch.ID), "no presentation, or the party that bills the customers")
		case ch.CommissionPPM > 1_000_000:
			c.log.add(c.at(ch, "commission_ppm"), fmt.Sprintf("channel %s keeps more than the price", ch.ID), "commission_ppm: at most 1_000_000")
		}
	}
}
