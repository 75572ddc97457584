package ledger

import (
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Terms is one version of the alliance's terms, indexed for rating. It is
// immutable.
type Terms struct {
	Hash      string
	alliance  *alliance.Alliance
	prices    *rating.Book
	pools     map[alliance.PoolID]*alliance.Pool
	contracts map[alliance.ContractID]*alliance.Contract
	plans     map[alliance.PlanID]*alliance.Plan
	costs     map[alliance.PriceID]*alliance.Price
	rates     *exchange.Table // of exchange; nil: none is known
	channels  map[alliance.ChannelID]*alliance.Channel
}

// NewTerms indexes a.
func NewTerms(a *alliance.Alliance) *Terms {
	t := &Terms{
		Hash: a.Hash, alliance: a, prices: rating.NewBook(a),
		pools:     make(map[alliance.PoolID]*alliance.Pool, len(a.Pools)),
		contracts: make(map[alliance.ContractID]*alliance.Contract, len(a.Contracts)),
		plans:     make(map[alliance.PlanID]*alliance.Plan, len(a.Plans)),
		channels:  make(map[alliance.ChannelID]*alliance.Channel, len(a.Channels)),
		costs:     make(map[alliance.PriceID]*alliance.Price, len(a.Prices)),
	}
	for i := range a.Prices {
		t.costs[a.Prices[i].ID] = &a.Prices[i]
	}
	for i := range a.Pools {
		t.pools[a.Pools[i].ID] = &a.Pools[i]
	}
	for i := range a.Contracts {
		t.contracts[a.Contracts[i].ID] = &a.Contracts[i]
	}
	for i := range a.Plans {
		t.plans[a.Plans[i].ID] = &a.Plans[i]
	}
	for i := range a.Channels {
		t.channels[a.Channels[i].ID] = &a.Channels[i]
	}
	return t
}

// provider is who bills for a pool: the contract's provider.
func (t *Terms) provider(p *alliance.Pool) string {
	if c := t.contracts[p.Contract]; c != nil {
		return string(c.Provider)
	}
	return string(p.Provider)
}

// own reports whether the operator provides a contract itself, so that nobody
// bills for it.
func (t *Terms) own(c *alliance.Contract) bool { return c.Provider == t.alliance.Operator }

// Alliance returns the terms themselves.
func (t *Terms) Alliance() *alliance.Alliance { return t.alliance }

// basis says how a posting's numerator comes from tokens.
type basis uint8

const (
	byTokens   basis = 1
	byRates    basis = 2
	byUse      basis = 3
	byStandard basis = 4
)

// rule is how one entry of a flow is rated.
type rule struct {
	key     Key
	basis   basis
	divisor int64
	rates   alliance.Rates
	std     contract.StandardRate
	shape   alliance.Shape
	model   *alliance.PoolModel
	// scale multiplies the numerator of a cost that is turned into another
	// currency, or of a share in parts per million; 0 and 1 leave it.
	scale int64
	part  part // of the request's tokens that it rates
}

// numerator is exact; the rule's divisor turns it into units of the asset.
func (r *rule) numerator(u usage.Vector) money.Wide {
	if r.scale > 1 {
		plain := *r
		plain.scale = 0
		return plain.numerator(u).Times(r.scale)
	}
	switch r.basis {
	case byRates:
		return rating.Numerator(r.rates, u)
	case byUse:
		return money.WideOf(contract.Use(r.shape, r.model, u))
	case byStandard:
		return r.std.Numerator(contract.Use(r.shape, r.model, u))
	}
	return money.WideOf(u.Total())
}

// flow is how requests that agree in everything but their tokens are posted,
// for intents in [from, until) nanoseconds.
type flow struct {
	from, until int64
	// served are the rules of a served request; empty with why set when it
	// cannot be rated.
	served []rule
	// bought are those of served that are owed or used up whoever pays: all
	// but the sale. They are there, too, when only the sale cannot be rated.
	bought []rule
	// overflow is how requests are posted that a throughput reservation served
	// beyond what is reserved, in one of the contract's tiers; nil: as others.
	overflow *flow
	contract *alliance.Contract
	// beyond is what they cost once a commitment is used up; nil: the same.
	beyond *beyond
	// suspense is the rule of an attempt that may be owed.
	suspense rule
	// included is how use counts against what the plan includes, nil where it
	// includes nothing.
	included *included
	// hourly is the commitment per hour that covers use, nil where none does.
	hourly *hourly
	why    string
}

// Reasons why a served request is suspense all the same.
const (
	NoPool    = "pool_unknown"
	NoPrice   = "price_unknown"
	NoPlan    = "plan_unknown"
	NoRate    = "rate_unknown" // of exchange, on the day of the request
	BadTokens = "usage_contradicts_itself"
)

// NoStandardRate is the note of a line whose pool has a fixed fee that the
// terms do not state: its cost is unknown, its use of capacity is booked.
const NoStandardRate = "standard_rate_unknown"

// NoLeft is the note of a line whose split at the edge of an included quota, or
// of an hour's commitment, is not known yet: the books know it once the outcome
// is posted.
const NoLeft = "included_quota_not_posted"

// flow resolves the intent made at an instant, with the rates of exchange that
// were known before a record of the journal.
func (t *Terms) flow(in *record.Intent, at int64, known uint64) *flow {
	when := time.Unix(0, at).UTC()
	first := time.Date(when.Year(), when.Month(), 1, 0, 0, 0, 0, time.UTC)
	f := &flow{from: first.UnixNano(), until: first.AddDate(0, 1, 0).UnixNano()}
	r := resolver{t: t, in: in, at: when, known: known, flow: f, period: int32(when.Year()*100 + int(when.Month()))}
	r.resolve()
	return f
}

func commitAsset(t *Terms, c *alliance.Contract) Asset {
	return Asset("COMMIT-" + string(t.moneyOf(c)) + "(" + string(c.ID) + ")")
}

func interval(t *Terms, a contract.Account, c *alliance.Contract, f alliance.Floor) AccountID {
	return NewAccount(string(t.alliance.Operator), a.Class, a.Kind, string(c.ID), f.From.String())
}

// name strips the version from "id@version".
func name(id string) string {
	id, _, _ = strings.Cut(id, "@")
	return id
}
