package settle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// SalesInvoiceHead is an invoice to a customer as a list of them has it.
type SalesInvoiceHead struct {
	// Number is empty while the month is open: a draft may change.
	Number   string        `json:"number,omitempty"`
	Month    int32         `json:"month"` // YYYYMM
	Issued   alliance.Date `json:"issued,omitzero"`
	Due      alliance.Date `json:"due,omitzero"`
	Customer string        `json:"customer"`
	Name     string        `json:"name"`
	// Party is whose customer it is: the tenant's or the channel's, if any.
	Party    string       `json:"party,omitempty"`
	Currency ledger.Asset `json:"currency"`
	Total    money.Amount `json:"total"`
}

// ListSalesInvoices lists the invoices and drafts that the books hold: one for
// each customer and month in which something of it was booked, by month and
// customer. Facts are those in the books.
func ListSalesInvoices(ctx context.Context, books Reader, t *ledger.Terms, facts []ledger.Fact) ([]SalesInvoiceHead, error) {
	a := t.Alliance()
	below := receivables(string(a.Operator))
	periods, err := books.Periods(ctx, below)
	if err != nil {
		return nil, err
	}
	assets, err := assetsOf(ctx, books)
	if err != nil {
		return nil, err
	}
	inOrder(periods)
	list := make([]SalesInvoiceHead, len(periods))
	for i := range periods {
		p := &periods[i]
		ref := p.Account.Ref()
		name, days := customerOf(a, ref)
		_, other := refsOf(a, firstRef(p.Account))
		v := SalesInvoiceHead{Month: p.Period, Customer: ref, Name: cmp.Or(name, other, ref), Party: ownerOf(a, ref), Currency: assets[p.Account], Total: p.Amount}
		if at := ClosedAt(facts, p.Period); !at.IsZero() {
			v.Number = salesNumber(string(a.Operator), i+1)
			v.Issued, v.Due = issued(at, days)
		}
		list[i] = v
	}
	return list, nil
}

// ClosedAt is when a month was closed, by the facts in the books; zero while
// it is open.
func ClosedAt(facts []ledger.Fact, month int32) time.Time {
	for i := range facts {
		if m := facts[i].MonthClosed; m != nil && m.Month >= month {
			return time.Unix(0, facts[i].At)
		}
	}
	return time.Time{}
}

// receivables is the path of what customers owe an operator.
func receivables(operator string) string {
	return strings.TrimSuffix(string(ledger.NewAccount(operator, contract.Asset, "receivable", "x")), "x")
}

// inOrder sorts what was booked to customers as invoices are numbered: by
// month, then customer. Months close in order and what is booked to a closed
// one never changes, so no number of a closed month ever does.
func inOrder(periods []ledger.PeriodBalance) {
	slices.SortFunc(periods, func(x, y ledger.PeriodBalance) int {
		return cmp.Or(cmp.Compare(x.Period, y.Period), cmp.Compare(x.Account, y.Account))
	})
}

// salesNumber is the n-th invoice of an operator, from 1.
func salesNumber(operator string, n int) string {
	return fmt.Sprintf("%s-%06d", strings.ToUpper(operator), n)
}

// issued returns the day of an invoice and the one it is due on, zero where
// the terms name none.
func issued(closedAt time.Time, days int64) (day, due alliance.Date) {
	day = alliance.Date{Time: closedAt.UTC().Truncate(24 * time.Hour)}
	if days > 0 {
		due = alliance.Date{Time: day.AddDate(0, 0, int(days))}
	}
	return day, due
}

// ownerOf is the party that a customer belongs to, empty for none.
func ownerOf(a *alliance.Alliance, ref string) string {
	id, _, _ := strings.Cut(ref, ",")
	if t := a.Tenant(alliance.TenantID(id)); t != nil {
		return string(t.Party)
	}
	if ch := a.Channel(alliance.ChannelID(id)); ch != nil && ch.Presentation != "" {
		return string(ch.Party)
	}
	if a.Party(alliance.PartyID(id)) != nil {
		return id
	}
	return ""
}
