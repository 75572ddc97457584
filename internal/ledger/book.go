package ledger

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Limits of what a book keeps in memory for speed; passing them costs time,
// never correctness.
const (
	MaxFlows = 1 << 16
	MaxTerms = 64
)

// CarryKey names one carried remainder: all entries between two accounts at
// one price share it, whatever their batch, month or terms.
type CarryKey struct {
	Debit   AccountID
	Credit  AccountID
	Price   string
	Divisor int64
}

// Carry is a carried remainder in [0, Divisor).
type Carry struct {
	CarryKey
	Remainder int64
}

// OpenIntent is an intent whose outcome is not in the books yet.
type OpenIntent struct {
	Sequence uint64         `json:"sequence"`
	At       int64          `json:"at"`
	Intent   *record.Intent `json:"intent"`
}

// Located says where in the journal a request stands. Outcome is 0 for a
// refusal, whose record is Intent.
type Located struct {
	Request string
	Intent  uint64
	Outcome uint64
}

// Head is how far the books are.
type Head struct {
	Node  string `json:"node"`
	Batch uint64 `json:"batch"` // last batch, 0 for empty books
	Last  uint64 `json:"last"`  // last record of the journal that is posted
	At    int64  `json:"at"`
	Hash  Digest `json:"hash"`
	Terms string `json:"terms"` // hash of the terms of the last intent posted
	Facts uint64 `json:"facts"` // number of the last fact posted, 0 for none
}

// PeriodBalance is what the entries of one civil month did to an account:
// debits less credits, in units of its asset.
type PeriodBalance struct {
	Account AccountID    `json:"account"`
	Period  int32        `json:"period"` // YYYYMM
	Amount  money.Amount `json:"amount"`
}

// State is all that a Book needs to go on after the batch that Head names,
// besides the facts up to Head.Facts.
type State struct {
	Head     Head
	Balances []Balance
	Periods  []PeriodBalance // by account, then period
	Carries  []Carry
	Open     []OpenIntent
	// Suspended are the outcomes whose suspense is open, in order.
	Suspended []uint64
	// Differences are the open ones' entries, by id.
	Differences []Entry
	// Subjects are those of open months, by period, then subject.
	Subjects []Subject
	// Drawn are the hours with a commitment of months up to the one after the
	// last closed, by period, then hour.
	Drawn []Drawn
	// Turns are the entries by which commitments were used up or opened again,
	// by account, then in the order of the journal.
	Turns []Entry
	// Due are the charges of contracts that are booked, by month, contract and
	// kind.
	Due []Due
}

// Step is one batch with what it changed: a store writes it at once or not at
// all.
type Step struct {
	Batch    Batch
	Head     Head
	Balances []Balance // new values of the balances that changed
	Periods  []PeriodBalance
	Carries  []Carry      // new values of the carries that changed
	Opened   []OpenIntent // intents that wait for their outcome
	Closed   []uint64     // intents of earlier batches that got it
	Requests []Located
	Subjects []Subject // new values of the subjects that changed
	Drawn    []Drawn   // new values of the hours that were drawn on
	Lefts    []Left    // of the outcomes that were parted at a quota's edge
	Hours    []Left    // of the outcomes that drew on an hour's commitment
	Fact     *Fact     // that the batch posts, nil for records
}

// Errors of Post that a caller tells apart.
var (
	// ErrSequence reports records that do not follow the books.
	ErrSequence = errors.New("the records do not follow the books")
	// ErrTerms reports terms that an intent names and that cannot be had.
	ErrTerms = errors.New("the terms of an intent are missing")
)

// Book holds balances, carries and open intents, and posts batches. It has no
// locks: one goroutine owns it.
type Book struct {
	load        func(hash string) (*alliance.Alliance, error)
	head        Head
	balances    map[AccountID]Balance
	periods     map[periodKey]money.Amount
	carries     map[CarryKey]int64
	open        map[uint64]OpenIntent
	subjects    map[SubjectKey]subjectCount // of open months
	drawn       map[SubjectKey]int64        // of hours
	maxSubjects int
	// suspended are the outcomes whose suspense is open.
	suspended map[uint64]struct{}
	// differences are the open ones, by id.
	differences map[string]Entry

	// What the posted facts say beyond their entries.
	closedMonth int32    // YYYYMM, 0 for none
	firstMonth  int32    // the first that was closed, 0 for none
	changes     []change // of what contracts mean
	invoices    []*InvoiceImported
	billedPools map[poolMonth]money.Amount
	waived      map[waiver]bool
	closed      map[uint64]*SuspenseClosed // by outcome
	lateDraws   []lateDraw                 // of suspense that was closed, in the order of the facts
	writtenOff  map[uint64]bool            // outcomes whose missing line was accepted
	// writtenOffGroups are groups of attempts whose missing line was accepted,
	// by their place.
	writtenOffGroups  map[string]bool
	writtenOffCharges map[missedCharge]bool
	// due are the charges of contracts that entries made, besides tokens and fees.
	due map[DueKey]money.Amount

	rates *exchange.Table
	// turns are those of each interval of a commitment, by the ref of its accounts.
	turns map[string][]Entry

	terms map[termsKey]*Terms
	flows map[flowKey]*postedFlow
	slots map[Key]*slot
	round uint64 // counts calls of Post: a slot of an older round is empty
	buf   []byte
}

// periodKey names the part of an account's balance that one month moved.
type periodKey struct {
	account AccountID
	period  int32
}

// flowKey is what requests of one flow have in common.
type flowKey struct {
	terms, tenant, plan, channel, model, variant, pool, costPrice, salePrice string
}

type postedFlow struct {
	*flow
	slots    []*slot // one per rule of flow.served
	past     []*slot // one per rule of flow.beyond
	overflow *postedFlow
}

// slot gathers the lines of one entry during one call of Post.
type slot struct {
	key         Key
	divisor     int64
	round       uint64
	numerator   money.Wide
	tokens      usage.Vector
	lines       int64
	first, last uint64
	from, until int64
	digest      hash.Hash
}

// New returns empty books. terms returns the version of the terms that has
// the hash; it is called once per version and its error is passed on.
func New(terms func(hash string) (*alliance.Alliance, error)) *Book {
	return Resume(State{}, terms)
}

// Resume returns the books as a store kept them.
func Resume(s State, terms func(hash string) (*alliance.Alliance, error)) *Book {
	b := &Book{
		load: terms, head: s.Head,
		balances: make(map[AccountID]Balance, len(s.Balances)), carries: make(map[CarryKey]int64, len(s.Carries)),
		periods: make(map[periodKey]money.Amount, len(s.Periods)), suspended: make(map[uint64]struct{}, len(s.Suspended)),
		differences: map[string]Entry{}, closed: map[uint64]*SuspenseClosed{}, writtenOff: map[uint64]bool{}, writtenOffGroups: map[string]bool{},
		maxSubjects: MaxSubjects, drawn: make(map[SubjectKey]int64, len(s.Drawn)), subjects: make(map[SubjectKey]subjectCount, len(s.Subjects)),
		writtenOffCharges: map[missedCharge]bool{}, due: make(map[DueKey]money.Amount, len(s.Due)),
		billedPools: map[poolMonth]money.Amount{}, waived: map[waiver]bool{}, turns: map[string][]Entry{},
		open: make(map[uint64]OpenIntent, len(s.Open)), terms: map[termsKey]*Terms{},
		flows: map[flowKey]*postedFlow{}, slots: map[Key]*slot{},
	}
	for _, v := range s.Balances {
		b.balances[v.Account] = v
	}
	for _, v := range s.Carries {
		b.carries[v.CarryKey] = v.Remainder
	}
	for _, v := range s.Periods {
		b.periods[periodKey{v.Account, v.Period}] = v.Amount
	}
	for _, v := range s.Differences {
		b.differences[v.Ref] = v
	}
	for _, v := range s.Drawn {
		b.drawn[v.SubjectKey] = v.Used
	}
	for _, v := range s.Subjects {
		b.subjects[v.SubjectKey] = subjectCount{v.Granted, v.Used}
	}
	for i := range s.Turns {
		b.turned(&s.Turns[i])
	}
	for _, v := range s.Due {
		b.due[v.DueKey] = v.Amount
	}
	for _, v := range s.Suspended {
		b.suspended[v] = struct{}{}
	}
	for _, v := range s.Open {
		b.open[v.Sequence] = v
	}
	return b
}

// Head returns how far the books are.
func (b *Book) Head() Head { return b.head }

// version returns the version of the terms that has the hash, with the first
// changes of contracts by facts.
func (b *Book) version(hash string, changes int) (*Terms, error) {
	k := termsKey{hash, changes}
	if t := b.terms[k]; t != nil {
		return t, nil
	}
	a, err := b.load(hash)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTerms, hash, err)
	}
	if a.Hash != hash {
		return nil, fmt.Errorf("%w: asked for %s, got %s", ErrTerms, hash, a.Hash)
	}
	if len(b.terms) >= MaxTerms {
		clear(b.terms)
	}
	t := NewTerms(contract.Fold(a, b.changed(changes))).With(b.rates)
	b.terms[k] = t
	return t, nil
}

// Balance returns the debits less the credits of an account, 0 for one that
// was never posted.
func (b *Book) Balance(a AccountID) money.Amount { return b.balances[a].Amount }

// Balances returns all accounts by path.
func (b *Book) Balances() []Balance {
	list := make([]Balance, 0, len(b.balances))
	for _, v := range b.balances {
		list = append(list, v)
	}
	slices.SortFunc(list, func(x, y Balance) int { return cmp.Compare(x.Account, y.Account) })
	return list
}

// State returns all of the book, in a fixed order.
func (b *Book) State() State {
	s := State{Head: b.head, Balances: b.Balances()}
	for k, v := range b.carries {
		s.Carries = append(s.Carries, Carry{k, v})
	}
	slices.SortFunc(s.Carries, compareCarries)
	for _, v := range b.open {
		s.Open = append(s.Open, v)
	}
	slices.SortFunc(s.Open, func(x, y OpenIntent) int { return cmp.Compare(x.Sequence, y.Sequence) })
	s.Periods = periodBalances(b.periods)
	for k, v := range b.subjects {
		s.Subjects = append(s.Subjects, Subject{k, v.granted, v.used})
	}
	slices.SortFunc(s.Subjects, compareSubjects)
	s.Drawn = drawnOf(b.drawn)
	s.Suspended = slices.Sorted(maps.Keys(b.suspended))
	for _, id := range slices.Sorted(maps.Keys(b.differences)) {
		s.Differences = append(s.Differences, b.differences[id])
	}
	for _, ref := range slices.Sorted(maps.Keys(b.turns)) {
		s.Turns = append(s.Turns, b.turns[ref]...)
	}
	s.Due = dueList(b.due)
	return s
}

func periodBalances(m map[periodKey]money.Amount) []PeriodBalance {
	list := make([]PeriodBalance, 0, len(m))
	for k, v := range m {
		list = append(list, PeriodBalance{k.account, k.period, v})
	}
	slices.SortFunc(list, func(x, y PeriodBalance) int {
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.Period, y.Period))
	})
	return list
}

// TrialBalance adds up balances per asset, by name of the asset.
func TrialBalance(balances []Balance) []Total {
	totals := map[Asset]*Total{}
	for _, v := range balances {
		t := totals[v.Asset]
		if t == nil {
			t = &Total{Asset: v.Asset}
			totals[v.Asset] = t
		}
		if v.Amount > 0 {
			t.Debits += v.Amount
		} else {
			t.Credits -= v.Amount
		}
	}
	list := make([]Total, 0, len(totals))
	for _, t := range totals {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(x, y Total) int { return cmp.Compare(x.Asset, y.Asset) })
	return list
}

func compareCarries(x, y Carry) int {
	return cmp.Or(cmp.Compare(x.Debit, y.Debit), cmp.Compare(x.Credit, y.Credit), cmp.Compare(x.Price, y.Price), cmp.Compare(x.Divisor, y.Divisor))
}

// slot returns the slot of a key, made on demand.
func (b *Book) slot(k Key, divisor int64) *slot {
	s := b.slots[k]
	if s == nil || s.divisor != divisor {
		s = &slot{key: k, divisor: divisor, digest: sha256.New()}
		b.slots[k] = s
	}
	return s
}

// posted gives a flow the slots of its entries.
func (b *Book) posted(plain *flow) *postedFlow {
	f := &postedFlow{flow: plain}
	b.relocate(f.flow)
	for i := range f.served {
		f.slots = append(f.slots, b.slot(f.served[i].key, f.served[i].divisor))
	}
	if f.beyond != nil {
		for i := range f.beyond.rules {
			f.past = append(f.past, b.slot(f.beyond.rules[i].key, f.beyond.rules[i].divisor))
		}
	}
	if f.flow.overflow != nil {
		f.overflow = b.posted(f.flow.overflow)
	}
	return f
}

// flow returns how an intent is posted, from memory where it can.
func (b *Book) flow(in *record.Intent, at int64) (*postedFlow, error) {
	k := flowKey{in.Terms, in.Tenant, in.Plan, in.Channel, in.Model, in.Variant, in.Pool, in.CostPrice, in.SalePrice}
	if f := b.flows[k]; f != nil && f.from <= at && at < f.until {
		return f, nil
	}
	t, err := b.Terms(in.Terms)
	if err != nil {
		return nil, err
	}
	f := b.posted(t.flow(in, at, exchange.Always))
	b.flows[k] = f
	return f, nil
}
