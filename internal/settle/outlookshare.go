package settle

import (
	"context"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// ShareOutlook is how a revenue share stands: what the closed months shared.
type ShareOutlook struct {
	Says string        `json:"says"`
	Used money.Amount  `json:"used"`
	Cap  *money.Amount `json:"cap,omitempty"`
	Left *money.Amount `json:"left,omitempty"` // of the cap
}

// share fills in how the contract's revenue share stands.
func (o *Outlook) share(ctx context.Context, books Reader, operator string, c *alliance.Contract, at time.Time) error {
	r := c.RevenueShare
	if r == nil {
		return nil
	}
	v := &ShareOutlook{Cap: r.Cap}
	for _, clause := range contract.Clauses(c, o.Currency) {
		if clause.Name == "Revenue share" {
			v.Says = clause.Says
		}
	}
	account, sign := ledger.NewAccount(operator, contract.Liability, "revenue_share_payable", string(c.Provider)), money.Amount(-1)
	if r.Cap != nil {
		account, sign = ledger.NewAccount(operator, contract.Memo, "share_used", string(c.ID)), 1
	}
	used, err := books.BalanceAt(ctx, account, at.UnixNano())
	if err != nil {
		return err
	}
	v.Used = sign * used
	if r.Cap != nil {
		left := *r.Cap - v.Used
		v.Left = &left
	}
	if !r.Until.IsZero() && r.Until.After(at) {
		o.Dates = append(o.Dates, NextDate{On: r.Until, What: "the revenue share ends"})
	}
	o.Share = v
	return nil
}
