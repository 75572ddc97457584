package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// plantedError is one error that a simulated invoice was given on purpose, and
// that importing found in its place, to the micro-unit.
type plantedError struct {
	Provider string         `json:"provider"`
	Month    int32          `json:"month"`
	Currency money.Currency `json:"currency"`
	invoice.Planted
	Closed string `json:"closed"` // accepted or rejected
}

// invoiceForms are the forms in which simulated providers bill, in turn.
var invoiceForms = [...]invoice.Order{
	{Format: invoice.ByAttempt},
	{Format: invoice.Aggregate, Grain: invoice.Daily},
	{Format: invoice.Focus14, Attempts: true},
	{Format: invoice.Focus12, Grain: invoice.Hourly},
	{Format: invoice.Aggregate, Grain: invoice.Monthly},
	{Format: invoice.Focus14, Grain: invoice.Daily},
	{Format: invoice.Focus12, Attempts: true},
}

// invoices lets every provider bill the month, imports what it bills and
// closes the differences.
func (s *simulation) invoices(m *simulatedMonth) error {
	var providers []string
	for i := range s.a.Contracts {
		if p := s.a.Contracts[i].Provider; p != s.a.Operator && !slices.Contains(providers, string(p)) {
			providers = append(providers, string(p))
		}
	}
	slices.Sort(providers)
	for i, p := range providers {
		bills, err := s.settler.Bills(p, m.Month)
		if err != nil {
			return err
		}
		for j, truth := range bills {
			if len(truth.Charges) == 0 && len(truth.Fees) == 0 {
				continue
			}
			form := invoiceForms[(i+j+int(m.Month))%len(invoiceForms)]
			if len(truth.Charges) == 0 {
				// A fee alone may be the same each month: only FOCUS dates it, and
				// the same bytes are taken for an invoice that came twice.
				form = invoice.Order{Format: invoice.Focus14}
			}
			if err := s.invoice(m, truth, form); err != nil {
				return fmt.Errorf("the invoice of %s: %w", p, err)
			}
		}
	}
	return nil
}

// invoice writes, imports and settles one invoice.
func (s *simulation) invoice(m *simulatedMonth, truth *invoice.Truth, form invoice.Order) error {
	provider := truth.Provider
	form.Seed, form.Plant = s.random.Uint64(), map[string]int{}
	for _, kind := range invoice.Kinds() {
		form.Plant[kind] = s.o.InvoiceErrors
	}
	if m.Month%3 == 0 { // few have more than one fee: in these months it is left out, not wrong
		form.Plant[invoice.FeeDiffers] = 0
	}
	plan, err := invoice.Write(truth, form)
	if err != nil {
		return err
	}
	hash, err := s.dir.SaveDocument(plan.Document)
	if err != nil {
		return err
	}
	event := ledger.InvoiceImported{Provider: provider, Month: m.Month, Document: hash, Name: fmt.Sprintf("%s-%d.csv", provider, m.Month), ByGroup: true, Rules: invoice.Rules}
	batch, err := s.record(ledger.Event{InvoiceImported: &event})
	if err != nil {
		return err
	}
	m.Invoices++
	return s.reconcile(m, truth, plan, &batch)
}

// reconcile holds what importing found against what was planted, and closes
// the differences. An error that was not found is a fault of the program.
func (s *simulation) reconcile(m *simulatedMonth, truth *invoice.Truth, plan *invoice.Plan, batch *ledger.Batch) error {
	var agreed money.Amount
	var found []invoice.Found
	closed := map[string]string{}
	for i := range batch.Entries {
		e := &batch.Entries[i]
		_, place, _ := strings.Cut(e.Ref, ".")
		kind := ledger.DifferenceKind(e)
		switch e.Kind {
		case ledger.Invoice:
			agreed += e.Amount
		case ledger.Difference:
			found = append(found, invoice.Found{Kind: kind, Place: place, Amount: e.Amount})
		}
	}
	if faults := plan.Reconcile(agreed, found); len(faults) > 0 {
		return fmt.Errorf("it does not reconcile: %s", strings.Join(faults, "; "))
	}
	for i := range batch.Entries {
		e := &batch.Entries[i]
		if e.Kind != ledger.Difference {
			continue
		}
		kind := ledger.DifferenceKind(e)
		by, reason := verdictOn(kind)
		if _, err := s.record(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: by, Reason: reason}}); err != nil {
			return err
		}
		closed[kind] = by
		s.result.Differences[kind]++
		m.Differences++
	}
	for _, x := range plan.Planted {
		s.result.Planted = append(s.result.Planted, plantedError{Provider: truth.Provider, Month: m.Month, Currency: truth.Currency, Planted: x, Closed: closed[x.Kind]})
	}
	m.Billed = append(m.Billed, billedTotal{truth.Provider, truth.Currency, plan.Total})
	return nil
}

// verdictOn is what the simulated operator makes of a kind of difference.
func verdictOn(kind string) (by, reason string) {
	switch kind {
	case invoice.MissingUsage:
		return ledger.Accepted, "the answer stated no usage: the invoice's line is taken"
	case invoice.LateCredit:
		return ledger.Accepted, "the provider gives money back"
	case invoice.Rounding:
		return ledger.Accepted, "the provider rounds each line, the books round once"
	case invoice.MissingLine:
		return ledger.Accepted, "served and not billed: the provider waives it"
	case invoice.Tax:
		return ledger.Accepted, "the tax is due"
	case invoice.WrongTier:
		return ledger.Rejected, "the answer names the tier that served"
	case invoice.DoubleLine:
		return ledger.Rejected, "billed twice"
	case invoice.UnknownAttempt:
		return ledger.Rejected, "the journal has no such attempt"
	case invoice.UnknownCharge:
		return ledger.Rejected, "no contract names such a charge"
	case invoice.FeeDiffers, invoice.InterestDiffers, invoice.MarketplaceDiffers, invoice.ShortfallDiffers, invoice.ShareDiffers, invoice.OverageDiffers, invoice.DiscountDiffers:
		return ledger.Rejected, "the contract states the charge"
	case invoice.MissingCharge:
		return ledger.Accepted, "the provider waives what it did not bill"
	}
	return ledger.Rejected, "the journal has the answer's own usage and the price of the terms"
}
