package ledger

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
)

// line matches one line.
func (im *importer) line(l *invoice.Line) error {
	im.exact = im.exact || l.Amount != nil
	place := strconv.Itoa(l.Number)
	switch l.Kind {
	case invoice.Credit:
		return im.differ(LateCredit, place, *l.Amount, evidenceOf(im.attempts[l.Attempt]))
	case invoice.Levy:
		return im.differ(Tax, place, *l.Amount, evidenceOf(nil))
	case invoice.Other:
		return im.differ(UnknownCharge, place, *l.Amount, evidenceOf(nil))
	}
	if l.Kind.Contractual() {
		return im.charge(l, place)
	}
	if l.Again {
		return im.differ(DoubleLine, place, im.charges(l, im.attempts[l.Attempt]), evidenceOf(im.attempts[l.Attempt]))
	}
	name := billedName(l)
	again := im.before[name]
	im.before[name] = true
	if l.Attempt == "" {
		return im.aggregate(l, again)
	}
	return im.attempt(l, place, again)
}

// attempt matches a line that names one.
func (im *importer) attempt(l *invoice.Line, place string, again bool) error {
	a := im.attempts[l.Attempt]
	switch {
	case a == nil:
		return im.differ(UnknownAttempt, place, im.unknown(l), evidenceOf(nil))
	case again || a.before || a.seen || im.aggregated(a):
		return im.differ(DoubleLine, place, im.charges(l, a), evidenceOf(a))
	case a.held:
		a.seen = true
		return im.differ(MissingUsage, place, im.charges(l, a), evidenceOf(a))
	}
	a.seen = true
	if a.flow.hourly != nil && l.Tokens == a.used { // the line states what is covered, too
		own := *l
		own.Tokens = a.tokens
		l = &own
	}
	booked := a.booked()
	d, kind := im.charges(l, a)-booked, ""
	switch {
	case l.Tier != "" && a.tier != "" && l.Tier != a.tier:
		kind = WrongTier
	case l.Tokens != a.tokens && (l.Amount == nil || !l.Tokens.IsZero()):
		kind = UsageDiffers
	case beyondRounding(l, d):
		kind = PriceDiffers
	}
	im.take(a)
	im.claimed += booked + d
	if kind == "" {
		return nil
	}
	im.apart += d
	return im.differ(kind, place, d, evidenceOf(a))
}

// beyondRounding reports whether rounding the rows of a line cannot explain a
// difference.
func beyondRounding(l *invoice.Line, d money.Amount) bool {
	limit := money.Amount(invoice.RoundingLimit * max(1, len(l.Rows)))
	return d > limit || d < -limit
}

// charges is what a line claims for an attempt: its amount, or its tokens at
// the price of the intent.
func (im *importer) charges(l *invoice.Line, a *billed) money.Amount {
	switch {
	case l.Amount != nil:
		return *l.Amount
	case a == nil:
		return im.unknown(l)
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

// unknown prices a line of an attempt that the journal does not have: its
// amount, or its tokens at the price of the provider's pool that serves the
// model, by the first id; 0 where no pool does.
func (im *importer) unknown(l *invoice.Line) money.Amount {
	if l.Amount != nil {
		return *l.Amount
	}
	day, err := time.Parse(time.DateOnly, l.Period)
	if err != nil {
		day = monthStart(im.in.Month)
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
