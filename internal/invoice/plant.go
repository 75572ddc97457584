package invoice

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Order says how an invoice is written, and which errors it has.
type Order struct {
	Format Format
	Grain  Grain // of aggregates; empty: by the day
	// Attempts writes FOCUS with a row per attempt and kind of token, which
	// names the attempt in a tag.
	Attempts bool
	// Apart writes what use beyond a commitment costs, and what an option
	// added to a fee, on lines of their own.
	Apart bool
	Seed  uint64
	// Plant is how many errors of each kind are planted. Where fewer lines are
	// fit for a kind, fewer are planted: what was is in the Plan. Rounding is
	// one error of the whole invoice: every right row is rounded to a
	// hundredth.
	Plant map[string]int
}

// Planted is one error of an invoice, as importing must name it.
type Planted struct {
	Kind   string       `json:"kind"`
	Place  string       `json:"place"` // as the difference's id ends
	Amount money.Amount `json:"amount"`
	Says   string       `json:"says"`
	item   *item
}

// Plan is an invoice with what is wrong in it.
type Plan struct {
	Document []byte
	Planted  []Planted
	// Total is what importing makes payable: what the lines charge, with
	// credits and taxes, but for what the books owe without the invoice.
	Total money.Amount
	// Lines counts the lines, and Roundings the amounts that were rounded down
	// to micro-units in them: the books, which round sums, may owe so many
	// micro-units more.
	Lines, Roundings int
}

// Write writes the month's invoice of t, with errors as o says. Equal
// arguments give equal bytes.
func Write(t *Truth, o Order) (*Plan, error) {
	o.Grain = cmp.Or(o.Grain, Daily)
	if o.Format == ByAttempt {
		o.Attempts = true
	}
	items, err := t.items(&o)
	if err != nil {
		return nil, err
	}
	p := &planter{truth: t, order: &o, items: items, random: o.Seed}
	for _, kind := range plantOrder {
		for range o.Plant[kind] {
			p.plant(kind)
		}
	}
	if o.Plant[Rounding] > 0 {
		p.round()
	}
	return p.write()
}

// plantOrder is the order in which errors are planted: those that need
// particular lines first.
var plantOrder = [...]string{
	MissingUsage, FeeDiffers, ShortfallDiffers, ShareDiffers, OverageDiffers, InterestDiffers, DiscountDiffers, MarketplaceDiffers, MissingCharge, WrongTier, DoubleLine, UsageDiffers, PriceDiffers, MissingLine, UnknownAttempt, UnknownCharge, LateCredit, Tax,
}

type planter struct {
	truth   *Truth
	order   *Order
	items   []*item
	random  uint64
	planted []Planted
}

// next is a pseudo-random number in [0, n), by the splitmix64 generator.
func (p *planter) next(n int) int {
	p.random += 0x9e3779b97f4a7c15
	z := p.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// pick returns a line that no error was planted in and that is fit, or nil.
func (p *planter) pick(fit func(*item) bool) *item {
	from := 0
	if len(p.items) > 0 {
		from = p.next(len(p.items))
	}
	for i := range p.items {
		if it := p.items[(from+i)%len(p.items)]; !it.changed && fit(it) {
			it.changed = true
			p.fence(it)
			return it
		}
	}
	return nil
}

// fence keeps other errors away from the aggregates of one period and model:
// two errors in them could be told apart by nobody.
func (p *planter) fence(it *item) {
	for _, x := range p.items {
		if x.kind == Use && x.attempt == "" && x.period == it.period && x.model == it.model {
			x.near = true
		}
	}
}

func (p *planter) note(kind string, it *item, amount money.Amount, format string, args ...any) {
	p.planted = append(p.planted, Planted{Kind: kind, Amount: amount, Says: fmt.Sprintf(format, args...), item: it})
}

// billed are the lines of tokens that cost something and near which nothing is
// held and no error planted.
func billed(it *item) bool {
	return it.kind == Use && it.held == nil && !it.near && it.amount() > 0
}

func (p *planter) plant(kind string) {
	switch kind {
	case MissingUsage:
		if it := p.pick(func(it *item) bool { return it.held != nil && it.held.amount() > 0 }); it != nil {
			p.note(kind, it, it.held.amount(), "billed %d tokens that the books hold as suspense", it.held.tokens.Total())
			it.tokens, it.first = it.tokens.Add(it.held.tokens), cmp.Or(it.first, it.held.first)
			for m := range it.amounts {
				it.amounts[m] += it.held.amounts[m]
			}
			it.held = nil
		}
	case WrongTier:
		p.wrongTier()
	case DoubleLine:
		if it := p.pick(billed); it != nil {
			p.double(it)
		}
	case MissingLine:
		// What is left must still show the form of the invoice.
		if it := p.pick(func(it *item) bool { return billed(it) && p.others(it) }); it != nil {
			it.omit = true
			p.note(kind, it, -it.amount(), "not billed")
		}
	case UsageDiffers:
		if it := p.pick(billed); it != nil {
			d, more := p.some(), int64(1+p.next(5000))
			it.tokens.Output += more
			it.amounts[Output] += d
			p.note(kind, it, d, "billed %d output tokens too many", more)
		}
	case PriceDiffers:
		// Beyond what rounding may do to as many rows as the line has.
		if it := p.pick(func(it *item) bool { return billed(it) && it.tokens.Output > 0 }); it != nil {
			d := Meters*RoundingLimit + p.some()
			it.amounts[Output] += d
			p.note(kind, it, d, "billed output at another price")
		}
	case MissingCharge:
		if it := p.pick(func(it *item) bool {
			return it.kind.Contractual() && it.kind != Overage && it.id() != "" && it.amount() != 0 && it.payable == 0
		}); it != nil {
			it.omit = true
			p.note(kind, it, -it.amount(), "the %s of %s is not billed", it.kind, it.id())
		}
	case FeeDiffers, ShortfallDiffers, ShareDiffers, OverageDiffers, InterestDiffers, DiscountDiffers, MarketplaceDiffers:
		if it := p.pick(func(it *item) bool { return it.kind.DiffersAs() == kind && it.id() != "" }); it != nil {
			d := p.beyondRounding()
			// A charge keeps its side: one below zero would be read as a credit.
			if a := it.amount(); a > 0 && a+d <= 0 || a < 0 && a+d >= 0 {
				d = -d
			}
			it.amounts[Input] += d
			p.note(kind, it, d, "billed another %s of %s", it.kind, it.id())
		}
	default:
		p.extra(kind)
	}
}

// others reports whether a line of tokens besides it is billed.
func (p *planter) others(it *item) bool {
	return slices.ContainsFunc(p.items, func(x *item) bool { return x != it && x.kind == Use && !x.omit && x.amount() > 0 })
}

// beyondRounding is an amount of either sign that no rounding explains.
func (p *planter) beyondRounding() money.Amount {
	d := Meters*RoundingLimit + p.some()
	if p.next(2) == 0 {
		return -d
	}
	return d
}

// some is an amount up to 3 units of the currency.
func (p *planter) some() money.Amount { return money.Amount(1 + p.next(3*money.Micro)) }

func (p *planter) wrongTier() {
	taken := map[[3]string]bool{}
	for _, it := range p.items {
		taken[[3]string{it.period, it.model, it.tier}] = true
	}
	tier := [...]string{"priority", "flex", "reserved"}[p.next(3)]
	it := p.pick(func(it *item) bool {
		return billed(it) && it.tier != "" && it.tier != tier && (it.attempt != "" || !taken[[3]string{it.period, it.model, tier}])
	})
	if it == nil {
		return
	}
	d := p.some()
	p.note(WrongTier, it, d, "billed as %s, served as %s", tier, it.tier)
	it.tier = tier
	for m := range it.amounts {
		if it.amounts[m] > 0 {
			it.amounts[m] += d
			break
		}
	}
}

func (p *planter) double(it *item) {
	it.repeat = Input
	amount := it.amount()
	if p.order.Format.focus() {
		for m := range Meter(Meters) {
			if it.amounts[m] > 0 {
				it.repeat, amount = m, it.amounts[m]
			}
		}
	}
	p.note(DoubleLine, it, amount, "billed twice")
}

// extra adds a line that bills nothing of the journal.
func (p *planter) extra(kind string) {
	number := len(p.planted)
	it := &item{at: p.truth.start(), changed: true, repeat: -1}
	it.period = PeriodOf(it.at, p.order.Grain)
	amount := p.some()
	switch kind {
	case UnknownAttempt:
		it.model, it.tokens.Output = fmt.Sprintf("unknown-model-%d", number), int64(1+p.next(9000))
		if p.order.Attempts {
			it.attempt = record.AttemptID(fmt.Sprintf("unknown-%d-%d", p.order.Seed, number))
		}
		it.amounts[Output] = amount
	case LateCredit:
		amount = -amount
		it.kind, it.text, it.amounts[Input] = Credit, "Credit for an earlier month", amount
	case Tax:
		it.kind, it.text, it.amounts[Input] = Levy, "Tax", amount
	case UnknownCharge:
		it.kind, it.text, it.amounts[Input] = Other, "Support plan", amount
	default:
		return
	}
	p.items = append(p.items, it)
	p.note(kind, it, amount, "a line that the journal knows nothing of")
}

// round rounds the rows without another error to hundredths.
func (p *planter) round() {
	const unit = money.Micro / 100
	var sum money.Amount
	for _, it := range p.items {
		if it.changed || it.kind != Use {
			continue
		}
		parts := it.amounts[:]
		if !p.order.Format.focus() {
			it.amounts = [Meters]money.Amount{Input: it.amount()}
			parts = it.amounts[:1]
		}
		for m := range parts {
			was := parts[m]
			parts[m] = (was + unit/2) / unit * unit
			sum += parts[m] - was
		}
	}
	p.note(Rounding, nil, sum, "every row is rounded to a hundredth")
	p.planted[len(p.planted)-1].Place = Rounding
}

// write writes the document and completes the places.
func (p *planter) write() (*Plan, error) {
	plan := &Plan{}
	w := newDraft(p.truth, p.order)
	places := map[*item]string{}
	for _, it := range p.items {
		if it.omit {
			places[it] = it.missingPlace()
			continue
		}
		if it.kind == Use && it.held != nil && it.first == 0 {
			continue // nothing but suspense
		}
		if it.kind == Use && it.tokens == (usage.Vector{}) && it.amount() == 0 {
			continue
		}
		plan.Lines++
		plan.Roundings += max(1, len(it.exact))
		if it.kind.Contractual() {
			plan.Roundings++
		}
		number := w.item(it)
		plan.Total += it.amount() - it.payable
		if it.repeat >= 0 {
			places[it] = strconv.Itoa(w.row(it, it.repeat))
			plan.Total += p.planted[slices.IndexFunc(p.planted, func(x Planted) bool { return x.item == it })].Amount
			continue
		}
		places[it] = strconv.Itoa(number)
	}
	for _, x := range p.planted {
		if x.item != nil {
			x.Place = places[x.item]
		}
		x.item = nil
		plan.Planted = append(plan.Planted, x)
	}
	var err error
	plan.Document, err = w.finish()
	return plan, err
}

// id is the contract, or the pool, that a line of a charge names.
func (it *item) id() string { return cmp.Or(it.pool, it.contract) }

// missingPlace is how a line that is left out is named.
func (it *item) missingPlace() string {
	switch {
	case it.kind.Contractual():
		return ChargePlace(it.kind, it.id())
	case it.attempt == "":
		return GroupPlace(it.period, it.first, it.last)
	}
	return "o" + strconv.FormatUint(it.first, 10)
}

// Found is one difference that importing found.
type Found struct {
	Kind, Place string
	Amount      money.Amount
}

// Reconcile holds what importing an invoice found against what was planted in
// it; agreed is what became payable because the books agree. It returns a
// sentence per fault: an error that was not found in its place, by its kind
// and to the micro-unit, a difference that nobody planted, and a sum that does
// not come to the invoice.
func (p *Plan) Reconcile(agreed money.Amount, found []Found) (faults []string) {
	left := slices.Clone(found)
	var rounded, planted money.Amount
	total := agreed
	for _, f := range found {
		if f.Kind == Rounding {
			rounded = f.Amount
		}
		if f.Kind != MissingLine && f.Kind != MissingCharge { // what is not billed does not become payable
			total += f.Amount
		}
	}
	left = slices.DeleteFunc(left, func(f Found) bool { return f.Kind == Rounding })
	for _, x := range p.Planted {
		if x.Kind == Rounding {
			planted = x.Amount
			continue
		}
		i := slices.Index(left, Found{x.Kind, x.Place, x.Amount})
		if i < 0 {
			faults = append(faults, fmt.Sprintf("planted and not found: %s of %s at %s (%s)", x.Kind, x.Amount, x.Place, x.Says))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, f := range left {
		faults = append(faults, fmt.Sprintf("found and not planted: %s of %s at %s", f.Kind, f.Amount, f.Place))
	}
	if total != p.Total {
		faults = append(faults, fmt.Sprintf("what agrees and the differences come to %s, the invoice to %s", total, p.Total))
	}
	if d := rounded - planted; d > money.Amount(p.Roundings) || d < -money.Amount(p.Roundings) {
		faults = append(faults, fmt.Sprintf("rounding is %s, planted were %s, and %d amounts can explain no more", rounded, planted, p.Roundings))
	}
	return faults
}
