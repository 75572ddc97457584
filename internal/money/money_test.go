package money

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestParse_ReadsDigitsExactly(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       Amount
	}{
		{"whole units", "38000000000", 38_000_000_000 * Micro},
		{"underscores between digits", "5_430_000_000", 5_430_000_000 * Micro},
		{"six decimals", "0.000001", 1},
		{"no whole part", ".5", Micro / 2},
		{"negative", "-2.75", -2_750_000},
		{"zero", "0", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, err := Parse(row.text); err != nil || got != row.want {
				t.Fatalf("Parse(%q) = %d, %v; want %d", row.text, got, err, row.want)
			}
		})
	}
}

func TestParse_RefusesWhatIsNotAnAmount(t *testing.T) {
	for _, text := range []string{"", "-", ".", "1e9", "1.0000001", "1,000", "0x10", "١", " 1", "--1", "1.2.3", "_", "1__0", "_1", "1_"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %d, want an error", text, got)
		}
	}
	if _, err := Parse("9300000000000"); !errors.Is(err, ErrRange) {
		t.Errorf("beyond the range: %v", err)
	}
}

func TestAmount_ReadsBackWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Amount(rapid.Int64Range(-9e18, 9e18).Draw(t, "amount"))
		got, err := Parse(a.String())
		if err != nil || got != a {
			t.Fatalf("%d prints %q, which reads %d, %v", a, a, got, err)
		}
	})
	if got := Amount(math.MinInt64).String(); got != "-9223372036854.775808" {
		t.Errorf("the least amount prints %q", got)
	}
}

func TestAdd_RefusesToWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		exact := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		got, err := Amount(a).Add(Amount(b))
		if exact.IsInt64() != (err == nil) || err == nil && int64(got) != exact.Int64() {
			t.Fatalf("%d + %d = %d, %v", a, b, got, err)
		}
	})
}

func bigOf(w Wide) *big.Int {
	b := new(big.Int).Lsh(big.NewInt(w.hi), 64)
	return b.Add(b, new(big.Int).SetUint64(w.lo))
}

func TestWide_IsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b"), rapid.Int64().Draw(t, "c")
		d := rapid.Int64Range(1, math.MaxInt64).Draw(t, "d")
		w := Product(a, b).Add(WideOf(c))
		exact := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
		exact.Add(exact, big.NewInt(c))
		if bigOf(w).Cmp(exact) != 0 || w.Sign() != exact.Sign() || bigOf(w.Neg()).Cmp(new(big.Int).Neg(exact)) != 0 {
			t.Fatalf("%d × %d + %d = %s, want %s", a, b, c, bigOf(w), exact)
		}
		if f := rapid.Int64Range(-1<<30, 1<<30).Draw(t, "factor"); rapid.Bool().Draw(t, "times") {
			small := WideOf(a).Add(WideOf(c))
			want := new(big.Int).Mul(new(big.Int).Add(big.NewInt(a), big.NewInt(c)), big.NewInt(f))
			if bigOf(small.Times(f)).Cmp(want) != 0 {
				t.Fatalf("(%d + %d) × %d = %s, want %s", a, c, f, bigOf(small.Times(f)), want)
			}
		}
		quotient, rest := new(big.Int).DivMod(exact, big.NewInt(d), new(big.Int))
		q, r, ok := w.FloorDiv(d)
		if ok && (q != quotient.Int64() || r != rest.Int64()) || ok && !quotient.IsInt64() {
			t.Fatalf("%s ÷ %d = %d rest %d, %v; want %s rest %s", exact, d, q, r, ok, quotient, rest)
		}
		if !ok && quotient.IsInt64() && quotient.Cmp(big.NewInt(math.MinInt64)) != 0 && quotient.Cmp(big.NewInt(math.MinInt64+1)) != 0 {
			t.Fatalf("%s ÷ %d fits, and FloorDiv says it does not", exact, d)
		}
	})
}

func TestCarry_TakesTheFloorOfTheTotalWhateverTheBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const divisor = 1_000_000
		parts := rapid.SliceOf(rapid.Int64Range(-1e15, 1e15)).Draw(t, "numerators")
		var carry Carry
		var taken, total int64
		for _, n := range parts {
			a, ok := carry.Take(WideOf(n), divisor)
			if !ok || carry.Remainder < 0 || carry.Remainder >= divisor {
				t.Fatalf("take %d: %v, remainder %d", n, ok, carry.Remainder)
			}
			taken += int64(a)
			total += n
		}
		if q, r, _ := WideOf(total).FloorDiv(divisor); taken != q || carry.Remainder != r {
			t.Fatalf("took %d rest %d, want %d rest %d", taken, carry.Remainder, q, r)
		}
	})
}

func TestCarry_KeepsItsRestWhenAnAmountDoesNotFit(t *testing.T) {
	carry := Carry{Remainder: 7}
	if _, ok := carry.Take(Product(math.MaxInt64, math.MaxInt64), 10); ok || carry.Remainder != 7 {
		t.Fatalf("ok %v, remainder %d", ok, carry.Remainder)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"1", "-0.5", "38_000_000_000", "9223372036854.775807", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := Parse(a.String()); err != nil || back != a {
			t.Fatalf("%q reads %d, prints %q, reads %d, %v", text, a, a, back, err)
		}
	})
}
