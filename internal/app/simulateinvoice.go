package app

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// plantedError is one error that a simulated invoice was given on purpose.
type plantedError struct {
	Provider string       `json:"provider"`
	Month    int32        `json:"month"`
	Kind     string       `json:"kind"`
	Amount   money.Amount `json:"amount"`
}

// billable is one attempt that its provider may bill.
type billable struct {
	intent, outcome record.Record
	line            ledger.Line
	pool            *alliance.Pool
	amount          money.Amount
}

// invoices lets every provider bill the month, imports what it bills and
// closes the differences.
func (s *simulation) invoices(m *simulatedMonth) error {
	bills, err := s.bills(m.Month)
	if err != nil {
		return err
	}
	providers := make([]string, 0, len(bills))
	for p := range bills {
		providers = append(providers, p)
	}
	slices.Sort(providers)
	for _, p := range providers {
		if err := s.invoice(m, p, bills[p]); err != nil {
			return fmt.Errorf("the invoice of %s: %w", p, err)
		}
	}
	return nil
}

// bills reads from the journal what each provider served in the month.
func (s *simulation) bills(month int32) (map[string][]billable, error) {
	bills, open := map[string][]billable{}, map[uint64]record.Record{}
	first := s.firstOf[month]
	if first == 0 {
		return nil, nil
	}
	for r, err := range s.journal.Read(first) {
		if err != nil {
			return nil, err
		}
		if r.Intent != nil && monthNumber(time.Unix(0, r.At)) == month {
			open[r.Sequence] = r
		}
		if r.Outcome == nil {
			continue
		}
		intent, ok := open[r.Outcome.Intent]
		if !ok || r.Outcome.Status == record.Unserved {
			continue
		}
		delete(open, r.Outcome.Intent)
		pool := s.a.Pool(alliance.PoolID(intent.Intent.Pool))
		provider := string(s.a.Contract(pool.Contract).Provider)
		b := billable{intent: intent, outcome: r, pool: pool}
		if b.line, err = ledger.LineOf(&intent, &r, s.terms); err != nil {
			return nil, err
		}
		owed := slices.IndexFunc(b.line.Postings, func(p ledger.Posting) bool {
			return p.Kind == ledger.Suspense && p.Price != "" || p.Kind == ledger.Cost && p.Credit.Kind() == "accrued"
		})
		if owed < 0 {
			continue
		}
		b.amount = b.line.Postings[owed].Amount()
		bills[provider] = append(bills[provider], b)
	}
	return bills, nil
}

// invoice writes, imports and settles one provider's invoice.
func (s *simulation) invoice(m *simulatedMonth, provider string, list []billable) error {
	slices.SortFunc(list, func(x, y billable) int { return cmp.Compare(x.intent.Sequence, y.intent.Sequence) })
	var text strings.Builder
	w := csv.NewWriter(&text)
	_ = w.Write([]string{"attempt_id", "pool", "model", "uncached_input", "cache_read", "cache_write", "output", "reasoning", "tier", "at", "amount"})
	for i := range list {
		b := &list[i]
		u := b.line.Tokens
		n := func(v int64) string { return strconv.FormatInt(v, 10) }
		model, _, _ := strings.Cut(b.intent.Intent.Model, "@")
		_ = w.Write([]string{
			string(b.intent.Intent.Attempt), string(b.pool.ID), model, n(u.UncachedInput), n(u.CacheRead), n(u.CacheWrite), n(u.Output), n(u.Reasoning),
			b.outcome.Outcome.Tier, time.Unix(0, b.intent.At).UTC().Format(time.RFC3339Nano), b.amount.String(),
		})
		m.Payable += b.amount
	}
	if w.Flush(); w.Error() != nil {
		return w.Error()
	}
	hash, err := s.dir.SaveDocument([]byte(text.String()))
	if err != nil {
		return err
	}
	event := ledger.InvoiceImported{Provider: provider, Month: m.Month, Document: hash, Name: fmt.Sprintf("%s-%d.csv", provider, m.Month)}
	batch, err := s.record(ledger.Event{InvoiceImported: &event})
	if err != nil {
		return err
	}
	m.Invoices++
	return s.settleDifferences(m, &batch)
}

// settleDifferences closes what an import set apart.
func (s *simulation) settleDifferences(m *simulatedMonth, batch *ledger.Batch) error {
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
		s.result.Differences[kind]++
		m.Differences++
	}
	return nil
}

// verdictOn is what the simulated operator makes of a kind of difference.
func verdictOn(kind string) (by, reason string) {
	switch kind {
	case ledger.MissingUsage:
		return ledger.Accepted, "the answer stated no usage: the invoice's line is taken"
	case ledger.LateCredit:
		return ledger.Accepted, "the provider gives money back"
	case ledger.Rounding:
		return ledger.Accepted, "the provider rounds each line, the books round once"
	case ledger.MissingLine:
		return ledger.Accepted, "served and not billed: written off"
	case ledger.WrongTier:
		return ledger.Rejected, "the answer names the tier that served"
	case ledger.DoubleLine:
		return ledger.Rejected, "billed twice"
	case ledger.UnknownAttempt:
		return ledger.Rejected, "the journal has no such attempt"
	}
	return ledger.Rejected, "the journal has the answer's own usage and the price of the terms"
}
