package settle

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/money"
)

// WriteMargin writes a margin for people.
func WriteMargin(w io.Writer, m *Margin) error {
	if m.Notice != "" {
		fmt.Fprintf(w, "%s\n\n", m.Notice)
	}
	switch {
	case m.SimulatedSays != "":
		fmt.Fprintln(w, "SIMULATED:", m.SimulatedSays)
	case m.Simulated:
		fmt.Fprintln(w, "SIMULATED: stand-ins answer for pools of these terms")
	}
	state := "open: it may change, and fees come with the close"
	if m.Closed {
		state = "closed"
	}
	fmt.Fprintf(w, "MARGIN by %s of %s, %04d-%02d (%s), in %s\n\n", m.By, m.Operator, m.Month/100, m.Month%100, state, m.Currency)
	err := table(w, func(line func(...any)) {
		line(strings.ToUpper(m.By), "REQUESTS", "TOKENS", "USERS", "SALES", "COMMISSION", "REVENUE", "COST", "MARGIN", "OF SALES", "A USER: NET", "COST", "MARGIN")
		for i := range m.Rows {
			r := &m.Rows[i]
			perUser := [3]string{}
			if p := r.PerUser; p != nil {
				perUser = [3]string{p.Net.String(), p.Cost.String(), p.Margin.String()}
			}
			line(r.Name, r.Requests, r.Tokens, users(r), r.Sales, r.Commission, r.Revenue, r.Cost, r.Margin, ofSales(r), perUser[0], perUser[1], perUser[2])
		}
		for i := range m.Rest {
			r := &m.Rest[i]
			line("  "+r.Name, "", "", "", r.Sales, r.Commission, r.Revenue, r.Cost, r.Margin, "", "", "", "")
		}
		r := &m.Total
		line("TOTAL", r.Requests, r.Tokens, "", r.Sales, r.Commission, r.Revenue, r.Cost, r.Margin, ofSales(r), "", "", "")
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "\nindented: of the month and of no row, such as unused capacity, shares of revenue, corrections and rounding; the total is the books'")
	return err
}

func users(r *MarginRow) string {
	switch {
	case r.Users == 0:
		return ""
	case r.AtLeast:
		return fmt.Sprintf("over %d", r.Users)
	}
	return strconv.FormatInt(r.Users, 10)
}

// ofSales is the margin in per cent of the sales, with one decimal, rounded down.
func ofSales(r *MarginRow) string {
	if r.Sales <= 0 {
		return ""
	}
	q, _, ok := money.Product(int64(r.Margin), 1000).FloorDiv(int64(r.Sales))
	if !ok {
		return ""
	}
	if q < -10_000 {
		return "under -1000 %"
	}
	sign := ""
	if q < 0 {
		sign, q = "-", -q
	}
	return fmt.Sprintf("%s%d.%d %%", sign, q/10, q%10)
}

// WriteMarginCSV writes a margin as CSV: a line a row, then what no row
// caused, then the total.
func WriteMarginCSV(w io.Writer, m *Margin) error {
	rows := [][]string{{"operator", "month", "by", "row", "name", "requests", "tokens", "users", "users_at_least", "sales", "commission", "revenue", "cost", "margin", "net_per_user", "cost_per_user", "margin_per_user", "currency", "simulated"}}
	row := func(what string, r *MarginRow) {
		cells := []string{
			m.Operator, strconv.Itoa(int(m.Month)), m.By, what, r.Name, strconv.FormatInt(r.Requests, 10), strconv.FormatInt(r.Tokens, 10), strconv.FormatInt(r.Users, 10), strconv.FormatBool(r.AtLeast),
			r.Sales.String(), r.Commission.String(), r.Revenue.String(), r.Cost.String(), r.Margin.String(), "", "", "", m.Currency, strconv.FormatBool(m.Simulated),
		}
		if p := r.PerUser; p != nil {
			cells[14], cells[15], cells[16] = p.Net.String(), p.Cost.String(), p.Margin.String()
		}
		rows = append(rows, cells)
	}
	for i := range m.Rows {
		row("row", &m.Rows[i])
	}
	for i := range m.Rest {
		row("rest", &m.Rest[i])
	}
	total := m.Total
	total.Users = 0
	row("total", &total)
	return csv.NewWriter(w).WriteAll(rows)
}
