package ledger

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// importer matches one invoice.
type importer struct {
	*factPosting
	provided
	in       *InvoiceImported
	terms    *Terms
	invoice  *invoice.Invoice
	before   map[string]bool // what earlier lines billed, by billedName
	uneven   []*uneven
	byGroup  bool // what is missing is named by groups of attempts
	grain    invoice.Grain
	expected []charge
	found    bool // charges are there
	// usedBefore says that an earlier invoice of the month billed tokens.
	usedBefore bool
	// gathered are the lines that are one charge with an earlier one.
	gathered map[int]bool
	matched  map[Key]*match
	keys     []Key
	exact    bool         // lines state amounts
	claimed  money.Amount // by lines of known attempts
	apart    money.Amount // of it, in differences
	settled  money.Amount // by fees that agree
}

// match gathers what agrees, per entry.
type match struct {
	n           money.Wide
	divisor     int64
	tokens      usage.Vector
	first, last uint64
	from, until int64
	bytes       []byte
}

func (p *factPosting) importInvoice(v *InvoiceImported) error {
	for _, f := range p.b.invoices {
		if f.InvoiceID() == v.InvoiceID() {
			return refuse("the invoice %s was imported before: nothing changes", v.InvoiceID())
		}
	}
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	im := importer{factPosting: p, in: v, terms: t, before: map[string]bool{}, matched: map[Key]*match{}}
	im.provided = provided{b: p.b, evidence: &p.evidence, provider: v.Provider, month: v.Month, before: im.before}
	if im.invoice, err = p.invoice(v); err != nil {
		return err
	}
	if im.asset, err = t.currencyOf(v.Provider, im.invoice.Currency); err != nil {
		return err
	}
	if err := im.earlier(); err != nil {
		return err
	}
	im.aim()
	if err := im.read(); err != nil {
		return err
	}
	im.missingBefore()
	if err := im.apartBeyond(); err != nil {
		return err
	}
	if err := im.match(); err != nil {
		return err
	}
	return im.finish()
}

// match takes the lines in order, then pairs what they left uneven, then names
// what is missing.
func (im *importer) match() error {
	for i := range im.invoice.Lines {
		if err := im.line(&im.invoice.Lines[i]); err != nil {
			return err
		}
	}
	if err := im.settleUneven(); err != nil {
		return err
	}
	if im.in.Rules >= 1 && im.adds() {
		return im.missingCharges()
	}
	missing := im.missing
	if im.byGroup {
		missing = im.missingGroups
	}
	if err := missing(); err != nil {
		return err
	}
	return im.missingCharges()
}

// adds reports whether the invoice bills no tokens and an earlier one of the
// month did: it adds charges to that, and leaves no attempt out.
func (im *importer) adds() bool {
	use := func(l invoice.Line) bool { return l.Kind == invoice.Use }
	return im.usedBefore && !slices.ContainsFunc(im.invoice.Lines, use)
}

// billsIn lists the currencies of a provider's contracts, in their order; the
// alliance's where it has none.
func (t *Terms) billsIn(provider string) (assets []Asset) {
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		if string(c.Provider) == provider && !slices.Contains(assets, t.moneyOf(c)) {
			assets = append(assets, t.moneyOf(c))
		}
	}
	if len(assets) == 0 {
		assets = append(assets, Asset(t.alliance.Currency))
	}
	return assets
}

// currencyOf is what an invoice is in: what it states, which must be that of a
// contract, else that of the provider's contracts.
func (t *Terms) currencyOf(provider string, stated money.Currency) (Asset, error) {
	assets := t.billsIn(provider)
	switch {
	case stated == "" && len(assets) == 1:
		return assets[0], nil
	case stated == "":
		return "", refuse("%s has contracts in %s, and the invoice does not say in which it is: write it into the column currency of every line", provider, join(assets))
	case !slices.Contains(assets, Asset(stated)):
		return "", refuse("the invoice is in %s, the contracts of %s are in %s: ask for an invoice in the contracts' currency, or correct the contracts", stated, provider, join(assets))
	}
	return Asset(stated), nil
}

// elsewhere reports whether an invoice is in another currency, so that an
// aggregate of it is about other attempts of its period and model.
func (t *Terms) elsewhere(f *InvoiceImported, v *invoice.Invoice, asset Asset) bool {
	in, err := t.currencyOf(f.Provider, v.Currency)
	return err == nil && in != asset
}

func join(assets []Asset) string {
	texts := make([]string, len(assets))
	for i, a := range assets {
		texts[i] = string(a)
	}
	return strings.Join(texts, ", ")
}

func (p *factPosting) headTerms() (*Terms, error) {
	if p.b.head.Terms == "" {
		return nil, refuse("the books are empty: no request has been booked yet")
	}
	return p.b.Terms(p.b.head.Terms)
}

// invoice reads the documents of an invoice as they were kept.
func (p *factPosting) invoice(v *InvoiceImported) (*invoice.Invoice, error) {
	if p.evidence.Document == nil {
		return nil, fmt.Errorf("the fact refers to the document %s, which was not given", v.Document)
	}
	return ReadInvoice(v, p.evidence.Document)
}

// ReadInvoice reads the documents of an invoice: document returns one by its
// hash.
func ReadInvoice(v *InvoiceImported, document func(hash string) ([]byte, error)) (*invoice.Invoice, error) {
	data, err := document(v.Document)
	if err != nil {
		return nil, err
	}
	o := invoice.Options{Issuer: v.Issuer, Month: v.Month, Rules: v.Rules}
	if v.Detail != "" {
		if o.Detail, err = document(v.Detail); err != nil {
			return nil, err
		}
	}
	parsed, err := invoice.Parse(data, o)
	if err != nil {
		return nil, refuse("%v", err)
	}
	return parsed, nil
}

// names of what a line bills, for finding it again.
func billedName(l *invoice.Line) string {
	switch {
	case l.Attempt != "":
		return "a/" + string(l.Attempt)
	case l.Kind.Contractual():
		return chargeName(l.Kind, l.Contract, l.Pool)
	}
	return groupName(l.Period, l.Tier, l.Model)
}

func chargeName(k invoice.LineKind, contract, pool string) string {
	return k.String() + "/" + contract + "/" + pool
}

func groupName(period, tier, model string) string { return "g/" + period + "/" + tier + "/" + model }

// earlier collects what the provider billed in invoices that are in the books.
func (im *importer) earlier() error {
	for _, f := range im.b.invoices {
		if f.Provider != im.in.Provider {
			continue
		}
		v, err := im.factPosting.invoice(f)
		if err != nil {
			return err
		}
		if im.in.Rules >= 1 && im.terms.elsewhere(f, v, im.asset) {
			continue
		}
		for i := range v.Lines {
			l := &v.Lines[i]
			if l.Kind.Contractual() && f.Month != im.in.Month {
				continue
			}
			im.usedBefore = im.usedBefore || l.Kind == invoice.Use && f.Month == im.in.Month
			if l.Kind == invoice.Use || l.Kind.Contractual() {
				im.before[billedName(l)] = true
			}
		}
	}
	return nil
}

// aim finds which attempts and periods the invoice names.
func (im *importer) aim() {
	im.listed = map[record.AttemptID]bool{}
	attempts := false
	for i := range im.invoice.Lines {
		l := &im.invoice.Lines[i]
		if l.Attempt != "" {
			im.listed[l.Attempt], attempts = true, true
		} else if l.Kind == invoice.Use {
			g := invoice.GrainOf(l.Period)
			if !slices.Contains(im.grains, g) {
				im.grains = append(im.grains, g)
			}
		}
	}
	im.byGroup = im.in.ByGroup && (len(im.grains) > 0 || !attempts)
	im.grain = invoice.Daily
	for _, g := range [...]invoice.Grain{invoice.Monthly, invoice.Daily, invoice.Hourly} {
		if slices.Contains(im.grains, g) {
			im.grain = g
		}
	}
}

// take moves what the books accrued for an attempt to what agrees with the
// invoice.
func (im *importer) take(a *billed) {
	for _, c := range a.parts(a.tokens, a.past) {
		im.takePart(a, &c)
	}
}

func (im *importer) takePart(a *billed, c *charged) {
	r := c.rule
	k := Key{
		Kind: Invoice, Debit: r.key.Credit, Credit: im.terms.held(im.payable(), r.key.Asset), Asset: r.key.Asset, Price: c.bucket(),
		Contract: r.key.Contract, Terms: r.key.Terms, Period: im.b.bookedIn(r.key.Period), Ref: im.in.InvoiceID(),
	}
	m := im.matched[k]
	if m == nil {
		m = &match{divisor: r.divisor, first: a.outcome, last: a.outcome, from: a.at, until: a.at}
		im.matched[k] = m
		im.keys = append(im.keys, k)
	}
	n := r.numerator(c.tokens)
	m.n, m.tokens = m.n.Add(n), m.tokens.Add(c.tokens)
	m.first, m.last, m.from, m.until = min(m.first, a.outcome), max(m.last, a.outcome), min(m.from, a.at), max(m.until, a.at)
	m.bytes = appendLine(m.bytes, a.intent, a.outcome, a.attempt, c.tokens, n)
	if len(m.bytes) > 1<<16 {
		// Fold, so that a large invoice needs no more memory than a small one.
		sum := sha256.Sum256(m.bytes)
		m.bytes = append(m.bytes[:0], sum[:]...)
	}
}

func (im *importer) payable() AccountID { return im.account("payable") }

func (im *importer) account(kind string) AccountID {
	return NewAccount(string(im.terms.alliance.Operator), contract.Liability, kind, im.in.Provider)
}

// finish makes the entries of what agrees, and one of what rounding leaves,
// so that what becomes payable is the invoice to the micro-unit.
func (im *importer) finish() error {
	slices.SortFunc(im.keys, compareKeys)
	carries := map[CarryKey]money.Wide{}
	for _, k := range im.keys {
		m := im.matched[k]
		e := Entry{Key: k, Divisor: m.divisor, Tokens: m.tokens, First: m.first, Last: m.last, From: m.from, Until: m.until, Digest: sha256.Sum256(m.bytes)}
		im.list = append(im.list, unrounded{e, m.n})
		c := CarryKey{k.Debit, k.Credit, k.Price, m.divisor}
		carries[c] = carries[c].Add(m.n)
	}
	if !im.exact {
		return nil
	}
	agreed := im.settled
	for c, n := range carries {
		agreed += floor(n.Add(money.WideOf(im.b.carries[c])), c.Divisor)
	}
	rest := im.claimed + im.invoice.Rest - im.apart - agreed
	if err := im.total(&rest); err != nil || rest == 0 {
		return err
	}
	return im.differ(Rounding, Rounding, rest, evidenceOf(nil))
}

// total holds what the lines come to against what the Invoice Detail says
// that is to be paid: a small difference is rounding, as FOCUS bounds it.
func (im *importer) total(rest *money.Amount) error {
	v := im.invoice
	if v.Stated == nil || *v.Stated == v.Sum() {
		return nil
	}
	d := *v.Stated - v.Sum()
	if max(d, -d) <= invoice.TotalTolerance(v.Rows) {
		*rest += d
		return nil
	}
	return im.differ(TotalDiffers, "total", d, evidenceOf(nil))
}
