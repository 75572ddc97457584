package exchange_test

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/money"
)

func quote(t testing.TB, base, to, rate, on string) exchange.Quote {
	t.Helper()
	d, err := exchange.ParseDecimal(rate)
	if err != nil {
		t.Fatal(err)
	}
	return exchange.Quote{Base: money.Currency(base), Quote: money.Currency(to), Rate: d, On: on, Source: "ECB"}
}

func TestDecimal_StaysAsQuoted(t *testing.T) {
	for _, text := range []string{"1.0842", "1.0840", "0.92", "163", "0.0000000001", "9999999999", "0.9999999999"} {
		d, err := exchange.ParseDecimal(text)
		if err != nil || d.String() != text {
			t.Errorf("%q reads %+v, %v, and prints %q", text, d, err, d)
		}
	}
}

func TestDecimal_RefusesWhatIsNoRate(t *testing.T) {
	for _, text := range []string{"", "0", "0.00", "-1", "+1", "1e3", "1.", ".5", "1,08", "1.2.3", "12345678901", "1.00000000001", "1 ", "١"} {
		if d, err := exchange.ParseDecimal(text); !errors.Is(err, exchange.ErrQuote) {
			t.Errorf("%q reads %v, %v", text, d, err)
		}
	}
}

func TestQuote_IsRefusedWithARemedy(t *testing.T) {
	good := quote(t, "EUR", "USD", "1.0842", "2026-03-02")
	for _, row := range []struct {
		name string
		edit func(*exchange.Quote)
		says string
	}{
		{"no currency", func(q *exchange.Quote) { q.Base = "EURO" }, "three capital letters"},
		{"itself", func(q *exchange.Quote) { q.Quote = "EUR" }, "two currencies"},
		{"no rate", func(q *exchange.Quote) { q.Rate = exchange.Decimal{} }, "such as 1.0842"},
		{"no day", func(q *exchange.Quote) { q.On = "2026-02-30" }, "YYYY-MM-DD"},
		{"a day in another form", func(q *exchange.Quote) { q.On = "2.3.2026" }, "YYYY-MM-DD"},
		{"no source", func(q *exchange.Quote) { q.Source = "" }, "such as ECB"},
		{"a long source", func(q *exchange.Quote) { q.Source = strings.Repeat("x", exchange.MaxSource+1) }, "bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := good
			row.edit(&q)
			if err := q.Check(); !errors.Is(err, exchange.ErrQuote) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v", err)
			}
		})
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

func TestFind_TakesTheLastQuoteOnOrBeforeTheDayThatWasKnown(t *testing.T) {
	var table *exchange.Table
	for i, q := range []exchange.Quote{
		quote(t, "EUR", "USD", "1.08", "2026-03-02"),
		quote(t, "EUR", "USD", "1.10", "2026-03-05"),
		quote(t, "EUR", "USD", "1.09", "2026-03-02"), // corrects the first
		quote(t, "USD", "EUR", "0.9", "2026-03-04"),  // the other direction, late
	} {
		table = table.With(exchange.Known{Quote: q, At: int64(i), After: uint64(10 * i)})
	}
	for _, row := range []struct {
		name, day string
		before    uint64
		want      string // id, until
	}{
		{"before all days", "2026-03-01", exchange.Always, " "},
		{"on its day, corrected", "2026-03-02", exchange.Always, "EUR/USD=1.09@2026-03-02 2026-03-04"},
		{"before it was known", "2026-03-02", 0, " "},
		{"before it was corrected", "2026-03-03", 20, "EUR/USD=1.08@2026-03-02 2026-03-05"},
		{"after the weekend of no quote", "2026-03-04", 30, "EUR/USD=1.09@2026-03-02 2026-03-05"},
		{"quoted the other way", "2026-03-04", exchange.Always, "USD/EUR=0.9@2026-03-04 2026-03-05"},
		{"long after", "2030-01-01", exchange.Always, "EUR/USD=1.10@2026-03-05 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := " "
			if r, ok := table.Find("EUR", "USD", row.day, row.before); ok {
				got = r.ID() + " " + r.Until
			}
			if got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
	if _, ok := table.Find("EUR", "CHF", "2026-03-05", exchange.Always); ok {
		t.Error("a rate that nobody quoted")
	}
	if n := len(table.KnownAt(1).All()); n != 2 {
		t.Errorf("%d quotes were known at 1", n)
	}
}

func TestConvert_IsTheFloorOfTheExactProduct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.Int64Range(1, 9_999_999_999).Draw(t, "digits")
		q := exchange.Quote{Base: "EUR", Quote: "USD", Rate: exchange.Decimal{Digits: digits, Scale: uint8(rapid.IntRange(0, 10).Draw(t, "scale"))}, On: "2026-03-02", Source: "x"}
		table := (*exchange.Table)(nil).With(exchange.Known{Quote: q})
		amount := money.Amount(rapid.Int64Range(-1e15, 1e15).Draw(t, "amount"))
		for _, from := range []money.Currency{"EUR", "USD"} {
			to := money.Currency("USD")
			exact := new(big.Rat).SetFrac(big.NewInt(digits), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(q.Rate.Scale)), nil))
			if from == "USD" {
				to = "EUR"
				exact.Inv(exact)
			}
			r, ok := table.Find(from, to, "2026-03-02", exchange.Always)
			if !ok || exact.Cmp(new(big.Rat).SetFrac64(r.Num, r.Den)) != 0 {
				t.Fatalf("%s: %d/%d, want %s", q.ID(), r.Num, r.Den, exact)
			}
			product := new(big.Rat).Mul(exact, new(big.Rat).SetInt64(int64(amount)))
			want := new(big.Int).Div(product.Num(), product.Denom())
			if got, ok := r.Convert(amount); ok != want.IsInt64() || ok && int64(got) != want.Int64() {
				t.Fatalf("%d × %s = %d, %v; want %s", amount, exact, got, ok, want)
			}
		}
	})
}

func TestWith_LeavesTheTableBeforeItAsItWas(t *testing.T) {
	one := (*exchange.Table)(nil).With(exchange.Known{Quote: quote(t, "EUR", "USD", "1.08", "2026-03-02")})
	two := one.With(exchange.Known{Quote: quote(t, "EUR", "USD", "1.09", "2026-03-03")})
	three := one.With(exchange.Known{Quote: quote(t, "EUR", "USD", "1.07", "2026-03-01")})
	ids := func(t *exchange.Table) (list []string) {
		for _, k := range t.All() {
			list = append(list, k.ID())
		}
		return list
	}
	if !slices.Equal(ids(one), []string{"EUR/USD=1.08@2026-03-02"}) || len(ids(two)) != 2 || ids(three)[0] != "EUR/USD=1.07@2026-03-01" {
		t.Errorf("%v, %v, %v", ids(one), ids(two), ids(three))
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, text := range []string{"1.0842", "0.1", "163", "00.10", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := exchange.ParseDecimal(text)
		if err != nil {
			return
		}
		if back, err := exchange.ParseDecimal(d.String()); err != nil || back != d {
			t.Fatalf("%q reads %v, which reads %v, %v", text, d, back, err)
		}
	})
}
