package console_test

import (
	"context"
	"io"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Invented books of a month, with things of two parties in them.

func (f *fake) Outlook(_ context.Context, id string, at time.Time) (admin.Outlook, error) {
	c := f.a.Contract(alliance.ContractID(id))
	if c == nil {
		return admin.Outlook{}, admin.ErrNotFound
	}
	o := admin.Outlook{At: at, Currency: "USD", Clauses: []contract.Clause{{Name: "Shape", Says: f.or("Spend floor."), Assumed: true, Claims: []alliance.ClaimID{"P01"}}}, Dates: []admin.NextDate{{On: onDay("2027-01-01"), What: f.or("the interval ends"), Cost: 2 * money.Micro}, {On: onDay("2027-02-01"), What: f.or("the option lapses"), Unknown: true}}}
	if len(c.Floors) > 0 {
		o.Interval = &admin.Interval{
			From: onDay("2026-01-01"), Until: onDay("2027-01-01"), Promised: 100 * money.Micro, Used: 60 * money.Micro, Open: 40 * money.Micro,
			Forecast: 95 * money.Micro, Low: 80 * money.Micro, High: 120 * money.Micro, LostForecast: 5 * money.Micro, LostMost: 20 * money.Micro,
		}
		o.Line = []admin.BurnPoint{{At: onDay("2026-01-01").Time}, {At: at, Used: 60 * money.Micro}}
	}
	return o, nil
}

func (f *fake) Months(context.Context) ([]int32, int32, error) {
	return []int32{202611, 202610}, 202610, f.broken
}

func (f *fake) Accounts(_ context.Context, month int32) (list []admin.AccountMonth, err error) {
	for _, b := range f.Balances() {
		list = append(list, admin.AccountMonth{Account: b.Account, Asset: b.Asset, Opening: b.Amount / 3, Moved: b.Amount - b.Amount/3, Closing: b.Amount})
	}
	return list, f.broken
}

func (f *fake) EntriesOf(_ context.Context, q admin.EntryQuery) ([]admin.Entry, error) {
	f.query = q
	if f.broken != nil {
		return nil, f.broken
	}
	if q.Kind == "colour" {
		return nil, admin.BadRequestError{Says: "No entry is of that kind."}
	}
	e := admin.Entry{Batch: 149, Number: 1, At: now, Entry: ledger.Entry{
		Key:    ledger.Key{Kind: ledger.Cost, Debit: ledger.AccountID(f.or("openai/expense/compute/aws-gb200-us-east-2")), Credit: "openai/liability/accrued/microsoft", Asset: "USD", Price: f.or("price-of-aws"), Contract: f.or("aws-38bn"), Period: 202611},
		Amount: 106, Lines: 1, First: 10, Last: 11, From: now.UnixNano(), Until: now.Add(time.Second).UnixNano(), Tokens: usage.Vector{Output: 48},
	}}
	own := e
	own.Number, own.Contract, own.Amount = 2, "azure-250bn", 1_234_567_890_123
	list := []admin.Entry{own, e}
	for f.many > len(list) {
		e.Number++
		list = append(list, e)
	}
	return list[:min(len(list), q.Limit)], nil
}

func (f *fake) EntryAt(ctx context.Context, batch uint64, number int) (admin.EntryDetail, error) {
	list, err := f.EntriesOf(ctx, admin.EntryQuery{Limit: 1})
	if err != nil || batch != 149 {
		return admin.EntryDetail{}, admin.ErrNotFound
	}
	return admin.EntryDetail{Entry: list[0], Fault: f.or("Not all."), Lines: []admin.Line{{Request: f.or("req_1"), Attempt: "a1", At: now, Tokens: 48, Exact: "0.000106 + 1/2 micro", Intent: 10, Outcome: 11}}}, nil
}

func (f *fake) Batches(_ context.Context, before uint64, limit int) ([]admin.Batch, error) {
	return []admin.Batch{{Sequence: 149, At: now, First: 1, Last: 12, Served: 1, Entries: 2, Hash: "aa11bb22cc33dd44ee55", Prev: "00"}, {Sequence: 148, At: now, Fact: 3, Hash: "ff"}}, f.broken
}

func (f *fake) BooksState(context.Context) (admin.BooksState, error) {
	return admin.BooksState{Batch: 149, Record: 12, Hash: "aa11bb22cc33dd44ee55", Lag: 1, Closed: 202610, Running: f.verifying, Verified: &admin.Verification{At: now, Took: time.Second, Batches: 149, Fault: f.fault, Remedy: "Put it back."}}, f.broken
}

func (f *fake) Verify() bool { f.verifying = true; return true }

func (f *fake) Parties(context.Context, int32) ([]admin.PartyTotal, error) {
	return []admin.PartyTotal{
		{Party: "amazon", Name: f.or("Amazon (AWS)"), Kind: "party", Asset: "USD", Moved: -150, Amount: -2 * money.Micro},
		{Party: "microsoft", Name: "Microsoft", Kind: "party", Asset: "USD", Amount: money.Micro},
	}, f.broken
}

func (f *fake) Statement(_ context.Context, party string, month int32, mirrored bool) (admin.Statement, error) {
	p := f.a.Party(alliance.PartyID(party))
	if p == nil {
		return admin.Statement{}, admin.ErrNotFound
	}
	sign := money.Amount(1)
	if mirrored {
		sign = -1
	}
	account := ledger.AccountID("openai/liability/accrued/" + party)
	return admin.Statement{
		Operator: "openai", OperatorName: "OpenAI", Party: party, Name: f.or(p.Name), Month: month, Closed: month <= 202610, Mirrored: mirrored, Currency: "USD", Notice: f.a.Notice, Simulated: true,
		SimulatedSays: "stand-ins answer", Totals: []admin.StatementTotal{{Currency: "USD", Opening: sign * -50, Closing: sign * -250}},
		Accounts: []admin.StatementAccount{{Account: account, Asset: "USD", Opening: sign * -50, Closing: sign * -250, Movements: []admin.Movement{
			{Kind: "cost", Contra: ledger.AccountID(f.or("openai/expense/compute/aws-gb200-us-east-2")), Contract: f.or("aws-38bn"), Price: f.or("price-of-aws"), Entries: 3, Lines: 9, Tokens: 480, Amount: sign * -150},
			{Kind: "cost", Contra: "openai/expense/compute/azure-on-demand-eastus2", Contract: "azure-250bn", Price: "secret-price", Entries: 1, Tokens: 20, Amount: sign * -50},
		}}},
	}, f.broken
}

func (f *fake) StatementPDF(ctx context.Context, w io.Writer, party string, month int32, mirrored, partner bool) error {
	if _, err := f.Statement(ctx, party, month, mirrored); err != nil {
		return err
	}
	f.pdfForPartner = partner
	_, err := io.WriteString(w, "%PDF-1.4 invented")
	return err
}

func (f *fake) SalesInvoices(context.Context) ([]admin.SalesInvoiceHead, error) {
	return []admin.SalesInvoiceHead{
		{Month: 202611, Customer: "demo-tenant", Name: f.or("Whoever tries"), Currency: "USD", Total: 1_500_001},
		{Number: f.or("OPENAI-000003"), Month: 202610, Issued: onDay("2026-11-05"), Due: onDay("2026-12-05"), Customer: "demo-tenant", Name: f.or("Whoever tries"), Currency: "USD", Total: 2 * money.Micro},
		{Number: "OPENAI-000002", Month: 202610, Issued: onDay("2026-11-05"), Customer: "azure-market", Name: "Their market", Party: "microsoft", Currency: "USD", Total: 2 * money.Micro},
	}, f.broken
}

func (f *fake) SalesInvoice(_ context.Context, customer string, month int32) (admin.SalesInvoice, error) {
	v := admin.SalesInvoice{
		Month: month, From: onDay("2026-10-01"), Until: onDay("2026-11-01"), Seller: "openai", SellerName: "OpenAI", Customer: customer, Name: f.or("Whoever tries"), Currency: "USD", Notice: f.a.Notice, Simulated: true,
		SimulatedSays: f.or("stand-ins answer"), Account: ledger.AccountID("openai/asset/receivable/" + customer), Included: []admin.IncludedLine{{Plan: f.or("chat-plus"), Per: "end_user", Unit: "tokens", Subjects: 3, Granted: "60000", Used: "1234.5", Left: "58765"}},
	}
	switch {
	case customer == "azure-market":
		v.Name, v.Party = "Their market", "microsoft"
	case customer != "demo-tenant":
		return admin.SalesInvoice{}, admin.ErrNotFound
	}
	if v.Closed = month <= 202610; v.Closed && month > 202600 {
		v.Number, v.Issued, v.Due = "OPENAI-000002", onDay("2026-11-05"), onDay("2026-12-05")
	}
	if f.many == 0 || f.many > 3 {
		v.Lines = []admin.SalesLine{
			{Item: "use", Plan: f.or("demonstration"), Model: f.or("gpt-5.5"), Channel: f.or("openai-api"), Kind: "output tokens", Quantity: 1_234_567, Unit: "1,000,000 tokens", UnitPrice: 15 * money.Micro, PriceID: "secret-price", Amount: 18_518_505, Account: v.Account, Against: "openai/revenue/inference/gpt-5.5,openai-api", Entries: "sale", First: 1, Last: 9},
			{Item: "overage", Month: 202609, Kind: "output tokens", Quantity: 1, Unit: "1,000,000 tokens", UnitPrice: 15 * money.Micro, Amount: 15, Account: v.Account, Entries: "sale"},
			{Item: "rounding", Amount: 2},
		}
		v.Total = 18_518_522
	}
	return v, f.broken
}

func (f *fake) SalesInvoicePDF(ctx context.Context, w io.Writer, customer string, month int32) error {
	if _, err := f.SalesInvoice(ctx, customer, month); err != nil {
		return err
	}
	_, err := io.WriteString(w, "%PDF-1.4 invented")
	return err
}

func (f *fake) Margin(_ context.Context, by string, month int32) (admin.Margin, error) {
	m := admin.Margin{By: by, Month: month, Closed: month <= 202610, Operator: "openai", Currency: "USD", Simulated: true, SimulatedSays: f.or("stand-ins answer"), Rows: []admin.MarginRow{}, Rest: []admin.MarginRow{}}
	if f.many < 0 || f.margins != nil {
		m.Rows = append(m.Rows, f.margins...)
		return m, f.broken
	}
	m.Rows = append(m.Rows,
		admin.MarginRow{Name: f.or("demonstration"), Requests: 3, Tokens: 1_234_567, Users: 2, AtLeast: true, Sales: 20 * money.Micro, Commission: 2 * money.Micro, Revenue: 20 * money.Micro, Cost: 5_000_001, Margin: 12_999_999, PerUser: &admin.UserMargin{Net: 9 * money.Micro, Cost: 2 * money.Micro, Margin: 7 * money.Micro}},
		admin.MarginRow{Name: f.or("a plan with a name that is far too long to stand over a bar"), Requests: 1, Cost: 7 * money.Micro, Margin: -7 * money.Micro})
	m.Rest = append(m.Rest, admin.MarginRow{Name: f.or("unused_capacity"), Cost: 100 * money.Micro, Margin: -100 * money.Micro}, admin.MarginRow{Name: "inference", Sales: -1, Revenue: -1, Margin: -1})
	m.Total = admin.MarginRow{Name: "total", Requests: 4, Sales: 19_999_999, Cost: 112_000_001, Margin: -94_000_002}
	return m, f.broken
}

func (f *fake) Invoices(context.Context) ([]admin.Invoice, error) {
	return []admin.Invoice{{ID: "abcdef012345", Name: f.or("aws-2026-10.csv"), Provider: "amazon", Month: 202610, At: now, Agreed: 12 * money.Micro, Apart: -3, Found: 2, Open: 1, OpenSum: 5, Currency: "USD"}}, f.broken
}

func (f *fake) Differences(_ context.Context, invoice string) ([]admin.Difference, error) {
	if invoice != "" && invoice != "abcdef012345" {
		return nil, admin.ErrNotFound
	}
	list := []admin.Difference{
		{ID: "abcdef012345.7", Kind: "double_line", Says: "billed before", Provider: "amazon", Month: 202610, Invoice: "abcdef012345", Place: f.or("line 7"), Contract: "aws-38bn", Outcome: 11, Amount: 5, Currency: "USD", Entry: "149.1", Open: true},
		{ID: "abcdef012345.9", Kind: "rounding", Says: "nearly", Provider: "amazon", Month: 202610, Invoice: "abcdef012345", Place: "line 9", Amount: -8, Currency: "USD", Entry: "149.2", By: "accepted", Reason: f.or("as they say")},
	}
	if invoice == "" {
		list = list[:1]
	}
	return list, f.broken
}

func (f *fake) Evidence(context.Context, string) (admin.Evidence, error) {
	return admin.Evidence{Invoice: f.or("line 7, 48 tokens"), Books: f.or("request req_1"), Request: "req_1"}, f.broken
}

func (f *fake) Suspense(context.Context, time.Time) ([]admin.Held, error) {
	return []admin.Held{{Provider: "amazon", Attempt: "a1", Request: "req_1", Reason: f.or("cut_by_the_provider"), Model: "gpt-5.5@2026-04-28", Pool: f.or("aws-gb200-us-east-2"), Since: now.AddDate(0, 0, -8), Days: 8, Age: "7 to 29 days", Amount: 42, Tokens: usage.Vector{Output: 9}}}, f.broken
}

func (f *fake) Close(ctx context.Context, o admin.CloseOrder, dry bool) ([]admin.Entry, error) {
	f.ordered = append(f.ordered, order{o, dry})
	if f.refuse {
		return nil, admin.RefusedError{Says: f.or("it is closed")}
	}
	return f.EntriesOf(ctx, admin.EntryQuery{Limit: 1})
}

type order struct {
	admin.CloseOrder
	dry bool
}

func onDay(text string) (d alliance.Date) {
	if err := d.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return d
}
