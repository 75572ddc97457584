package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
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
}

// NewTerms indexes a.
func NewTerms(a *alliance.Alliance) *Terms {
	t := &Terms{
		Hash: a.Hash, alliance: a, prices: rating.NewBook(a),
		pools:     make(map[alliance.PoolID]*alliance.Pool, len(a.Pools)),
		contracts: make(map[alliance.ContractID]*alliance.Contract, len(a.Contracts)),
		plans:     make(map[alliance.PlanID]*alliance.Plan, len(a.Plans)),
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
	return t
}

// provider is who bills for a pool: the contract's provider.
func (t *Terms) provider(p *alliance.Pool) string {
	if c := t.contracts[p.Contract]; c != nil {
		return string(c.Provider)
	}
	return string(p.Provider)
}

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
}

// numerator is exact; the rule's divisor turns it into units of the asset.
func (r *rule) numerator(u usage.Vector) money.Wide {
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
	// suspense is the rule of an attempt that may be owed.
	suspense rule
	why      string
}

// Reasons why a served request is suspense all the same.
const (
	NoPool    = "pool_unknown"
	NoPrice   = "price_unknown"
	NoPlan    = "plan_unknown"
	BadTokens = "usage_contradicts_itself"
)

// NoStandardRate is the note of a line whose pool has a fixed fee that the
// terms do not state: its cost is unknown, its use of capacity is booked.
const NoStandardRate = "standard_rate_unknown"

// flow resolves the intent made at an instant.
func (t *Terms) flow(in *record.Intent, at int64) *flow {
	when := time.Unix(0, at).UTC()
	first := time.Date(when.Year(), when.Month(), 1, 0, 0, 0, 0, time.UTC)
	f := &flow{from: first.UnixNano(), until: first.AddDate(0, 1, 0).UnixNano()}
	r := resolver{t: t, in: in, at: when, flow: f, period: int32(when.Year()*100 + int(when.Month()))}
	r.resolve()
	return f
}

type resolver struct {
	t        *Terms
	in       *record.Intent
	at       time.Time
	flow     *flow
	period   int32
	pool     *alliance.Pool
	contract *alliance.Contract
	provider string
}

func (r *resolver) resolve() {
	r.pool = r.t.pools[alliance.PoolID(r.in.Pool)]
	if r.pool == nil {
		r.provider, r.flow.why = "unknown", NoPool
		r.suspense(alliance.Rates{}, "")
		return
	}
	r.provider = string(r.pool.Provider)
	r.contract = r.t.contracts[r.pool.Contract]
	if r.contract == nil {
		r.contract = &alliance.Contract{ID: r.pool.Contract, Provider: r.pool.Provider, Shape: alliance.PayPerUse}
	} else {
		r.provider = string(r.contract.Provider)
	}
	rates, priced := r.t.prices.ByID(alliance.PriceID(r.in.CostPrice))
	fixed := contract.Perishes(r.contract.Shape)
	if fixed {
		r.suspense(alliance.Rates{}, "")
	} else {
		r.suspense(rates, r.in.CostPrice)
	}
	if !fixed && !priced {
		r.flow.why = NoPrice
		return
	}
	for _, leg := range contract.Legs(r.contract, r.pool.BilledBy, contract.Usage) {
		r.leg(leg, rates)
	}
	cost := len(r.flow.served)
	sold := r.sale()
	end := len(r.flow.served)
	r.tokens()
	r.flow.bought = slices.Concat(r.flow.served[:cost], r.flow.served[end:])
	if !sold {
		r.flow.served = nil
	}
}

func (r *resolver) account(class contract.Class, kind string, refs ...string) AccountID {
	return NewAccount(string(r.t.alliance.Operator), class, kind, refs...)
}

func (r *resolver) currency() Asset { return Asset(r.t.alliance.Currency) }

func (r *resolver) add(k Key, ru rule) {
	k.Terms, k.Period = r.in.Terms, r.period
	ru.key = k
	r.flow.served = append(r.flow.served, ru)
}

// narrow keeps the flow within the interval that was used to resolve it.
func (r *resolver) narrow(t alliance.Term) {
	if !t.From.IsZero() {
		r.flow.from = max(r.flow.from, t.From.UnixNano())
	}
	if !t.Until.IsZero() {
		r.flow.until = min(r.flow.until, t.Until.UnixNano())
	}
}

func (r *resolver) leg(leg contract.Leg, rates alliance.Rates) {
	ref := func(a contract.Account) AccountID {
		switch a.Of {
		case contract.OfPool:
			return r.account(a.Class, a.Kind, string(r.pool.ID))
		case contract.OfProvider:
			return r.account(a.Class, a.Kind, r.provider)
		}
		return r.account(a.Class, a.Kind, string(r.contract.ID))
	}
	id := string(r.contract.ID)
	switch leg.Basis {
	case contract.AtPrice:
		credit := ref(leg.Credit)
		if leg.Credit.Of == contract.OfInterval {
			floor, ok := contract.FloorAt(r.contract, r.at)
			if !ok { // outside its credits the contract is metered
				r.outside(floorTerms(r.contract))
				credit = r.account(contract.Liability, "accrued", r.provider)
			} else {
				r.narrow(floor.Term)
				credit = interval(r.t, leg.Credit, r.contract, floor)
			}
		}
		r.add(Key{Kind: Cost, Debit: ref(leg.Debit), Credit: credit, Asset: r.currency(), Price: r.in.CostPrice, Contract: id},
			rule{basis: byRates, divisor: rating.Divisor, rates: rates})
	case contract.AtCommitment:
		floor, ok := contract.FloorAt(r.contract, r.at)
		if !ok {
			r.outside(floorTerms(r.contract))
			return
		}
		r.narrow(floor.Term)
		r.add(Key{
			Kind: Commitment, Debit: interval(r.t, leg.Debit, r.contract, floor), Credit: interval(r.t, leg.Credit, r.contract, floor),
			Asset: commitAsset(r.t, r.contract), Price: r.in.CostPrice, Contract: id,
		},
			rule{basis: byRates, divisor: rating.Divisor, rates: rates})
	case contract.AtStandard:
		std, ok := contract.StandardRateAt(r.contract, r.at)
		fee, _ := contract.FeeAt(r.contract, r.at)
		if fee.From.IsZero() {
			r.outside(feeTerms(r.contract))
		} else {
			r.narrow(fee.Term)
		}
		if !ok {
			return
		}
		r.add(Key{Kind: Cost, Debit: ref(leg.Debit), Credit: ref(leg.Credit), Asset: r.currency(), Price: id + "@" + fee.From.String(), Contract: id},
			rule{basis: byStandard, divisor: std.Divisor(), std: std, shape: r.contract.Shape, model: r.poolModel()})
	case contract.AtUse:
		r.add(Key{Kind: Capacity, Debit: ref(leg.Debit), Credit: ref(leg.Credit), Asset: Asset(contract.Units(r.contract.Shape) + "(" + string(r.pool.ID) + ")"), Contract: id},
			rule{basis: byUse, divisor: contract.UseDivisor, shape: r.contract.Shape, model: r.poolModel()})
	}
}

// outside keeps a flow that found no interval clear of those that exist.
func (r *resolver) outside(terms []alliance.Term) {
	for _, t := range terms {
		if t.From.After(r.at) {
			r.flow.until = min(r.flow.until, t.From.UnixNano())
		} else if !t.Until.IsZero() {
			r.flow.from = max(r.flow.from, t.Until.UnixNano())
		}
	}
}

// poolModel returns what a token of the served model uses of the pool; a
// model that the pool does not list uses nothing.
func (r *resolver) poolModel() *alliance.PoolModel {
	for i := range r.pool.Models {
		if string(r.pool.Models[i].Model) == name(r.in.Model) {
			return &r.pool.Models[i]
		}
	}
	return &alliance.PoolModel{}
}

// sale adds what the operator is paid: by the customer where it sells the
// plan itself, by the seller where another party does, nothing where the plan
// is included. It reports whether the request can be rated.
func (r *resolver) sale() bool {
	plan := r.t.plans[alliance.PlanID(r.in.Plan)]
	if plan == nil {
		r.flow.why = NoPlan
		return false
	}
	sold := r.in.Variant
	if sold == "" {
		sold = r.in.Model
	}
	kind, from, price := Sale, r.in.Tenant, r.in.SalePrice
	if plan.Seller != r.t.alliance.Operator {
		kind, from, price = Wholesale, string(plan.Seller), ""
		if plan.Wholesale != nil {
			price = string(plan.Wholesale.ID)
		}
	}
	if price == "" {
		return true
	}
	rates, ok := r.t.prices.ByID(alliance.PriceID(price))
	if !ok {
		r.flow.why = NoPrice
		return false
	}
	account := "inference"
	if kind == Wholesale {
		account = "wholesale"
	}
	r.add(Key{
		Kind: kind, Debit: r.account(contract.Asset, "receivable", from),
		Credit: r.account(contract.Revenue, account, name(sold), r.in.Channel), Asset: r.currency(), Price: price,
	},
		rule{basis: byRates, divisor: rating.Divisor, rates: rates})
	return true
}

// tokens adds the tokens themselves: bought from the pool, served under the plan.
func (r *resolver) tokens() {
	model := name(r.in.Model)
	r.add(Key{
		Kind: Tokens, Debit: r.account(contract.Memo, "tokens_served", r.in.Plan, model),
		Credit: r.account(contract.Memo, "tokens_bought", r.in.Pool, model), Asset: Asset("TOK(" + model + ")"),
	},
		rule{basis: byTokens, divisor: 1})
}

func (r *resolver) suspense(rates alliance.Rates, price string) {
	k := Key{
		Kind: Suspense, Debit: r.account(contract.Asset, "suspense", r.provider), Credit: r.account(contract.Liability, "suspense", r.provider),
		Asset: r.currency(), Price: price, Terms: r.in.Terms, Period: r.period,
	}
	if r.contract != nil {
		k.Contract = string(r.contract.ID)
	}
	r.flow.suspense = rule{key: k, basis: byRates, divisor: rating.Divisor, rates: rates}
}

func commitAsset(t *Terms, c *alliance.Contract) Asset {
	return Asset("COMMIT-" + string(t.alliance.Currency) + "(" + string(c.ID) + ")")
}

func interval(t *Terms, a contract.Account, c *alliance.Contract, f alliance.Floor) AccountID {
	return NewAccount(string(t.alliance.Operator), a.Class, a.Kind, string(c.ID), f.From.String())
}

func floorTerms(c *alliance.Contract) (terms []alliance.Term) {
	for _, f := range c.Floors {
		terms = append(terms, f.Term)
	}
	return terms
}

func feeTerms(c *alliance.Contract) (terms []alliance.Term) {
	for _, f := range c.Fees {
		terms = append(terms, f.Term)
	}
	return terms
}

// name strips the version from "id@version".
func name(id string) string {
	id, _, _ = strings.Cut(id, "@")
	return id
}
