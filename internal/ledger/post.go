package ledger

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Post makes one batch from the records that follow the books, up to and
// including a mark. It changes the book wholly or, when it returns an error,
// not at all. The records are not kept.
func (b *Book) Post(records []record.Record) (Step, error) {
	if err := b.follows(records); err != nil {
		return Step{}, err
	}
	if len(b.flows) > MaxFlows || len(b.slots) > 4*MaxFlows {
		clear(b.flows)
		clear(b.slots)
	}
	b.round++
	mark := records[len(records)-1]
	p := posting{b: b, records: records, answered: make([]bool, len(records)), closed: map[uint64]bool{}}
	p.step.Head = b.head
	p.step.Head.Batch, p.step.Head.Last, p.step.Head.At = b.head.Batch+1, mark.Sequence, mark.At
	p.step.Batch = Batch{Sequence: b.head.Batch + 1, First: records[0].Sequence, Last: mark.Sequence, At: mark.At, Prev: b.head.Hash}
	for i := range records {
		if err := p.take(i); err != nil {
			return Step{}, err
		}
	}
	if err := p.entries(); err != nil {
		return Step{}, err
	}
	p.stillOpen()
	p.seal()
	b.apply(&p.step)
	return p.step, nil
}

// seal chains the batch.
func (p *posting) seal() {
	p.step.Batch.Node = p.step.Head.Node
	p.b.buf = p.step.Batch.Canonical(p.b.buf[:0])
	p.step.Batch.Hash = sha256.Sum256(p.b.buf)
	p.step.Head.Hash = p.step.Batch.Hash
}

// follows checks that records are what comes next: without gaps, with one
// mark, at the end.
func (b *Book) follows(records []record.Record) error {
	if len(records) == 0 {
		return fmt.Errorf("%w: there are none", ErrSequence)
	}
	for i := range records {
		if want := b.head.Last + 1 + uint64(i); records[i].Sequence != want {
			return fmt.Errorf("%w: record %d stands where %d must", ErrSequence, records[i].Sequence, want)
		}
		if last := i == len(records)-1; last != (records[i].Kind == record.KindMark) {
			return fmt.Errorf("%w: a batch ends with its only mark, record %d", ErrSequence, records[i].Sequence)
		}
	}
	return nil
}

func (b *Book) apply(s *Step) {
	b.head = s.Head
	if s.Fact != nil {
		b.recall(s.Fact)
	}
	for _, v := range s.Balances {
		b.balances[v.Account] = v
	}
	for _, v := range s.Periods {
		b.periods[periodKey{v.Account, v.Period}] = v.Amount
	}
	for _, v := range s.Carries {
		b.carries[v.CarryKey] = v.Remainder
	}
	for _, v := range s.Drawn {
		b.drawn[v.SubjectKey] = v.Used
	}
	for _, v := range s.Subjects {
		b.subjects[v.SubjectKey] = subjectCount{v.Granted, v.Used}
	}
	b.forget(s.Fact)
	for i := range s.Batch.Entries {
		b.suspense(&s.Batch.Entries[i])
		b.turned(&s.Batch.Entries[i])
		if k, amount, ok := dueOf(&s.Batch.Entries[i]); ok {
			b.due[k] += amount
		}
		b.difference(&s.Batch.Entries[i], s.Fact != nil && s.Fact.DifferenceClosed != nil)
	}
	for _, v := range s.Opened {
		b.open[v.Sequence] = v
	}
	for _, v := range s.Closed {
		delete(b.open, v)
	}
}

// posting is one call of Post under way.
type posting struct {
	b        *Book
	records  []record.Record
	answered []bool          // by position: the intent has its outcome
	closed   map[uint64]bool // intents of earlier batches that got their outcome
	touched  []*slot
	alone    []unrounded              // entries of one attempt, such as suspense
	used     map[AccountID]money.Wide // of commitments before this batch, exactly
	step     Step
	balances map[AccountID]Balance
	periods  map[periodKey]money.Amount
	carries  map[CarryKey]int64
	subjects map[SubjectKey]subjectCount // that changed
	drawn    map[SubjectKey]int64        // of hours that changed
	fresh    int                         // of them that are new
	counts   map[Key]*counted
}

// unrounded is an entry with the numerator that its amount comes from.
type unrounded struct {
	Entry
	n money.Wide
}

func (p *posting) take(i int) error {
	r := &p.records[i]
	switch {
	case r.Kind == record.KindIntent && r.Intent != nil:
		p.step.Head.Terms = r.Intent.Terms
	case r.Kind == record.KindStart && r.Start != nil:
		p.step.Head.Node = r.Start.Node
	case r.Kind == record.KindRefusal && r.Refusal != nil:
		p.step.Requests = append(p.step.Requests, Located{Request: r.Refusal.Request, Intent: r.Sequence})
	case r.Kind == record.KindOutcome && r.Outcome != nil:
		return p.outcome(i, r)
	}
	return nil
}

// intent finds the open intent of an outcome and closes it.
func (p *posting) intent(i int, out *record.Outcome) (in *record.Intent, at int64) {
	first := p.records[0].Sequence
	if out.Intent < first {
		open, ok := p.b.open[out.Intent]
		if !ok || p.closed[out.Intent] || open.Intent.Attempt != out.Attempt {
			return nil, 0
		}
		p.closed[out.Intent] = true
		p.step.Closed = append(p.step.Closed, out.Intent)
		return open.Intent, open.At
	}
	at64 := out.Intent - first
	if at64 >= uint64(i) || p.answered[at64] {
		return nil, 0
	}
	r := &p.records[at64]
	if r.Intent == nil || r.Intent.Attempt != out.Attempt {
		return nil, 0
	}
	p.answered[at64] = true
	return r.Intent, r.At
}

func (p *posting) outcome(i int, r *record.Record) error {
	out := r.Outcome
	in, at := p.intent(i, out)
	if in == nil {
		p.step.Batch.Unmatched = append(p.step.Batch.Unmatched, r.Sequence)
		return nil
	}
	f, err := p.b.flow(in, at)
	if err != nil {
		return fmt.Errorf("post the outcome %d: %w", r.Sequence, err)
	}
	p.step.Requests = append(p.step.Requests, Located{in.Request, out.Intent, r.Sequence})
	if f.overflow != nil && f.overflows(out.Tier) {
		f = f.overflow
	}
	why, owed := suspend(f.flow, out)
	switch {
	case !owed:
		p.step.Batch.Unserved++
	case why != "":
		p.step.Batch.Suspense++
		p.suspend(f, in, at, r, why)
	default:
		p.step.Batch.Served++
		if f.beyond != nil {
			p.surcharge(f, in.Attempt, at, r)
		}
		u := parts{all: out.Usage, inside: out.Usage}
		if f.hourly != nil {
			var left int64
			u.covered, u.uncovered, left = p.cover(f.hourly, at, out.Usage)
			p.step.Hours = append(p.step.Hours, Left{r.Sequence, left})
		}
		if f.included != nil {
			var left int64
			u.inside, u.outside, left = p.use(f.included, in, at, r.Sequence, out.Usage)
			if f.included.counts && !f.included.stops {
				p.step.Lefts = append(p.step.Lefts, Left{r.Sequence, left})
			}
		}
		for j := range f.served {
			if tokens, ok := f.served[j].of(&u); ok {
				p.add(f.slots[j], f.served[j].numerator(tokens), tokens, in.Attempt, at, r)
			}
		}
	}
	return nil
}

// add puts one line into the slot of its entry.
func (p *posting) add(s *slot, n money.Wide, u usage.Vector, attempt record.AttemptID, at int64, r *record.Record) {
	if s.round != p.b.round {
		s.round, s.numerator, s.tokens, s.lines = p.b.round, money.Wide{}, usage.Vector{}, 0
		s.first, s.from, s.until = r.Sequence, at, at
		s.digest.Reset()
		p.touched = append(p.touched, s)
	}
	s.numerator, s.tokens = s.numerator.Add(n), s.tokens.Add(u)
	s.lines++
	s.last, s.from, s.until = r.Sequence, min(s.from, at), max(s.until, at)
	p.b.buf = appendLine(p.b.buf[:0], r.Outcome.Intent, r.Sequence, attempt, u, n)
	s.digest.Write(p.b.buf)
}

// suspend makes the entry of one attempt that may be owed. It stands alone,
// so that an invoice line or the estimate can close it.
func (p *posting) suspend(f *postedFlow, in *record.Intent, at int64, r *record.Record, why string) {
	u := estimate(in, r.Outcome, why)
	n := f.suspense.numerator(u)
	k := f.suspense.key
	k.Ref = string(in.Attempt)
	p.b.buf = appendLine(p.b.buf[:0], r.Outcome.Intent, r.Sequence, in.Attempt, u, n)
	p.alone = append(p.alone, unrounded{Entry{
		Key: k, Divisor: f.suspense.divisor, Lines: 1, Tokens: u, First: r.Sequence, Last: r.Sequence,
		From: at, Until: at, Digest: sha256.Sum256(p.b.buf),
	}, n})
}

// entries makes the entries of what was gathered.
func (p *posting) entries() error {
	list := make([]unrounded, 0, len(p.touched)+len(p.alone)+2)
	for _, s := range p.touched {
		e := Entry{Key: s.key, Divisor: s.divisor, Lines: s.lines, Tokens: s.tokens, First: s.first, Last: s.last, From: s.from, Until: s.until}
		s.digest.Sum(e.Digest[:0])
		list = append(list, unrounded{e, s.numerator})
	}
	return p.book(slices.Concat(list, p.alone, p.counting()))
}

// book rounds the entries of a batch, in the order of their keys, and moves
// the balances. Floors that they retire for the first time are opened.
func (p *posting) book(list []unrounded) error {
	openings, err := p.openings(list)
	if err != nil {
		return err
	}
	for _, e := range openings {
		list = append(list, unrounded{e, money.WideOf(int64(e.Amount))})
	}
	slices.SortFunc(list, func(x, y unrounded) int {
		return cmp.Or(compareKeys(x.Key, y.Key), cmp.Compare(x.First, y.First))
	})
	p.balances, p.periods, p.carries = map[AccountID]Balance{}, map[periodKey]money.Amount{}, map[CarryKey]int64{}
	p.step.Batch.Entries = make([]Entry, len(list))
	for i := range list {
		if err := p.round(&list[i].Entry, list[i].n); err != nil {
			return err
		}
		p.step.Batch.Entries[i] = list[i].Entry
	}
	for _, v := range p.balances {
		p.step.Balances = append(p.step.Balances, v)
	}
	slices.SortFunc(p.step.Balances, func(x, y Balance) int { return cmp.Compare(x.Account, y.Account) })
	p.step.Periods = periodBalances(p.periods)
	for k, v := range p.carries {
		p.step.Carries = append(p.step.Carries, Carry{k, v})
	}
	slices.SortFunc(p.step.Carries, compareCarries)
	return nil
}

// round turns a numerator into the entry's amount, once, and moves both accounts.
func (p *posting) round(e *Entry, n money.Wide) error {
	k := CarryKey{e.Debit, e.Credit, e.Price, e.Divisor}
	rest, ok := p.carries[k]
	if !ok {
		rest = p.b.carries[k]
	}
	carry := money.Carry{Remainder: rest}
	if e.Amount, ok = carry.Take(n, e.Divisor); !ok {
		return fmt.Errorf("entry %s of %s: %w", e.Kind, e.Debit, money.ErrRange)
	}
	e.Remainder = carry.Remainder
	if e.Divisor > 1 {
		p.carries[k] = carry.Remainder
	}
	return cmp.Or(p.move(e.Debit, e, e.Amount), p.move(e.Credit, e, -e.Amount))
}

// errAsset is a broken invariant: an account has one asset.
var errAsset = errors.New("an account would hold two assets")

func (p *posting) move(a AccountID, e *Entry, amount money.Amount) error {
	v, ok := p.balances[a]
	if !ok {
		if v, ok = p.b.balances[a]; !ok {
			v = Balance{Account: a, Asset: e.Asset}
		}
	}
	if v.Asset != e.Asset {
		return fmt.Errorf("%w: %s has %s, not %s", errAsset, a, v.Asset, e.Asset)
	}
	sum, err := v.Amount.Add(amount)
	if err != nil {
		return fmt.Errorf("balance of %s: %w", a, err)
	}
	v.Amount = sum
	p.balances[a] = v
	k := periodKey{a, e.Period}
	month, ok := p.periods[k]
	if !ok {
		month = p.b.periods[k]
	}
	p.periods[k] = month + amount
	return nil
}

// openings brings the floors into the books that this batch or an earlier one
// retires, as the terms of the last intent state them: the first time whole,
// after an amendment by the difference.
func (p *posting) openings(retiring []unrounded) ([]Entry, error) {
	if p.step.Head.Terms == "" {
		return nil, nil
	}
	t, err := p.b.Terms(p.step.Head.Terms)
	if err != nil {
		return nil, err
	}
	used := map[AccountID]bool{}
	for i := range retiring {
		if retiring[i].Kind == Commitment {
			used[retiring[i].Credit] = true
		}
	}
	var list []Entry
	for i := range t.alliance.Contracts {
		c := &t.alliance.Contracts[i]
		for _, leg := range contract.Legs(c, "", contract.FloorOpened) {
			for _, f := range c.Floors {
				debit, credit := interval(t, leg.Debit, c, f), interval(t, leg.Credit, c, f)
				booked := -p.b.balances[credit].Amount
				if booked == f.Amount || booked == 0 && !used[debit] {
					continue
				}
				mark := p.step.Head.Last
				list = append(list, Entry{
					Key: p.b.place(Key{
						Kind: Opening, Debit: debit, Credit: credit, Asset: commitAsset(t, c), Contract: string(c.ID),
						Terms: t.Hash, Period: int32(f.From.Year()*100 + int(f.From.Month())),
					}),
					Amount: f.Amount - booked, Divisor: 1, First: mark, Last: mark,
					From: f.From.UnixNano(), Until: f.From.UnixNano(), Digest: sha256.Sum256(nil),
				})
			}
		}
	}
	return list, nil
}

// stillOpen lists the intents of this batch that wait for their outcome. What
// the decision considered is left to the journal.
func (p *posting) stillOpen() {
	for i := range p.records {
		r := &p.records[i]
		if r.Intent == nil || p.answered[i] {
			continue
		}
		in := *r.Intent
		in.Considered = nil
		p.step.Opened = append(p.step.Opened, OpenIntent{r.Sequence, r.At, &in})
	}
}
