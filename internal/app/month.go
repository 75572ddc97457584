package app

import (
	"context"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
)

// monthBooks are books opened to say something of one month, with what every
// such answer needs.
type monthBooks struct {
	*books
	month  int32
	closed int32 // last closed month, 0 for none
	terms  *ledger.Terms
	facts  []ledger.Fact       // those in the books
	played *datadir.Simulation // nil where the traffic is real
}

// openMonth opens a data directory for a month written as YYYY-MM, by the
// terms of the last request in its books.
func openMonth(ctx context.Context, data, month string) (*monthBooks, error) {
	n, err := parseMonth(month)
	if err != nil {
		return nil, err
	}
	b, err := openReading(ctx, data)
	if err != nil {
		return nil, err
	}
	terms, _, err := b.lastTerms(ctx)
	if err != nil {
		b.Close()
		return nil, err
	}
	m, err := b.inMonth(ctx, terms, n)
	if err != nil {
		b.Close()
	}
	return m, err
}

// inMonth reads what an answer about a month needs besides terms and books.
func (b *books) inMonth(ctx context.Context, terms *ledger.Terms, month int32) (*monthBooks, error) {
	m := &monthBooks{books: b, month: month, terms: terms}
	head, err := b.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := b.dir.Booked()
	if err != nil {
		return nil, err
	}
	m.facts = facts[:min(uint64(len(facts)), head.Facts)]
	for i := range m.facts {
		if f := m.facts[i].MonthClosed; f != nil {
			m.closed = f.Month
		}
	}
	m.played, err = b.dir.Simulated()
	return m, err
}

// margin makes the margin of the month.
func (m *monthBooks) margin(ctx context.Context, by string) (*settle.Margin, error) {
	cache := ledger.New(termsFrom(m.dir))
	cache.Know(ledger.RatesOf(m.facts))
	v, err := settle.MakeMargin(ctx, m.store, m.records, cache, m.terms, settle.MarginQuestion{By: by, Month: m.month, Facts: m.facts})
	if err == nil && m.played != nil {
		v.Simulated, v.SimulatedSays = true, m.played.Says
	}
	return v, err
}

// salesInvoice makes the month's invoice to a customer.
func (m *monthBooks) salesInvoice(ctx context.Context, customer string) (*settle.SalesInvoice, error) {
	v, err := settle.MakeSalesInvoice(ctx, m.store, termsFrom(m.dir), m.terms, customer, m.month, settle.ClosedAt(m.facts, m.month))
	if err == nil && m.played != nil {
		v.Simulated, v.SimulatedSays = true, m.played.Says
	}
	return v, err
}

// statement makes the month's statement of a party.
func (m *monthBooks) statement(ctx context.Context, party string) (*settle.Statement, error) {
	s, err := settle.MakeStatement(ctx, m.store, m.terms, party, m.month, m.closed)
	if err == nil && m.played != nil {
		s.Simulated, s.SimulatedSays = true, m.played.Says
	}
	return s, err
}
