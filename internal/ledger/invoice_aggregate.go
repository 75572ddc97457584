package ledger

import (
	"slices"
	"strconv"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// uneven is an aggregate, or a group that no line bills, whose tokens are not
// those of the books. Two of one period and model that are off by the same
// tokens, one up and one down, are one: the tier is wrong.
type uneven struct {
	line    *invoice.Line // nil: no line bills the group
	list    []*billed     // nil: no attempt stands behind the line
	held    []*billed     // suspense that it may bill
	period  string
	model   string
	delta   usage.Vector // invoice less books
	charged money.Amount
	booked  money.Amount
}

// aggregate matches one line with the attempts of its period, model and tier.
func (im *importer) aggregate(l *invoice.Line, again bool) error {
	u := uneven{line: l, period: l.Period, model: l.Model}
	var billedBefore []*billed
	for _, a := range im.groups[groupOf(l.Period, l.Model)] {
		u.model = a.model()
		switch {
		case a.before, again, a.seen:
			if im.in.ByGroup && tierAgrees(l, a) && (a.before || a.seen) {
				billedBefore = append(billedBefore, a)
			}
		case a.held:
			u.held = append(u.held, a)
		case tierAgrees(l, a):
			u.list = append(u.list, a)
		}
	}
	place := strconv.Itoa(l.Number)
	if len(u.list) == 0 {
		u.charged = im.unknown(l)
		switch {
		case again, len(billedBefore) > 0 && len(u.held) == 0:
			return im.differ(DoubleLine, place, u.charged, im.groupEvidence(billedBefore))
		case len(u.held) > 0 && !im.in.ByGroup:
			return im.differ(MissingUsage, place, u.charged, im.missingUsage(&u, evidenceOf(nil)))
		}
		u.delta = l.Tokens
		im.uneven = append(im.uneven, &u)
		return nil
	}
	var tokens usage.Vector
	u.booked, tokens = bookedOf(u.list)
	u.charged = u.booked
	switch {
	case l.Amount != nil:
		u.charged = *l.Amount
	case l.Tokens != tokens:
		u.charged = im.charges(l, u.list[0])
	}
	u.delta = l.Tokens.Add(tokens.Neg())
	im.takeGroup(u.list)
	im.claimed += u.charged
	if !u.delta.IsZero() && (l.Amount == nil || !l.Tokens.IsZero()) {
		im.uneven = append(im.uneven, &u)
		return nil
	}
	d := u.charged - u.booked
	if !beyondRounding(l, d) {
		return nil
	}
	im.apart += d
	return im.differ(PriceDiffers, place, d, im.groupEvidence(u.list))
}

func tierAgrees(l *invoice.Line, a *billed) bool {
	return l.Tier == "" || l.Tier == a.tier || l.Tier == invoice.TierName(a.tier)
}

func (im *importer) takeGroup(list []*billed) {
	for _, a := range list {
		a.seen = true
		im.take(a)
	}
}

// settleUneven names the aggregates whose tokens are not those of the books,
// in the order of the lines.
func (im *importer) settleUneven() error {
	all := im.uneven
	if im.in.ByGroup && len(all) > 0 {
		all = append(all, im.unbilledGroups()...)
	}
	paired := map[*uneven]bool{}
	for _, u := range im.uneven {
		if paired[u] {
			continue
		}
		if v := opposite(u, all, paired); v != nil && im.in.ByGroup {
			paired[u], paired[v] = true, true
			if err := im.wrongTier(u, v); err != nil {
				return err
			}
			continue
		}
		if err := im.unevenAlone(u); err != nil {
			return err
		}
	}
	return nil
}

// opposite finds what is off by the same tokens the other way.
func opposite(u *uneven, all []*uneven, paired map[*uneven]bool) *uneven {
	for _, v := range all {
		if v != u && !paired[v] && v.period == u.period && v.model == u.model && v.delta == u.delta.Neg() {
			return v
		}
	}
	return nil
}

// wrongTier makes one difference of two aggregates, in the place of the line
// that bills more.
func (im *importer) wrongTier(u, v *uneven) error {
	if u.delta.Total() < v.delta.Total() && v.line != nil || u.line == nil {
		u, v = v, u
	}
	d := u.charged - u.booked + v.charged - v.booked
	for _, x := range [...]*uneven{u, v} {
		switch {
		case x.line == nil: // billed by the other line
			im.takeGroup(x.list)
		case len(x.list) == 0:
			im.claimed += x.charged
		}
	}
	im.apart += d
	return im.differ(WrongTier, strconv.Itoa(u.line.Number), d, im.groupEvidence(append(slices.Clone(u.list), v.list...)))
}

func (im *importer) unevenAlone(u *uneven) error {
	place, d := strconv.Itoa(u.line.Number), u.charged-u.booked
	more := !im.in.ByGroup || u.delta.Total() > 0
	switch {
	case len(u.list) == 0 && len(u.held) == 1:
		// Nothing else can be meant: accepting the line closes the suspense.
		return im.differ(MissingUsage, place, d, evidenceOf(u.held[0]))
	case len(u.list) == 0 && len(u.held) > 1:
		return im.differ(MissingUsage, place, d, im.missingUsage(u, evidenceOf(nil)))
	case len(u.list) == 0:
		return im.differ(UnknownAttempt, place, d, evidenceOf(nil))
	}
	im.apart += d
	if len(u.held) > 0 && more {
		return im.differ(MissingUsage, place, d, im.missingUsage(u, im.groupEvidence(u.list)))
	}
	return im.differ(UsageDiffers, place, d, im.groupEvidence(u.list))
}

// unbilledGroups gathers the attempts that no line bills. One that costs less
// than a micro-unit is of its group like any other: without its tokens the
// group would not be what a line of another tier bills.
func (im *importer) unbilledGroups() (groups []*uneven) {
	of := map[string]*uneven{}
	for _, a := range im.order {
		if !im.unbilled(a) || im.in.Rules < 2 && a.booked() == 0 {
			continue
		}
		k := groupName(a.period(im.grain), a.tier, a.model())
		if of[k] == nil {
			of[k] = &uneven{period: a.period(im.grain), model: a.model()}
			groups = append(groups, of[k])
		}
		of[k].list = append(of[k].list, a)
	}
	for _, u := range groups {
		var tokens usage.Vector
		u.booked, tokens = bookedOf(u.list)
		u.delta = tokens.Neg()
	}
	return groups
}

// groupEvidence cites the attempts of a group. It is about no one attempt,
// unless there is only one.
func (im *importer) groupEvidence(list []*billed) evidence {
	ev := evidenceOf(nil)
	for i, a := range list {
		if i == 0 {
			ev = evidenceOf(a)
		}
		ev.first, ev.last = min(ev.first, a.outcome), max(ev.last, a.outcome)
		ev.from, ev.until = min(ev.from, a.at), max(ev.until, a.at)
	}
	if !im.in.ByGroup && len(list) > 0 {
		ev.first, ev.last = im.b.head.Last, im.b.head.Last
		ev.from, ev.until = list[0].at, list[0].at
	}
	return ev
}
