package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// Invoices lists what was imported, newest first.
func (s *server) Invoices(ctx context.Context) ([]admin.Invoice, error) {
	facts, err := s.bookedFacts(ctx)
	if err != nil {
		return nil, err
	}
	open, err := s.store.Differences(ctx)
	if err != nil {
		return nil, err
	}
	list := []admin.Invoice{}
	for i := range slices.Backward(facts) {
		f := &facts[i]
		if f.InvoiceImported == nil {
			continue
		}
		found, err := s.foundBy(ctx, f)
		if err != nil {
			return nil, err
		}
		v := admin.Invoice{
			ID: f.InvoiceImported.InvoiceID(), Name: f.InvoiceImported.Name, Provider: f.InvoiceImported.Provider, Month: f.InvoiceImported.Month,
			At: time.Unix(0, f.At).UTC(), Agreed: found.agreed, Apart: found.apart, Found: found.count, Currency: found.currency,
		}
		for j := range open {
			if invoiceOf(open[j].Ref) == v.ID {
				v.Open, v.OpenSum = v.Open+1, v.OpenSum+open[j].Amount
			}
		}
		list = append(list, v)
	}
	return list, nil
}

// bookedFacts are the facts that the books hold.
func (s *server) bookedFacts(ctx context.Context) ([]ledger.Fact, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := s.dir.Booked()
	return slices.DeleteFunc(facts, func(f ledger.Fact) bool { return f.Number > head.Facts }), err
}

// importFound is what the import of an invoice found, which never changes.
type importFound struct {
	batch         uint64
	agreed, apart money.Amount
	count         int
	currency      ledger.Asset
}

// foundBy sums the batch that an import posted.
func (s *server) foundBy(ctx context.Context, f *ledger.Fact) (importFound, error) {
	if found, ok := s.found.Load(f.Number); ok {
		return found.(importFound), nil
	}
	found := importFound{currency: ledger.Asset(s.terms.Load().Alliance().Currency)}
	first, err := s.store.Entries(ctx, settle.Query{Fact: f.Number, Limit: 1})
	if err != nil {
		return found, err
	}
	if len(first) == 1 {
		batch, err := s.store.Batch(ctx, first[0].Batch)
		if err != nil {
			return found, err
		}
		found.batch = batch.Sequence
		for i := range batch.Entries {
			switch e := &batch.Entries[i]; e.Kind {
			case ledger.Difference:
				found.apart, found.count, found.currency = found.apart+e.Amount, found.count+1, e.Asset
			case ledger.Invoice:
				found.agreed, found.currency = found.agreed+e.Amount, e.Asset
			}
		}
	}
	s.found.Store(f.Number, found)
	return found, nil
}

// invoiceOf is the invoice that a difference is of, from its id.
func invoiceOf(difference string) string {
	id, _, _ := strings.Cut(difference, ".")
	return id
}

// Differences lists the differences of one invoice, or all open ones.
func (s *server) Differences(ctx context.Context, of string) ([]admin.Difference, error) {
	open, err := s.store.Differences(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := s.bookedFacts(ctx)
	if err != nil {
		return nil, err
	}
	imports := map[string]*ledger.Fact{}
	closed := map[string]*ledger.DifferenceClosed{}
	for i := range facts {
		if v := facts[i].InvoiceImported; v != nil {
			imports[v.InvoiceID()] = &facts[i]
		}
		if d := facts[i].DifferenceClosed; d != nil {
			closed[d.ID] = d
		}
	}
	list := []admin.Difference{}
	add := func(p *settle.Placed) {
		v := admin.Difference{
			ID: p.Ref, Kind: ledger.DifferenceKind(&p.Entry), Invoice: invoiceOf(p.Ref), Contract: p.Contract, Amount: p.Amount, Currency: p.Asset,
			Entry: fmt.Sprintf("%d.%d", p.Batch, p.Number), Month: p.Period, Open: true,
		}
		explained := invoice.Explain(v.Kind)
		v.Says, v.Remedy = explained.Says, explained.Remedy
		v.Provider, _, _ = strings.Cut(p.Debit.Ref(), ",")
		v.Place = placeOf(p.Ref)
		if p.First == p.Last && p.Contract != "" {
			v.Outcome = p.First
		}
		if f := imports[v.Invoice]; f != nil {
			v.Month = f.InvoiceImported.Month
		}
		if d := closed[p.Ref]; d != nil {
			v.Open, v.By, v.Reason = false, d.By, d.Reason
		}
		list = append(list, v)
	}
	if of == "" {
		for i := range open {
			add(&open[i])
		}
		return list, nil
	}
	f := imports[of]
	if f == nil {
		return nil, admin.ErrNotFound
	}
	found, err := s.foundBy(ctx, f)
	if err != nil || found.batch == 0 {
		return list, err
	}
	batch, err := s.store.Batch(ctx, found.batch)
	if err != nil {
		return nil, err
	}
	for i := range batch.Entries {
		if batch.Entries[i].Kind == ledger.Difference {
			add(&settle.Placed{Batch: batch.Sequence, Number: i + 1, At: batch.At, Entry: batch.Entries[i]})
		}
	}
	return list, nil
}

// placeOf tells where a difference stands, from its id.
func placeOf(difference string) string {
	_, place, _ := strings.Cut(difference, ".")
	if record, ok := strings.CutPrefix(place, "o"); ok {
		return "on no line; record " + record + " of the journal"
	}
	if grain, first, last, ok := invoice.ParsePlace(place); ok {
		return fmt.Sprintf("on no line; the %s of the records %d to %d of the journal", grain, first, last)
	}
	if _, err := strconv.Atoi(place); err != nil {
		return "all its lines together"
	}
	return "line " + place
}

// Evidence says what stands behind a difference on both sides.
func (s *server) Evidence(ctx context.Context, difference string) (admin.Evidence, error) {
	facts, err := s.bookedFacts(ctx)
	if err != nil {
		return admin.Evidence{}, err
	}
	var invoices []*ledger.InvoiceImported
	var found []settle.Placed
	for i := range facts {
		v := facts[i].InvoiceImported
		if v == nil || v.InvoiceID() != invoiceOf(difference) {
			continue
		}
		invoices = append(invoices, v)
		posted, err := s.foundBy(ctx, &facts[i])
		if err != nil {
			return admin.Evidence{}, err
		}
		batch, err := s.store.Batch(ctx, posted.batch)
		if err != nil {
			return admin.Evidence{}, err
		}
		for n := range batch.Entries {
			if e := &batch.Entries[n]; e.Kind == ledger.Difference && e.Ref == difference {
				found = append(found, settle.Placed{Batch: batch.Sequence, Number: n + 1, At: batch.At, Entry: *e})
			}
		}
	}
	if len(found) == 0 {
		return admin.Evidence{}, admin.ErrNotFound
	}
	list, err := (&books{s.dir, s.store}).explain(found[:1], invoices, map[string]*invoice.Invoice{})
	if err != nil {
		return admin.Evidence{}, err
	}
	v := admin.Evidence{Invoice: orNothing(list[0].Line.says()), Books: orNothing(list[0].served())}
	if a := list[0].Attempt; a != nil {
		v.Request = a.Request
	}
	return v, nil
}

func orNothing(says string) string {
	if says == "-" {
		return "nothing"
	}
	return says
}
