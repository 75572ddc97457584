package settle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
)

// SalesInvoice is what a customer, a channel or a seller of plans owes the
// operator for one month, line by line. Its lines come to the month's
// movements of the receivable exactly.
type SalesInvoice struct {
	// Number is empty while the month is open, when it is a draft that may
	// change, and where nothing was booked to the customer in the month.
	Number   string        `json:"number,omitempty"`
	Month    int32         `json:"month"`  // YYYYMM
	Closed   bool          `json:"closed"` // the month is: nothing of it changes
	From     alliance.Date `json:"from"`   // first day of the month
	Until    alliance.Date `json:"until"`  // first day after it
	Issued   alliance.Date `json:"issued,omitzero"`
	Due      alliance.Date `json:"due,omitzero"`
	Seller   string        `json:"seller"`
	Customer string        `json:"customer"`
	Name     string        `json:"name"`
	// Party is whose customer it is: the tenant's or the channel's, if any.
	Party    string `json:"party,omitempty"`
	Currency string `json:"currency"`
	Notice   string `json:"notice,omitempty"`
	// Simulated says that a pool of the terms answers by a stand-in.
	Simulated bool `json:"simulated"`
	// SimulatedSays tells how the traffic was played, where it was.
	SimulatedSays string             `json:"simulated_says,omitempty"`
	Account       ledger.AccountID   `json:"account"`
	Lines         []SalesInvoiceLine `json:"lines"`
	Included      []IncludedLine     `json:"included,omitempty"`
	Total         money.Amount       `json:"total"`
}

// The items of an invoice's lines.
const (
	ItemFee        = "fee"        // a month of a plan
	ItemUse        = "use"        // tokens at the plan's price
	ItemIncluded   = "included"   // tokens inside the plan's quota
	ItemOverage    = "overage"    // tokens beyond it
	ItemWholesale  = "wholesale"  // tokens of a plan that another party sells
	ItemCommission = "commission" // what the channel keeps
	ItemOther      = "other"      // any other entry of the receivable
	ItemRounding   = "rounding"   // of the lines above, each rounded down
)

// perMillion is the unit that tokens are priced in.
const perMillion = "1,000,000 tokens"

// SalesInvoiceLine is one line: a quantity at a price.
type SalesInvoiceLine struct {
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
	// Account, Against and Entries select the entries that the line sums: the
	// two accounts and the kind. They are empty for rounding.
	Account ledger.AccountID `json:"account,omitempty"`
	Against ledger.AccountID `json:"against,omitempty"`
	Entries string           `json:"entries,omitempty"`
}

// IncludedLine says how much of a plan's quota was used in the month, over
// all its subjects that were served.
type IncludedLine struct {
	Plan     string `json:"plan"`
	Per      string `json:"per"`
	Unit     string `json:"unit"` // tokens, or the currency of use at the plan's price
	Subjects int64  `json:"subjects"`
	Granted  string `json:"granted"`
	Used     string `json:"used"`
	Left     string `json:"left"`
	Over     string `json:"uncounted,omitempty"` // used by subjects beyond the number that is counted
}

// ErrNoCustomer reports somebody who owes the operator nothing by the terms.
var ErrNoCustomer = errors.New("no such customer")

// invoicer makes one sales invoice.
type invoicer struct {
	ctx   context.Context
	books Reader
	cache *ledger.Book
	out   *SalesInvoice
	lines map[lineKey]*SalesInvoiceLine
	keys  []lineKey

	closedAt time.Time
	days     int64 // after which it is due
}

type lineKey struct {
	item, plan, model, channel, kind, price string
	unitPrice                               money.Amount
	month                                   int32
}

// MakeSalesInvoice reads the invoice of a customer and month from the books.
// closedAt is when the month was closed, zero while it is open. The number is
// the running one of ListSalesInvoices. It fails when the lines do not come to
// the receivable.
func MakeSalesInvoice(ctx context.Context, books Reader, terms TermsFunc, t *ledger.Terms, customer string, month int32, closedAt time.Time) (*SalesInvoice, error) {
	a := t.Alliance()
	first := time.Date(int(month/100), time.Month(month%100), 1, 0, 0, 0, 0, time.UTC)
	out := &SalesInvoice{
		Month: month, Closed: !closedAt.IsZero(), Party: ownerOf(a, customer), From: alliance.Date{Time: first}, Until: alliance.Date{Time: first.AddDate(0, 1, 0)}, Seller: string(a.Operator), Customer: customer,
		Currency: string(a.Currency), Notice: a.Notice, Lines: []SalesInvoiceLine{}, Account: ledger.NewAccount(string(a.Operator), "asset", "receivable", customer),
	}
	days := int64(0)
	if out.Name, days = customerOf(a, customer); out.Name == "" || billedBy(a, customer) != nil {
		if err := booked(ctx, books, a, out); err != nil {
			return nil, err
		}
	}
	out.Simulated = slices.ContainsFunc(a.Pools, func(p alliance.Pool) bool { return p.StandIn != nil })
	for try := 1; ; try++ {
		before, err := books.Head(ctx)
		if err != nil {
			return nil, err
		}
		made := *out
		made.Lines = []SalesInvoiceLine{}
		inv := invoicer{ctx: ctx, books: books, cache: ledger.New(terms), out: &made, lines: map[lineKey]*SalesInvoiceLine{}, closedAt: closedAt, days: days}
		if err = inv.make(); err == nil {
			return &made, nil
		}
		if after, headErr := books.Head(ctx); headErr != nil || after.Batch == before.Batch || try == invoiceTries {
			return nil, err
		}
	}
}

// invoiceTries is how often an invoice is made again because a batch was
// posted meanwhile.
const invoiceTries = 5

// booked names a customer that the terms do not bill but the books do: one
// that left, or whose channel bills it since. It fails for anybody else.
func booked(ctx context.Context, books Reader, a *alliance.Alliance, out *SalesInvoice) error {
	periods, err := books.Periods(ctx, receivables(out.Seller))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(periods, func(p ledger.PeriodBalance) bool { return p.Account == out.Account }) {
		if ch := billedBy(a, out.Customer); ch != nil {
			return fmt.Errorf("%w: all keys of %s are on the channel %s, which bills it: accordo invoice %s", ErrNoCustomer, out.Customer, ch.ID, ch.ID)
		}
		return fmt.Errorf("%w: %s: give a tenant, a channel that bills customers, or a party that sells plans", ErrNoCustomer, out.Customer)
	}
	assets, err := assetsOf(ctx, books)
	if err != nil {
		return err
	}
	out.Currency = string(assets[out.Account])
	_, name := refsOf(a, firstRef(out.Account))
	out.Name = cmp.Or(out.Name, name, out.Customer)
	return nil
}

// customerOf returns the name of somebody who may owe the operator, and the
// days after which an invoice is due.
func customerOf(a *alliance.Alliance, id string) (name string, days int64) {
	for i := range a.Tenants {
		if string(a.Tenants[i].ID) == id {
			return a.Tenants[i].Name, a.Tenants[i].PaymentDays
		}
	}
	for i := range a.Channels {
		if string(a.Channels[i].ID) == id && a.Channels[i].Presentation != "" {
			return a.Channels[i].Name, 0
		}
	}
	for i := range a.Plans {
		if p := &a.Plans[i]; string(p.Seller) == id && (p.Wholesale != nil || p.WholesaleFee != nil) {
			for j := range a.Parties {
				if string(a.Parties[j].ID) == id {
					return a.Parties[j].Name, 0
				}
			}
		}
	}
	return "", 0
}

// billedBy returns the channel that bills all that a tenant uses, or nil.
func billedBy(a *alliance.Alliance, tenant string) (by *alliance.Channel) {
	t := a.Tenant(alliance.TenantID(tenant))
	if t == nil {
		return nil
	}
	for i := range t.Keys {
		ch := a.Channel(t.Keys[i].Channel)
		if ch == nil || ch.Presentation == "" || by != nil && by != ch {
			return nil
		}
		if p := a.Plan(t.Keys[i].Plan); p != nil && p.Fee != nil {
			return nil // its fee is the operator's to bill
		}
		by = ch
	}
	return by
}

func (v *invoicer) make() error {
	sums, err := v.books.Sums(v.ctx, v.out.Account, v.out.Month)
	if err != nil {
		return err
	}
	for i := range sums {
		if err := v.sum(&sums[i]); err != nil {
			return err
		}
	}
	if err := v.included(); err != nil {
		return err
	}
	periods, err := v.books.Periods(v.ctx, receivables(v.out.Seller))
	if err != nil {
		return err
	}
	inOrder(periods)
	moved, listed := money.Amount(0), money.Amount(0)
	for i, p := range periods {
		if p.Account != v.out.Account || p.Period != v.out.Month {
			continue
		}
		moved = p.Amount
		if v.out.Closed {
			v.out.Number = salesNumber(v.out.Seller, i+1)
			v.out.Issued, v.out.Due = issued(v.closedAt, v.days)
		}
	}
	for i := range sums {
		v.out.Total += sums[i].Amount
	}
	if v.out.Total != moved {
		return fmt.Errorf("the entries of %s in %d come to %s, its balance moved by %s: run accordo ledger verify", v.out.Account, v.out.Month, v.out.Total, moved)
	}
	for _, k := range v.keys {
		l := v.lines[k]
		if l.Unit == perMillion {
			q, _, ok := money.Product(l.Quantity, int64(l.UnitPrice)).FloorDiv(rating.Divisor)
			if !ok {
				return money.ErrRange
			}
			l.Amount = money.Amount(q)
		}
		listed += l.Amount
		v.out.Lines = append(v.out.Lines, *l)
	}
	slices.SortStableFunc(v.out.Lines, func(x, y SalesInvoiceLine) int {
		return cmp.Or(cmp.Compare(x.Month, y.Month), cmp.Compare(x.Plan, y.Plan), cmp.Compare(rank(x.Item), rank(y.Item)), cmp.Compare(x.Model, y.Model), cmp.Compare(x.Channel, y.Channel), cmp.Compare(x.PriceID, y.PriceID))
	})
	if rest := v.out.Total - listed; rest != 0 {
		v.out.Lines = append(v.out.Lines, SalesInvoiceLine{Item: ItemRounding, Amount: rest})
	}
	return nil
}

func rank(item string) int {
	return slices.Index([]string{ItemFee, ItemIncluded, ItemOverage, ItemUse, ItemWholesale, ItemCommission, ItemOther, ItemRounding}, item)
}

// tokenKinds are the kinds of token in the order of a line's bytes.
func tokenKinds(u usage.Vector, r alliance.Rates) [5]struct {
	name string
	n    int64
	rate money.Amount
} {
	return [5]struct {
		name string
		n    int64
		rate money.Amount
	}{
		{"uncached input tokens", u.UncachedInput, r.Input},
		{"cache read tokens", u.CacheRead, r.CacheRead},
		{"cache write tokens", u.CacheWrite, r.CacheWrite},
		{"output tokens", u.Output, r.Output},
		{"reasoning tokens", u.Reasoning, r.Reasoning},
	}
}

// sum turns the entries of one rating into lines.
func (v *invoicer) sum(s *Sum) error {
	t, err := v.cache.Terms(s.Terms)
	if err != nil {
		return err
	}
	plan, item := priced(t.Alliance(), s.Price)
	base := SalesInvoiceLine{
		Item: item, PriceID: s.Price, First: s.First, Last: s.Last, Month: correctionOf(s.Ref),
		Account: v.out.Account, Against: s.Contra, Entries: s.Kind.String(),
	}
	if plan != nil {
		base.Plan = string(plan.ID)
	}
	base.Model, base.Channel, _ = strings.Cut(s.Contra.Ref(), ",")
	sale := t.Alliance().SalePrice(alliance.PriceID(s.Price))
	switch {
	case (s.Kind == ledger.Sale || s.Kind == ledger.Wholesale) && sale != nil:
		for _, k := range tokenKinds(s.Usage, sale.Rates) {
			l := base
			l.Kind, l.Unit, l.Quantity, l.UnitPrice = k.name, perMillion, k.n, k.rate
			v.line(l)
		}
		return nil
	case s.Kind == ledger.Subscription && feeOf(plan, s.Price) != nil:
		fee := feeOf(plan, s.Price)
		base.Model, base.Channel = "", ""
		base.Kind, base.Unit, base.UnitPrice = fee.Per, fee.Per+" and month", fee.Amount
		base.Quantity, base.Amount = int64(s.Amount/fee.Amount), s.Amount
	case s.Kind == ledger.Commission:
		base.Channel, base.Model, _ = strings.Cut(s.Contra.Ref(), ",")
		base.Item, base.Amount = ItemCommission, s.Amount
		if ch := t.Alliance().Channel(alliance.ChannelID(base.Channel)); ch != nil {
			base.Kind = fmt.Sprintf("%s %% of the price", strings.TrimSuffix(money.Amount(ch.CommissionPPM*100).String(), ".00"))
		}
	default:
		base.Item, base.Kind, base.Amount = ItemOther, s.Kind.String(), s.Amount
	}
	v.line(base)
	return nil
}

// correctionOf is the closed month that a ref names, or 0.
func correctionOf(ref string) (month int32) {
	if len(ref) != 6 {
		return 0
	}
	for _, c := range ref {
		if c < '0' || c > '9' {
			return 0
		}
		month = month*10 + c - '0'
	}
	return month
}

// line adds to a line, the first time at the end.
func (v *invoicer) line(l SalesInvoiceLine) {
	if l.Quantity == 0 && l.Amount == 0 {
		return
	}
	k := lineKey{l.Item, l.Plan, l.Model, l.Channel, l.Kind, l.PriceID, l.UnitPrice, l.Month}
	have := v.lines[k]
	if have == nil {
		v.lines[k] = &l
		v.keys = append(v.keys, k)
		return
	}
	have.Quantity, have.Amount = have.Quantity+l.Quantity, have.Amount+l.Amount
	have.First, have.Last = min(have.First, l.First), max(have.Last, l.Last)
	if have.Against != l.Against {
		have.Against = "" // of several: the line opens to the entries of all
	}
}

// priced returns the plan that has the price, and what the price is of it.
func priced(a *alliance.Alliance, price string) (*alliance.Plan, string) {
	for i := range a.Plans {
		p := &a.Plans[i]
		switch id := alliance.PriceID(price); {
		case slices.ContainsFunc(p.Fees(), func(f *alliance.SubscriptionFee) bool { return f.ID == id }):
			return p, ItemFee
		case p.Overage != nil && p.Overage.ID == id:
			return p, ItemOverage
		case p.Wholesale != nil && p.Wholesale.ID == id:
			return p, ItemWholesale
		case p.Price != nil && p.Price.ID == id:
			return p, ItemUse
		}
	}
	return nil, ItemOther
}

// feeOf returns the fee of a plan with the id that is above 0, or nil.
func feeOf(plan *alliance.Plan, id string) *alliance.SubscriptionFee {
	if plan == nil {
		return nil
	}
	for _, f := range plan.Fees() {
		if string(f.ID) == id && f.Amount > 0 {
			return f
		}
	}
	return nil
}

// included adds lines of tokens at nothing for each plan's quota, and how much
// of it is left.
func (v *invoicer) included() error {
	periods, err := v.books.Periods(v.ctx, v.out.Seller+"/memo/")
	if err != nil {
		return err
	}
	moved := map[ledger.AccountID]money.Amount{}
	var used []ledger.AccountID
	for _, p := range periods {
		if p.Period != v.out.Month || !strings.HasPrefix(p.Account.Ref(), v.out.Customer+",") {
			continue
		}
		moved[p.Account] = p.Amount
		if k := p.Account.Kind(); k == "included_tokens_used" || k == "included_spend_used" {
			used = append(used, p.Account)
		}
	}
	for _, account := range used {
		if err := v.quota(account, moved); err != nil {
			return err
		}
	}
	return nil
}

func (v *invoicer) quota(used ledger.AccountID, moved map[ledger.AccountID]money.Amount) error {
	_, plan, _ := strings.Cut(used.Ref(), ",")
	of := func(kind string) money.Amount {
		return moved[ledger.NewAccount(v.out.Seller, "memo", kind, used.Ref())]
	}
	kind, unit, format := "included_tokens_", "tokens", func(n money.Amount) string { return fmt.Sprint(int64(n)) }
	if used.Kind() == "included_spend_used" {
		kind, unit, format = "included_spend_", v.out.Currency, money.Amount.String
	}
	sums, err := v.books.Sums(v.ctx, used, v.out.Month)
	if err != nil {
		return err
	}
	l := IncludedLine{
		Plan: plan, Unit: unit, Subjects: int64(of("subjects")),
		Granted: format(-of(kind + "granted")), Used: format(of(kind + "used")), Left: format(max(0, of(kind+"open"))),
	}
	if n := -of(kind + "uncounted"); n != 0 {
		l.Over = format(n)
	}
	for i := range sums {
		s := &sums[i]
		t, err := v.cache.Terms(s.Terms)
		if err != nil {
			return err
		}
		if p := t.Alliance().Plan(alliance.PlanID(plan)); p != nil && p.Included != nil {
			l.Per = p.Included.Per
		}
		for _, k := range tokenKinds(s.Usage, alliance.Rates{}) {
			v.line(SalesInvoiceLine{
				Item: ItemIncluded, Plan: plan, Kind: k.name, Unit: perMillion, Quantity: k.n, PriceID: s.Price,
				Month: correctionOf(s.Ref), First: s.First, Last: s.Last, Account: used, Against: s.Contra, Entries: s.Kind.String(),
			})
		}
	}
	v.out.Included = append(v.out.Included, l)
	return nil
}
