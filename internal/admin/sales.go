package admin

import (
	"context"
	"io"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Sales is what the pages of customers' invoices and of margins read. Months
// and amounts are as in Books.
type Sales interface {
	// SalesInvoices lists the invoices and drafts to customers, the newest
	// first.
	SalesInvoices(ctx context.Context) ([]SalesInvoiceHead, error)
	// SalesInvoice returns a customer's invoice for a month: a draft while the
	// month is open. Who is no customer is an ErrNotFound.
	SalesInvoice(ctx context.Context, customer string, month int32) (SalesInvoice, error)
	// SalesInvoicePDF writes the same as a PDF file.
	SalesInvoicePDF(ctx context.Context, w io.Writer, customer string, month int32) error
	// Margin says what the requests of a month brought in and cost, by plan,
	// model, channel or tenant. Anything else is a BadRequestError.
	Margin(ctx context.Context, by string, month int32) (Margin, error)
}

// MarginsBy are what a margin is told by, the first one where nobody asks.
var MarginsBy = [...]string{"plan", "model", "channel", "tenant"}

// SalesInvoiceHead is an invoice to a customer as a list of them has it.
type SalesInvoiceHead struct {
	Number   string        `json:"number,omitempty"` // empty for a draft
	Month    int32         `json:"month"`
	Issued   alliance.Date `json:"issued,omitzero"`
	Due      alliance.Date `json:"due,omitzero"`
	Customer string        `json:"customer"`
	Name     string        `json:"name"`
	Party    string        `json:"party,omitempty"` // whose customer it is
	Currency ledger.Asset  `json:"currency"`
	Total    money.Amount  `json:"total"`
}

// SalesInvoice is what a customer owes for one month, line by line.
type SalesInvoice struct {
	// Number is empty for a draft, and where nothing was booked in the month.
	Number     string        `json:"number,omitempty"`
	Month      int32         `json:"month"`
	Closed     bool          `json:"closed"`
	From       alliance.Date `json:"from"`
	Until      alliance.Date `json:"until"` // first day after the month
	Issued     alliance.Date `json:"issued,omitzero"`
	Due        alliance.Date `json:"due,omitzero"`
	Seller     string        `json:"seller"`
	SellerName string        `json:"seller_name"`
	Customer   string        `json:"customer"`
	Name       string        `json:"name"`
	Party      string        `json:"party,omitempty"`
	Currency   ledger.Asset  `json:"currency"`
	Notice     string        `json:"notice,omitempty"`
	// Simulated marks an invoice over stand-ins or played traffic, as
	// SimulatedSays tells.
	Simulated     bool             `json:"simulated"`
	SimulatedSays string           `json:"simulated_says,omitempty"`
	Account       ledger.AccountID `json:"account"`
	Lines         []SalesLine      `json:"lines"`
	Included      []IncludedLine   `json:"included,omitempty"`
	Total         money.Amount     `json:"total"`
}

// SalesLine is one line of an invoice: a quantity at a price.
type SalesLine struct {
	Item      string       `json:"item"`
	Plan      string       `json:"plan,omitempty"`
	Model     string       `json:"model,omitempty"`
	Channel   string       `json:"channel,omitempty"`
	Kind      string       `json:"kind,omitempty"` // of tokens, or what else is counted
	Quantity  int64        `json:"quantity,omitempty"`
	Unit      string       `json:"unit,omitempty"` // that the price is for
	UnitPrice money.Amount `json:"unit_price"`
	PriceID   string       `json:"price,omitempty"`
	Month     int32        `json:"corrects,omitempty"` // closed month that it is about
	First     uint64       `json:"first_batch"`
	Last      uint64       `json:"last_batch"`
	Amount    money.Amount `json:"amount"`
	// Account, Against and Entries select the entries that the line sums;
	// empty for rounding.
	Account ledger.AccountID `json:"account,omitempty"`
	Against ledger.AccountID `json:"against,omitempty"`
	Entries string           `json:"entries,omitempty"`
}

// IncludedLine says how much of a plan's quota was used in the month.
type IncludedLine struct {
	Plan     string `json:"plan"`
	Per      string `json:"per"`
	Unit     string `json:"unit"`
	Subjects int64  `json:"subjects"`
	Granted  string `json:"granted"`
	Used     string `json:"used"`
	Left     string `json:"left"`
	Over     string `json:"uncounted,omitempty"`
}

// PartnerInvoice is an invoice as the customer has it: nothing of the
// seller's accounts, batches and names of prices.
type PartnerInvoice struct {
	Number    string         `json:"number,omitempty"`
	Month     int32          `json:"month"`
	Closed    bool           `json:"closed"`
	From      alliance.Date  `json:"from"`
	Until     alliance.Date  `json:"until"`
	Issued    alliance.Date  `json:"issued,omitzero"`
	Due       alliance.Date  `json:"due,omitzero"`
	Seller    string         `json:"seller"` // its name
	Customer  string         `json:"customer"`
	Name      string         `json:"name"`
	Currency  ledger.Asset   `json:"currency"`
	Notice    string         `json:"notice,omitempty"`
	Simulated bool           `json:"simulated"`
	Lines     []PartnerLine  `json:"lines"`
	Included  []IncludedLine `json:"included,omitempty"`
	Total     money.Amount   `json:"total"`
}

// PartnerLine is one line of a PartnerInvoice.
type PartnerLine struct {
	Item      string       `json:"item"`
	Plan      string       `json:"plan,omitempty"`
	Model     string       `json:"model,omitempty"`
	Channel   string       `json:"channel,omitempty"`
	Kind      string       `json:"kind,omitempty"`
	Quantity  int64        `json:"quantity,omitempty"`
	Unit      string       `json:"unit,omitempty"`
	UnitPrice money.Amount `json:"unit_price"`
	Month     int32        `json:"corrects,omitempty"`
	Amount    money.Amount `json:"amount"`
}

// ForPartner is the invoice as its customer has it.
func (v *SalesInvoice) ForPartner() PartnerInvoice {
	p := PartnerInvoice{
		Number: v.Number, Month: v.Month, Closed: v.Closed, From: v.From, Until: v.Until, Issued: v.Issued, Due: v.Due, Seller: v.SellerName,
		Customer: v.Customer, Name: v.Name, Currency: v.Currency, Notice: v.Notice, Simulated: v.Simulated, Lines: []PartnerLine{}, Included: v.Included, Total: v.Total,
	}
	for i := range v.Lines {
		l := &v.Lines[i]
		p.Lines = append(p.Lines, PartnerLine{l.Item, l.Plan, l.Model, l.Channel, l.Kind, l.Quantity, l.Unit, l.UnitPrice, l.Month, l.Amount})
	}
	return p
}

// OwnSales keeps of a list of invoices those that may be shown to somebody.
func (a Access) OwnSales(all []SalesInvoiceHead) []SalesInvoiceHead {
	list := []SalesInvoiceHead{}
	for i := range all {
		if a.OwnsSale(all[i].Customer, all[i].Party) {
			list = append(list, all[i])
		}
	}
	return list
}

// OwnsSale reports whether the invoice to a customer, which belongs to a party
// or to none, may be shown.
func (a Access) OwnsSale(customer, party string) bool { return a.Owns(customer) || a.Owns(party) }

// Margin says what the requests of a month brought in and cost. Its rows and
// the rest come to the books of the month.
type Margin struct {
	By            string      `json:"by"`
	Month         int32       `json:"month"`
	Closed        bool        `json:"closed"`
	Operator      string      `json:"operator"`
	Currency      string      `json:"currency"`
	Notice        string      `json:"notice,omitempty"`
	Simulated     bool        `json:"simulated"`
	SimulatedSays string      `json:"simulated_says,omitempty"`
	Rows          []MarginRow `json:"rows"`
	Rest          []MarginRow `json:"rest"` // what no row caused, by kind of account
	Total         MarginRow   `json:"total"`
}

// MarginRow is what one plan, model, channel or tenant brought in and cost.
type MarginRow struct {
	Name       string       `json:"name"`
	Requests   int64        `json:"requests"`
	Tokens     int64        `json:"tokens"`
	Users      int64        `json:"users,omitempty"` // distinct end users
	AtLeast    bool         `json:"users_at_least,omitempty"`
	Sales      money.Amount `json:"sales"`
	Commission money.Amount `json:"commission"`
	Revenue    money.Amount `json:"revenue"`
	Cost       money.Amount `json:"cost"`
	Margin     money.Amount `json:"margin"`
	PerUser    *UserMargin  `json:"per_user,omitempty"`
}

// UserMargin is what one end user brought in and cost on average.
type UserMargin struct {
	Net    money.Amount `json:"net"` // sales less commissions
	Cost   money.Amount `json:"cost"`
	Margin money.Amount `json:"margin"`
}
