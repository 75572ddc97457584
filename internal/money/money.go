// Package money holds amounts as integers: an Amount is a count of
// micro-units (10^-6) of one ISO 4217 currency, and products that do not fit
// in 64 bits are kept exactly in a Wide. It refuses floating point, it does
// not convert currencies, and it rounds in one place only: Carry.Take.
package money

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Micro is the number of micro-units in one unit of a currency.
const Micro = 1_000_000

// Amount is a signed number of micro-units of a currency that the context
// names. Its range is about ±9.2e12 units.
type Amount int64

// Currency is an ISO 4217 code such as "USD".
type Currency string

// ErrRange reports a value that does not fit an Amount.
var ErrRange = errors.New("amount is out of range: at most about 9.2e12 units")

// Parse reads a decimal number of units ("38000000000", "2.75", "-0.000001")
// with at most six decimals; underscores between digits are allowed. It
// refuses exponents, further decimals and values beyond the range of Amount.
func Parse(s string) (Amount, error) {
	for i, c := range s {
		if c == '_' && (i == 0 || i == len(s)-1 || !isDigit(s[i-1]) || !isDigit(s[i+1])) {
			return 0, fmt.Errorf("%q is not an amount: an underscore stands between two digits", s)
		}
	}
	text := strings.ReplaceAll(s, "_", "")
	negative := strings.HasPrefix(text, "-")
	text = strings.TrimPrefix(text, "-")
	whole, frac, _ := strings.Cut(text, ".")
	if whole == "" && frac == "" || len(frac) > 6 {
		return 0, fmt.Errorf("%q is not an amount: write digits with at most six decimals", s)
	}
	var n uint64
	for _, c := range whole + frac + "000000"[len(frac):] {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is not an amount: write digits with at most six decimals", s)
		}
		if n > (math.MaxInt64-9)/10 {
			return 0, ErrRange
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -Amount(n), nil
	}
	return Amount(n), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// String renders the amount in units with two to six decimals ("12.50",
// "0.000042"), without a currency.
func (a Amount) String() string {
	sign, n := "", uint64(a)
	if a < 0 {
		sign, n = "-", -n
	}
	frac := fmt.Sprintf("%06d", n%Micro)
	for len(frac) > 2 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	return fmt.Sprintf("%s%d.%s", sign, n/Micro, frac)
}

// UnmarshalText reads what Parse reads; it lets YAML and JSON decoders fill
// an Amount from the digits as written, never through a float.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err == nil {
		*a = v
	}
	return err
}

// MarshalText renders the amount as String does.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Add returns a+b, or ErrRange when the sum does not fit.
func (a Amount) Add(b Amount) (Amount, error) {
	s := a + b
	if (b > 0 && s < a) || (b < 0 && s > a) {
		return 0, ErrRange
	}
	return s, nil
}
