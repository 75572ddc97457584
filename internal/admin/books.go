package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Books is what the pages of contracts, ledger, statements, invoices and
// suspense read. Months are civil months as YYYYMM; amounts are micro-units of
// their currency. A thing that is not there is an ErrNotFound.
type Books interface {
	// Outlook says how a contract stands at an instant and what is to come.
	Outlook(ctx context.Context, contract string, at time.Time) (Outlook, error)
	// Months lists the months that the books hold, newest first, and the last
	// closed one, 0 for none.
	Months(ctx context.Context) (list []int32, closed int32, err error)
	// Accounts returns all accounts by path with what a month did to them; for
	// month 0 with what all months did.
	Accounts(ctx context.Context, month int32) ([]AccountMonth, error)
	// EntriesOf returns the entries that match, newest first.
	EntriesOf(ctx context.Context, q EntryQuery) ([]Entry, error)
	// EntryAt returns one entry with the requests behind it.
	EntryAt(ctx context.Context, batch uint64, number int) (EntryDetail, error)
	// Batches returns the batches before one, newest first, or the newest for 0.
	Batches(ctx context.Context, before uint64, limit int) ([]Batch, error)
	// BooksState says how far the books are and what the last verification found.
	BooksState(ctx context.Context) (BooksState, error)
	// Verify starts recomputing the books; it returns false when that runs already.
	Verify() bool
	// Parties lists who stands in the books at the end of a month, 0 for now.
	Parties(ctx context.Context, month int32) ([]PartyTotal, error)
	// Statement returns what stands between the operator and a party in a month;
	// mirrored, as the party's own books must have it.
	Statement(ctx context.Context, party string, month int32, mirrored bool) (Statement, error)
	// StatementPDF writes the same as a PDF file; partner leaves out what a
	// partner does not see.
	StatementPDF(ctx context.Context, w io.Writer, party string, month int32, mirrored, partner bool) error
	// Invoices lists the invoices that were imported, newest first.
	Invoices(ctx context.Context) ([]Invoice, error)
	// Differences lists the differences of one invoice, or all open ones for "".
	Differences(ctx context.Context, invoice string) ([]Difference, error)
	// Evidence says what stands behind a difference on both sides.
	Evidence(ctx context.Context, difference string) (Evidence, error)
	// Suspense lists what may be owed and is not proven, oldest first.
	Suspense(ctx context.Context, now time.Time) ([]Held, error)
	// Close posts what came of a suspense or a difference. With dry it says what
	// would be posted, and nothing is recorded. An order that contradicts the
	// books is a RefusedError.
	Close(ctx context.Context, o CloseOrder, dry bool) ([]Entry, error)
}

// RefusedError is an order that the books do not take, told as it is.
type RefusedError struct{ Says string }

// Error says why.
func (e RefusedError) Error() string { return e.Says }

// IsRefused returns what a RefusedError says.
func IsRefused(err error) (says string, ok bool) {
	var refused RefusedError
	ok = errors.As(err, &refused)
	return refused.Says, ok
}

// Outlook is how one contract stands at an instant, and what is to come.
type Outlook struct {
	At       time.Time         `json:"at"`
	Currency ledger.Asset      `json:"currency"` // of all its amounts
	Capacity *Capacity         `json:"capacity,omitempty"`
	Interval *Interval         `json:"interval,omitempty"`
	Line     []BurnPoint       `json:"line,omitempty"` // what was used of the interval, from its beginning
	Dates    []NextDate        `json:"dates"`
	Clauses  []contract.Clause `json:"clauses"`
	// FeesAbated is what late delivery takes off the fees.
	FeesAbated money.Amount `json:"fees_abated,omitempty"`
}

// Capacity is what a ramp contracts at an instant, and what of it can be used.
type Capacity struct {
	Contracted int64  `json:"contracted"`
	Usable     int64  `json:"usable"`
	Unit       string `json:"unit"`
}

// Interval is the burn-down of the interval in force, with the forecast of
// its end.
type Interval struct {
	From         alliance.Date `json:"from"`
	Until        alliance.Date `json:"until"`
	Promised     money.Amount  `json:"promised"`
	Used         money.Amount  `json:"used"`
	Open         money.Amount  `json:"open"`
	Forecast     money.Amount  `json:"forecast"`
	Low          money.Amount  `json:"low"`
	High         money.Amount  `json:"high"`
	LostForecast money.Amount  `json:"lost_forecast"`
	LostMost     money.Amount  `json:"lost_most"`
}

// BurnPoint is what was used of an interval at an instant.
type BurnPoint struct {
	At   time.Time    `json:"at"`
	Used money.Amount `json:"used"`
}

// NextDate is a day on which something about a contract is decided, with what
// is lost on it if nothing more happens until then.
type NextDate struct {
	On   alliance.Date `json:"on"`
	What string        `json:"what"`
	Cost money.Amount  `json:"cost"`
	// Unknown says that something is lost, and that nobody can tell how much.
	Unknown bool `json:"unknown,omitempty"`
}

// AccountMonth is an account with what a month did to it: debits less credits.
type AccountMonth struct {
	Account ledger.AccountID `json:"account"`
	Asset   ledger.Asset     `json:"asset"`
	Opening money.Amount     `json:"opening"`
	Moved   money.Amount     `json:"moved"`
	Closing money.Amount     `json:"closing"`
}

// MarshalJSON renders the amounts in units of the asset.
func (a AccountMonth) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Account ledger.AccountID `json:"account"`
		Asset   ledger.Asset     `json:"asset"`
		Opening string           `json:"opening"`
		Moved   string           `json:"moved"`
		Closing string           `json:"closing"`
	}{a.Account, a.Asset, a.Asset.Format(a.Opening), a.Asset.Format(a.Moved), a.Asset.Format(a.Closing)})
}

// EntryQuery selects entries; zero fields select all.
type EntryQuery struct {
	Account  string // or all below a path that ends in "/"
	Other    string // the other side, likewise
	Contract string
	Price    string
	Kind     string
	Month    int32
	Batch    uint64
	// BeforeBatch and BeforeNumber name an entry: what stands before it is selected.
	BeforeBatch  uint64
	BeforeNumber int
	Limit        int
}

// EntryDetail is an entry with the requests that it sums.
type EntryDetail struct {
	Entry
	Facts bool   `json:"fact"` // it posts a fact and sums no requests
	Lines []Line `json:"lines"`
	Fault string `json:"fault,omitempty"` // why the lines are not all there
}

// MarshalJSON renders the detail beside the entry's own fields.
func (d EntryDetail) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Entry Entry  `json:"entry"`
		Facts bool   `json:"fact"`
		Lines []Line `json:"lines"`
		Fault string `json:"fault,omitempty"`
	}{d.Entry, d.Facts, d.Lines, d.Fault})
}

// Line is the exact share of one attempt in an entry.
type Line struct {
	Request string    `json:"request"`
	Attempt string    `json:"attempt"`
	At      time.Time `json:"at"`
	Tokens  int64     `json:"tokens"`
	Exact   string    `json:"exact"`
	Intent  uint64    `json:"intent"`
	Outcome uint64    `json:"outcome"`
}

// Batch is what a range of the journal, or a fact, became.
type Batch struct {
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	First    uint64    `json:"first"` // of the journal; above Last for a fact
	Last     uint64    `json:"last"`
	Fact     uint64    `json:"fact,omitempty"`
	Served   int64     `json:"served"`
	Unserved int64     `json:"unserved"`
	Suspense int64     `json:"suspense"`
	Entries  int       `json:"entries"`
	Hash     string    `json:"hash"`
	Prev     string    `json:"prev"`
}

// BooksState says how far the books are.
type BooksState struct {
	Batch    uint64        `json:"batch"` // the last one
	Record   uint64        `json:"record"`
	Hash     string        `json:"hash"`
	Lag      uint64        `json:"lag"`     // records of the journal that are not in the books
	Closed   int32         `json:"closed"`  // last closed month
	Running  bool          `json:"running"` // a verification runs
	Verified *Verification `json:"verified,omitempty"`
}

// Verification is what the last recomputing of the books found.
type Verification struct {
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
	Batches uint64        `json:"batches"`
	Records uint64        `json:"records"`
	Facts   uint64        `json:"facts"`
	Hash    string        `json:"hash"`            // of the last batch that was recomputed
	Fault   string        `json:"fault,omitempty"` // empty: every byte follows from journal, facts and terms
	Remedy  string        `json:"remedy,omitempty"`
}

// PartyTotal is what a party owes the operator, below zero what it is owed.
type PartyTotal struct {
	Party  string       `json:"party"`
	Name   string       `json:"name"`
	Kind   string       `json:"kind"` // party or tenant
	Asset  ledger.Asset `json:"asset"`
	Moved  money.Amount `json:"moved"`
	Amount money.Amount `json:"amount"`
}

// Statement is what stands between the operator and a party in one month:
// above zero the party owes the operator, mirrored the other way round.
type Statement struct {
	Operator     string `json:"operator"`
	OperatorName string `json:"operator_name"`
	Party        string `json:"party"`
	Name         string `json:"name"`
	Month        int32  `json:"month"`
	Closed       bool   `json:"closed"`
	Mirrored     bool   `json:"mirrored"`
	Currency     string `json:"currency"`
	Notice       string `json:"notice,omitempty"`
	// Simulated marks a statement over stand-ins or played traffic, as
	// SimulatedSays tells.
	Simulated     bool               `json:"simulated"`
	SimulatedSays string             `json:"simulated_says,omitempty"`
	Totals        []StatementTotal   `json:"totals"` // one a currency: they are never added
	Accounts      []StatementAccount `json:"accounts"`
}

// StatementTotal adds up the accounts of a statement in one currency.
type StatementTotal struct {
	Currency ledger.Asset `json:"currency"`
	Opening  money.Amount `json:"opening"`
	Closing  money.Amount `json:"closing"`
}

// StatementAccount is one account of a statement.
type StatementAccount struct {
	Account   ledger.AccountID `json:"account"`
	Asset     ledger.Asset     `json:"asset"`
	Opening   money.Amount     `json:"opening"`
	Movements []Movement       `json:"movements"`
	Closing   money.Amount     `json:"closing"`
}

// Movement sums the entries of one kind against one account.
type Movement struct {
	Kind     string           `json:"kind"`
	Contra   ledger.AccountID `json:"contra"`
	Contract string           `json:"contract,omitempty"`
	Price    string           `json:"price,omitempty"`
	Entries  int64            `json:"entries"`
	Lines    int64            `json:"lines"`
	Tokens   int64            `json:"tokens"`
	Amount   money.Amount     `json:"amount"`
}

// Invoice is one that was imported, with what its import found.
type Invoice struct {
	ID       string       `json:"id"`
	Name     string       `json:"name"`
	Provider string       `json:"provider"`
	Month    int32        `json:"month"`
	At       time.Time    `json:"at"` // of the import
	Agreed   money.Amount `json:"agreed"`
	Apart    money.Amount `json:"apart"` // sum of the differences that the import found
	Found    int          `json:"found"` // their count
	Open     int          `json:"open"`  // of them, not closed yet
	OpenSum  money.Amount `json:"open_amount"`
	Currency ledger.Asset `json:"currency"`
}

// Difference is one difference between an invoice and the books.
type Difference struct {
	ID       string       `json:"id"`
	Kind     string       `json:"kind"`
	Says     string       `json:"says"` // what the kind means
	Provider string       `json:"provider"`
	Month    int32        `json:"month"`
	Invoice  string       `json:"invoice"`
	Place    string       `json:"place"` // the line of the invoice, or the record of the journal
	Contract string       `json:"contract,omitempty"`
	Outcome  uint64       `json:"outcome,omitempty"`
	Amount   money.Amount `json:"amount"` // invoice less books
	Currency ledger.Asset `json:"currency"`
	Entry    string       `json:"entry"` // batch.number
	Open     bool         `json:"open"`
	By       string       `json:"by,omitempty"` // how it was closed, and why
	Reason   string       `json:"reason,omitempty"`
	Remedy   string       `json:"remedy"` // what to do about its kind
}

// Evidence is what stands behind a difference, in words.
type Evidence struct {
	Invoice string `json:"invoice"`           // what the invoice says
	Books   string `json:"books"`             // what the journal has in its place
	Request string `json:"request,omitempty"` // of a group, the first
}

// Held is one attempt whose suspense is open.
type Held struct {
	Provider string       `json:"provider"`
	Attempt  string       `json:"attempt"`
	Request  string       `json:"request"`
	Reason   string       `json:"reason"`
	Model    string       `json:"model"`
	Pool     string       `json:"pool"`
	Since    time.Time    `json:"since"`
	Days     int64        `json:"days"`
	Age      string       `json:"age"` // its bracket
	Amount   money.Amount `json:"amount"`
	Tokens   usage.Vector `json:"tokens"`
}

// CloseOrder says what came of one suspense or one difference.
type CloseOrder struct {
	Attempt      string // of a suspense, or
	Difference   string // the id of a difference
	By           string // estimate or waived; accepted or rejected
	BillCustomer bool
	Reason       string
	Who          string // who orders it, for the record
}
