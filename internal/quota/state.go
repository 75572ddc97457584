package quota

import (
	"math"
	"math/bits"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// state is what is counted for one subject. It holds no pointer, so that tens
// of millions of them cost the collector nothing. Invariant: the held sums
// are those of its holds that have not expired, and open counts all its holds.
type state struct {
	key                  key
	tokensDay            int64
	tokensMonth          int64
	spendDay, spendMonth money.Amount
	heldTokens           int64
	heldSpend            money.Amount
	requestsFull         int64 // when the bucket of requests is full again, in ns since 1970
	tokensFull           int64 // the same of tokens
	tokensWasFull        int64 // when a hold last found the bucket of tokens full
	day                  int32 // of the counts, in days since 1970
	open                 int32 // holds that refer to the subject
	monthly              bool  // a limit of tokens a month counts it
}

const minute = int64(time.Minute)

func dayOf(t time.Time) int32 {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return int32(d)
}

// monthOf returns a number that grows by one each civil month.
func monthOf(day int32) int32 {
	y, m, _ := time.Unix(int64(day)*86400, 0).UTC().Date()
	return int32(y)*12 + int32(m)
}

func nextDay(now time.Time) time.Time { return time.Unix((int64(dayOf(now))+1)*86400, 0).UTC() }

func nextMonth(now time.Time) time.Time {
	y, m, _ := now.UTC().Date()
	return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
}

// The most that a clock's step backward may keep a subject out: a bucket of
// requests never owes more than a minute; one of tokens owes more only after
// use far above its hold, which is forgiven beyond tokensOwed. A day that is
// more than daysAhead before the one that is counted says that the clock was
// wrong, and the true day begins.
const (
	tokensOwed = int64(time.Hour)
	daysAhead  = 2
)

// roll starts a new day or month; a clock that steps back a little keeps the
// later one.
func (s *state) roll(now time.Time) {
	at := now.UnixNano()
	s.requestsFull = min(s.requestsFull, addUp(at, minute))
	s.tokensFull = min(s.tokensFull, addUp(at, tokensOwed))
	if day := dayOf(now); s.day-day > daysAhead {
		s.day, s.tokensDay, s.tokensMonth, s.spendDay, s.spendMonth = day, 0, 0, 0, 0
	}
	s.forward(now)
}

// forward starts a new day or month when t is in one.
func (s *state) forward(t time.Time) {
	day := dayOf(t)
	if day <= s.day {
		return
	}
	if monthOf(day) != monthOf(s.day) {
		s.tokensMonth, s.spendMonth = 0, 0
	}
	s.day, s.tokensDay, s.spendDay = day, 0, 0
}

// idle reports whether nothing is held and nothing is counted in a window
// that is open: the subject may be forgotten.
func (s *state) idle(now time.Time) bool {
	s.roll(now)
	at := now.UnixNano()
	return s.open == 0 && s.tokensDay == 0 && (s.tokensMonth == 0 || !s.monthly) && s.spendDay == 0 && s.spendMonth == 0 && s.requestsFull <= at && s.tokensFull <= at
}

// refuse returns the limit of l that a does not fit: the one that takes
// longest to pass, or one that a never fits.
func (s *state) refuse(now time.Time, l alliance.Limits, a *Ask) *Refusal {
	at := now.UnixNano()
	var worst *Refusal
	note := func(limit string, most, left int64, retry time.Duration) {
		if worst == nil || worst.RetryAfter != 0 && (retry == 0 || retry > worst.RetryAfter) {
			worst = &Refusal{limit, most, left, retry}
		}
	}
	rate := func(limit string, perMinute, want, full int64) {
		if perMinute <= 0 || want == 0 {
			return
		}
		wait := max(full, at) + cost(want, perMinute) - minute - at
		switch {
		case want > perMinute:
			note(limit, perMinute, bucketLeft(at, full, perMinute), 0)
		case wait > 0:
			note(limit, perMinute, bucketLeft(at, full, perMinute), time.Duration(wait))
		}
	}
	hard := func(limit string, most, used, held, want int64, reset func(time.Time) time.Time) {
		if most <= 0 || want <= most-used-held && used+held <= most {
			return
		}
		left := max(0, most-used-held)
		switch {
		case want > most:
			note(limit, most, left, 0)
		case want <= most-used && used <= most:
			note(limit, most, left, HoldRetry)
		default:
			note(limit, most, left, reset(now).Sub(now))
		}
	}
	rate(LimitRequestsPerMinute, l.RequestsPerMinute, 1, s.requestsFull)
	rate(LimitTokensPerMinute, l.TokensPerMinute, a.EstimateTokens, s.tokensFull)
	hard(LimitTokensPerDay, l.TokensPerDay, s.tokensDay, s.heldTokens, a.Tokens, nextDay)
	hard(LimitTokensPerMonth, l.TokensPerMonth, s.tokensMonth, s.heldTokens, a.Tokens, nextMonth)
	hard(LimitSpendPerDay, int64(l.SpendPerDay), int64(s.spendDay), int64(s.heldSpend), int64(a.Spend), nextDay)
	hard(LimitSpendPerMonth, int64(l.SpendPerMonth), int64(s.spendMonth), int64(s.heldSpend), int64(a.Spend), nextMonth)
	return worst
}

func (s *state) take(now time.Time, l alliance.Limits, a *Ask) {
	at := now.UnixNano()
	s.heldTokens += a.Tokens
	s.heldSpend += a.Spend
	s.open++
	s.monthly = s.monthly || l.TokensPerMonth > 0
	if l.RequestsPerMinute > 0 {
		s.requestsFull = max(s.requestsFull, at) + cost(1, l.RequestsPerMinute)
	}
	if l.TokensPerMinute > 0 {
		if s.tokensFull <= at {
			s.tokensFull, s.tokensWasFull = at, at
		}
		s.tokensFull += cost(a.EstimateTokens, l.TokensPerMinute)
	}
}

// drop takes a hold that has ended off the subject.
func (s *state) drop(h *hold) {
	s.open--
	if !h.expired {
		s.heldTokens -= h.tokens
		s.heldSpend -= h.spend
	}
}

// use counts tokens and spend; sums stop at the largest integer.
func (s *state) use(tokens int64, spend money.Amount) {
	s.tokensDay = addUp(s.tokensDay, tokens)
	s.tokensMonth = addUp(s.tokensMonth, tokens)
	s.spendDay = addUp(s.spendDay, spend)
	s.spendMonth = addUp(s.spendMonth, spend)
}

// correct replaces the estimate of a hold by what was used. A refund is worth
// nothing when the bucket was full since: it would have been full anyway.
func (s *state) correct(h *hold, tokens int64) {
	if h.perMinute <= 0 {
		return
	}
	d := cost(tokens, h.perMinute) - cost(h.estimate, h.perMinute)
	if d > 0 || s.tokensWasFull <= h.at {
		s.tokensFull = addUp(s.tokensFull, d)
	}
}

// addUp adds b to a; a stops at a quarter of the largest integer.
func addUp[T ~int64](a, b T) T {
	return min(a, math.MaxInt64/4) + min(b, math.MaxInt64/4-min(a, math.MaxInt64/4))
}

// cost is how long a bucket of perMinute takes to refill n, in nanoseconds,
// rounded up.
func cost(n, perMinute int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(minute))
	lo, carry := bits.Add64(lo, uint64(perMinute-1), 0)
	hi += carry
	if hi >= uint64(perMinute) {
		return math.MaxInt64 / 4
	}
	q, _ := bits.Div64(hi, lo, uint64(perMinute))
	return int64(min(q, math.MaxInt64/4))
}

// bucketLeft is how many of perMinute a bucket that will be full at the given
// time holds now.
func bucketLeft(at, full, perMinute int64) int64 {
	empty := min(max(full-at, 0), minute)
	hi, lo := bits.Mul64(uint64(minute-empty), uint64(perMinute))
	q, _ := bits.Div64(hi, lo, uint64(minute))
	return int64(q)
}
