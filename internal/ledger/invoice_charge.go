package ledger

import (
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// expect finds the charges of the month, once.
func (im *importer) expect() (err error) {
	if im.found {
		return nil
	}
	im.found = true
	if im.in.Rules < 1 {
		im.expected, err = im.b.fees(im.terms, im.in.Provider, im.in.Month, im.provided.asset)
		return err
	}
	im.expected, err = im.b.charges(im.terms, im.in.Provider, im.in.Month, im.provided.asset)
	return err
}

// apartBeyond takes what use beyond a commitment costs out of the attempts
// where the invoice has a line of its own for it, or where nothing else of
// them is billed, and makes it part of the contract's charge.
func (im *importer) apartBeyond() error {
	if im.in.Rules < 1 {
		return nil
	}
	if err := im.expect(); err != nil {
		return err
	}
	im.apartOptions()
	lines := im.named(invoice.Overage)
	for _, a := range im.order {
		paid := a.owed() == nil
		if paid && im.b.writtenOffCharges[missedCharge{invoice.ChargePlace(invoice.Overage, a.contract), im.in.Month}] {
			continue
		}
		if !a.month || len(a.surcharges(a.past)) == 0 || !paid && a.before {
			continue
		}
		billed := im.before[chargeName(invoice.Overage, a.contract, "")]
		if !paid && !billed && !lines[a.contract] && !lines[""] {
			continue
		}
		a.apart, a.past = a.past, usage.Vector{}
		c := im.chargeWith(invoice.Overage, a.contract)
		c.attempts = append(c.attempts, a)
	}
	return nil
}

// named are the contracts that lines of a kind name; "" where a line names
// none that is known.
func (im *importer) named(kind invoice.LineKind) map[string]bool {
	names := map[string]bool{}
	for i := range im.invoice.Lines {
		if l := &im.invoice.Lines[i]; l.Kind == kind {
			id := l.Contract
			if im.terms.contracts[alliance.ContractID(id)] == nil {
				id = ""
			}
			names[id] = true
		}
	}
	return names
}

// apartOptions parts the fees of whose option the invoice has a line.
func (im *importer) apartOptions() {
	lines := im.named(invoice.OptionFee)
	for i := range im.expected {
		c := &im.expected[i]
		if c.option == 0 || !lines[c.contract] && !lines[""] {
			continue
		}
		if c.option == c.amount {
			c.kind = invoice.OptionFee
			continue
		}
		option := *c
		option.kind, option.amount = invoice.OptionFee, c.option
		c.amount -= c.option
		im.expected = append(im.expected, option)
	}
}

// chargeWith returns the charge of a contract, made of nothing where the books
// have none.
func (im *importer) chargeWith(kind invoice.LineKind, id string) *charge {
	i := slices.IndexFunc(im.expected, func(c charge) bool { return c.kind == kind && c.contract == id && c.pool == "" })
	if i < 0 {
		im.expected = append(im.expected, charge{kind: kind, contract: id, on: im.terms.held(im.account("accrued"), im.provided.asset), moves: true})
		i = len(im.expected) - 1
	}
	return &im.expected[i]
}

// charge matches a line of a fee, or of another charge of a contract.
func (im *importer) charge(l *invoice.Line, place string) error {
	if im.gathered[l.Number] {
		return nil // it is part of the charge that an earlier line began
	}
	if err := im.expect(); err != nil {
		return err
	}
	name := billedName(l)
	again := im.before[name]
	c := im.chargeOf(l)
	if c != nil && im.in.Rules >= 1 {
		again = again || im.before[c.name()]
	}
	if !l.Kind.Gathers() {
		im.before[name] = true
	}
	switch {
	case c == nil:
		return im.differ(UnknownCharge, place, *l.Amount, evidenceOf(nil))
	case again || c.taken || l.Again:
		return im.differ(DoubleLine, place, *l.Amount, im.contractEvidence(c))
	case c.undecided:
		return refuse("line %d bills the %s of %s, which the close of the month decides: accordo close %04d-%02d first", l.Number, c.kind, c.contract, im.in.Month/100, im.in.Month%100)
	}
	c.taken = true
	amount, rows := im.gather(l)
	booked := c.booked()
	d := amount - booked
	im.claimed += amount
	im.settled += c.amount
	if c.moves {
		im.pay(c)
	}
	for _, a := range c.attempts {
		for _, s := range a.surcharges(a.apart) {
			im.takePart(a, &s)
		}
	}
	if d == 0 || len(c.attempts) > 0 && max(d, -d) <= money.Amount(invoice.RoundingLimit*rows) {
		return nil
	}
	im.apart += d
	return im.differ(l.Kind.DiffersAs(), place, d, im.contractEvidence(c))
}

// gather adds up the lines that are one charge with l, and how many rows they
// are. A line that says the same as one before is left out: it is double.
func (im *importer) gather(l *invoice.Line) (sum money.Amount, rows int) {
	sum, rows = *l.Amount, max(1, len(l.Rows))
	if !l.Kind.Gathers() || im.in.Rules < 1 {
		return sum, rows
	}
	type said struct {
		amount                    money.Amount
		text, period, model, tier string
	}
	of := func(l *invoice.Line) said { return said{*l.Amount, l.Text, l.Period, l.Model, l.Tier} }
	seen := map[said]bool{of(l): true}
	for i := range im.invoice.Lines {
		x := &im.invoice.Lines[i]
		if x.Number <= l.Number || x.Kind != l.Kind || x.Contract != l.Contract || x.Again || seen[of(x)] {
			continue
		}
		seen[of(x)] = true
		if im.gathered == nil {
			im.gathered = map[int]bool{}
		}
		im.gathered[x.Number] = true
		sum += *x.Amount
		rows += max(1, len(x.Rows))
	}
	return sum, rows
}

// chargeOf finds the charge that a line bills: that of its pool or contract;
// where it names neither, the only one of its kind there is, or the only one
// of its amount. A contract that has no such charge has one of nothing.
func (im *importer) chargeOf(l *invoice.Line) *charge {
	match := func(fit func(c *charge) bool) *charge {
		var found *charge
		for i := range im.expected {
			if c := &im.expected[i]; c.kind == l.Kind && fit(c) {
				if found != nil {
					return nil
				}
				found = c
			}
		}
		return found
	}
	if l.Pool != "" {
		return match(func(c *charge) bool { return c.pool == l.Pool })
	}
	if k := im.terms.contracts[alliance.ContractID(l.Contract)]; k != nil {
		named := func(c *charge) bool { return c.contract == l.Contract && c.pool == "" }
		if c := match(named); c != nil {
			return c
		}
		if c := match(func(c *charge) bool { return named(c) && c.amount == *l.Amount }); c != nil {
			return c
		}
		if l.Kind != invoice.Fee && string(k.Provider) == im.in.Provider {
			return im.chargeWith(l.Kind, l.Contract)
		}
		// The bill of a pool by the contract that the pool is under.
		return match(func(c *charge) bool { return c.contract == l.Contract })
	}
	open := func(c *charge) bool { return !c.taken }
	if c := match(func(c *charge) bool { return open(c) && c.amount == *l.Amount }); c != nil {
		return c
	}
	return match(open)
}

// pay moves a charge from the account that owes it to what is payable. An
// invoice that comes before the close leaves a debit there until the close
// books the charge.
func (im *importer) pay(c *charge) {
	if c.amount == 0 {
		return
	}
	asset := im.provided.asset
	kind := c.kind
	if kind == invoice.OptionFee {
		kind = invoice.Fee
	}
	k := Key{
		Kind: Invoice, Debit: c.on, Credit: im.terms.held(im.payable(), asset), Asset: asset, Price: kind.String() + ",",
		Contract: c.contract, Terms: im.terms.Hash, Period: im.b.bookedIn(im.in.Month), Ref: im.in.InvoiceID(),
	}
	if c.pool != "" {
		k.Price += c.pool
	} else {
		k.Price += c.contract
	}
	start := monthStart(im.in.Month).UnixNano()
	im.list = append(im.list, unrounded{Entry{
		Key: k, Divisor: 1, First: im.b.head.Last, Last: im.b.head.Last, From: start, Until: start, Digest: sumOfNothing,
	}, money.WideOf(int64(c.amount))})
}

// missingCharges names the charges that the books expect and that no invoice
// bills: each once, while the difference about it is open.
func (im *importer) missingCharges() error {
	if im.in.Rules < 1 {
		return nil
	}
	open := map[string]bool{}
	for id, e := range im.b.differences {
		invoiceID, place, _ := strings.Cut(id, ".")
		if v := im.b.invoiceOf(invoiceID); DifferenceKind(&e) == MissingCharge && v != nil && v.Month == im.in.Month {
			open[place] = true
		}
	}
	for i := range im.expected {
		c := &im.expected[i]
		d := -c.booked()
		if c.taken || c.undecided || d == 0 || im.before[c.name()] || open[c.place()] {
			continue
		}
		ev := im.contractEvidence(c)
		ev.credit = c.on
		if err := im.differ(MissingCharge, c.place(), d, ev); err != nil {
			return err
		}
	}
	return nil
}

// contractEvidence cites the contract of a charge, and which charge it is.
func (im *importer) contractEvidence(c *charge) evidence {
	ev := evidenceOf(nil)
	ev.contract = c.contract
	if im.in.Rules >= 1 {
		ev.price = c.place()
	}
	return ev
}

// settles is the account against which an accepted difference of a contract's
// charge is cleared: "" for one of tokens.
func settles(t *Terms, e *Entry) AccountID {
	account := func(class contract.Class, kind, ref string) AccountID {
		return NewAccount(string(t.alliance.Operator), class, kind, ref)
	}
	kind := DifferenceKind(e)
	if kind == MissingCharge {
		k, _, _ := invoice.ParseChargePlace(e.Price)
		kind = k.DiffersAs()
	}
	switch kind {
	case Tax:
		return account(contract.Expense, "tax", providerOf(e))
	case FeeDiffers:
		return account(contract.Expense, "fee", e.Contract)
	case ShortfallDiffers:
		return account(contract.Expense, "shortfall", e.Contract)
	case ShareDiffers:
		return account(contract.Expense, "revenue_share", providerOf(e))
	case OverageDiffers:
		return account(contract.Expense, "overage", e.Contract)
	case InterestDiffers:
		return account(contract.Revenue, contract.InterestKind, e.Contract)
	case DiscountDiffers:
		return account(contract.Expense, "discount", e.Contract)
	case MarketplaceDiffers:
		return account(contract.Expense, "marketplace", e.Contract)
	}
	return ""
}
