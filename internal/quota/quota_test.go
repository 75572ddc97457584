package quota

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

var start = time.Date(2026, 5, 30, 23, 58, 0, 0, time.UTC)

func mustHold(t *testing.T, b *Book, now time.Time, l alliance.Limits, a Ask) HoldID {
	t.Helper()
	if a.Expires.IsZero() {
		a.Expires = now.Add(time.Hour)
	}
	id, r := b.Hold(now, "s", l, a)
	if r != nil {
		t.Fatalf("refused: %+v", *r)
	}
	return id
}

func mustRefuse(t *testing.T, b *Book, now time.Time, l alliance.Limits, a Ask, want Refusal) {
	t.Helper()
	a.Expires = now.Add(time.Hour)
	_, r := b.Hold(now, "s", l, a)
	if r == nil {
		t.Fatalf("held %+v, want a refusal by %s", a, want.Limit)
	}
	if d := cmp.Diff(want, *r); d != "" {
		t.Errorf("refusal differs (-want +got):\n%s", d)
	}
}

func TestHold_HardLimitsCountHeldAndUsed(t *testing.T) {
	for _, c := range []struct {
		name  string
		l     alliance.Limits
		ask   Ask
		limit string
		left  int64
		reset time.Duration
	}{
		{"tokens a day", alliance.Limits{TokensPerDay: 100}, Ask{Tokens: 60}, LimitTokensPerDay, 40, 2 * time.Minute},
		{"tokens a month", alliance.Limits{TokensPerMonth: 100}, Ask{Tokens: 60}, LimitTokensPerMonth, 40, 24*time.Hour + 2*time.Minute},
		{"spend a day", alliance.Limits{SpendPerDay: 100}, Ask{Spend: 60}, LimitSpendPerDay, 40, 2 * time.Minute},
		{"spend a month", alliance.Limits{SpendPerMonth: 100}, Ask{Spend: 60}, LimitSpendPerMonth, 40, 24*time.Hour + 2*time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(Options{})
			id := mustHold(t, b, start, c.l, c.ask)
			mustRefuse(t, b, start, c.l, c.ask, Refusal{c.limit, 100, c.left, HoldRetry})
			b.Settle(start, id, c.ask.Tokens, c.ask.Spend)
			mustRefuse(t, b, start, c.l, c.ask, Refusal{c.limit, 100, c.left, c.reset})
			mustHold(t, b, start.Add(c.reset), c.l, c.ask)
			mustRefuse(t, b, start, c.l, Ask{Tokens: 101, Spend: 101}, Refusal{c.limit, 100, c.left, 0})
		})
	}
}

func TestSettle_LessThanHeldFreesTheRest(t *testing.T) {
	b, l := New(Options{}), alliance.Limits{TokensPerDay: 100}
	if b.Settle(start, mustHold(t, b, start, l, Ask{Tokens: 100}), 10, 0) {
		t.Error("10 of 100 is reported as overshoot")
	}
	mustHold(t, b, start, l, Ask{Tokens: 90})
}

func TestSettle_OvershootIsCountedAndBlocksTheNext(t *testing.T) {
	b, l := New(Options{}), alliance.Limits{TokensPerDay: 100}
	if !b.Settle(start, mustHold(t, b, start, l, Ask{Tokens: 50}), 120, 0) {
		t.Error("120 of 50 is not reported as overshoot")
	}
	mustRefuse(t, b, start, l, Ask{Tokens: 1}, Refusal{LimitTokensPerDay, 100, 0, 2 * time.Minute})
	mustRefuse(t, b, start, l, Ask{}, Refusal{LimitTokensPerDay, 100, 0, 2 * time.Minute})
}

func TestHold_EditOfALimitKeepsWhatWasSpent(t *testing.T) {
	b := New(Options{})
	b.Settle(start, mustHold(t, b, start, alliance.Limits{}, Ask{Tokens: 80}), 80, 0)
	mustRefuse(t, b, start, alliance.Limits{TokensPerDay: 50}, Ask{Tokens: 10}, Refusal{LimitTokensPerDay, 50, 0, 2 * time.Minute})
	mustHold(t, b, start, alliance.Limits{TokensPerDay: 90}, Ask{Tokens: 10})
}

func TestHold_OpenOverMidnightCountsAgainstBothDays(t *testing.T) {
	b, l := New(Options{}), alliance.Limits{TokensPerDay: 100}
	id := mustHold(t, b, start, l, Ask{Tokens: 100})
	tomorrow := start.Add(3 * time.Minute)
	mustRefuse(t, b, tomorrow, l, Ask{Tokens: 1}, Refusal{LimitTokensPerDay, 100, 0, HoldRetry})
	b.Settle(tomorrow, id, 70, 0)
	mustRefuse(t, b, tomorrow, l, Ask{Tokens: 31}, Refusal{LimitTokensPerDay, 100, 30, 24*time.Hour - time.Minute})
	mustHold(t, b, tomorrow, l, Ask{Tokens: 30})
}

func TestHold_RateRefillsEvenlyAndRetryAfterIsExact(t *testing.T) {
	for _, c := range []struct {
		name  string
		l     alliance.Limits
		ask   Ask
		limit string
		wait  time.Duration
	}{
		{"requests", alliance.Limits{RequestsPerMinute: 3}, Ask{}, LimitRequestsPerMinute, 20 * time.Second},
		{"tokens", alliance.Limits{TokensPerMinute: 300}, Ask{EstimateTokens: 100}, LimitTokensPerMinute, 20 * time.Second},
		{"a rate that does not divide a minute", alliance.Limits{RequestsPerMinute: 7}, Ask{}, LimitRequestsPerMinute, 8571428578},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(Options{})
			n := max(c.l.RequestsPerMinute, 3)
			for range n - 1 {
				mustHold(t, b, start, c.l, c.ask)
			}
			if n == 3 {
				mustHold(t, b, start, c.l, c.ask)
			}
			a := c.ask
			a.Expires = start.Add(time.Hour)
			_, r := b.Hold(start, "s", c.l, a)
			for r == nil {
				_, r = b.Hold(start, "s", c.l, a)
			}
			if r.Limit != c.limit {
				t.Fatalf("refused by %s", r.Limit)
			}
			if _, early := b.Hold(start.Add(r.RetryAfter-1), "s", c.l, a); early == nil {
				t.Error("one nanosecond before Retry-After it was admitted")
			}
			if d := r.RetryAfter - c.wait; d > 0 || d < -10*time.Second {
				t.Errorf("Retry-After is %s, want about %s", r.RetryAfter, c.wait)
			}
			mustHold(t, b, start.Add(r.RetryAfter), c.l, c.ask)
		})
	}
}

func TestSettle_CorrectsTheRateByWhatWasUsed(t *testing.T) {
	l := alliance.Limits{TokensPerMinute: 600}
	ask := Ask{EstimateTokens: 600}
	t.Run("a refund is usable at once", func(t *testing.T) {
		b := New(Options{})
		b.Settle(start, mustHold(t, b, start, l, ask), 100, 0)
		mustHold(t, b, start, l, Ask{EstimateTokens: 500})
	})
	t.Run("more than the estimate delays the next", func(t *testing.T) {
		b := New(Options{})
		b.Settle(start, mustHold(t, b, start, l, Ask{EstimateTokens: 100}), 700, 0)
		mustRefuse(t, b, start, l, Ask{EstimateTokens: 10}, Refusal{LimitTokensPerMinute, 600, 0, 11 * time.Second})
	})
	t.Run("a refund is worth nothing once the bucket was full again", func(t *testing.T) {
		b := New(Options{})
		id := mustHold(t, b, start, l, ask)
		later := start.Add(61 * time.Second)
		mustHold(t, b, later, l, ask)
		b.Settle(later, id, 0, 0)
		mustRefuse(t, b, later, l, Ask{EstimateTokens: 10}, Refusal{LimitTokensPerMinute, 600, 0, time.Second})
	})
	t.Run("a request stays counted when it is released", func(t *testing.T) {
		b, l := New(Options{}), alliance.Limits{RequestsPerMinute: 1}
		b.Release(start, mustHold(t, b, start, l, Ask{}))
		mustRefuse(t, b, start, l, Ask{}, Refusal{LimitRequestsPerMinute, 1, 0, time.Minute})
	})
}

func TestExpire_FreesTheHoldAndCountsLateUse(t *testing.T) {
	b, l := New(Options{}), alliance.Limits{TokensPerDay: 100}
	id := mustHold(t, b, start, l, Ask{Tokens: 100, Expires: start.Add(time.Second)})
	mustHold(t, b, start.Add(time.Second), l, Ask{Tokens: 60})
	if !b.Settle(start.Add(2*time.Second), id, 30, 0) {
		t.Error("use after the expiry is not reported as overshoot")
	}
	mustRefuse(t, b, start.Add(2*time.Second), l, Ask{Tokens: 11}, Refusal{LimitTokensPerDay, 100, 10, HoldRetry})
	b.Settle(start.Add(2*time.Second), id, 30, 0)
	mustHold(t, b, start.Add(2*time.Second), l, Ask{Tokens: 10})
}

func TestHold_FullOfSubjectsRefusesUntilOneIsIdle(t *testing.T) {
	b := New(Options{MaxSubjects: 2})
	for _, s := range []string{"a", "b"} {
		id, _ := b.Hold(start, s, alliance.Limits{}, Ask{Expires: start.Add(time.Second)})
		b.Settle(start, id, 5, 0)
	}
	if _, r := b.Hold(start, "c", alliance.Limits{}, Ask{Expires: start.Add(time.Second)}); r == nil || r.Limit != LimitSubjects || r.RetryAfter != 2*time.Minute {
		t.Fatalf("refusal is %+v", r)
	}
	tomorrow := start.Add(2 * time.Minute)
	if _, r := b.Hold(tomorrow, "c", alliance.Limits{}, Ask{Expires: tomorrow.Add(time.Second)}); r != nil {
		t.Fatalf("refused although yesterday's subjects are idle: %+v", *r)
	}
	if n, _ := b.Len(); n != 2 {
		t.Errorf("%d subjects, the limit is 2", n)
	}
}

func TestHold_FullOfHoldsRefuses(t *testing.T) {
	b := New(Options{MaxHolds: 1})
	id := mustHold(t, b, start, alliance.Limits{}, Ask{})
	mustRefuse(t, b, start, alliance.Limits{}, Ask{}, Refusal{LimitHolds, 1, 0, HoldRetry})
	b.Release(start, id)
	mustHold(t, b, start, alliance.Limits{}, Ask{})
}

func TestRestore_CountsInTheWindowOfItsTime(t *testing.T) {
	b := New(Options{})
	l := alliance.Limits{TokensPerDay: 100, TokensPerMonth: 100, SpendPerDay: 100, SpendPerMonth: 100}
	now := time.Date(2026, 5, 30, 12, 0, 0, 0, time.UTC)
	b.Restore(now.AddDate(0, -1, 0), "s", l, 1, 1)
	b.Restore(now.AddDate(0, 0, -1), "s", l, 10, 10)
	b.Restore(now, "s", l, 20, 20)
	b.Restore(now.AddDate(0, 0, -2), "s", l, 40, 40)
	b.Restore(now.AddDate(0, -1, 0), "s", l, 1, 1)
	var got []int64
	for _, s := range b.State(now, "s", l) {
		got = append(got, s.Used)
	}
	if d := cmp.Diff([]int64{20, 70, 20, 70}, got); d != "" {
		t.Error(d)
	}
	tokens, spend := b.Left(now, "s", l)
	if tokens != 30 || spend != 30 {
		t.Errorf("left %d tokens and %d", tokens, spend)
	}
}

// TestAnyInterleaving_StaysUnderTheLimits checks the book against a plain
// list of holds and uses: a grant never lets held plus used pass a limit, no
// hold outlives its expiry, and a refusal is never without need.
func TestAnyInterleaving_StaysUnderTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type held struct {
			id      HoldID
			tokens  int64
			spend   money.Amount
			expires time.Time
		}
		l := alliance.Limits{TokensPerDay: 100, TokensPerMonth: 150, SpendPerDay: 200, SpendPerMonth: 300}
		b := New(Options{})
		now := start
		var open []held
		day, month := now.YearDay(), now.Month()
		var tokens, tokensMonth int64
		var spendDay, spendMonth money.Amount
		check := func() (int64, money.Amount) {
			var ht int64
			var hs money.Amount
			for _, h := range open {
				if h.expires.After(now) {
					ht, hs = ht+h.tokens, hs+h.spend
				}
			}
			want := []LimitState{
				{LimitTokensPerDay, 100, tokens, ht, max(0, 100-tokens-ht), nextDay(now)},
				{LimitTokensPerMonth, 150, tokensMonth, ht, max(0, 150-tokensMonth-ht), nextMonth(now)},
				{LimitSpendPerDay, 200, int64(spendDay), int64(hs), int64(max(0, 200-spendDay-hs)), nextDay(now)},
				{LimitSpendPerMonth, 300, int64(spendMonth), int64(hs), int64(max(0, 300-spendMonth-hs)), nextMonth(now)},
			}
			if d := cmp.Diff(want, b.State(now, "s", l)); d != "" {
				t.Fatalf("state differs (-want +got):\n%s", d)
			}
			return ht, hs
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 30, 119, 3600, 86400}).Draw(t, "seconds")) * time.Second)
				if now.YearDay() != day {
					day, tokens, spendDay = now.YearDay(), 0, 0
				}
				if now.Month() != month {
					month, tokensMonth, spendMonth = now.Month(), 0, 0
				}
			},
			"hold": func(t *rapid.T) {
				h := held{tokens: rapid.Int64Range(0, 60).Draw(t, "tokens"), spend: money.Amount(rapid.Int64Range(0, 120).Draw(t, "spend"))}
				h.expires = now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "for")) * time.Second)
				ht, hs := check()
				fits := tokens+ht+h.tokens <= 100 && tokensMonth+ht+h.tokens <= 150 && spendDay+hs+h.spend <= 200 && spendMonth+hs+h.spend <= 300
				id, r := b.Hold(now, "s", l, Ask{Tokens: h.tokens, Spend: h.spend, Expires: h.expires})
				if fits != (r == nil) {
					t.Fatalf("fits: %v, refusal: %+v", fits, r)
				}
				if r == nil {
					h.id = id
					open = append(open, h)
				}
			},
			"settle": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				h := open[i]
				open = append(open[:i], open[i+1:]...)
				ut := rapid.Int64Range(0, h.tokens+rapid.SampledFrom([]int64{0, 0, 5}).Draw(t, "over")).Draw(t, "used")
				us := money.Amount(rapid.Int64Range(0, int64(h.spend)).Draw(t, "spent"))
				if h.expires.Add(LateSettlement).After(now) || b.holdsID(h.id) {
					tokens, tokensMonth, spendDay, spendMonth = tokens+ut, tokensMonth+ut, spendDay+us, spendMonth+us
				}
				b.Settle(now, h.id, ut, us)
				b.Settle(now, h.id, ut, us)
			},
			"expire": func(t *rapid.T) { b.Expire(now) },
			"":       func(t *rapid.T) { check() },
		})
	})
}

// holdsID reports whether a hold could still be settled.
func (b *Book) holdsID(id HoldID) bool {
	i := uint64(id)&0xffffffff - 1
	return b.holds.slots[i].heap >= 0 && b.holds.slots[i].generation == uint32(id>>32)
}

func TestHoldAndSettle_AllocateNothing(t *testing.T) {
	b := New(Options{})
	l := alliance.Limits{RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 40, TokensPerDay: 1 << 40, SpendPerDay: 1 << 40, SpendPerMonth: 1 << 40}
	ask := Ask{Tokens: 100, EstimateTokens: 50, Spend: 10, Expires: start.Add(time.Hour)}
	b.Release(start, mustHold(t, b, start, l, ask))
	if n := testing.AllocsPerRun(100, func() {
		id, _ := b.Hold(start, "s", l, ask)
		b.Settle(start, id, 60, 5)
		b.Left(start, "s", l)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHoldSettle(b *testing.B) {
	for _, subjects := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("subjects=%d", subjects), func(b *testing.B) {
			names := make([]string, subjects)
			for i := range names {
				names[i] = fmt.Sprintf("end-user-%d", i)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			book := New(Options{})
			l := alliance.Limits{RequestsPerMinute: 60, TokensPerDay: 1 << 40}
			for _, n := range names {
				book.Restore(start, n, l, 1, 1)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			now, i := start, 0
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Millisecond)
				id, _ := book.Hold(now, names[i*7919%subjects], l, Ask{Tokens: 100, Expires: now.Add(time.Minute)})
				book.Settle(now, id, 50, 0)
				i++
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(subjects), "B/subject")
		})
	}
}
