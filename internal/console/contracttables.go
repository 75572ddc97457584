package console

import (
	"net/url"
	"strings"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
)

func dateText(d alliance.Date) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

// contractsTable has every contract in a row.
func contractsTable(list []contractView, currency ledger.Asset) *table {
	t := &table{
		Name: "contracts", Caption: "All contracts in figures, each in its own currency; what was used in all in " + string(currency), Empty: "The terms have no contracts.",
		Columns: []column{{Title: "Contract"}, hidden("id"), {Title: "Provider"}, {Title: "Shape"}, {Title: "Currency"}, tight("From"), hidden("until"), right("Headline"), hidden("interval_until"), right("Floor or fee"), right("Used of it"), right("Used in all")},
	}
	for i := range list {
		k := &list[i]
		row := tableRow{Cells: []cell{link(k.Title, "/contracts/"+url.PathEscape(k.ID)), text(k.ID), text(k.Provider), {Text: words(k.Shape), Raw: k.Shape}, text(k.Currency), {Text: dateText(k.From), Meta: upTo(k.Until)}, text(dateText(k.Until)), {}, text(dateText(k.IntervalUntil)), {}, {}, amount(k.BurntTotal, currency)}}
		if k.Headline != nil {
			row.Cells[7] = amount(*k.Headline, currency)
		}
		switch {
		case k.Floor > 0:
			row.Cells[9], row.Cells[10] = amount(k.Floor, currency), amount(k.Burnt, currency)
			row.Cells[9].Meta = "floor " + upTo(k.IntervalUntil)
		case k.Fee > 0:
			row.Cells[9] = amount(k.Fee, currency)
			row.Cells[9].Meta = "fee " + upTo(k.IntervalUntil)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// upTo says until when something is, which may be open.
func upTo(d alliance.Date) string {
	if d.IsZero() {
		return "open end"
	}
	return "to " + d.String()
}

// intervalTable has the interval in force with its forecast.
func intervalTable(o *admin.Outlook, currency ledger.Asset) *table {
	t := &table{Name: "interval", Narrow: true, Caption: "The interval in force, and its end at the pace of the last month; the range is by the paces of 7 days, a month and the interval so far", Empty: "No floor is in force.", Columns: []column{{Title: "Figure"}, right(string(currency))}}
	v := o.Interval
	if v == nil {
		return t
	}
	t.Columns = append(t.Columns, hidden("from"), hidden("until"))
	add := func(name string, c cell) {
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(name), c, text(v.From.String()), text(v.Until.String())}})
	}
	add("Promised", amount(v.Promised, currency))
	add("Used", amount(v.Used, currency))
	add("Open", amount(v.Open, currency))
	add("Forecast of its end", amount(v.Forecast, currency))
	add("At least", amount(v.Low, currency))
	add("At most", amount(v.High, currency))
	add("Lost at its end by the forecast", amount(v.LostForecast, currency))
	add("Lost at its end at most", amount(v.LostMost, currency))
	return t
}

// datesTable has the next dates.
func datesTable(o *admin.Outlook, currency ledger.Asset) *table {
	t := &table{Name: "dates", Narrow: true, Caption: "Next dates, and what each costs if nothing more happens until then", Empty: "No date is ahead.", Columns: []column{tight("On"), {Title: "What happens"}, right("Costs, " + string(currency))}}
	for _, d := range o.Dates {
		cost := amount(d.Cost, currency)
		if d.Unknown {
			cost = text("not known")
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(d.On.String()), {Text: figures(d.What), Raw: d.What}, cost}})
	}
	return t
}

// scheduleTable has the intervals of a contract.
func scheduleTable(k *admin.Contract, currency ledger.Asset) *table {
	t := &table{Name: "schedule", Columns: []column{tight("From"), tight("Until"), right("Amount"), {Title: "Currency"}, {Title: "Kind"}, {Title: "Assumed"}, {Title: "Claims"}}}
	for _, s := range k.Schedule {
		kind, assumed := "floor", "no"
		if s.Fee {
			kind = "fee"
		}
		if s.Assumption {
			assumed = "yes"
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(s.From.String()), text(s.Until.String()), amount(s.Amount, currency), text(string(currency)), text(kind), text(assumed), text(strings.Join(s.Claims, " "))}})
	}
	return t
}

// rampTable has the steps of a contract's capacity.
func rampTable(k *admin.Contract) *table {
	t := &table{Name: "ramp", Columns: []column{tight("From"), right("Chips"), right("Tokens a minute"), {Title: "Assumed"}, {Title: "Claims"}}}
	for _, r := range k.Ramp {
		assumed := "no"
		if r.Assumption {
			assumed = "yes"
		}
		t.Rows = append(t.Rows, tableRow{Cells: []cell{text(r.From.String()), figure(r.Chips), figure(r.TokensPerMinute), text(assumed), text(strings.Join(r.Claims, " "))}})
	}
	return t
}
