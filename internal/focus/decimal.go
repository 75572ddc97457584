package focus

import (
	"errors"
	"math/big"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/money"
)

// Scale is the number of decimals that every number of an export fits in: a
// price with six times a quantity with six.
const Scale = 12

// maxDigits and maxExponent bound a number that is read, so that a short text
// cannot ask for a huge integer.
const (
	maxDigits   = 80
	maxExponent = 60
)

// ErrDecimal reports a text that is no decimal number.
var ErrDecimal = errors.New("not a decimal number")

// Decimal is an exact decimal number: n ÷ 10^scale. The zero value is 0.
type Decimal struct {
	n     *big.Int
	scale int
}

// NewDecimal returns n ÷ 10^scale.
func NewDecimal(n int64, scale int) Decimal { return Decimal{big.NewInt(n), scale} }

// AmountDecimal returns an amount of money in units of its currency.
func AmountDecimal(a money.Amount) Decimal { return NewDecimal(int64(a), 6) }

func (d Decimal) int() *big.Int {
	if d.n == nil {
		return new(big.Int)
	}
	return d.n
}

// Mul returns d × e exactly.
func (d Decimal) Mul(e Decimal) Decimal {
	return Decimal{new(big.Int).Mul(d.int(), e.int()), d.scale + e.scale}
}

// Add returns d + e exactly.
func (d Decimal) Add(e Decimal) Decimal {
	s := max(d.scale, e.scale)
	return Decimal{new(big.Int).Add(d.at(s), e.at(s)), s}
}

// Cmp is -1, 0 or 1 as d is below, equal to or above e.
func (d Decimal) Cmp(e Decimal) int {
	s := max(d.scale, e.scale)
	return d.at(s).Cmp(e.at(s))
}

// at returns the integer of d at a scale that is not below its own.
func (d Decimal) at(scale int) *big.Int {
	n := new(big.Int).Set(d.int())
	if scale > d.scale {
		n.Mul(n, pow10(scale-d.scale))
	}
	return n
}

// Unscaled returns d × 10^scale, and whether that is a whole number.
func (d Decimal) Unscaled(scale int) (*big.Int, bool) {
	if scale >= d.scale {
		return d.at(scale), true
	}
	q, r := new(big.Int).QuoRem(d.int(), pow10(d.scale-scale), new(big.Int))
	return q, r.Sign() == 0
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// String renders d with a dot, without an exponent, without trailing zeros.
func (d Decimal) String() string {
	text := new(big.Int).Abs(d.int()).String()
	if d.scale > 0 {
		if short := d.scale + 1 - len(text); short > 0 {
			text = strings.Repeat("0", short) + text
		}
		cut := len(text) - d.scale
		text = strings.TrimRight(text[:cut]+"."+text[cut:], "0")
		text = strings.TrimSuffix(text, ".")
	}
	if d.int().Sign() < 0 {
		return "-" + text
	}
	return text
}

// ParseDecimal reads digits with at most one dot, a sign and an exponent
// ("12", "-0.5", "+1.5e-3").
func ParseDecimal(s string) (Decimal, error) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return Decimal{}, ErrDecimal
		}
		mantissa, exponent = s[:i], e
	}
	negative := strings.HasPrefix(mantissa, "-")
	if negative || strings.HasPrefix(mantissa, "+") {
		mantissa = mantissa[1:]
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits := whole + frac
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return Decimal{}, ErrDecimal
	}
	n, _ := new(big.Int).SetString(digits, 10)
	if negative {
		n.Neg(n)
	}
	scale := len(frac) - exponent
	if scale < 0 {
		n.Mul(n, pow10(-scale))
		scale = 0
	}
	return Decimal{n, scale}, nil
}

// DecimalOf returns n ÷ 10^scale for an n of any size, which it keeps.
func DecimalOf(n *big.Int, scale int) Decimal { return Decimal{n, scale} }
