package settle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
)

// Facts is what settling needs of the facts in the data directory.
type Facts interface {
	// Booked returns all facts that move the books, numbered in their order.
	Booked() ([]ledger.Fact, error)
	// Seal completes a fact with the digest by which AppendBooked keeps it.
	Seal(f ledger.Fact) (ledger.Fact, error)
	// AppendBooked returns when the fact is safe.
	AppendBooked(f ledger.Fact) error
	// Document returns what a fact refers to by its hash.
	Document(hash string) ([]byte, error)
}

// Errors of facts that callers tell apart.
var (
	// ErrNoFacts reports a settler that was given no facts.
	ErrNoFacts = errors.New("the books were opened without their facts")
	// ErrStopping reports a fact that came when settling had ended.
	ErrStopping = errors.New("the books are being closed")
)

// UseFacts gives the settler the facts of the data directory. It is called
// once, before CatchUp and Run.
func (s *Settler) UseFacts(facts Facts) error {
	list, err := facts.Booked()
	if err != nil {
		return err
	}
	posted := s.book.Head().Facts
	if uint64(len(list)) < posted {
		return fmt.Errorf("%w: they hold %d facts, the data directory %d: put facts.jsonl back from a copy", ErrAhead, posted, len(list))
	}
	if err := s.book.Recall(list[:posted]); err != nil {
		return err
	}
	s.facts, s.unposted = facts, list[posted:]
	return nil
}

func (s *Settler) evidence() ledger.Evidence {
	ev := ledger.Evidence{Records: func(from uint64) iter.Seq2[record.Record, error] { return s.journal.ReadInto(nil, from) }}
	if s.facts != nil {
		ev.Document = s.facts.Document
	}
	return ev
}

// postFacts posts the kept facts whose place in the journal is reached.
func (s *Settler) postFacts(ctx context.Context) error {
	for len(s.unposted) > 0 && s.unposted[0].After <= s.book.Head().Last {
		step, err := s.book.Prepare(s.unposted[0], s.evidence())
		if err != nil {
			return fmt.Errorf("post the facts of the data directory: %w", err)
		}
		s.apply(ctx, &step)
		s.unposted = s.unposted[1:]
	}
	return nil
}

// apply takes over a prepared step and stores it unless the store is failing.
func (s *Settler) apply(ctx context.Context, step *ledger.Step) {
	s.mu.Lock()
	s.book.Apply(step)
	s.mu.Unlock()
	s.queue = append(s.queue, step)
	if s.storing.err == nil {
		s.storing.note(time.Now(), s.flush(ctx))
	}
}

// ask is a fact that waits for the goroutine of Run.
type ask struct {
	event  ledger.Event
	dry    bool
	answer chan answer
}

type answer struct {
	step ledger.Step
	err  error
}

// Record keeps an event as a fact and posts it, at the place of the books
// that is reached. With dry it only says what would be posted. An event that
// contradicts the books is ledger.ErrFact, and nothing is kept.
func (s *Settler) Record(ctx context.Context, event ledger.Event, dry bool) (ledger.Step, error) {
	s.mu.Lock()
	switch s.life {
	case notRun:
		s.mu.Unlock()
		return s.record(ctx, event, dry)
	case ended:
		s.mu.Unlock()
		return ledger.Step{}, ErrStopping
	}
	a := ask{event, dry, make(chan answer, 1)}
	s.asks = append(s.asks, a)
	if s.wake != nil {
		s.wake()
	}
	s.mu.Unlock()
	select {
	case got := <-a.answer:
		return got.step, got.err
	case <-ctx.Done():
		return ledger.Step{}, fmt.Errorf("%w: the fact may be recorded all the same: look before repeating it", ctx.Err())
	}
}

// Bills returns what a provider may bill for a month, by what is posted: an
// invoice for each currency of its contracts. Nobody else may post meanwhile:
// it is called before Run.
func (s *Settler) Bills(provider string, month int32) ([]*invoice.Truth, error) {
	return s.book.Bills(provider, month, s.evidence())
}

// The life of a settler, for Record: before Run the caller's goroutine owns
// the books.
const (
	notRun  = 0
	running = 1
	ended   = 2
)

func (s *Settler) live(life int) {
	s.mu.Lock()
	s.life = life
	s.mu.Unlock()
}

// answerAsks records what waits. After the end it refuses.
func (s *Settler) answerAsks(ctx context.Context, stopping bool) {
	s.mu.Lock()
	list := s.asks
	s.asks = nil
	s.mu.Unlock()
	for _, a := range list {
		if stopping {
			a.answer <- answer{err: ErrStopping}
			continue
		}
		step, err := s.record(ctx, a.event, a.dry)
		a.answer <- answer{step, err}
	}
}

func (s *Settler) record(ctx context.Context, event ledger.Event, dry bool) (ledger.Step, error) {
	switch {
	case s.facts == nil:
		return ledger.Step{}, ErrNoFacts
	case len(s.unposted) > 0:
		return ledger.Step{}, fmt.Errorf("%d earlier facts are not posted yet: run accordo ledger verify", len(s.unposted))
	case len(s.queue) >= MaxQueue:
		return ledger.Step{}, errors.New("the store of the books fails: nothing is recorded until it works again")
	}
	head := s.book.Head()
	f := ledger.Fact{Number: head.Facts + 1, After: head.Last, At: max(s.now().UnixNano(), head.At), Event: event}
	f, err := s.facts.Seal(f)
	if err != nil {
		return ledger.Step{}, err
	}
	step, err := s.book.Prepare(f, s.evidence())
	if err != nil || dry {
		return step, err
	}
	if err := s.facts.AppendBooked(f); err != nil {
		return ledger.Step{}, err
	}
	s.apply(ctx, &step)
	return step, nil
}
