package contract

import (
	"fmt"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// Clause is one clause of a contract in words.
type Clause struct {
	Name string `json:"name"`
	Says string `json:"says"`
	// Claims are what it rests on besides the contract's own claims; Assumed
	// marks what nobody has stated.
	Claims  []alliance.ClaimID `json:"claims,omitempty"`
	Assumed bool               `json:"assumed,omitempty"`
}

// Clauses tells the clauses of a contract in words, for people who have not
// read it.
func Clauses(c *alliance.Contract, currency money.Currency) []Clause {
	list := []Clause{{Name: "Shape", Says: Says(c.Shape)}}
	if !c.From.IsZero() {
		list = append(list, Clause{Name: "Term", Says: "It runs from " + c.From.String() + until(c.Until) + "."})
	}
	add := func(name, says string, s alliance.Sourced) {
		list = append(list, Clause{name, says, s.Claim, s.Assumption})
	}
	in := func(a money.Amount) string { return a.String() + " " + string(currency) }
	if c.Headline != nil {
		add("Headline", "It was announced as "+in(*c.Headline)+" in all.", alliance.Sourced{})
	}
	if n := len(c.Floors); n > 0 {
		what := "What is missing at the end of an interval is owed as a shortfall when the month closes, unless the provider waives it, with a reason."
		if c.Shape == alliance.PrepaidCredit {
			what = "What is left at the end of an interval is forfeited."
		}
		var sum money.Amount
		for _, f := range c.Floors {
			sum = plus(sum, f.Amount)
		}
		add("Intervals", fmt.Sprintf("%s, from %s to %s, of %s in all. %s", count(n, "interval"), c.Floors[0].From, c.Floors[n-1].Until, in(sum), what), alliance.Sourced{})
	}
	if n := len(c.Fees); n > 0 {
		var sum money.Amount
		for _, f := range c.Fees {
			sum = plus(sum, f.Amount)
		}
		due := "due whether the capacity is used or not"
		switch {
		case DrawnByFees(c):
			due = "drawn on the credit besides use"
		case HasFloor(c.Shape):
			due = "due besides use and beside the credit"
		}
		add("Fees", fmt.Sprintf("Fixed payments in %s, from %s to %s, of %s in all, %s; each month bears its days' part.", count(n, "interval"), c.Fees[0].From, c.Fees[n-1].Until, in(sum), due), alliance.Sourced{})
	}
	if c.HeadlineGap != nil {
		add("Headline gap", "The headline and the intervals differ by "+in(*c.HeadlineGap)+", as is known.", alliance.Sourced{})
	}
	if r := c.Rollover; r != nil {
		most := "without a cap"
		if r.Cap != nil {
			most = "at most " + in(*r.Cap) + " an interval"
		}
		add("Rollover", fmt.Sprintf("%s of a paid shortfall counts for later intervals, %s, and is forfeited after %s.", ppm(r.SharePPM), most, count(r.Months, "month")), r.Sourced)
	}
	list = append(list, beyond(c, in)...)
	if s := c.RevenueShare; s != nil {
		most := "without a cap"
		if s.Cap != nil {
			most = "until it comes to " + in(*s.Cap) + " in all"
		}
		base := map[string]string{alliance.ShareOfSales: "what customers owe", alliance.ShareOfWholesale: "what parties that sell its plans owe", alliance.ShareOfAll: "all that is owed to the operator"}[s.Base]
		base += map[string]string{alliance.GrossOfCommission: ", before what channels keep", alliance.NetOfCommission: ", less what channels keep"}[s.Of]
		ends := ""
		if !s.Until.IsZero() {
			ends = ", and ends on " + s.Until.String()
		}
		add("Revenue share", fmt.Sprintf("The provider gets %s of %s, %s; it begins on %s%s.", ppm(s.RatePPM), base, most, s.From, ends), s.Sourced)
	}
	return append(list, timed(c, in)...)
}

// beyond tells the clauses about what retires a floor, what goes beyond it and
// what is delivered late.
func beyond(c *alliance.Contract, in func(money.Amount) string) (list []Clause) {
	add := func(name, says string, s alliance.Sourced) {
		list = append(list, Clause{name, says, s.Claim, s.Assumption})
	}
	if o := c.Overage; o != nil {
		says := map[string]string{
			alliance.OverageAtList: "Usage beyond the commitment costs the list price.", alliance.OverageAtContract: "Usage beyond the commitment costs the contract's price, as before.",
			alliance.OverageAtPremium: "Usage beyond the commitment costs prices of its own.", alliance.OverageStops: "At the end of the commitment nothing is sent any more.",
		}[o.At]
		if o.FactorPPM > 0 {
			says = "Usage beyond the commitment costs " + ppm(o.FactorPPM) + " of the contract's price."
		}
		for _, r := range o.Rates {
			says += " " + premium(&r, in)
		}
		if len(o.Tiers) > 0 {
			says += " What the provider serves in " + names(o.Tiers) + " is beyond it."
		}
		add("Overage", says, o.Sourced)
	}
	if e := c.Eligibility; e != nil {
		add("Eligibility", eligible(c), e.Sourced)
	}
	if t := c.TrueUp; t != nil {
		says := "The floor may be raised, for a discount on what retires it"
		before := ": "
		for _, tier := range t.Tiers {
			says += before + ppm(tier.DiscountPPM) + " from " + in(tier.Floor)
			before = ", "
		}
		add("True-up", says+".", t.Sourced)
	}
	if t := c.TrueDown; t != nil {
		add("True-down", "Each interval's floor may be cut once, by at most "+ppm(t.MaxPPM)+".", t.Sourced)
	}
	if l := c.LateDelivery; l != nil {
		says := "What is delivered late is paid all the same."
		if l.Abates == alliance.AbatesFees {
			says = "What is not delivered is not paid: each second's fee is abated by the part that buys it."
		}
		add("Late delivery", says, l.Sourced)
	}
	return list
}

// eligible tells which charges retire a floor, or draw on a credit.
func eligible(c *alliance.Contract) string {
	e, says := c.Eligibility, "The floor is retired by what is paid"
	if c.Shape == alliance.PrepaidCredit {
		says = "The credit is drawn on by what usage costs"
	}
	if e.Base == alliance.EligibleGross {
		says = "The floor is retired at list prices, before discounts"
	}
	if len(e.Models) > 0 {
		says += ", for the models " + names(e.Models)
	}
	if len(e.ExceptModels) > 0 {
		says += ", not for the models " + names(e.ExceptModels)
	}
	if len(e.Pools) > 0 {
		says += ", on the pools " + names(e.Pools)
	}
	if len(e.ExceptPools) > 0 {
		says += ", not on the pools " + names(e.ExceptPools)
	}
	if DrawnByFees(c) {
		says += ", and by the contract's fees"
	}
	if c.Shape == alliance.PrepaidCredit {
		return says + "."
	}
	if e.MarketplaceCapPPM == 0 {
		return says + "; charges of the provider's marketplace retire none of it."
	}
	return says + "; charges of the provider's marketplace retire at most " + ppm(e.MarketplaceCapPPM) + " of it."
}

// premium tells the prices of one model beyond a commitment.
func premium(r *alliance.OverageRates, in func(money.Amount) string) string {
	return fmt.Sprintf("A million tokens of %s cost %s of input, %s read from and %s written to a cache, %s of output and %s of reasoning.",
		r.Model, in(r.Input), in(r.CacheRead), in(r.CacheWrite), in(r.Output), in(r.Reasoning))
}

// until tells an end, if there is one.
func until(d alliance.Date) string {
	if d.IsZero() {
		return " on, without an end"
	}
	return " to " + d.String()
}

func names[T ~string](ids []T) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = string(id)
	}
	return strings.Join(list, ", ")
}

// ppm renders parts per million as a percentage.
func ppm(n int64) string {
	text := fmt.Sprintf("%d.%04d", n/10_000, n%10_000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + " %"
}

// count renders a number of things.
func count[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
