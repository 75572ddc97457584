package app

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/paper"
	"github.com/accordo-ai/accordo/internal/settle"
)

// inMonth reads what an answer of the pages about a month needs.
func (s *server) inMonth(ctx context.Context, month int32) (*monthBooks, error) {
	b := &books{dir: s.dir, store: s.store}
	return b.inMonth(ctx, s.terms.Load(), month)
}

// SalesInvoices lists the invoices to customers, the newest first.
func (s *server) SalesInvoices(ctx context.Context) ([]admin.SalesInvoiceHead, error) {
	b, err := s.inMonth(ctx, 0)
	if err != nil {
		return nil, err
	}
	made, err := settle.ListSalesInvoices(ctx, s.store, b.terms, b.facts)
	if err != nil {
		return nil, err
	}
	list := make([]admin.SalesInvoiceHead, 0, len(made))
	for _, v := range slices.Backward(made) {
		list = append(list, admin.SalesInvoiceHead(v))
	}
	return list, nil
}

// SalesInvoice returns the invoice, or the draft, to a customer for a month.
func (s *server) SalesInvoice(ctx context.Context, customer string, month int32) (admin.SalesInvoice, error) {
	made, a, err := s.salesInvoice(ctx, customer, month)
	if err != nil {
		return admin.SalesInvoice{}, err
	}
	v := admin.SalesInvoice{
		Number: made.Number, Month: made.Month, Closed: made.Closed, From: made.From, Until: made.Until, Issued: made.Issued, Due: made.Due, Seller: made.Seller, SellerName: made.Seller,
		Customer: made.Customer, Name: made.Name, Party: made.Party, Currency: ledger.Asset(made.Currency), Notice: strings.TrimSpace(made.Notice), Simulated: made.Simulated, SimulatedSays: made.SimulatedSays,
		Account: made.Account, Lines: []admin.SalesLine{}, Total: made.Total,
	}
	if p := a.Party(alliance.PartyID(made.Seller)); p != nil {
		v.SellerName = p.Name
	}
	for i := range made.Lines {
		v.Lines = append(v.Lines, admin.SalesLine(made.Lines[i]))
	}
	for _, q := range made.Included {
		v.Included = append(v.Included, admin.IncludedLine(q))
	}
	return v, nil
}

// salesInvoice makes an invoice by the terms in force.
func (s *server) salesInvoice(ctx context.Context, customer string, month int32) (*settle.SalesInvoice, *alliance.Alliance, error) {
	b, err := s.inMonth(ctx, month)
	if err != nil {
		return nil, nil, err
	}
	v, err := b.salesInvoice(ctx, customer)
	if errors.Is(err, settle.ErrNoCustomer) {
		err = admin.ErrNotFound
	}
	return v, b.terms.Alliance(), err
}

// SalesInvoicePDF writes an invoice as a PDF file.
func (s *server) SalesInvoicePDF(ctx context.Context, w io.Writer, customer string, month int32) error {
	v, a, err := s.salesInvoice(ctx, customer, month)
	if err != nil {
		return err
	}
	return paper.Write(w, invoicePaper(a, v))
}

// keptMargins bounds the margins of closed months that a process keeps: they
// never change, and each takes a reading of its month of the journal.
const keptMargins = 64

// margins makes one margin at a time: each reads a month of the journal and
// tells its end users apart in memory.
type margins struct {
	turn chan struct{}

	mu   sync.Mutex
	kept map[marginOf]*settle.Margin
}

type marginOf struct {
	by    string
	month int32
}

func newMargins() *margins {
	return &margins{turn: make(chan struct{}, 1), kept: map[marginOf]*settle.Margin{}}
}

// of returns a kept margin, or makes it when its turn comes.
func (m *margins) of(ctx context.Context, q marginOf, make func() (*settle.Margin, error)) (*settle.Margin, error) {
	if v := m.have(q); v != nil {
		return v, nil
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if v := m.have(q); v != nil {
		return v, nil // made while this one waited
	}
	v, err := make()
	if err != nil || !v.Closed {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) >= keptMargins {
		clear(m.kept)
	}
	m.kept[q] = v
	return v, nil
}

func (m *margins) have(q marginOf) *settle.Margin {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[q]
}

// Margin says what the requests of a month brought in and cost.
func (s *server) Margin(ctx context.Context, by string, month int32) (admin.Margin, error) {
	if !slices.Contains(settle.MarginsBy[:], by) {
		return admin.Margin{}, admin.BadRequestError{Says: settle.ErrBy.Error() + "."}
	}
	made, err := s.margins.of(ctx, marginOf{by, month}, func() (*settle.Margin, error) {
		b, err := s.inMonth(ctx, month)
		if err != nil {
			return nil, err
		}
		return b.margin(ctx, by)
	})
	if err != nil {
		return admin.Margin{}, err
	}
	v := admin.Margin{
		By: made.By, Month: made.Month, Closed: made.Closed, Operator: made.Operator, Currency: made.Currency, Notice: strings.TrimSpace(made.Notice),
		Simulated: made.Simulated, SimulatedSays: made.SimulatedSays, Rows: marginRows(made.Rows), Rest: marginRows(made.Rest), Total: marginRows([]settle.MarginRow{made.Total})[0],
	}
	return v, nil
}

func marginRows(made []settle.MarginRow) []admin.MarginRow {
	list := make([]admin.MarginRow, len(made))
	for i := range made {
		r := &made[i]
		list[i] = admin.MarginRow{
			Name: r.Name, Requests: r.Requests, Tokens: r.Tokens, Users: r.Users, AtLeast: r.AtLeast,
			Sales: r.Sales, Commission: r.Commission, Revenue: r.Revenue, Cost: r.Cost, Margin: r.Margin, PerUser: (*admin.UserMargin)(r.PerUser),
		}
	}
	return list
}
