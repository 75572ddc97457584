package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

const (
	shownEntries = 100
	shownLines   = 200
	shownBatches = 50
	// maxCSVRows bounds a table that is written as CSV beyond its page.
	maxCSVRows = 10_000
	// maxCSVBatches does so for batches, each of which is read whole.
	maxCSVBatches = 1_000
)

// monthText writes YYYYMM as YYYY-MM, and 0 as "".
func monthText(month int32) string {
	if month == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d", month/100, month%100)
}

// askedMonth reads the month of the address; without one it is 0.
func askedMonth(r *http.Request) (int32, error) { return admin.ParseMonth(r.URL.Query().Get("month")) }

// monthChoice is the choice of a month on a page.
type monthChoice struct {
	Month  string // the chosen one, empty for all
	Months []monthOption
}

type monthOption struct {
	Text   string
	Closed bool
}

func (c *console) choice(r *http.Request, month int32) (monthChoice, error) {
	list, closed, err := c.source.Months(r.Context())
	if err != nil {
		return monthChoice{}, err
	}
	choice := monthChoice{Month: monthText(month)}
	there := month == 0
	for _, m := range list {
		choice.Months = append(choice.Months, monthOption{monthText(m), m <= closed})
		there = there || m == month
	}
	if !there {
		choice.Months = append(choice.Months, monthOption{monthText(month), month <= closed})
	}
	return choice, nil
}

type ledgerBody struct {
	Pick    monthChoice
	Trial   *table
	Broken  bool
	Assets  int
	Tree    *table
	State   admin.BooksState
	Notices []string
}

func (b ledgerBody) tables() []*table { return []*table{b.Trial, b.Tree} }

func (c *console) ledger(w http.ResponseWriter, r *http.Request) error {
	month, err := askedMonth(r)
	if err != nil {
		return err
	}
	var body ledgerBody
	if body.Pick, err = c.choice(r, month); err != nil {
		return err
	}
	accounts, err := c.source.Accounts(r.Context(), month)
	if err != nil {
		return err
	}
	if body.State, err = c.source.BooksState(r.Context()); err != nil {
		return err
	}
	trial := ledger.TrialBalance(c.source.Balances())
	body.Assets, body.Trial = len(trial), trialTable(trial)
	for _, t := range trial {
		body.Broken = body.Broken || !t.Balanced()
	}
	body.Tree = accountsTable(accounts, month)
	return c.render(w, r, http.StatusOK, "ledger", page{Title: "Ledger", Nav: "ledger", Live: month == 0, Body: body})
}

func trialTable(trial []ledger.Total) *table {
	t := &table{
		Name: "trial-balance", Narrow: true, Caption: "Trial balance: debits and credits of each asset, now", Empty: "Nothing was posted yet.",
		Columns: []column{{Title: "Asset"}, right("Debits"), right("Credits"), {Title: "Verdict"}},
	}
	for _, total := range trial {
		row := tableRow{Cells: []cell{text(string(total.Asset)), amount(total.Debits, total.Asset), amount(total.Credits, total.Asset), {Text: "balanced", Chip: "good"}}}
		if !total.Balanced() {
			row.Class, row.Cells[3] = "wrong", cell{Text: "NOT BALANCED", Chip: "bad"}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// entriesOf is the address of the entries of an account, or of all below a path.
func entriesOf(account string, month int32) string {
	q := url.Values{"account": {account}}
	if month != 0 {
		q.Set("month", monthText(month))
	}
	return "/ledger/entries?" + q.Encode()
}

// accountsTable is the tree of accounts: class, kind, and what each is kept
// for, with the sums of the money in them.
func accountsTable(accounts []admin.AccountMonth, month int32) *table {
	t := &table{
		Name: "accounts", Caption: "Accounts, debits less credits", Empty: "No account moved.",
		Columns: []column{{Title: "Account"}, hidden("class"), hidden("kind"), hidden("ref"), {Title: "Asset"}, right("Opening"), right("Moved"), right("Closing")},
	}
	if month == 0 {
		t.Columns[5].Hidden, t.Columns[6].Hidden, t.Columns[7].Title = true, true, "Balance"
	}
	class, kind := "", ""
	for i := range accounts {
		a := &accounts[i]
		party := a.Account.Party()
		if next := string(a.Account.Class()); next != class {
			class, kind = next, ""
			t.Rows = append(t.Rows, sumRow("class", class, entriesOf(party+"/"+class+"/", month), accounts[i:], func(b *admin.AccountMonth) bool { return string(b.Account.Class()) == class }))
		}
		if next := a.Account.Kind(); next != kind {
			kind = next
			t.Rows = append(t.Rows, sumRow("kind", strings.ReplaceAll(kind, "_", " "), entriesOf(party+"/"+class+"/"+kind+"/", month), accounts[i:], func(b *admin.AccountMonth) bool {
				return string(b.Account.Class()) == class && b.Account.Kind() == kind
			}))
		}
		t.Rows = append(t.Rows, tableRow{Class: "leaf", Cells: []cell{
			{Text: a.Account.Ref(), Raw: string(a.Account), Href: entriesOf(string(a.Account), month)},
			text(class), text(kind), text(a.Account.Ref()), text(assetName(a.Asset)),
			amount(a.Opening, a.Asset), amount(a.Moved, a.Asset), amount(a.Closing, a.Asset),
		}})
	}
	return t
}

// sumRow sums the accounts that belong together, where they all have one asset.
func sumRow(level, name, href string, accounts []admin.AccountMonth, with func(*admin.AccountMonth) bool) tableRow {
	asset, one := accounts[0].Asset, true
	var opening, moved, closing money.Amount
	for i := range accounts {
		a := &accounts[i]
		if with(a) {
			one = one && a.Asset == asset
			opening, moved, closing = opening+a.Opening, moved+a.Moved, closing+a.Closing
		}
	}
	row := tableRow{Class: level, Cells: []cell{link(name, href), {}, {}, {}, {}, {}, {}, {}}}
	if one {
		row.Cells[4], row.Cells[5], row.Cells[6], row.Cells[7] = text(assetName(asset)), amount(opening, asset), amount(moved, asset), amount(closing, asset)
	}
	row.Cells[1].Raw = level + " sum"
	return row
}

// assetName names an asset for people.
func assetName(a ledger.Asset) string {
	if a.IsCommitment() {
		kind, _, _ := strings.Cut(strings.TrimPrefix(string(a), "COMMIT-"), "(")
		return kind + " of commitment"
	}
	if a.IsCurrency() {
		return string(a)
	}
	kind, _, _ := strings.Cut(string(a), "(")
	return map[string]string{"TOK": "tokens", "CHIPSEC": "chip-seconds", "BURN": "burn units"}[kind]
}

type entriesBody struct {
	Pick    monthChoice
	Query   admin.EntryQuery
	Filters []string // the others, in words
	Entries *table
	Older   string // address of the next page
	Paged   bool   // this is not the first page
	Clear   string
	Balance *table
}

func (b entriesBody) tables() []*table {
	if b.Balance != nil {
		return []*table{b.Entries, b.Balance}
	}
	return []*table{b.Entries}
}

func (c *console) entries(w http.ResponseWriter, r *http.Request) error {
	month, err := askedMonth(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	limit := shownEntries
	if wantsCSV(r) != "" {
		limit = maxCSVRows - 1
	}
	body := entriesBody{Query: admin.EntryQuery{Account: q.Get("account"), Other: q.Get("other"), Contract: q.Get("contract"), Price: q.Get("price"), Kind: q.Get("kind"), Month: month, Limit: limit + 1}}
	if body.Query.Batch, err = askedBatch(q.Get("batch")); err != nil {
		return err
	}
	if before := q.Get("before"); before != "" {
		if body.Query.BeforeBatch, body.Query.BeforeNumber, err = admin.ParsePlace(before); err != nil {
			return admin.BadRequestError{Says: "The place of an entry is its batch and number, such as 4.1."}
		}
		body.Paged = true
	}
	if body.Pick, err = c.choice(r, month); err != nil {
		return err
	}
	list, err := c.source.EntriesOf(r.Context(), body.Query)
	if err != nil {
		return err
	}
	if len(list) > limit {
		list = list[:limit]
		q.Set("before", fmt.Sprintf("%d.%d", list[limit-1].Batch, list[limit-1].Number))
		body.Older = "/ledger/entries?" + q.Encode()
	}
	body.Entries = entriesTable(list, body.Query.Account)
	for _, f := range [...]struct{ name, value string }{{"against", body.Query.Other}, {"contract", body.Query.Contract}, {"price", body.Query.Price}, {"kind", body.Query.Kind}} {
		if f.value != "" {
			body.Filters = append(body.Filters, f.name+" "+f.value)
		}
	}
	if body.Query.Batch != 0 {
		body.Filters = append(body.Filters, fmt.Sprint("batch ", body.Query.Batch))
	}
	body.Clear = entriesOf(body.Query.Account, 0)
	if err := c.accountBalance(r, &body, month); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "entries", page{Title: "Entries", Nav: "ledger", Body: body})
}

// accountBalance adds what the month did to the account whose page it is.
func (c *console) accountBalance(r *http.Request, body *entriesBody, month int32) error {
	if body.Query.Account == "" || strings.HasSuffix(body.Query.Account, "/") {
		return nil
	}
	accounts, err := c.source.Accounts(r.Context(), month)
	if err != nil {
		return err
	}
	for i := range accounts {
		if a := &accounts[i]; string(a.Account) == body.Query.Account {
			body.Balance = accountsTable(accounts[i:i+1], month)
			body.Balance.Name, body.Balance.Caption = "balance", "Its balance, debits less credits"
			body.Balance.Rows = body.Balance.Rows[len(body.Balance.Rows)-1:]
		}
	}
	return nil
}

// entriesTable lists entries; those of one account have its side as a sign.
func entriesTable(list []admin.Entry, account string) *table {
	t := &table{
		Name: "entries", Caption: "Entries, the newest first. An entry sums the lines of one batch that have everything in common", Empty: "No entry.", Dense: true,
		Columns: []column{{Title: "Entry"}, {Title: "Kind"}, {Title: "Debit"}, {Title: "Credit"}, hidden("asset"), right("Amount"), right("Tokens"), right("Requests"), hidden("contract"), hidden("price"), tight("Month"), hidden("first_record"), hidden("last_record"), hidden("digest")},
	}
	for i := range list {
		e := &list[i]
		place := fmt.Sprintf("%d.%d", e.Batch, e.Number)
		value := amount(e.Amount, e.Asset)
		value.Meta = signOf(e, account)
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			{Text: place, Href: "/ledger/entries/" + place, Meta: stamp(e.At)},
			{Text: e.Kind.String(), Meta: e.Price},
			accountCell(e.Debit), accountCell(e.Credit), text(string(e.Asset)),
			value, figure(e.Tokens.Total()), figure(e.Lines), text(e.Contract), text(e.Price), text(monthText(e.Period)), figure(e.First), figure(e.Last), text(e.Digest.String()),
		}})
	}
	return t
}

// accountCell names an account without whose books these are, and leads to
// its entries.
func accountCell(a ledger.AccountID) cell {
	return cell{Text: strings.TrimPrefix(string(a), a.Party()+"/"), Raw: string(a), Href: entriesOf(string(a), 0)}
}

func signOf(e *admin.Entry, account string) string {
	switch {
	case account == "" || strings.HasSuffix(account, "/"):
		return ""
	case string(e.Debit) == account:
		return "debit"
	}
	return "credit"
}

type entryBody struct {
	admin.EntryDetail
	Place  string
	Amount cell
	Lines  *table
	More   int
}

func (b entryBody) tables() []*table { return []*table{b.Lines} }

func (c *console) entry(w http.ResponseWriter, r *http.Request) error {
	batch, number, err := admin.ParsePlace(r.PathValue("place"))
	if err != nil {
		return err
	}
	d, err := c.source.EntryAt(r.Context(), batch, number)
	if err != nil {
		return err
	}
	body := entryBody{EntryDetail: d, Place: r.PathValue("place"), Amount: amount(d.Amount, d.Asset)}
	lines := d.Lines
	if len(lines) > shownLines && wantsCSV(r) == "" {
		body.More, lines = len(lines)-shownLines, lines[:shownLines]
	}
	t := &table{
		Name: "lines", Caption: "The requests behind it, each with its exact share: together they are the amount, and a rest that is carried on", Empty: "It sums no request: a fact posted it.", Dense: true,
		Columns: []column{{Title: "Request"}, tight("At"), right("Tokens"), right("Exact share"), {Title: "Journal"}, hidden("attempt")},
	}
	for i := range lines {
		l := &lines[i]
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			link(l.Request, "/requests/"+url.PathEscape(l.Request)), text(stamp(l.At)), figure(l.Tokens), text(l.Exact), text(fmt.Sprintf("%d, %d", l.Intent, l.Outcome)), text(l.Attempt),
		}})
	}
	body.Lines = t
	return c.render(w, r, http.StatusOK, "entry", page{Title: "Entry " + body.Place, Nav: "ledger", Body: body})
}

type batchesBody struct {
	State   admin.BooksState
	Batches *table
	Older   string
	Paged   bool
}

func (b batchesBody) tables() []*table { return []*table{b.Batches} }

func (c *console) batches(w http.ResponseWriter, r *http.Request) error {
	before, err := askedBatch(r.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	body := batchesBody{Paged: before != 0}
	limit := shownBatches
	if wantsCSV(r) != "" {
		limit = maxCSVBatches
	}
	if body.State, err = c.source.BooksState(r.Context()); err != nil {
		return err
	}
	list, err := c.source.Batches(r.Context(), before, limit)
	if err != nil {
		return err
	}
	t := &table{
		Name: "batches", Caption: "Batches, the newest first: each cites its range of the journal and the hash of the batch before", Empty: "Nothing was posted yet.", Dense: true,
		Columns: []column{{Title: "Batch"}, tight("Known at"), {Title: "Of"}, right("Entries"), right("Served"), right("Unserved"), right("Suspense"), {Title: "Hash"}, hidden("previous")},
	}
	for i := range list {
		b := &list[i]
		of := fmt.Sprintf("records %d to %d", b.First, b.Last)
		if b.Fact != 0 {
			of = fmt.Sprintf("fact %d", b.Fact)
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			{Text: number(b.Sequence), Raw: fmt.Sprint(b.Sequence), Href: fmt.Sprintf("/ledger/entries?batch=%d", b.Sequence)},
			text(stamp(b.At)), text(of), figure(b.Entries),
			figure(b.Served), figure(b.Unserved), figure(b.Suspense),
			{Text: head(b.Hash), Raw: b.Hash, Mono: true},
			text(b.Prev),
		}})
	}
	if n := len(list); n == limit && list[n-1].Sequence > 1 {
		body.Older = fmt.Sprintf("/ledger/batches?before=%d", list[n-1].Sequence)
	}
	body.Batches = t
	return c.render(w, r, http.StatusOK, "batches", page{Title: "Batches", Nav: "ledger", Live: body.State.Running, Body: body})
}

func (c *console) verify(w http.ResponseWriter, r *http.Request) error {
	c.source.Verify()
	http.Redirect(w, r, "/ledger/batches", http.StatusSeeOther)
	return nil
}

// askedBatch reads the number of a batch; empty is 0, for none.
func askedBatch(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, admin.BadRequestError{Says: "Write a batch as the number of a batch, such as 4."}
	}
	return n, nil
}
