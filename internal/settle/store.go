package settle

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Store keeps the books. Implementations run the suite of store/storetest.
// One writer appends; readers may work beside it or without one.
type Store interface {
	// State returns all that is needed to go on, the zero State for empty books.
	State(ctx context.Context) (ledger.State, error)
	// Append writes a step whole or not at all. The step must follow the
	// stored head, else it returns ErrHead.
	Append(ctx context.Context, s *ledger.Step) error
	Reader
}

// Reader reads books as of the last stored batch.
type Reader interface {
	// Head says how far the books are, the zero Head when they are empty.
	Head(ctx context.Context) (ledger.Head, error)
	// Batch returns one batch with its entries, or ErrNotFound.
	Batch(ctx context.Context, sequence uint64) (ledger.Batch, error)
	// Batches yields the batches from a sequence number on, with entries.
	Batches(ctx context.Context, from uint64) iter.Seq2[ledger.Batch, error]
	// BatchOf returns the number of the batch that holds a record of the
	// journal, or ErrNotFound.
	BatchOf(ctx context.Context, record uint64) (uint64, error)
	// Entries returns the entries that match, in order of posting.
	Entries(ctx context.Context, q Query) ([]Placed, error)
	// Balances returns all accounts by path.
	Balances(ctx context.Context) ([]ledger.Balance, error)
	// Periods returns what each civil month did to the accounts below a path
	// that ends in "/", or to all for "": by account, then month.
	Periods(ctx context.Context, below string) ([]ledger.PeriodBalance, error)
	// BalanceAt is what the entries about what happened up to an instant
	// (nanoseconds since 1970 UTC) did to an account: debits less credits. An
	// entry that spans the instant counts whole.
	BalanceAt(ctx context.Context, account ledger.AccountID, at int64) (money.Amount, error)
	// Movements sums the entries of an account in a civil month (YYYYMM) by
	// kind, other account, contract and price.
	Movements(ctx context.Context, account ledger.AccountID, month int32) ([]Movement, error)
	// Sums sums the entries of an account in a civil month by all that rates
	// them: kind, other account, price, terms and ref.
	Sums(ctx context.Context, account ledger.AccountID, month int32) ([]Sum, error)
	// Suspended returns the entries whose suspense is open, oldest first.
	Suspended(ctx context.Context) ([]Placed, error)
	// Differences returns the entries of open differences, oldest first.
	Differences(ctx context.Context) ([]Placed, error)
	// Open returns the posted intents that wait for their outcome, in order.
	Open(ctx context.Context) ([]ledger.OpenIntent, error)
	// Lefts returns what was left of included quotas and of hours' commitments
	// before the outcomes from one record to another, of those that were parted.
	Lefts(ctx context.Context, first, last uint64) (map[uint64]ledger.Lefts, error)
	// Find returns where a request may stand in the journal, newest first. The
	// index is by hash: the caller compares the request's id in the journal.
	Find(ctx context.Context, request string) ([]ledger.Located, error)
}

// MaxEntries bounds what one query returns.
const MaxEntries = 10_000

// Query selects entries. Zero fields select all.
type Query struct {
	Account  ledger.AccountID // debit or credit; a path that ends in "/" selects all below it
	Other    ledger.AccountID // a second account that must be the other side, likewise
	Contract string
	Price    string
	Kind     ledger.Kind
	Period   int32 // civil month, YYYYMM
	Batch    uint64
	Fact     uint64 // that the batch posts
	// From and Until bound the time of the batch, nanoseconds since 1970 UTC: [From, Until).
	From, Until int64
	// Newest returns the last entries first.
	Newest bool
	// Before selects what stands before a place in the books; the zero place
	// selects all.
	Before Place
	// Limit is at most MaxEntries; 0 means MaxEntries.
	Limit int
}

// Place is where an entry stands: its batch, and its number in it from 1.
type Place struct {
	Batch  uint64
	Number int
}

// Placed is an entry with its place in the books.
type Placed struct {
	Batch  uint64 `json:"batch"`
	Number int    `json:"number"`         // from 1 in its batch
	At     int64  `json:"at"`             // of the batch
	Fact   uint64 `json:"fact,omitempty"` // that the batch posts, 0 for records of the journal
	ledger.Entry
}

// MarshalJSON renders the entry with its place.
func (p Placed) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Batch  uint64 `json:"batch"`
		Number int    `json:"number"`
		At     int64  `json:"at"`
		Fact   uint64 `json:"fact,omitempty"`
		ledger.EntryJSON
	}{p.Batch, p.Number, p.At, p.Fact, p.JSON()})
}

// Errors of a Store that callers tell apart.
var (
	// ErrHead reports a step that does not follow the stored books.
	ErrHead = errors.New("the batch does not follow the stored books")
	// ErrNotFound reports a batch or record that the books do not hold.
	ErrNotFound = errors.New("the books do not hold it")
	// ErrNewer reports books that a newer version wrote.
	ErrNewer = errors.New("the books were written by a newer version")
)
