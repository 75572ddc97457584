package ledger

import (
	"slices"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/usage"
)

// What was served and no invoice bills is a missing line, of an attempt or of
// a group of them. It takes back what accrued; so each attempt is named once
// while that is open, and what a later invoice bills is not written off.

// missing names the attempts that were served in the month and are on no
// invoice.
func (im *importer) missing() error {
	for _, a := range im.order {
		if im.unbilled(a) && a.booked() != 0 {
			if err := im.differ(MissingLine, "o"+strconv.FormatUint(a.outcome, 10), -a.booked(), evidenceOf(a)); err != nil {
				return err
			}
		}
	}
	return nil
}

// missingGroups names the groups that no line bills.
func (im *importer) missingGroups() error {
	for _, u := range im.unbilledGroups() {
		if u.booked == 0 {
			continue // nobody owes anything for it
		}
		place := invoice.GroupPlace(u.period, u.list[0].outcome, u.list[len(u.list)-1].outcome)
		if err := im.differ(MissingLine, place, -u.booked, im.groupEvidence(u.list)); err != nil {
			return err
		}
	}
	return nil
}

// unbilled reports whether an attempt was served for money and no line bills it.
func (im *importer) unbilled(a *billed) bool {
	return a.month && !a.before && !a.seen && !a.held && !a.named && !a.tokens.IsZero() && a.owed() != nil && !im.aggregated(a)
}

// missingBefore marks what open differences of earlier invoices name: by the
// rules before 1 it was named again.
func (im *importer) missingBefore() {
	if im.in.Rules < 1 {
		return
	}
	for id, e := range im.b.differences {
		if DifferenceKind(&e) != MissingLine || providerOf(&e) != im.in.Provider {
			continue
		}
		_, place, _ := strings.Cut(id, ".")
		for _, a := range im.placed(place) {
			a.named = true
		}
	}
}

// placed are the attempts that the place of a missing line names: nobody where
// they are of another month.
func (p *provided) placed(place string) (list []*billed) {
	g, first, last, group := invoice.ParsePlace(place)
	if !group {
		first = attemptPlace(place)
		last = first
	}
	i, ok := slices.BinarySearchFunc(p.order, first, func(a *billed, n uint64) int { return int(int64(a.outcome) - int64(n)) })
	if !ok {
		return nil
	}
	if of := p.order[i]; group {
		for _, a := range p.order[i:] {
			if a.outcome <= last && a.period(g) == of.period(g) && a.model() == of.model() && a.tier == of.tier && !a.held {
				list = append(list, a)
			}
		}
		return list
	}
	return p.order[i : i+1]
}

// attemptPlace is the outcome of the one attempt that a place names, 0 for
// none.
func attemptPlace(place string) uint64 {
	number, ok := strings.CutPrefix(place, "o")
	outcome, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return outcome
}

// writeOff takes the cost back of groups whose missing line was accepted.
func (p *provided) writeOff() {
	for place := range p.b.writtenOffGroups {
		for _, a := range p.placed(place) {
			a.tokens, a.past = usage.Vector{}, usage.Vector{}
		}
	}
}

// since passes every line of the provider's invoices in the currency of a
// difference that came after its own.
func (p *factPosting) since(e *Entry, each func(v *InvoiceImported, l *invoice.Line) error) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	id, _, _ := strings.Cut(e.Ref, ".")
	of := slices.IndexFunc(p.b.invoices, func(v *InvoiceImported) bool { return v.InvoiceID() == id })
	for i, v := range p.b.invoices {
		if i <= of || v.Provider != p.b.invoices[of].Provider {
			continue
		}
		later, err := p.invoice(v)
		if err != nil {
			return err
		}
		if t.elsewhere(v, later, e.Asset) {
			continue
		}
		for j := range later.Lines {
			if err := each(v, &later.Lines[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// chargedSince refuses to write off a charge that a later invoice bills.
func (p *factPosting) chargedSince(e *Entry) error {
	id, place, _ := strings.Cut(e.Ref, ".")
	kind, what, _ := invoice.ParseChargePlace(place)
	of := p.b.invoiceOf(id)
	return p.since(e, func(v *InvoiceImported, l *invoice.Line) error {
		if v.Month == of.Month && l.Kind == kind && (l.Contract == what || l.Pool == what || l.Contract+l.Pool == "") {
			return refuse("invoice %s bills the %s of %s in line %d: reject the difference", v.InvoiceID(), kind, what, l.Number)
		}
		return nil
	})
}

// billedSince refuses to write off attempts that a later invoice bills. Before
// the rules 1 of the invoice that left them out nobody asked.
func (p *factPosting) billedSince(e *Entry) error {
	id, place, _ := strings.Cut(e.Ref, ".")
	of := p.b.invoiceOf(id)
	if of == nil || of.Rules < 1 {
		return nil
	}
	m := provided{b: p.b, evidence: &p.evidence, provider: of.Provider, month: of.Month, asset: e.Asset, before: map[string]bool{}}
	err := p.since(e, func(_ *InvoiceImported, l *invoice.Line) error {
		if l.Kind == invoice.Use {
			m.before[billedName(l)] = true
		}
		return nil
	})
	if err != nil || len(m.before) == 0 {
		return err
	}
	if err := m.read(); err != nil {
		return err
	}
	for _, a := range m.placed(place) {
		if a.before {
			return refuse("a later invoice bills attempt %s, which is not missing any more: reject the difference", a.attempt)
		}
	}
	return nil
}
