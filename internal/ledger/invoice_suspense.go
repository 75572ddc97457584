package ledger

import (
	"maps"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/invoice"
)

// An aggregate that bills attempts in suspense says what all of them cost, not
// each. Accepting it books that amount as cost and takes the suspense of all of
// them back; while it is open none of them is closed alone, so nothing is
// counted twice.

// heldEvidence cites the attempts in suspense that an aggregate may bill, and
// by which period and model they are found again.
func (im *importer) heldEvidence(l *invoice.Line, held []*billed) evidence {
	ev := evidenceOf(held[0])
	for _, a := range held {
		ev.first, ev.last = min(ev.first, a.outcome), max(ev.last, a.outcome)
		ev.from, ev.until = min(ev.from, a.at), max(ev.until, a.at)
	}
	ev.price = groupOf(l.Period, l.Model)
	return ev
}

// missingUsage is what a difference of an aggregate that bills attempts in
// suspense cites: before the rules 1, what it cited otherwise.
func (im *importer) missingUsage(u *uneven, otherwise evidence) evidence {
	if im.in.Rules < 1 {
		return otherwise
	}
	return im.heldEvidence(u.line, u.held)
}

// standsFor reports whether a difference about usage that is missing stands
// for the suspense of an attempt.
func (p *factPosting) standsFor(e *Entry, held *held) bool {
	if e.Price == "" {
		return e.First == held.outcome && e.Last == held.outcome
	}
	if held.outcome < e.First || held.outcome > e.Last || held.provider != providerOf(e) || held.asset != e.Asset {
		return false
	}
	period, model, _ := strings.Cut(e.Price, "/")
	return invoice.PeriodOf(held.at, invoice.GrainOf(period)) == period && slices.Contains(held.names, model)
}

// held is an attempt in suspense as an invoice may name it.
type held struct {
	SuspenseClosed
	outcome  uint64
	at       int64
	provider string
	asset    Asset
	names    []string
}

// heldAt reads the attempt whose suspense an outcome opened.
func (p *factPosting) heldAt(outcome uint64) (*held, error) {
	out, err := p.evidence.record(outcome)
	if err != nil {
		return nil, err
	}
	if out.Outcome == nil {
		return nil, refuse("record %d is no outcome", outcome)
	}
	intent, err := p.evidence.record(out.Outcome.Intent)
	if err != nil {
		return nil, err
	}
	in := intent.Intent
	if in == nil {
		return nil, refuse("record %d is no intent", out.Outcome.Intent)
	}
	h := &held{outcome: outcome, at: intent.At, names: []string{name(in.Model), in.Model}}
	h.SuspenseClosed = SuspenseClosed{Attempt: in.Attempt, Intent: intent.Sequence, Outcome: outcome, By: ByWaiver}
	t, err := p.b.Terms(in.Terms)
	if err != nil {
		return nil, err
	}
	pool := t.pools[alliance.PoolID(in.Pool)]
	if pool == nil {
		return h, nil
	}
	h.provider, h.asset = t.provider(pool), t.moneyOf(t.contracts[pool.Contract])
	for i := range pool.Models {
		if m := &pool.Models[i]; string(m.Model) == name(in.Model) && m.UpstreamName != "" {
			h.names = append(h.names, m.UpstreamName)
		}
	}
	return h, nil
}

// releaseHeld takes back the suspense that an accepted aggregate stands for.
func (p *factPosting) releaseHeld(e *Entry) error {
	var list []uint64
	for outcome := range maps.Keys(p.b.suspended) {
		if e.First <= outcome && outcome <= e.Last {
			list = append(list, outcome)
		}
	}
	slices.Sort(list)
	for _, outcome := range list {
		h, err := p.heldAt(outcome)
		if err != nil {
			return err
		}
		if !p.standsFor(e, h) {
			continue
		}
		if err := p.closeSuspense(&h.SuspenseClosed); err != nil {
			return err
		}
	}
	return nil
}

// mayCloseAlone refuses to close suspense that an open difference stands for.
func (p *factPosting) mayCloseAlone(s *SuspenseClosed) error {
	var h *held
	for _, id := range slices.Sorted(maps.Keys(p.b.differences)) {
		e := p.b.differences[id]
		if DifferenceKind(&e) != MissingUsage || s.Outcome < e.First || s.Outcome > e.Last {
			continue
		}
		invoiceID, _, _ := strings.Cut(id, ".")
		if v := p.b.invoiceOf(invoiceID); v == nil || v.Rules < 1 {
			continue
		}
		if h == nil {
			var err error
			if h, err = p.heldAt(s.Outcome); err != nil {
				return err
			}
		}
		if p.standsFor(&e, h) {
			return refuse("the invoice bills attempt %s: close the difference %s instead, which takes the suspense back when it is accepted", s.Attempt, id)
		}
	}
	return nil
}
