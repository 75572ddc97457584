package ledger

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Prepare makes the batch of one fact, which must be the next. It does not
// change the book: Apply does, once the fact is kept. An event that
// contradicts the books is ErrFact.
func (b *Book) Prepare(f Fact, ev Evidence) (Step, error) {
	if f.Number != b.head.Facts+1 || f.After != b.head.Last {
		return Step{}, fmt.Errorf("%w: fact %d after record %d, and the books have %d facts and end with record %d", ErrSequence, f.Number, f.After, b.head.Facts, b.head.Last)
	}
	if err := f.Check(); err != nil {
		return Step{}, err
	}
	p := factPosting{posting: posting{b: b}, fact: &f, evidence: ev}
	p.step.Head, p.step.Fact = b.head, &f
	p.step.Head.Batch, p.step.Head.Facts, p.step.Head.At = b.head.Batch+1, f.Number, f.At
	p.step.Batch = Batch{
		Sequence: b.head.Batch + 1, First: b.head.Last + 1, Last: b.head.Last, At: f.At,
		Fact: f.Number, FactDigest: f.Digest, Prev: b.head.Hash,
	}
	err := p.event()
	if err = cmp.Or(err, p.failed); err != nil {
		return Step{}, fmt.Errorf("fact %d: %w", f.Number, err)
	}
	if err := p.book(append(p.list, p.counting()...)); err != nil {
		return Step{}, fmt.Errorf("fact %d: %w", f.Number, err)
	}
	p.seal()
	return p.step, nil
}

// Recall tells a book the facts that are in it already, in order: what they
// say beyond the entries that they made. It changes no balance.
func (b *Book) Recall(facts []Fact) error {
	for i := range facts {
		if err := facts[i].Check(); err != nil {
			return fmt.Errorf("fact %d: %w", facts[i].Number, err)
		}
		b.recall(&facts[i])
	}
	return nil
}

func (b *Book) recall(f *Fact) {
	b.change(f)
	switch {
	case f.SuspenseClosed != nil:
		b.closed[f.SuspenseClosed.Outcome] = f.SuspenseClosed
		if s := f.SuspenseClosed; s.Rules >= 1 && s.By != ByWaiver {
			b.lateDraws = append(b.lateDraws, lateDraw{s.Outcome, f.After, b.closedMonth})
		}
	case f.PoolBilled != nil:
		b.billedPools[poolMonth{f.PoolBilled.Pool, f.PoolBilled.Month}] = f.PoolBilled.Amount
	case f.ExchangeRate != nil:
		b.learn(exchange.Known{Quote: *f.ExchangeRate, At: f.At, After: f.After})
	case f.ShortfallWaived != nil:
		b.waived[waiver{f.ShortfallWaived.Contract, f.ShortfallWaived.From}] = true
	case f.MonthClosed != nil:
		if b.closedMonth == 0 {
			b.firstMonth = f.MonthClosed.Month
		}
		b.closedMonth = f.MonthClosed.Month
		clear(b.flows) // requests of the month are booked in the next one now
	case f.InvoiceImported != nil:
		b.invoices = append(b.invoices, f.InvoiceImported)
	case f.DifferenceClosed != nil && f.DifferenceClosed.By == Accepted:
		id, place, _ := strings.Cut(f.DifferenceClosed.ID, ".")
		if outcome := attemptPlace(place); outcome > 0 {
			b.writtenOff[outcome] = true
		}
		if _, _, _, ok := invoice.ParsePlace(place); ok {
			b.writtenOffGroups[place] = true
		}
		if v := b.invoiceOf(id); v != nil {
			if _, _, ok := invoice.ParseChargePlace(place); ok {
				b.writtenOffCharges[missedCharge{place, v.Month}] = true
			}
		}
	}
}

// Apply takes over a step that Prepare made of the book as it is.
func (b *Book) Apply(s *Step) { b.apply(s) }

// PostFact prepares a fact and applies it.
func (b *Book) PostFact(f Fact, ev Evidence) (Step, error) {
	step, err := b.Prepare(f, ev)
	if err == nil {
		b.apply(&step)
	}
	return step, err
}

// suspense keeps the set of open suspense: an entry with a line opens it, the
// reversal by a fact closes it.
func (b *Book) suspense(e *Entry) {
	switch {
	case e.Kind != Suspense:
	case e.Lines > 0:
		b.suspended[e.First] = struct{}{}
	default:
		delete(b.suspended, e.First)
	}
}

// factPosting is one call of Prepare under way.
type factPosting struct {
	posting
	fact     *Fact
	evidence Evidence
	list     []unrounded
	taken    map[AccountID]money.Amount // of rollover credits, by this close
	failed   error                      // the first amount that could not be posted
}

func (p *factPosting) event() error {
	switch ev := &p.fact.Event; {
	case ev.SuspenseClosed != nil:
		if err := p.mayCloseAlone(ev.SuspenseClosed); err != nil {
			return err
		}
		return p.closeSuspense(ev.SuspenseClosed)
	case ev.InvoiceImported != nil:
		if t, err := p.headTerms(); err == nil && ev.InvoiceImported.Provider == string(t.alliance.Operator) {
			return refuse("%s keeps these books and sends itself no invoice", t.alliance.Operator)
		}
		return p.importInvoice(ev.InvoiceImported)
	case ev.DifferenceClosed != nil:
		return p.closeDifference(ev.DifferenceClosed)
	case ev.PoolBilled != nil:
		return p.billPool(ev.PoolBilled)
	case ev.ShortfallWaived != nil:
		return p.waive(ev.ShortfallWaived)
	case ev.MonthClosed != nil:
		return p.closeMonth(ev.MonthClosed)
	case ev.MarketplaceCharge != nil:
		return p.marketplace(ev.MarketplaceCharge)
	case ev.TrueUp != nil:
		return p.trueUp(ev.TrueUp)
	case ev.TrueDown != nil:
		return p.trueDown(ev.TrueDown)
	case ev.ExchangeRate != nil:
		return p.quote(ev.ExchangeRate)
	case ev.Delivered != nil:
		return p.deliver(ev.Delivered)
	case ev.OptionExercised != nil:
		return p.exercise(ev.OptionExercised)
	}
	return refuse("this version does not know the event")
}

// closeSuspense reverses the suspense of one attempt and books what is owed.
func (p *factPosting) closeSuspense(s *SuspenseClosed) error {
	if _, open := p.b.suspended[s.Outcome]; !open {
		return refuse("attempt %s has no open suspense: list it with accordo ledger suspense", s.Attempt)
	}
	intent, err := p.evidence.record(s.Intent)
	if err != nil {
		return err
	}
	outcome, err := p.evidence.record(s.Outcome)
	if err != nil {
		return err
	}
	in := intent.Intent
	if in == nil || outcome.Outcome == nil || outcome.Outcome.Intent != s.Intent || in.Attempt != s.Attempt {
		return refuse("records %d and %d are not intent and outcome of attempt %s", s.Intent, s.Outcome, s.Attempt)
	}
	t, err := p.b.TermsAt(in.Terms, s.Outcome)
	if err != nil {
		return err
	}
	line, err := LineOf(&intent, &outcome, t)
	if err != nil {
		return err
	}
	cite := citation{intent: s.Intent, outcome: s.Outcome, attempt: in.Attempt, at: intent.At}
	held := line.Postings[0]
	p.add(held.Key, held.Divisor, held.Numerator.Neg(), line.Tokens.Neg(), cite)
	if s.By == ByWaiver {
		return nil
	}
	f := t.flow(in, intent.At, exchange.Always)
	if f.overflow != nil && f.overflows(outcome.Outcome.Tier) {
		f = f.overflow
	}
	rules, used := f.bought, line.Tokens
	if s.Usage != nil {
		used = *s.Usage
	}
	if s.BillCustomer {
		rules = f.served
	}
	if len(rules) == 0 && f.why == NoRate {
		day := time.Unix(0, intent.At).UTC().Format(time.DateOnly)
		return refuse("the rate of %s on %s is not known: %s", held.Asset, day, RecordRate(money.Currency(held.Asset), t.alliance.Currency, day))
	}
	if len(rules) == 0 {
		return refuse("the terms do not rate attempt %s (%s): waive it, and book the invoice line's amount as a difference", s.Attempt, f.why)
	}
	u := parts{all: used, inside: used, uncovered: used}
	if f.hourly != nil && s.Rules >= 1 {
		u.covered, u.uncovered, _ = p.cover(f.hourly, intent.At, used)
	}
	if f.included != nil && s.BillCustomer {
		p.b.relocate(&flow{included: f.included})
		u.inside, u.outside, _ = p.use(f.included, in, intent.At, s.Outcome, used)
	}
	for i := range rules {
		if tokens, ok := rules[i].of(&u); ok {
			p.add(rules[i].key, rules[i].divisor, rules[i].numerator(tokens), tokens, cite)
		}
	}
	if f.beyond != nil {
		p.lateSurcharge(f.beyond, used, cite)
	}
	return nil
}

// citation is the attempt that an entry of a fact is about.
type citation struct {
	intent, outcome uint64
	attempt         record.AttemptID
	at              int64
}

// add makes an entry of its own for one attempt. It has no line of the
// journal: the fact decides its amount.
func (p *factPosting) add(k Key, divisor int64, n money.Wide, u usage.Vector, c citation) {
	k = p.b.place(k)
	p.b.buf = appendLine(p.b.buf[:0], c.intent, c.outcome, c.attempt, u, n)
	p.list = append(p.list, unrounded{Entry{
		Key: k, Divisor: divisor, Tokens: u, First: c.outcome, Last: c.outcome, From: c.at, Until: c.at, Digest: sha256.Sum256(p.b.buf),
	}, n})
}
