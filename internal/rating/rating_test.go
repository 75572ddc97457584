package rating_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
)

func drawRates(t *rapid.T) alliance.Rates {
	amount := func(name string) money.Amount { return money.Amount(rapid.Int64Range(0, 1<<40).Draw(t, name)) }
	return alliance.Rates{Input: amount("input"), CacheRead: amount("read"), CacheWrite: amount("write"), Output: amount("output"), Reasoning: amount("reasoning")}
}

func drawUsage(t *rapid.T) usage.Vector {
	n := rapid.Int64Range(0, usage.MaxTokens)
	return usage.Vector{UncachedInput: n.Draw(t, "input"), CacheRead: n.Draw(t, "read"), CacheWrite: n.Draw(t, "write"), Output: n.Draw(t, "output"), Reasoning: n.Draw(t, "reasoning")}
}

// exact computes the numerator by other means.
func exact(r alliance.Rates, u usage.Vector) *big.Int {
	total := new(big.Int)
	for _, p := range [...][2]int64{{int64(r.Input), u.UncachedInput}, {int64(r.CacheRead), u.CacheRead}, {int64(r.CacheWrite), u.CacheWrite}, {int64(r.Output), u.Output}, {int64(r.Reasoning), u.Reasoning}} {
		total.Add(total, new(big.Int).Mul(big.NewInt(p[0]), big.NewInt(p[1])))
	}
	return total
}

func TestNumerator_IsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, u := drawRates(t), drawUsage(t)
		if got, want := rating.Numerator(r, u).String(), exact(r, u).String(); got != want {
			t.Fatalf("numerator %s, want %s", got, want)
		}
	})
}

func TestCarry_BatchesAddUpToTheFloorOfTheTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRates(t)
		var carry money.Carry
		var sum money.Amount
		total := new(big.Int)
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			u := drawUsage(t)
			total.Add(total, exact(r, u))
			a, ok := carry.Take(rating.Numerator(r, u), rating.Divisor)
			if !ok {
				t.Fatal("does not fit")
			}
			sum += a
		}
		if want := new(big.Int).Div(total, big.NewInt(rating.Divisor)).String(); want != big.NewInt(int64(sum)).String() {
			t.Fatalf("batches add up to %d, the total's floor is %s", sum, want)
		}
	})
}

func TestCarry_AReversalNetsToZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, u := drawRates(t), drawUsage(t)
		before := rapid.Int64Range(0, rating.Divisor-1).Draw(t, "remainder")
		carry := money.Carry{Remainder: before}
		n := rating.Numerator(r, u)
		a, _ := carry.Take(n, rating.Divisor)
		b, _ := carry.Take(n.Neg(), rating.Divisor)
		if a+b != 0 || carry.Remainder != before {
			t.Fatalf("%d and its reversal %d leave %d and the remainder %d, which was %d", a, b, a+b, carry.Remainder, before)
		}
	})
}

func TestCeil_IsNeverBelowAndLessThanOneAbove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, u := drawRates(t), drawUsage(t)
		n := exact(r, u)
		up := new(big.Int).Mul(big.NewInt(int64(rating.Ceil(r, u))), big.NewInt(rating.Divisor))
		if over := up.Sub(up, n); over.Sign() < 0 || over.Cmp(big.NewInt(rating.Divisor)) >= 0 {
			t.Fatalf("the ceiling is %s numerators off", over)
		}
	})
}

func TestCeil_BeyondTheRangeIsTheLargestAmount(t *testing.T) {
	r := alliance.Rates{Output: math.MaxInt64}
	if got := rating.Ceil(r, usage.Vector{Output: usage.MaxTokens}); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
}

func TestBook_FindsThePriceInForce(t *testing.T) {
	day := func(text string) alliance.Date {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return alliance.Date{Time: d}
	}
	a := &alliance.Alliance{
		Prices: []alliance.Price{
			{ID: "old", Pools: []alliance.PoolID{"p", "q"}, Model: "m", Term: alliance.Term{From: day("2026-01-01"), Until: day("2026-06-01")}, List: alliance.Rates{Input: 10}},
			{ID: "new", Pools: []alliance.PoolID{"p"}, Model: "m", Term: alliance.Term{From: day("2026-06-01")}, List: alliance.Rates{Input: 9}, Contracted: &alliance.Rates{Input: 7}},
			{ID: "special", Pools: []alliance.PoolID{"p"}, Model: "m", Term: alliance.Term{From: day("2026-08-01"), Until: day("2026-09-01")}, List: alliance.Rates{Input: 5}},
		},
		Plans: []alliance.Plan{{ID: "x", Price: &alliance.SalePrice{ID: "sale", Rates: alliance.Rates{Input: 20}}, Wholesale: &alliance.SalePrice{ID: "wholesale", Rates: alliance.Rates{Input: 15}}}},
	}
	b := rating.NewBook(a)
	rows := []struct {
		name, pool, at, want string
	}{
		{"before all terms", "p", "2025-12-31", ""},
		{"in the first term", "p", "2026-05-31", "old"},
		{"the end is outside", "p", "2026-06-01", "new"},
		{"the later of two that overlap", "p", "2026-08-15", "special"},
		{"after the overlap", "p", "2026-09-01", "new"},
		{"another pool keeps its own", "q", "2026-06-01", ""},
		{"an unknown pool", "z", "2026-05-31", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := alliance.PriceID("")
			if p, ok := b.Cost(alliance.PoolID(row.pool), "m", day(row.at).Time); ok {
				got = p.ID
			}
			if string(got) != row.want {
				t.Errorf("price %q, want %q", got, row.want)
			}
		})
	}
	for id, want := range map[alliance.PriceID]money.Amount{"old": 10, "new": 7, "sale": 20, "wholesale": 15} {
		if r, ok := b.ByID(id); !ok || r.Input != want {
			t.Errorf("rates of %s: %v, %v", id, r, ok)
		}
	}
	if _, ok := b.ByID("none"); ok {
		t.Error("an unknown price has rates")
	}
}
