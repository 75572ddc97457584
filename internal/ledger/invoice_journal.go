package ledger

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// billed is an attempt as the books have it.
type billed struct {
	attempt         record.AttemptID
	intent, outcome uint64
	at              int64
	flow            *flow
	pool, contract  string
	names           []string // of its model: id, id@version, name at the provider
	tier            string
	estimate        usage.Vector // of the intent
	tokens          usage.Vector // booked; nothing while it is suspense
	heldTokens      usage.Vector // what its suspense is estimated by
	past            usage.Vector // of the booked ones, beyond the commitment
	apart           usage.Vector // those of past that the invoice bills on a line of their own
	used            usage.Vector // of a commitment per hour: with those that it covers
	held            bool         // its suspense is open
	month           bool         // it is of the invoice's month
	before          bool         // an earlier invoice billed it
	seen            bool
	named           bool // an open difference of an earlier invoice says that it is missing
	counts          bool // it is there only to count what its hour had drawn
}

// owed is the rule by which the attempt accrues to its provider, nil when it
// does not (a fixed fee, a bill by the chip-second, no price).
func (a *billed) owed() *rule {
	for i := range a.flow.bought {
		if r := &a.flow.bought[i]; r.key.Kind == Cost && r.key.Credit.Kind() == "accrued" {
			return r
		}
	}
	return nil
}

// charged is one rule by which an attempt accrues, with the tokens that it rates.
type charged struct {
	rule   *rule
	tokens usage.Vector
	place  string // that it accrues by: pool, interval of a commitment, or position in another currency
}

// bucket names what is rounded together when it becomes payable.
func (c *charged) bucket() string { return c.rule.key.Price + "," + c.place }

// parts are what accrues for tokens of the attempt: their cost, and what those
// of them that are beyond a commitment cost on top.
func (a *billed) parts(tokens, past usage.Vector) (list []charged) {
	r := a.owed()
	if r == nil {
		return nil
	}
	return append([]charged{{r, tokens, r.key.Debit.Ref()}}, a.surcharges(past)...)
}

// surcharges are what accrues on top for tokens beyond a commitment.
func (a *billed) surcharges(past usage.Vector) (list []charged) {
	b := a.flow.beyond
	if b == nil || past.IsZero() {
		return nil
	}
	for i := range b.rules {
		if b.rules[i].key.Credit.Kind() == "accrued" {
			list = append(list, charged{&b.rules[i], past, b.rules[i].key.Debit.Ref()})
		}
	}
	return list
}

// booked is what accrued for the attempt, each part rounded down by itself.
func (a *billed) booked() (sum money.Amount) {
	for _, c := range a.parts(a.tokens, a.past) {
		sum += floor(c.rule.numerator(c.tokens), c.rule.divisor)
	}
	return sum
}

func (a *billed) period(g invoice.Grain) string { return invoice.PeriodOf(a.at, g) }

// model is the model as it was asked for, with its version.
func (a *billed) model() string { return a.names[1] }

func floor(n money.Wide, divisor int64) money.Amount {
	q, _, ok := n.FloorDiv(divisor)
	if !ok {
		return 0
	}
	return money.Amount(q)
}

// bookedOf is what the books accrued for attempts: sums by price and pool,
// each rounded down.
func bookedOf(list []*billed) (sum money.Amount, tokens usage.Vector) {
	type bucket struct {
		name    string
		divisor int64
	}
	sums := map[bucket]money.Wide{}
	for _, a := range list {
		tokens = tokens.Add(a.tokens)
		for _, c := range a.parts(a.tokens, a.past) {
			k := bucket{c.bucket(), c.rule.divisor}
			sums[k] = sums[k].Add(c.rule.numerator(c.tokens))
		}
	}
	for k, n := range sums {
		sum += floor(n, k.divisor)
	}
	return sum, tokens
}

// provided are the attempts of one provider in one month.
type provided struct {
	b        *Book
	evidence *Evidence
	provider string
	month    int32
	asset    Asset                     // of its contracts that count: a provider bills each currency by itself
	listed   map[record.AttemptID]bool // also these, whatever their month
	before   map[string]bool           // what earlier invoices billed, by billedName
	grains   []invoice.Grain           // of the groups that are wanted

	attempts map[record.AttemptID]*billed
	order    []*billed            // by outcome
	late     []lateDraw           // that were not drawn yet
	suspense map[uint64]*billed   // closed, under a commitment per hour, by outcome
	hours    *covering            // nil where the provider has no commitment per hour
	groups   map[string][]*billed // by period and name of their model
	stopped  bool                 // the journal goes on behind what was read
}

func (p *provided) candidate(r *record.Record, flows map[flowKey]*flow) (*billed, error) {
	in := r.Intent
	month := monthOf(time.Unix(0, r.At)) == p.month
	wanted := month || p.listed[in.Attempt]
	if !wanted && p.hours == nil {
		return nil, nil
	}
	t, err := p.b.Terms(in.Terms)
	if err != nil {
		return nil, err
	}
	pool := t.pools[alliance.PoolID(in.Pool)]
	if pool == nil || t.provider(pool) != p.provider || t.moneyOf(t.contracts[pool.Contract]) != p.asset {
		return nil, nil
	}
	k := flowKey{in.Terms, in.Tenant, in.Plan, in.Channel, in.Model, in.Variant, in.Pool, in.CostPrice, in.SalePrice}
	f := flows[k]
	if f == nil || r.At < f.from || r.At >= f.until {
		f = t.flow(in, r.At, exchange.Always)
		flows[k] = f
	}
	if !wanted && f.hourly == nil {
		return nil, nil
	}
	a := &billed{counts: !wanted, attempt: in.Attempt, intent: r.Sequence, at: r.At, flow: f, pool: in.Pool, contract: string(pool.Contract), month: month, estimate: in.Estimate}
	a.names = []string{name(in.Model), in.Model}
	for i := range pool.Models {
		if m := &pool.Models[i]; string(m.Model) == name(in.Model) && m.UpstreamName != "" && m.UpstreamName != name(in.Model) {
			a.names = append(a.names, m.UpstreamName)
		}
	}
	return a, nil
}

func (p *provided) outcome(a *billed, r *record.Record) {
	a.outcome, a.tier = r.Sequence, r.Outcome.Tier
	if a.flow.overflow != nil && a.flow.overflows(a.tier) {
		a.flow = a.flow.overflow
	}
	why, owed := suspend(a.flow, r.Outcome)
	_, a.held = p.b.suspended[r.Sequence]
	closed := p.b.closed[r.Sequence]
	in := record.Intent{Estimate: a.estimate}
	switch {
	case a.held:
		a.heldTokens = estimate(&in, r.Outcome, why)
	case p.b.writtenOff[r.Sequence], !owed, closed != nil && closed.By == ByWaiver:
	case closed != nil && closed.Usage != nil:
		a.tokens = *closed.Usage
	case closed != nil:
		a.tokens = estimate(&in, r.Outcome, why)
	case why == "":
		a.tokens = r.Outcome.Usage
	}
	if a.flow.hourly != nil && why != "" && closed != nil && p.suspense != nil {
		p.suspense[r.Sequence] = a
	}
	if a.flow.hourly != nil && why == "" && owed {
		a.used = a.tokens
		if uncovered := p.hours.take(a.flow.hourly, a.at, r.Outcome.Usage); closed == nil && !p.b.writtenOff[r.Sequence] {
			a.tokens = uncovered
		}
	}
	if a.counts {
		return
	}
	if b := a.flow.beyond; b != nil {
		a.past = a.tokens.Add(p.b.inside(b.used.Ref(), r.Sequence, a.tokens).Neg())
	}
	a.before = p.before["a/"+string(a.attempt)] || p.aggregated(a)
	p.attempts[a.attempt] = a
	p.order = append(p.order, a)
	if a.month && a.owed() != nil {
		for _, g := range p.grains {
			for _, n := range a.names {
				k := groupOf(a.period(g), n)
				if list := p.groups[k]; len(list) == 0 || list[len(list)-1] != a {
					p.groups[k] = append(list, a)
				}
			}
		}
	}
}

func groupOf(period, model string) string { return period + "/" + model }

// aggregated reports whether an earlier aggregate billed the attempt.
func (p *provided) aggregated(a *billed) bool {
	if len(p.before) == 0 {
		return false
	}
	tiers := [...]string{"", a.tier, invoice.TierName(a.tier)}
	for _, g := range [...]invoice.Grain{invoice.Hourly, invoice.Daily, invoice.Monthly} {
		period := a.period(g)
		for _, n := range a.names {
			for _, tier := range tiers {
				if p.before[groupName(period, tier, n)] {
					return true
				}
			}
		}
	}
	return false
}

// Bill returns what a provider may bill for a month, by the journal and the
// terms: what an invoice without an error says. Of a provider with contracts in
// several currencies it is the invoice in the first one's; Bills returns all.
func (b *Book) Bill(provider string, month int32, evidence Evidence) (*invoice.Truth, error) {
	t, err := b.Terms(b.head.Terms)
	if err != nil {
		return nil, err
	}
	return b.bill(t, provider, month, t.billsIn(provider)[0], evidence)
}

// Bills returns what a provider may bill for a month: one invoice for each
// currency of its contracts, in their order.
func (b *Book) Bills(provider string, month int32, evidence Evidence) ([]*invoice.Truth, error) {
	t, err := b.Terms(b.head.Terms)
	if err != nil {
		return nil, err
	}
	var list []*invoice.Truth
	for _, asset := range t.billsIn(provider) {
		v, err := b.bill(t, provider, month, asset, evidence)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (b *Book) bill(t *Terms, provider string, month int32, asset Asset, evidence Evidence) (*invoice.Truth, error) {
	p := provided{b: b, evidence: &evidence, provider: provider, month: month, asset: asset}
	if err := p.read(); err != nil {
		return nil, err
	}
	v := &invoice.Truth{Provider: provider, Customer: string(t.alliance.Operator), Currency: money.Currency(p.asset), Month: month}
	if party := t.alliance.Party(alliance.PartyID(provider)); party != nil {
		v.Name = party.Name
	}
	for _, a := range p.order {
		if !a.month || !a.held && a.tokens.IsZero() || a.owed() == nil && len(a.surcharges(a.past)) == 0 {
			continue
		}
		if a.owed() == nil && month > b.closedMonth {
			continue // the close decides how much was used beyond what was paid ahead
		}
		c := invoice.Charge{Paid: a.owed() == nil, Attempt: a.attempt, Outcome: a.outcome, At: a.at, Model: a.model(), Tier: a.tier, Tokens: a.tokens, Held: a.held}
		past := a.past
		if a.held {
			c.Tokens, past = a.heldTokens, usage.Vector{}
		}
		parts := a.parts(c.Tokens, past)
		if c.Paid {
			parts = a.surcharges(past)
		}
		for _, part := range parts {
			exact := invoice.Part{Price: part.bucket(), Divisor: part.rule.divisor}
			if part.rule.key.Kind == Surcharge {
				exact.Beyond = part.rule.key.Contract
			}
			for m, tokens := range invoice.Split(part.tokens) {
				exact.Exact[m] = part.rule.numerator(tokens)
			}
			c.Parts = append(c.Parts, exact)
		}
		v.Charges = append(v.Charges, c)
	}
	list, err := b.charges(t, provider, month, p.asset)
	for _, c := range list {
		if c.undecided {
			continue // nobody can bill yet what the close decides
		}
		v.Fees = append(v.Fees, invoice.FixedFee{Kind: c.kind, Contract: c.contract, Pool: c.pool, Amount: c.amount, Payable: !c.moves, Option: c.option})
	}
	return v, err
}
