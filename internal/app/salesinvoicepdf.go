package app

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/paper"
	"github.com/accordo-ai/accordo/internal/settle"
)

// writeInvoicePDF writes an invoice as a PDF file that its owner alone reads.
func writeInvoicePDF(path string, a *alliance.Alliance, v *settle.SalesInvoice) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the invoice: %w", err)
	}
	return errors.Join(paper.Write(f, invoicePaper(a, v)), f.Close())
}

// invoicePaper sets an invoice to a customer.
func invoicePaper(a *alliance.Alliance, v *settle.SalesInvoice) *paper.Document {
	seller := v.Seller
	if p := a.Party(alliance.PartyID(v.Seller)); p != nil {
		seller = p.Name
	}
	d := &paper.Document{
		Title: "Invoice " + v.Number, Subtitle: "issued on " + v.Issued.String(), Mark: simulatedMark(v.Simulated, v.SimulatedSays), Notice: v.Notice,
		Of: "Books of " + seller, Made: madeOf(v.Month),
		Facts:   [][2]string{{"From", seller}, {"To", v.Name}, {"For", monthName(v.Month)}, {"Total", amountIn(v.Total, ledger.Asset(v.Currency), "")}},
		Closing: "The lines come to the month's entries of " + string(v.Account) + ".",
	}
	switch {
	case v.Number != "":
	case v.Closed:
		d.Title, d.Subtitle = "No invoice to "+v.Name, "The month is closed, and nothing was booked to this customer in it."
	default:
		d.Title, d.Subtitle = "Draft invoice to "+v.Name, "The month is open: lines may change, and fees are added when it is closed."
	}
	if !v.Due.IsZero() {
		d.Facts = append(d.Facts, [2]string{"Due", v.Due.String()})
	}
	t := paper.Table{Columns: []paper.Column{{Title: "Plan, item", Share: 24}, {Title: "Model, channel", Share: 24}, {Title: "What", Share: 24}, {Title: "Quantity", Share: 15, Right: true}, {Title: "Price", Share: 11, Right: true}, {Title: "per", Share: 18}, {Title: "Amount", Share: 17, Right: true}}}
	for i := range v.Lines {
		l := &v.Lines[i]
		quantity, price := "", ""
		if l.Quantity != 0 {
			quantity, price = thousands(strconv.FormatInt(l.Quantity, 10)), l.UnitPrice.String()
		}
		what := l.Item
		if l.Plan != "" {
			what = l.Plan + ", " + l.Item
		}
		if l.Month > 0 {
			what += " of " + monthName(l.Month)
		}
		place := l.Model
		if l.Channel != "" {
			place += ", " + l.Channel
		}
		t.Rows = append(t.Rows, paper.Row{Cells: []string{what, place, l.Kind, quantity, price, l.Unit, amountIn(l.Amount, ledger.Asset(v.Currency), v.Currency)}})
	}
	t.Rows = append(t.Rows, paper.Row{Cells: []string{"Total", "", "", "", "", "", amountIn(v.Total, ledger.Asset(v.Currency), v.Currency)}, Strong: true})
	d.Tables = []paper.Table{t}
	if len(v.Included) > 0 {
		q := paper.Table{Columns: []paper.Column{{Title: "Included in", Share: 20}, {Title: "per", Share: 12}, {Title: "Subjects", Share: 12, Right: true}, {Title: "Granted", Share: 18, Right: true}, {Title: "Used", Share: 18, Right: true}, {Title: "Left", Share: 18, Right: true}, {Title: "in", Share: 10}}}
		for _, l := range v.Included {
			q.Rows = append(q.Rows, paper.Row{Cells: []string{l.Plan, l.Per, strconv.FormatInt(l.Subjects, 10), l.Granted, l.Used, l.Left, l.Unit}})
		}
		d.Tables = append(d.Tables, q)
	}
	return d
}
