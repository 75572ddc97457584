package ledger

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Usage beyond a commitment is booked at the contract's price like all other,
// and what it costs on top of that as a surcharge. The split follows the order
// of the journal: what is open of the commitment is known exactly, remainders
// of rounding included, so it does not depend on where batches are cut. The
// commitment ends within a token, which is still inside.

// beyond is what usage of a flow costs once its interval's commitment is used up.
type beyond struct {
	rules []rule         // the surcharge
	burn  alliance.Rates // at which usage retires the commitment
	used  AccountID      // that counts what retired it
	turn  Key            // of entries that cite where it was used up
	floor money.Amount   // by the terms, before facts raised or cut it
}

// The refs of a turn.
const (
	turnPassed = "passed" // used up by this outcome: its Tokens are what was still inside
	turnWithin = "within" // open again from this outcome on
	turnLate   = "late"   // of this outcome alone, whose suspense a fact closed: its Tokens are inside
)

// overflows reports whether a provider that named the tier served beyond a
// throughput reservation.
func (f *flow) overflows(tier string) bool { return contract.Overflowed(f.contract, tier) }

// beyond resolves what the request costs beyond the commitment that it retires.
func (r *resolver) beyond() {
	price := r.t.costs[alliance.PriceID(r.in.CostPrice)]
	floor, ok := contract.FloorAt(r.contract, r.at)
	rates, named, dearer := contract.OveragePrice(r.contract, price)
	if !ok || !dearer || !r.retires() {
		return
	}
	b := &beyond{burn: contract.RetiringRates(r.contract, price), floor: floor.Amount}
	for _, leg := range contract.Legs(r.contract, r.pool.BilledBy, contract.CommitTurned) {
		b.turn = Key{
			Kind: Turn, Debit: interval(r.t, leg.Debit, r.contract, floor), Credit: interval(r.t, leg.Credit, r.contract, floor),
			Asset: commitAsset(r.t, r.contract), Contract: string(r.contract.ID), Terms: r.in.Terms, Period: r.period,
		}
	}
	for i := range r.flow.served {
		if k := r.flow.served[i].key; k.Kind == Commitment {
			b.used = k.Debit
		}
	}
	whole := r.flow.served
	r.flow.served = nil
	for _, leg := range contract.Legs(r.contract, r.pool.BilledBy, contract.UsageBeyond) {
		r.add(Key{
			Kind: Surcharge, Debit: interval(r.t, leg.Debit, r.contract, floor), Credit: r.ref(leg.Credit),
			Asset: r.currency(), Price: named, Contract: string(r.contract.ID),
		}, rule{basis: byRates, divisor: rating.Divisor, rates: less(rates, rating.Cost(price))})
	}
	b.rules, r.flow.served = r.flow.served, whole
	if b.used != "" && len(b.rules) > 0 {
		r.flow.beyond = b
	}
}

// less is what one price is above another, for each kind of token.
func less(a, b alliance.Rates) alliance.Rates {
	return alliance.Rates{
		Input: a.Input - b.Input, CacheRead: a.CacheRead - b.CacheRead, CacheWrite: a.CacheWrite - b.CacheWrite,
		Output: a.Output - b.Output, Reasoning: a.Reasoning - b.Reasoning,
	}
}

// overflow resolves how a request is posted that was served beyond a
// throughput reservation: no fee pays for it.
func (r *resolver) overflow() {
	rates, named, ok := contract.Overflow(r.contract, r.t.costs[alliance.PriceID(r.in.CostPrice)])
	if !ok {
		return
	}
	reserved := r.flow
	r.flow = &flow{from: reserved.from, until: reserved.until, suspense: reserved.suspense, contract: r.contract}
	for _, leg := range contract.Legs(r.contract, r.pool.BilledBy, contract.UsageBeyond) {
		r.add(Key{Kind: Cost, Debit: r.ref(leg.Debit), Credit: r.ref(leg.Credit), Asset: r.currency(), Price: named, Contract: string(r.contract.ID)},
			rule{basis: byRates, divisor: rating.Divisor, rates: rates})
	}
	r.complete()
	reserved.overflow, reserved.contract, r.flow = r.flow, r.contract, reserved
}

// split returns the part of u that a commitment of room still covers, kind of
// token by kind. room is a numerator over rating.Divisor at the prices burn.
func split(u usage.Vector, burn alliance.Rates, room money.Wide) (inside usage.Vector) {
	take := func(n int64, rate money.Amount) int64 {
		if room.Sign() <= 0 {
			return 0
		}
		if rate <= 0 {
			return n
		}
		fits, _, ok := room.Add(money.WideOf(int64(rate) - 1)).FloorDiv(int64(rate))
		if ok {
			n = min(n, fits)
		}
		room = room.Add(money.Product(int64(rate), n).Neg())
		return n
	}
	inside.UncachedInput = take(u.UncachedInput, burn.Input)
	inside.CacheRead = take(u.CacheRead, burn.CacheRead)
	inside.CacheWrite = take(u.CacheWrite, burn.CacheWrite)
	inside.Output = take(u.Output, burn.Output)
	inside.Reasoning = take(u.Reasoning, burn.Reasoning)
	return inside
}

// room is what is open of the commitment before a record of this batch,
// exactly: a numerator over rating.Divisor.
func (p *posting) room(b *beyond) money.Wide {
	used, ok := p.used[b.used]
	if !ok {
		used = p.b.exactly(b.used)
		if p.used == nil {
			p.used = map[AccountID]money.Wide{}
		}
		p.used[b.used] = used
	}
	for _, s := range p.touched {
		if s.key.Debit == b.used {
			used = used.Add(s.numerator)
		}
	}
	return money.Product(int64(b.floor+p.b.adjusted(b.used)), rating.Divisor).Add(used.Neg())
}

// exactly is a balance of use with the remainders of its prices.
func (b *Book) exactly(a AccountID) money.Wide {
	n := money.Product(int64(b.balances[a].Amount), rating.Divisor)
	for k, rest := range b.carries {
		if k.Debit == a && k.Divisor == rating.Divisor {
			n = n.Add(money.WideOf(rest))
		}
	}
	return n
}

// turned keeps where commitments were used up, in the order of the journal:
// entries of one batch stand in that of their keys.
func (b *Book) turned(e *Entry) {
	if e.Kind != Turn {
		return
	}
	list := append(b.turns[e.Debit.Ref()], *e)
	slices.SortFunc(list, func(x, y Entry) int { return cmp.Compare(x.First, y.First) })
	b.turns[e.Debit.Ref()] = list
}

// passed reports whether the commitment of an interval is used up so far, this
// batch included.
func (p *posting) passed(ref string) bool {
	for i := len(p.alone) - 1; i >= 0; i-- {
		if e := &p.alone[i].Entry; e.Kind == Turn && e.Debit.Ref() == ref {
			return e.Ref == turnPassed
		}
	}
	turns := p.b.turns[ref]
	for i := len(turns) - 1; i >= 0; i-- {
		if turns[i].Ref != turnLate {
			return turns[i].Ref == turnPassed
		}
	}
	return false
}

// surcharge books what an outcome costs beyond the commitment, and cites it
// where the commitment ends or opens again. It comes before the outcome's own
// entries, which retire the commitment.
func (p *posting) surcharge(f *postedFlow, attempt record.AttemptID, at int64, r *record.Record) {
	b, u := f.beyond, r.Outcome.Usage
	inside := split(u, b.burn, p.room(b))
	was := p.passed(b.used.Ref())
	switch over := inside != u; {
	case over && (!was || !inside.IsZero()):
		p.alone = append(p.alone, b.turnAt(turnPassed, inside, citation{r.Outcome.Intent, r.Sequence, attempt, at}))
	case !over && was && !u.IsZero():
		p.alone = append(p.alone, b.turnAt(turnWithin, u, citation{r.Outcome.Intent, r.Sequence, attempt, at}))
	}
	rest := u.Add(inside.Neg())
	if rest.IsZero() {
		return
	}
	for i, s := range f.past {
		p.add(s, b.rules[i].numerator(rest), rest, attempt, at, r)
	}
}

// turnAt makes the entry of a turn: it moves nothing and cites an outcome.
func (b *beyond) turnAt(how string, inside usage.Vector, c citation) unrounded {
	k := b.turn
	k.Ref = how
	return unrounded{Entry: Entry{
		Key: k, Divisor: 1, Tokens: inside, First: c.outcome, Last: c.outcome, From: c.at, Until: c.at,
		Digest: sha256.Sum256(appendLine(nil, c.intent, c.outcome, c.attempt, inside, money.Wide{})),
	}}
}

// lateSurcharge books what an attempt costs beyond the commitment whose
// suspense a fact closes: it retires what is open now.
func (p *factPosting) lateSurcharge(b *beyond, u usage.Vector, c citation) {
	inside := split(u, b.burn, p.room(b))
	rest := u.Add(inside.Neg())
	if rest.IsZero() && len(p.b.turns[b.used.Ref()]) == 0 {
		return
	}
	late := b.turnAt(turnLate, inside, c)
	late.Key = p.b.place(late.Key)
	p.list = append(p.list, late)
	if rest.IsZero() {
		return
	}
	for i := range b.rules {
		p.add(b.rules[i].key, b.rules[i].divisor, b.rules[i].numerator(rest), rest, c)
	}
}

// inside returns the part of an outcome's tokens that an interval's commitment
// covered.
func (b *Book) inside(ref string, outcome uint64, u usage.Vector) usage.Vector {
	covered := u
	for i := range b.turns[ref] {
		switch e := &b.turns[ref][i]; {
		case e.Ref == turnLate:
			if e.First == outcome {
				return e.Tokens
			}
		case e.First > outcome:
		case e.Ref == turnWithin:
			covered = u
		case e.First == outcome:
			covered = e.Tokens
		default:
			covered = usage.Vector{}
		}
	}
	return covered
}

// IsSurcharge reports whether an entry is what usage beyond a commitment costs
// on top: as it is owed, or converted into the alliance's currency.
func IsSurcharge(e *Entry) bool {
	return e.Kind == Surcharge || e.Kind == Converted && e.Debit.Kind() == "overage"
}

// MayBeyond reports whether an entry is a surcharge that a line of its batch
// may be part of: it retired the same commitment at the same price, not before
// the outcome within which the commitment ended.
func MayBeyond(e *Entry, l *Line) bool {
	if !IsSurcharge(e) || e.Lines == 0 || l.Outcome < e.First || l.Outcome > e.Last {
		return false
	}
	base, _, _ := strings.Cut(e.Price, "+")
	for i := range l.Postings {
		if p := &l.Postings[i]; p.Kind == Commitment && (p.Debit.Ref() == e.Debit.Ref() || e.Debit.Kind() == exchangeKind && p.Contract == e.Contract) && p.Price == base && p.Terms == e.Terms && p.Period == e.LineKey().Period {
			return true
		}
	}
	return false
}

// Beyond turns the line of an attempt into its line in a surcharge: tokens are
// those beyond the commitment. It reports false when the terms have no such
// surcharge.
func Beyond(l *Line, intent *record.Record, t *Terms, e *Entry, tokens usage.Vector) bool {
	f := t.flow(intent.Intent, intent.At, l.Outcome)
	if f.beyond == nil {
		return false
	}
	for i := range f.beyond.rules {
		if r := &f.beyond.rules[i]; r.key == e.LineKey() {
			l.Tokens, l.Postings = tokens, []Posting{r.posting(r.key, tokens)}
			return true
		}
	}
	return false
}
