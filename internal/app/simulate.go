package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/sim"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// The limits of what simulate plays.
const (
	MaxSimulatedMonths   = 120
	MaxSimulatedRequests = 50_000_000
	MaxInvoiceErrors     = 100
	// closeAfter is how long after its end a month is closed, on the virtual
	// clock: bills and invoices have come by then.
	closeAfter = 4*24*time.Hour + 6*time.Hour
	// The years that instants in nanoseconds and months in the books can name,
	// with room on both sides.
	firstSimulatedYear = 1980
	lastSimulatedYear  = 2200
)

// SimulateOrder says what to play and where to write it.
type SimulateOrder struct {
	File           string // empty: the built-in example
	From           string // first month, YYYY-MM
	Months         int
	RequestsPerDay int64
	Seed           uint64
	Data           string
	Facts          string // file of events at their instants, or empty
	OnlyGivenFacts bool   // make up no facts besides those of the file
	// InvoiceErrors is how many errors of each kind every invoice is given, as
	// far as its lines are fit for them.
	InvoiceErrors int
	Odds          *sim.Odds
	DryRun        bool
	JSON          bool
	Version       string
	Progress      io.Writer
	// OnClose, when set, sees the directory after each month's close.
	OnClose func(month int32) error
}

// Simulated says what a play made.
type Simulated struct {
	Says        string            `json:"says"`
	Data        string            `json:"data"`
	Stats       sim.Stats         `json:"stats"`
	Records     uint64            `json:"records"`
	Batches     uint64            `json:"batches"`
	Facts       uint64            `json:"facts"`
	Months      []simulatedMonth  `json:"months"`
	Seconds     float64           `json:"seconds"`
	Bytes       int64             `json:"bytes"` // of the directory
	Differences map[string]int    `json:"differences"`
	Terms       string            `json:"terms"`
	Notice      string            `json:"notice,omitempty"`
	Head        ledger.Digest     `json:"head"`              // hash of the last batch: the same seed gives the same
	Planted     []plantedError    `json:"planted,omitempty"` // errors of invoices, each found
	MadeUp      []madeUpFact      `json:"made_up_facts,omitempty"`
	Trial       []ledger.Total    `json:"trial"`
	Estimate    *simulateEstimate `json:"estimate,omitempty"` // of a dry run
}

// simulatedMonth is one closed month.
type simulatedMonth struct {
	Month       int32         `json:"month"`
	Invoices    int           `json:"invoices"`
	Billed      []billedTotal `json:"billed"`
	Differences int           `json:"differences"`
	Suspense    int           `json:"suspense_closed"`
	Facts       int           `json:"facts"` // others since the close before
}

// billedTotal is what one invoice made payable.
type billedTotal struct {
	Provider string         `json:"provider"`
	Currency money.Currency `json:"currency"`
	Amount   money.Amount   `json:"amount"`
}

// simulation is a play under way. It and all that it writes to are used by one
// goroutine, which is what makes one clock for all of them sound.
type simulation struct {
	o     SimulateOrder
	a     *alliance.Alliance
	terms *ledger.Terms
	from  time.Time
	until time.Time
	clock time.Time

	dir     *datadir.Dir
	journal *journal.Journal
	store   *sqlite.Store
	settler *settle.Settler
	play    *sim.Simulator
	// random draws what the providers' bills hold; the play has its own.
	random    *rand.Rand
	events    []datedEvent
	given     map[string]bool // matters of which the file of events tells
	missed    int             // floors so far that were missed
	facts     uint64          // posted by the last close
	changes   int             // of contracts by facts that the play knows
	result    Simulated
	bar       *simulateBar
	ctx       context.Context
	wallStart time.Time
}

// Simulate plays months of traffic into a data directory of its own, and
// closes each month with the bills and invoices that belong to it.
func Simulate(ctx context.Context, w io.Writer, o SimulateOrder) error {
	s, err := newSimulation(ctx, o)
	if err != nil {
		return err
	}
	if o.DryRun {
		return s.estimate(w)
	}
	if err := s.open(); err != nil {
		return errors.Join(err, s.close())
	}
	err = s.run()
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("stopped on %s of the play, after %d requests", s.clock.Format(time.DateOnly), s.play.Stats().Requests)
	}
	err = errors.Join(err, s.close())
	s.bar.stop()
	if err != nil {
		return fmt.Errorf("%w (the books in %s are whole as far as they go; delete the directory to play again)", err, o.Data)
	}
	s.result.Bytes = sizeOf(o.Data)
	return show(w, o.JSON, &s.result, s.result.write)
}

func newSimulation(ctx context.Context, o SimulateOrder) (*simulation, error) {
	usage := func(format string, args ...any) (*simulation, error) {
		return nil, ExitError{ExitUsage, fmt.Errorf(format, args...)}
	}
	from, err := time.Parse("2006-01", o.From)
	if err != nil {
		return usage("--from is %q: write a month like 2026-01", o.From)
	}
	if o.Months < 1 || o.Months > MaxSimulatedMonths {
		return usage("--months is from 1 to %d", MaxSimulatedMonths)
	}
	until := from.AddDate(0, o.Months, 0)
	if from.Year() < firstSimulatedYear || until.Year() > lastSimulatedYear {
		return usage("--from is %s: the months are from %d to %d", o.From, firstSimulatedYear, lastSimulatedYear)
	}
	if days := int64(until.Sub(from) / (24 * time.Hour)); o.RequestsPerDay < 1 || o.RequestsPerDay > MaxSimulatedRequests/days {
		return usage("--requests-per-day is from 1 to %d for these months: %d requests in all at most", MaxSimulatedRequests/days, MaxSimulatedRequests)
	}
	if o.InvoiceErrors < 0 || o.InvoiceErrors > MaxInvoiceErrors {
		return usage("--invoice-errors is from 0 to %d", MaxInvoiceErrors)
	}
	a, err := loadTerms(o.File)
	if err != nil {
		return nil, err
	}
	s := &simulation{
		o: o, a: a, terms: ledger.NewTerms(a), from: from, until: until, clock: from, ctx: ctx,
		random: rand.New(rand.NewPCG(o.Seed, 2)), wallStart: time.Now(),
	}
	if err := s.prepareFacts(); err != nil {
		return nil, err
	}
	odds := sim.UsualOdds()
	if o.Odds != nil {
		odds = *o.Odds
	}
	s.play, err = sim.New(a, sim.Options{
		From: from, Until: until, RequestsPerDay: o.RequestsPerDay, Odds: odds, Random: rand.NewPCG(o.Seed, 1).Uint64, Spent: s.spent,
	})
	if err != nil {
		return nil, err
	}
	says := fmt.Sprintf("all traffic, bills and invoices of these books were simulated: %d months from %s, about %d requests a day, seed %d", o.Months, o.From, o.RequestsPerDay, o.Seed)
	if !o.OnlyGivenFacts {
		says += ", with made-up facts of contracts"
	}
	s.result = Simulated{Says: says, Data: o.Data, Terms: a.Hash, Notice: a.Notice, Differences: map[string]int{}}
	return s, nil
}

// spent is what a contract has spent, by the books; none before they are open.
func (s *simulation) spent(id alliance.ContractID, at time.Time) money.Amount {
	if s.settler == nil {
		return 0
	}
	return s.settler.Spent(s.terms, id, at)
}

func (s *simulation) now() time.Time { return s.clock }

// open makes the directory and opens journal and books on the virtual clock.
func (s *simulation) open() (err error) {
	node := sha256.Sum256(fmt.Appendf(nil, "simulated node %s %d", s.a.Hash, s.o.Seed))
	s.dir, err = datadir.Found(s.o.Data, hex.EncodeToString(node[:16]), datadir.Simulation{
		Says: s.result.Says, Version: s.o.Version, Terms: s.a.Hash, From: s.o.From, Months: s.o.Months, RequestsPerDay: s.o.RequestsPerDay, Seed: s.o.Seed,
	})
	if err != nil {
		return err
	}
	if err := s.dir.SaveTerms(s.a.Hash, file.Canonical(s.a)); err != nil {
		return err
	}
	if s.journal, _, err = journal.Open(s.dir.Journal(), journal.Options{Node: s.dir.Node(), Now: s.now}); err != nil {
		return err
	}
	if s.store, err = sqlite.Open(s.ctx, s.dir.Books()); err != nil {
		return err
	}
	if s.settler, err = settle.New(s.ctx, s.journal, s.store, termsFrom(s.dir), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	s.settler.UseClock(s.now)
	s.bar = startSimulateBar(s.o.Progress, s.result.Says, s.from, s.until)
	return s.settler.UseFacts(s.dir)
}

func (s *simulation) close() error {
	var err error
	if s.journal != nil {
		err = s.journal.Close()
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
	}
	return err
}

// run plays month after month and closes each a few days into the next.
func (s *simulation) run() error {
	for month := s.from; month.Before(s.until); month = month.AddDate(0, 1, 0) {
		next := month.AddDate(0, 1, 0)
		if err := s.advance(next); err != nil {
			return err
		}
		if err := s.advance(next.Add(closeAfter)); err != nil {
			return err
		}
		if err := s.closeMonth(month, next); err != nil {
			return fmt.Errorf("close %s: %w", month.Format("2006-01"), err)
		}
	}
	head, err := s.store.Head(s.ctx)
	if err != nil {
		return err
	}
	s.result.Stats, s.result.Head, s.result.Records, s.result.Batches, s.result.Facts = s.play.Stats(), head.Hash, head.Last, head.Batch, head.Facts
	s.result.Trial, s.result.Seconds = s.settler.TrialBalance(), time.Since(s.wallStart).Seconds()
	return nil
}

// advance plays up to an instant, with the events that come before it.
func (s *simulation) advance(until time.Time) error {
	for len(s.events) > 0 && s.events[0].At.Before(until) {
		e := s.events[0]
		s.events = s.events[1:]
		if e.At.Before(s.from) {
			return ExitError{ExitUsage, fmt.Errorf("an event of %s is before the first month", e.At.Format(time.RFC3339))}
		}
		if err := s.play.Advance(e.At, s); err != nil {
			return err
		}
		s.clock = e.At
		if err := s.happen(&e); err != nil {
			return fmt.Errorf("the event of %s: %w", e.At.Format(time.RFC3339), err)
		}
	}
	if err := s.play.Advance(until, s); err != nil {
		return err
	}
	s.clock = until
	return nil
}

// record keeps an event as a fact and posts it.
func (s *simulation) record(e ledger.Event) (ledger.Batch, error) {
	if err := e.Check(); err != nil {
		return ledger.Batch{}, err
	}
	step, err := s.settler.Record(s.ctx, e, false)
	if err != nil {
		return ledger.Batch{}, err
	}
	return step.Batch, s.learn(&e)
}

// learn tells the play what a fact changes for the requests to come.
func (s *simulation) learn(e *ledger.Event) error {
	changes := s.settler.Changes()
	if e.ExchangeRate == nil && len(changes) == s.changes {
		return nil
	}
	rates, err := ratesOf(s.dir)
	if err != nil {
		return err
	}
	a := contract.Fold(s.a, changes)
	s.terms, s.changes = ledger.NewTerms(a), len(changes)
	s.play.Know(a, rates)
	return nil
}

// Start records that the node began to serve.
func (s *simulation) Start(at time.Time, terms string) error {
	s.clock = at
	_, err := s.journal.Start(s.ctx, s.o.Version, terms)
	return err
}

// Intent journals an intent.
func (s *simulation) Intent(at time.Time, in *record.Intent) (uint64, error) {
	s.clock = at
	return s.journal.Intent(s.ctx, in)
}

// Outcome journals an outcome.
func (s *simulation) Outcome(at time.Time, o *record.Outcome) error {
	s.clock = at
	_, err := s.journal.Outcome(s.ctx, o)
	return err
}

// Refusal journals a refusal.
func (s *simulation) Refusal(at time.Time, r *record.Refusal) error {
	s.clock = at
	s.journal.Refusal(r)
	return s.ctx.Err()
}

// Mark closes a batch, and posts and stores it.
func (s *simulation) Mark(at time.Time) error {
	s.clock = at
	if _, err := s.journal.Mark(s.ctx); err != nil {
		return err
	}
	s.bar.reach(at, s.play.Stats().Requests)
	return s.settler.CatchUp(s.ctx)
}

func monthNumber(t time.Time) int32 {
	t = t.UTC()
	return int32(t.Year()*100 + int(t.Month()))
}
