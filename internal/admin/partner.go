package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// What a partner sees is copied field by field into types of its own, so that
// a field that is added for the operator is not the partner's by accident.

// ForPartner is the head of a partner's pages: nothing of routing, load,
// faults or addresses, and not the title, which may name other parties.
func (o Overview) ForPartner() Overview {
	p := Overview{Title: "With " + o.Operator, Notice: o.Notice, Simulated: o.Simulated, Operator: o.Operator, Currency: o.Currency, Version: o.Version, StandIns: []string{}}
	if len(o.StandIns) > 0 {
		p.StandIns = []string{"Stand-ins answer for pools of these terms."}
	}
	return p
}

// PartnerContract is a contract as its provider sees it: what was promised
// and how much of it was used, and no shadow price, forecast or pool.
type PartnerContract struct {
	ID            string        `json:"id"`
	Title         string        `json:"title"`
	Shape         string        `json:"shape"`
	Currency      string        `json:"currency"` // of all its amounts
	ShapeSays     string        `json:"shape_says"`
	From          alliance.Date `json:"from"`
	Until         alliance.Date `json:"until"`
	Headline      *money.Amount `json:"headline,omitempty"`
	IntervalFrom  alliance.Date `json:"interval_from"`
	IntervalUntil alliance.Date `json:"interval_until"`
	Floor         money.Amount  `json:"floor"`
	Fee           money.Amount  `json:"fee"`
	Burnt         money.Amount  `json:"burnt"`
	FeesAccrued   money.Amount  `json:"fees_accrued"`
	Schedule      []PartnerStep `json:"schedule,omitempty"`
	Ramp          []PartnerRamp `json:"ramp,omitempty"`
}

// PartnerStep is one interval of a contract's floors or fees.
type PartnerStep struct {
	From   alliance.Date `json:"from"`
	Until  alliance.Date `json:"until"`
	Amount money.Amount  `json:"amount"`
	Fee    bool          `json:"fee"`
}

// PartnerRamp is the capacity contracted from a day on.
type PartnerRamp struct {
	From            alliance.Date `json:"from"`
	Chips           int64         `json:"chips,omitempty"`
	TokensPerMinute int64         `json:"tokens_per_minute,omitempty"`
}

// PartnerContracts are the contracts of which a party is the provider.
func PartnerContracts(all []Contract, party string) []PartnerContract {
	list := []PartnerContract{}
	for i := range all {
		if k := &all[i]; party != "" && k.Party == party {
			list = append(list, partnerContract(k))
		}
	}
	return list
}

func partnerContract(k *Contract) PartnerContract {
	v := PartnerContract{
		ID: k.ID, Title: k.Title, Shape: k.Shape, Currency: k.Currency, ShapeSays: k.ShapeSays, From: k.From, Until: k.Until, Headline: k.Headline,
		IntervalFrom: k.IntervalFrom, IntervalUntil: k.IntervalUntil, Floor: k.Floor, Fee: k.Fee, Burnt: k.Burnt, FeesAccrued: k.FeesSinceStart,
	}
	for _, s := range k.Schedule {
		v.Schedule = append(v.Schedule, PartnerStep{s.From, s.Until, s.Amount, s.Fee})
	}
	for _, r := range k.Ramp {
		v.Ramp = append(v.Ramp, PartnerRamp{r.From, r.Chips, r.TokensPerMinute})
	}
	return v
}

// PartnerStatement is a statement as its party's own books must have it, with
// nothing of the operator's accounts, of prices and of other parties.
type PartnerStatement struct {
	Operator  string           `json:"operator"` // its name
	Party     string           `json:"party"`
	Name      string           `json:"name"`
	Month     int32            `json:"month"`
	Closed    bool             `json:"closed"`
	Currency  string           `json:"currency"`
	Notice    string           `json:"notice,omitempty"`
	Simulated bool             `json:"simulated"`
	Totals    []StatementTotal `json:"totals"` // above zero: owed to the party
	Accounts  []PartnerAccount `json:"accounts"`
}

// PartnerAccount is one account of a partner's statement.
type PartnerAccount struct {
	What      string            `json:"what"` // such as accrued or payable
	For       string            `json:"for"`
	Asset     ledger.Asset      `json:"asset"`
	Opening   money.Amount      `json:"opening"`
	Movements []PartnerMovement `json:"movements"`
	Closing   money.Amount      `json:"closing"`
}

// PartnerMovement sums the entries of one kind.
type PartnerMovement struct {
	Kind     string       `json:"kind"`
	Contract string       `json:"contract,omitempty"`
	Entries  int64        `json:"entries"`
	Tokens   int64        `json:"tokens"`
	Amount   money.Amount `json:"amount"`
}

// ForPartner is what the party sees of its statement. Movements that differ
// in what it does not see are added up; contracts that are not its own are
// not named.
func (s *Statement) ForPartner(own map[string]bool) PartnerStatement {
	sign := money.Amount(-1)
	if s.Mirrored {
		sign = 1
	}
	p := PartnerStatement{
		Operator: s.OperatorName, Party: s.Party, Name: s.Name, Month: s.Month, Closed: s.Closed, Currency: s.Currency, Notice: s.Notice, Simulated: s.Simulated,
		Accounts: []PartnerAccount{},
	}
	for _, t := range s.Totals {
		p.Totals = append(p.Totals, StatementTotal{t.Currency, sign * t.Opening, sign * t.Closing})
	}
	for i := range s.Accounts {
		from := &s.Accounts[i]
		to := PartnerAccount{What: strings.ReplaceAll(from.Account.Kind(), "_", " "), For: strings.NewReplacer(",", ", ", "_", " ").Replace(from.Account.Ref()), Asset: from.Asset, Opening: sign * from.Opening, Closing: sign * from.Closing, Movements: []PartnerMovement{}}
		for j := range from.Movements {
			to.add(&from.Movements[j], sign, own)
		}
		p.Accounts = append(p.Accounts, to)
	}
	return p
}

func (a *PartnerAccount) add(m *Movement, sign money.Amount, own map[string]bool) {
	contract := ""
	if own[m.Contract] {
		contract = m.Contract
	}
	for i := range a.Movements {
		if k := &a.Movements[i]; k.Kind == m.Kind && k.Contract == contract {
			k.Entries, k.Tokens, k.Amount = k.Entries+m.Entries, k.Tokens+m.Tokens, k.Amount+sign*m.Amount
			return
		}
	}
	a.Movements = append(a.Movements, PartnerMovement{m.Kind, contract, m.Entries, m.Tokens, sign * m.Amount})
}

// PartnerEntry is an entry of a partner's account as its own books must have it.
type PartnerEntry struct {
	Entry    string       `json:"entry"` // batch.number
	At       time.Time    `json:"at"`    // when the books took it
	From     time.Time    `json:"from"`  // when what it is about happened, first and last
	Until    time.Time    `json:"until"`
	Kind     string       `json:"kind"`
	Contract string       `json:"contract,omitempty"`
	Requests int64        `json:"requests"`
	Tokens   int64        `json:"tokens"`
	Amount   money.Amount `json:"amount"`
}

// OwnContracts are the contracts of which a party is the provider.
func OwnContracts(all []Contract, party string) map[string]bool {
	own := map[string]bool{}
	for i := range all {
		if party != "" && all[i].Party == party {
			own[all[i].ID] = true
		}
	}
	return own
}

// ForPartner is what the party of an account sees of an entry of it.
func (e *Entry) ForPartner(account ledger.AccountID, own map[string]bool) PartnerEntry {
	amount, contract := e.Amount, ""
	if own[e.Contract] {
		contract = e.Contract
	}
	if e.Debit == account {
		amount = -amount
	}
	return PartnerEntry{
		Entry: fmt.Sprintf("%d.%d", e.Batch, e.Number), At: e.At, From: time.Unix(0, e.Entry.From).UTC(), Until: time.Unix(0, e.Entry.Until).UTC(),
		Kind: e.Kind.String(), Contract: contract, Requests: e.Lines, Tokens: e.Tokens.Total(), Amount: amount,
	}
}
