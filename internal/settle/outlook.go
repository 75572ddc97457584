package settle

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Outlook is how one contract stands at an instant, and what is to come.
type Outlook struct {
	Contract alliance.ContractID `json:"contract"`
	Title    string              `json:"title"`
	Provider alliance.PartyID    `json:"provider"`
	Shape    alliance.Shape      `json:"shape"`
	Currency money.Currency      `json:"currency"` // of all its amounts
	Says     string              `json:"says"`
	At       time.Time           `json:"at"`
	// Interval is the floor's or the credit's interval in force, if any.
	Interval *IntervalOutlook `json:"interval,omitempty"`
	// FeesAccrued is the part of the fixed fees whose time has passed since the
	// first month in the books, FeesSinceStart since the contract's start.
	FeesAccrued    money.Amount `json:"fees_accrued"`
	FeesSinceStart money.Amount `json:"fees_since_contract_start"`
	// FeesAbated is what late delivery takes off them.
	FeesAbated money.Amount `json:"fees_abated,omitempty"`
	// Share is how a revenue share stands, if there is one.
	Share *ShareOutlook `json:"revenue_share,omitempty"`
	// Capacity is what is contracted and can be used by the ramp, if there is one.
	Capacity *CapacityOutlook `json:"capacity,omitempty"`
	// Option is what the contract's option brings while nobody exercised it.
	Option string `json:"option,omitempty"`
	// Exercised is the day on which a fact exercised it, and what that brought.
	Exercised string     `json:"exercised,omitempty"`
	Dates     []NextDate `json:"dates"`
	// Clauses tell the contract's clauses in words.
	Clauses []contract.Clause `json:"clauses"`
}

// IntervalOutlook is the burn-down of one interval.
type IntervalOutlook struct {
	From     alliance.Date `json:"from"`
	Until    alliance.Date `json:"until"`
	Promised money.Amount  `json:"promised"`
	Used     money.Amount  `json:"used"`
	Open     money.Amount  `json:"open"`
	// Lapsed is what hours that are over left of their commitments.
	Lapsed money.Amount `json:"lapsed,omitempty"`
	// Forecast is the use at the interval's end at the pace of the last month
	// (contract.PaceFrom), by which closes foresee it, too; Low and High are the
	// least and the most at the paces of the last 7 days, the last month and the
	// interval so far.
	Forecast money.Amount `json:"forecast"`
	Low      money.Amount `json:"low"`
	High     money.Amount `json:"high"`
	// LostForecast is the shortfall or forfeiture at Forecast, less credits that
	// rolled over and what will roll over.
	LostForecast money.Amount `json:"lost_forecast"`
	LostMost     money.Amount `json:"lost_most"` // at Low
	// Beyond says what usage beyond the promise costs, empty where nothing was
	// agreed: the contract's price.
	Beyond string `json:"beyond,omitempty"`
	// LostAccrued is what the last close accrued of the shortfall that was
	// likely then.
	LostAccrued money.Amount `json:"lost_accrued,omitempty"`
}

// NextDate is a day on which something about a contract is decided.
type NextDate struct {
	On   alliance.Date `json:"on"`
	What string        `json:"what"`
	// Cost is what is lost on that day if nothing more happens until then.
	Cost money.Amount `json:"cost"`
	// Unknown says that something is lost, and that nobody can tell how much.
	Unknown bool `json:"unknown,omitempty"`
}

const day = 24 * time.Hour

// shortPace is how far back the pace of the last days goes.
const shortPace = 7 * day

// MakeOutlook reads how a contract stands at an instant from the books.
func MakeOutlook(ctx context.Context, books Reader, t *ledger.Terms, id string, at time.Time) (*Outlook, error) {
	a := t.Alliance()
	i := slices.IndexFunc(a.Contracts, func(c alliance.Contract) bool { return string(c.ID) == id })
	if i < 0 {
		return nil, fmt.Errorf("there is no contract %s in the terms: accordo contracts lists them", id)
	}
	c := &a.Contracts[i]
	o := &Outlook{Contract: c.ID, Title: c.Title, Provider: c.Provider, Shape: c.Shape, Currency: a.CurrencyOf(c), Says: contract.Says(c.Shape), At: at.UTC(), Dates: []NextDate{}, Clauses: contract.Clauses(c, a.CurrencyOf(c))}
	if err := o.fees(ctx, books, string(a.Operator), c, at); err != nil {
		return nil, err
	}
	if err := o.delivered(c, at); err != nil {
		return nil, err
	}
	if f, ok := contract.FloorAt(c, at); ok && contract.HasFloor(c.Shape) {
		v, err := interval(ctx, books, a, c, f, at)
		if err != nil {
			return nil, err
		}
		o.Interval = v
		o.Dates = append(o.Dates, NextDate{On: f.Until, What: "the interval ends: what is open is lost", Cost: max(0, o.Interval.Open)})
	}
	if err := o.hourly(ctx, books, string(a.Operator), c, at); err != nil {
		return nil, err
	}
	if err := o.credits(ctx, books, string(a.Operator), c, at); err != nil {
		return nil, err
	}
	if err := o.share(ctx, books, string(a.Operator), c, at); err != nil {
		return nil, err
	}
	if f, ok := contract.FeeAt(c, at); ok && contract.Perishes(c.Shape) {
		o.Dates = append(o.Dates, NextDate{On: f.Until, What: "the fee's interval ends: capacity that is not used until then is paid all the same", Cost: f.Amount})
	}
	o.option(c, at)
	for _, s := range c.Ramp {
		if s.From.After(at) {
			o.Dates = append(o.Dates, NextDate{On: s.From, What: "the ramp steps to " + contract.StepSize(&s)})
			break
		}
	}
	if !c.Until.IsZero() && c.Until.After(at) {
		o.Dates = append(o.Dates, NextDate{On: c.Until, What: "the contract ends"})
	}
	slices.SortStableFunc(o.Dates, func(x, y NextDate) int { return x.On.Compare(y.On.Time) })
	return o, nil
}

// fees fills in what of the fixed fees has accrued.
func (o *Outlook) fees(ctx context.Context, books Reader, operator string, c *alliance.Contract, at time.Time) (err error) {
	if o.FeesSinceStart, err = contract.FeesUpTo(c, at); err != nil || o.FeesSinceStart == 0 {
		return err
	}
	periods, err := books.Periods(ctx, operator+"/")
	if err != nil {
		return err
	}
	first := ledger.FirstMonth(func(yield func(ledger.AccountID, int32) bool) {
		for i := range periods {
			if !yield(periods[i].Account, periods[i].Period) {
				return
			}
		}
	})
	if first == 0 {
		return nil
	}
	o.FeesAccrued, err = contract.FeesBetween(c, time.Date(int(first/100), time.Month(first%100), 1, 0, 0, 0, 0, time.UTC), at)
	return err
}

// interval reads how an interval's floor stands, with what facts changed of it.
func interval(ctx context.Context, books Reader, a *alliance.Alliance, c *alliance.Contract, f alliance.Floor, at time.Time) (*IntervalOutlook, error) {
	account := func(of contract.Account) ledger.AccountID {
		return ledger.NewAccount(string(a.Operator), of.Class, of.Kind, string(c.ID), f.From.String())
	}
	var accrued money.Amount
	read := func(of contract.Account, to *money.Amount) error {
		n, err := books.BalanceAt(ctx, account(of), at.UnixNano())
		*to -= n
		return err
	}
	for _, leg := range contract.Legs(c, "", contract.FloorRaised) {
		if err := read(leg.Credit, &f.Amount); err != nil {
			return nil, err
		}
	}
	for _, leg := range contract.Legs(c, "", contract.FloorCut) {
		if err := read(leg.Debit, &f.Amount); err != nil {
			return nil, err
		}
	}
	for _, leg := range contract.Legs(c, "", contract.MissExpected) {
		if err := read(leg.Credit, &accrued); err != nil {
			return nil, err
		}
	}
	for _, leg := range contract.Legs(c, "", contract.Usage) {
		if leg.Basis == contract.AtCommitment {
			v, err := burnDown(ctx, books, account(leg.Debit), &f, at)
			if err == nil {
				var credits money.Amount
				if credits, err = creditsFor(ctx, books, string(a.Operator), c, &f, at); err != nil {
					return nil, err
				}
				v.LostForecast = contract.LikelyShortfall(c, f.Amount, v.Forecast, credits)
				v.LostMost = contract.LikelyShortfall(c, f.Amount, v.Low, credits)
				v.LostAccrued = accrued
				if c.Overage != nil {
					v.Beyond = c.Overage.At
				}
			}
			return v, err
		}
	}
	return nil, fmt.Errorf("contract %s has a floor that nothing retires", c.ID)
}

// burnDown reads the use of an interval at the instant and at those from
// which the pace is taken.
func burnDown(ctx context.Context, books Reader, used ledger.AccountID, f *alliance.Floor, at time.Time) (*IntervalOutlook, error) {
	now, err := books.BalanceAt(ctx, used, at.UnixNano())
	if err != nil {
		return nil, err
	}
	v := &IntervalOutlook{From: f.From, Until: f.Until, Promised: f.Amount, Used: now, Open: f.Amount - now}
	rest := f.Until.Sub(at)
	v.Low, v.High = contract.Forecast(now, now, at.Sub(f.From.Time), rest), 0
	v.Forecast, v.High = v.Low, v.Low
	for i, from := range [...]time.Time{contract.PaceFrom(f, at), at.Add(-shortPace)} {
		if !from.After(f.From.Time) {
			continue
		}
		then, err := books.BalanceAt(ctx, used, from.UnixNano())
		if err != nil {
			return nil, err
		}
		end := contract.Forecast(now, now-then, at.Sub(from), rest)
		if v.Low, v.High = min(v.Low, end), max(v.High, end); i == 0 {
			v.Forecast = end
		}
	}
	v.LostForecast, v.LostMost = contract.Shortfall(f.Amount, v.Forecast), contract.Shortfall(f.Amount, v.Low)
	return v, nil
}

// creditsFor is what rolled over from earlier intervals and holds until the
// end of one.
func creditsFor(ctx context.Context, books Reader, operator string, c *alliance.Contract, f *alliance.Floor, at time.Time) (sum money.Amount, err error) {
	for i := range c.Floors {
		earlier := &c.Floors[i]
		if c.Rollover == nil || !earlier.From.Before(f.From.Time) || contract.RolloverEnds(c, earlier).Before(f.Until.Time) {
			continue
		}
		left, err := books.BalanceAt(ctx, ledger.NewAccount(operator, contract.Asset, "rollover_credit", string(c.ID), earlier.From.String()), at.UnixNano())
		if err != nil {
			return 0, err
		}
		sum += left
	}
	return sum, nil
}

// credits lists what rolled over and when it is forfeited.
func (o *Outlook) credits(ctx context.Context, books Reader, operator string, c *alliance.Contract, at time.Time) error {
	if c.Rollover == nil {
		return nil
	}
	for i := range c.Floors {
		f := &c.Floors[i]
		ends := contract.RolloverEnds(c, f)
		if !ends.After(at) {
			continue
		}
		left, err := books.BalanceAt(ctx, ledger.NewAccount(operator, contract.Asset, "rollover_credit", string(c.ID), f.From.String()), at.UnixNano())
		if err != nil {
			return err
		}
		if left > 0 {
			o.Dates = append(o.Dates, NextDate{On: alliance.Date{Time: ends}, What: "what rolled over from " + f.From.String() + " is forfeited", Cost: left})
		}
	}
	return nil
}

// WriteOutlook writes an outlook for people.
func WriteOutlook(w io.Writer, o *Outlook) error {
	fmt.Fprintf(w, "%s: %s, with %s\n%s\nat %s, in %s\n\n", o.Contract, o.Title, o.Provider, o.Says, o.At.Format(time.RFC3339), o.Currency)
	err := table(w, func(line func(...any)) {
		if v := o.Interval; v != nil {
			line("interval", v.From.String()+" to "+v.Until.String())
			line("promised", v.Promised)
			line("used", v.Used)
			line("open", v.Open)
			if v.Beyond != "" {
				line("beyond it", v.Beyond)
			}
			if v.Lapsed > 0 {
				line("lapsed with its hours", v.Lapsed)
			}
			line("forecast of its end", fmt.Sprintf("%s (%s to %s, by the pace of 7 days, a month and the interval)", v.Forecast, v.Low, v.High))
			line("lost at its end", fmt.Sprintf("%s, at most %s", v.LostForecast, v.LostMost))
			if v.LostAccrued != 0 {
				line("of it accrued by the last close", v.LostAccrued)
			}
		}
		if o.FeesSinceStart > 0 {
			line("fees accrued since the first month in the books", o.FeesAccrued)
			line("fees since the contract's start", o.FeesSinceStart)
		}
		if o.Option != "" {
			line("its option brings", o.Option)
		}
		if o.Exercised != "" {
			line("its option was exercised", o.Exercised)
		}
		if o.FeesAbated > 0 {
			line("less for late delivery", o.FeesAbated)
		}
		if v := o.Share; v != nil {
			line("revenue share", v.Says)
			line("shared so far", v.Used)
			if v.Cap != nil {
				line("left of its cap", *v.Left)
			}
		}
		if v := o.Capacity; v != nil && v.Usable < v.Contracted {
			line("delivered", fmt.Sprintf("%d of %d %s", v.Usable, v.Contracted, v.Unit))
		}
	})
	if err != nil {
		return err
	}
	if len(o.Dates) > 0 {
		fmt.Fprintln(w)
		err = table(w, func(line func(...any)) {
			line("NEXT DATE", "WHAT", "COSTS IF NOTHING HAPPENS")
			for _, d := range o.Dates {
				if d.Unknown {
					line(d.On, d.What, "not known")
				} else {
					line(d.On, d.What, d.Cost)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return writeClauses(w, o.Clauses)
}

// writeClauses tells each clause in its sentence, and what is assumed.
func writeClauses(w io.Writer, clauses []contract.Clause) error {
	fmt.Fprintln(w)
	return table(w, func(line func(...any)) {
		line("CLAUSE", "SAYS")
		for _, c := range clauses {
			says := c.Says
			if c.Assumed {
				says += " (assumed)"
			}
			line(c.Name, says)
		}
	})
}
