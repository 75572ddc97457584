package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Dated is an event that is recorded at an instant of a play.
type Dated struct {
	At time.Time `json:"at"`
	ledger.Event
}

// SaysMadeUp begins the reason of every fact that a play makes up.
const SaysMadeUp = "simulated: "

// What is made up of each clause.
const (
	leastLate, mostLate = 5, 45 // days by which capacity comes late
	leastTold, mostTold = 1, 20 // days until the acceptance report
	inTimeEvery         = 3     // one step of a ramp in so many comes in time
	marketplacePPM      = 600_000
	ratePPM             = 20_000 // most that a month moves a rate of exchange
)

// Facts makes up what happens under the contracts of the terms while a play
// lasts: options exercised or let lapse, capacity that comes late, charges of
// marketplaces, floors raised and cut, and the rates of exchange of each
// month's end. The same terms, months and random numbers give the same facts,
// in the order of their instants. A floor that is missed can be told by the
// books alone: Waives says which are waived.
func Facts(a *alliance.Alliance, from, until time.Time, random func() uint64) []Dated {
	m := &maker{from: from, until: until, draw: draws{random}}
	options := 0
	for i := range a.Contracts {
		c := &a.Contracts[i]
		m.deliveries(c)
		if c.Option != nil {
			m.option(c, options%2 == 0)
			options++
		}
		for j := range c.Floors {
			m.marketplace(c, &c.Floors[j])
		}
		m.floors(c)
	}
	m.rates(a)
	slices.SortStableFunc(m.list, func(x, y Dated) int { return x.At.Compare(y.At) })
	return m.list
}

// Waives reports whether the n-th missed floor of a play, counted from 0, is
// waived.
func Waives(n int) bool { return n%3 == 2 }

type maker struct {
	from, until time.Time
	draw        draws
	list        []Dated
}

// add keeps what happens inside the play.
func (m *maker) add(at time.Time, e ledger.Event) {
	if !at.Before(m.from) && at.Before(m.until) {
		m.list = append(m.list, Dated{at, e})
	}
}

const day = 24 * time.Hour

// deliveries lets steps of a ramp come late: until then there is what was
// there before, or half of the first step.
func (m *maker) deliveries(c *alliance.Contract) {
	told := false
	tell := func(at time.Time, from time.Time, chips, tokens int64, says string) {
		told = true
		m.add(at, ledger.Event{Delivered: &ledger.Delivered{Contract: string(c.ID), From: from.Format(time.DateOnly), Chips: chips, TokensPerMinute: tokens, Reason: SaysMadeUp + says}})
	}
	for i := range c.Ramp {
		step := &c.Ramp[i]
		late, report := leastLate+m.draw.below(mostLate-leastLate+1), leastTold+m.draw.below(mostTold-leastTold+1)
		inTime := m.draw.below(inTimeEvery) == 0
		if step.From.Before(m.from) || !c.Holds(step.From.Time) {
			continue
		}
		before := alliance.RampStep{Chips: step.Chips / 2, TokensPerMinute: step.TokensPerMinute / 2}
		if i > 0 {
			before = c.Ramp[i-1]
		}
		arrives := step.From.Time.Add(time.Duration(late) * day)
		if inTime || i+1 < len(c.Ramp) && !arrives.Before(c.Ramp[i+1].From.Time) || !c.Holds(arrives) {
			if told { // what was delivered last holds until a fact says otherwise
				tell(step.From.Add(9*time.Hour), step.From.Time, step.Chips, step.TokensPerMinute, "all of it is there")
			}
			continue
		}
		tell(step.From.Add(9*time.Hour), step.From.Time, before.Chips, before.TokensPerMinute, "not all of it is there")
		tell(arrives.Add(time.Duration(report)*day+15*time.Hour), arrives, step.Chips, step.TokensPerMinute, fmt.Sprintf("acceptance report, %d days late", late))
	}
}

// option exercises an option in the middle of the time that the play has for
// it, or lets it lapse.
func (m *maker) option(c *alliance.Contract, taken bool) {
	first, last := c.Option.From.Time, contract.NoticeEnds(c.Option)
	if first.Before(m.from) {
		first = m.from
	}
	if m.until.Before(last) {
		last = m.until
	}
	if taken && first.Before(last) {
		at := first.Add(last.Sub(first) / 2).Truncate(day).Add(11 * time.Hour)
		if contract.MayExercise(c, at) == nil {
			m.add(at, ledger.Event{OptionExercised: &ledger.OptionExercised{Contract: string(c.ID), Reason: SaysMadeUp + "the notice is given"}})
		}
	}
}

// within is the instant of an interval that so many thirds of it precede.
func within(f *alliance.Floor, thirds int) time.Time {
	return f.From.Add(time.Duration(thirds) * (f.Until.Sub(f.From.Time) / 3)).Truncate(day).Add(14 * time.Hour)
}

// marketplace buys twice in an interval what together passes the cap.
func (m *maker) marketplace(c *alliance.Contract, f *alliance.Floor) {
	most := contract.MarketplaceCap(c, f.Amount)
	if most <= 0 || len(contract.Legs(c, "", contract.MarketCharge)) == 0 {
		return
	}
	for third := 1; third <= 2; third++ {
		at := within(f, third)
		month := int32(at.Year()*100 + int(at.Month()))
		m.add(at, ledger.Event{MarketplaceCharge: &ledger.MarketplaceCharge{Contract: string(c.ID), Month: month, Amount: part(most, marketplacePPM), Reason: SaysMadeUp + "a data set of the marketplace"}})
	}
}

// floors cuts and raises the floors of the play in turn, as far as the
// contract has the rights: a cut of half of what may be cut when the interval
// begins, a rise to the next tier somewhat later.
func (m *maker) floors(c *alliance.Contract) {
	if c.TrueUp == nil && c.TrueDown == nil {
		return
	}
	n := 0
	for i := range c.Floors {
		f := &c.Floors[i]
		if !f.Until.After(m.from) {
			continue
		}
		begins := f.From.Time
		if begins.Before(m.from) {
			begins = m.from
		}
		change := ledger.FloorChange{Contract: string(c.ID), From: f.From.String()}
		if cut := c.TrueUp == nil || c.TrueDown != nil && n%2 == 0; cut {
			change.Amount, change.Reason = contract.MostCut(c, f.Amount)/2, SaysMadeUp+"less is needed than was planned"
			if change.Amount > 0 {
				m.add(begins.Add(15*time.Hour), ledger.Event{TrueDown: &change})
			}
		} else {
			change.Amount, change.Reason = toNextTier(c.TrueUp, f.Amount), SaysMadeUp+"more is needed than was planned"
			if change.Amount > 0 {
				m.add(begins.Add(10*day+15*time.Hour), ledger.Event{TrueUp: &change})
			}
		}
		n++
	}
}

// toNextTier is what is missing from a floor to the next discount, or a tenth
// of the floor above the last.
func toNextTier(t *alliance.TrueUp, floor money.Amount) money.Amount {
	for _, tier := range t.Tiers {
		if tier.Floor > floor {
			return tier.Floor - floor
		}
	}
	return floor / 10
}

// part is a share in parts per million, rounded down.
func part(a money.Amount, ppm int64) money.Amount {
	q, _, _ := money.Product(int64(a), ppm).FloorDiv(million)
	return money.Amount(q)
}

// level is about what one unit of a currency is worth, in millionths of a
// dollar: where a made-up rate begins. Others begin at one to one.
func level(c money.Currency) int64 {
	switch c {
	case "EUR":
		return 1_080_000
	case "GBP":
		return 1_270_000
	case "CHF":
		return 1_120_000
	case "CAD":
		return 730_000
	case "JPY":
		return 6_700
	case "INR":
		return 12_000
	case "KRW":
		return 730
	case "CNY":
		return 140_000
	}
	return million
}

// rates quotes each currency of the contracts before the first request and at
// each month's end.
func (m *maker) rates(a *alliance.Alliance) {
	var others []money.Currency
	for i := range a.Contracts {
		if c := a.CurrencyOf(&a.Contracts[i]); c != a.Currency && !slices.Contains(others, c) {
			others = append(others, c)
		}
	}
	slices.SortFunc(others, func(x, y money.Currency) int { return cmp.Compare(x, y) })
	for _, other := range others {
		base, in := other, a.Currency
		if level(base) < level(in) {
			base, in = in, base
		}
		const scale = 4
		digits := level(base) * 10_000 / level(in)
		quote := func(at time.Time) {
			m.add(at, ledger.Event{ExchangeRate: &exchange.Quote{Base: base, Quote: in, Rate: exchange.Decimal{Digits: digits, Scale: scale}, On: at.Format(time.DateOnly), Source: "simulated"}})
			digits += digits * (m.draw.below(2*ratePPM+1) - ratePPM) / million
		}
		quote(m.from)
		for month := m.from.AddDate(0, 1, 0); !month.After(m.until); month = month.AddDate(0, 1, 0) {
			quote(month.Add(-8 * time.Hour))
		}
	}
}
