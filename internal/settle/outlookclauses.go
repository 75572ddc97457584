package settle

import (
	"context"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
)

// CapacityOutlook is what a ramp contracts at the instant and what of it was
// delivered.
type CapacityOutlook struct {
	Contracted int64  `json:"contracted"`
	Usable     int64  `json:"usable"`
	Unit       string `json:"unit"` // chips or tokens a minute
}

// delivered tells how a ramp stands.
func (o *Outlook) delivered(c *alliance.Contract, at time.Time) (err error) {
	if o.FeesAbated, err = contract.AbatedUpTo(c, at); err != nil || len(c.Ramp) == 0 {
		return err
	}
	v := &CapacityOutlook{Unit: "chips"}
	chips, tokens := contract.ContractedAt(c, at)
	usableChips, usableTokens := contract.CapacityAt(c, at)
	if v.Contracted, v.Usable = chips, usableChips; contract.CountsTokens(c.Shape) {
		v.Contracted, v.Usable, v.Unit = tokens, usableTokens, "tokens a minute"
	}
	o.Capacity = v
	return nil
}

// hourly tells how a commitment per hour stands: what was drawn since its rate
// began, what lapsed with its hours, and what the hour under way has left.
func (o *Outlook) hourly(ctx context.Context, books Reader, operator string, c *alliance.Contract, at time.Time) error {
	rate, begin, ok := contract.HourAt(c, at)
	if !ok {
		return nil
	}
	fees, err := contract.FeesOf(c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(fees, func(f alliance.Fee) bool { return f.From.Equal(rate.From.Time) })
	account := ledger.NewAccount(operator, contract.Memo, "commit_used", string(c.ID), rate.From.String())
	v, err := burnDown(ctx, books, account, &alliance.Floor{Term: fees[i].Term, Amount: fees[i].Amount}, at)
	if err != nil {
		return err
	}
	before, err := books.BalanceAt(ctx, account, begin.UnixNano()-1)
	if err != nil {
		return err
	}
	passed, err := contract.CommittedUpTo(c, &rate, begin)
	if err != nil {
		return err
	}
	v.Lapsed = max(0, passed-before)
	v.Open = max(0, v.Open-v.Lapsed)
	o.Interval = v
	o.Dates = append(o.Dates,
		NextDate{On: alliance.Date{Time: begin.Add(time.Hour)}, What: "the hour ends: what of its commitment is not drawn is lost", Cost: max(0, rate.PerHour-(v.Used-before))},
		NextDate{On: fees[i].Until, What: "the rate per hour ends"})
	return nil
}

// option tells of an option that nobody exercised: when it can be and has to
// be, and what lapses else; and of one that was, from that instant on.
func (o *Outlook) option(c *alliance.Contract, at time.Time) {
	if c.Option == nil {
		return
	}
	if !contract.Open(c) && !at.Before(c.Exercised.Time) {
		o.Exercised = c.Exercised.UTC().Format(time.DateOnly) + ": " + contract.OptionAdds(c, o.Currency)
		return
	}
	notice := contract.NoticeEnds(c.Option)
	if !at.Before(notice) {
		return
	}
	o.Option = contract.OptionAdds(c, o.Currency)
	if at.Before(c.Option.From.Time) {
		o.Dates = append(o.Dates, NextDate{On: c.Option.From, What: "the option can be exercised from here on"})
	}
	lapse, known := contract.LapseCost(c)
	costs := "; what that costs depends on what replaces it"
	if known {
		costs = "; as much at the contract's own price costs so much more"
	}
	o.Dates = append(o.Dates, NextDate{On: alliance.Date{Time: notice}, What: "the option's notice ends: unless it is exercised before (accordo record exercise " + string(c.ID) + "), " + o.Option + " lapse" + costs, Cost: lapse, Unknown: !known})
}
