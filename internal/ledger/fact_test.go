package ledger_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
)

// reader gives records as evidence.
func reader(records []record.Record) func(uint64) iter.Seq2[record.Record, error] {
	return func(from uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for i := max(from, 1) - 1; i < uint64(len(records)); i++ {
				if !yield(records[i], nil) {
					return
				}
			}
		}
	}
}

func factOf(b *ledger.Book, ev ledger.Event) ledger.Fact {
	h := b.Head()
	n := h.Facts + 1
	return ledger.Fact{Number: n, After: h.Last, At: h.At, Digest: sha256.Sum256(fmt.Append(nil, n)), Event: ev}
}

// closing draws how one open suspense is closed.
func closing(pick storetest.Picker, records []record.Record, outcome uint64) ledger.Event {
	out := records[outcome-1].Outcome
	s := &ledger.SuspenseClosed{Attempt: out.Attempt, Intent: out.Intent, Outcome: outcome, Reason: "test"}
	switch pick("by", 3) {
	case 0:
		s.By = ledger.ByWaiver
	case 1:
		s.By = ledger.ByEstimate
		s.BillCustomer = pick("bill", 2) == 0
	default:
		s.By = ledger.ByInvoice
		s.Usage = &usage.Vector{UncachedInput: int64(pick("input", 3000)), Output: int64(pick("output", 3000))}
	}
	return ledger.Event{SuspenseClosed: s}
}

// lived posts a history and closes random suspense between its batches. It
// returns the facts that were taken, and the books.
func lived(t *rapid.T, records []record.Record) (*ledger.Book, []ledger.Step, []ledger.Fact) {
	book := ledger.New(storetest.Terms)
	pick, ev := draw(t), ledger.Evidence{Records: reader(records)}
	var steps []ledger.Step
	var facts []ledger.Fact
	for _, batch := range storetest.Split(records) {
		step, err := book.Post(batch)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
		for _, outcome := range book.State().Suspended {
			if pick("close", 2) == 0 {
				continue
			}
			f := factOf(book, closing(pick, records, outcome))
			before := book.State()
			step, err := book.PostFact(f, ev)
			if errors.Is(err, ledger.ErrFact) {
				if diff := cmp.Diff(before, book.State()); diff != "" {
					t.Fatalf("a refused fact changed the book:\n%s", diff)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			steps, facts = append(steps, step), append(facts, f)
		}
	}
	return book, steps, facts
}

func TestFacts_ReplayGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		book, steps, facts := lived(t, records)
		again, next := ledger.New(storetest.Terms), 0
		check := func(step ledger.Step, err error) {
			if err != nil {
				t.Fatal(err)
			}
			if step.Batch.Hash != steps[next].Batch.Hash {
				t.Fatalf("batch %d differs:\n%s", next+1, cmp.Diff(steps[next].Batch, step.Batch))
			}
			next++
		}
		for _, batch := range storetest.Split(records) {
			check(again.Post(batch))
			for len(facts) > 0 && facts[0].After == again.Head().Last {
				// Each fact is posted by a book resumed from the state before it.
				resumed := ledger.Resume(again.State(), storetest.Terms)
				if err := resumed.Recall(nil); err != nil {
					t.Fatal(err)
				}
				check(resumed.PostFact(facts[0], ledger.Evidence{Records: reader(records)}))
				again, facts = resumed, facts[1:]
			}
		}
		if diff := cmp.Diff(book.State(), again.State()); diff != "" || next != len(steps) {
			t.Fatalf("%d of %d batches, state:\n%s", next, len(steps), diff)
		}
	})
}

func TestFacts_BooksStayBalancedAndBurnAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		book, steps, _ := lived(t, records)
		for _, total := range ledger.TrialBalance(book.Balances()) {
			if !total.Balanced() {
				t.Fatalf("%s: debits %d, credits %d", total.Asset, total.Debits, total.Credits)
			}
		}
		sums := map[string]money.Amount{}
		held := map[string]money.Amount{}
		for _, s := range steps {
			for _, e := range s.Batch.Entries {
				sums[fmt.Sprint(e.Debit, e.Period)] += e.Amount
				sums[fmt.Sprint(e.Credit, e.Period)] -= e.Amount
				if e.Kind == ledger.Suspense {
					held[e.Ref] += e.Amount
				}
			}
		}
		for _, p := range book.State().Periods {
			if got := sums[fmt.Sprint(p.Account, p.Period)]; got != p.Amount {
				t.Fatalf("%s in %d: %d, entries come to %d", p.Account, p.Period, p.Amount, got)
			}
		}
		if book.Head().Terms == "" {
			return
		}
		terms, err := book.Terms(book.Head().Terms)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range book.Burns(terms, terms.Alliance().Contracts[0].From.Time) {
			for _, f := range b.Floors {
				open := book.Balance(ledger.NewAccount("lab", "memo", "commit_open", string(b.Contract), f.From.String()))
				booked := -book.Balance(ledger.NewAccount("lab", "memo", "commit_floor", string(b.Contract), f.From.String()))
				if booked != 0 && f.Used+open != booked {
					t.Fatalf("used %d and open %d of the floor %d", f.Used, open, booked)
				}
			}
		}
	})
}

func TestSuspense_ClosedTwiceIsRefused(t *testing.T) {
	records := storetest.History(storetest.Random(11), 300)
	book, _ := post(t, records)
	open := book.State().Suspended
	if len(open) < 3 {
		t.Fatalf("only %d open", len(open))
	}
	ev := ledger.Evidence{Records: reader(records)}
	waive := func(outcome uint64) ledger.Event {
		out := records[outcome-1].Outcome
		return ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: out.Attempt, Intent: out.Intent, Outcome: outcome, By: ledger.ByWaiver, Reason: "test"}}
	}
	step, err := book.PostFact(factOf(book, waive(open[0])), ev)
	if err != nil {
		t.Fatal(err)
	}
	if len(step.Batch.Entries) != 1 || step.Batch.Entries[0].Kind != ledger.Suspense || step.Batch.Entries[0].Lines != 0 {
		t.Errorf("a waiver posts %+v", step.Batch.Entries)
	}
	if _, err := book.PostFact(factOf(book, waive(open[0])), ev); !errors.Is(err, ledger.ErrFact) {
		t.Errorf("closed again: %v", err)
	}
	wrong := waive(open[1])
	wrong.SuspenseClosed.Attempt = "another"
	if _, err := book.PostFact(factOf(book, wrong), ev); !errors.Is(err, ledger.ErrFact) {
		t.Errorf("another attempt: %v", err)
	}
	late := factOf(book, waive(open[1]))
	late.After--
	if _, err := book.PostFact(late, ev); !errors.Is(err, ledger.ErrSequence) {
		t.Errorf("a fact of another place: %v", err)
	}
}

func TestEvent_ChecksThatItIsComplete(t *testing.T) {
	ok := ledger.SuspenseClosed{Attempt: "a", Intent: 1, Outcome: 2, By: ledger.ByEstimate, Reason: "r"}
	rows := []struct {
		name   string
		change func(s *ledger.SuspenseClosed)
	}{
		{"no attempt", func(s *ledger.SuspenseClosed) { s.Attempt = "" }},
		{"an outcome before its intent", func(s *ledger.SuspenseClosed) { s.Outcome = 1 }},
		{"no reason", func(s *ledger.SuspenseClosed) { s.Reason = "" }},
		{"another way", func(s *ledger.SuspenseClosed) { s.By = "magic" }},
		{"an invoice without tokens", func(s *ledger.SuspenseClosed) { s.By = ledger.ByInvoice }},
		{"an invoice with absurd tokens", func(s *ledger.SuspenseClosed) { s.By, s.Usage = ledger.ByInvoice, &usage.Vector{Output: -1} }},
		{"an estimate with tokens", func(s *ledger.SuspenseClosed) { s.Usage = &usage.Vector{} }},
		{"waived and billed", func(s *ledger.SuspenseClosed) { s.By, s.BillCustomer = ledger.ByWaiver, true }},
	}
	if err := (&ledger.Event{SuspenseClosed: &ok}).Check(); err != nil {
		t.Fatal(err)
	}
	if err := (&ledger.Event{}).Check(); !errors.Is(err, ledger.ErrFact) {
		t.Errorf("nothing: %v", err)
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := ok
			row.change(&s)
			if err := (&ledger.Event{SuspenseClosed: &s}).Check(); !errors.Is(err, ledger.ErrFact) {
				t.Errorf("error %v", err)
			}
		})
	}
}
