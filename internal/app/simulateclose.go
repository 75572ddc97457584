package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/sim"
)

// closeMonth records what a finance team would by now, and closes: the bills
// of pools by the chip-second, the providers' invoices with what comes of
// their differences, and the suspense that nothing else has closed.
func (s *simulation) closeMonth(month, next time.Time) error {
	if s.settler.Status().Posted.Terms == "" {
		return ExitError{ExitUsage, errors.New("the terms let no pool serve anybody by then: begin with a later month (--from)")}
	}
	m := simulatedMonth{Month: monthNumber(month)}
	if err := s.billPools(m.Month); err != nil {
		return err
	}
	if err := s.invoices(&m); err != nil {
		return err
	}
	if err := s.closeHeld(&m, next); err != nil {
		return err
	}
	if err := s.waive(next); err != nil {
		return err
	}
	if _, err := s.record(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: m.Month, Rules: ledger.CloseRules}}); err != nil {
		return err
	}
	posted := s.settler.Status().Posted.Facts
	m.Facts, s.facts = int(posted-s.facts)-m.Invoices-m.Differences-m.Suspense, posted
	s.result.Months = append(s.result.Months, m)
	if s.o.OnClose != nil {
		return s.o.OnClose(m.Month)
	}
	return nil
}

// billPools lets each provider by the chip-second bill what its pool was used,
// and a little that nobody used.
func (s *simulation) billPools(month int32) error {
	for i := range s.a.Pools {
		p := &s.a.Pools[i]
		if p.BilledBy != alliance.BilledByChipSecond {
			continue
		}
		account := ledger.NewAccount(string(s.a.Operator), contract.Expense, "compute", string(p.ID))
		periods, err := s.store.Periods(s.ctx, string(s.a.Operator)+"/")
		if err != nil {
			return err
		}
		used := money.Amount(0)
		for _, v := range periods {
			if v.Account == account && v.Period == month {
				used = v.Amount
			}
		}
		if used == 0 {
			continue
		}
		bill := ledger.PoolBilled{
			Pool: string(p.ID), Month: month, ChipSeconds: p.Chips * 3600, Amount: used + used/25,
			Reason: fmt.Sprintf("bill of %s for %d, simulated", p.ID, month),
		}
		if _, err := s.record(ledger.Event{PoolBilled: &bill}); err != nil {
			return err
		}
	}
	return nil
}

// closeHeld closes what of the month, or of earlier ones, is still suspense:
// the invoices have come, so what none of them lists is not owed, but for
// fixed capacity, whose tokens were used all the same.
func (s *simulation) closeHeld(m *simulatedMonth, next time.Time) error {
	b := books{dir: s.dir, store: s.store}
	list, err := b.held(s.ctx, s.clock)
	if err != nil {
		return err
	}
	for i := range list {
		h := &list[i]
		if !h.Since.Before(next) {
			continue
		}
		by, reason := ledger.ByWaiver, fmt.Sprintf("no invoice of %s lists it by the close of %d", h.Provider, m.Month)
		if p := s.a.Pool(alliance.PoolID(h.Pool)); p != nil && p.BilledBy != alliance.BilledByToken {
			by, reason = ledger.ByEstimate, "its capacity is paid for: the use is booked as estimated"
		}
		event := ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: h.Attempt, Intent: h.Intent, Outcome: h.Outcome, By: by, Reason: reason, Rules: ledger.SuspenseRules}}
		if _, err := s.record(event); err != nil {
			return err
		}
		m.Suspense++
	}
	return nil
}

// maxEvents bounds a file of events.
const maxEvents = 10_000

// readEvents reads events, one JSON object a line: the fields of a fact, and
// "at" as an instant.
func readEvents(name string) ([]sim.Dated, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	var list []sim.Dated
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, datadir.MaxFactBytes)
	for number := 1; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		var e sim.Dated
		err := d.Decode(&e)
		if err == nil {
			if _, more := d.Token(); !errors.Is(more, io.EOF) {
				err = errors.New("more than one value in a line")
			}
		}
		if err == nil && e.At.IsZero() {
			err = errors.New(`it has no "at"`)
		}
		if err == nil {
			err = e.Event.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		if list = append(list, e); len(list) > maxEvents {
			return nil, fmt.Errorf("%s has more than %d events", name, maxEvents)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	slices.SortStableFunc(list, func(x, y sim.Dated) int { return x.At.Compare(y.At) })
	return list, nil
}
