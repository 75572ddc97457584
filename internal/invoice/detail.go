package invoice

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/accordo-ai/accordo/internal/money"
)

// detail adds what an Invoice Detail says: the taxes that Cost and Usage
// leaves out, and what the invoice comes to.
func (v *Invoice) detail(o Options) error {
	t, err := newTable(o.Detail)
	if err != nil {
		return err
	}
	if !t.has("InvoiceDetailId", "InvoiceId", "BilledCost", "ChargeCategory") {
		return errors.New("it has not the columns InvoiceDetailId, InvoiceId, BilledCost and ChargeCategory")
	}
	taxed := slices.ContainsFunc(v.Lines, func(l Line) bool { return l.Kind == Levy })
	f := focusReader{t: t, o: o, v: &Invoice{Currency: v.Currency}}
	var stated money.Amount
	var rest int64
	for {
		err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		ok, err := f.wanted()
		if err != nil {
			return fmt.Errorf("line %d: %w", t.number, err)
		}
		if !ok || t.cell("InvoiceIssueStatus") == "Voided" {
			continue
		}
		amount, part, err := decimal(t.cell("BilledCost"))
		if err != nil {
			return fmt.Errorf("line %d: BilledCost: %w", t.number, err)
		}
		if t.cell("ChargeCategory") == "Tax" {
			if !taxed {
				v.Lines = append(v.Lines, Line{Kind: Levy, Number: v.Rows + 1 + t.number, Amount: &amount, Text: fmt.Sprintf("Tax, line %d of the Invoice Detail", t.number)})
			}
			continue
		}
		rest += part
		stated += amount + money.Amount(rest/fractions)
		rest %= fractions
	}
	v.Stated = &stated
	return nil
}

// Sum is what the lines charge that are no taxes, with their Rest.
func (v *Invoice) Sum() (sum money.Amount) {
	for i := range v.Lines {
		if l := &v.Lines[i]; l.Kind != Levy && l.Amount != nil {
			sum += *l.Amount
		}
	}
	return sum + v.Rest
}

// TotalTolerance is how far FOCUS lets the rows of an invoice be from what it
// states, in micro-units: the larger of 100 hundredths and half a hundredth
// times the root of the rows.
func TotalTolerance(rows int) money.Amount {
	const hundredth = money.Micro / 100
	root := 0
	for (root+1)*(root+1) <= rows {
		root++
	}
	return max(100*hundredth, money.Amount(root)*hundredth/2)
}
