package settle

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// Records yields the records of a journal from a sequence number on.
type Records func(from uint64) iter.Seq2[record.Record, error]

// The states of an attempt in a trace.
const (
	InFlight = "in_flight" // no outcome yet
	Unposted = "unposted"  // the outcome waits for its batch
	Posted   = "posted"
)

// Trace is all that the journal and the books hold of one request.
type Trace struct {
	Request  string          `json:"request"`
	Attempts []Attempt       `json:"attempts"`
	Refusals []record.Record `json:"refusals,omitempty"`
}

// Attempt is one attempt of a traced request.
type Attempt struct {
	State   string         `json:"state"`
	Intent  record.Record  `json:"intent"`
	Outcome *record.Record `json:"outcome,omitempty"`
	Line    *ledger.Line   `json:"line,omitempty"`
	Batch   uint64         `json:"batch,omitempty"`
	// Entries are those that the line is part of, in the order of its postings.
	Entries []Placed `json:"entries,omitempty"`
}

// ErrUnknown reports a request that neither the journal nor the books know.
var ErrUnknown = errors.New("no such request")

// Versions returns books without entries that know the versions of the terms
// and what the facts change of them. facts is nil where there are none.
func Versions(terms TermsFunc, facts Facts) (*ledger.Book, error) {
	cache := ledger.New(terms)
	if facts == nil {
		return cache, nil
	}
	list, err := facts.Booked()
	if err != nil {
		return nil, err
	}
	return cache, cache.Recall(list)
}

// Find returns the trace of a request by its x-request-id: every attempt with
// its decision, its outcome, its exact line and the entries that hold it.
// facts is nil where there are none.
func Find(ctx context.Context, books Reader, records Records, terms TermsFunc, facts Facts, request string) (*Trace, error) {
	cache, err := Versions(terms, facts)
	if err != nil {
		return nil, err
	}
	f := finder{ctx: ctx, books: books, records: records, cache: cache, trace: &Trace{Request: request}, intents: map[uint64]int{}}
	head, err := books.Head(ctx)
	if err != nil {
		return nil, err
	}
	located, err := books.Find(ctx, request)
	if err != nil {
		return nil, err
	}
	for i := len(located) - 1; i >= 0; i-- {
		if err := f.located(located[i]); err != nil {
			return nil, err
		}
	}
	open, err := books.Open(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		if o.Intent.Request != request {
			continue
		}
		r, err := f.record(o.Sequence) // with what the decision considered
		if err != nil {
			return nil, err
		}
		f.attempt(r)
	}
	if err := f.tail(head.Last + 1); err != nil {
		return nil, err
	}
	if len(f.trace.Attempts) == 0 && len(f.trace.Refusals) == 0 {
		return nil, fmt.Errorf("%w: %s: give the x-request-id of an answer", ErrUnknown, request)
	}
	return f.trace, nil
}

type finder struct {
	ctx     context.Context
	books   Reader
	records Records
	cache   *ledger.Book // for its terms
	trace   *Trace
	intents map[uint64]int // intent to position in trace.Attempts
}

func (f *finder) record(sequence uint64) (record.Record, error) {
	for r, err := range f.records(sequence) {
		if err != nil {
			return r, fmt.Errorf("read record %d of the journal: %w", sequence, err)
		}
		if r.Sequence == sequence {
			return r, nil
		}
		break
	}
	return record.Record{}, fmt.Errorf("the books cite record %d, which the journal does not hold: put the journal's files back", sequence)
}

func (f *finder) attempt(r record.Record) int {
	if i, ok := f.intents[r.Sequence]; ok {
		return i
	}
	f.trace.Attempts = append(f.trace.Attempts, Attempt{State: InFlight, Intent: r})
	f.intents[r.Sequence] = len(f.trace.Attempts) - 1
	return len(f.trace.Attempts) - 1
}

func (f *finder) located(l ledger.Located) error {
	r, err := f.record(l.Intent)
	if err != nil {
		return err
	}
	switch {
	case r.Refusal != nil && r.Refusal.Request == l.Request:
		f.trace.Refusals = append(f.trace.Refusals, r)
		return nil
	case r.Intent == nil || r.Intent.Request != l.Request:
		return nil // another request with the same hash
	}
	out, err := f.record(l.Outcome)
	if err != nil {
		return err
	}
	i := f.attempt(r)
	if err := f.line(i, out); err != nil {
		return err
	}
	a := &f.trace.Attempts[i]
	if a.Batch, err = f.books.BatchOf(f.ctx, l.Outcome); err != nil {
		return err
	}
	b, err := f.books.Batch(f.ctx, a.Batch)
	if err != nil {
		return err
	}
	a.State = Posted
	for _, p := range a.Line.Postings {
		for n := range b.Entries {
			if b.Entries[n].LineKey() == p.Key {
				a.Entries = append(a.Entries, Placed{Batch: b.Sequence, Number: n + 1, At: b.At, Entry: b.Entries[n]})
			}
		}
	}
	for n := range b.Entries {
		if ledger.MayBeyond(&b.Entries[n], a.Line) {
			a.Entries = append(a.Entries, Placed{Batch: b.Sequence, Number: n + 1, At: b.At, Entry: b.Entries[n]})
		}
	}
	return nil
}

func (f *finder) line(i int, out record.Record) error {
	a := &f.trace.Attempts[i]
	t, err := f.cache.TermsAt(a.Intent.Intent.Terms, out.Sequence)
	if err != nil {
		return err
	}
	line, err := f.exact(&a.Intent, &out, t)
	if err != nil {
		return fmt.Errorf("line of outcome %d: %w", out.Sequence, err)
	}
	a.State, a.Outcome, a.Line = Unposted, &out, &line
	return nil
}

// exact returns the line of an outcome, parted as the books parted it.
func (f *finder) exact(intent, outcome *record.Record, t *ledger.Terms) (ledger.Line, error) {
	lefts, err := f.books.Lefts(f.ctx, outcome.Sequence, outcome.Sequence)
	if err != nil {
		return ledger.Line{}, err
	}
	return ledger.LineAfter(intent, outcome, t, lefts[outcome.Sequence])
}

// tail looks through the records that are not posted yet.
func (f *finder) tail(from uint64) error {
	for r, err := range f.records(from) {
		if err != nil {
			return fmt.Errorf("read the journal from record %d: %w", from, err)
		}
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		switch {
		case r.Intent != nil && r.Intent.Request == f.trace.Request:
			f.attempt(r)
		case r.Refusal != nil && r.Refusal.Request == f.trace.Request:
			f.trace.Refusals = append(f.trace.Refusals, r)
		case r.Outcome != nil:
			i, ours := f.intents[r.Outcome.Intent]
			if !ours || f.trace.Attempts[i].Outcome != nil || r.Outcome.Attempt != f.trace.Attempts[i].Intent.Intent.Attempt {
				continue
			}
			if err := f.line(i, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lines returns the lines of one stored entry, recomputed from the journal:
// the way from a total down to its requests. It fails when they do not come
// to what the entry says. facts is nil where there are none.
func Lines(ctx context.Context, books Reader, records Records, terms TermsFunc, facts Facts, e *ledger.Entry) ([]ledger.Line, error) {
	cache, err := Versions(terms, facts)
	if err != nil {
		return nil, err
	}
	var outcomes []record.Record
	needed := map[uint64]*record.Record{}
	low := e.First
	for r, err := range records(e.First) {
		if err != nil {
			return nil, fmt.Errorf("read the journal from record %d: %w", e.First, err)
		}
		if r.Sequence > e.Last || ctx.Err() != nil {
			break
		}
		if r.Outcome != nil {
			outcomes = append(outcomes, r)
			needed[r.Outcome.Intent] = nil
			low = min(low, r.Outcome.Intent)
		}
	}
	for r, err := range records(low) {
		if err != nil {
			return nil, fmt.Errorf("read the journal from record %d: %w", low, err)
		}
		if r.Sequence > e.Last || ctx.Err() != nil {
			break
		}
		if _, ok := needed[r.Sequence]; ok && r.Intent != nil {
			needed[r.Sequence] = &r
		}
	}
	lefts, err := books.Lefts(ctx, e.First, e.Last)
	if err != nil {
		return nil, err
	}
	match := matching
	if ledger.IsSurcharge(e) {
		match = surcharged
	}
	lines, err := match(outcomes, needed, lefts, cache, e)
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	if sum := ledger.SumOf(e.LineKey(), lines); sum.Digest != e.Digest && e.Lines > 0 {
		return lines, fmt.Errorf("the journal does not come to the entry: it has %d lines and %v tokens, the entry %d and %v: run accordo ledger verify", sum.Lines, sum.Tokens.Total(), e.Lines, e.Tokens.Total())
	}
	return lines, ctx.Err()
}

// surcharged recomputes the lines of what usage beyond a commitment costs on
// top. All tokens of its requests are beyond but those of the first, within
// which the commitment may end.
func surcharged(outcomes []record.Record, intents map[uint64]*record.Record, lefts map[uint64]ledger.Lefts, cache *ledger.Book, e *ledger.Entry) (lines []ledger.Line, err error) {
	var list []*record.Record
	rest := e.Tokens
	for i := range outcomes {
		intent := intents[outcomes[i].Outcome.Intent]
		if intent == nil || intent.Intent.Attempt != outcomes[i].Outcome.Attempt {
			continue
		}
		intents[intent.Sequence] = nil // a second outcome posts nothing
		t, err := cache.TermsAt(intent.Intent.Terms, outcomes[i].Sequence)
		if err != nil {
			return nil, err
		}
		line, err := ledger.LineAfter(intent, &outcomes[i], t, lefts[outcomes[i].Sequence])
		if err != nil {
			return nil, err
		}
		if ledger.MayBeyond(e, &line) {
			list, lines = append(list, intent), append(lines, line)
			rest = rest.Add(line.Tokens.Neg())
		}
	}
	for i := range lines {
		tokens := lines[i].Tokens
		if i == 0 {
			tokens = tokens.Add(rest)
		}
		t, err := cache.TermsAt(list[i].Intent.Terms, lines[i].Outcome)
		if err != nil {
			return nil, err
		}
		if !ledger.Beyond(&lines[i], list[i], t, e, tokens) {
			return nil, fmt.Errorf("the terms %s have no surcharge at %s: run accordo ledger verify", list[i].Intent.Terms, e.Price)
		}
	}
	return lines, nil
}

func matching(outcomes []record.Record, intents map[uint64]*record.Record, lefts map[uint64]ledger.Lefts, cache *ledger.Book, e *ledger.Entry) (lines []ledger.Line, err error) {
	for i := range outcomes {
		intent := intents[outcomes[i].Outcome.Intent]
		if intent == nil || intent.Intent.Attempt != outcomes[i].Outcome.Attempt {
			continue
		}
		intents[intent.Sequence] = nil // a second outcome posts nothing
		t, err := cache.TermsAt(intent.Intent.Terms, outcomes[i].Sequence)
		if err != nil {
			return nil, err
		}
		line, err := ledger.LineAfter(intent, &outcomes[i], t, lefts[outcomes[i].Sequence])
		if err != nil {
			return nil, err
		}
		for j := range line.Postings {
			if line.Postings[j].Key == e.LineKey() {
				lines = append(lines, line)
				break
			}
		}
	}
	return lines, nil
}
