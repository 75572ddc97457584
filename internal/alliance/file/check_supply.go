package file

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// interval is a floor or a fee.
type interval struct {
	alliance.Term
	amount money.Amount
	object any
}

func (c *checker) contracts() {
	for i := range c.Contracts {
		k := &c.Contracts[i]
		c.term(k, k.Term)
		c.option(k)
		k = c.exercised(k)
		var floors, fees []interval
		for j := range k.Floors {
			floors = append(floors, interval{k.Floors[j].Term, k.Floors[j].Amount, &k.Floors[j]})
		}
		for j := range k.Fees {
			fees = append(fees, interval{k.Fees[j].Term, k.Fees[j].Amount, &k.Fees[j]})
		}
		switch k.Shape {
		case alliance.SpendFloor:
			c.intervals(k, "floors", floors)
			c.foreign(k, "fees", len(fees), "prepaid_credit, take_or_pay or throughput_reservation")
		case alliance.PrepaidCredit:
			c.intervals(k, "floors", floors)
			c.besides(k, fees)
		case alliance.TakeOrPay, alliance.ThroughputReserved:
			c.intervals(k, "fees", fees)
			c.foreign(k, "floors", len(floors), "spend_floor or prepaid_credit")
		case alliance.HourlyRate:
			c.hourly(k)
			c.foreign(k, "floors", len(floors), "spend_floor or prepaid_credit")
			c.foreign(k, "fees", len(fees), "prepaid_credit, take_or_pay or throughput_reservation")
			c.foreign(k, "ramp", len(k.Ramp), "spend_floor, take_or_pay or throughput_reservation")
		case alliance.PayPerUse:
			c.foreign(k, "floors", len(floors), "spend_floor or prepaid_credit")
			c.foreign(k, "fees", len(fees), "prepaid_credit, take_or_pay or throughput_reservation")
			c.foreign(k, "ramp", len(k.Ramp), "spend_floor, take_or_pay or throughput_reservation")
		}
		if k.Shape != alliance.HourlyRate {
			c.foreign(k, "rates", len(k.Rates), "hourly_rate")
		}
		if k.Shape == alliance.PrepaidCredit {
			c.foreign(k, "ramp", len(k.Ramp), "spend_floor, take_or_pay or throughput_reservation")
		}
		c.ramp(k)
		c.own(k)
		c.lateDelivery(k)
		c.loan(k)
		c.clauses(k)
		c.rollover(k)
		c.revenueShare(k)
	}
}

// own refuses promises of the operator to itself: nobody would hold it to them.
func (c *checker) own(k *alliance.Contract) {
	if k.Provider == "" || k.Provider != c.Operator {
		return
	}
	if len(k.Floors) > 0 {
		c.log.add(c.at(k, "provider"), fmt.Sprintf("contract %s promises a spend to %s, the operator itself", k.ID, k.Provider), "provider: the party that would charge a shortfall; capacity of one's own is a take_or_pay")
	}
	if k.RevenueShare != nil {
		c.log.add(c.at(k, "revenue_share"), fmt.Sprintf("contract %s shares the revenue of %s with itself", k.ID, k.Provider), "provider: the party that gets the share, or take revenue_share out")
	}
}

// revenueShare checks the clause: it is settled by whole months.
func (c *checker) revenueShare(k *alliance.Contract) {
	r := k.RevenueShare
	if r == nil {
		return
	}
	if r.RatePPM < 1 || r.RatePPM > 1_000_000 {
		c.log.add(c.at(r, "rate_ppm"), fmt.Sprintf("contract %s: %d is no share of revenue", k.ID, r.RatePPM), "rate_ppm: from 1 to 1_000_000")
	}
	c.term(r, r.Term)
	for field, d := range map[string]alliance.Date{"from": r.From, "until": r.Until} {
		if !d.IsZero() && !d.Equal(time.Date(d.Year(), d.Month(), 1, 0, 0, 0, 0, time.UTC)) {
			c.log.add(c.at(r, field), fmt.Sprintf("contract %s: a revenue share is settled by whole months", k.ID), field+": the first day of a month")
		}
	}
}

// rollover checks the clause of a floor.
func (c *checker) rollover(k *alliance.Contract) {
	r := k.Rollover
	if r == nil {
		return
	}
	if k.Shape != alliance.SpendFloor {
		c.log.add(c.at(k, "rollover"), fmt.Sprintf("contract %s: a %s contract has no shortfall that could roll over", k.ID, k.Shape), "shape: spend_floor, or take rollover out")
	}
	if r.SharePPM < 1 || r.SharePPM > 1_000_000 {
		c.log.add(c.at(r, "share_ppm"), fmt.Sprintf("contract %s: %d is no share of what is paid", k.ID, r.SharePPM), "share_ppm: from 1 to 1_000_000")
	}
	if r.Months < 1 || r.Months > 120 {
		c.log.add(c.at(r, "months"), fmt.Sprintf("contract %s: a rollover is forfeited after %d months", k.ID, r.Months), "months: from 1 to 120")
	}
}

// foreign complains about a list that another shape has.
func (c *checker) foreign(k *alliance.Contract, field string, n int, shapes string) {
	if n > 0 {
		c.log.add(c.at(k, field), fmt.Sprintf("contract %s: a %s contract has no %s", k.ID, k.Shape, field), fmt.Sprintf("shape: %s, or take %s out", shapes, field))
	}
}

// intervals checks that floors or fees follow each other without gaps from
// the contract's beginning to its end and add up to the headline.
func (c *checker) intervals(k *alliance.Contract, field string, list []interval) {
	if k.Until.IsZero() && !c.has(k, "until") {
		c.log.add(c.nodes[k], fmt.Sprintf("contract %s: a %s contract has an end", k.ID, k.Shape), "until: the first day after the contract")
	}
	if len(list) == 0 {
		if c.wrong(k, field) {
			return
		}
		c.log.add(c.at(k, "shape"), fmt.Sprintf("contract %s: a %s contract needs %s", k.ID, k.Shape, field), fmt.Sprintf("%s: one per interval with from, until and %s", field, first(field == "rates", "per_hour", "amount")))
		return
	}
	sum, overflow := money.Amount(0), false
	sound, exact := true, !c.wrong(k, "headline", "headline_gap")
	for i, v := range list {
		exact = exact && !c.wrong(v.object, "amount")
		total, err := sum.Add(v.amount)
		sum, overflow = total, overflow || err != nil
		if v.From.IsZero() || v.Until.IsZero() || !c.term(v.object, v.Term) {
			sound = false
			continue
		}
		if c.outside(k, v.object, "from", v.From) || c.outside(k, v.object, "until", v.Until) {
			sound = false
		}
		if i == 0 || list[i-1].Until.IsZero() {
			continue
		}
		switch before := list[i-1].Until; {
		case v.From.After(before.Time):
			c.log.add(c.at(v.object, "from"), fmt.Sprintf("contract %s: %s leave a gap from %s to %s", k.ID, field, before, v.From), "from: "+before.String())
			sound = false
		case v.From.Before(before.Time):
			c.log.add(c.at(v.object, "from"), fmt.Sprintf("contract %s: %s overlap from %s to %s", k.ID, field, v.From, before), "from: "+before.String())
			sound = false
		}
	}
	if sound {
		c.covers(k, field, list)
	}
	if exact {
		c.headline(k, field, sum, overflow)
	}
}

func (c *checker) covers(k *alliance.Contract, field string, list []interval) {
	start, end := list[0], list[len(list)-1]
	if !k.From.IsZero() && !start.From.Equal(k.From.Time) {
		c.log.add(c.at(start.object, "from"), fmt.Sprintf("contract %s: %s begin on %s, the contract on %s", k.ID, field, start.From, k.From), "from: "+k.From.String())
	}
	if !k.Until.IsZero() && !end.Until.Equal(k.Until.Time) {
		c.log.add(c.at(end.object, "until"), fmt.Sprintf("contract %s: %s end on %s, the contract on %s", k.ID, field, end.Until, k.Until), "until: "+k.Until.String())
	}
}

// headline checks that the intervals add up to the headline, give or take the documented gap.
func (c *checker) headline(k *alliance.Contract, field string, sum money.Amount, overflow bool) {
	if overflow {
		c.log.add(c.at(k, field), fmt.Sprintf("contract %s: %s add up to more than an amount can hold", k.ID, field), "amounts in units of the alliance's currency, not in micro-units")
		return
	}
	if k.Headline == nil {
		if k.HeadlineGap != nil {
			c.log.add(c.at(k, "headline_gap"), fmt.Sprintf("contract %s: a gap without a headline", k.ID), "headline: the total as announced")
		}
		return
	}
	gap := money.Amount(0)
	if k.HeadlineGap != nil {
		gap = max(*k.HeadlineGap, -*k.HeadlineGap)
	}
	if difference := *k.Headline - sum; max(difference, -difference) > gap {
		c.log.add(c.at(k, "headline"), fmt.Sprintf("contract %s: %s add up to %s, the headline is %s", k.ID, field, sum, *k.Headline), fmt.Sprintf("%s that add up to the headline, or headline_gap: %s if the difference is known and explained", field, difference))
	}
}

// outside checks that a date lies in the term of its contract.
func (c *checker) outside(k *alliance.Contract, object any, field string, at alliance.Date) bool {
	if at.IsZero() || k.From.IsZero() || !at.Before(k.From.Time) && (k.Until.IsZero() || !at.After(k.Until.Time)) {
		return false
	}
	until := k.Until.String()
	if until == "" {
		until = "open"
	}
	c.log.add(c.at(object, field), fmt.Sprintf("%s is out of the term of contract %s (%s to %s)", at, k.ID, k.From, until), "a day in the term, or another term of the contract")
	return true
}

func (c *checker) ramp(k *alliance.Contract) {
	tokens := k.Shape == alliance.ThroughputReserved
	for j := range k.Ramp {
		s := &k.Ramp[j]
		c.outside(k, s, "from", s.From)
		if j > 0 && !s.From.IsZero() && !k.Ramp[j-1].From.IsZero() && !s.From.After(k.Ramp[j-1].From.Time) {
			c.log.add(c.at(s, "from"), fmt.Sprintf("contract %s: ramp step %s is not after the one before it (%s)", k.ID, s.From, k.Ramp[j-1].From), "steps in order of from, each on another day")
		}
		switch {
		case tokens && (s.Chips != 0 || !c.has(s, "tokens_per_minute")):
			c.log.add(c.at(s, "chips"), fmt.Sprintf("contract %s: a ramp step of a %s counts tokens_per_minute", k.ID, k.Shape), "tokens_per_minute: the throughput from this day on")
		case !tokens && (s.TokensPerMinute != 0 || !c.has(s, "chips")):
			c.log.add(c.at(s, "tokens_per_minute"), fmt.Sprintf("contract %s: a ramp step of a %s counts chips", k.ID, k.Shape), "chips: the number from this day on")
		}
	}
}

func (c *checker) pools() {
	used := map[alliance.ContractID][]*alliance.Pool{}
	for i := range c.Pools {
		p := &c.Pools[i]
		used[p.Contract] = append(used[p.Contract], p)
		k := c.Contract(p.Contract)
		if k != nil {
			k = c.exercised(k)
			c.billing(p, k)
			if p.Provider != "" && k.Provider != "" && p.Provider != k.Provider {
				c.log.add(c.at(p, "provider"), fmt.Sprintf("pool %s runs at %s, but its contract %s is with %s", p.ID, p.Provider, k.ID, k.Provider), "provider: "+string(k.Provider)+", or another contract")
			}
		}
		if c.has(p, "max_in_flight") && p.MaxInFlight == 0 {
			c.log.add(c.at(p, "max_in_flight"), fmt.Sprintf("pool %s would serve nothing", p.ID), "max_in_flight: 1 or more requests at once")
		}
		if p.Chips > 0 && p.Chip == "" && !c.has(p, "chip") {
			c.log.add(c.at(p, "chips"), fmt.Sprintf("pool %s counts chips of no type", p.ID), "chip: the id of a chip")
		}
		c.reservation(p, k)
		c.poolModels(p, k)
		c.endpoint(p)
	}
	for i := range c.Contracts {
		c.aboveRamp(c.exercised(&c.Contracts[i]), used[c.Contracts[i].ID])
	}
}

// billing checks that what a provider counts goes with the form of the contract.
func (c *checker) billing(p *alliance.Pool, k *alliance.Contract) {
	if p.BilledBy == "" || k.Shape == "" {
		return
	}
	fixed := k.Shape == alliance.TakeOrPay || k.Shape == alliance.ThroughputReserved
	if fixed != (p.BilledBy == alliance.BilledByFixed) {
		remedy := "billed_by: token or chip_second"
		if fixed {
			remedy = "billed_by: fixed"
		}
		c.log.add(c.at(p, "billed_by"), fmt.Sprintf("pool %s is billed by %s, but contract %s is a %s", p.ID, p.BilledBy, k.ID, k.Shape), remedy)
	}
	switch {
	case k.Shape == alliance.HourlyRate && p.BilledBy == alliance.BilledByChipSecond:
		c.log.add(c.at(p, "billed_by"), fmt.Sprintf("pool %s draws on the hourly_rate %s by the chip-second: an hour is drawn at prices of tokens", p.ID, k.ID), "billed_by: token")
	case k.Shape == alliance.PrepaidCredit && p.BilledBy == alliance.BilledByChipSecond:
		c.log.add(c.at(p, "billed_by"), fmt.Sprintf("pool %s draws on the prepaid_credit %s by the chip-second: a credit is drawn at prices of tokens", p.ID, k.ID), "billed_by: token")
	case k.Shape == alliance.TakeOrPay && p.Chips == 0:
		c.log.add(c.at(p, "chips"), fmt.Sprintf("pool %s of the take_or_pay contract %s has no chips", p.ID, k.ID), "chip: and chips: with the number")
	case k.Shape == alliance.ThroughputReserved && p.TokensPerMinute == 0:
		c.log.add(c.at(p, "tokens_per_minute"), fmt.Sprintf("pool %s of the throughput_reservation %s has no throughput", p.ID, k.ID), "tokens_per_minute: the reserved burn units a minute")
	}
}

func (c *checker) poolModels(p *alliance.Pool, k *alliance.Contract) {
	seen := map[alliance.ModelID]bool{}
	for j := range p.Models {
		m := &p.Models[j]
		if seen[m.Model] && m.Model != "" {
			c.log.add(c.at(m, "model"), fmt.Sprintf("pool %s lists model %s twice", p.ID, m.Model), "list it once")
		}
		seen[m.Model] = true
		served := c.Model(m.Model)
		chat := served == nil || served.Kind != "embedding"
		if p.Chips > 0 && (m.InputTokensPerChipSecond == 0 || chat && m.OutputTokensPerChipSecond == 0) {
			c.log.add(c.nodes[m], fmt.Sprintf("pool %s has chips, but not what one of them does for model %s", p.ID, m.Model), "input_tokens_per_chip_second: and output_tokens_per_chip_second:, above 0")
		}
		if k != nil && k.Shape == alliance.ThroughputReserved && (m.InputWeightPPM == 0 || chat && m.OutputWeightPPM == 0 && p.OutputTokensPerMinute == 0) {
			c.log.add(c.nodes[m], fmt.Sprintf("pool %s reserves burn units, but says not what a token of model %s burns", p.ID, m.Model), "input_weight_ppm: and output_weight_ppm:, 1_000_000 for one unit a token")
		}
	}
}

func (c *checker) endpoint(p *alliance.Pool) {
	e := &p.Endpoint
	if c.nodes[e] == nil {
		return
	}
	if e.URL == standIn && p.StandIn == nil {
		c.log.add(c.at(e, "url"), fmt.Sprintf("pool %s has no stand_in that could answer", p.ID), "stand_in: {kind: local_model or simulated, says: what answers}, or a real address")
	}
	if e.URL == standIn && e.Secret != "" {
		c.log.add(c.at(e, "secret"), fmt.Sprintf("pool %s would send its secret nowhere", p.ID), "take secret out, or a real address")
	}
	if (e.ClientCert == "") != (e.ClientKey == "") {
		field := "client_cert"
		if e.ClientCert == "" {
			field = "client_key"
		}
		c.log.add(c.at(e, field), fmt.Sprintf("pool %s: a certificate needs its key and a key its certificate", p.ID), "client_cert and client_key together")
	}
	if e.CA+e.ClientCert+e.ClientKey != "" && strings.HasPrefix(e.URL, "http:") {
		c.log.add(c.at(e, "url"), fmt.Sprintf("pool %s has certificates, but its address has no TLS", p.ID), "https:")
	}
	if e.TotalMS > 0 && max(e.FirstTokenMS, e.BetweenTokensMS) > e.TotalMS {
		c.log.add(c.at(e, "total_ms"), fmt.Sprintf("pool %s: total_ms %d is shorter than another timeout", p.ID, e.TotalMS), "total_ms: the longest of the three")
	}
	if s := p.StandIn; s != nil && s.ScalePPM > 0 && s.Kind == "local_model" {
		c.log.add(c.at(s, "scale_ppm"), fmt.Sprintf("pool %s: a local model runs at its own speed", p.ID), "take scale_ppm out; it is for kind: simulated")
	}
}

// aboveRamp checks that the pools of a contract add up to no more than its highest step.
func (c *checker) aboveRamp(k *alliance.Contract, pools []*alliance.Pool) {
	field, what := "chips", func(p *alliance.Pool) int64 { return p.Chips }
	step := func(s alliance.RampStep) int64 { return s.Chips }
	if k.Shape == alliance.ThroughputReserved {
		field, what = "tokens_per_minute", func(p *alliance.Pool) int64 { return p.TokensPerMinute }
		step = func(s alliance.RampStep) int64 { return s.TokensPerMinute }
	}
	if len(k.Ramp) == 0 || len(pools) == 0 {
		return
	}
	highest := step(slices.MaxFunc(k.Ramp, func(a, b alliance.RampStep) int { return cmp.Compare(step(a), step(b)) }))
	if o := k.Option; o != nil && k.Shape != o.Becomes && len(o.Ramp) > 0 {
		highest += step(slices.MaxFunc(o.Ramp, func(a, b alliance.RampStep) int { return cmp.Compare(step(a), step(b)) }))
	}
	if highest == 0 {
		return
	}
	left := highest
	for _, p := range pools {
		if what(p) > left {
			c.log.add(c.at(p, field), fmt.Sprintf("pool %s is above the ramp of contract %s: it has %d %s, at most %d of %d are left for it", p.ID, k.ID, what(p), field, left, highest), fmt.Sprintf("%s: %d or less, or a higher ramp step", field, left))
		}
		left = max(0, left-what(p))
	}
}
