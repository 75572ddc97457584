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
	list, fixedUse, err := b.usage(w)
	if err != nil {
		return nil, err
	}
	posted := b.posted(latest, w, &list, fixedUse)
	if err := fees(latest, w, fixedUse, posted, &list); err != nil {
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
// was used for.
func (b *Books) usage(w Window) ([]charge, map[feeKey]capacityUse, error) {
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
			open := floorOf(c.contract, g.commitment) - retired[g.commitment]
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

// posted makes charges of the entries that no request is behind, and returns
// for which contracts and months the books hold the fee themselves.
func (b *Books) posted(latest *alliance.Alliance, w Window, list *[]charge, uses map[feeKey]capacityUse) map[feeKey]bool {
	known := map[feeKey]bool{}
	for _, o := range b.others {
		e := &o.entry
		from := time.Date(int(e.Period/100), time.Month(e.Period%100), 1, 0, 0, 0, 0, time.UTC)
		c := charge{from: from, until: from.AddDate(0, 1, 0), terms: latest, contract: latest.Contract(alliance.ContractID(e.Contract)), effective: e.Amount}
		switch {
		case c.contract != nil && moves(c.contract, contract.FeeAccrued, e):
			c.category, c.billed, c.effective, c.fixed = purchaseCharge, e.Amount, 0, true
			c.description = "Fixed fee of " + c.contract.Title
		case c.contract != nil && moves(c.contract, contract.CapacityLost, e):
			c.category, c.status, c.fixed = usageCharge, unused, true
			c.description = "Unused capacity of " + c.contract.Title
		case c.contract != nil && contract.Perishes(c.contract.Shape) && moves(c.contract, contract.Usage, e):
			c.category, c.status, c.fixed, c.tokens = usageCharge, used, true, e.Tokens.Total()
			c.description = "Capacity of " + c.contract.Title + " used by requests that were booked later"
		case e.Debit.Class() == contract.Expense && e.Credit.Class() == contract.Liability:
			c.category, c.billed, c.description = adjustment, e.Amount, e.Kind.String()
		case e.Debit.Class() == contract.Liability && e.Credit.Class() == contract.Expense:
			c.category, c.billed, c.effective, c.description = adjustment, -e.Amount, -e.Amount, e.Kind.String()
		default:
			continue
		}
		if c.fixed {
			c.fee = feeFrom(c.contract, from)
		}
		if c.fixed && c.status != used {
			known[feeKey{contract: e.Contract, month: from}] = true
		}
		if from.Before(w.From) || !from.Before(w.Until) {
			continue
		}
		if c.fixed && c.status == used {
			c.applied = []application{{contract: e.Contract, commitment: commitmentID(e.Contract, c.fee), cost: e.Amount, unit: capacityUnit(c.contract)}}
			uses[c.feeKey()] = uses[c.feeKey()].add(&c)
		}
		*list = append(*list, c)
	}
	return known
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

// fees accrues the fixed fees of the months that the books have not closed: a
// purchase of what has accrued, and what of it was not used.
func fees(a *alliance.Alliance, w Window, uses map[feeKey]capacityUse, posted map[feeKey]bool, list *[]charge) error {
	for i := range a.Contracts {
		c := &a.Contracts[i]
		if !contract.Perishes(c.Shape) {
			continue
		}
		for _, f := range c.Fees {
			end := cmp.Or(f.Until, c.Until).Time
			for from := later(f.From.Time, w.From); from.Before(end) && from.Before(w.Until); {
				until := earlier(month(from).AddDate(0, 1, 0), earlier(end, w.Until))
				if !posted[feeKey{contract: string(c.ID), month: month(from)}] {
					two, err := feeCharges(a, c, f, from, until, uses[feeKey{string(c.ID), f.From.String(), month(from)}])
					if err != nil {
						return err
					}
					*list = append(*list, two...)
				}
				from = until
			}
		}
	}
	return nil
}

func feeCharges(a *alliance.Alliance, c *alliance.Contract, f alliance.Fee, from, until time.Time, use capacityUse) ([]charge, error) {
	alone := *c
	alone.Fees = []alliance.Fee{f}
	before, err := contract.FeesUpTo(&alone, from)
	if err != nil {
		return nil, err
	}
	after, err := contract.FeesUpTo(&alone, until)
	if err != nil {
		return nil, err
	}
	capacity := contract.Capacity(c, from, until)
	if capacity > (1<<63-1)/contract.UseDivisor {
		return nil, fmt.Errorf("capacity of contract %s: %w", c.ID, money.ErrRange)
	}
	base := charge{from: from, until: until, terms: a, contract: c, fixed: true, fee: f.From.String()}
	bought, lost := base, base
	bought.category, bought.billed, bought.quantity = purchaseCharge, after-before, capacity*contract.UseDivisor
	bought.description = "Fixed fee of " + c.Title
	lost.category, lost.status, lost.effective, lost.quantity = usageCharge, unused, after-before-use.cost, max(0, capacity*contract.UseDivisor-use.micro)
	lost.description = "Unused capacity of " + c.Title
	if lost.effective < 0 {
		lost.note = "more was used than the fee of this time pays for at the standard rate"
	}
	if lost.effective == 0 && lost.quantity == 0 {
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
