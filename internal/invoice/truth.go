package invoice

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Charge is what one attempt costs at its provider, exactly.
type Charge struct {
	Attempt record.AttemptID
	Outcome uint64 // sequence number of its outcome
	At      int64  // of its intent, nanoseconds since 1970 UTC
	Model   string // as the provider is asked for it
	Tier    string // as the outcome states it; empty: it stated none
	Tokens  usage.Vector
	Parts   []Part
	// Paid says that the tokens themselves are paid ahead: only what goes
	// beyond is billed.
	Paid bool
	// Held says that the outcome stated no usage: the books hold the attempt
	// as suspense, and Tokens is the estimate.
	Held bool
}

// Part is what a charge comes to at one price: exactly what the tokens of each
// kind cost, in micro-units × Divisor. Parts of one price are rounded together
// within a line.
type Part struct {
	Price string
	// Beyond is the contract whose commitment the tokens go beyond, where the
	// part is what that costs on top; empty: the price of the tokens.
	Beyond  string
	Divisor int64
	Exact   [Meters]money.Wide
}

// FixedFee is what a contract's fee, another charge of one besides tokens, or
// the bill of a pool, comes to in the month.
type FixedFee struct {
	Kind     LineKind // Use, the zero value, is a fee
	Contract string
	Pool     string // of a bill by the chip-second
	Amount   money.Amount
	// Payable says that the books owe it without an invoice, such as a credit
	// that is paid ahead: importing only compares it.
	Payable bool
	// Option is the part of a fee that an exercised option added.
	Option money.Amount
}

// Truth is what a provider may bill for a month: what an invoice without an
// error says.
type Truth struct {
	Provider string
	Name     string // of the provider, for people
	Customer string
	Currency money.Currency
	Month    int32 // YYYYMM
	Charges  []Charge
	Fees     []FixedFee
}

// chargeTexts are what lines of charges say of themselves, before the contract.
var chargeTexts = map[LineKind]string{
	Fee: "Fixed fee of ", OptionFee: "Option fee of ", Shortfall: "Shortfall of ", Share: "Revenue share of ", Overage: "Overage of ",
	Interest: "Interest on the loan of ", Discount: "Volume discount of ", Marketplace: "Marketplace charges of ",
}

// DefaultTier is the tier of aggregates whose provider stated none.
const DefaultTier = "default"

// TierName is the tier by which aggregates are told apart.
func TierName(tier string) string { return cmp.Or(tier, DefaultTier) }

// priceKey names parts that are rounded together within a line.
type priceKey struct {
	price   string
	divisor int64
}

// item is a line to be: what an attempt, or an aggregate, costs.
type item struct {
	kind        LineKind
	attempt     record.AttemptID
	model, tier string
	period      string
	at          int64
	contract    string
	pool        string
	tokens      usage.Vector
	exact       map[priceKey]*[Meters]money.Wide
	amounts     [Meters]money.Amount // by kind of token; Input has that of a line without tokens
	first, last uint64               // outcomes
	text        string
	payable     money.Amount // of it, what the books owe without the invoice
	changed     bool         // an error was planted
	omit        bool         // planted: not billed
	repeat      Meter        // planted: the row that is written twice, -1 for none
	held        *item        // what of it is suspense: not billed unless that is planted
	near        bool         // an aggregate of whose period and model something is held
}

func newItem(c *Charge, period string) *item {
	return &item{attempt: c.Attempt, model: c.Model, tier: c.Tier, period: period, at: c.At, exact: map[priceKey]*[Meters]money.Wide{}, repeat: -1}
}

func (it *item) add(c *Charge) {
	for _, p := range c.Parts {
		k := priceKey{p.Price, p.Divisor}
		if it.exact[k] == nil {
			it.exact[k] = new([Meters]money.Wide)
		}
		for m := range p.Exact {
			it.exact[k][m] = it.exact[k][m].Add(p.Exact[m])
		}
	}
	it.tokens = it.tokens.Add(c.Tokens)
	if it.first == 0 {
		it.first = c.Outcome
	}
	it.first, it.last = min(it.first, c.Outcome), max(it.last, c.Outcome)
}

// rate parts the amount of the item among its kinds of token: what they come
// to up to each kind, rounded down, less what came before. So the parts come
// to the amount of the whole.
func (it *item) rate() error {
	var before money.Amount
	sums := map[priceKey]money.Wide{}
	for m := range Meter(Meters) {
		var upTo money.Amount
		for k, exact := range it.exact {
			sums[k] = sums[k].Add(exact[m])
			q, _, ok := sums[k].FloorDiv(k.divisor)
			if !ok {
				return fmt.Errorf("amount of a line of %s: %w", it.model, money.ErrRange)
			}
			upTo += money.Amount(q)
		}
		it.amounts[m], before = upTo-before, upTo
	}
	return nil
}

func (it *item) amount() (sum money.Amount) {
	for _, a := range it.amounts {
		sum += a
	}
	return sum
}

// Grain is the period of an aggregate.
type Grain string

// The grains.
const (
	Hourly  Grain = "hour"
	Daily   Grain = "day"
	Monthly Grain = "month"
)

// PeriodOf returns the period of an instant, as lines state it.
func PeriodOf(at int64, g Grain) string {
	text := time.Unix(0, at).UTC().Format(hourLayout)
	switch g {
	case Hourly:
		return text
	case Monthly:
		return text[:len(monthLayout)]
	}
	return text[:len(time.DateOnly)]
}

// GrainOf tells the grain of a period.
func GrainOf(period string) Grain {
	switch len(period) {
	case len(hourLayout):
		return Hourly
	case len(monthLayout):
		return Monthly
	}
	return Daily
}

// GroupPlace names a group of attempts that no line bills: its grain, and its
// first and last outcome.
func GroupPlace(period string, first, last uint64) string {
	return fmt.Sprintf("%c%d-%d", GrainOf(period)[0], first, last)
}

// ParsePlace reads what GroupPlace wrote.
func ParsePlace(place string) (g Grain, first, last uint64, ok bool) {
	if place == "" {
		return "", 0, 0, false
	}
	i := strings.IndexByte("hdm", place[0])
	if i < 0 {
		return "", 0, 0, false
	}
	n, err := fmt.Sscanf(place[1:], "%d-%d", &first, &last)
	return [...]Grain{Hourly, Daily, Monthly}[i], first, last, err == nil && n == 2
}

// items makes the lines of an invoice without an error, in a fixed order.
func (t *Truth) items(o *Order) ([]*item, error) {
	var list []*item
	groups := map[[3]string]*item{}
	beyond := map[string]*item{} // by contract
	for i := range t.Charges {
		c := t.beyond(&t.Charges[i], o, beyond)
		if len(c.Parts) == 0 {
			continue // all of it is beyond a credit
		}
		to := newItem(c, PeriodOf(c.At, o.Grain))
		if o.Format != ByAttempt && !o.Attempts {
			to.attempt, to.tier = "", TierName(c.Tier)
			k := [3]string{to.period, to.model, to.tier}
			if c.Held { // which tier served is unknown: it is of the first that the day has
				k[2] = ""
			}
			if groups[k] == nil {
				groups[k] = to
				list = append(list, to)
			}
			to = groups[k]
		} else {
			list = append(list, to)
		}
		if c.Held {
			if to.held == nil {
				to.held = newItem(c, to.period)
			}
			to = to.held
		}
		to.add(c)
	}
	list = join(list)
	for _, it := range list {
		if err := it.rate(); err != nil {
			return nil, err
		}
		if it.held != nil {
			if err := it.held.rate(); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(list, func(x, y *item) int {
		return cmp.Or(cmp.Compare(x.period, y.period), cmp.Compare(x.model, y.model), cmp.Compare(x.tier, y.tier))
	})
	for i := range t.Fees {
		list = append(list, t.fee(&t.Fees[i], o)...)
	}
	return t.gather(list, beyond)
}

// beyond parts a charge from what it costs beyond a commitment, where the
// invoice has lines of its own for that.
func (t *Truth) beyond(c *Charge, o *Order, to map[string]*item) *Charge {
	rest := *c
	rest.Parts = nil
	for _, p := range c.Parts {
		if p.Beyond == "" || !o.Apart && !c.Paid {
			rest.Parts = append(rest.Parts, p)
			continue
		}
		it := to[p.Beyond]
		if it == nil {
			it = &item{kind: Overage, contract: p.Beyond, at: t.start(), repeat: -1, text: "Overage of " + p.Beyond, exact: map[priceKey]*[Meters]money.Wide{}}
			to[p.Beyond] = it
		}
		one := Charge{Outcome: c.Outcome, Parts: []Part{p}}
		it.add(&one)
	}
	return &rest
}

// fee makes the lines of a fee or another charge: one, or two where the
// invoice has a line of its own for what an option added.
func (t *Truth) fee(f *FixedFee, o *Order) []*item {
	kind := f.Kind
	if kind == Use {
		kind = Fee
	}
	line := func(kind LineKind, amount money.Amount) *item {
		it := &item{kind: kind, contract: f.Contract, pool: f.Pool, at: t.start(), repeat: -1, text: chargeTexts[kind] + cmp.Or(f.Contract, f.Pool)}
		it.amounts[Input] = amount
		if f.Payable {
			it.payable = amount
		}
		return it
	}
	if !o.Apart || f.Option == 0 {
		return []*item{line(kind, f.Amount)}
	}
	if f.Option == f.Amount {
		return []*item{line(OptionFee, f.Option)}
	}
	return []*item{line(kind, f.Amount-f.Option), line(OptionFee, f.Option)}
}

// gather adds what goes beyond commitments to the charge of the contract that
// there is for it, or as one of its own.
func (t *Truth) gather(list []*item, beyond map[string]*item) ([]*item, error) {
	for _, id := range slices.Sorted(maps.Keys(beyond)) {
		it := beyond[id]
		if err := it.rate(); err != nil {
			return nil, err
		}
		it.amounts, it.tokens = [Meters]money.Amount{Input: it.amount()}, usage.Vector{}
		if i := slices.IndexFunc(list, func(x *item) bool { return x.kind == Overage && x.contract == id }); i >= 0 {
			list[i].amounts[Input] += it.amounts[Input]
			list[i].exact = it.exact
			continue
		}
		list = append(list, it)
	}
	return list, nil
}

// join gives what is held of a period and model to an aggregate that has
// tokens, so that one line bills both.
func join(list []*item) []*item {
	of, held := map[[2]string]*item{}, map[[2]string]bool{}
	for _, it := range list {
		k := [2]string{it.period, it.model}
		held[k] = held[k] || it.held != nil
		if it.attempt == "" && it.held == nil && of[k] == nil {
			of[k] = it
		}
	}
	for _, it := range list {
		it.near = it.attempt == "" && held[[2]string{it.period, it.model}]
	}
	return slices.DeleteFunc(list, func(it *item) bool {
		to := of[[2]string{it.period, it.model}]
		if it.attempt != "" || it.held == nil || to == nil || to == it {
			return false
		}
		to.held = it.held
		return true
	})
}

func (t *Truth) start() int64 {
	return time.Date(int(t.Month/100), time.Month(t.Month%100), 1, 0, 0, 0, 0, time.UTC).UnixNano()
}
