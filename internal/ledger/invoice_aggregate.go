package ledger

import (
	"strconv"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// aggregate matches one line with the attempts of its model, tier and day.
func (im *importer) aggregate(l *invoice.Line, again bool) error {
	var group []*billed
	var tokens usage.Vector
	booked, held := money.Amount(0), false
	sums := map[*rule]money.Wide{}
	for _, a := range im.groups[l.Day+"/"+l.Model] {
		switch {
		case again || a.seen || l.Tier != "" && a.tier != l.Tier && !a.held:
		case a.held:
			held = true
		default:
			group = append(group, a)
			tokens = tokens.Add(a.tokens)
			for _, p := range a.parts() {
				sums[p.rule] = sums[p.rule].Add(p.rule.numerator(p.tokens))
			}
		}
	}
	for r, n := range sums {
		booked += floor(n, r.divisor)
	}
	place := strconv.Itoa(l.Number)
	if len(group) == 0 {
		kind := UnknownAttempt
		if again {
			kind = DoubleLine
		} else if held {
			kind = MissingUsage
		}
		return im.differ(kind, place, im.unknown(l), nil, im.operatorTerms())
	}
	charged := booked
	switch {
	case l.Amount != nil:
		charged = *l.Amount
	case l.Tokens != tokens:
		charged = group[0].charges(l)
	}
	for _, a := range group {
		a.seen = true
		im.take(a)
	}
	im.claimed += charged
	d, kind := charged-booked, ""
	switch {
	case l.Tokens != tokens && !l.Tokens.IsZero() && held:
		kind = MissingUsage
	case l.Tokens != tokens && (l.Amount == nil || !l.Tokens.IsZero()):
		kind = UsageDiffers
	case d > RoundingLimit || d < -RoundingLimit:
		kind = PriceDiffers
	}
	if kind == "" {
		return nil
	}
	im.apart += d
	// A difference of an aggregate is of no one attempt; the contract is that
	// of the group.
	some := *group[0]
	some.outcome = im.b.head.Last
	return im.differ(kind, place, d, &some, some.flow.suspense.key.Terms)
}

// aggregated reports whether an earlier invoice billed the attempt's day.
func (im *importer) aggregated(a *billed) bool {
	for _, n := range a.names {
		for _, tier := range []string{"", a.tier} {
			if im.before["g/"+a.day()+"/"+tier+"/"+n] {
				return true
			}
		}
	}
	return false
}
