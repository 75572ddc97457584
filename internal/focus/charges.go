package focus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Window selects charges by the start of their period: [From, Until). A zero
// From is the start of the month in which the books begin; a zero Until is
// AsOf, the instant to which fixed fees accrue. Nothing accrues after AsOf.
type Window struct{ From, Until, AsOf time.Time }

// application is what a charge retires of one commitment.
type application struct {
	contract, commitment string
	cost                 money.Amount
	quantity             Decimal
	unit                 string        // empty: a commitment of spend, which has no quantity
	balance              *money.Amount // open afterwards, nil where none is kept
}

// The values of ChargeCategory that the books give rise to.
const (
	usageCharge    = "Usage"
	purchaseCharge = "Purchase"
	adjustment     = "Adjustment"
	creditCharge   = "Credit"
)

// The values of CommitmentDiscountStatus.
const (
	used   = "Used"
	unused = "Unused"
)

// charge is one row of Cost and Usage before it is written.
type charge struct {
	category    string
	from, until time.Time
	terms       *alliance.Alliance
	contract    *alliance.Contract
	group       *group       // of a usage charge with tokens, else nil
	booked      time.Time    // begin of the month that a correction is booked in; zero: that of from
	credit      bool         // of a prepaid credit
	asset       ledger.Asset // of an entry that no request is behind; empty: the contract's
	hourly      bool         // of a commitment per hour
	beyond      *overage     // of a usage charge beyond a commitment, else nil
	billed      money.Amount
	effective   money.Amount
	status      string // Used or Unused, of a charge under a fixed fee
	fixed       bool   // under a fixed fee or a prepaid credit
	fee         string // begin of the fee's interval
	tokens      int64  // of a usage charge without a group
	quantity    int64  // micro-units of capacity used, bought or not used
	applied     []application
	description string
	note        string
}

// charges makes all charges of the window, in order.
func (b *Books) charges(latest *alliance.Alliance, w Window) ([]charge, error) {
	w = b.window(w)
	list, fixedUse, err := b.usage(latest, w)
	if err != nil {
		return nil, err
	}
	booked := b.posted(latest, w, &list, fixedUse)
	if err := fees(latest, w, fixedUse, booked, &list); err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(x, y charge) int { return x.from.Compare(y.from) })
	return list, nil
}

func (b *Books) window(w Window) Window {
	if w.From.IsZero() && b.first != 0 {
		w.From = month(time.Unix(0, b.first).UTC())
	}
	if w.Until.IsZero() || w.Until.After(w.AsOf) {
		w.Until = w.AsOf
	}
	return w
}

func month(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

// capacityUse is what one fixed fee was used for in one month.
type capacityUse struct {
	cost  money.Amount
	micro int64
}

type feeKey struct {
	contract, from string // begin of the fee's interval
	month          time.Time
}

// usage returns the charges of requests in the window, and what each fixed fee
// was used for. What a floor has open is counted from the floor in force.
func (b *Books) usage(latest *alliance.Alliance, w Window) ([]charge, map[feeKey]capacityUse, error) {
	var list []charge
	retired := map[string]money.Amount{}
	uses := map[feeKey]capacityUse{}
	for _, g := range b.sorted() {
		t, err := b.terms.Terms(g.terms)
		if err != nil {
			return nil, nil, err
		}
		from := time.Unix(0, g.hour).UTC()
		c := charge{category: usageCharge, from: from, until: from.Add(time.Hour), terms: t.Alliance(), group: g, note: g.note, effective: g.cost}
		c.contract = c.terms.Contract(alliance.ContractID(g.contract))
		if g.commitment != "" {
			retired[g.commitment] += g.commit
			open := b.moved[g.commitment] + floorOf(cmp.Or(latest.Contract(alliance.ContractID(g.contract)), c.contract), g.commitment) - retired[g.commitment]
			c.applied = append(c.applied, application{contract: g.contract, commitment: g.commitment, cost: g.commit, balance: &open})
		}
		if g.booked != 0 {
			c.booked = monthStart(g.booked)
		}
		c.credit = c.contract != nil && prepays(c.contract) && g.costCredit.Kind() == prepaidKind
		c.hourly = c.contract != nil && contract.Covers(c.contract.Shape) && g.costCredit.Kind() == clearingKind
		c.fixed = c.credit || c.hourly || c.contract != nil && contract.Perishes(c.contract.Shape) && (g.costCredit == "" || g.costCredit.Kind() == clearingKind)
		if !c.fixed {
			c.billed = c.effective
		} else if err := c.covered(); err != nil {
			return nil, nil, err
		}
		if !w.holds(&c) {
			continue
		}
		uses[c.feeKey()] = uses[c.feeKey()].add(&c)
		list = append(list, c)
	}
	return list, uses, nil
}

func (u capacityUse) add(c *charge) capacityUse {
	return capacityUse{u.cost + c.effective, u.micro + c.quantity}
}

// feeKey names the fee and month of a charge; that of a charge without a fee
// is no fee's.
func (c *charge) feeKey() feeKey {
	if !c.fixed || c.fee == "" {
		return feeKey{}
	}
	return feeKey{string(c.contract.ID), c.fee, c.period()}
}

// period is the begin of the month that the charge is billed in.
func (c *charge) period() time.Time {
	if !c.booked.IsZero() {
		return c.booked
	}
	return month(c.from)
}

// holds reports whether the charge is of the window: a correction by the month
// that it is booked in, all others by their own time.
func (w *Window) holds(c *charge) bool {
	at := c.from
	if !c.booked.IsZero() {
		at = c.booked
	}
	return !at.Before(w.From) && at.Before(w.Until)
}

func monthStart(m int32) time.Time {
	return time.Date(int(m/100), time.Month(m%100), 1, 0, 0, 0, 0, time.UTC)
}

// paysFees reports whether a contract is paid whether it is used or not.
func paysFees(c *alliance.Contract) bool {
	return contract.Perishes(c.Shape) || contract.Covers(c.Shape)
}

// spends reports whether what covers the charge is counted in money.
func (c *charge) spends() bool { return c.credit || c.hourly }

// prepays reports whether a contract's intervals are paid ahead as credit.
func prepays(c *alliance.Contract) bool { return len(contract.Legs(c, "", contract.CreditBought)) > 0 }

// covered fills what a fixed fee or a credit covers of a usage charge.
func (c *charge) covered() error {
	g := c.group
	c.status = used
	if c.spends() {
		c.quantity = int64(c.effective)
		_, c.fee, _ = strings.Cut(g.commitment, ",")
		return nil
	}
	micro, _, ok := g.used.FloorDiv(1)
	if !ok {
		return fmt.Errorf("capacity used of %s: %w", g.pool, money.ErrRange)
	}
	c.quantity = micro
	if from := ledger.FeeInterval(g.price); from != "" {
		c.fee = from
	} else if fee, ok := contract.FeeAt(c.contract, c.from); ok {
		c.fee = fee.From.String()
	}
	a := application{contract: g.contract, commitment: commitmentID(g.contract, c.fee), cost: c.effective, quantity: NewDecimal(micro, 6), unit: capacityUnit(c.contract)}
	if c.fee == "" {
		a.commitment = g.contract
	}
	c.applied = append(c.applied, a)
	return nil
}

// commitmentID names one interval of a contract as the accounts do.
func commitmentID(id, from string) string { return id + "," + from }

// floorOf returns the floor of the interval that a commitment's id names.
func floorOf(c *alliance.Contract, id string) money.Amount {
	if c == nil {
		return 0
	}
	for _, f := range c.Floors {
		if commitmentID(string(c.ID), f.From.String()) == id {
			return f.Amount
		}
	}
	if contract.Covers(c.Shape) {
		list, _ := contract.FeesOf(c) // the export of commitments reports a total beyond the range of money
		for _, f := range list {
			if commitmentID(string(c.ID), f.From.String()) == id {
				return f.Amount
			}
		}
	}
	return 0
}

// capacityUnit names what a contract's capacity is counted in, in FOCUS's
// form of units: chip-seconds where chips are reserved, else units of burn.
func capacityUnit(c *alliance.Contract) string {
	if contract.Units(c.Shape) == "CHIPSEC" {
		return "Chip-Seconds"
	}
	return "Units"
}

// The accounts of the books that tell entries apart.
const (
	clearingKind = "capacity_clearing" // where fees and bills of capacity meet its use
	payableKind  = "payable"
	prepaidKind  = "prepaid"
)

// bookedFee is what the books hold of a contract's fixed fee in one month.
type bookedFee struct{ fee, unused money.Amount }

// posted makes charges of the entries that no request is behind. What it finds
// of fixed fees it returns: those months need not be computed.
func (b *Books) posted(latest *alliance.Alliance, w Window, list *[]charge, uses map[feeKey]capacityUse) map[feeKey]*bookedFee {
	booked := map[feeKey]*bookedFee{}
	bought := map[string]bool{}
	over := overages{books: b, by: map[overageKey]*charge{}}
	for i := range b.others {
		e := &b.others[i]
		c := charge{category: adjustment, from: monthStart(e.Period), terms: latest, asset: e.Asset, contract: latest.Contract(alliance.ContractID(e.Contract))}
		if m := e.Corrects(); m != 0 {
			c.from, c.booked = monthStart(m), c.from
		}
		c.until = c.from.AddDate(0, 1, 0)
		if c.contract != nil && paysFees(c.contract) && ofFee(e) {
			k := feeKey{contract: e.Contract, month: c.from}
			booked[k] = booked[k].add(e)
			continue
		}
		if e.Kind == ledger.Prepayment {
			bought[e.Debit.Ref()] = true
		}
		if !c.entry(e) || !w.holds(&c) || e.Kind == ledger.Surcharge && over.add(c, e) {
			continue
		}
		if c.fixed && c.status == used {
			uses[c.feeKey()] = uses[c.feeKey()].add(&c)
		}
		*list = append(*list, c)
	}
	*list = append(*list, over.charges()...)
	b.prepaid(latest, w, bought, list)
	return booked
}

// ofFee reports whether an entry is part of a month's fixed fee: the fee, what
// late delivery takes off it while the month is open, and what was not used.
func ofFee(e *ledger.Entry) bool {
	return e.Kind == ledger.Fee || e.Kind == ledger.Unused || e.Kind == ledger.LateDelivery && e.Credit.Kind() == clearingKind
}

func (f *bookedFee) add(e *ledger.Entry) *bookedFee {
	if f == nil {
		f = &bookedFee{}
	}
	switch e.Kind {
	case ledger.Fee:
		return &bookedFee{f.fee + e.Amount, f.unused}
	case ledger.LateDelivery:
		return &bookedFee{f.fee - e.Amount, f.unused}
	}
	return &bookedFee{f.fee, f.unused + e.Amount}
}

// entry fills a charge from an entry, and reports whether it is one: what only
// moves between debts, or is no charge of a provider, is not.
func (c *charge) entry(e *ledger.Entry) bool {
	c.billed, c.effective, c.description = e.Amount, e.Amount, "Booked as "+e.Kind.String()
	switch e.Kind {
	case ledger.Cost:
		if e.Credit.Kind() == clearingKind && c.contract != nil && paysFees(c.contract) || c.contract != nil && prepays(c.contract) && e.Credit.Kind() == prepaidKind {
			c.late(e)
		}
		return true
	case ledger.Marketplace:
		c.description = "Marketplace charge under " + c.title()
		return e.Asset.IsCurrency() && !e.Asset.IsCommitment()
	case ledger.Discount:
		c.billed, c.effective, c.description = -e.Amount, -e.Amount, "Discount by the height of the floor of "+c.title()
		return true
	case ledger.Surcharge:
		c.description = fmt.Sprintf("Overage of %s: %d tokens at %s, above the contract's price", c.title(), e.Tokens.Total(), e.Price)
		return true
	case ledger.Unused:
		c.description = "What the bill of a pool differs by from its requests"
		return true
	case ledger.Shortfall:
		c.description = "Shortfall of a floor"
		return true
	case ledger.LateDelivery:
		c.category, c.billed, c.effective = creditCharge, -e.Amount, -e.Amount
		c.description = "Late-delivery credit"
		return true
	case ledger.Difference: // accepted, or an expense that was taken back
		if charged(e.Credit) {
			c.billed, c.effective = -e.Amount, -e.Amount
		}
		c.description = "Difference of an invoice that was accepted"
		return charged(e.Debit) || charged(e.Credit)
	}
	if c.contract == nil || !prepays(c.contract) {
		return false
	}
	if e.Kind == ledger.Fee && e.Credit.Kind() != prepaidKind {
		c.description = "Fixed fee of " + c.contract.Title
		return true
	}
	c.fixed, c.credit, c.quantity = true, true, int64(e.Amount)
	switch e.Kind {
	case ledger.Fee:
		c.late(e)
		c.description = "Fixed fee of " + c.contract.Title + ", drawn on its credit"
		return true
	case ledger.Prepayment, ledger.Overage:
		_, c.fee, _ = strings.Cut(e.Debit.Ref(), ",")
		c.category, c.effective, c.description = purchaseCharge, 0, "Credit of "+c.contract.Title
		if e.Kind == ledger.Overage {
			c.description = "Use beyond the credit of " + c.contract.Title
		}
		return true
	case ledger.Forfeiture:
		_, c.fee, _ = strings.Cut(e.Credit.Ref(), ",")
		c.category, c.status, c.billed, c.description = usageCharge, unused, 0, "Credit of "+c.contract.Title+" that expired"
		return true
	}
	return false
}

// charged reports whether an account is what a charge ends on: an expense, or
// the position of another currency that stands for one.
func charged(a ledger.AccountID) bool {
	return a.Class() == contract.Expense || a.Class() == contract.Equity
}

func (c *charge) title() string {
	if c.contract == nil {
		return "a contract"
	}
	return c.contract.Title
}

// late is use of what was paid ahead by a request that was booked later.
func (c *charge) late(e *ledger.Entry) {
	c.category, c.status, c.fixed, c.tokens, c.billed = usageCharge, used, true, max(0, e.Tokens.Total()), 0
	c.description = "Use of " + c.contract.Title + " by a request that was booked later"
	a := application{contract: e.Contract, cost: e.Amount}
	if c.hourly = contract.Covers(c.contract.Shape); c.hourly {
		if r, _, ok := contract.HourAt(c.contract, time.Unix(0, e.From)); ok {
			c.fee = r.From.String()
		}
		c.quantity = int64(e.Amount)
	} else if c.credit = prepays(c.contract); c.credit {
		_, c.fee, _ = strings.Cut(e.Credit.Ref(), ",")
		c.quantity = int64(e.Amount)
	} else {
		c.fee, a.unit = feeFrom(c.contract, c.from), capacityUnit(c.contract)
	}
	a.commitment = commitmentID(e.Contract, c.fee)
	c.applied = []application{a}
}

// prepaid makes the purchases of credits whose first month is not closed. A
// credit that had begun when the books did is bought in their first month.
func (b *Books) prepaid(a *alliance.Alliance, w Window, bought map[string]bool, list *[]charge) {
	if b.first == 0 {
		return
	}
	for i := range a.Contracts {
		c := &a.Contracts[i]
		if !prepays(c) {
			continue
		}
		for _, f := range c.Floors {
			from := later(f.From.Time, month(time.Unix(0, b.first).UTC()))
			end := cmp.Or(f.Until, c.Until).Time
			if bought[commitmentID(string(c.ID), f.From.String())] || !from.Before(end) {
				continue
			}
			x := charge{
				category: purchaseCharge, from: from, until: end, terms: a, contract: c, billed: f.Amount, fixed: true, credit: true,
				fee: f.From.String(), quantity: int64(f.Amount), description: "Credit of " + c.Title,
			}
			if w.holds(&x) {
				*list = append(*list, x)
			}
		}
	}
}
