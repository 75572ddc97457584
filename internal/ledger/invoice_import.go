package ledger

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// importer matches one invoice.
type importer struct {
	*factPosting
	in       *InvoiceImported
	terms    *Terms
	lines    []invoice.Line
	attempts map[record.AttemptID]*billed
	order    []*billed // by outcome
	before   map[string]bool
	groups   map[string][]*billed // attempts by day and name of their model
	matched  map[Key]*match
	keys     []Key
	exact    bool         // lines state amounts
	claimed  money.Amount // by lines of known attempts
	apart    money.Amount // of it, in differences
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
		if f.Document == v.Document {
			return refuse("the invoice %s was imported before: nothing changes", v.InvoiceID())
		}
	}
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	im := importer{
		factPosting: p, in: v, terms: t, attempts: map[record.AttemptID]*billed{}, before: map[string]bool{},
		groups: map[string][]*billed{}, matched: map[Key]*match{},
	}
	if im.lines, err = p.document(v.Document); err != nil {
		return err
	}
	if err := im.earlier(); err != nil {
		return err
	}
	if err := im.journal(); err != nil {
		return err
	}
	for i := range im.lines {
		if err := im.line(&im.lines[i]); err != nil {
			return err
		}
	}
	if err := im.missing(); err != nil {
		return err
	}
	return im.finish()
}

func (p *factPosting) headTerms() (*Terms, error) {
	if p.b.head.Terms == "" {
		return nil, refuse("the books are empty: no request has been booked yet")
	}
	return p.b.Terms(p.b.head.Terms)
}

func (p *factPosting) document(hash string) ([]invoice.Line, error) {
	if p.evidence.Document == nil {
		return nil, fmt.Errorf("the fact refers to the document %s, which was not given", hash)
	}
	data, err := p.evidence.Document(hash)
	if err != nil {
		return nil, err
	}
	lines, err := invoice.Parse(data)
	if err != nil {
		return nil, refuse("%v", err)
	}
	return lines, nil
}

// names of what a line bills, for finding it again.
func billedName(l *invoice.Line) string {
	if l.Attempt != "" {
		return "a/" + string(l.Attempt)
	}
	return "g/" + l.Day + "/" + l.Tier + "/" + l.Model
}

// earlier collects what the provider billed in invoices that are in the books.
func (im *importer) earlier() error {
	for _, f := range im.b.invoices {
		if f.Provider != im.in.Provider {
			continue
		}
		lines, err := im.document(f.Document)
		if err != nil {
			return err
		}
		for i := range lines {
			if !lines[i].Credit {
				im.before[billedName(&lines[i])] = true
			}
		}
	}
	return nil
}

// journal finds the attempts of the provider in the month, and those that the
// invoice names.
func (im *importer) journal() error {
	listed := map[record.AttemptID]bool{}
	for i := range im.lines {
		listed[im.lines[i].Attempt] = true
	}
	open, flows := map[uint64]*billed{}, map[flowKey]*flow{}
	for r, err := range im.evidence.Records(1) {
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if r.Sequence > im.b.head.Last {
			break
		}
		switch {
		case r.Intent != nil:
			a, err := im.candidate(&r, listed[r.Intent.Attempt], flows)
			if err != nil {
				return err
			}
			if a != nil {
				open[r.Sequence] = a
			}
		case r.Outcome != nil:
			if a := open[r.Outcome.Intent]; a != nil && a.attempt == r.Outcome.Attempt {
				delete(open, r.Outcome.Intent)
				im.outcome(a, &r)
			}
		}
	}
	return nil
}

func (im *importer) candidate(r *record.Record, listed bool, flows map[flowKey]*flow) (*billed, error) {
	in := r.Intent
	when := time.Unix(0, r.At).UTC()
	month := int32(when.Year()*100+int(when.Month())) == im.in.Month
	if !month && !listed {
		return nil, nil
	}
	t, err := im.b.Terms(in.Terms)
	if err != nil {
		return nil, err
	}
	pool := t.pools[alliance.PoolID(in.Pool)]
	if pool == nil || t.provider(pool) != im.in.Provider {
		return nil, nil
	}
	k := flowKey{in.Terms, in.Tenant, in.Plan, in.Channel, in.Model, in.Variant, in.Pool, in.CostPrice, in.SalePrice}
	f := flows[k]
	if f == nil || r.At < f.from || r.At >= f.until {
		f = t.flow(in, r.At, exchange.Always)
		flows[k] = f
	}
	a := &billed{attempt: in.Attempt, intent: r.Sequence, at: r.At, flow: f, pool: in.Pool, contract: string(pool.Contract), month: month, estimate: in.Estimate}
	a.names = []string{name(in.Model), in.Model}
	for i := range pool.Models {
		if m := &pool.Models[i]; string(m.Model) == name(in.Model) && m.UpstreamName != "" && m.UpstreamName != name(in.Model) {
			a.names = append(a.names, m.UpstreamName)
		}
	}
	return a, nil
}

func (im *importer) outcome(a *billed, r *record.Record) {
	a.outcome, a.tier = r.Sequence, r.Outcome.Tier
	if a.flow.overflow != nil && a.flow.overflows(a.tier) {
		a.flow = a.flow.overflow
	}
	why, owed := suspend(a.flow, r.Outcome)
	_, a.held = im.b.suspended[r.Sequence]
	closed := im.b.closed[r.Sequence]
	switch {
	case im.b.writtenOff[r.Sequence], !owed, a.held, closed != nil && closed.By == ByWaiver:
	case closed != nil && closed.Usage != nil:
		a.tokens = *closed.Usage
	case closed != nil:
		a.tokens = estimate(&record.Intent{Estimate: a.estimate}, r.Outcome, why)
	case why == "":
		a.tokens = r.Outcome.Usage
	}
	if b := a.flow.beyond; b != nil {
		a.past = a.tokens.Add(im.b.inside(b.used.Ref(), r.Sequence, a.tokens).Neg())
	}
	if im.before["a/"+string(a.attempt)] {
		a.month = false // it is not missing: it was billed
	}
	im.attempts[a.attempt] = a
	im.order = append(im.order, a)
	if a.month && a.owed() != nil {
		for _, n := range a.names {
			if k := a.day() + "/" + n; len(im.groups[k]) == 0 || im.groups[k][len(im.groups[k])-1] != a {
				im.groups[k] = append(im.groups[k], a)
			}
		}
	}
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
	var agreed money.Amount
	for c, n := range carries {
		agreed += floor(n.Add(money.WideOf(im.b.carries[c])), c.Divisor)
	}
	if rest := im.claimed - im.apart - agreed; rest != 0 {
		return im.differ(Rounding, "rounding", rest, nil, im.operatorTerms())
	}
	return nil
}
