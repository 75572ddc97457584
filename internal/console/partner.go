package console

import (
	"net/http"
	"net/url"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/ledger"
)

// partnerBody are the contracts that a partner sees: its own, or one of them.
type partnerBody struct {
	Contracts []admin.PartnerContract
	One       bool
	List      *table // of all
	Schedule  *table // of one
	Ramp      *table
}

func (b partnerBody) tables() []*table {
	if b.One {
		return []*table{b.Schedule, b.Ramp}
	}
	return []*table{b.List}
}

// ofPartner shows a partner its own contracts, or the one with an id; another
// party's contract is not there.
func (c *console) ofPartner(w http.ResponseWriter, r *http.Request, id string) error {
	who := admin.AccessOf(r.Context())
	body := partnerBody{One: id != ""}
	for _, k := range admin.PartnerContracts(c.source.Contracts(c.now()), who.Party) {
		if id == "" || k.ID == id {
			body.Contracts = append(body.Contracts, k)
		}
	}
	body.List = partnerList(body.Contracts)
	title := "Contracts"
	if body.One {
		if len(body.Contracts) == 0 {
			return admin.ErrNotFound
		}
		k := body.Contracts[0]
		title, body.Schedule, body.Ramp = k.Title, partnerSchedule(&k), partnerRamp(&k)
	}
	return c.render(w, r, http.StatusOK, "partner", page{Title: title, Nav: "contracts", Body: body})
}

func partnerList(list []admin.PartnerContract) *table {
	t := &table{
		Name: "contracts", Caption: "Your contracts, each in its own currency", Empty: "No contract of yours is in these books.",
		Columns: []column{{Title: "Contract"}, hidden("id"), {Title: "Shape"}, {Title: "Currency"}, tight("From"), tight("Until"), right("Headline"), tight("Interval until"), right("Floor or fee"), right("Used of it")},
	}
	for i := range list {
		k := &list[i]
		currency := ledger.Asset(k.Currency)
		row := tableRow{Cells: []cell{link(k.Title, "/contracts/"+url.PathEscape(k.ID)), text(k.ID), {Text: words(k.Shape), Raw: k.Shape}, text(k.Currency), text(dateText(k.From)), text(dateText(k.Until)), {}, text(dateText(k.IntervalUntil)), {}, {}}}
		if k.Headline != nil {
			row.Cells[6] = amount(*k.Headline, currency)
		}
		switch {
		case k.Floor > 0:
			row.Cells[8], row.Cells[9] = amount(k.Floor, currency), amount(k.Burnt, currency)
		case k.Fee > 0:
			row.Cells[8] = amount(k.Fee, currency)
			row.Cells[8].Meta = "fee"
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func partnerSchedule(k *admin.PartnerContract) *table {
	t := &table{Name: "schedule", Narrow: true, Caption: "What is promised when", Empty: "Nothing is promised.", Columns: []column{tight("From"), tight("Until"), {Title: "Kind"}, right(k.Currency)}}
	for _, s := range k.Schedule {
		kind := "floor of spend"
		if s.Fee {
			kind = "fee, used or not"
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(s.From.String()), text(s.Until.String()), text(kind), amount(s.Amount, ledger.Asset(k.Currency))}})
	}
	return t
}

func partnerRamp(k *admin.PartnerContract) *table {
	t := &table{Name: "ramp", Narrow: true, Caption: "Capacity contracted", Empty: "No capacity is contracted.", Columns: []column{tight("From"), right("Chips"), right("Tokens a minute")}}
	for _, r := range k.Ramp {
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(r.From.String()), figure(r.Chips), figure(r.TokensPerMinute)}})
	}
	return t
}
