package ledger

import (
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
)

type resolver struct {
	t        *Terms
	in       *record.Intent
	at       time.Time
	flow     *flow
	period   int32
	known    uint64 // record of the journal before which rates of exchange were known
	pool     *alliance.Pool
	contract *alliance.Contract
	provider string
	rate     exchange.Rate  // of a contract in another currency
	list     alliance.Rates // owed beyond a commitment per hour
	rateFrom alliance.Date  // begin of that commitment's rate
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
	switch {
	case fixed:
		r.suspense(alliance.Rates{}, "")
	case contract.Covers(r.contract.Shape):
		r.hour(rates)
		r.suspense(r.list, r.in.CostPrice)
	default:
		r.suspense(rates, r.in.CostPrice)
	}
	if !fixed && !priced {
		r.flow.why = NoPrice
		return
	}
	if !r.exchange() {
		r.flow.why = NoRate
		return
	}
	for _, leg := range contract.Legs(r.contract, r.pool.BilledBy, contract.Usage) {
		r.leg(leg, rates)
	}
	r.beyond()
	r.complete()
	if fixed {
		r.overflow()
	}
}

// complete adds the sale and the tokens to what is bought.
func (r *resolver) complete() {
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
	if r.foreign(k) {
		r.addForeign(ru)
		return
	}
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

// ref fills in the account of one side of a leg.
func (r *resolver) ref(a contract.Account) AccountID {
	if r.t.own(r.contract) {
		a = contract.Own(a)
	}
	switch a.Of {
	case contract.OfPool:
		return r.account(a.Class, a.Kind, string(r.pool.ID))
	case contract.OfProvider:
		return r.t.held(r.account(a.Class, a.Kind, r.provider), r.t.moneyOf(r.contract))
	}
	return r.account(a.Class, a.Kind, string(r.contract.ID))
}

func (r *resolver) leg(leg contract.Leg, rates alliance.Rates) {
	ref, id := r.ref, string(r.contract.ID)
	switch leg.Basis {
	case contract.AtCovered, contract.AtDrawn, contract.AtBeyond:
		r.hourLeg(leg, ref, rates)
	case contract.AtPrice:
		credit := ref(leg.Credit)
		if leg.Credit.Of == contract.OfInterval {
			floor, ok := contract.FloorAt(r.contract, r.at)
			if !ok {
				r.outside(floorTerms(r.contract))
			}
			if !ok || !r.retires() { // what draws on no credit is metered
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
		if !r.retires() {
			return
		}
		if p := r.t.costs[alliance.PriceID(r.in.CostPrice)]; p != nil {
			rates = contract.RetiringRates(r.contract, p)
		}
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
		r.add(Key{Kind: Cost, Debit: ref(leg.Debit), Credit: ref(leg.Credit), Asset: r.currency(), Price: standardPrice(r.contract, fee.From), Contract: id},
			rule{basis: byStandard, divisor: std.Divisor(), std: std, shape: r.contract.Shape, model: r.poolModel()})
	case contract.AtUse:
		r.add(Key{Kind: Capacity, Debit: ref(leg.Debit), Credit: ref(leg.Credit), Asset: Asset(contract.Units(r.contract.Shape) + "(" + string(r.pool.ID) + ")"), Contract: id},
			rule{basis: byUse, divisor: contract.UseDivisor, shape: r.contract.Shape, model: r.poolModel()})
	}
}

// retires reports whether the request retires the contract's floor.
func (r *resolver) retires() bool {
	return contract.Retires(r.contract, r.pool.ID, alliance.ModelID(name(r.in.Model)))
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

func (r *resolver) suspense(rates alliance.Rates, price string) {
	owed := r.t.moneyOf(r.contract)
	k := Key{
		Kind: Suspense, Debit: r.t.held(r.account(contract.Asset, "suspense", r.provider), owed), Credit: r.t.held(r.account(contract.Liability, "suspense", r.provider), owed),
		Asset: owed, Price: price, Terms: r.in.Terms, Period: r.period,
	}
	if r.contract != nil {
		k.Contract = string(r.contract.ID)
	}
	r.flow.suspense = rule{key: k, basis: byRates, divisor: rating.Divisor, rates: rates}
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
