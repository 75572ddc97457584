package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
)

type statementsBody struct {
	Pick    monthChoice
	Parties *table
}

func (b statementsBody) tables() []*table { return []*table{b.Parties} }

func (c *console) statements(w http.ResponseWriter, r *http.Request) error {
	if who := admin.AccessOf(r.Context()); who.Role == admin.Partner {
		if who.Party == "" {
			return admin.ErrNotFound
		}
		http.Redirect(w, r, statementOf(who.Party, 0, false), http.StatusSeeOther)
		return nil
	}
	month, err := askedMonth(r)
	if err != nil {
		return err
	}
	var body statementsBody
	if body.Pick, err = c.choice(r, month); err != nil {
		return err
	}
	totals, err := c.source.Parties(r.Context(), month)
	if err != nil {
		return err
	}
	moved := "Moved in the month"
	if month == 0 {
		moved = "Moved in all months"
	}
	t := &table{
		Name: "statements", Caption: "Who stands in these books: above zero owes, below zero is owed", Empty: "Nobody stands in these books yet.",
		Columns: []column{{Title: "Party"}, hidden("id"), {Title: "Kind"}, {Title: "Currency"}, right(moved), right("Balance"), {Title: "As it sees it"}},
	}
	for _, p := range totals {
		who := "is even"
		switch {
		case p.Amount > 0:
			who = "owes"
		case p.Amount < 0:
			who = "is owed"
		}
		balance := amount(p.Amount, p.Asset)
		balance.Meta = who
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			link(p.Name, statementOf(p.Party, month, false)), text(p.Party), text(p.Kind), text(string(p.Asset)), amount(p.Moved, p.Asset), balance, link("mirrored", statementOf(p.Party, month, true)),
		}})
	}
	body.Parties = t
	return c.render(w, r, http.StatusOK, "statements", page{Title: "Statements", Nav: "statements", Body: body})
}

// statementOf is the address of a statement; month 0 is the newest.
func statementOf(party string, month int32, mirrored bool) string {
	q := url.Values{}
	if month != 0 {
		q.Set("month", monthText(month))
	}
	if mirrored {
		q.Set("as", "party")
	}
	at := "/statements/" + url.PathEscape(party)
	if len(q) > 0 {
		at += "?" + q.Encode()
	}
	return at
}

type statementBody struct {
	Pick monthChoice
	admin.Statement
	Partner  bool // as the party sees it, nothing else of it
	Table    *table
	Other    string // address of the same statement from the other side
	PDF      string
	Debtor   string // who owes when it is above zero
	Creditor string
	State    string
}

func (b statementBody) tables() []*table { return []*table{b.Table} }

// askedStatement reads whose statement of which month is asked for, and on
// which side; a party that is not there, or not the partner's own, is an
// ErrNotFound. Without a month it is the newest in the books.
func (c *console) askedStatement(r *http.Request) (party string, month int32, mirrored bool, err error) {
	who := admin.AccessOf(r.Context())
	if party = r.PathValue("party"); !who.Owns(party) {
		return party, 0, false, admin.ErrNotFound
	}
	mirrored = who.Role == admin.Partner || r.URL.Query().Get("as") == "party"
	if month, err = askedMonth(r); err != nil || month != 0 {
		return party, month, mirrored, err
	}
	list, _, err := c.source.Months(r.Context())
	if err == nil && len(list) > 0 {
		return party, list[0], mirrored, nil
	}
	return party, admin.MonthOf(c.now()), mirrored, err
}

func (c *console) statement(w http.ResponseWriter, r *http.Request) error {
	party, month, mirrored, err := c.askedStatement(r)
	if err != nil {
		return err
	}
	s, err := c.source.Statement(r.Context(), party, month, mirrored)
	if err != nil {
		return err
	}
	body := statementBody{Statement: s, Partner: admin.AccessOf(r.Context()).Role == admin.Partner, State: "open: it may change"}
	if body.Pick, err = c.choice(r, month); err != nil {
		return err
	}
	if s.Closed {
		body.State = "closed"
	}
	body.Debtor, body.Creditor = s.Name, s.OperatorName
	if s.Mirrored {
		body.Debtor, body.Creditor = s.OperatorName, s.Name
	}
	body.Other = statementOf(party, month, !mirrored)
	body.PDF = strings.Replace(statementOf(party, month, mirrored), "/statements/"+url.PathEscape(party), "/statements/"+url.PathEscape(party)+"/pdf", 1)
	if body.Partner {
		body.Table = partnerTable(s.ForPartner(admin.OwnContracts(c.source.Contracts(c.now()), party)))
	} else {
		body.Table = statementTable(&s)
	}
	return c.render(w, r, http.StatusOK, "statement", page{Title: s.Name + ", " + monthText(month), Nav: "statements", Body: body})
}

// statementTable has every account with its movements, each of which opens to
// its entries.
func statementTable(s *admin.Statement) *table {
	t := &table{
		Name: "statement", Caption: "Accounts and movements", Empty: "Nothing stands between them.",
		Columns: []column{{Title: "Account and movement"}, hidden("account"), {Title: "Against"}, tight("Contract"), {Title: "Price"}, right("Tokens"), right("Entries"), right("Amount"), hidden("currency"), hidden("simulated")},
	}
	mark := strconv.FormatBool(s.Simulated)
	for i := range s.Accounts {
		a := &s.Accounts[i]
		account, asset := string(a.Account), text(string(a.Asset))
		ends := func(what string, value cell) tableRow {
			return tableRow{Class: "kind", Cells: []cell{{Text: what, Href: entriesOf(account, s.Month)}, text(account), {}, {}, {}, {}, {}, value, asset, text(mark)}}
		}
		opening := ends(account, forward(amount(a.Opening, a.Asset)))
		opening.Span = 4
		opening.Cells[0].Raw, opening.Cells[0].Text = "brought forward", strings.TrimPrefix(account, s.Operator+"/")
		t.Rows = append(t.Rows, opening)
		for j := range a.Movements {
			m := &a.Movements[j]
			q := url.Values{"account": {account}, "month": {monthText(s.Month)}, "kind": {m.Kind}, "other": {string(m.Contra)}}
			if m.Contract != "" {
				q.Set("contract", m.Contract)
			}
			if m.Price != "" {
				q.Set("price", m.Price)
			}
			t.Rows = append(t.Rows, tableRow{Class: "leaf", Cells: []cell{
				link(m.Kind, "/ledger/entries?"+q.Encode()), text(account), {Text: strings.TrimPrefix(string(m.Contra), s.Operator+"/"), Raw: string(m.Contra)}, text(m.Contract), text(m.Price), figure(m.Tokens), figure(m.Entries), amount(m.Amount, a.Asset), asset, text(mark),
			}})
		}
		closing := ends("carried forward", amount(a.Closing, a.Asset))
		closing.Class, closing.Cells[0].Href = "sum", ""
		t.Rows = append(t.Rows, closing)
	}
	return t
}

// forward marks an amount that is brought forward.
func forward(c cell) cell {
	c.Meta = "brought forward"
	return c
}

// partnerTable is the statement as its party sees it.
func partnerTable(s admin.PartnerStatement) *table {
	t := &table{
		Name: "statement", Caption: "Accounts and movements", Empty: "Nothing stands between you.",
		Columns: []column{{Title: "Account and movement"}, hidden("account"), tight("Contract"), right("Tokens"), right("Entries"), right("Amount"), hidden("currency"), hidden("simulated")},
	}
	mark := strconv.FormatBool(s.Simulated)
	for i := range s.Accounts {
		a := &s.Accounts[i]
		account, asset := a.What+", "+a.For, text(string(a.Asset))
		at := func(kind string) string {
			q := url.Values{"month": {monthText(s.Month)}, "account": {strconv.Itoa(i + 1)}}
			if kind != "" {
				q.Set("kind", kind)
			}
			return "/statements/" + url.PathEscape(s.Party) + "/lines?" + q.Encode()
		}
		t.Rows = append(t.Rows, tableRow{Class: "kind", Span: 2, Cells: []cell{{Text: account, Raw: "brought forward", Href: at("")}, text(account), {}, {}, {}, forward(amount(a.Opening, a.Asset)), asset, text(mark)}})
		for j := range a.Movements {
			m := &a.Movements[j]
			t.Rows = append(t.Rows, tableRow{Class: "leaf", Cells: []cell{link(m.Kind, at(m.Kind)), text(account), text(m.Contract), figure(m.Tokens), figure(m.Entries), amount(m.Amount, a.Asset), asset, text(mark)}})
		}
		t.Rows = append(t.Rows, tableRow{Class: "sum", Cells: []cell{text("carried forward"), text(account), {}, {}, {}, amount(a.Closing, a.Asset), asset, text(mark)}})
	}
	return t
}

type statementLinesBody struct {
	Back    string
	Name    string
	Account string
	Month   string
	Kind    string
	Lines   *table
	More    bool
}

func (b statementLinesBody) tables() []*table { return []*table{b.Lines} }

// statementLines opens a line of a statement to its entries, as the party sees
// them: the account is named by its place on the statement.
func (c *console) statementLines(w http.ResponseWriter, r *http.Request) error {
	party, month, _, err := c.askedStatement(r)
	if err != nil {
		return err
	}
	s, err := c.source.Statement(r.Context(), party, month, true)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.URL.Query().Get("account"))
	if err != nil || n < 1 || n > len(s.Accounts) {
		return admin.ErrNotFound
	}
	own := admin.OwnContracts(c.source.Contracts(c.now()), party)
	a, shown := &s.Accounts[n-1], s.ForPartner(own).Accounts[n-1]
	body := statementLinesBody{Back: statementOf(party, month, true), Name: s.Name, Account: shown.What + ", " + shown.For, Month: monthText(month), Kind: r.URL.Query().Get("kind")}
	list, err := c.source.EntriesOf(r.Context(), admin.EntryQuery{Account: string(a.Account), Month: month, Kind: body.Kind, Limit: maxCSVRows})
	if err != nil {
		return err
	}
	body.More = len(list) == maxCSVRows
	t := &table{
		Name: "lines", Caption: "Entries, the newest first, as your books must have them", Empty: "No entry.", Dense: true,
		Columns: []column{{Title: "Entry"}, {Title: "Kind"}, {Title: "About"}, {Title: "Contract"}, right("Requests"), right("Tokens"), right("Amount"), hidden("currency")},
	}
	for i := range list {
		e := list[i].ForPartner(a.Account, own)
		about := cell{Text: stamp(e.From)}
		if !e.Until.Equal(e.From) {
			about.Meta = "to " + stamp(e.Until)
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{{Text: e.Entry, Meta: "booked " + stamp(e.At)}, text(e.Kind), about, text(e.Contract), figure(e.Requests), figure(e.Tokens), amount(e.Amount, a.Asset), text(string(a.Asset))}})
	}
	body.Lines = t
	return c.render(w, r, http.StatusOK, "statementlines", page{Title: "Entries of " + body.Month, Nav: "statements", Body: body})
}

// statementPDF is the statement as a file.
func (c *console) statementPDF(w http.ResponseWriter, r *http.Request) error {
	party, month, mirrored, err := c.askedStatement(r)
	if err != nil {
		return err
	}
	var file recordedFile
	if err := c.source.StatementPDF(r.Context(), &file, party, month, mirrored, admin.AccessOf(r.Context()).Role == admin.Partner); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="statement-%s-%s.pdf"`, safeName(party), monthText(month)))
	_, _ = w.Write(file.data) // a client that left needs no error
	return nil
}

// recordedFile takes a file whole, so that an error is not the end of a download.
type recordedFile struct{ data []byte }

func (f *recordedFile) Write(b []byte) (int, error) {
	f.data = append(f.data, b...)
	return len(b), nil
}

// safeName keeps of a name what a file's name may have everywhere.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, name)
}
