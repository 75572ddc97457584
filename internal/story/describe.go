package story

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// description is an object of the alliance in lines for people, with the
// claims behind it.
type description struct {
	lines      []string
	claims     []alliance.ClaimID
	assumption bool
}

func (d *description) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *description) cite(claims ...alliance.ClaimID) {
	for _, id := range claims {
		if !slices.Contains(d.claims, id) {
			d.claims = append(d.claims, id)
		}
	}
}

func (d *description) sourced(s alliance.Sourced) string {
	d.cite(s.Claim...)
	d.assumption = d.assumption || s.Assumption
	switch {
	case s.Assumption:
		return " (assumption)"
	case len(s.Claim) > 0:
		return " (" + ids(s.Claim) + ")"
	}
	return ""
}

// describe tells an object by id; what has no details of its own has no lines.
// k is what is known, nil for everything.
func describe(a *alliance.Alliance, id string, k *knowledge) *description {
	d := new(description)
	if deal := a.Deal(id); deal != nil {
		d.deal(deal, k)
	}
	if c := a.Contract(alliance.ContractID(id)); c != nil {
		d.contract(c, a.CurrencyOf(c))
	}
	if c := a.Channel(alliance.ChannelID(id)); c != nil {
		d.channel(c)
	}
	if r := a.Right(alliance.RightID(id)); r != nil {
		d.right(r)
	}
	if p := a.Pool(alliance.PoolID(id)); p != nil {
		d.pool(p)
	}
	if c := a.Chip(alliance.ChipID(id)); c != nil {
		d.chip(a, c)
	}
	if v := a.Variant(alliance.ModelID(id)); v != nil {
		d.variant(v)
	}
	if p := a.Plan(alliance.PlanID(id)); p != nil {
		d.plan(p, a.Currency)
	}
	if m := a.Model(alliance.ModelID(id)); m != nil {
		d.add("%s weights, %s, owned by %s, version %s", m.Weights, m.Kind, m.Owner, m.Version)
		d.cite(m.Claim...)
	}
	if f := a.Family(alliance.ModelID(id)); f != nil {
		for _, m := range f.Members {
			d.add("%s from %s", m.Model, m.From)
		}
	}
	return d
}

// deal leaves out flows of which no claim is known yet.
func (d *description) deal(deal *alliance.Deal, k *knowledge) {
	d.add("%s from %s to %s", deal.Kind, deal.From, deal.To)
	for _, leg := range deal.Legs {
		if k != nil && len(leg.Claim) > 0 && !slices.ContainsFunc(leg.Claim, func(id alliance.ClaimID) bool { return k.known(k.a.Claim(id)) }) {
			continue
		}
		what := leg.Asset
		if leg.Amount != nil {
			what += " " + number(*leg.Amount)
		}
		line := fmt.Sprintf("%s gives %s: %s", leg.Payer, leg.Payee, what)
		if leg.Condition != "" {
			line += ", on condition: " + leg.Condition
		}
		d.add("%s%s", line, d.sourced(leg.Sourced))
	}
	if len(deal.Contains) > 0 {
		d.add("contains %s: never add them to it", strings.Join(deal.Contains, ", "))
	}
	d.cite(deal.Claim...)
}

func (d *description) contract(c *alliance.Contract, currency money.Currency) {
	d.add("%s with %s, %s", c.Shape, c.Provider, term(c.Term))
	if c.Headline != nil {
		d.add("headline %s %s", currency, number(*c.Headline))
	}
	var sum money.Amount
	for _, f := range c.Floors {
		d.add("floor %s: %s%s", term(f.Term), number(f.Amount), d.sourced(f.Sourced))
		sum += f.Amount
	}
	for _, f := range c.Fees {
		d.add("fee %s: %s%s", term(f.Term), number(f.Amount), d.sourced(f.Sourced))
		sum += f.Amount
	}
	if len(c.Floors)+len(c.Fees) > 0 {
		d.add("in all %s %s", currency, number(sum))
	}
	for _, r := range c.Ramp {
		if r.Chips > 0 {
			d.add("from %s: %s chips%s", r.From, thousands(r.Chips), d.sourced(r.Sourced))
		}
		if r.TokensPerMinute > 0 {
			d.add("from %s: %s tokens a minute%s", r.From, thousands(r.TokensPerMinute), d.sourced(r.Sourced))
		}
	}
	if r := c.RevenueShare; r != nil {
		of := "as channels present sales"
		if r.Of != "" {
			of = r.Of + " of what channels keep"
		}
		limit := "without a cap"
		if r.Cap != nil {
			limit = fmt.Sprintf("at most %s %s in all", currency, number(*r.Cap))
		}
		d.add("revenue share of %s %% to %s, %s: base %s, %s; %s%s", percent(r.RatePPM), c.Provider, term(r.Term), r.Base, of, limit, d.sourced(r.Sourced))
	}
	d.sourced(c.Sourced)
}

func (d *description) channel(c *alliance.Channel) {
	d.add("run by %s", c.Party)
	switch c.Presentation {
	case alliance.Principal:
		d.add("bills the customers and keeps %s %%; the whole price is the operator's revenue (principal)%s", percent(c.CommissionPPM), d.sourced(c.Sourced))
	case alliance.Agent:
		d.add("bills the customers and keeps %s %%; the rest is the operator's revenue (agent)%s", percent(c.CommissionPPM), d.sourced(c.Sourced))
	}
	d.sourced(c.Sourced)
}

// percent renders parts per million without needless zeros.
func percent(ppm int64) string {
	return strings.TrimSuffix(money.Amount(ppm*100).String(), ".00")
}

func (d *description) right(r *alliance.Right) {
	line := fmt.Sprintf("%s to %s of %s, %s", r.Mode, r.Object, ids(r.Models), term(r.Term))
	if !r.UntilLatest.IsZero() {
		line += fmt.Sprintf(" or as late as %s", r.UntilLatest)
	}
	d.add("%s", line)
	for _, part := range [...]struct{ word, value string }{
		{"seller", string(r.Seller)},
		{"channel", string(r.Channel)},
		{"host", string(r.Host)},
		{"regions", ids(r.Regions)},
		{"territories", ids(r.Territories)},
		{"state", r.State},
		{"supersedes", ids(r.Supersedes)},
	} {
		if part.value != "" {
			d.add("%s: %s", part.word, part.value)
		}
	}
	for _, x := range r.Exceptions {
		d.add("except: %s", x.Why)
	}
	d.add("known since %s", r.Known)
	d.cite(r.Claim...)
}

func (d *description) pool(p *alliance.Pool) {
	d.add("under %s, billed by %s, at most %d requests at once", p.Contract, p.BilledBy, p.MaxInFlight)
	for _, m := range p.Models {
		line := "serves " + string(m.Model)
		if m.OutputTokensPerChipSecond > 0 {
			line += fmt.Sprintf(" at %s output tokens a chip and second", thousands(m.OutputTokensPerChipSecond))
		}
		d.add("%s%s", line, d.sourced(m.Sourced))
	}
	if p.StandIn != nil {
		d.add("stand-in (%s): %s", p.StandIn.Kind, p.StandIn.Says)
	}
	d.sourced(p.Sourced)
}

func (d *description) chip(a *alliance.Alliance, c *alliance.Chip) {
	known := func(n int64, unit string) string {
		if n == 0 {
			return "unknown"
		}
		return thousands(n) + " " + unit
	}
	d.add("vendor %s, memory %s, power %s", c.Vendor, known(c.MemoryGB, "GB"), known(c.Watts, "W"))
	for _, t := range c.Throughput {
		d.add("%s output tokens a second: %s%s", thousands(t.OutputTokensPerSecond), t.Workload, d.sourced(t.Sourced))
	}
	if len(c.Throughput) == 0 {
		d.add("throughput unknown")
	}
	d.sourced(c.Sourced)
	for i := range a.Pools {
		if p := &a.Pools[i]; p.Chip == c.ID {
			d.add("in pool %s: %d chips", p.ID, p.Chips)
		}
	}
}

func (d *description) variant(v *alliance.Variant) {
	d.add("made of %s for %s, version %s", v.Base, v.For, v.Version)
	for _, s := range v.Behaviour {
		d.add("behaviour: %s", s)
	}
	for _, s := range v.Style {
		d.add("style: %s", s)
	}
	for _, f := range v.Flows {
		for i, p := range f.Priorities {
			d.add("flow %s, priority %d: %s", f.ID, i+1, p)
		}
	}
	d.add("plans %s; surfaces %s", ids(v.Plans), strings.Join(v.Surfaces, ", "))
	for _, r := range v.Rollout {
		d.add("rollout %s: %s from %s (%s)", r.Territory, r.State, r.From, ids(r.Claim))
		d.cite(r.Claim...)
	}
	d.cite(v.Claim...)
}

func (d *description) plan(p *alliance.Plan, currency money.Currency) {
	d.add("sold by %s, limits count per %s, models %s", p.Seller, p.Subject, ids(p.Models))
	for _, part := range [...]struct {
		value int64
		word  string
	}{{p.Limits.RequestsPerMinute, "requests a minute"}, {p.Limits.TokensPerMinute, "tokens a minute"}, {p.Limits.TokensPerDay, "tokens a day"}, {p.Limits.TokensPerMonth, "tokens a month"}} {
		if part.value > 0 {
			d.add("at most %s %s", thousands(part.value), part.word)
		}
	}
	if p.IncludedIn != "" {
		d.add("included in: %s", p.IncludedIn)
	}
	if p.Price != nil {
		d.add("price %s: %s %s a million input tokens, %s a million output tokens", p.Price.ID, currency, p.Price.Input, p.Price.Output)
	}
	if f := p.Fee; f != nil {
		d.add("fee %s: %s %s a month per %s", f.ID, currency, f.Amount, f.Per)
	}
	if f := p.WholesaleFee; f != nil {
		d.add("wholesale fee %s: %s %s a month per %s", f.ID, currency, f.Amount, f.Per)
	}
	if i := p.Included; i != nil {
		what := thousands(i.Tokens) + " tokens"
		if i.Spend > 0 {
			what = fmt.Sprintf("use worth %s %s", currency, i.Spend)
		}
		beyond := "what goes beyond is refused"
		if o := p.Overage; o != nil {
			beyond = fmt.Sprintf("beyond %s: %s a million input tokens, %s a million output tokens", o.ID, o.Input, o.Output)
		}
		d.add("includes %s a month per %s; %s", what, i.Per, beyond)
	}
	if p.Wholesale != nil {
		d.add("wholesale %s: %s %s a million input tokens, %s a million output tokens", p.Wholesale.ID, currency, p.Wholesale.Input, p.Wholesale.Output)
	}
	d.sourced(p.Sourced)
}

func term(t alliance.Term) string {
	if t.Until.IsZero() {
		return "from " + t.From.String()
	}
	return t.From.String() + " to " + t.Until.String()
}
