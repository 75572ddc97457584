package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

type salesBody struct {
	Pick     monthChoice
	Partner  bool
	Invoices *table
}

func (b salesBody) tables() []*table { return []*table{b.Invoices} }

// sales lists the invoices to customers; a partner sees those of its own.
func (c *console) sales(w http.ResponseWriter, r *http.Request) error {
	month, err := askedMonth(r)
	if err != nil {
		return err
	}
	who := admin.AccessOf(r.Context())
	body := salesBody{Partner: who.Role == admin.Partner}
	if body.Pick, err = c.choice(r, month); err != nil {
		return err
	}
	list, err := c.source.SalesInvoices(r.Context())
	if err != nil {
		return err
	}
	t := &table{
		Name: "sales", Caption: "Invoices and drafts, the newest first", Empty: "Nothing was billed to anybody yet: a request that a plan sells is on a draft about a second after its end.",
		Columns: []column{tight("Number"), tight("Month"), {Title: "Customer"}, hidden("id"), tight("Issued"), tight("Due"), right("Total"), {Title: "Currency"}},
	}
	if body.Partner {
		t.Empty = "Nothing was billed to you yet."
	}
	if month != 0 {
		t.Empty = "Nothing was billed in this month. Choose another one above."
	}
	for _, v := range who.OwnSales(list) {
		if month != 0 && v.Month != month {
			continue
		}
		number := link(v.Number, saleOf(v.Customer, v.Month))
		if v.Number == "" {
			number.Text, number.Raw = "draft", "-"
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			number, text(monthText(v.Month)), {Text: v.Name, Meta: v.Customer}, text(v.Customer), text(dateText(v.Issued)), text(dateText(v.Due)), amount(v.Total, v.Currency), text(string(v.Currency)),
		}})
	}
	body.Invoices = t
	return c.render(w, r, http.StatusOK, "sales", page{Title: "Invoices to customers", Nav: "invoices", Body: body})
}

// saleOf is the address of the invoice to a customer.
func saleOf(customer string, month int32) string { return saleAt(customer, "", month, nil) }

// saleAt is the address of a part of an invoice.
func saleAt(customer, part string, month int32, more url.Values) string {
	q := url.Values{"month": {monthText(month)}}
	for k, v := range more {
		q[k] = v
	}
	return "/sales/" + url.PathEscape(customer) + part + "?" + q.Encode()
}

type saleBody struct {
	admin.SalesInvoice
	Pick     monthChoice
	Partner  bool
	Title    string
	State    string
	PDF      string
	Lines    *table
	Included *table // nil where no plan has a quota
	Sum      cell
}

func (b saleBody) tables() (list []*table) {
	list = append(list, b.Lines)
	if b.Included != nil {
		list = append(list, b.Included)
	}
	return list
}

// sale is one invoice to a customer, or its draft.
func (c *console) sale(w http.ResponseWriter, r *http.Request) error {
	v, err := admin.AskedSale(r, c.source, c.now())
	if err != nil {
		return err
	}
	body := saleBody{SalesInvoice: v, Partner: admin.AccessOf(r.Context()).Role == admin.Partner, Title: "Invoice " + v.Number, State: "Issued on " + dateText(v.Issued), Sum: amount(v.Total, v.Currency)}
	switch {
	case v.Number == "" && v.Closed:
		body.Title, body.State = "No invoice", "The month is closed, and nothing was booked to this customer in it"
	case v.Number == "":
		body.Title, body.State = "Draft invoice", "The month is open: lines may change, and fees are added when it is closed"
	}
	if !v.Due.IsZero() {
		body.State += ", due on " + dateText(v.Due)
	}
	if body.Pick, err = c.choice(r, v.Month); err != nil {
		return err
	}
	body.PDF = saleAt(v.Customer, "/pdf", v.Month, nil)
	body.Lines, body.Included = saleTable(&v, body.Partner), includedTable(&v)
	return c.render(w, r, http.StatusOK, "sale", page{Title: strings.TrimSpace(body.Title) + ", " + v.Name, Nav: "invoices", Body: body})
}

func saleTable(v *admin.SalesInvoice, partner bool) *table {
	t := &table{
		Name: "lines", Caption: "Lines, in " + string(v.Currency), Empty: "Nothing was billed in this month.",
		Columns: []column{
			hidden("invoice"),
			{Title: "What"},
			hidden("kind"),
			{Title: "Item"},
			{Title: "Plan"},
			{Title: "Model"},
			{Title: "Channel"},
			right("Quantity"), right("Price"), tight("Per"), right("Amount"),
			hidden("price_id"), hidden("corrects"), hidden("currency"), hidden("simulated"),
		},
	}
	mark, asset := text(strconv.FormatBool(v.Simulated)), text(string(v.Currency))
	for i := range v.Lines {
		l := &v.Lines[i]
		what, item := cell{Text: unitOfPrice(cmp.Or(l.Kind, l.Item))}, cell{Text: l.Item}
		switch {
		case l.Month != 0:
			item.Text, item.Raw = l.Item+" of "+monthText(l.Month), l.Item
		case l.Kind == "":
			item.Text, item.Raw = "", l.Item
		}
		if l.Account != "" {
			what.Href = saleAt(v.Customer, "/lines", v.Month, url.Values{"line": {strconv.Itoa(i + 1)}})
		}
		count, price := cell{}, cell{}
		if l.Quantity != 0 {
			count, price = figure(l.Quantity), cash(l.UnitPrice)
		}
		id := l.PriceID
		if partner {
			id = ""
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			text(v.Number), what, text(l.Kind), item, text(l.Plan), text(l.Model), text(l.Channel), count, price,
			{Text: unitOfPrice(l.Unit), Raw: l.Unit},
			cash(l.Amount),
			text(id), text(monthText(l.Month)), asset, mark,
		}})
	}
	if len(t.Rows) > 0 {
		t.Rows = append(t.Rows, tableRow{Class: "sum", Cells: []cell{text(v.Number), text("total"), {}, {}, {}, {}, {}, {}, {}, {}, cash(v.Total), {}, {}, asset, mark}})
	}
	return t
}

// unitOfPrice is the unit of a price for people.
func unitOfPrice(unit string) string {
	return strings.NewReplacer("1,000,000 tokens", "million tokens", "_", " ").Replace(unit)
}

// includedTable tells what was used of the plans' quotas, nil where none has one.
func includedTable(v *admin.SalesInvoice) *table {
	if len(v.Included) == 0 {
		return nil
	}
	t := &table{Name: "included", Narrow: true, Caption: "Included in the plans", Columns: []column{{Title: "Plan"}, {Title: "Per"}, right("Subjects"), right("Granted"), right("Used"), right("Left"), {Title: "Unit"}, hidden("uncounted")}}
	for _, q := range v.Included {
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(q.Plan), {Text: words(q.Per), Raw: q.Per}, figure(q.Subjects), counted(q.Granted), counted(q.Used), counted(q.Left), text(q.Unit), text(q.Over)}})
	}
	return t
}

// counted sets a figure that was written without separators.
func counted(figure string) cell {
	whole, rest, has := strings.Cut(figure, ".")
	shown := number(whole)
	if has {
		shown += "." + rest
	}
	return cell{Text: shown, Raw: figure}
}

type saleLinesBody struct {
	Back    string
	Invoice string
	Line    admin.SalesLine
	Says    string // how the line's amount comes about
	Lines   *table
	More    bool
}

func (b saleLinesBody) tables() []*table { return []*table{b.Lines} }

// saleLines opens a line of an invoice to the entries that it sums.
func (c *console) saleLines(w http.ResponseWriter, r *http.Request) error {
	v, err := admin.AskedSale(r, c.source, c.now())
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.URL.Query().Get("line"))
	if err != nil || n < 1 || n > len(v.Lines) || v.Lines[n-1].Account == "" {
		return admin.ErrNotFound
	}
	l := &v.Lines[n-1]
	partner := admin.AccessOf(r.Context()).Role == admin.Partner
	list, err := c.source.EntriesOf(r.Context(), admin.EntryQuery{Account: string(l.Account), Other: string(l.Against), Price: l.PriceID, Kind: l.Entries, Month: v.Month, Limit: maxCSVRows})
	if err != nil {
		return err
	}
	body := saleLinesBody{Back: saleOf(v.Customer, v.Month), Invoice: strings.TrimSpace("Invoice " + v.Number), Line: *l, Says: lineSays(l, v.Currency), More: len(list) == maxCSVRows}
	if v.Number == "" {
		body.Invoice = "Draft invoice"
	}
	of := cmp.Or(l.Kind, l.Item)
	if l.Unit != "1,000,000 tokens" {
		of = "of the line"
	}
	t := &table{
		Name: "entries", Caption: "Entries that the line sums, the newest first", Empty: "No entry.", Dense: true,
		Columns: []column{{Title: "Entry"}, tight("From"), tight("To"), right("Requests"), right(strings.ToUpper(of[:1]) + of[1:]), right("All tokens"), right("Amount of all"), hidden("currency")},
	}
	for i := range list {
		e := &list[i]
		if correctedMonth(e.Ref) != l.Month {
			continue
		}
		place := fmt.Sprintf("%d.%d", e.Batch, e.Number)
		first := cell{Text: place, Meta: "booked " + stamp(e.At)}
		if !partner {
			first.Href = "/ledger/entries/" + place
		}
		sum := e.Amount
		if e.Debit != l.Account {
			sum = -sum
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{first, text(nanos(e.From)), text(nanos(e.Until)), figure(e.Lines), tokensOf(e, l.Kind), figure(e.Tokens.Total()), amount(sum, e.Asset), text(string(e.Asset))}})
	}
	if sum := figure(l.Quantity); len(t.Rows) > 0 && !body.More && l.Unit == "1,000,000 tokens" {
		t.Rows = append(t.Rows, tableRow{Class: "sum", Cells: []cell{text("the line"), {}, {}, {}, sum, {}, {}, text(string(v.Currency))}})
	}
	body.Lines = t
	return c.render(w, r, http.StatusOK, "salelines", page{Title: "Line " + strconv.Itoa(n), Nav: "invoices", Body: body})
}

// tokensOf is what an entry has of the kind of token that a line is about.
func tokensOf(e *admin.Entry, kind string) cell {
	u := &e.Tokens
	switch kind {
	case "uncached input tokens":
		return figure(u.UncachedInput)
	case "cache read tokens":
		return figure(u.CacheRead)
	case "cache write tokens":
		return figure(u.CacheWrite)
	case "output tokens":
		return figure(u.Output)
	case "reasoning tokens":
		return figure(u.Reasoning)
	}
	return cell{}
}

// correctedMonth is the closed month that an entry's ref names, or 0.
func correctedMonth(ref string) int32 {
	n, err := strconv.ParseUint(ref, 10, 32)
	if err != nil || len(ref) != len("202606") {
		return 0
	}
	return int32(n)
}

// lineSays tells how the amount of a line comes about.
func lineSays(l *admin.SalesLine, currency ledger.Asset) string {
	sum := l.Item + " " + l.Kind
	if l.Quantity != 0 {
		sum = fmt.Sprintf("%s %s at %s %s per %s", number(l.Quantity), l.Kind, units(l.UnitPrice), currency, unitOfPrice(l.Unit))
	}
	return fmt.Sprintf("%s: %s %s.", sum, units(l.Amount), currency)
}

// salePDF is the invoice as a file.
func (c *console) salePDF(w http.ResponseWriter, r *http.Request) error {
	v, err := admin.AskedSale(r, c.source, c.now())
	if err != nil {
		return err
	}
	var file recordedFile
	if err := c.source.SalesInvoicePDF(r.Context(), &file, v.Customer, v.Month); err != nil {
		return err
	}
	name := v.Number
	if name == "" {
		name = "draft-" + v.Customer
	}
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="invoice-%s-%s.pdf"`, safeName(name), monthText(v.Month)))
	_, _ = w.Write(file.data) // a client that left needs no error
	return nil
}

type marginBody struct {
	admin.Margin
	Pick  monthChoice
	Ways  []marginWay
	Chart *marginChart
	Table *table
	State string
}

// marginWay is one way to tell the margin.
type marginWay struct {
	By, Href string
	Chosen   bool
}

func (b marginBody) tables() []*table { return []*table{b.Table} }

// margin is what the requests of a month brought in and cost.
func (c *console) margin(w http.ResponseWriter, r *http.Request) error {
	m, err := admin.AskedMargin(r, c.source, c.now())
	if err != nil {
		return err
	}
	body := marginBody{Margin: m, State: "closed", Chart: newMarginChart(&m), Table: marginTable(&m)}
	if !m.Closed {
		body.State = "open: it may change, and fees come with the close"
	}
	if body.Pick, err = c.choice(r, m.Month); err != nil {
		return err
	}
	for _, by := range admin.MarginsBy {
		body.Ways = append(body.Ways, marginWay{by, "/margin?" + url.Values{"by": {by}, "month": {monthText(m.Month)}}.Encode(), by == m.By})
	}
	return c.render(w, r, http.StatusOK, "margin", page{Title: "Margin by " + m.By, Nav: "margin", Body: body})
}

func marginTable(m *admin.Margin) *table {
	t := &table{
		Name: "margin", Caption: "Revenue and cost by " + m.By + ", in " + m.Currency, Empty: "No request was booked in this month.",
		Columns: []column{
			{Title: strings.ToUpper(m.By[:1]) + m.By[1:]},
			hidden("row"), right("Requests"), right("Tokens"), right("Users"), right("Sales"), right("Commission"), right("Cost"), right("Margin"), right("Of sales"), right("A user's margin"),
			hidden("revenue"), hidden("net_per_user"), hidden("cost_per_user"), hidden("month"), hidden("by"), hidden("currency"), hidden("simulated"),
		},
	}
	ends := func(r *admin.MarginRow) []cell {
		net, cost, each := cell{}, cell{}, cell{}
		if p := r.PerUser; p != nil {
			net, cost, each = cash(p.Net), cash(p.Cost), cash(p.Margin)
		}
		return []cell{cash(r.Sales), cash(r.Commission), cash(r.Cost), cash(r.Margin), {Text: ofSales(r), Raw: strings.TrimSuffix(ofSales(r), " %")}, each, cash(r.Revenue), net, cost, text(monthText(m.Month)), text(m.By), text(m.Currency), text(strconv.FormatBool(m.Simulated))}
	}
	for i := range m.Rows {
		r := &m.Rows[i]
		name := text(r.Name)
		if m.By == "tenant" {
			name.Href = saleOf(r.Name, m.Month)
		}
		t.Rows = append(t.Rows, tableRow{Cells: append([]cell{name, text("row"), figure(r.Requests), figure(r.Tokens), usersOf(r)}, ends(r)...)})
	}
	for i := range m.Rest {
		r := &m.Rest[i]
		class := "expense/"
		if r.Revenue != 0 {
			class = "revenue/"
		}
		name := cell{Text: words(r.Name), Raw: r.Name, Href: entriesOf(m.Operator+"/"+class+r.Name+"/", m.Month)}
		row := tableRow{Class: "leaf", Cells: append([]cell{name, text("rest"), {}, {}, {}}, ends(r)...)}
		for j, a := range [...]money.Amount{r.Sales, r.Commission, r.Cost} {
			if a == 0 {
				row.Cells[5+j] = cell{Raw: plain(0)}
			}
		}
		row.Cells[9] = cell{} // a share of its own correction says nothing
		t.Rows = append(t.Rows, row)
	}
	if len(t.Rows) > 0 {
		r := &m.Total
		t.Rows = append(t.Rows, tableRow{Class: "sum", Cells: append([]cell{text("total"), text("total"), figure(r.Requests), figure(r.Tokens), {}}, ends(r)...)})
	}
	return t
}

func usersOf(r *admin.MarginRow) cell {
	switch {
	case r.Users == 0:
		return cell{}
	case r.AtLeast:
		return cell{Text: "over " + number(r.Users), Raw: strconv.FormatInt(r.Users, 10)}
	}
	return figure(r.Users)
}

// ofSales is the margin as a share of the sales, rounded down, empty where
// nothing was sold.
func ofSales(r *admin.MarginRow) string {
	const most = 10_000_000 // parts per million: ten times the sales
	if r.Sales <= 0 {
		return ""
	}
	ppm, _, ok := money.Product(int64(r.Margin), 1_000_000).FloorDiv(int64(r.Sales))
	switch {
	case !ok || ppm < -most:
		return "under −1,000 %"
	case ppm > most:
		return "over 1,000 %"
	}
	return percent(ppm)
}
