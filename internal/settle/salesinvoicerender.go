package settle

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// WriteSalesInvoice writes an invoice for people.
func WriteSalesInvoice(w io.Writer, v *SalesInvoice) error {
	if v.Notice != "" {
		fmt.Fprintf(w, "%s\n\n", v.Notice)
	}
	switch {
	case v.SimulatedSays != "":
		fmt.Fprintln(w, "SIMULATED:", v.SimulatedSays)
	case v.Simulated:
		fmt.Fprintln(w, "SIMULATED: stand-ins answer for pools of these terms")
	}
	switch {
	case v.Number != "":
		fmt.Fprintf(w, "INVOICE %s, issued %s%s\n", v.Number, v.Issued, due(v))
	case v.Closed:
		fmt.Fprintf(w, "NO INVOICE: nothing was booked to it in %04d-%02d, which is closed\n", v.Month/100, v.Month%100)
	case len(v.Lines) == 0:
		fmt.Fprintf(w, "NO INVOICE: nothing is booked to it in %04d-%02d, which is not closed\n", v.Month/100, v.Month%100)
	default:
		fmt.Fprintf(w, "DRAFT INVOICE: %04d-%02d is open, lines may change and fees are added when it is closed\n", v.Month/100, v.Month%100)
	}
	fmt.Fprintf(w, "from %s to %s (%s), for %s up to %s, in %s\n\n", v.Seller, v.Customer, v.Name, v.From, v.Until, v.Currency)
	err := table(w, func(line func(...any)) {
		line("PLAN", "ITEM", "MODEL", "CHANNEL", "WHAT", "QUANTITY", "PER", "PRICE", "AMOUNT", "BATCHES")
		for i := range v.Lines {
			l := &v.Lines[i]
			quantity, price, batches := "", "", ""
			if l.Quantity != 0 {
				quantity, price = strconv.FormatInt(l.Quantity, 10), l.UnitPrice.String()
			}
			if l.First > 0 {
				batches = fmt.Sprintf("%d-%d", l.First, l.Last)
			}
			line(l.Plan, item(l), l.Model, l.Channel, l.Kind, quantity, l.Unit, price, l.Amount, batches)
		}
		line("TOTAL", "", "", "", "", "", "", "", v.Total, "")
	})
	if err != nil {
		return err
	}
	for _, l := range v.Included {
		over := ""
		if l.Over != "" {
			over = fmt.Sprintf("; %s by subjects that are not counted", l.Over)
		}
		fmt.Fprintf(w, "\nincluded in %s, per %s: %s of %s %s used by %d, %s left%s\n", l.Plan, l.Per, l.Used, l.Granted, l.Unit, l.Subjects, l.Left, over)
	}
	_, err = fmt.Fprintf(w, "\nopen a line: accordo ledger entries --account %s\n", v.Account)
	return err
}

func due(v *SalesInvoice) string {
	if v.Due.IsZero() {
		return ""
	}
	return ", due " + v.Due.String()
}

func item(l *SalesInvoiceLine) string {
	if l.Month > 0 {
		return fmt.Sprintf("%s of %04d-%02d", l.Item, l.Month/100, l.Month%100)
	}
	return l.Item
}

// WriteSalesInvoiceCSV writes an invoice as CSV: one row a line, a row for the
// total, and one for each included quota.
func WriteSalesInvoiceCSV(w io.Writer, v *SalesInvoice) error {
	rows := [][]string{{"invoice", "draft", "seller", "customer", "month", "issued", "due", "row", "plan", "item", "model", "channel", "what", "quantity", "unit", "unit_price", "price", "corrects", "amount", "currency", "simulated"}}
	row := func(cells ...string) {
		head := []string{v.Number, strconv.FormatBool(!v.Closed), v.Seller, v.Customer, strconv.Itoa(int(v.Month)), v.Issued.String(), v.Due.String()}
		rows = append(rows, append(append(head, cells...), v.Currency, strconv.FormatBool(v.Simulated)))
	}
	for i := range v.Lines {
		l := &v.Lines[i]
		corrects := ""
		if l.Month > 0 {
			corrects = strconv.Itoa(int(l.Month))
		}
		row("line", l.Plan, l.Item, l.Model, l.Channel, l.Kind, strconv.FormatInt(l.Quantity, 10), l.Unit, l.UnitPrice.String(), l.PriceID, corrects, l.Amount.String())
	}
	row("total", "", "", "", "", "", "", "", "", "", "", v.Total.String())
	for _, q := range v.Included {
		row("included", q.Plan, "granted", "", "", "per "+q.Per, q.Granted, q.Unit, "", "", "", "")
		row("included", q.Plan, "used", "", "", "per "+q.Per, q.Used, q.Unit, "", "", "", "")
		row("included", q.Plan, "left", "", "", "per "+q.Per, q.Left, q.Unit, "", "", "", "")
	}
	return csv.NewWriter(w).WriteAll(rows)
}
