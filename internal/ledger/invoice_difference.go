package ledger

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// evidence is what of the journal a difference is about.
type evidence struct {
	contract, terms string
	asset           Asset     // empty: the provider's currency
	credit          AccountID // empty: what is payable, or accrued for a missing line
	price           string    // which charge of the contract, or which group of attempts
	first, last     uint64
	from, until     int64
}

// evidenceOf cites an attempt; nil: a difference is about none.
func evidenceOf(a *billed) evidence {
	if a == nil {
		return evidence{}
	}
	ev := evidence{contract: a.contract, terms: a.flow.suspense.key.Terms, first: a.outcome, last: a.outcome, from: a.at, until: a.at}
	ev.asset = a.flow.suspense.key.Asset
	return ev
}

var sumOfNothing = Digest(sha256.Sum256(nil))

// differ makes the entry of one difference.
func (im *importer) differ(kind, place string, d money.Amount, ev evidence) error {
	if len(im.list) >= MaxDifferences {
		return refuse("more than %d differences: this is not the invoice of %s for %d, or lines are missing; check --provider and --month", MaxDifferences, im.in.Provider, im.in.Month)
	}
	if ev.first == 0 {
		ev.first, ev.last, ev.from, ev.until = im.b.head.Last, im.b.head.Last, im.fact.At, im.fact.At
	}
	asset := cmp.Or(ev.asset, im.asset)
	credit := im.payable()
	if kind == MissingLine {
		credit = im.account("accrued")
	}
	if ev.credit != "" {
		credit = ev.credit
	}
	k := Key{
		Kind: Difference, Price: ev.price, Debit: im.terms.held(NewAccount(string(im.terms.alliance.Operator), contract.Asset, "difference", im.in.Provider, kind), asset),
		Credit: im.terms.held(credit, asset), Asset: asset, Contract: ev.contract, Terms: cmp.Or(ev.terms, im.terms.Hash),
		Period: im.b.bookedIn(im.in.Month), Ref: im.in.InvoiceID() + "." + place,
	}
	e := Entry{Key: k, Divisor: 1, First: ev.first, Last: ev.last, From: ev.from, Until: ev.until, Digest: sumOfNothing}
	im.list = append(im.list, unrounded{e, money.WideOf(int64(d))})
	return nil
}

// closeDifference posts what came of a difference.
func (p *factPosting) closeDifference(d *DifferenceClosed) error {
	e, open := p.b.differences[d.ID]
	if !open {
		return refuse("there is no open difference %s: list them with accordo invoices differences", d.ID)
	}
	back := e
	back.Lines, back.Tokens, back.Period, back.Digest = 0, usage.Vector{}, p.b.bookedIn(e.Period), sha256.Sum256([]byte(d.ID))
	if d.By == Rejected {
		p.list = append(p.list, unrounded{back, money.WideOf(-int64(e.Amount))})
		return nil
	}
	kind := DifferenceKind(&e)
	if _, held := p.b.suspended[e.First]; held && kind == MissingUsage && e.Price == "" {
		return p.acceptUsage(&back)
	}
	t, err := p.b.Terms(e.Terms)
	if err != nil {
		return err
	}
	pool, c := p.poolOf(&e, t)
	// The difference account is cleared against the cost: Debit and Credit of
	// its own entry are turned.
	account := NewAccount(string(t.alliance.Operator), contract.Expense, "compute", pool)
	if a := settles(t, &e); a != "" {
		account = a
	}
	switch {
	case kind == MissingCharge:
		err = p.chargedSince(&e)
	case kind == MissingLine:
		err = p.billedSince(&e)
	case kind == MissingUsage && e.Price != "":
		err = p.releaseHeld(&e)
	}
	if err != nil {
		return err
	}
	if err := p.expense(t, &back, account, e.Amount); err != nil {
		return err
	}
	if c == nil || !burns(kind) {
		return nil
	}
	p.burn(t, c, &back, e.Amount)
	return nil
}

// burns reports whether an accepted difference of a kind is spend that retires
// a floor: what belongs to another month, to no contract or to no use does not.
func burns(kind string) bool {
	switch kind {
	case LateCredit, Rounding, Tax, FeeDiffers, UnknownCharge, TotalDiffers,
		ShortfallDiffers, ShareDiffers, OverageDiffers, InterestDiffers, DiscountDiffers, MarketplaceDiffers, MissingCharge:
		return false
	}
	return true
}

// expense books a difference as cost: what is in another currency at the last
// rate that is known.
func (p *factPosting) expense(t *Terms, back *Entry, account AccountID, amount money.Amount) error {
	cost := *back
	cost.Debit, cost.Credit = account, back.Debit
	if cost.Asset == Asset(t.alliance.Currency) {
		p.list = append(p.list, unrounded{cost, money.WideOf(int64(amount))})
		return nil
	}
	day := time.Unix(0, p.fact.At).UTC().Format(time.DateOnly)
	rate, ok := p.b.rates.Find(money.Currency(cost.Asset), t.alliance.Currency, day, exchange.Always)
	if !ok {
		return refuse("the rate of %s on %s is not known: accordo record rate", cost.Asset, day)
	}
	converted, ok := rate.Convert(amount)
	if !ok {
		return money.ErrRange
	}
	parts := t.part(cost.Key, cost.Asset)
	booked := cost
	cost.Key, booked.Key = parts.owed, parts.booked
	booked.Price = rate.ID()
	p.list = append(p.list, unrounded{cost, money.WideOf(int64(amount))}, unrounded{booked, money.WideOf(int64(converted))})
	return nil
}

func providerOf(e *Entry) string {
	provider, _, _ := strings.Cut(e.Debit.Ref(), ",")
	return provider
}

// poolOf returns what a difference's cost is booked on: the pool of its
// attempt, else the provider.
func (p *factPosting) poolOf(e *Entry, t *Terms) (string, *alliance.Contract) {
	provider := providerOf(e)
	c := t.contracts[alliance.ContractID(e.Contract)]
	out, err := p.evidence.record(e.First)
	if err != nil || out.Outcome == nil {
		return provider, c
	}
	in, err := p.evidence.record(out.Outcome.Intent)
	if err != nil || in.Intent == nil {
		return provider, c
	}
	return in.Intent.Pool, c
}

// burn retires the commitment of a contract with a floor by what an accepted
// difference costs.
func (p *factPosting) burn(t *Terms, c *alliance.Contract, back *Entry, amount money.Amount) {
	floorOf, ok := contract.FloorAt(c, time.Unix(0, back.From).UTC())
	if !ok {
		return
	}
	for _, leg := range contract.Legs(c, "", contract.Usage) {
		if leg.Basis != contract.AtCommitment {
			continue
		}
		e := *back
		e.Kind, e.Asset = Commitment, commitAsset(t, c)
		e.Debit, e.Credit = interval(t, leg.Debit, c, floorOf), interval(t, leg.Credit, c, floorOf)
		p.list = append(p.list, unrounded{e, money.WideOf(int64(amount))})
	}
}

// acceptUsage closes the suspense of the attempt by the invoice's line, and
// makes it payable like a line that agrees.
func (p *factPosting) acceptUsage(back *Entry) error {
	out, err := p.evidence.record(back.First)
	if err != nil {
		return err
	}
	id, place, _ := strings.Cut(back.Ref, ".")
	number, err := strconv.Atoi(place)
	if err != nil {
		return refuse("difference %s names no line", back.Ref)
	}
	at := slices.IndexFunc(p.b.invoices, func(v *InvoiceImported) bool { return v.InvoiceID() == id })
	if at < 0 {
		return refuse("difference %s names no invoice", back.Ref)
	}
	v, err := p.invoice(p.b.invoices[at])
	if err != nil {
		return err
	}
	lines := v.Lines
	i, ok := slices.BinarySearchFunc(lines, number, func(l invoice.Line, n int) int { return cmp.Compare(l.Number, n) })
	if !ok {
		return refuse("difference %s names a line that is not there", back.Ref)
	}
	used := lines[i].Tokens
	s := &SuspenseClosed{Attempt: out.Outcome.Attempt, Intent: out.Outcome.Intent, Outcome: back.First, By: ByInvoice, Usage: &used, Reason: p.fact.DifferenceClosed.Reason}
	if err := p.closeSuspense(s); err != nil {
		return err
	}
	return p.payLine(back)
}

// payLine turns the difference of a suspense that was closed into what agrees
// with the invoice, and books what is left as cost.
func (p *factPosting) payLine(back *Entry) error {
	rest := back.Amount
	for i := range p.list {
		e := p.list[i]
		if e.Kind != Cost && e.Kind != Surcharge || e.Credit.Kind() != "accrued" {
			continue
		}
		place := e.Debit.Ref()
		agreed := e
		agreed.Kind, agreed.Debit, agreed.Credit = Invoice, e.Credit, back.Credit
		agreed.Price, agreed.Ref = e.Price+","+place, strings.SplitN(back.Ref, ".", 2)[0]
		p.list = append(p.list, agreed)
		c := CarryKey{agreed.Debit, agreed.Credit, agreed.Price, agreed.Divisor}
		rest -= floor(agreed.n.Add(money.WideOf(p.b.carries[c])), agreed.Divisor)
	}
	p.list = append(p.list, unrounded{*back, money.WideOf(-int64(back.Amount))})
	if rest == 0 {
		return nil
	}
	t, err := p.b.Terms(back.Terms)
	if err != nil {
		return err
	}
	// What is left is cost against what is payable: the difference itself is gone.
	left := *back
	left.Debit = back.Credit
	return p.expense(t, &left, NewAccount(back.Debit.Party(), contract.Expense, "compute", providerOf(back)), rest)
}

// difference keeps the set of open differences: the entry of an import opens
// one, a fact about it closes it.
func (b *Book) difference(e *Entry, closes bool) {
	switch {
	case e.Kind != Difference:
	case closes:
		delete(b.differences, e.Ref)
	default:
		b.differences[e.Ref] = *e
	}
}
