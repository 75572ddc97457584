package settle

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// Fault is the first difference between the books and what the journal and
// the terms come to.
type Fault struct {
	Batch   uint64 `json:"batch,omitempty"`
	Entry   int    `json:"entry,omitempty"`  // number in the batch, 0 when it is the batch itself
	Record  uint64 `json:"record,omitempty"` // of the journal, where one record is at fault
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// String renders the fault with its place first.
func (f *Fault) String() string {
	place := ""
	if f.Batch > 0 {
		place = fmt.Sprintf("batch %d: ", f.Batch)
	}
	if f.Entry > 0 {
		place = fmt.Sprintf("batch %d, entry %d: ", f.Batch, f.Entry)
	}
	if f.Record > 0 {
		place += fmt.Sprintf("record %d: ", f.Record)
	}
	return place + f.Problem + "; " + f.Remedy
}

// Verification says what Verify found.
type Verification struct {
	Batches  uint64         `json:"batches"`
	Records  uint64         `json:"records"`
	Facts    uint64         `json:"facts"`
	Served   int64          `json:"served"`
	Unserved int64          `json:"unserved"`
	Suspense int64          `json:"suspense"`
	Head     ledger.Head    `json:"head"`     // of what was verified
	Open     int            `json:"open"`     // intents without an outcome
	Unposted uint64         `json:"unposted"` // records of the journal after the stored books
	Trial    []ledger.Total `json:"trial"`
	Notes    []string       `json:"notes,omitempty"`
	Fault    *Fault         `json:"fault,omitempty"` // nil: the books are right
}

const (
	remedyBooks   = "the journal is the truth: move the books away and let them be posted anew, and find out who changed them"
	remedyJournal = "the journal was changed or lost: put its files back from a copy"
	remedyFacts   = "facts.jsonl was changed or lost: put it back from a copy"
	remedyTerms   = "put the missing version of the terms back into the data directory"
)

// Verify recomputes every stored batch from the journal and the terms, and
// compares bytes, chain and balances. It works beside a serving process: it
// verifies up to the head that it finds at the start. An error means that it
// could not verify; a difference is a Fault.
// facts is nil where there are none.
func Verify(ctx context.Context, books Reader, records Records, terms TermsFunc, facts Facts) (Verification, error) {
	head, err := books.Head(ctx)
	if err != nil {
		return Verification{}, err
	}
	v := verifier{ctx: ctx, books: books, head: head, book: ledger.New(terms), evidence: ledger.Evidence{Records: records}}
	if facts != nil {
		v.evidence.Document = facts.Document
		if v.kept, err = facts.Booked(); err != nil {
			return Verification{}, err
		}
	}
	if err := v.run(records); err != nil {
		return v.out, err
	}
	v.out.Head, v.out.Trial = v.book.Head(), ledger.TrialBalance(v.book.Balances())
	v.out.Open = len(v.book.State().Open)
	if v.out.Fault == nil && v.book.Head().Batch < head.Batch {
		v.missing(v.book.Head().Batch + 1)
	}
	if v.out.Fault == nil {
		err = v.balances()
	}
	return v.out, err
}

type verifier struct {
	ctx      context.Context
	books    Reader
	head     ledger.Head
	book     *ledger.Book
	pending  []record.Record
	kept     []ledger.Fact // that are not verified yet
	evidence ledger.Evidence
	intents  []uint64 // a bit per record: it is an intent
	out      Verification
}

func (v *verifier) fault(f Fault) { v.out.Fault = &f }

func (v *verifier) run(records Records) error {
	if err := v.facts(); err != nil || v.out.Fault != nil {
		return err
	}
	for r, err := range records(1) {
		if err != nil {
			return fmt.Errorf("read the journal after record %d: %w", v.out.Records, err)
		}
		if v.ctx.Err() != nil {
			return v.ctx.Err()
		}
		if r.Sequence > v.head.Last {
			v.out.Unposted++
			continue
		}
		v.out.Records++
		v.see(&r)
		v.pending = append(v.pending, r)
		if r.Kind != record.KindMark {
			continue
		}
		if err := v.batch(); err != nil || v.out.Fault != nil {
			return err
		}
		clear(v.pending)
		v.pending = v.pending[:0]
	}
	return nil
}

func (v *verifier) see(r *record.Record) {
	for uint64(len(v.intents)) <= r.Sequence/64 {
		v.intents = append(v.intents, 0)
	}
	if r.Intent != nil {
		v.intents[r.Sequence/64] |= 1 << (r.Sequence % 64)
	}
}

func (v *verifier) batch() error {
	n := v.book.Head().Batch + 1
	step, err := v.book.Post(v.pending)
	switch {
	case errors.Is(err, ledger.ErrTerms):
		v.fault(Fault{Batch: n, Problem: err.Error(), Remedy: remedyTerms})
		return nil
	case errors.Is(err, ledger.ErrSequence):
		v.fault(Fault{Batch: n, Problem: err.Error(), Remedy: remedyJournal})
		return nil
	case err != nil:
		return fmt.Errorf("post batch %d again: %w", n, err)
	}
	if found, err := v.stored(&step.Batch); !found {
		return err
	}
	if v.out.Fault == nil {
		v.unmatched(&step.Batch)
	}
	v.out.Batches = n
	v.out.Served += step.Batch.Served
	v.out.Unserved += step.Batch.Unserved
	v.out.Suspense += step.Batch.Suspense
	if v.out.Fault != nil {
		return nil
	}
	return v.facts()
}

// stored compares a recomputed batch with the books' own. found is false when
// they do not hold it, which is a fault, or cannot be read.
func (v *verifier) stored(want *ledger.Batch) (found bool, err error) {
	have, err := v.books.Batch(v.ctx, want.Sequence)
	if errors.Is(err, ErrNotFound) {
		v.fault(Fault{Batch: want.Sequence, Problem: "the books do not hold the batch", Remedy: remedyBooks})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	v.compare(want, &have)
	return true, nil
}

// facts posts the facts that stand at the place that is reached.
func (v *verifier) facts() error {
	for len(v.kept) > 0 && v.kept[0].Number <= v.head.Facts && v.kept[0].After == v.book.Head().Last {
		n := v.book.Head().Batch + 1
		step, err := v.book.PostFact(v.kept[0], v.evidence)
		switch {
		case errors.Is(err, ledger.ErrTerms):
			v.fault(Fault{Batch: n, Problem: err.Error(), Remedy: remedyTerms})
			return nil
		case errors.Is(err, ledger.ErrFact), errors.Is(err, ledger.ErrSequence):
			v.fault(Fault{Batch: n, Problem: err.Error(), Remedy: remedyFacts})
			return nil
		case err != nil:
			return fmt.Errorf("post batch %d again: %w", n, err)
		}
		if found, err := v.stored(&step.Batch); !found {
			return err
		}
		v.out.Batches, v.out.Facts = n, v.kept[0].Number
		v.kept = v.kept[1:]
		if v.out.Fault != nil {
			return nil
		}
	}
	return nil
}

// missing names what a stored batch needs and is not there.
func (v *verifier) missing(n uint64) {
	if have, err := v.books.Batch(v.ctx, n); err == nil && have.Fact > 0 {
		v.fault(Fault{Batch: n, Problem: fmt.Sprintf("the facts end before this batch, which posts fact %d", have.Fact), Remedy: remedyFacts})
		return
	}
	v.fault(Fault{Batch: n, Problem: "the journal ends before this batch", Remedy: remedyJournal})
}

// unmatched tells a second outcome of an attempt from one without an intent.
func (v *verifier) unmatched(b *ledger.Batch) {
	for _, n := range b.Unmatched {
		out := v.pending[n-b.First].Outcome
		if i := out.Intent; i < n && v.intents[i/64]&(1<<(i%64)) != 0 {
			v.out.Notes = append(v.out.Notes, fmt.Sprintf("record %d is a second or foreign outcome of intent %d: it was not posted", n, i))
			continue
		}
		v.fault(Fault{Batch: b.Sequence, Record: n, Problem: fmt.Sprintf("the outcome of attempt %s has no intent", out.Attempt), Remedy: remedyJournal})
		return
	}
}

func (v *verifier) compare(want, have *ledger.Batch) {
	n := want.Sequence
	if have.Fact != want.Fact {
		v.fault(Fault{Batch: n, Problem: fmt.Sprintf("the books have fact %d here and the data directory has fact %d (0: none)", have.Fact, want.Fact), Remedy: remedyFacts})
		return
	}
	if have.FactDigest != want.FactDigest {
		v.fault(Fault{Batch: n, Problem: fmt.Sprintf("fact %d is not the one that was posted: its FactDigest is %s, the books have %s", want.Fact, want.FactDigest, have.FactDigest), Remedy: remedyFacts})
		return
	}
	if have.Hash == want.Hash && have.Sum() == want.Hash {
		return
	}
	for i := range max(len(want.Entries), len(have.Entries)) {
		switch {
		case i >= len(have.Entries):
			v.fault(Fault{Batch: n, Entry: i + 1, Problem: "the books miss the entry " + Sentence(&want.Entries[i]), Remedy: remedyBooks})
			return
		case i >= len(want.Entries):
			v.fault(Fault{Batch: n, Entry: i + 1, Problem: "the journal does not give the entry " + Sentence(&have.Entries[i]), Remedy: remedyBooks})
			return
		case want.Entries[i] != have.Entries[i]:
			v.fault(Fault{Batch: n, Entry: i + 1, Problem: difference(want.Entries[i], have.Entries[i]), Remedy: remedyBooks})
			return
		}
	}
	switch {
	case have.Prev != want.Prev:
		v.fault(Fault{Batch: n, Problem: fmt.Sprintf("the chain is broken: it names %s as the batch before, which is %s", have.Prev, want.Prev), Remedy: remedyBooks})
	case have.Sum() == want.Hash:
		v.fault(Fault{Batch: n, Problem: fmt.Sprintf("the stored hash is %s, its bytes give %s", have.Hash, want.Hash), Remedy: remedyBooks})
	default:
		w, h := *want, *have
		w.Entries, h.Entries, w.Hash, h.Hash = nil, nil, ledger.Digest{}, ledger.Digest{}
		v.fault(Fault{Batch: n, Problem: difference(w, h), Remedy: remedyBooks})
	}
}

// difference names the first field in which two values of one type differ.
func difference(want, have any) string {
	w, h := reflect.ValueOf(want), reflect.ValueOf(have)
	for i := range w.NumField() {
		if a, b := w.Field(i).Interface(), h.Field(i).Interface(); !reflect.DeepEqual(a, b) {
			if w.Field(i).Kind() == reflect.Struct && w.Type().Field(i).Anonymous {
				return difference(a, b)
			}
			return fmt.Sprintf("its %s is %v in the books and %v by the journal", w.Type().Field(i).Name, b, a)
		}
	}
	return "it differs"
}

// balances compares the stored balances with the recomputed ones, where the
// books have not moved on meanwhile.
func (v *verifier) balances() error {
	have, err := v.books.Balances(v.ctx)
	if err != nil {
		return err
	}
	head, err := v.books.Head(v.ctx)
	if err != nil {
		return err
	}
	if head.Batch != v.head.Batch {
		v.out.Notes = append(v.out.Notes, "the books moved on while they were verified: stored balances were not compared, they follow from the entries")
		return nil
	}
	want := v.book.Balances()
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(have) || i < len(want) && want[i].Account < have[i].Account:
			v.fault(Fault{Batch: head.Batch, Problem: fmt.Sprintf("the books miss the balance of %s", want[i].Account), Remedy: remedyBooks})
		case i >= len(want) || want[i].Account > have[i].Account:
			v.fault(Fault{Batch: head.Batch, Problem: fmt.Sprintf("the entries give no balance of %s", have[i].Account), Remedy: remedyBooks})
		case want[i] != have[i]:
			v.fault(Fault{Batch: head.Batch, Problem: fmt.Sprintf("the balance of %s is %s in the books and %s by the journal", want[i].Account, have[i].Asset.Format(have[i].Amount), want[i].Asset.Format(want[i].Amount)), Remedy: remedyBooks})
		default:
			continue
		}
		return nil
	}
	return nil
}
