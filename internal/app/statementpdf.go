package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/paper"
)

// StatementPDF writes a statement as a PDF file.
func (s *server) StatementPDF(ctx context.Context, w io.Writer, party string, month int32, mirrored, partner bool) error {
	v, err := s.Statement(ctx, party, month, mirrored)
	if err != nil {
		return err
	}
	if partner {
		return paper.Write(w, partnerPaper(v.ForPartner(admin.OwnContracts(s.Contracts(time.Now()), party))))
	}
	return paper.Write(w, statementPaper(&v))
}

// monthName names a civil month.
func monthName(month int32) string {
	return time.Date(int(month/100), time.Month(month%100), 1, 0, 0, 0, 0, time.UTC).Format("January 2006")
}

// madeOf is the date of a document about a month: its end, so that the same
// statement gives the same bytes.
func madeOf(month int32) time.Time {
	return time.Date(int(month/100), time.Month(month%100)+1, 1, 0, 0, 0, 0, time.UTC)
}

func simulatedMark(simulated bool, says string) string {
	switch {
	case !simulated:
		return ""
	case says == "":
		return "SIMULATED"
	}
	return "SIMULATED: " + says
}

// totalFacts are the sums at the head of a statement, one pair a currency.
func totalFacts(totals []admin.StatementTotal) (list [][2]string) {
	for _, t := range totals {
		list = append(list, [2]string{"Brought forward", amountIn(t.Opening, t.Currency, "")}, [2]string{"Carried forward", amountIn(t.Closing, t.Currency, "")})
	}
	return list
}

func stateOf(closed bool) string {
	if closed {
		return "The month is closed: it does not change."
	}
	return "The month is open: it may change."
}

// statementPaper sets a statement for the operator's side.
func statementPaper(s *admin.Statement) *paper.Document {
	debtor, creditor := s.Name, s.OperatorName
	if s.Mirrored {
		debtor, creditor = creditor, debtor
	}
	own := func(account string) string { return strings.TrimPrefix(account, s.Operator+"/") }
	d := &paper.Document{
		Title: fmt.Sprintf("Statement of %s with %s, %s", s.Name, s.OperatorName, monthName(s.Month)), Subtitle: stateOf(s.Closed),
		Mark: simulatedMark(s.Simulated, s.SimulatedSays), Notice: s.Notice, Of: "Books of " + s.OperatorName, Made: madeOf(s.Month),
		Facts:   append(totalFacts(s.Totals), [2]string{"Above zero", debtor + " owes " + creditor}, [2]string{"Below zero", creditor + " owes " + debtor}),
		Closing: "Every line opens to its entries with accordo ledger entries --account ACCOUNT, and an entry to its requests with accordo ledger lines ENTRY.",
	}
	t := paper.Table{Columns: []paper.Column{{Title: "Account, movement", Share: 22}, {Title: "Against", Share: 34}, {Title: "Contract, price", Share: 22}, {Title: "Tokens", Share: 14, Right: true}, {Title: "Entries", Share: 9, Right: true}, {Title: "Amount", Share: 19, Right: true}}}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		t.Rows = append(t.Rows, paper.Row{Cells: []string{own(string(a.Account)), "brought forward", "", "", "", amountIn(a.Opening, a.Asset, s.Currency)}, Strong: true})
		for j := range a.Movements {
			m := &a.Movements[j]
			t.Rows = append(t.Rows, paper.Row{Cells: []string{m.Kind, own(string(m.Contra)), strings.Trim(m.Contract+", "+m.Price, ", "), thousands(fmt.Sprint(m.Tokens)), fmt.Sprint(m.Entries), amountIn(m.Amount, a.Asset, s.Currency)}})
		}
		t.Rows = append(t.Rows, paper.Row{Cells: []string{"", "carried forward", "", "", "", amountIn(a.Closing, a.Asset, s.Currency)}, Strong: true})
	}
	d.Tables = []paper.Table{t}
	return d
}

// amountIn renders an amount with all six decimals, so that points stand below
// one another, and with its currency where that is not the statement's.
func amountIn(a money.Amount, asset ledger.Asset, currency string) string {
	sign, digits := "", fmt.Sprintf("%07d", uint64(max(a, -a)))
	if a < 0 {
		sign = "-"
	}
	text := sign + thousands(digits[:len(digits)-6]) + "." + digits[len(digits)-6:]
	if string(asset) == currency {
		return text
	}
	return text + " " + string(asset)
}

// thousands puts commas between the thousands of digits.
func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// partnerPaper sets a statement as its party sees it.
func partnerPaper(s admin.PartnerStatement) *paper.Document {
	d := &paper.Document{
		Title: fmt.Sprintf("Statement of %s with %s, %s", s.Name, s.Operator, monthName(s.Month)), Subtitle: stateOf(s.Closed),
		Mark: simulatedMark(s.Simulated, ""), Notice: s.Notice, Of: "As the books of " + s.Name + " must have it", Made: madeOf(s.Month),
		Facts: append(totalFacts(s.Totals), [2]string{"Above zero", s.Operator + " owes " + s.Name}, [2]string{"Below zero", s.Name + " owes " + s.Operator}),
	}
	t := paper.Table{Columns: []paper.Column{{Title: "Account, movement", Share: 40}, {Title: "Contract", Share: 25}, {Title: "Tokens", Share: 16, Right: true}, {Title: "Entries", Share: 10, Right: true}, {Title: "Amount", Share: 22, Right: true}}}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		t.Rows = append(t.Rows, paper.Row{Cells: []string{a.What + ", " + a.For, "brought forward", "", "", amountIn(a.Opening, a.Asset, s.Currency)}, Strong: true})
		for j := range a.Movements {
			m := &a.Movements[j]
			t.Rows = append(t.Rows, paper.Row{Cells: []string{m.Kind, m.Contract, thousands(fmt.Sprint(m.Tokens)), fmt.Sprint(m.Entries), amountIn(m.Amount, a.Asset, s.Currency)}})
		}
		t.Rows = append(t.Rows, paper.Row{Cells: []string{"", "carried forward", "", "", amountIn(a.Closing, a.Asset, s.Currency)}, Strong: true})
	}
	d.Tables = []paper.Table{t}
	return d
}
