package ledger

import (
	"errors"
	"fmt"
	"iter"

	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Fact is an event besides usage that moves the books. Facts are numbered in
// the order in which they were recorded, and each says after which record of
// the journal it came, so that journal, facts and terms give the same bytes
// again.
type Fact struct {
	Number uint64 // from 1, without gaps, among the facts that move the books
	After  uint64 // the last record that was posted before it
	At     int64  // nanoseconds since 1970 UTC
	Digest Digest // SHA-256 of the bytes by which the fact is kept
	Event
}

// Event is what a fact says: exactly one field is set.
type Event struct {
	SuspenseClosed    *SuspenseClosed    `json:"suspense_closed,omitempty"`
	InvoiceImported   *InvoiceImported   `json:"invoice_imported,omitempty"`
	DifferenceClosed  *DifferenceClosed  `json:"difference_closed,omitempty"`
	PoolBilled        *PoolBilled        `json:"pool_billed,omitempty"`
	ShortfallWaived   *ShortfallWaived   `json:"shortfall_waived,omitempty"`
	MonthClosed       *MonthClosed       `json:"month_closed,omitempty"`
	ExchangeRate      *exchange.Quote    `json:"exchange_rate,omitempty"`
	Delivered         *Delivered         `json:"delivered,omitempty"`
	OptionExercised   *OptionExercised   `json:"option_exercised,omitempty"`
	MarketplaceCharge *MarketplaceCharge `json:"marketplace_charge,omitempty"`
	TrueUp            *FloorChange       `json:"true_up,omitempty"`
	TrueDown          *FloorChange       `json:"true_down,omitempty"`
}

// The ways in which suspense is closed.
const (
	ByEstimate = "estimate" // as estimated when it was booked
	ByInvoice  = "invoice"  // as the provider's invoice says
	ByWaiver   = "waived"   // nothing is owed
)

// SuspenseClosed says what came of an attempt that might be owed.
type SuspenseClosed struct {
	Attempt record.AttemptID `json:"attempt"`
	Intent  uint64           `json:"intent"`  // sequence number of the attempt's intent
	Outcome uint64           `json:"outcome"` // and of its outcome
	By      string           `json:"by"`      // ByEstimate, ByInvoice or ByWaiver
	// Usage is what an invoice line says was used.
	Usage *usage.Vector `json:"usage,omitempty"`
	// BillCustomer also books the sale at the price of the intent. Without it
	// the customer of an answer that was cut or lost owes nothing.
	BillCustomer bool   `json:"bill_customer,omitempty"`
	Reason       string `json:"reason"`
	// Rules is the version of the rules that closed it, at most SuspenseRules.
	Rules int32 `json:"rules,omitempty"`
}

// SuspenseRules is the version of the rules by which suspense is closed now.
// Version 1 draws on what the attempt's hour has left of a commitment per
// hour; before, all of it was owed at the list price.
const SuspenseRules = 1

// Limits of facts.
const (
	MaxReason = 1000 // bytes of a reason
)

// ErrFact reports an event that cannot be recorded: it is incomplete, or it
// contradicts the books.
var ErrFact = errors.New("this cannot be booked")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFact}, args...)...)
}

// Check returns ErrFact when e does not say exactly one complete thing.
func (e *Event) Check() error {
	set := 0
	var err error
	if e.SuspenseClosed != nil {
		set, err = set+1, e.SuspenseClosed.check()
	}
	if e.InvoiceImported != nil {
		set, err = set+1, e.InvoiceImported.check()
	}
	if e.PoolBilled != nil {
		set, err = set+1, e.PoolBilled.check()
	}
	if e.ShortfallWaived != nil {
		set, err = set+1, e.ShortfallWaived.check()
	}
	if e.MonthClosed != nil {
		set, err = set+1, e.MonthClosed.check()
	}
	if e.ExchangeRate != nil {
		set++
		if wrong := e.ExchangeRate.Check(); wrong != nil {
			err = refuse("%w", wrong)
		}
	}
	if e.DifferenceClosed != nil {
		set, err = set+1, e.DifferenceClosed.check()
	}
	if e.Delivered != nil {
		set, err = set+1, e.Delivered.check()
	}
	if e.OptionExercised != nil {
		set, err = set+1, e.OptionExercised.check()
	}
	if e.MarketplaceCharge != nil {
		set, err = set+1, e.MarketplaceCharge.check()
	}
	for _, change := range [...]*FloorChange{e.TrueUp, e.TrueDown} {
		if change != nil {
			set, err = set+1, change.check()
		}
	}
	if set != 1 {
		return refuse("a fact says one thing")
	}
	return err
}

func checkReason(reason string) error {
	if reason == "" || len(reason) > MaxReason {
		return refuse("give a reason of 1 to %d bytes", MaxReason)
	}
	return nil
}

func (s *SuspenseClosed) check() error {
	if s.Rules < 0 || s.Rules > SuspenseRules {
		return refuse("the suspense was closed by the rules %d, this version knows %d", s.Rules, SuspenseRules)
	}
	if s.Attempt == "" || s.Intent == 0 || s.Outcome <= s.Intent {
		return refuse("suspense is named by its attempt, intent and outcome")
	}
	switch {
	case s.By == ByInvoice && (s.Usage == nil || s.Usage.Check() != nil):
		return refuse("closing by an invoice needs the tokens that it states")
	case s.By == ByEstimate || s.By == ByWaiver:
		if s.Usage != nil {
			return refuse("only an invoice states tokens")
		}
	case s.By != ByInvoice:
		return refuse("suspense is closed by %s, %s or %s", ByEstimate, ByInvoice, ByWaiver)
	}
	if s.By == ByWaiver && s.BillCustomer {
		return refuse("what is waived is not billed to a customer")
	}
	return checkReason(s.Reason)
}

// Evidence is what facts refer to: records of the journal, and documents.
type Evidence struct {
	// Records yields the journal from a sequence number on.
	Records func(from uint64) iter.Seq2[record.Record, error]
	// Document returns a kept document, such as an invoice, by its hash.
	Document func(hash string) ([]byte, error)
}

// record returns one record of the journal.
func (ev *Evidence) record(sequence uint64) (record.Record, error) {
	if ev.Records == nil {
		return record.Record{}, errors.New("a fact refers to the journal, which was not given")
	}
	for r, err := range ev.Records(sequence) {
		if err != nil {
			return r, fmt.Errorf("read record %d of the journal: %w", sequence, err)
		}
		if r.Sequence == sequence {
			return r, nil
		}
		break
	}
	return record.Record{}, refuse("the journal does not hold record %d", sequence)
}
