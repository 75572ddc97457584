package settle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// Journal is what settling needs of the node's journal.
type Journal interface {
	// Mark closes a batch and returns once all up to it is on disk, so that
	// the books never run ahead of the journal.
	Mark(ctx context.Context) (uint64, error)
	// Last is the sequence number of the last record.
	Last() uint64
	// Wait returns Last as soon as it is above after.
	Wait(ctx context.Context, after uint64) (uint64, error)
	// ReadInto yields the records from a sequence number to Last. They are
	// valid until the memory is reset.
	ReadInto(m *record.Memory, from uint64) iter.Seq2[record.Record, error]
}

// TermsFunc returns the version of the terms that has a hash.
type TermsFunc func(hash string) (*alliance.Alliance, error)

// The limits of settling.
const (
	// Window is how long an outcome waits at most before its batch is closed.
	Window = 250 * time.Millisecond
	// MaxOutcomes is how many unposted outcomes close a batch at once.
	MaxOutcomes = 4096
	// MaxPending is how many records close a batch at once, of whatever kind:
	// refusals alone must not pile up in memory.
	MaxPending = 2 * MaxOutcomes
	// MaxQueue is how many posted batches wait in memory for a store that
	// fails; then posting stops until it works, and marks go on.
	MaxQueue = 64
	// MinRetry and MaxRetry bound the pause after a failure, which doubles.
	MinRetry = 100 * time.Millisecond
	MaxRetry = 10 * time.Second
	// FinishTimeout bounds the last batch when Run is told to stop.
	FinishTimeout = 5 * time.Second
)

// Status is how settling stands.
type Status struct {
	Stored ledger.Head `json:"stored"` // the last stored batch
	Posted ledger.Head `json:"posted"` // the last batch in memory
	// Lag counts the records of the journal that are not stored. An idle node
	// may keep up to MaxPending: until then only outcomes close a batch.
	Lag     uint64    `json:"lag"`
	Waiting int       `json:"waiting"` // outcomes that were read and are not posted
	Queued  int       `json:"queued"`  // batches that wait for the store
	Error   string    `json:"error"`   // the last failure, empty when all works
	Failing time.Time `json:"failing"` // since when, zero when all works
}

// Settler owns the books of one node. Its methods may be called at once; Run
// is called once.
type Settler struct {
	journal Journal
	store   Store
	log     *slog.Logger

	// Of Run alone.
	next     uint64          // the record to read next
	pending  []record.Record // records after the last posted batch
	memory   record.Memory   // of them
	complete bool            // pending ends with a mark
	outcomes int             // in pending
	since    time.Time       // when the first of them was seen
	mark     uint64          // the last mark seen or written
	queue    []*ledger.Step
	facts    Facts            // nil without UseFacts
	now      func() time.Time // when facts become known; not the pace of Run
	unposted []ledger.Fact    // kept facts that are not in the books yet
	posting  backoff          // reading, marking and posting
	storing  backoff

	mu     sync.Mutex // guards all below
	life   int        // notRun, running or ended
	asks   []ask
	wake   context.CancelFunc // ends the wait of Run, nil while it works
	book   *ledger.Book
	stored ledger.Head
	queued int
	waits  int
	err    string
	failed time.Time
}

// ErrAhead reports books that hold more than the journal, which a loss of the
// journal's files explains.
var ErrAhead = errors.New("the books are ahead of the journal")

// New reads the state of the books and checks that the journal goes on from
// there. The store and the journal stay the caller's to close, after Run.
func New(ctx context.Context, j Journal, store Store, terms TermsFunc, log *slog.Logger) (*Settler, error) {
	state, err := store.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the books: %w", err)
	}
	if last := j.Last(); state.Head.Last > last {
		return nil, fmt.Errorf("%w: batch %d ends with record %d, the journal with %d: put the journal's files back, or move the books away and let them be posted anew", ErrAhead, state.Head.Batch, state.Head.Last, last)
	}
	return &Settler{
		journal: j, store: store, log: log, now: time.Now,
		book: ledger.Resume(state, terms), stored: state.Head, next: state.Head.Last + 1, mark: state.Head.Last,
	}, nil
}

// UseClock makes facts be recorded at the instants of another clock than the
// system's. It is called before Record, by whoever plays a stretch of time.
func (s *Settler) UseClock(now func() time.Time) { s.now = now }

// CatchUp posts and stores the batches that the journal has closed already,
// so that balances are current before the first request. It is called before
// Run, or not at all.
func (s *Settler) CatchUp(ctx context.Context) error {
	for {
		if err := s.read(ctx); err != nil {
			return err
		}
		if len(s.queue) == 0 {
			return nil
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
}

// Run settles until ctx ends, then closes and stores the last batch within
// FinishTimeout. The journal must stay open until Run returns. It returns nil
// when all that the journal holds is stored.
func (s *Settler) Run(ctx context.Context) error {
	s.live(running)
	for ctx.Err() == nil {
		s.turn(ctx, false)
		s.answerAsks(ctx, false)
		s.report(ctx)
		s.wait(ctx)
	}
	s.live(ended)
	s.answerAsks(ctx, true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), FinishTimeout)
	defer cancel()
	s.turn(last, true)
	s.report(last)
	if err := errors.Join(s.posting.err, s.storing.err); err != nil {
		return fmt.Errorf("store the last batch: %w: it is posted from the journal at the next start", err)
	}
	return nil
}

// turn does what can be done now: store what waits, post what is closed, and
// close a batch whose time has come. The last turn does not wait for anything.
func (s *Settler) turn(ctx context.Context, last bool) {
	if now := time.Now(); len(s.queue) > 0 && (last || s.storing.due(now)) {
		s.storing.note(now, s.flush(ctx))
	}
	if now := time.Now(); last || s.posting.due(now) && len(s.queue) < MaxQueue {
		s.posting.note(now, s.postAll(ctx, last))
		return
	}
	if err := s.markLong(ctx); err != nil {
		s.posting.note(time.Now(), err)
	}
}

func (s *Settler) postAll(ctx context.Context, last bool) error {
	if err := s.read(ctx); err != nil {
		return err
	}
	old := s.outcomes > 0 && (last || time.Since(s.since) >= Window)
	if !old && s.outcomes < MaxOutcomes && len(s.pending) < MaxPending {
		return nil
	}
	if err := s.close(ctx); err != nil {
		return err
	}
	return s.read(ctx)
}

// close writes a mark.
func (s *Settler) close(ctx context.Context) error {
	mark, err := s.journal.Mark(ctx)
	if err != nil {
		return fmt.Errorf("close the batch: %w", err)
	}
	s.mark = mark
	return nil
}

// markLong closes batches while they cannot be posted, so that none grows
// without bound.
func (s *Settler) markLong(ctx context.Context) error {
	if s.journal.Last() < s.mark+2*MaxOutcomes {
		return nil
	}
	return s.close(ctx)
}

// read takes records as far as the journal goes, posts each batch at its mark
// and stores it.
func (s *Settler) read(ctx context.Context) error {
	if err := s.postFacts(ctx); err != nil {
		return err
	}
	if err := s.post(ctx); err != nil {
		return err
	}
	for r, err := range s.journal.ReadInto(&s.memory, s.next) {
		if err != nil {
			return fmt.Errorf("read the journal from record %d: %w", s.next, err)
		}
		s.take(r)
		if err := s.post(ctx); err != nil {
			return err
		}
		if len(s.queue) >= MaxQueue {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (s *Settler) take(r record.Record) {
	s.pending = append(s.pending, r)
	s.next = r.Sequence + 1
	switch r.Kind {
	case record.KindMark:
		s.complete, s.mark = true, max(s.mark, r.Sequence)
	case record.KindOutcome:
		if s.outcomes == 0 {
			s.since = time.Now()
		}
		s.outcomes++
	}
}

// post posts the pending batch when it is complete, and stores it unless the
// store is failing.
func (s *Settler) post(ctx context.Context) error {
	if !s.complete {
		return nil
	}
	s.mu.Lock()
	step, err := s.book.Post(s.pending)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("post the records %d to %d: %w", s.pending[0].Sequence, s.pending[len(s.pending)-1].Sequence, err)
	}
	clear(s.pending)
	s.memory.Reset()
	s.pending, s.complete, s.outcomes = s.pending[:0], false, 0
	s.queue = append(s.queue, &step)
	if s.storing.err == nil {
		s.storing.note(time.Now(), s.flush(ctx))
	}
	return s.postFacts(ctx)
}

// flush stores what waits, in order.
func (s *Settler) flush(ctx context.Context) error {
	defer func() {
		s.mu.Lock()
		s.queued = len(s.queue)
		s.mu.Unlock()
	}()
	for len(s.queue) > 0 {
		step := s.queue[0]
		if err := s.store.Append(ctx, step); err != nil && !s.already(ctx, step, err) {
			return err
		}
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.mu.Lock()
		s.stored = step.Head
		s.mu.Unlock()
	}
	return nil
}

// already reports whether a batch whose append failed is stored all the same:
// a commit can succeed and its answer be lost.
func (s *Settler) already(ctx context.Context, step *ledger.Step, err error) bool {
	if !errors.Is(err, ErrHead) {
		return false
	}
	b, readErr := s.store.Batch(ctx, step.Batch.Sequence)
	return readErr == nil && b.Hash == step.Batch.Hash
}

// backoff is the pause after failures of one kind. Its zero value is healthy.
type backoff struct {
	err   error
	pause time.Duration
	at    time.Time // not before
}

func (b *backoff) due(now time.Time) bool { return b.err == nil || !now.Before(b.at) }

func (b *backoff) note(now time.Time, err error) {
	if err == nil {
		*b = backoff{}
		return
	}
	b.err, b.pause = err, min(max(2*b.pause, MinRetry), MaxRetry)
	b.at = now.Add(b.pause)
}

// report keeps the state of health, and logs when it changes.
func (s *Settler) report(ctx context.Context) {
	err := errors.Join(s.posting.err, s.storing.err)
	if err != nil && ctx.Err() != nil {
		return // what the end of ctx interrupted is no failure
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	was := s.err
	s.err, s.waits = text, s.outcomes
	switch {
	case text == "":
		s.failed = time.Time{}
	case was == "":
		s.failed = time.Now()
	}
	s.mu.Unlock()
	switch {
	case text == "" && was != "":
		s.log.InfoContext(ctx, "the books are stored again")
	case text != was:
		s.log.ErrorContext(ctx, "the books cannot be stored: requests go on", "error", err)
	}
}

// wait returns when there is something to do.
func (s *Settler) wait(ctx context.Context) {
	after := s.next - 1
	var until time.Time
	by := func(t time.Time) {
		if until.IsZero() || t.Before(until) {
			until = t
		}
	}
	if s.storing.err != nil {
		by(s.storing.at)
	}
	switch {
	case s.posting.err != nil:
		by(s.posting.at)
		after = max(after, s.mark+2*MaxOutcomes-1)
	case len(s.queue) >= MaxQueue:
		after = max(after, s.mark+2*MaxOutcomes-1)
	case s.outcomes > 0:
		by(s.since.Add(Window))
		after += 2 * uint64(max(1, MaxOutcomes-s.outcomes))
	}
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	if !until.IsZero() {
		var stop context.CancelFunc
		limited, stop = context.WithDeadline(limited, until)
		defer stop()
	}
	if !s.sleep(cancel) {
		return
	}
	defer s.sleep(nil)
	if _, err := s.journal.Wait(limited, after); err != nil && limited.Err() == nil {
		// The journal is closed or broken: without a pause this would spin.
		s.posting.note(time.Now(), fmt.Errorf("wait for the journal: %w", err))
		s.report(ctx)
		pause, stop := context.WithDeadline(ctx, s.posting.at)
		<-pause.Done()
		stop()
	}
}

// sleep lets Record end the wait with wake; nil says that the wait is over. It
// reports whether nothing is asked already.
func (s *Settler) sleep(wake context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
	return len(s.asks) == 0
}

// Status says how settling stands.
func (s *Settler) Status() Status {
	last := s.journal.Last()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Stored: s.stored, Posted: s.book.Head(), Waiting: s.waits, Queued: s.queued, Error: s.err, Failing: s.failed}
	if last > s.stored.Last {
		st.Lag = last - s.stored.Last
	}
	return st
}

// Spent returns what retired the floor of the contract's interval that
// contains at, by the terms t: live, as posted in memory.
func (s *Settler) Spent(t *ledger.Terms, id alliance.ContractID, at time.Time) money.Amount {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.Spent(t, id, at)
}

// Changes returns what the facts that are posted change of contracts.
func (s *Settler) Changes() []contract.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.Changes()
}

// Burns returns how every contract of the terms stands at an instant.
func (s *Settler) Burns(t *ledger.Terms, at time.Time) []ledger.Burn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.Burns(t, at)
}

// Balances returns all accounts by path, as posted in memory.
func (s *Settler) Balances() []ledger.Balance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.Balances()
}

// Closed is the last closed month, YYYYMM, 0 for none.
func (s *Settler) Closed() int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.Closed()
}

// TrialBalance adds up the balances per asset.
func (s *Settler) TrialBalance() []ledger.Total { return ledger.TrialBalance(s.Balances()) }
