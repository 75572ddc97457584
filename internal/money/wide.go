package money

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
)

// Wide is a signed 128-bit integer in two's complement. It holds exact
// products such as micro-units × tokens, before they are divided and rounded.
// The zero value is 0.
type Wide struct {
	hi int64
	lo uint64
}

// Product returns a×b exactly.
func Product(a, b int64) Wide {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if a < 0 {
		hi -= uint64(b)
	}
	if b < 0 {
		hi -= uint64(a)
	}
	return Wide{int64(hi), lo}
}

// WideOf returns v as a Wide.
func WideOf(v int64) Wide { return Wide{v >> 63, uint64(v)} }

// Add returns w+v; sums of fewer than 2^60 products of 64-bit amounts and
// counts below 2^33 cannot overflow.
func (w Wide) Add(v Wide) Wide {
	lo, carry := bits.Add64(w.lo, v.lo, 0)
	hi, _ := bits.Add64(uint64(w.hi), uint64(v.hi), carry)
	return Wide{int64(hi), lo}
}

// Times returns w×n; products beyond 127 bits wrap, which rates of exchange of
// ten digits cannot make of a batch of requests.
func (w Wide) Times(n int64) Wide {
	hi, lo := bits.Mul64(w.lo, uint64(n))
	hi += uint64(w.hi) * uint64(n)
	if n < 0 {
		hi -= w.lo
	}
	return Wide{int64(hi), lo}
}

// Neg returns -w.
func (w Wide) Neg() Wide {
	lo, borrow := bits.Sub64(0, w.lo, 0)
	hi, _ := bits.Sub64(0, uint64(w.hi), borrow)
	return Wide{int64(hi), lo}
}

// Sign returns -1, 0 or 1.
func (w Wide) Sign() int {
	switch {
	case w.hi < 0:
		return -1
	case w.hi == 0 && w.lo == 0:
		return 0
	}
	return 1
}

// FloorDiv returns the floor of w/d and the remainder in [0, d), for d > 0.
// ok is false when the quotient does not fit an int64.
func (w Wide) FloorDiv(d int64) (q, r int64, ok bool) {
	if d <= 0 {
		panic("money: FloorDiv by a divisor that is not positive")
	}
	negative := w.hi < 0
	m := w
	if negative {
		m = w.Neg()
	}
	if uint64(m.hi) >= uint64(d) {
		return 0, 0, false
	}
	uq, ur := bits.Div64(uint64(m.hi), m.lo, uint64(d))
	if uq > math.MaxInt64 {
		return 0, 0, false
	}
	q, r = int64(uq), int64(ur)
	if negative {
		q = -q
		if r != 0 {
			q, r = q-1, d-r
		}
	}
	return q, r, true
}

// Carry is the remainder of rating for one (account, price): what was earned
// but is smaller than a micro-unit. It is always in [0, Divisor). With it the
// sum of the amounts taken equals the floor of the exact total, whatever the
// batches; a reversal takes the negative numerator.
type Carry struct {
	Remainder int64
}

// Take adds the numerator n (micro-units × divisor) to the carry and returns
// the whole micro-units that come out of it, keeping the rest. ok is false,
// and nothing changes, when the amount does not fit.
func (c *Carry) Take(n Wide, divisor int64) (a Amount, ok bool) {
	q, r, ok := n.Add(WideOf(c.Remainder)).FloorDiv(divisor)
	if !ok {
		return 0, false
	}
	c.Remainder = r
	return Amount(q), true
}

// Append adds the 16 bytes of w to dst, big-endian two's complement.
func (w Wide) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.hi))
	return binary.BigEndian.AppendUint64(dst, w.lo)
}

// String renders w in decimal.
func (w Wide) String() string {
	n := new(big.Int).Lsh(big.NewInt(w.hi), 64)
	return n.Add(n, new(big.Int).SetUint64(w.lo)).String()
}
