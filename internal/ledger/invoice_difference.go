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
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// differ makes the entry of one difference.
func (im *importer) differ(kind, place string, d money.Amount, a *billed, terms string) error {
	if len(im.list) >= MaxDifferences {
		return refuse("more than %d differences: this is not the invoice of %s for %d, or lines are missing; check --provider and --month", MaxDifferences, im.in.Provider, im.in.Month)
	}
	k := Key{
		Kind: Difference, Debit: NewAccount(string(im.terms.alliance.Operator), contract.Asset, "difference", im.in.Provider, kind),
		Credit: im.payable(), Asset: Asset(im.terms.alliance.Currency), Terms: terms, Period: im.b.bookedIn(im.in.Month),
		Ref: im.in.InvoiceID() + "." + place,
	}
	e := Entry{Key: k, Divisor: 1, First: im.b.head.Last, Last: im.b.head.Last, From: im.fact.At, Until: im.fact.At, Digest: sha256.Sum256(nil)}
	if a != nil {
		e.Contract, e.First, e.Last, e.From, e.Until = a.contract, a.outcome, a.outcome, a.at, a.at
	}
	if kind == MissingLine {
		e.Credit = NewAccount(string(im.terms.alliance.Operator), contract.Liability, "accrued", im.in.Provider)
	}
	im.list = append(im.list, unrounded{e, money.WideOf(int64(d))})
	return nil
}

func (im *importer) payable() AccountID {
	return NewAccount(string(im.terms.alliance.Operator), contract.Liability, "payable", im.in.Provider)
}

func (im *importer) operatorTerms() string { return im.terms.Hash }

// missing finds what was served in the month and is on no invoice.
func (im *importer) missing() error {
	for _, a := range im.order {
		if !a.month || a.seen || a.held || a.booked() == 0 || im.before["a/"+string(a.attempt)] || im.aggregated(a) {
			continue
		}
		if err := im.differ(MissingLine, "o"+strconv.FormatUint(a.outcome, 10), -a.booked(), a, a.flow.suspense.key.Terms); err != nil {
			return err
		}
	}
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
	if _, held := p.b.suspended[e.First]; held && kind == MissingUsage {
		return p.acceptUsage(&back)
	}
	t, err := p.b.Terms(e.Terms)
	if err != nil {
		return err
	}
	pool, c := p.poolOf(&e, t)
	// The difference account is cleared against the cost: Debit and Credit of
	// its own entry are turned.
	cost := back
	cost.Debit, cost.Credit = NewAccount(string(t.alliance.Operator), contract.Expense, "compute", pool), e.Debit
	p.list = append(p.list, unrounded{cost, money.WideOf(int64(e.Amount))})
	if c == nil || kind == LateCredit || kind == Rounding {
		return nil
	}
	p.burn(t, c, &back, e.Amount)
	return nil
}

// poolOf returns what a difference's cost is booked on: the pool of its
// attempt, else the provider.
func (p *factPosting) poolOf(e *Entry, t *Terms) (string, *alliance.Contract) {
	provider, _, _ := strings.Cut(e.Debit.Ref(), ",")
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
	lines, err := p.document(p.b.invoices[at].Document)
	if err != nil {
		return err
	}
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
	if rest != 0 {
		e := *back
		e.Debit = NewAccount(back.Debit.Party(), contract.Expense, "compute", strings.SplitN(back.Debit.Ref(), ",", 2)[0])
		p.list = append(p.list, unrounded{e, money.WideOf(int64(rest))})
	}
	return nil
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
