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
	group       *group // of a usage charge with tokens, else nil
	billed      money.Amount
	effective   money.Amount
	status      string // Used or Unused, of a charge under a fixed fee
	fixed       bool   // under a fixed fee
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
			open := floorOf(cmp.Or(latest.Contract(alliance.ContractID(g.contract)), c.contract), g.commitment) - retired[g.commitment]
			c.applied = append(c.applied, application{contract: g.contract, commitment: g.commitment, cost: g.commit, balance: &open})
		}
		c.fixed = c.contract != nil && contract.Perishes(c.contract.Shape)
		if !c.fixed {
			c.billed = c.effective
		} else if err := c.covered(); err != nil {
			return nil, nil, err
		}
		if from.Before(w.From) || !from.Before(w.Until) {
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
	return feeKey{string(c.contract.ID), c.fee, month(c.from)}
}

// covered fills what a fixed fee covers of a usage charge.
func (c *charge) covered() error {
	g := c.group
	c.status = used
	micro, _, ok := g.used.FloorDiv(1)
	if !ok {
		return fmt.Errorf("capacity used of %s: %w", g.pool, money.ErrRange)
	}
	c.quantity = micro
	if _, from, ok := strings.Cut(g.price, "@"); ok {
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

// moves reports whether an entry is what an event moves under c.
func moves(c *alliance.Contract, ev contract.Event, e *ledger.Entry) bool {
	for _, leg := range contract.Legs(c, "", ev) {
		if e.Debit.Kind() == leg.Debit.Kind && e.Credit.Kind() == leg.Credit.Kind && e.Debit.Class() == leg.Debit.Class {
			return true
		}
	}
	return false
}

// clearingKind is the account on which fees and bills of capacity meet its use.
const clearingKind = "capacity_clearing"

// bookedFee is what the books hold of a contract's fixed fee in one month.
type bookedFee struct{ fee, unused money.Amount }

// posted makes charges of the entries that no request is behind. What it finds
// of fixed fees it returns: those months need not be computed.
func (b *Books) posted(latest *alliance.Alliance, w Window, list *[]charge, uses map[feeKey]capacityUse) map[feeKey]*bookedFee {
	booked := map[feeKey]*bookedFee{}
	for _, o := range b.others {
		e := &o.entry
		from := time.Date(int(e.Period/100), time.Month(e.Period%100), 1, 0, 0, 0, 0, time.UTC)
		c := charge{category: adjustment, from: from, until: from.AddDate(0, 1, 0), terms: latest, contract: latest.Contract(alliance.ContractID(e.Contract))}
		c.billed, c.effective, c.description = e.Amount, e.Amount, "Booked as "+e.Kind.String()
		k := feeKey{contract: e.Contract, month: from}
		switch fixed := c.contract != nil && contract.Perishes(c.contract.Shape); {
		case fixed && moves(c.contract, contract.FeeAccrued, e):
			booked[k] = booked[k].add(e.Amount, 0)
			continue
		case fixed && moves(c.contract, contract.CapacityLost, e):
			booked[k] = booked[k].add(0, e.Amount)
			continue
		case fixed && moves(c.contract, contract.Usage, e):
			c.category, c.status, c.fixed, c.tokens, c.billed = usageCharge, used, true, e.Tokens.Total(), 0
			c.description = "Capacity of " + c.contract.Title + " used by requests that were booked later"
			c.fee = feeFrom(c.contract, from)
			c.applied = []application{{contract: e.Contract, commitment: commitmentID(e.Contract, c.fee), cost: e.Amount, unit: capacityUnit(c.contract)}}
		case e.Debit.Class() == contract.Expense && e.Credit.Kind() == clearingKind:
			c.description = "What the bill of a pool differs by from its requests"
		case e.Debit.Class() == contract.Expense && e.Credit.Class() == contract.Liability:
		case e.Debit.Class() == contract.Liability && e.Credit.Class() == contract.Expense:
			c.billed, c.effective = -e.Amount, -e.Amount
		default: // moves within what is owed, payments, credits that roll over
			continue
		}
		if from.Before(w.From) || !from.Before(w.Until) {
			continue
		}
		if c.fixed {
			uses[c.feeKey()] = uses[c.feeKey()].add(&c)
		}
		*list = append(*list, c)
	}
	return booked
}

func (f *bookedFee) add(fee, unused money.Amount) *bookedFee {
	if f == nil {
		f = &bookedFee{}
	}
	return &bookedFee{f.fee + fee, f.unused + unused}
}

func feeFrom(c *alliance.Contract, at time.Time) string {
	if fee, ok := contract.FeeAt(c, at); ok {
		return fee.From.String()
	}
	if len(c.Fees) > 0 {
		return c.Fees[0].From.String()
	}
	return c.From.String()
}

// fees makes, for each month of each fixed fee, a purchase and what of it was
// not used: as booked where the books have closed the month, else what has
// accrued. A booked month belongs to the window that holds its beginning.
func fees(a *alliance.Alliance, w Window, uses map[feeKey]capacityUse, booked map[feeKey]*bookedFee, list *[]charge) error {
	done := map[feeKey]bool{}
	for i := range a.Contracts {
		c := &a.Contracts[i]
		if !contract.Perishes(c.Shape) {
			continue
		}
		for _, f := range c.Fees {
			end := cmp.Or(f.Until, c.Until).Time
			for from := later(f.From.Time, w.From); from.Before(end) && from.Before(w.Until); {
				next := earlier(month(from).AddDate(0, 1, 0), end)
				k := feeKey{contract: string(c.ID), month: month(from)}
				p := feePart{a: a, c: c, f: f, from: from, until: earlier(next, w.Until), use: uses[feeKey{string(c.ID), f.From.String(), month(from)}]}
				if p.booked = booked[k]; p.booked != nil {
					p.until = next
				}
				// Of a booked month one part stands for all.
				if p.booked == nil || !done[k] && from.Equal(later(f.From.Time, month(from))) {
					done[k] = true
					two, err := p.charges()
					if err != nil {
						return err
					}
					*list = append(*list, two...)
				}
				from = next
			}
		}
	}
	return nil
}

// feePart is a fixed fee within one month.
type feePart struct {
	a           *alliance.Alliance
	c           *alliance.Contract
	f           alliance.Fee
	from, until time.Time
	use         capacityUse
	booked      *bookedFee
}

// amounts returns what was bought and what of it was not used.
func (p *feePart) amounts() (bought, lost money.Amount, err error) {
	if p.booked != nil {
		return p.booked.fee, p.booked.unused, nil
	}
	alone := *p.c
	alone.Fees = []alliance.Fee{p.f}
	before, err := contract.FeesUpTo(&alone, p.from)
	if err != nil {
		return 0, 0, err
	}
	after, err := contract.FeesUpTo(&alone, p.until)
	return after - before, after - before - p.use.cost, err
}

func (p *feePart) charges() ([]charge, error) {
	fee, rest, err := p.amounts()
	if err != nil {
		return nil, err
	}
	capacity := contract.Capacity(p.c, p.from, p.until)
	if capacity > (1<<63-1)/contract.UseDivisor {
		return nil, fmt.Errorf("capacity of contract %s: %w", p.c.ID, money.ErrRange)
	}
	base := charge{from: p.from, until: p.until, terms: p.a, contract: p.c, fixed: true, fee: p.f.From.String()}
	bought, lost := base, base
	bought.category, bought.billed, bought.quantity = purchaseCharge, fee, capacity*contract.UseDivisor
	bought.description = "Fixed fee of " + p.c.Title
	lost.category, lost.status, lost.effective, lost.quantity = usageCharge, unused, rest, max(0, capacity*contract.UseDivisor-p.use.micro)
	lost.description = "Unused capacity of " + p.c.Title
	if rest < 0 {
		lost.note = "more was used than the fee of this time pays for at the standard rate"
	}
	if rest == 0 && lost.quantity == 0 {
		return []charge{bought}, nil
	}
	return []charge{bought, lost}, nil
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

func earlier(x, y time.Time) time.Time {
	if x.Before(y) {
		return x
	}
	return y
}
