// Package quota admits requests under the limits of a plan by holds: a hold
// has a subject, an amount and an expiry. It is pure and single-threaded:
// callers serialise, and time is an argument. It refuses to store anything on
// disk and to know plans beyond their limits.
//
// Hard limits (tokens and spend a day and a month, in UTC) hold an upper
// bound: what is held plus what was used never exceeds the limit through a
// grant. Use above a hold is counted all the same and blocks what comes next.
//
// Rates (requests and tokens a minute) are token buckets that hold one
// minute's limit and refill evenly; an estimate is taken and corrected at
// settlement. A request stays counted when its hold is released.
package quota

import (
	"crypto/sha256"
	"math"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// HoldID names a hold. The zero HoldID is no hold, and an id is spent once:
// settling or releasing it again does nothing.
type HoldID uint64

// Ask is what a request needs. Tokens and Spend are upper bounds, held
// against the limits per day and month; EstimateTokens is held against the
// rate per minute and corrected at settlement. Negative amounts count as 0
// and none counts as more than MaxAsk.
// Expires must be later than the request can last.
type Ask struct {
	Tokens         int64
	EstimateTokens int64
	Spend          money.Amount
	Expires        time.Time
}

// Refusal says which limit stood in the way, what is left of it, and after
// how long the same ask succeeds if nothing else happens; 0 means that it
// never does, because the ask is larger than the limit. Where only holds
// under way stand in the way, RetryAfter is HoldRetry: when they settle is
// not known. Max and Left are in the limit's unit: requests, tokens or
// micro-units of the currency.
type Refusal struct {
	Limit      string
	Max, Left  int64
	RetryAfter time.Duration
}

// The names of limits in a Refusal and a State.
const (
	LimitRequestsPerMinute = "requests_per_minute"
	LimitTokensPerMinute   = "tokens_per_minute"
	LimitTokensPerDay      = "tokens_per_day"
	LimitTokensPerMonth    = "tokens_per_month"
	LimitSpendPerDay       = "spend_per_day"
	LimitSpendPerMonth     = "spend_per_month"
	LimitSubjects          = "subjects" // the book is full of subjects with something counted
	LimitHolds             = "holds"    // the book is full of open holds
)

// HoldRetry is the Retry-After of a refusal that only holds under way cause.
const HoldRetry = time.Second

// LateSettlement is how long after its expiry a hold can still be settled:
// its amount is free again, but use that arrives is counted, as overshoot.
const LateSettlement = time.Hour

// Options bound a book. A zero takes the default.
type Options struct {
	MaxSubjects int // subjects with something held or counted; default DefaultMaxSubjects
	MaxHolds    int // open holds over all subjects; default and most DefaultMaxHolds
}

// MaxAsk bounds what one request can hold or use, in tokens or micro-units.
const MaxAsk = 1 << 42

// The defaults of Options.
const (
	DefaultMaxSubjects = 20_000_000
	DefaultMaxHolds    = 1_000_000
)

// Book counts holds and use per subject. Subjects are known by the first 128
// bits of their SHA-256, so that their names take no space.
type Book struct {
	o        Options
	subjects table
	holds    holds
}

// New returns an empty book.
func New(o Options) *Book {
	if o.MaxSubjects <= 0 {
		o.MaxSubjects = DefaultMaxSubjects
	}
	if o.MaxHolds <= 0 {
		o.MaxHolds = DefaultMaxHolds
	}
	o.MaxHolds = min(o.MaxHolds, DefaultMaxHolds)
	return &Book{o: o, subjects: newTable(o.MaxSubjects)}
}

func keyOf(subject string) (k key) {
	var buf [256]byte
	sum := sha256.Sum256(append(buf[:0], subject...))
	copy(k[:], sum[:])
	return k
}

// Hold admits a under l for the subject, or says what refuses it.
func (b *Book) Hold(now time.Time, subject string, l alliance.Limits, a Ask) (HoldID, *Refusal) {
	a.Tokens, a.EstimateTokens, a.Spend = bound(a.Tokens), bound(a.EstimateTokens), bound(a.Spend)
	b.Expire(now)
	if b.holds.open >= b.o.MaxHolds {
		return 0, &Refusal{Limit: LimitHolds, Max: int64(b.o.MaxHolds), RetryAfter: HoldRetry}
	}
	i, ok := b.subjects.find(keyOf(subject))
	if !ok {
		if i, ok = b.subjects.add(keyOf(subject), now); !ok {
			return 0, &Refusal{Limit: LimitSubjects, Max: int64(b.o.MaxSubjects), RetryAfter: nextDay(now).Sub(now)}
		}
	}
	s := b.subjects.at(i)
	s.roll(now)
	if r := s.refuse(now, l, &a); r != nil {
		return 0, r
	}
	s.take(now, l, &a)
	return b.holds.add(hold{
		subject: i, tokens: a.Tokens, spend: a.Spend, estimate: a.EstimateTokens, perMinute: l.TokensPerMinute,
		at: now.UnixNano(), due: a.Expires.UnixNano(),
	}), nil
}

// bound keeps sums of holds far from the end of an int64.
func bound[T ~int64](n T) T { return min(max(n, 0), MaxAsk) }

// Settle replaces a hold by what was used; overshoot reports that the use
// exceeded what was held. What was used is counted in full either way.
func (b *Book) Settle(now time.Time, id HoldID, tokens int64, spend money.Amount) (overshoot bool) {
	h, ok := b.holds.take(id)
	if !ok {
		return false
	}
	tokens, spend = bound(tokens), bound(spend)
	s := b.subjects.at(h.subject)
	s.drop(&h)
	s.roll(now)
	s.use(tokens, spend)
	s.correct(&h, tokens)
	if h.expired {
		return tokens > 0 || spend > 0
	}
	return tokens > h.tokens || spend > h.spend
}

// Release drops a hold of which nothing was used. Its request stays counted.
func (b *Book) Release(now time.Time, id HoldID) { b.Settle(now, id, 0, 0) }

// Expire drops the holds whose expiry has passed and returns their number.
// Every Hold does so first: the edge calls it only to free what is idle.
func (b *Book) Expire(now time.Time) (released int) {
	at := now.UnixNano()
	for {
		id, h := b.holds.first()
		if h == nil || h.due > at {
			return released
		}
		if h.expired {
			taken, _ := b.holds.take(id)
			b.subjects.at(taken.subject).drop(&taken)
			continue
		}
		released++
		s := b.subjects.at(h.subject)
		s.heldTokens -= h.tokens
		s.heldSpend -= h.spend
		h.expired = true
		b.holds.delay(h, int64(LateSettlement))
	}
}

// Restore counts use under l that the journal knows of, at the time it happened: at
// the start of a process, and where a provider's late word raises a count.
// Rates per minute start afresh.
func (b *Book) Restore(at time.Time, subject string, l alliance.Limits, tokens int64, spend money.Amount) {
	tokens, spend = bound(tokens), bound(spend)
	i, ok := b.subjects.find(keyOf(subject))
	if !ok {
		if i, ok = b.subjects.add(keyOf(subject), at); !ok {
			return
		}
	}
	s := b.subjects.at(i)
	s.forward(at)
	s.monthly = s.monthly || l.TokensPerMonth > 0
	day := dayOf(at)
	if day < s.day && monthOf(day) < monthOf(s.day) {
		return
	}
	today, spentToday := s.tokensDay, s.spendDay
	s.use(tokens, spend)
	if day < s.day {
		s.tokensDay, s.spendDay = today, spentToday
	}
}

// Left returns what a subject may still use of the hard limits of l: tokens,
// and spend; math.MaxInt64 where there is no limit. It allocates nothing.
func (b *Book) Left(now time.Time, subject string, l alliance.Limits) (tokens int64, spend money.Amount) {
	b.Expire(now)
	var fresh state
	fresh.roll(now)
	s := &fresh
	if i, ok := b.subjects.find(keyOf(subject)); ok {
		s = b.subjects.at(i)
		s.roll(now)
	}
	tokens, spend = math.MaxInt64, math.MaxInt64
	if l.TokensPerDay > 0 {
		tokens = max(0, l.TokensPerDay-s.tokensDay-s.heldTokens)
	}
	if l.TokensPerMonth > 0 {
		tokens = min(tokens, max(0, l.TokensPerMonth-s.tokensMonth-s.heldTokens))
	}
	if l.SpendPerDay > 0 {
		spend = max(0, l.SpendPerDay-s.spendDay-s.heldSpend)
	}
	if l.SpendPerMonth > 0 {
		spend = min(spend, max(0, l.SpendPerMonth-s.spendMonth-s.heldSpend))
	}
	return tokens, spend
}

// LimitState is one limit of a subject, in the limit's unit. Reset is when
// the counting window ends, or when a bucket will be full again.
type LimitState struct {
	Limit                 string
	Max, Used, Held, Left int64
	Reset                 time.Time
}

// State returns the limits of l that are set, with what the subject used,
// holds and has left.
func (b *Book) State(now time.Time, subject string, l alliance.Limits) []LimitState {
	b.Expire(now)
	var fresh state
	s := &fresh
	if i, ok := b.subjects.find(keyOf(subject)); ok {
		s = b.subjects.at(i)
	}
	s.roll(now)
	var out []LimitState
	rate := func(name string, limit int64, full int64) {
		if limit <= 0 {
			return
		}
		left := bucketLeft(now.UnixNano(), full, limit)
		out = append(out, LimitState{name, limit, limit - left, 0, left, time.Unix(0, max(full, now.UnixNano())).UTC()})
	}
	hard := func(name string, limit, used, held int64, reset time.Time) {
		if limit > 0 {
			out = append(out, LimitState{name, limit, used, held, max(0, limit-used-held), reset})
		}
	}
	rate(LimitRequestsPerMinute, l.RequestsPerMinute, s.requestsFull)
	rate(LimitTokensPerMinute, l.TokensPerMinute, s.tokensFull)
	hard(LimitTokensPerDay, l.TokensPerDay, s.tokensDay, s.heldTokens, nextDay(now))
	hard(LimitTokensPerMonth, l.TokensPerMonth, s.tokensMonth, s.heldTokens, nextMonth(now))
	hard(LimitSpendPerDay, int64(l.SpendPerDay), int64(s.spendDay), int64(s.heldSpend), nextDay(now))
	hard(LimitSpendPerMonth, int64(l.SpendPerMonth), int64(s.spendMonth), int64(s.heldSpend), nextMonth(now))
	return out
}

// Len returns the number of subjects with state, and of holds that are open
// or may still be settled late.
func (b *Book) Len() (subjects, holds int) { return len(b.subjects.index), b.holds.open }
