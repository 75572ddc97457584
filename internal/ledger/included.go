package ledger

import (
	"cmp"
	"crypto/sha256"
	"math"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// MaxSubjects bounds the subjects of open months whose use is counted against
// included quotas. What further ones use is taken as included, and booked as
// uncounted: nobody is charged for want of room.
const MaxSubjects = 4_000_000

// SubjectKey names one subject of a plan in one month: a tenant, a key or an
// end user, by the first 128 bits of the SHA-256 of what identifies it.
type SubjectKey struct {
	Subject [16]byte
	Period  int32 // YYYYMM, the month in which its use is booked
}

// Subject is how much of its included quota a subject has used, in tokens, or
// in micro-units x 1,000,000 of the plan's price. Used is above Granted only
// where the plan sells nothing beyond the quota and more was used all the same.
type Subject struct {
	SubjectKey
	Granted, Used int64
}

// Left is what was left of a subject's quota before an outcome was posted: by
// it the line of the outcome is parted again.
type Left struct {
	Outcome uint64
	Left    int64
}

// part says which tokens of a request a rule rates.
type part uint8

const (
	whole     part = 0
	inside    part = 1 // of the included quota
	outside   part = 2 // of it
	covered   part = 3 // by the hour's commitment
	uncovered part = 4 // by it
)

// parts are the tokens of a request, all and as quota and commitment part them.
type parts struct{ all, inside, outside, covered, uncovered usage.Vector }

// included is how the use of a plan with a fee or an included quota counts.
type included struct {
	plan, tenant, per string
	counts            bool // there is a quota
	stops             bool // nothing is sold beyond it: what is used all the same is inside
	limit             int64
	divisor           int64
	weights           alliance.Rates // of one token of each kind
	// The keys of what a subject's first request posts: that it is there, its
	// quota, and the quota of one that cannot be counted.
	subject, grant, uncounted Key
}

// one counts tokens.
var one = alliance.Rates{Input: 1, CacheRead: 1, CacheWrite: 1, Output: 1, Reasoning: 1}

// subscription adds how the use of a plan counts against what it includes,
// and what use beyond that is sold at.
func (r *resolver) subscription(plan *alliance.Plan) bool {
	quota := plan.Included
	if quota == nil {
		r.counted(plan, plan.Fee.Per)
		return r.sell(r.in.SalePrice, whole)
	}
	in, id, ref := r.counted(plan, quota.Per), string(plan.ID), []string{r.in.Tenant, string(plan.ID)}
	in.counts, in.stops = true, plan.Overage == nil
	used := rule{basis: byTokens, divisor: 1, part: inside}
	kind, asset, price := "included_tokens_", Asset("INCLUDED("+id+")"), ""
	in.limit, in.weights = quota.Tokens, one
	if quota.Spend > 0 {
		if plan.Price == nil || quota.Spend > alliance.MaxIncludedSpend {
			r.flow.why = NoPrice
			return false
		}
		kind, asset, price = "included_spend_", Asset("INCLUDED-"+string(r.t.alliance.Currency)+"("+id+")"), string(plan.Price.ID)
		in.limit, in.weights, in.divisor = int64(quota.Spend)*rating.Divisor, plan.Price.Rates, rating.Divisor
		used = rule{basis: byRates, divisor: rating.Divisor, rates: plan.Price.Rates, part: inside}
	}
	open := r.account(contract.Memo, kind+"open", ref...)
	in.grant = r.keyed(Key{Kind: Grant, Debit: open, Credit: r.account(contract.Memo, kind+"granted", ref...), Asset: asset})
	in.uncounted = r.keyed(Key{Kind: Grant, Debit: open, Credit: r.account(contract.Memo, kind+"uncounted", ref...), Asset: asset})
	r.add(Key{Kind: Included, Debit: r.account(contract.Memo, kind+"used", ref...), Credit: open, Asset: asset, Price: price}, used)
	if in.stops {
		return true
	}
	return r.sell(string(plan.Overage.ID), outside)
}

// counted lets the subjects of a plan be counted.
func (r *resolver) counted(plan *alliance.Plan, per string) *included {
	id := string(plan.ID)
	r.flow.included = &included{plan: id, tenant: r.in.Tenant, per: per, divisor: 1, subject: r.keyed(Key{
		Kind: Subscriber, Debit: r.account(contract.Memo, "subjects", r.in.Tenant, id), Credit: r.account(contract.Memo, "subjects_seen", id), Asset: Asset("SUBJECTS(" + id + ")"),
	})}
	return r.flow.included
}

func (r *resolver) keyed(k Key) Key {
	k.Terms, k.Period = r.in.Terms, r.period
	return k
}

// of returns the tokens of a request that the rule rates, and whether it has any.
func (r *rule) of(u *parts) (usage.Vector, bool) {
	switch r.part {
	case inside:
		return u.inside, !u.inside.IsZero()
	case outside:
		return u.outside, !u.outside.IsZero()
	case covered:
		return u.covered, !u.covered.IsZero() || u.all.IsZero()
	case uncovered:
		return u.uncovered, !u.uncovered.IsZero()
	}
	return u.all, true
}

// split parts tokens at the edge of a quota: kind by kind in the order of a
// vector, a token is inside while what is left pays for it whole. used is what
// those inside take.
func (in *included) split(u usage.Vector, left int64) (inside, outside usage.Vector, used int64) {
	if !in.counts {
		return u, usage.Vector{}, 0
	}
	if in.stops || left == math.MaxInt64 {
		n, _, ok := rating.Numerator(in.weights, u).FloorDiv(1)
		if !ok {
			n = math.MaxInt64
		}
		return u, usage.Vector{}, n
	}
	return rating.Fit(&in.weights, u, left)
}

// key identifies the subject of a request. An end user that no header named
// is the key.
func (in *included) key(r *record.Intent) SubjectKey {
	who := ""
	switch {
	case in.per == alliance.PerEndUser && r.EndUser != "":
		who = "u" + r.EndUser
	case in.per != alliance.PerTenant:
		who = "k" + r.Key
	}
	b := appendString(appendString(appendString(nil, in.plan), in.tenant), in.per)
	unit := byte('t')
	if in.divisor > 1 {
		unit = 's'
	}
	sum := sha256.Sum256(append(appendString(b, who), unit))
	k := SubjectKey{Period: in.subject.Period}
	copy(k.Subject[:], sum[:])
	return k
}

// counted is what one entry of subjects or quotas sums during a batch.
type counted struct {
	n           money.Wide
	divisor     int64
	first, last uint64
	from, until int64
}

// use counts a request against its subject's quota and parts its tokens. left
// is what was left before.
func (p *posting) use(in *included, intent *record.Intent, at int64, outcome uint64, u usage.Vector) (within, beyond usage.Vector, left int64) {
	k := in.key(intent)
	s, known := p.subjects[k]
	if !known {
		s, known = p.b.subjects[k]
	}
	if !known {
		if len(p.b.subjects)+p.fresh >= p.b.maxSubjects {
			within, beyond, used := in.split(u, math.MaxInt64)
			if in.counts {
				p.count(in.uncounted, money.WideOf(used), in.divisor, at, outcome)
			}
			return within, beyond, math.MaxInt64
		}
		p.fresh++
		p.count(in.subject, money.WideOf(1), 1, at, outcome)
	}
	limit := in.limit
	if !in.stops {
		limit = max(limit, s.used) // a smaller quota takes nothing back
	}
	if in.counts && limit != s.granted {
		p.count(in.grant, money.WideOf(limit-s.granted), in.divisor, at, outcome)
		s.granted = limit
	}
	left = s.granted - s.used
	within, beyond, used := in.split(u, left)
	s.used = min(s.used, math.MaxInt64-used) + used
	if p.subjects == nil {
		p.subjects = map[SubjectKey]subjectCount{}
	}
	p.subjects[k] = s
	return within, beyond, left
}

// subjectCount is a Subject without its key.
type subjectCount struct{ granted, used int64 }

func (p *posting) count(k Key, n money.Wide, divisor, at int64, outcome uint64) {
	if p.counts == nil {
		p.counts = map[Key]*counted{}
	}
	c := p.counts[k]
	if c == nil {
		c = &counted{divisor: divisor, first: outcome, from: at, until: at}
		p.counts[k] = c
	}
	c.n, c.last, c.from, c.until = c.n.Add(n), outcome, min(c.from, at), max(c.until, at)
}

// counting makes the entries of subjects and quotas. They have no lines: what
// they count follows from the order of all requests of a month.
func (p *posting) counting() (list []unrounded) {
	for k, c := range p.counts {
		list = append(list, unrounded{Entry{
			Key: k, Divisor: c.divisor, First: c.first, Last: c.last, From: c.from, Until: c.until, Digest: sha256.Sum256(nil),
		}, c.n})
	}
	for k, s := range p.subjects {
		p.step.Subjects = append(p.step.Subjects, Subject{k, s.granted, s.used})
	}
	slices.SortFunc(p.step.Subjects, compareSubjects)
	p.step.Drawn = drawnOf(p.drawn)
	return list
}

func compareSubjects(x, y Subject) int {
	return cmp.Or(cmp.Compare(x.Period, y.Period), slices.Compare(x.Subject[:], y.Subject[:]))
}

// forget drops the subjects of a month that is closed now: nothing is booked
// in it any more.
func (b *Book) forget(f *Fact) {
	if f == nil || f.MonthClosed == nil {
		return
	}
	for k := range b.subjects {
		if k.Period <= b.closedMonth {
			delete(b.subjects, k)
		}
	}
	for k := range b.drawn {
		if k.Period <= b.closedMonth {
			delete(b.drawn, k)
		}
	}
}
