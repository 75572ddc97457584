package app

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/sim"
)

// datedEvent is an event that is recorded at an instant of the play.
type datedEvent struct {
	sim.Dated
	madeUp bool // by the play, from the terms
}

// madeUpFact is a fact that the play made up, as it tells people.
type madeUpFact struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Contract string    `json:"contract,omitempty"`
	Says     string    `json:"says"`
	// Refused is why the books did not take it; empty: they did.
	Refused string `json:"refused,omitempty"`
}

// madeUpShown is how many made-up facts are told on the screen; JSON has all.
const madeUpShown = 60

// prepareFacts reads the events of the file and makes up those that it does not
// tell: what the file says of a matter is all that happens in it.
func (s *simulation) prepareFacts() error {
	given, err := readEvents(s.o.Facts)
	if err != nil {
		return err
	}
	s.given = map[string]bool{}
	for _, e := range given {
		kind, of, _ := matter(&e.Event)
		s.given[kind+" "+of] = true
		s.events = append(s.events, datedEvent{Dated: e})
	}
	if s.o.OnlyGivenFacts {
		return nil
	}
	for _, e := range sim.Facts(s.a, s.from, s.until, rand.NewPCG(s.o.Seed, 3).Uint64) {
		if kind, of, _ := matter(&e.Event); !s.given[kind+" "+of] {
			s.events = append(s.events, datedEvent{e, true})
		}
	}
	slices.SortStableFunc(s.events, func(x, y datedEvent) int { return x.At.Compare(y.At) })
	return nil
}

// matter is what an event is about: its kind, the contract or the currencies,
// and what it says of them.
func matter(e *ledger.Event) (kind, of, says string) {
	untold := func(reason string) string { return strings.TrimPrefix(reason, sim.SaysMadeUp) }
	switch {
	case e.Delivered != nil:
		d := e.Delivered
		size := fmt.Sprintf("%d chips", d.Chips)
		if d.TokensPerMinute > 0 {
			size = fmt.Sprintf("%d tokens a minute", d.TokensPerMinute)
		}
		return "delivery", d.Contract, fmt.Sprintf("%s from %s: %s", size, d.From, untold(d.Reason))
	case e.OptionExercised != nil:
		return "exercise", e.OptionExercised.Contract, untold(e.OptionExercised.Reason)
	case e.MarketplaceCharge != nil:
		m := e.MarketplaceCharge
		return "marketplace", m.Contract, fmt.Sprintf("%s in %04d-%02d: %s", m.Amount, m.Month/100, m.Month%100, untold(m.Reason))
	case e.TrueUp != nil:
		return "true-up", e.TrueUp.Contract, fmt.Sprintf("the floor from %s by %s: %s", e.TrueUp.From, e.TrueUp.Amount, untold(e.TrueUp.Reason))
	case e.TrueDown != nil:
		return "true-down", e.TrueDown.Contract, fmt.Sprintf("the floor from %s by %s: %s", e.TrueDown.From, e.TrueDown.Amount, untold(e.TrueDown.Reason))
	case e.ShortfallWaived != nil:
		return "waiver", e.ShortfallWaived.Contract, fmt.Sprintf("the shortfall of the floor from %s: %s", e.ShortfallWaived.From, untold(e.ShortfallWaived.Reason))
	case e.ExchangeRate != nil:
		q := e.ExchangeRate
		return "rate", string(min(q.Base, q.Quote)) + "/" + string(max(q.Base, q.Quote)), q.ID()
	}
	return "", "", ""
}

// happen records an event at its instant. A made-up fact that the books refuse
// did not happen: the play says so and goes on.
func (s *simulation) happen(e *datedEvent) error {
	_, err := s.record(e.Event)
	if !e.madeUp {
		return err
	}
	kind, of, says := matter(&e.Event)
	fact := madeUpFact{At: e.At, Kind: kind, Contract: of, Says: says}
	if e.ExchangeRate != nil {
		fact.Contract = ""
	}
	if errors.Is(err, ledger.ErrFact) {
		fact.Refused, err = err.Error(), nil
	}
	s.result.MadeUp = append(s.result.MadeUp, fact)
	return err
}

// waive lets providers waive some of the floors that were missed by the end of
// a month that is about to close.
func (s *simulation) waive(next time.Time) error {
	if s.o.OnlyGivenFacts {
		return nil
	}
	for _, burn := range s.settler.Burns(s.terms, next.Add(-time.Second)) {
		c := s.terms.Alliance().Contract(burn.Contract)
		if s.given["waiver "+string(c.ID)] || len(contract.Legs(c, "", contract.FloorMissed)) == 0 {
			continue
		}
		for _, f := range burn.Floors {
			if !f.Until.After(next.AddDate(0, -1, 0)) || f.Until.After(next) || f.Open <= 0 {
				continue
			}
			if s.missed++; !sim.Waives(s.missed - 1) {
				continue
			}
			waiver := ledger.ShortfallWaived{Contract: string(c.ID), From: f.From.String(), Reason: sim.SaysMadeUp + "the provider does not charge it"}
			e := datedEvent{sim.Dated{At: s.clock, Event: ledger.Event{ShortfallWaived: &waiver}}, true}
			if err := s.happen(&e); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeMadeUp tells what the play made up.
func (r *Simulated) writeMadeUp(w io.Writer) error {
	if len(r.MadeUp) == 0 {
		return nil
	}
	fmt.Fprint(w, "\nSIMULATED: what happened under contracts and the rates of exchange are made up:\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, f := range r.MadeUp {
		if i == madeUpShown {
			break
		}
		if f.Refused != "" {
			f.Says += " (not booked: " + f.Refused + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.At.Format(time.DateOnly), f.Kind, f.Contract, f.Says)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := len(r.MadeUp) - madeUpShown; more > 0 {
		fmt.Fprintf(w, "and %d more: --json has them all\n", more)
	}
	return nil
}
