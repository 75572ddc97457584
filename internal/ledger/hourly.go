package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
)

// hourly is how use draws on a contract's commitment per hour: in the order of
// the journal's outcomes, a token is covered while what its hour has left pays
// for it whole at the contracted price. So the split is the same however
// batches are cut.
type hourly struct {
	contract alliance.ContractID
	limit    int64          // of an hour, in millionths of a micro-unit
	weights  alliance.Rates // the contracted price
}

// hour finds the commitment of the request's hour, and the list price that is
// owed beyond it. rates is the contracted price.
func (r *resolver) hour(rates alliance.Rates) {
	r.list = rates
	if p := r.t.alliance.Price(alliance.PriceID(r.in.CostPrice)); p != nil {
		r.list = p.List
	}
	terms := make([]alliance.Term, len(r.contract.Rates))
	for i := range r.contract.Rates {
		terms[i] = r.contract.Rates[i].Term
	}
	rate, _, ok := contract.HourAt(r.contract, r.at)
	if !ok || rate.PerHour > alliance.MaxPerHour {
		r.outside(terms)
		return
	}
	r.narrow(rate.Term)
	r.rateFrom = rate.From
	r.flow.hourly = &hourly{contract: r.contract.ID, limit: int64(rate.PerHour) * rating.Divisor, weights: rates}
}

// hourLeg adds one leg of use under a commitment per hour. Outside all rates
// everything is owed at the list price.
func (r *resolver) hourLeg(leg contract.Leg, ref func(contract.Account) AccountID, rates alliance.Rates) {
	k := Key{Kind: Cost, Debit: ref(leg.Debit), Credit: ref(leg.Credit), Asset: r.currency(), Price: r.in.CostPrice, Contract: string(r.contract.ID)}
	ru := rule{basis: byRates, divisor: rating.Divisor, rates: rates, part: covered}
	switch {
	case leg.Basis == contract.AtBeyond:
		ru.rates, ru.part = r.list, uncovered
		if r.flow.hourly == nil {
			ru.part = whole
		}
	case r.flow.hourly == nil:
		return
	case leg.Basis == contract.AtDrawn:
		of := alliance.Floor{Term: alliance.Term{From: r.rateFrom}}
		k.Kind, k.Asset = Commitment, commitAsset(r.t, r.contract)
		k.Debit, k.Credit = interval(r.t, leg.Debit, r.contract, of), interval(r.t, leg.Credit, r.contract, of)
	}
	r.add(k, ru)
}

// Drawn is what was drawn of the commitment of one hour of a contract, in
// millionths of a micro-unit. Its key is the first 128 bits of a SHA-256 of
// both, and the month after the hour's own: when that is closed the hour is
// forgotten, and an answer that comes later finds its commitment lapsed.
type Drawn struct {
	SubjectKey
	Used int64
}

func hourKey(c alliance.ContractID, at int64) SubjectKey {
	hour := time.Unix(0, at).UTC().Truncate(time.Hour)
	sum := sha256.Sum256(binary.AppendVarint(appendString([]byte("hour"), string(c)), hour.Unix()))
	k := SubjectKey{Period: nextMonth(monthOf(hour))}
	copy(k.Subject[:], sum[:])
	return k
}

// cover draws a request on its hour's commitment. left is what was left before.
func (p *posting) cover(h *hourly, at int64, u usage.Vector) (covered, uncovered usage.Vector, left int64) {
	k := hourKey(h.contract, at)
	drawn, known := p.drawn[k]
	if !known {
		drawn = p.b.drawn[k]
	}
	if k.Period > p.b.closedMonth {
		left = max(0, h.limit-drawn)
	}
	covered, uncovered, used := rating.Fit(&h.weights, u, left)
	if used > 0 {
		if p.drawn == nil {
			p.drawn = map[SubjectKey]int64{}
		}
		p.drawn[k] = drawn + used
	}
	return covered, uncovered, left
}

func drawnOf(m map[SubjectKey]int64) (list []Drawn) {
	for k, used := range m {
		list = append(list, Drawn{k, used})
	}
	slices.SortFunc(list, func(x, y Drawn) int {
		return compareSubjects(Subject{SubjectKey: x.SubjectKey}, Subject{SubjectKey: y.SubjectKey})
	})
	return list
}

// drawnAt is what the hour that contains at has had drawn of its commitment,
// rounded up.
func (b *Book) drawnAt(c *alliance.Contract, at time.Time) money.Amount {
	used := b.drawn[hourKey(c.ID, at.UnixNano())]
	return money.Amount((used + rating.Divisor - 1) / rating.Divisor)
}

// hours brings the commitments of the month's hours into the books; what was
// not drawn of them lapses.
func (p *monthPosting) hours(c *alliance.Contract) error {
	opened, lost := contract.Legs(c, "", contract.HoursOpened), contract.Legs(c, "", contract.HoursLost)
	if len(opened) == 0 {
		return nil
	}
	for i := range c.Rates {
		r := &c.Rates[i]
		until, err := contract.CommittedUpTo(c, r, p.end)
		if err != nil {
			return err
		}
		before, err := contract.CommittedUpTo(c, r, p.start)
		if err != nil {
			return err
		}
		of := alliance.Floor{Term: r.Term}
		for _, leg := range opened {
			p.post(Opening, interval(p.t, leg.Debit, c, of), interval(p.t, leg.Credit, c, of), commitAsset(p.t, c), string(c.ID), until-before)
		}
		for _, leg := range lost {
			open := interval(p.t, leg.Credit, c, of)
			p.post(Lapse, interval(p.t, leg.Debit, c, of), open, commitAsset(p.t, c), string(c.ID), p.upTo(open)+until-before)
		}
	}
	return nil
}

// covering counts anew what hours had drawn, over all outcomes of a journal.
type covering struct {
	drawn map[SubjectKey]int64
}

// covering is nil where the provider has no commitment per hour.
func (p *provided) covering() (*covering, error) {
	t, err := p.b.Terms(p.b.head.Terms)
	if err != nil {
		return nil, err
	}
	for _, c := range t.contracts {
		if contract.Covers(c.Shape) && string(c.Provider) == p.provider {
			return &covering{map[SubjectKey]int64{}}, nil
		}
	}
	return nil, nil
}

// lateDraw is suspense whose close may have drawn on its hour: after which
// record of the journal, and which month was closed then.
type lateDraw struct {
	outcome, after uint64
	closed         int32
}

// drawLate draws closed suspense on its hours, up to before a record.
func (p *provided) drawLate(before uint64) {
	for len(p.late) > 0 && p.late[0].after < before {
		d := p.late[0]
		p.late = p.late[1:]
		a := p.suspense[d.outcome]
		if a == nil {
			continue
		}
		delete(p.suspense, d.outcome)
		if a.used = a.tokens; hourKey(a.flow.hourly.contract, a.at).Period > d.closed {
			a.tokens = p.hours.take(a.flow.hourly, a.at, a.used)
		}
	}
}

// take draws the next outcome on its hour and returns what that does not cover.
func (v *covering) take(h *hourly, at int64, u usage.Vector) (uncovered usage.Vector) {
	if v == nil { // the terms have lost the contract meanwhile
		return u
	}
	k := hourKey(h.contract, at)
	_, uncovered, used := rating.Fit(&h.weights, u, max(0, h.limit-v.drawn[k]))
	v.drawn[k] += used
	return uncovered
}
