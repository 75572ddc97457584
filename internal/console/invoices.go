package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/money"
)

// shownDifferences bounds the differences on a page; the CSV has all.
const shownDifferences = 500

type invoicesBody struct {
	Invoices    *table
	Kinds       *table
	Differences *table
	More        int
	Done        string // what was just closed
}

func (b invoicesBody) tables() []*table { return []*table{b.Invoices, b.Kinds, b.Differences} }

func (c *console) invoices(w http.ResponseWriter, r *http.Request) error {
	list, err := c.source.Invoices(r.Context())
	if err != nil {
		return err
	}
	open, err := c.source.Differences(r.Context(), "")
	if err != nil {
		return err
	}
	body := invoicesBody{Kinds: kindsTable(open), Done: r.URL.Query().Get("closed")}
	body.Differences, body.More = differencesTable(open, wantsCSV(r) != "")
	body.Differences.Caption = "Open differences, the oldest first: what the invoice has less what the books have"
	t := &table{
		Name: "invoices", Caption: "Imported invoices, the newest first", Empty: "No invoice was imported yet: accordo invoices import FILE --provider P --month YYYY-MM.",
		Columns: []column{{Title: "Invoice"}, {Title: "Provider"}, tight("Month"), tight("Imported"), right("Agreed with the books"), right("Differences"), right("Sum of them"), right("Still open"), right("Sum open"), hidden("currency")},
	}
	for i := range list {
		v := &list[i]
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			{Text: v.ID, Href: "/invoices/" + v.ID, Meta: v.Name},
			text(v.Provider), text(monthText(v.Month)), text(stamp(v.At)), amount(v.Agreed, v.Currency),
			figure(v.Found), amount(v.Apart, v.Currency), figure(v.Open), amount(v.OpenSum, v.Currency), text(string(v.Currency)),
		}})
	}
	body.Invoices = t
	return c.render(w, r, http.StatusOK, "invoices", page{Title: "Invoices", Nav: "invoices", Body: body})
}

// kindsTable counts differences by kind.
func kindsTable(list []admin.Difference) *table {
	t := &table{
		Name: "kinds", Narrow: true, Caption: "Open differences by kind", Empty: "No difference is open.",
		Columns: []column{{Title: "Kind"}, {Title: "What it is"}, right("Count"), right("Sum"), {Title: "Currency"}},
	}
	type key struct{ kind, currency string }
	count, sum, says := map[key]int{}, map[key]money.Amount{}, map[key]string{}
	var order []key
	for i := range list {
		d := &list[i]
		k := key{d.Kind, string(d.Currency)}
		if count[k] == 0 {
			order = append(order, k)
		}
		count[k], sum[k], says[k] = count[k]+1, sum[k]+d.Amount, d.Says
	}
	slices.SortFunc(order, func(a, b key) int { return strings.Compare(a.kind+a.currency, b.kind+b.currency) })
	for _, k := range order {
		t.Rows = append(t.Rows, tableRow{Cells: []cell{{Text: words(k.kind), Raw: k.kind}, text(says[k]), figure(count[k]), cash(sum[k]), text(k.currency)}})
	}
	return t
}

func differencesTable(list []admin.Difference, all bool) (t *table, more int) {
	t = &table{
		Name: "differences", Caption: "Its differences: what the invoice has less what the books have", Empty: "No difference is open.", Dense: true,
		Columns: []column{{Title: "Difference"}, {Title: "Kind"}, {Title: "Provider"}, tight("Month"), {Title: "Evidence"}, tight("Contract"), right("Invoice less books"), {Title: "State"}, hidden("reason"), hidden("currency"), hidden("outcome"), hidden("entry")},
	}
	if len(list) > shownDifferences && !all {
		more, list = len(list)-shownDifferences, list[:shownDifferences]
	}
	for i := range list {
		d := &list[i]
		state := cell{Text: "open", Chip: "warn"}
		if !d.Open {
			state = cell{Text: d.By, Chip: "good", Meta: d.Reason}
		}
		outcome := cell{}
		if d.Outcome != 0 {
			outcome.Text = fmt.Sprint(d.Outcome)
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			link(d.ID, "/invoices/differences/"+url.PathEscape(d.ID)),
			{Text: words(d.Kind), Raw: d.Kind},
			text(d.Provider), text(monthText(d.Month)),
			{Text: d.Place, Meta: "entry " + d.Entry, MetaHref: "/ledger/entries/" + d.Entry},
			text(d.Contract),
			cash(d.Amount),
			state, text(d.Reason), text(string(d.Currency)), outcome, text(d.Entry),
		}})
	}
	return t, more
}

type invoiceBody struct {
	admin.Invoice
	Kinds       *table
	Differences *table
	More        int
}

func (b invoiceBody) tables() []*table { return []*table{b.Kinds, b.Differences} }

func (c *console) invoice(w http.ResponseWriter, r *http.Request) error {
	list, err := c.source.Invoices(r.Context())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(v admin.Invoice) bool { return v.ID == r.PathValue("id") })
	if i < 0 {
		return admin.ErrNotFound
	}
	found, err := c.source.Differences(r.Context(), list[i].ID)
	if err != nil {
		return err
	}
	body := invoiceBody{Invoice: list[i], Kinds: kindsTable(found)}
	body.Kinds.Caption, body.Kinds.Empty = "Differences by kind", "It agrees with the books to the micro-unit."
	body.Differences, body.More = differencesTable(found, wantsCSV(r) != "")
	body.Differences.Empty = "It agrees with the books to the micro-unit."
	return c.render(w, r, http.StatusOK, "invoice", page{Title: "Invoice " + list[i].ID, Nav: "invoices", Body: body})
}

// closing is a form that closes a suspense or a difference, or its preview.
type closing struct {
	Action  string // where the form goes
	Choices []choice
	By      string
	Reason  string
	Bill    bool
	CanBill bool
	Refused string // why the books do not take it
	Preview *table // what would be posted; nil before the preview
}

type choice struct{ Value, Says string }

type differenceBody struct {
	admin.Difference
	Evidence admin.Evidence
	Form     closing
	Amount   cell
}

var differenceChoices = []choice{{"accepted", "accepted: the books follow the invoice"}, {"rejected", "rejected: the provider corrects it, by a credit or a later line"}}

// difference shows one difference with its evidence; a POST previews or
// records what came of it.
func (c *console) difference(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	found, err := c.source.Differences(r.Context(), beforeDot(id))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(found, func(d admin.Difference) bool { return d.ID == id })
	if i < 0 {
		return admin.ErrNotFound
	}
	body := differenceBody{Difference: found[i], Amount: amount(found[i].Amount, found[i].Currency)}
	if body.Evidence, err = c.source.Evidence(r.Context(), id); err != nil {
		return err
	}
	body.Form = closing{Action: "/invoices/differences/" + url.PathEscape(id), Choices: differenceChoices, By: "accepted"}
	done, err := c.close(w, r, &body.Form, admin.CloseOrder{Difference: id}, "/invoices?closed="+url.QueryEscape(id))
	if done || err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "difference", page{Title: "Difference " + id, Nav: "invoices", Body: body})
}

func beforeDot(id string) string {
	head, _, _ := strings.Cut(id, ".")
	return head
}

// close reads a form that closes something: first it previews what would be
// posted, and records it when the preview is confirmed.
func (c *console) close(w http.ResponseWriter, r *http.Request, form *closing, o admin.CloseOrder, then string) (done bool, err error) {
	if r.Method != http.MethodPost {
		return false, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxChatForm)
	if err := r.ParseForm(); err != nil {
		return false, admin.BadRequestError{Says: "That form could not be read."}
	}
	who := admin.AccessOf(r.Context())
	form.By, form.Reason, form.Bill = r.PostForm.Get("by"), strings.TrimSpace(r.PostForm.Get("reason")), r.PostForm.Get("bill") != ""
	if !slices.ContainsFunc(form.Choices, func(c choice) bool { return c.Value == form.By }) {
		return false, admin.BadRequestError{Says: "Choose what came of it."}
	}
	o.By, o.Reason, o.BillCustomer, o.Who = form.By, form.Reason, form.Bill && form.CanBill, strings.TrimSpace(string(who.Role)+" "+who.ID)
	confirmed := r.PostForm.Get("step") == "confirm"
	entries, err := c.source.Close(r.Context(), o, !confirmed)
	if says, refused := admin.IsRefused(err); refused {
		form.Refused = says
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if confirmed {
		http.Redirect(w, r, then, http.StatusSeeOther)
		return true, nil
	}
	form.Preview = entriesTable(entries, "")
	form.Preview.NoCSV, form.Preview.Name, form.Preview.Caption, form.Preview.Empty = true, "preview", "This would be posted; nothing is recorded yet", "It would post nothing."
	for i := range form.Preview.Rows {
		form.Preview.Rows[i].Cells[0].Href = "" // it is in no batch yet
	}
	return false, nil
}

type suspenseBody struct {
	Aged *table
	Open *table
	More int
	Done string
}

func (b suspenseBody) tables() []*table { return []*table{b.Aged, b.Open} }

func (c *console) suspense(w http.ResponseWriter, r *http.Request) error {
	list, err := c.source.Suspense(r.Context(), c.now())
	if err != nil {
		return err
	}
	body := suspenseBody{Done: r.URL.Query().Get("closed")}
	currency := c.source.Overview(c.now()).Currency
	body.Aged = agedTable(list, currency)
	t := &table{
		Name: "suspense", Caption: "Open suspense, the oldest first: what may be owed and is not proven, at its estimate", Empty: "No suspense is open.", Dense: true,
		Columns: []column{{Title: "Attempt"}, {Title: "Provider"}, tight("Since"), right("Days"), {Title: "Why"}, {Title: "Model"}, {Title: "Request"}, right("Tokens"), right("Estimate"), hidden("pool")},
	}
	if len(list) > shownDifferences && wantsCSV(r) == "" {
		body.More, list = len(list)-shownDifferences, list[:shownDifferences]
	}
	for i := range list {
		h := &list[i]
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			{Text: h.Attempt, Href: "/suspense/" + url.PathEscape(h.Attempt), Mono: true},
			text(h.Provider), text(stamp(h.Since)), figure(h.Days),
			{Text: words(h.Reason), Raw: h.Reason},
			{Text: h.Model, Meta: h.Pool},
			link(h.Request, "/requests/"+url.PathEscape(h.Request)), figure(h.Tokens.Total()),
			cash(h.Amount),
			text(h.Pool),
		}})
	}
	body.Open = t
	return c.render(w, r, http.StatusOK, "suspense", page{Title: "Suspense", Nav: "suspense", Body: body})
}

// agedTable sums suspense by provider and age, in the order of its list.
func agedTable(list []admin.Held, currency string) *table {
	t := &table{Name: "aged", Narrow: true, Caption: "By provider and age", Empty: "No suspense is open.", Columns: []column{{Title: "Provider"}, {Title: "Age"}, right("Attempts"), right("Estimate, " + currency)}}
	type key struct{ provider, age string }
	count, sum := map[key]int{}, map[key]money.Amount{}
	var order []key
	for i := range list {
		k := key{list[i].Provider, list[i].Age}
		if count[k] == 0 {
			order = append(order, k)
		}
		count[k], sum[k] = count[k]+1, sum[k]+list[i].Amount
	}
	slices.SortStableFunc(order, func(a, b key) int { return strings.Compare(a.provider, b.provider) })
	for _, k := range order {
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(k.provider), text(k.age), figure(count[k]), cash(sum[k])}})
	}
	return t
}

type heldBody struct {
	admin.Held
	Form     closing
	Currency string
}

var suspenseChoices = []choice{{"estimate", "estimate: it is owed as it was estimated"}, {"waived", "waived: nothing is owed"}}

// held shows one attempt in suspense; a POST previews or records what came of it.
func (c *console) held(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("attempt")
	list, err := c.source.Suspense(r.Context(), c.now())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(h admin.Held) bool { return h.Attempt == id })
	if i < 0 {
		return admin.ErrNotFound
	}
	body := heldBody{Held: list[i], Currency: c.source.Overview(c.now()).Currency}
	body.Form = closing{Action: "/suspense/" + url.PathEscape(id), Choices: suspenseChoices, By: "estimate", CanBill: true}
	done, err := c.close(w, r, &body.Form, admin.CloseOrder{Attempt: id}, "/suspense?closed="+url.QueryEscape(id))
	if done || err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "held", page{Title: "Suspense " + id, Nav: "suspense", Body: body})
}
