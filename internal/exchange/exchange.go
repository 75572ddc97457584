// Package exchange keeps dated exchange rates as they were quoted and turns
// amounts of one currency into another, exactly. It refuses floating point,
// rates that pass through a third currency, and to guess: what was not quoted
// is not known.
package exchange

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
)

// Limits of a quoted rate.
const (
	MaxDigits = 10  // digits of a rate, leading zeros not counted
	MaxScale  = 10  // of them after the point
	MaxSource = 200 // bytes of who quoted it
)

// ErrQuote reports a quote that cannot be kept.
var ErrQuote = errors.New("not a rate of exchange")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrQuote}, args...)...)
}

// Decimal is a positive number as it was written: Digits ÷ 10^Scale.
type Decimal struct {
	Digits int64
	Scale  uint8
}

// ParseDecimal reads digits with at most one point ("1.0842"). It refuses
// signs, exponents, zero and more than MaxDigits digits.
func ParseDecimal(text string) (Decimal, error) {
	whole, frac, _ := strings.Cut(text, ".")
	if len(frac) > MaxScale || whole == "" || strings.HasSuffix(text, ".") {
		return Decimal{}, wrong("%q: write it as quoted, such as 1.0842, with at most %d decimals", text, MaxScale)
	}
	d := Decimal{Scale: uint8(len(frac))}
	for _, c := range whole + frac {
		if c < '0' || c > '9' {
			return Decimal{}, wrong("%q: write it as quoted, such as 1.0842: digits and one point", text)
		}
		if d.Digits = d.Digits*10 + int64(c-'0'); d.Digits >= pow10(MaxDigits) {
			return Decimal{}, wrong("%q has more than %d digits", text, MaxDigits)
		}
	}
	if d.Digits == 0 {
		return Decimal{}, wrong("%q: a rate is above zero", text)
	}
	return d, nil
}

// String renders the number as it was quoted, with its zeros at the end.
func (d Decimal) String() string {
	text := fmt.Sprintf("%0*d", int(d.Scale)+1, d.Digits)
	if d.Scale == 0 {
		return text
	}
	at := len(text) - int(d.Scale)
	return text[:at] + "." + text[at:]
}

// MarshalText renders what String does.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDecimal reads.
func (d *Decimal) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDecimal(string(text))
	return err
}

// Quote says that one unit of Base was worth Rate units of Quote on a day, in
// the words of its source.
type Quote struct {
	Base   money.Currency `json:"base"`
	Quote  money.Currency `json:"quote"`
	Rate   Decimal        `json:"rate"`
	On     string         `json:"on"` // civil day, YYYY-MM-DD
	Source string         `json:"source"`
}

// Check returns ErrQuote with a remedy when q cannot be kept.
func (q *Quote) Check() error {
	for _, c := range [...]money.Currency{q.Base, q.Quote} {
		if !c.Known() {
			return wrong("%q is no ISO 4217 currency: write three capital letters such as USD or EUR", c)
		}
	}
	if q.Base == q.Quote {
		return wrong("%s against itself: --base and --quote are two currencies", q.Base)
	}
	if q.Rate.Digits <= 0 || q.Rate.Digits >= pow10(MaxDigits) || q.Rate.Scale > MaxScale {
		return wrong("the rate is missing: write it as quoted, such as 1.0842")
	}
	if day, err := time.Parse(time.DateOnly, q.On); err != nil || day.Format(time.DateOnly) != q.On {
		return wrong("%q is no day: write it as YYYY-MM-DD", q.On)
	}
	if q.Source == "" || len(q.Source) > MaxSource {
		return wrong("name who quoted it, in 1 to %d bytes, such as ECB", MaxSource)
	}
	return nil
}

// ID is the quote in one word, "EUR/USD=1.0842@2026-03-02": entries that were
// made with it cite it.
func (q *Quote) ID() string {
	return string(q.Base) + "/" + string(q.Quote) + "=" + q.Rate.String() + "@" + q.On
}

// Known is a quote and when it became known.
type Known struct {
	Quote
	At    int64  // nanoseconds since 1970 UTC
	After uint64 // the last record of the journal that was posted before it
}

type pair [2]money.Currency

func pairOf(a, b money.Currency) pair { return pair{min(a, b), max(a, b)} }

// Table holds what is known. It is immutable; nil is the empty one.
type Table struct {
	pairs map[pair][]Known // by day, then in the order in which they became known
}

// With returns the table with one more quote. A second quote of the same day
// corrects the first from then on.
func (t *Table) With(k Known) *Table {
	next := &Table{pairs: map[pair][]Known{}}
	if t != nil {
		for p, list := range t.pairs {
			next.pairs[p] = list
		}
	}
	p := pairOf(k.Base, k.Quote.Quote)
	old := next.pairs[p]
	at, _ := slices.BinarySearchFunc(old, k.On, afterDay)
	next.pairs[p] = slices.Insert(slices.Clone(old), at, k)
	return next
}

// KnownAt returns the table as it was at an instant, nanoseconds since 1970 UTC.
func (t *Table) KnownAt(at int64) *Table {
	next := &Table{pairs: map[pair][]Known{}}
	if t != nil {
		for p, list := range t.pairs {
			next.pairs[p] = slices.DeleteFunc(slices.Clone(list), func(k Known) bool { return k.At > at })
		}
	}
	return next
}

// All returns every quote, by pair, then by day.
func (t *Table) All() (list []Known) {
	if t == nil {
		return nil
	}
	for _, known := range t.pairs {
		list = append(list, known...)
	}
	slices.SortStableFunc(list, func(x, y Known) int {
		return cmp.Or(cmp.Compare(x.Base, y.Base), cmp.Compare(x.Quote.Quote, y.Quote.Quote), cmp.Compare(x.On, y.On))
	})
	return list
}

// Rate turns amounts of one currency into another: they are multiplied by
// Num ÷ Den, which is the quote in the direction that is asked for.
type Rate struct {
	Quote
	Num, Den int64
	// Until is the day from which another quote that is known holds; empty: none.
	Until string
}

// Find returns the rate from one currency to another on a civil day: the last
// one quoted on or before it, in either direction, among those that were
// known before a record of the journal. Of two quotes of one day the one that
// became known later holds.
func (t *Table) Find(from, to money.Currency, day string, before uint64) (Rate, bool) {
	if t == nil {
		return Rate{}, false
	}
	list := t.pairs[pairOf(from, to)]
	next, _ := slices.BinarySearchFunc(list, day, afterDay)
	for i := next - 1; i >= 0; i-- {
		if list[i].After >= before {
			continue
		}
		r := Rate{Quote: list[i].Quote}.toward(from)
		for ; next < len(list) && r.Until == ""; next++ {
			if list[next].After < before {
				r.Until = list[next].On
			}
		}
		return r, true
	}
	return Rate{}, false
}

// afterDay sorts all quotes up to a day before it.
func afterDay(k Known, day string) int {
	if k.On <= day {
		return -1
	}
	return 1
}

// Always is the record that every quote is known before.
const Always = ^uint64(0)

func (r Rate) toward(from money.Currency) Rate {
	r.Num, r.Den = r.Rate.Digits, pow10(int(r.Rate.Scale))
	if r.Base != from {
		r.Num, r.Den = r.Den, r.Num
	}
	if g := gcd(r.Num, r.Den); g > 1 {
		r.Num, r.Den = r.Num/g, r.Den/g
	}
	return r
}

// Convert returns the amount in the other currency, rounded down once. ok is
// false when it does not fit.
func (r Rate) Convert(a money.Amount) (money.Amount, bool) {
	q, _, ok := money.Product(int64(a), r.Num).FloorDiv(r.Den)
	return money.Amount(q), ok
}

// Inverse returns the rate in the other direction.
func (r Rate) Inverse() Rate {
	r.Num, r.Den = r.Den, r.Num
	return r
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
