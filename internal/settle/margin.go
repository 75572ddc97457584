package settle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// MaxUsers bounds the end users that a margin tells apart, over all its rows.
// Beyond it the counts are at least what is said.
const MaxUsers = 5_000_000

// Margin says what the requests of a month brought in and cost, by plan,
// model, channel or tenant. Its rows and Rest come to the books of the month
// exactly.
type Margin struct {
	By            string      `json:"by"`
	Month         int32       `json:"month"` // YYYYMM
	Closed        bool        `json:"closed"`
	Operator      string      `json:"operator"`
	Currency      string      `json:"currency"`
	Notice        string      `json:"notice,omitempty"`
	Simulated     bool        `json:"simulated"`
	SimulatedSays string      `json:"simulated_says,omitempty"`
	Rows          []MarginRow `json:"rows"`
	// Rest is what no row caused, by kind of account: unused capacity, a
	// revenue share, corrections of earlier months, rounding.
	Rest  []MarginRow `json:"rest"`
	Total MarginRow   `json:"total"`
}

// MarginRow is what one plan, model, channel or tenant brought in and cost.
type MarginRow struct {
	Name     string `json:"name"`
	Requests int64  `json:"requests"`
	Tokens   int64  `json:"tokens"`
	// Users are the distinct end users; absent where none was named.
	Users int64 `json:"users,omitempty"`
	// AtLeast says that there are more users than could be counted.
	AtLeast bool         `json:"users_at_least,omitempty"`
	Sales   money.Amount `json:"sales"` // at the price that customers pay, with fees
	// Commission is what channels keep of the sales.
	Commission money.Amount `json:"commission"`
	// Revenue is the sales as the channels present them: before commissions
	// as principal, after them as agent.
	Revenue money.Amount `json:"revenue"`
	Cost    money.Amount `json:"cost"` // without commissions
	Margin  money.Amount `json:"margin"`
	// PerUser are averages per end user, rounded down, where every request of
	// the row named one.
	PerUser *UserMargin `json:"per_user,omitempty"`
}

// UserMargin is what one end user brought in and cost on average.
type UserMargin struct {
	Net    money.Amount `json:"net"` // sales less commissions
	Cost   money.Amount `json:"cost"`
	Margin money.Amount `json:"margin"`
}

// MarginsBy are what a margin can be told by.
var MarginsBy = [...]string{"plan", "model", "channel", "tenant"}

// ErrBy reports what a margin is not told by.
var ErrBy = errors.New("a margin is told by plan, model, channel or tenant")

// MarginQuestion says which margin to make.
type MarginQuestion struct {
	By    string
	Month int32
	// Facts are those in the books, for the months that they closed.
	Facts []ledger.Fact
}

// marginer makes one margin.
type marginer struct {
	ctx      context.Context
	books    Reader
	cache    *ledger.Book // for its terms
	q        MarginQuestion
	from     time.Time
	until    time.Time
	out      *Margin
	closes   []ledger.Fact // that closed months
	rows     map[string]*marginRow
	users    map[[16]byte]struct{}
	assigned map[string]money.Amount
	lefts    map[uint64]ledger.Lefts
	held     [2]uint64 // outcomes that lefts covers
}

// marginRow sums numerators: they are rounded once, when all are in.
type marginRow struct {
	MarginRow
	sums map[marginKey]money.Wide
	// nameless are requests without an end user: an average per user would
	// mix them in.
	nameless int64
}

type marginKey struct {
	class   contract.Class
	kind    string
	divisor int64
}

// MakeMargin reads the margin of a month from books and journal. cache gives
// the terms, with the rates of exchange that are known.
func MakeMargin(ctx context.Context, books Reader, records Records, cache *ledger.Book, t *ledger.Terms, q MarginQuestion) (*Margin, error) {
	if !slices.Contains(MarginsBy[:], q.By) {
		return nil, ErrBy
	}
	a := t.Alliance()
	closes := slices.Collect(func(yield func(ledger.Fact) bool) {
		for i := range q.Facts {
			if q.Facts[i].MonthClosed != nil && !yield(q.Facts[i]) {
				return
			}
		}
	})
	from := time.Date(int(q.Month/100), time.Month(q.Month%100), 1, 0, 0, 0, 0, time.UTC)
	m := marginer{
		ctx: ctx, books: books, cache: cache, q: q, from: from, until: from.AddDate(0, 1, 0),
		out:    &Margin{By: q.By, Month: q.Month, Closed: q.Month <= closedBefore(closes, ^uint64(0)), Operator: string(a.Operator), Currency: string(a.Currency), Notice: a.Notice, Rows: []MarginRow{}, Rest: []MarginRow{}},
		closes: closes, rows: map[string]*marginRow{}, users: map[[16]byte]struct{}{}, assigned: map[string]money.Amount{},
	}
	m.out.Simulated = slices.ContainsFunc(a.Pools, func(p alliance.Pool) bool { return p.StandIn != nil })
	if err := m.requests(records); err != nil {
		return nil, err
	}
	if err := m.fees(); err != nil {
		return nil, err
	}
	return m.out, m.finish()
}

// closedBefore is the last month that was closed when a record was posted.
func closedBefore(closes []ledger.Fact, outcome uint64) (month int32) {
	for i := range closes {
		if f := &closes[i]; f.After < outcome {
			month = f.MonthClosed.Month
		}
	}
	return month
}

// requests reads the attempts of the month from the journal, from the first
// batch that can hold one.
func (m *marginer) requests(records Records) error {
	head, err := m.books.Head(m.ctx)
	if err != nil {
		return err
	}
	first, err := m.books.Entries(m.ctx, Query{From: m.from.UnixNano(), Limit: 1})
	if err != nil || len(first) == 0 {
		return err
	}
	batch, err := m.books.Batch(m.ctx, first[0].Batch)
	if err != nil {
		return err
	}
	open := map[uint64]*record.Record{}
	for r, err := range records(batch.First) {
		if err != nil {
			return fmt.Errorf("read the journal from record %d: %w", batch.First, err)
		}
		over := !time.Unix(0, r.At).Before(m.until)
		if r.Sequence > head.Last || m.ctx.Err() != nil || over && len(open) == 0 {
			break
		}
		switch {
		case r.Intent != nil && !over && !time.Unix(0, r.At).Before(m.from):
			open[r.Sequence] = &r
		case r.Outcome != nil:
			intent := open[r.Outcome.Intent]
			if intent == nil || intent.Intent.Attempt != r.Outcome.Attempt {
				continue
			}
			delete(open, r.Outcome.Intent)
			if err := m.request(intent, &r); err != nil {
				return err
			}
		}
	}
	return m.ctx.Err()
}

// leftsAhead is how many records' quotas are read from the books at once.
const leftsAhead = 20_000

// line returns the line of an outcome, parted as the books parted it.
func (m *marginer) line(intent, outcome *record.Record) (ledger.Line, error) {
	t, err := m.cache.TermsAt(intent.Intent.Terms, outcome.Sequence)
	if err != nil {
		return ledger.Line{}, err
	}
	if n := outcome.Sequence; n < m.held[0] || n >= m.held[1] {
		if m.lefts, err = m.books.Lefts(m.ctx, n, n+leftsAhead-1); err != nil {
			return ledger.Line{}, err
		}
		m.held = [2]uint64{n, n + leftsAhead}
	}
	return ledger.LineAfter(intent, outcome, t, m.lefts[outcome.Sequence])
}

func (m *marginer) request(intent, outcome *record.Record) error {
	if closedBefore(m.closes, outcome.Sequence) >= m.q.Month {
		return nil // booked later, as a correction
	}
	line, err := m.line(intent, outcome)
	if err != nil {
		return fmt.Errorf("line of outcome %d: %w", outcome.Sequence, err)
	}
	if line.Suspense != "" || len(line.Postings) == 0 {
		return nil
	}
	in := intent.Intent
	row := m.row(m.name(in))
	row.Requests++
	row.Tokens += line.Tokens.Total()
	m.user(row, in)
	for i := range line.Postings {
		p := &line.Postings[i]
		if string(p.Asset) != m.out.Currency {
			continue
		}
		for _, side := range [...]struct {
			account ledger.AccountID
			n       money.Wide
		}{{p.Debit, p.Numerator}, {p.Credit, p.Numerator.Neg()}} {
			if c := side.account.Class(); c == contract.Revenue || c == contract.Expense {
				k := marginKey{c, side.account.Kind(), p.Divisor}
				row.sums[k] = row.sums[k].Add(side.n)
			}
		}
	}
	return nil
}

func (m *marginer) row(name string) *marginRow {
	r := m.rows[name]
	if r == nil {
		r = &marginRow{MarginRow: MarginRow{Name: name}, sums: map[marginKey]money.Wide{}}
		m.rows[name] = r
	}
	return r
}

// name is the row of a request.
func (m *marginer) name(in *record.Intent) string {
	switch m.q.By {
	case "plan":
		return in.Plan
	case "channel":
		return in.Channel
	case "tenant":
		return in.Tenant
	}
	asked, _, _ := strings.Cut(cmp.Or(in.Variant, in.Model), "@")
	return asked
}

// user counts the end user of a request, once a row.
func (m *marginer) user(row *marginRow, in *record.Intent) {
	if in.EndUser == "" {
		row.nameless++
		return
	}
	sum := sha256.Sum256([]byte(row.Name + "\x00" + in.Tenant + "\x00" + in.EndUser))
	id := [16]byte(sum[:16])
	if _, known := m.users[id]; known {
		return
	}
	if len(m.users) >= MaxUsers {
		row.AtLeast = true
		return
	}
	m.users[id] = struct{}{}
	row.Users++
}

// fees gives the fees of plans to the plan or tenant that owes them.
func (m *marginer) fees() error {
	if m.q.By != "plan" && m.q.By != "tenant" {
		return nil
	}
	for _, kind := range [...]string{"subscription", "wholesale_fee"} {
		if kind == "wholesale_fee" && m.q.By == "tenant" {
			continue // the seller owes it for all tenants in one sum
		}
		periods, err := m.books.Periods(m.ctx, m.out.Operator+"/revenue/"+kind+"/")
		if err != nil {
			return err
		}
		for _, p := range periods {
			if p.Period != m.q.Month {
				continue
			}
			if err := m.fee(kind, p.Account); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *marginer) fee(kind string, account ledger.AccountID) error {
	sums, err := m.books.Sums(m.ctx, account, m.q.Month)
	if err != nil {
		return err
	}
	for i := range sums {
		name := account.Ref()
		if m.q.By == "tenant" {
			name = sums[i].Contra.Ref()
		}
		row, k := m.row(name), marginKey{contract.Revenue, kind, 1}
		row.sums[k] = row.sums[k].Add(money.WideOf(int64(sums[i].Amount)))
	}
	return nil
}

// finish rounds the rows and sets what the books have beyond them apart.
func (m *marginer) finish() error {
	for _, name := range sortedKeys(m.rows) {
		row := m.rows[name]
		for k, n := range row.sums {
			if k.class == contract.Revenue && k.kind != "commission" {
				n = n.Neg()
			}
			q, _, ok := n.FloorDiv(k.divisor) // as the books round it down
			if !ok {
				return money.ErrRange
			}
			if k.class == contract.Revenue && k.kind != "commission" {
				q = -q
			}
			row.book(k.class, k.kind, money.Amount(q))
			m.assigned[string(k.class)+"/"+k.kind] += money.Amount(q)
		}
		if row.nameless == 0 {
			row.average()
		}
		m.out.Rows = append(m.out.Rows, row.MarginRow)
		m.out.Total.add(&row.MarginRow)
	}
	booked, err := m.booked()
	if err != nil {
		return err
	}
	for _, path := range sortedKeys(booked) {
		class, kind, _ := strings.Cut(path, "/")
		rest := booked[path] - m.assigned[path]
		if rest == 0 {
			continue
		}
		row := MarginRow{Name: kind}
		row.book(contract.Class(class), kind, rest)
		m.out.Rest = append(m.out.Rest, row)
		m.out.Total.add(&row)
	}
	m.out.Total.Name = "total"
	return nil
}

// booked is what the month did to revenue and expense, by kind of account.
func (m *marginer) booked() (map[string]money.Amount, error) {
	assets := map[ledger.AccountID]ledger.Asset{}
	balances, err := m.books.Balances(m.ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range balances {
		assets[b.Account] = b.Asset
	}
	sums := map[string]money.Amount{}
	for path := range m.assigned {
		sums[path] = 0
	}
	for _, class := range [...]contract.Class{contract.Revenue, contract.Expense} {
		periods, err := m.books.Periods(m.ctx, m.out.Operator+"/"+string(class)+"/")
		if err != nil {
			return nil, err
		}
		for _, p := range periods {
			if p.Period == m.q.Month && string(assets[p.Account]) == m.out.Currency {
				sums[string(class)+"/"+p.Account.Kind()] += p.Amount
			}
		}
	}
	return sums, nil
}

// book adds an amount, debits less credits, of an account of a class and kind.
func (r *MarginRow) book(class contract.Class, kind string, amount money.Amount) {
	switch {
	case kind == "commission":
		r.Commission += amount
		if class == contract.Revenue {
			r.Revenue -= amount
		}
	case class == contract.Revenue:
		r.Sales, r.Revenue = r.Sales-amount, r.Revenue-amount
	default:
		r.Cost += amount
	}
	r.Margin -= amount
}

func (r *MarginRow) average() {
	if r.Users == 0 {
		return
	}
	share := func(n money.Amount) money.Amount {
		q, _, _ := money.WideOf(int64(n)).FloorDiv(r.Users)
		return money.Amount(q)
	}
	r.PerUser = &UserMargin{Net: share(r.Sales - r.Commission), Cost: share(r.Cost), Margin: share(r.Margin)}
}

func (r *MarginRow) add(o *MarginRow) {
	r.Requests, r.Tokens, r.Users, r.AtLeast = r.Requests+o.Requests, r.Tokens+o.Tokens, r.Users+o.Users, r.AtLeast || o.AtLeast
	r.Sales, r.Commission, r.Revenue = r.Sales+o.Sales, r.Commission+o.Commission, r.Revenue+o.Revenue
	r.Cost, r.Margin = r.Cost+o.Cost, r.Margin+o.Margin
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
