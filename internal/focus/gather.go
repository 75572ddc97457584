package focus

import (
	"cmp"
	"errors"
	"fmt"
	"math"
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

var (
	meterNames = [meters]string{"Input Tokens", "Cached Input Tokens", "Cache Write Tokens", "Output Tokens", "Reasoning Tokens"}
	meterTypes = [meters]string{"input", "cache_read", "cache_write", "output", "reasoning"}
)

// tokensOf returns the five counts in the order of the meters.
func tokensOf(v usage.Vector) [meters]int64 {
	return [meters]int64{v.UncachedInput, v.CacheRead, v.CacheWrite, v.Output, v.Reasoning}
}

// upTo returns v with the counts of the meters after m set to 0.
func upTo(v usage.Vector, m meter) usage.Vector {
	n := tokensOf(v)
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
	costCredit                         ledger.AccountID
	commitment                         string // id of the commitment that it retires
	note                               string
	booked                             int32 // month that a correction is booked in, as YYYYMM; 0: the hour's own
}

// group gathers the tokens of one row.
type group struct {
	groupKey
	terms            string // hash of the terms of its first line
	tokens, requests int64
	cost, commit     money.Amount // its share of the entries
	inBooks          money.Amount // and of their expense, where the cost is in another currency
	used             money.Wide   // micro-units of capacity
}

// share is what a group adds to one entry of the batch under way, exactly.
type share struct {
	group *group
	n     money.Wide
}

// Suspense counts what may be owed and is not in a row, because it is not
// booked as a cost.
type Suspense struct {
	Attempts int64        `json:"attempts"`
	Estimate money.Amount `json:"estimate"` // of those in the alliance's currency
	Others   []Estimate   `json:"other_currencies,omitempty"`
}

// Estimate is what attempts in suspense may cost in one currency.
type Estimate struct {
	Currency ledger.Asset `json:"currency"`
	Estimate money.Amount `json:"estimate"`
}

// Says renders the estimates with their currencies; own is the alliance's.
func (s *Suspense) Says(own money.Currency) string {
	text := s.Estimate.String() + " " + string(own)
	for _, o := range s.Others {
		text += ", " + o.Estimate.String() + " " + string(o.Currency)
	}
	return text
}

// Books gathers records of the journal and batches of the books, in order,
// and makes datasets of them. It is used by one goroutine.
type Books struct {
	terms  *ledger.Book // for its versions of the terms
	open   map[uint64]record.Record
	groups map[groupKey]*group
	// shares of the batch under way, by the entry that they belong to.
	shares map[ledger.Key][]share
	// pending are the attempts of the batch under way: intent and outcome.
	pending  [][2]record.Record
	others   []ledger.Entry // that no request is behind
	invoiced []invoiced
	// moved is what facts raised and cut of floors.
	moved map[string]money.Amount
	// retired is open commitment used by entries that no request is behind.
	retired map[string]money.Amount
	periods map[periodKey]*periodSpan
	// hours is what was left of the hour's commitment before outcomes of the
	// batch under way that drew on one.
	hours map[uint64]int64
	// suspended counts attempts in suspense; estimates are what they may cost.
	suspended int64
	estimates map[ledger.Asset]money.Amount
	first     int64 // the earliest intent served, nanoseconds
}

// invoiced is an entry by which an invoice became payable, with its place.
type invoiced struct {
	batch  uint64
	number int
	at     int64
	entry  ledger.Entry
}

type periodKey struct {
	month    int32 // YYYYMM
	contract string
}

// periodSpan is when the books first and last learnt of a month.
type periodSpan struct{ created, updated int64 }

// NewBooks returns an empty Books. terms returns the versions of the terms; it
// has recalled all facts of the books.
func NewBooks(terms *ledger.Book) *Books {
	return &Books{
		terms: terms, open: map[uint64]record.Record{}, groups: map[groupKey]*group{},
		shares: map[ledger.Key][]share{}, hours: map[uint64]int64{}, retired: map[string]money.Amount{}, moved: map[string]money.Amount{}, periods: map[periodKey]*periodSpan{}, estimates: map[ledger.Asset]money.Amount{},
	}
}

// Record takes the next record of the journal, all from the first on. The
// batch that holds it must be given next, after its last record.
func (b *Books) Record(r *record.Record) {
	switch {
	case r.Intent != nil:
		b.open[r.Sequence] = *r
	case r.Outcome != nil:
		intent, ok := b.open[r.Outcome.Intent]
		if !ok || intent.Intent.Attempt != r.Outcome.Attempt {
			return // the books hold it as unmatched: it posts nothing
		}
		delete(b.open, r.Outcome.Intent)
		b.pending = append(b.pending, [2]record.Record{intent, *r})
	}
}

// Left says what was left of the hour's commitment before an outcome, as the
// books kept it. It is given before the batch that holds the outcome.
func (b *Books) Left(outcome uint64, left int64) { b.hours[outcome] = left }

// line parts one attempt among rows: the tokens that an hour's commitment
// covers and those beyond it as two, for their costs and prices differ.
func (b *Books) line(intent, outcome *record.Record, entries map[ledger.Key]*ledger.Entry) error {
	left, hourly := b.hours[outcome.Sequence]
	if !hourly {
		return b.whole(intent, outcome, ledger.Lefts{}, true, entries)
	}
	delete(b.hours, outcome.Sequence)
	t, err := b.terms.TermsAt(intent.Intent.Terms, outcome.Sequence)
	if err != nil {
		return err
	}
	line, err := ledger.LineAfter(intent, outcome, t, ledger.Lefts{Hour: &left})
	if err != nil {
		return fmt.Errorf("line of outcome %d: %w", outcome.Sequence, err)
	}
	counts := true
	for i := range line.Postings {
		p := &line.Postings[i]
		if p.Kind != ledger.Cost || p.Tokens == nil {
			continue
		}
		out := *outcome.Outcome
		out.Usage = *p.Tokens
		r := *outcome
		r.Outcome = &out
		room := int64(0) // all of this part is beyond the commitment
		if p.Credit.Kind() == clearingKind {
			room = math.MaxInt64
		}
		if err := b.whole(intent, &r, ledger.Lefts{Hour: &room}, counts, entries); err != nil {
			return err
		}
		counts = false // the request is counted once
	}
	return nil
}

// whole parts one attempt among rows. An entry of a closed month is booked in
// the first open one; entries finds it by the key that its lines have.
func (b *Books) whole(intent, outcome *record.Record, left ledger.Lefts, counts bool, entries map[ledger.Key]*ledger.Entry) error {
	t, err := b.terms.TermsAt(intent.Intent.Terms, outcome.Sequence)
	if err != nil {
		return err
	}
	whole, err := ledger.LineAfter(intent, outcome, t, left)
	if err != nil {
		return fmt.Errorf("line of outcome %d: %w", outcome.Sequence, err)
	}
	if whole.Suspense != "" || len(whole.Postings) == 0 {
		return nil
	}
	s := splitter{left: left, intent: intent, outcome: outcome, terms: t, whole: &whole}
	if p := posting(&whole, ledger.Cost); p != nil {
		if e := entries[p.Key]; e != nil && e.Corrects() != 0 {
			s.booked = e.Period
		}
	}
	tokens := tokensOf(whole.Tokens)
	counted := !counts
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
		if err := b.share(&s, g, m); err != nil {
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
	left            ledger.Lefts
	terms           *ledger.Terms
	whole           *ledger.Line
	before          *ledger.Line // of the tokens up to the meter before
	booked          int32        // month of the entry, where it is not that of the intent
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

// share gives the group the share of the tokens of one meter: what they add to
// the line of the tokens before them. The shares come to the line exactly,
// also where a use of capacity is rounded once per attempt.
func (b *Books) share(s *splitter, g *group, m meter) error {
	out := *s.outcome.Outcome
	out.Usage = upTo(s.whole.Tokens, m)
	now := s.whole
	if out.Usage != s.whole.Tokens {
		r := *s.outcome
		r.Outcome = &out
		line, err := ledger.LineAfter(s.intent, &r, s.terms, s.left)
		if err != nil {
			return err
		}
		now = &line
	}
	for _, kind := range [...]ledger.Kind{ledger.Cost, ledger.Commitment, ledger.Capacity, ledger.Converted} {
		p := posting(now, kind)
		if p == nil {
			continue
		}
		n := p.Numerator
		if q := posting(s.before, kind); q != nil {
			n = n.Add(q.Numerator.Neg())
		}
		if kind == ledger.Capacity {
			g.used = g.used.Add(n)
			continue
		}
		b.shares[p.Key] = append(b.shares[p.Key], share{g, n})
	}
	s.before = now
	return nil
}

// group returns the row that the tokens of one meter belong to.
func (b *Books) group(s *splitter, m meter) (*group, error) {
	in := s.intent.Intent
	at := time.Unix(0, s.intent.At).UTC()
	k := groupKey{
		hour: at.Truncate(time.Hour).UnixNano(), pool: in.Pool, model: in.Model, tier: s.outcome.Outcome.Tier,
		channel: in.Channel, tenant: in.Tenant, meter: m, note: s.whole.Note, booked: s.booked,
	}
	if p := posting(s.whole, ledger.Cost); p != nil {
		k.costCredit, k.contract, k.price = p.Credit, p.Contract, p.Price
		if p.Rates != nil {
			k.rate, k.priced = rateOf(*p.Rates, m), true
		}
	} else if p := posting(s.whole, ledger.Capacity); p != nil {
		k.contract = p.Contract
	}
	if p := posting(s.whole, ledger.Commitment); p != nil {
		k.commitment = p.Debit.Ref()
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

// Batch takes the next batch of the books, after the records that it holds,
// and parts its entries among the rows: to the micro-unit, in the order of
// rows, so that later batches never change an amount.
func (b *Books) Batch(batch *ledger.Batch) error {
	entries := make(map[ledger.Key]*ledger.Entry, len(batch.Entries))
	for i := range batch.Entries {
		entries[batch.Entries[i].LineKey()] = &batch.Entries[i]
	}
	for i := range b.pending {
		if err := b.line(&b.pending[i][0], &b.pending[i][1], entries); err != nil {
			return err
		}
	}
	clear(b.pending)
	b.pending = b.pending[:0]
	fact := batch.First > batch.Last
	for i := range batch.Entries {
		e := &batch.Entries[i]
		if shares := b.shares[e.LineKey()]; len(shares) > 0 && !fact {
			if err := part(e, shares); err != nil {
				return fmt.Errorf("batch %d: %w", batch.Sequence, err)
			}
			delete(b.shares, e.LineKey())
		} else {
			b.other(batch, i, fact)
		}
		b.period(batch.At, e)
	}
	for k := range b.shares {
		return fmt.Errorf("batch %d has no entry for a cost of %s at price %q: run accordo ledger verify", batch.Sequence, k.Debit, k.Price)
	}
	return nil
}

// part gives each share its amount of an entry. The carry begins where the
// entry's did, so amounts come to the entry and the rest to its remainder.
func part(e *ledger.Entry, shares []share) error {
	begin := money.Product(int64(e.Amount), e.Divisor).Add(money.WideOf(e.Remainder))
	for _, s := range shares {
		begin = begin.Add(s.n.Neg())
	}
	q, rest, ok := begin.FloorDiv(e.Divisor)
	if !ok || q != 0 {
		return fmt.Errorf("the requests of %s at price %q do not come to the entry's %s: run accordo ledger verify", e.Debit, e.Price, e.Amount)
	}
	slices.SortStableFunc(shares, func(x, y share) int { return compareGroups(x.group, y.group) })
	carry := money.Carry{Remainder: rest}
	for _, s := range shares {
		amount, ok := carry.Take(s.n, e.Divisor)
		if !ok {
			return fmt.Errorf("entry %s of %s: %w", e.Kind, e.Debit, money.ErrRange)
		}
		switch e.Kind {
		case ledger.Commitment:
			s.group.commit += amount
		case ledger.Converted:
			s.group.inBooks += amount
		default:
			s.group.cost += amount
		}
	}
	return nil
}

// other keeps an entry that no request of the batch is behind.
func (b *Books) other(batch *ledger.Batch, i int, fact bool) {
	e := &batch.Entries[i]
	switch e.Kind {
	case ledger.TrueUp:
		b.moved[e.Debit.Ref()] += e.Amount
	case ledger.TrueDown:
		b.moved[e.Debit.Ref()] -= e.Amount
	case ledger.Commitment:
		b.retired[e.Debit.Ref()] += e.Amount
	case ledger.Suspense:
		b.estimates[e.Asset] += e.Amount
		if b.suspended++; fact { // a fact closes it
			b.suspended -= 2
		}
	case ledger.Cost, ledger.Fee, ledger.LateDelivery, ledger.Unused, ledger.Shortfall, ledger.Surcharge, ledger.Marketplace, ledger.Discount, ledger.Forfeiture, ledger.Prepayment, ledger.Overage, ledger.Difference:
		if e.Amount != 0 {
			b.others = append(b.others, *e)
		}
	}
	if (e.Kind == ledger.Invoice || e.Kind == ledger.Difference) && e.Credit.Kind() == payableKind && e.Amount != 0 {
		b.invoiced = append(b.invoiced, invoiced{batch.Sequence, i + 1, batch.At, *e})
	}
}

// period notes when the books learnt of a month's costs.
func (b *Books) period(at int64, e *ledger.Entry) {
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

// sorted returns the groups in the order of the rows: by hour first.
func (b *Books) sorted() []*group {
	list := make([]*group, 0, len(b.groups))
	for _, g := range b.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, compareGroups)
	return list
}

func compareGroups(x, y *group) int {
	return cmp.Or(
		cmp.Compare(x.hour, y.hour), cmp.Compare(x.pool, y.pool), cmp.Compare(x.model, y.model), cmp.Compare(x.tier, y.tier),
		cmp.Compare(x.channel, y.channel), cmp.Compare(x.tenant, y.tenant), cmp.Compare(x.meter, y.meter),
		cmp.Compare(x.contract, y.contract), cmp.Compare(x.price, y.price), cmp.Compare(x.rate, y.rate), cmp.Compare(x.list, y.list),
		cmp.Compare(x.costCredit, y.costCredit), cmp.Compare(x.commitment, y.commitment), cmp.Compare(x.note, y.note), cmp.Compare(x.booked, y.booked))
}
