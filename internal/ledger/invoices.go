package ledger

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// InvoiceImported says that a provider's invoice came in. Importing matches
// it with the journal: what agrees becomes payable, every difference stands
// apart until a fact closes it.
type InvoiceImported struct {
	Provider string `json:"provider"`
	Month    int32  `json:"month"`          // civil month that it bills, YYYYMM
	Document string `json:"document"`       // SHA-256 of the file, in hexadecimal
	Name     string `json:"name,omitempty"` // of the file, for people
}

// DifferenceClosed says what came of a difference between invoice and books.
type DifferenceClosed struct {
	ID     string `json:"id"`
	By     string `json:"by"` // Accepted or Rejected
	Reason string `json:"reason"`
}

// The ways in which a difference is closed.
const (
	Accepted = "accepted" // the books follow the invoice
	Rejected = "rejected" // the provider corrects it, by a credit or a later line
)

// The kinds of difference.
const (
	WrongTier      = "wrong_tier"      // billed in another tier than served
	MissingUsage   = "missing_usage"   // the outcome stated no usage: the attempt is suspense
	DoubleLine     = "double_line"     // billed before
	LateCredit     = "late_credit"     // money back for an earlier month
	Rounding       = "rounding"        // the same tokens, amounts that differ below RoundingLimit a line
	UnknownAttempt = "unknown_attempt" // the journal does not have it
	MissingLine    = "missing_line"    // served in the month, and not billed
	UsageDiffers   = "usage_differs"   // other tokens than booked
	PriceDiffers   = "price_differs"   // the same tokens at another price
)

// Limits of importing.
const (
	// RoundingLimit is the largest difference of one line that is rounding,
	// in micro-units of the currency: half a hundredth.
	RoundingLimit = 5_000
	// MaxDifferences is how many differences one invoice may have.
	MaxDifferences = 100_000
)

func (v *InvoiceImported) check() error {
	if v.Provider == "" || v.Month < 197001 || v.Month%100 < 1 || v.Month%100 > 12 || len(v.Document) != 2*sha256.Size || len(v.Name) > MaxReason {
		return refuse("an invoice has a provider, a month and the hash of its file")
	}
	return nil
}

func (d *DifferenceClosed) check() error {
	if d.ID == "" || d.By != Accepted && d.By != Rejected {
		return refuse("a difference is closed by its id, %s or %s", Accepted, Rejected)
	}
	return checkReason(d.Reason)
}

// InvoiceID is the short name of an invoice: the first digits of its file's hash.
func (v *InvoiceImported) InvoiceID() string { return v.Document[:12] }

// DifferenceKind returns the kind of a difference from its entry.
func DifferenceKind(e *Entry) string {
	_, kind, _ := strings.Cut(e.Debit.Ref(), ",")
	return kind
}

// billed is an attempt as the books have it.
type billed struct {
	attempt         record.AttemptID
	intent, outcome uint64
	at              int64
	flow            *flow
	pool, contract  string
	names           []string // of its model: id, id@version, name at the provider
	tier            string
	estimate        usage.Vector // of the intent
	tokens          usage.Vector // booked; nothing while it is suspense
	held            bool         // its suspense is open
	month           bool         // it is of the invoice's month
	seen            bool
}

func (a *billed) day() string { return time.Unix(0, a.at).UTC().Format(time.DateOnly) }

// owed is the rule by which the attempt accrues to its provider, nil when it
// does not (a fixed fee, a bill by the chip-second, no price).
func (a *billed) owed() *rule {
	for i := range a.flow.bought {
		if r := &a.flow.bought[i]; r.key.Kind == Cost && r.key.Credit.Kind() == "accrued" {
			return r
		}
	}
	return nil
}

func (a *billed) booked() money.Wide {
	if r := a.owed(); r != nil {
		return r.numerator(a.tokens)
	}
	return money.Wide{}
}

// charges is what a line claims for the attempt: its amount, or its tokens at
// the price of the intent.
func (a *billed) charges(l *invoice.Line) money.Amount {
	if l.Amount != nil {
		return *l.Amount
	}
	r := a.owed()
	if r == nil {
		return 0
	}
	return floor(r.numerator(l.Tokens), r.divisor)
}

func floor(n money.Wide, divisor int64) money.Amount {
	q, _, ok := n.FloorDiv(divisor)
	if !ok {
		return 0
	}
	return money.Amount(q)
}

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
		f = t.flow(in, r.At)
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

func (im *importer) line(l *invoice.Line) error {
	im.exact = im.exact || l.Amount != nil
	if l.Credit {
		return im.differ(LateCredit, strconv.Itoa(l.Number), *l.Amount, im.attempts[l.Attempt], im.operatorTerms())
	}
	name := billedName(l)
	again := im.before[name]
	im.before[name] = true
	if l.Attempt == "" {
		return im.aggregate(l, again)
	}
	a := im.attempts[l.Attempt]
	switch {
	case a == nil:
		return im.differ(UnknownAttempt, strconv.Itoa(l.Number), im.unknown(l), nil, im.operatorTerms())
	case again || im.aggregated(a):
		return im.differ(DoubleLine, strconv.Itoa(l.Number), a.charges(l), a, a.flow.suspense.key.Terms)
	case a.held:
		a.seen = true
		return im.differ(MissingUsage, strconv.Itoa(l.Number), a.charges(l), a, a.flow.suspense.key.Terms)
	}
	a.seen = true
	kind := ""
	var booked money.Amount
	if r := a.owed(); r != nil {
		booked = floor(a.booked(), r.divisor)
	}
	d := a.charges(l) - booked
	switch {
	case l.Tier != "" && a.tier != "" && l.Tier != a.tier:
		kind = WrongTier
	case l.Tokens != a.tokens && (l.Amount == nil || !l.Tokens.IsZero()):
		kind = UsageDiffers
	case d > RoundingLimit || d < -RoundingLimit:
		kind = PriceDiffers
	}
	im.take(a)
	im.claimed += a.charges(l)
	if kind == "" {
		return nil
	}
	im.apart += d
	return im.differ(kind, strconv.Itoa(l.Number), d, a, a.flow.suspense.key.Terms)
}

func (im *importer) operatorTerms() string { return im.terms.Hash }

// unknown prices a line of an attempt that the journal does not have: its
// amount, or its tokens at the price of the provider's pool that serves the
// model, by the first id; 0 where no pool does.
func (im *importer) unknown(l *invoice.Line) money.Amount {
	if l.Amount != nil {
		return *l.Amount
	}
	day, err := time.Parse(time.DateOnly, l.Day)
	if err != nil {
		day = time.Date(int(im.in.Month/100), time.Month(im.in.Month%100), 1, 0, 0, 0, 0, time.UTC)
	}
	for _, id := range slices.Sorted(maps.Keys(im.terms.pools)) {
		pool := im.terms.pools[id]
		if im.terms.provider(pool) != im.in.Provider {
			continue
		}
		for i := range pool.Models {
			m := &pool.Models[i]
			if string(m.Model) != name(l.Model) && m.UpstreamName != l.Model {
				continue
			}
			if p, ok := im.terms.prices.Cost(pool.ID, m.Model, day); ok {
				rates, _ := im.terms.prices.ByID(p.ID)
				return floor(rating.Numerator(rates, l.Tokens), rating.Divisor)
			}
		}
	}
	return 0
}

// take moves what the books accrued for an attempt to what agrees with the
// invoice.
func (im *importer) take(a *billed) {
	r := a.owed()
	if r == nil {
		return
	}
	k := Key{
		Kind: Invoice, Debit: r.key.Credit, Credit: im.payable(), Asset: r.key.Asset, Price: r.key.Price + "," + a.pool,
		Contract: r.key.Contract, Terms: r.key.Terms, Period: im.b.bookedIn(r.key.Period), Ref: im.in.InvoiceID(),
	}
	m := im.matched[k]
	if m == nil {
		m = &match{divisor: r.divisor, first: a.outcome, last: a.outcome, from: a.at, until: a.at}
		im.matched[k] = m
		im.keys = append(im.keys, k)
	}
	n := a.booked()
	m.n, m.tokens = m.n.Add(n), m.tokens.Add(a.tokens)
	m.first, m.last, m.from, m.until = min(m.first, a.outcome), max(m.last, a.outcome), min(m.from, a.at), max(m.until, a.at)
	m.bytes = appendLine(m.bytes, a.intent, a.outcome, a.attempt, a.tokens, n)
	if len(m.bytes) > 1<<16 {
		// Fold, so that a large invoice needs no more memory than a small one.
		sum := sha256.Sum256(m.bytes)
		m.bytes = append(m.bytes[:0], sum[:]...)
	}
}

func (im *importer) payable() AccountID {
	return NewAccount(string(im.terms.alliance.Operator), contract.Liability, "payable", im.in.Provider)
}

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

// aggregate matches one line with the attempts of its model, tier and day.
func (im *importer) aggregate(l *invoice.Line, again bool) error {
	var group []*billed
	var tokens usage.Vector
	booked, held := money.Amount(0), false
	sums := map[*rule]money.Wide{}
	for _, a := range im.groups[l.Day+"/"+l.Model] {
		switch {
		case again || a.seen || l.Tier != "" && a.tier != l.Tier && !a.held:
		case a.held:
			held = true
		default:
			group = append(group, a)
			tokens = tokens.Add(a.tokens)
			if r := a.owed(); r != nil {
				sums[r] = sums[r].Add(a.booked())
			}
		}
	}
	for r, n := range sums {
		booked += floor(n, r.divisor)
	}
	place := strconv.Itoa(l.Number)
	if len(group) == 0 {
		kind := UnknownAttempt
		if again {
			kind = DoubleLine
		} else if held {
			kind = MissingUsage
		}
		return im.differ(kind, place, im.unknown(l), nil, im.operatorTerms())
	}
	charged := booked
	switch {
	case l.Amount != nil:
		charged = *l.Amount
	case l.Tokens != tokens:
		charged = group[0].charges(l)
	}
	for _, a := range group {
		a.seen = true
		im.take(a)
	}
	im.claimed += charged
	d, kind := charged-booked, ""
	switch {
	case l.Tokens != tokens && !l.Tokens.IsZero() && held:
		kind = MissingUsage
	case l.Tokens != tokens && (l.Amount == nil || !l.Tokens.IsZero()):
		kind = UsageDiffers
	case d > RoundingLimit || d < -RoundingLimit:
		kind = PriceDiffers
	}
	if kind == "" {
		return nil
	}
	im.apart += d
	// A difference of an aggregate is of no one attempt; the contract is that
	// of the group.
	some := *group[0]
	some.outcome = im.b.head.Last
	return im.differ(kind, place, d, &some, some.flow.suspense.key.Terms)
}

// missing finds what was served in the month and is on no invoice.
func (im *importer) missing() error {
	for _, a := range im.order {
		r := a.owed()
		if !a.month || a.seen || a.held || r == nil || a.booked().Sign() == 0 || im.before["a/"+string(a.attempt)] || im.aggregated(a) {
			continue
		}
		if err := im.differ(MissingLine, "o"+strconv.FormatUint(a.outcome, 10), -floor(a.booked(), r.divisor), a, a.flow.suspense.key.Terms); err != nil {
			return err
		}
	}
	return nil
}

// aggregated reports whether an earlier invoice billed the attempt's day.
func (im *importer) aggregated(a *billed) bool {
	for _, n := range a.names {
		for _, tier := range []string{"", a.tier} {
			if im.before["g/"+a.day()+"/"+tier+"/"+n] {
				return true
			}
		}
	}
	return false
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
		if e.Kind != Cost || e.Credit.Kind() != "accrued" {
			continue
		}
		pool := e.Debit.Ref()
		agreed := e
		agreed.Kind, agreed.Debit, agreed.Credit = Invoice, e.Credit, back.Credit
		agreed.Price, agreed.Ref = e.Price+","+pool, strings.SplitN(back.Ref, ".", 2)[0]
		p.list = append(p.list, agreed)
		c := CarryKey{agreed.Debit, agreed.Credit, agreed.Price, agreed.Divisor}
		rest -= floor(agreed.n.Add(money.WideOf(p.b.carries[c])), agreed.Divisor)
		break
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

// bookedIn returns the month in which an entry of a month is booked: itself,
// or the first open one when it is closed.
func (b *Book) bookedIn(period int32) int32 {
	if period > b.closedMonth {
		return period
	}
	return nextMonth(b.closedMonth)
}

func nextMonth(period int32) int32 {
	if period%100 == 12 {
		return period + 100 - 11
	}
	return period + 1
}
