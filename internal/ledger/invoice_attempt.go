package ledger

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
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
	past            usage.Vector // of them, beyond the commitment
	held            bool         // its suspense is open
	month           bool         // it is of the invoice's month
	seen            bool
}

func (a *billed) day() string { return time.Unix(0, a.at).UTC().Format(time.DateOnly) }

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
}

// parts are what accrues for the attempt: its cost, and what it costs on top
// beyond a commitment.
func (a *billed) parts() (list []charged) {
	r := a.owed()
	if r == nil {
		return nil
	}
	list = append(list, charged{r, a.tokens})
	if b := a.flow.beyond; b != nil && !a.past.IsZero() {
		for i := range b.rules {
			if b.rules[i].key.Credit.Kind() == r.key.Credit.Kind() {
				list = append(list, charged{&b.rules[i], a.past})
			}
		}
	}
	return list
}

// booked is what accrued for the attempt, each part rounded down by itself.
func (a *billed) booked() (sum money.Amount) {
	for _, p := range a.parts() {
		sum += floor(p.rule.numerator(p.tokens), p.rule.divisor)
	}
	return sum
}

// charges is what a line claims for the attempt: its amount, or its tokens at
// the price of the intent.
func (a *billed) charges(l *invoice.Line) money.Amount {
	if l.Amount != nil {
		return *l.Amount
	}
	r := a.owed()
	switch {
	case r == nil:
		return 0
	case l.Tokens == a.tokens:
		return a.booked()
	}
	return floor(r.numerator(l.Tokens), r.divisor)
}

func floor(n money.Wide, divisor int64) money.Amount {
	q, _, ok := n.FloorDiv(divisor)
	if !ok {
		return 0
	}
	return money.Amount(q)
}

func (im *importer) line(l *invoice.Line) error {
	im.exact = im.exact || l.Amount != nil
	if l.Credit {
		return im.differ(LateCredit, strconv.Itoa(l.Number), *l.Amount, im.attempts[l.Attempt], im.operatorTerms())
	}
	name := billedName(l)
	again := im.before[name]
	im.before[name] = true
	if l.Attempt == "" {
		return im.aggregate(l, again)
	}
	a := im.attempts[l.Attempt]
	switch {
	case a == nil:
		return im.differ(UnknownAttempt, strconv.Itoa(l.Number), im.unknown(l), nil, im.operatorTerms())
	case again || im.aggregated(a):
		return im.differ(DoubleLine, strconv.Itoa(l.Number), a.charges(l), a, a.flow.suspense.key.Terms)
	case a.held:
		a.seen = true
		return im.differ(MissingUsage, strconv.Itoa(l.Number), a.charges(l), a, a.flow.suspense.key.Terms)
	}
	a.seen = true
	kind := ""
	d := a.charges(l) - a.booked()
	switch {
	case l.Tier != "" && a.tier != "" && l.Tier != a.tier:
		kind = WrongTier
	case l.Tokens != a.tokens && (l.Amount == nil || !l.Tokens.IsZero()):
		kind = UsageDiffers
	case d > RoundingLimit || d < -RoundingLimit:
		kind = PriceDiffers
	}
	im.take(a)
	im.claimed += a.charges(l)
	if kind == "" {
		return nil
	}
	im.apart += d
	return im.differ(kind, strconv.Itoa(l.Number), d, a, a.flow.suspense.key.Terms)
}

// unknown prices a line of an attempt that the journal does not have: its
// amount, or its tokens at the price of the provider's pool that serves the
// model, by the first id; 0 where no pool does.
func (im *importer) unknown(l *invoice.Line) money.Amount {
	if l.Amount != nil {
		return *l.Amount
	}
	day, err := time.Parse(time.DateOnly, l.Day)
	if err != nil {
		day = time.Date(int(im.in.Month/100), time.Month(im.in.Month%100), 1, 0, 0, 0, 0, time.UTC)
	}
	for _, id := range slices.Sorted(maps.Keys(im.terms.pools)) {
		pool := im.terms.pools[id]
		if im.terms.provider(pool) != im.in.Provider {
			continue
		}
		for i := range pool.Models {
			m := &pool.Models[i]
			if string(m.Model) != name(l.Model) && m.UpstreamName != l.Model {
				continue
			}
			if p, ok := im.terms.prices.Cost(pool.ID, m.Model, day); ok {
				rates, _ := im.terms.prices.ByID(p.ID)
				return floor(rating.Numerator(rates, l.Tokens), rating.Divisor)
			}
		}
	}
	return 0
}

// take moves what the books accrued for an attempt to what agrees with the
// invoice.
func (im *importer) take(a *billed) {
	for _, p := range a.parts() {
		im.takePart(a, p.rule, p.tokens)
	}
}

func (im *importer) takePart(a *billed, r *rule, tokens usage.Vector) {
	place := a.pool
	if r.key.Kind == Surcharge { // accrues by interval of the commitment, not by pool
		place = r.key.Debit.Ref()
	}
	k := Key{
		Kind: Invoice, Debit: r.key.Credit, Credit: im.payable(), Asset: r.key.Asset, Price: r.key.Price + "," + place,
		Contract: r.key.Contract, Terms: r.key.Terms, Period: im.b.bookedIn(r.key.Period), Ref: im.in.InvoiceID(),
	}
	m := im.matched[k]
	if m == nil {
		m = &match{divisor: r.divisor, first: a.outcome, last: a.outcome, from: a.at, until: a.at}
		im.matched[k] = m
		im.keys = append(im.keys, k)
	}
	n := r.numerator(tokens)
	m.n, m.tokens = m.n.Add(n), m.tokens.Add(tokens)
	m.first, m.last, m.from, m.until = min(m.first, a.outcome), max(m.last, a.outcome), min(m.from, a.at), max(m.until, a.at)
	m.bytes = appendLine(m.bytes, a.intent, a.outcome, a.attempt, tokens, n)
	if len(m.bytes) > 1<<16 {
		// Fold, so that a large invoice needs no more memory than a small one.
		sum := sha256.Sum256(m.bytes)
		m.bytes = append(m.bytes[:0], sum[:]...)
	}
}
