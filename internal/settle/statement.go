package settle

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Movement is what the entries of one kind, between one account and another,
// did to the first in one month.
type Movement struct {
	Kind     ledger.Kind      `json:"kind"`
	Contra   ledger.AccountID `json:"contra"` // the other account
	Contract string           `json:"contract,omitempty"`
	Price    string           `json:"price,omitempty"`
	Entries  int64            `json:"entries"`
	Lines    int64            `json:"lines"`
	Tokens   int64            `json:"tokens"`
	First    uint64           `json:"first_batch"` // first and last batch that holds one
	Last     uint64           `json:"last_batch"`
	Amount   money.Amount     `json:"amount"` // debits less credits
}

// StatementAccount is one account of a statement.
type StatementAccount struct {
	Account   ledger.AccountID `json:"account"`
	Currency  ledger.Asset     `json:"currency"` // of all its amounts
	Opening   money.Amount     `json:"opening"`
	Movements []Movement       `json:"movements"`
	Closing   money.Amount     `json:"closing"`
}

// Statement is what stands between the operator and a party in one month. An
// amount above zero is owed by the party to the operator, one below zero by
// the operator to the party; mirrored, the other way round.
type Statement struct {
	Operator string `json:"operator"`
	Party    string `json:"party"`
	Name     string `json:"name"`
	Month    int32  `json:"month"` // YYYYMM
	Closed   bool   `json:"closed"`
	Mirrored bool   `json:"mirrored"` // as the party sees it
	Currency string `json:"currency"`
	Notice   string `json:"notice,omitempty"`
	// Simulated says that a pool of the terms answers by a stand-in, or that
	// the traffic itself was simulated; SimulatedSays is why, for people.
	Simulated     bool   `json:"simulated"`
	SimulatedSays string `json:"simulated_says,omitempty"`
	// Opening and Closing add up the accounts in Currency, and no others.
	Opening  money.Amount       `json:"opening"`
	Closing  money.Amount       `json:"closing"`
	Totals   []StatementTotal   `json:"totals"` // one a currency: they are never added
	Accounts []StatementAccount `json:"accounts"`
}

// StatementTotal adds up the accounts of a statement in one currency.
type StatementTotal struct {
	Currency ledger.Asset `json:"currency"`
	Opening  money.Amount `json:"opening"`
	Closing  money.Amount `json:"closing"`
}

// ErrNoParty reports a party that the terms do not have.
var ErrNoParty = errors.New("no such party")

// MakeStatement reads the statement of a party and month from the books. It
// fails when the movements do not come to the balances.
func MakeStatement(ctx context.Context, books Reader, t *ledger.Terms, party string, month, closed int32) (*Statement, error) {
	a := t.Alliance()
	if party == string(a.Operator) {
		return nil, fmt.Errorf("%w: %s keeps these books: a statement is with somebody else", ErrNoParty, party)
	}
	s := &Statement{Operator: string(a.Operator), Party: party, Month: month, Closed: month <= closed, Currency: string(a.Currency), Notice: a.Notice, Accounts: []StatementAccount{}}
	owns, name := refsOf(a, party)
	if name == "" {
		return nil, fmt.Errorf("%w: %s: it is neither a party nor a tenant of the terms", ErrNoParty, party)
	}
	s.Name = name
	if slices.ContainsFunc(a.Pools, func(p alliance.Pool) bool { return p.StandIn != nil }) {
		s.Simulated, s.SimulatedSays = true, "stand-ins answer for pools of these terms"
	}
	periods, err := books.Periods(ctx, s.Operator+"/")
	if err != nil {
		return nil, err
	}
	assets, err := assetsOf(ctx, books)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(periods); {
		account := periods[i].Account
		var opening, moved money.Amount
		for ; i < len(periods) && periods[i].Account == account; i++ {
			switch p := &periods[i]; {
			case p.Period < month:
				opening += p.Amount
			case p.Period == month:
				moved = p.Amount
			}
		}
		if !between(account) || !owns[firstRef(account)] {
			continue
		}
		list, err := books.Movements(ctx, account, month)
		if err != nil {
			return nil, err
		}
		sum := money.Amount(0)
		for _, m := range list {
			sum += m.Amount
		}
		if sum != moved {
			return nil, fmt.Errorf("the entries of %s in %d come to %s, its balance moved by %s: run accordo ledger verify", account, month, sum, moved)
		}
		if opening == 0 && len(list) == 0 {
			continue
		}
		s.Accounts = append(s.Accounts, StatementAccount{Account: account, Currency: assets[account], Opening: opening, Movements: list, Closing: opening + moved})
	}
	slices.SortStableFunc(s.Accounts, func(x, y StatementAccount) int { return cmp.Compare(questioned(x.Account), questioned(y.Account)) })
	s.total()
	return s, nil
}

// assetsOf returns what each account counts.
func assetsOf(ctx context.Context, books Reader) (map[ledger.AccountID]ledger.Asset, error) {
	balances, err := books.Balances(ctx)
	if err != nil {
		return nil, err
	}
	assets := make(map[ledger.AccountID]ledger.Asset, len(balances))
	for _, b := range balances {
		assets[b.Account] = b.Asset
	}
	return assets, nil
}

// total adds up the accounts by currency: the statement's own first, the
// others by name.
func (s *Statement) total() {
	s.Totals = []StatementTotal{{Currency: ledger.Asset(s.Currency)}}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		at := slices.IndexFunc(s.Totals, func(t StatementTotal) bool { return t.Currency == a.Currency })
		if at < 0 {
			at = len(s.Totals)
			s.Totals = append(s.Totals, StatementTotal{Currency: a.Currency})
		}
		s.Totals[at].Opening += a.Opening
		s.Totals[at].Closing += a.Closing
	}
	s.Opening, s.Closing = s.Totals[0].Opening, s.Totals[0].Closing
	slices.SortFunc(s.Totals[1:], func(x, y StatementTotal) int { return cmp.Compare(x.Currency, y.Currency) })
}

// questioned is 1 for accounts of what is not settled between the two, which
// come after what is.
func questioned(a ledger.AccountID) int {
	if k := a.Kind(); k == "suspense" || k == "difference" {
		return 1
	}
	return 0
}

// between reports whether an account stands between the operator and somebody
// else, and not for the operator's own results.
func between(a ledger.AccountID) bool {
	c := a.Class()
	return (c == contract.Asset || c == contract.Liability) && a.Kind() != "capacity_clearing" && a.Kind() != "cash" && a.Kind() != ledger.ExpectedKind
}

func firstRef(a ledger.AccountID) string {
	ref, _, _ := strings.Cut(a.Ref(), ",")
	return ref
}

// refsOf returns what the accounts of a party are kept for: itself, its
// tenants and its contracts.
func refsOf(a *alliance.Alliance, party string) (owns map[string]bool, name string) {
	owns = map[string]bool{party: true}
	for i := range a.Parties {
		if string(a.Parties[i].ID) == party {
			name = a.Parties[i].Name
		}
	}
	for i := range a.Tenants {
		t := &a.Tenants[i]
		if string(t.ID) == party {
			name = t.Name
		}
		if string(t.Party) == party {
			owns[string(t.ID)] = true
		}
	}
	for i := range a.Channels {
		if ch := &a.Channels[i]; string(ch.Party) == party && ch.Presentation != "" {
			owns[string(ch.ID)] = true
		}
	}
	for i := range a.Contracts {
		if c := &a.Contracts[i]; string(c.Provider) == party {
			owns[string(c.ID)] = true
		}
	}
	return owns, name
}

// Mirror turns a statement into what the party's own books must say: every
// amount with the other sign.
func (s *Statement) Mirror() *Statement {
	m := *s
	m.Mirrored = !s.Mirrored
	m.Accounts = slices.Clone(s.Accounts)
	for i := range m.Accounts {
		a := &m.Accounts[i]
		a.Opening, a.Closing, a.Movements = -a.Opening, -a.Closing, slices.Clone(a.Movements)
		for j := range a.Movements {
			a.Movements[j].Amount = -a.Movements[j].Amount
		}
	}
	m.total()
	return &m
}

// WriteStatement writes a statement for people.
func WriteStatement(w io.Writer, s *Statement) error {
	if s.Notice != "" {
		fmt.Fprintf(w, "%s\n\n", s.Notice)
	}
	if s.Simulated {
		fmt.Fprintf(w, "SIMULATED: %s\n", s.SimulatedSays)
	}
	state := "open: it may change"
	if s.Closed {
		state = "closed"
	}
	debtor, creditor := s.Name, s.Operator
	if s.Mirrored {
		debtor, creditor = creditor, debtor
	}
	fmt.Fprintf(w, "STATEMENT of %s with %s, %04d-%02d (%s)\nabove zero: %s owes %s; below zero: the other way round\n\n", s.Name, s.Operator, s.Month/100, s.Month%100, state, debtor, creditor)
	err := table(w, func(line func(...any)) {
		line("ACCOUNT, MOVEMENT", "AGAINST", "CONTRACT", "PRICE", "TOKENS", "ENTRIES", "BATCHES", "AMOUNT", "IN")
		for i := range s.Accounts {
			a := &s.Accounts[i]
			line(a.Account, "", "", "", "", "", "brought forward", a.Opening, a.Currency)
			for j := range a.Movements {
				m := &a.Movements[j]
				line("  "+m.Kind.String(), m.Contra, m.Contract, m.Price, m.Tokens, m.Entries, fmt.Sprintf("%d-%d", m.First, m.Last), m.Amount, a.Currency)
			}
			line("", "", "", "", "", "", "carried forward", a.Closing, a.Currency)
		}
		for _, t := range s.Totals {
			line("TOTAL", "", "", "", "", "", "", t.Closing, t.Currency)
		}
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "\nopen a line: accordo ledger entries --account ACCOUNT; a request: accordo ledger trace ID")
	return err
}

// WriteStatementCSV writes a statement as CSV: one row a movement, with the
// balances before and after as rows of their own.
func WriteStatementCSV(w io.Writer, s *Statement) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"operator", "party", "month", "mirrored", "account", "row", "against", "contract", "price", "tokens", "entries", "first_batch", "last_batch", "amount", "currency", "simulated"}}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		row := func(what string, m *Movement, amount money.Amount) {
			cells := []string{s.Operator, s.Party, strconv.Itoa(int(s.Month)), strconv.FormatBool(s.Mirrored), string(a.Account), what, "", "", "", "", "", "", "", amount.String(), string(a.Currency), strconv.FormatBool(s.Simulated)}
			if m != nil {
				copy(cells[6:], []string{string(m.Contra), m.Contract, m.Price, strconv.FormatInt(m.Tokens, 10), strconv.FormatInt(m.Entries, 10), strconv.FormatUint(m.First, 10), strconv.FormatUint(m.Last, 10)})
			}
			rows = append(rows, cells)
		}
		row("brought_forward", nil, a.Opening)
		for j := range a.Movements {
			row(a.Movements[j].Kind.String(), &a.Movements[j], a.Movements[j].Amount)
		}
		row("carried_forward", nil, a.Closing)
	}
	return c.WriteAll(rows)
}
