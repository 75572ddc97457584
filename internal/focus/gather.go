package focus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// MaxGroups bounds the rows that one export keeps in memory.
const MaxGroups = 2_000_000

// ErrTooMany reports books whose rows pass MaxGroups.
var ErrTooMany = errors.New("too many rows for one export")

// meter is one of the five kinds of token, in the order of usage.Vector.
type meter uint8

const meters = 5

var meterNames = [meters]string{"Input Tokens", "Cached Input Tokens", "Cache Write Tokens", "Output Tokens", "Reasoning Tokens"}
var meterTypes = [meters]string{"input", "cache_read", "cache_write", "output", "reasoning"}

// counts returns the five counts in the order of the meters.
func counts(v usage.Vector) [meters]int64 {
	return [meters]int64{v.UncachedInput, v.CacheRead, v.CacheWrite, v.Output, v.Reasoning}
}

// upTo returns v with the counts of the meters after m set to 0.
func upTo(v usage.Vector, m meter) usage.Vector {
	n := counts(v)
	for i := int(m) + 1; i < meters; i++ {
		n[i] = 0
	}
	return usage.Vector{UncachedInput: n[0], CacheRead: n[1], CacheWrite: n[2], Output: n[3], Reasoning: n[4]}
}

// groupKey is what the tokens of one row have in common.
type groupKey struct {
	hour                               int64 // start of the hour of the intent, nanoseconds since 1970 UTC
	pool, model, tier, channel, tenant string
	meter                              meter
	contract, price                    string
	listed, priced                     bool         // whether list and rate are known
	list, rate                         money.Amount // micro-units per million tokens
	costKey, commitKey                 ledger.CarryKey
	note                               string
}

// group gathers the tokens of one row.
type group struct {
	groupKey
	terms              string // hash of the terms of its first line
	tokens, requests   int64
	cost, commit, used money.Wide // exact numerators; used in micro-units of capacity
}

// Suspense counts what may be owed and is not in a row, because it is not
// booked as a cost.
type Suspense struct {
	Attempts int64        `json:"attempts"`
	Estimate money.Amount `json:"estimate"`
}

// Books gathers records of the journal and entries of the books, in order,
// and makes datasets of them. It is used once.
type Books struct {
	terms  *ledger.Book // for its versions of the terms
	open   map[uint64]record.Record
	groups map[groupKey]*group
	// accrued is what the entries say that rows must come to, by accounts and price.
	accrued  map[ledger.CarryKey]money.Amount
	others   []other
	periods  map[periodKey]*periodSpan
	suspense Suspense
	first    int64 // the earliest intent served, nanoseconds
}

// other is an entry that no request is behind: a fee, unused capacity, a
// shortfall, a correction.
type other struct {
	at    int64
	entry ledger.Entry
}

type periodKey struct {
	month    int32 // YYYYMM
	contract string
}

// periodSpan is when the books first and last learnt of a month.
type periodSpan struct{ created, updated int64 }

// NewBooks returns an empty Books. terms returns the version of the terms that
// has a hash.
func NewBooks(terms *ledger.Book) *Books {
	return &Books{
		terms: terms, open: map[uint64]record.Record{}, groups: map[groupKey]*group{},
		accrued: map[ledger.CarryKey]money.Amount{}, periods: map[periodKey]*periodSpan{},
	}
}

// Record takes the next record of the journal. The records given must be
// those that the entries given were posted from, all from the first on:
// rounding carries from row to row as it does from entry to entry.
func (b *Books) Record(r *record.Record) error {
	switch {
	case r.Intent != nil:
		b.open[r.Sequence] = *r
	case r.Outcome != nil:
		intent, ok := b.open[r.Outcome.Intent]
		if !ok || intent.Intent.Attempt != r.Outcome.Attempt {
			return nil // the books hold it as unmatched: it posts nothing
		}
		delete(b.open, r.Outcome.Intent)
		return b.line(&intent, r)
	}
	return nil
}

func (b *Books) line(intent, outcome *record.Record) error {
	t, err := b.terms.Terms(intent.Intent.Terms)
	if err != nil {
		return err
	}
	whole, err := ledger.LineOf(intent, outcome, t)
	if err != nil {
		return fmt.Errorf("line of outcome %d: %w", outcome.Sequence, err)
	}
	switch {
	case whole.Suspense != "":
		b.suspense.Attempts++
		for i := range whole.Postings {
			b.suspense.Estimate += whole.Postings[i].Amount()
		}
		return nil
	case len(whole.Postings) == 0:
		return nil
	}
	s := splitter{intent: intent, outcome: outcome, terms: t, whole: &whole}
	tokens := counts(whole.Tokens)
	counted := false
	for m := range meter(meters) {
		if tokens[m] == 0 {
			continue
		}
		g, err := b.group(&s, m)
		if err != nil {
			return err
		}
		g.tokens += tokens[m]
		if !counted {
			g.requests++
			counted = true
		}
		if err := s.add(g, m); err != nil {
			return err
		}
	}
	if b.first == 0 || intent.At < b.first {
		b.first = intent.At
	}
	return nil
}

// splitter parts the postings of one line by kind of token.
type splitter struct {
	intent, outcome *record.Record
	terms           *ledger.Terms
	whole           *ledger.Line
	before          *ledger.Line // of the tokens up to the meter before
}

// posting returns the posting of a kind, or nil.
func posting(l *ledger.Line, k ledger.Kind) *ledger.Posting {
	if l == nil {
		return nil
	}
	for i := range l.Postings {
		if l.Postings[i].Kind == k {
			return &l.Postings[i]
		}
	}
	return nil
}

// add gives the group the share of the tokens of one meter: what they add to
// the line of the tokens before them. The shares come to the line exactly,
// also where a use of capacity is rounded once per attempt.
func (s *splitter) add(g *group, m meter) error {
	out := *s.outcome.Outcome
	out.Usage = upTo(s.whole.Tokens, m)
	now := s.whole
	if out.Usage != s.whole.Tokens {
		r := *s.outcome
		r.Outcome = &out
		line, err := ledger.LineOf(s.intent, &r, s.terms)
		if err != nil {
			return err
		}
		now = &line
	}
	for _, part := range [...]struct {
		kind ledger.Kind
		to   *money.Wide
	}{{ledger.Cost, &g.cost}, {ledger.Commitment, &g.commit}, {ledger.Capacity, &g.used}} {
		p := posting(now, part.kind)
		if p == nil {
			continue
		}
		share := p.Numerator
		if q := posting(s.before, part.kind); q != nil {
			share = share.Add(q.Numerator.Neg())
		}
		*part.to = part.to.Add(share)
	}
	s.before = now
	return nil
}

func carryOf(p *ledger.Posting) ledger.CarryKey {
	return ledger.CarryKey{Debit: p.Debit, Credit: p.Credit, Price: p.Price, Divisor: p.Divisor}
}

// group returns the row that the tokens of one meter belong to.
func (b *Books) group(s *splitter, m meter) (*group, error) {
	in := s.intent.Intent
	at := time.Unix(0, s.intent.At).UTC()
	k := groupKey{
		hour: at.Truncate(time.Hour).UnixNano(), pool: in.Pool, model: in.Model, tier: s.outcome.Outcome.Tier,
		channel: in.Channel, tenant: in.Tenant, meter: m, note: s.whole.Note,
	}
	if p := posting(s.whole, ledger.Cost); p != nil {
		k.costKey, k.contract, k.price = carryOf(p), p.Contract, p.Price
		if p.Rates != nil {
			k.rate, k.priced = rateOf(*p.Rates, m), true
		}
	} else if p := posting(s.whole, ledger.Capacity); p != nil {
		k.contract = p.Contract
	}
	if p := posting(s.whole, ledger.Commitment); p != nil {
		k.commitKey = carryOf(p)
	}
	k.list, k.listed = listRate(s.terms, in, at, m)
	// A new version of the terms splits rows of an hour only where a price differs.
	if g := b.groups[k]; g != nil {
		return g, nil
	}
	if len(b.groups) >= MaxGroups {
		return nil, fmt.Errorf("%w: %d are the most that fit in memory at once", ErrTooMany, MaxGroups)
	}
	g := &group{groupKey: k, terms: in.Terms}
	b.groups[k] = g
	return g, nil
}

// Entry takes the next entry of the books with the time of its batch.
func (b *Books) Entry(at int64, e *ledger.Entry) {
	switch e.Kind {
	case ledger.Cost, ledger.Commitment:
		b.accrued[ledger.CarryKey{Debit: e.Debit, Credit: e.Credit, Price: e.Price, Divisor: e.Divisor}] += e.Amount
	case ledger.Sale, ledger.Wholesale, ledger.Tokens, ledger.Capacity, ledger.Suspense, ledger.Opening:
	default:
		if e.Asset.IsCurrency() && !e.Asset.IsCommitment() {
			b.others = append(b.others, other{at, *e})
		}
	}
	if e.Kind != ledger.Cost {
		return
	}
	k := periodKey{e.Period, e.Contract}
	span := b.periods[k]
	if span == nil {
		span = &periodSpan{created: at}
		b.periods[k] = span
	}
	span.updated = max(span.updated, at)
}

// sorted returns the groups in the order of the rows: by hour first, so that
// what is served later does not change the rounding of earlier rows.
func (b *Books) sorted() []*group {
	list := make([]*group, 0, len(b.groups))
	for _, g := range b.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(x, y *group) int {
		return cmp.Or(
			cmp.Compare(x.hour, y.hour), cmp.Compare(x.pool, y.pool), cmp.Compare(x.model, y.model), cmp.Compare(x.tier, y.tier),
			cmp.Compare(x.channel, y.channel), cmp.Compare(x.tenant, y.tenant), cmp.Compare(x.meter, y.meter),
			cmp.Compare(x.contract, y.contract), cmp.Compare(x.price, y.price), cmp.Compare(x.rate, y.rate), cmp.Compare(x.list, y.list),
			cmp.Compare(x.costKey.Credit, y.costKey.Credit), cmp.Compare(x.costKey.Divisor, y.costKey.Divisor),
			cmp.Compare(x.commitKey.Debit, y.commitKey.Debit), cmp.Compare(x.note, y.note))
	})
	return list
}
