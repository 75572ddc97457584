package openai

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of arrays and objects that is read.
const MaxDepth = 128

// MaxKeys is the largest number of top-level keys of a request.
const MaxKeys = 256

// span is a half-open range of bytes; the zero span is "absent", because no
// value of an object starts at offset 0.
type span struct{ from, to int }

func (s span) set() bool { return s.to > 0 }

// scanner walks strict JSON once. The first problem sticks: from then on
// every method returns at once, and callers look at problem in the end.
type scanner struct {
	b       []byte
	i       int
	depth   int
	problem string
	at      int
}

func (s *scanner) fail(problem string) {
	if s.problem == "" {
		s.problem, s.at = problem, s.i
	}
}

func (s *scanner) err() error {
	if s.problem == "" {
		return nil
	}
	return fmt.Errorf("at byte %d: %s", s.at, s.problem)
}

// peek returns the byte at the cursor, or 0 at the end and after a problem.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.problem == "" {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return
		}
	}
}

// open consumes the bracket c and goes one level down.
func (s *scanner) open(c byte) bool {
	if s.peek() != c {
		s.fail("expected " + string(rune(c)))
		return false
	}
	if s.depth++; s.depth > MaxDepth {
		s.fail(fmt.Sprintf("nested deeper than %d levels", MaxDepth))
		return false
	}
	s.i++
	return true
}

// members is the state of a walk over one object. After member returned true
// the cursor is at the value, which the caller must consume.
type members struct {
	begun bool
	comma int // offset of the comma before the key, 0 for the first member
	start int // offset of the key's quote
	name  []byte
}

func (s *scanner) member(m *members) bool {
	s.space()
	c := s.peek()
	switch {
	case c == '}':
		s.i++
		s.depth--
		return false
	case m.begun && c == ',':
		m.comma = s.i
		s.i++
		s.space()
	case m.begun:
		s.fail("expected , or } after a value")
		return false
	}
	m.begun, m.start = true, s.i
	from, to, escaped := s.text()
	if s.problem != "" {
		return false
	}
	m.name = s.b[from:to]
	if escaped {
		m.name = []byte(s.plain(from, to, true))
	}
	s.space()
	if s.peek() != ':' {
		s.fail("expected : after a key")
		return false
	}
	s.i++
	s.space()
	return s.problem == ""
}

// element steps to the next element of an array; begun starts as false.
func (s *scanner) element(begun *bool) bool {
	s.space()
	c := s.peek()
	switch {
	case c == ']' && s.problem == "":
		s.i++
		s.depth--
		return false
	case *begun && c == ',':
		s.i++
		s.space()
		if s.peek() == ']' {
			s.fail("expected a value after ,")
		}
	case *begun:
		s.fail("expected , or ] after a value")
	}
	*begun = true
	return s.problem == ""
}

const (
	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	quotes  = ones * '"'
	slashes = ones * '\\'
	blanks  = ones * ' '
)

// special marks the bytes of w that end or change a string: the lowest mark
// is exact, higher ones may be false.
func special(w uint64) uint64 {
	q, e := w^quotes, w^slashes
	return ((q-ones)&^q | (e-ones)&^e | (w-blanks)&^w) & highs
}

// plainRun is how many bytes of a string without anything special make it
// worth to look at four words at once.
const plainRun = 32

// plainText returns how many bytes at the start of b have nothing special, as
// a multiple of 32 that may be too small.
func plainText(b []byte) (n int) {
	for ; len(b) >= 32; b = b[32:] {
		if special(binary.LittleEndian.Uint64(b))|special(binary.LittleEndian.Uint64(b[8:]))|
			special(binary.LittleEndian.Uint64(b[16:]))|special(binary.LittleEndian.Uint64(b[24:])) != 0 {
			break
		}
		n += 32
	}
	return n
}

// text consumes a string and returns the range between its quotes.
func (s *scanner) text() (from, to int, escaped bool) {
	if s.peek() != '"' {
		s.fail("expected a string")
		return 0, 0, false
	}
	b, i := s.b, s.i+1
	from = i
	for {
		for start := i; i+8 <= len(b); {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			if i += 8; i-start == plainRun {
				i += plainText(b[i:])
			}
		}
		if i >= len(b) {
			s.i = len(b)
			s.fail("a string does not end")
			return 0, 0, false
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return from, i, escaped
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				s.i = i
				s.fail("an escape in a string is not valid")
				return 0, 0, false
			}
			escaped = true
			i += n
		case c < ' ':
			s.i = i
			s.fail("a control character in a string must be escaped")
			return 0, 0, false
		default:
			i++
		}
	}
}

// escape returns the length of the escape at the start of b, or 0.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// plain returns the value of a string whose content is b[from:to].
func (s *scanner) plain(from, to int, escaped bool) string {
	if !escaped {
		return string(s.b[from:to])
	}
	var v string
	if err := json.Unmarshal(s.b[from-1:to+1], &v); err != nil {
		s.fail("a string cannot be read")
	}
	return v
}

// skip consumes one value of any kind.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '"':
		s.text()
	case '{':
		var m members
		if s.open(c) {
			for s.member(&m) {
				s.skip()
			}
		}
	case '[':
		begun := false
		if s.open(c) {
			for s.element(&begun) {
				s.skip()
			}
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *scanner) literal(word string) bool {
	if s.problem != "" {
		return false
	}
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		s.fail("expected a value")
		return false
	}
	s.i += len(word)
	return true
}

func (s *scanner) digits() int {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - from
}

// number consumes a number and reports whether it is written as an integer.
func (s *scanner) number() (integer bool) {
	if s.problem != "" {
		return false
	}
	if s.peek() == '-' {
		s.i++
	}
	zero := s.peek() == '0'
	switch n := s.digits(); {
	case n == 0:
		s.fail("expected a value")
		return false
	case zero && n > 1:
		s.fail("a number must not start with 0")
		return false
	}
	integer = true
	if s.peek() == '.' {
		integer = false
		s.i++
		if s.digits() == 0 {
			s.fail("expected a digit after the decimal point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		integer = false
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if s.digits() == 0 {
			s.fail("expected a digit in the exponent")
		}
	}
	return integer
}

// integer reads an integer of at most 18 digits. ok is false when the value
// is of another kind or too large; it is consumed all the same.
func (s *scanner) integer() (v int64, ok bool) {
	from := s.i
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		s.skip()
		return 0, false
	}
	if !s.number() || s.problem != "" || s.i-from > 18 {
		return 0, false
	}
	negative := s.b[from] == '-'
	for _, c := range s.b[from:s.i] {
		if c != '-' {
			v = v*10 + int64(c-'0')
		}
	}
	if negative {
		v = -v
	}
	return v, true
}

// isInteger reports whether what was consumed since from is written as an
// integer, however large.
func (s *scanner) isInteger(from int) bool {
	for i := from; i < s.i; i++ {
		if c := s.b[i]; (c < '0' || c > '9') && (c != '-' || i > from) {
			return false
		}
	}
	return s.i > from
}

// end demands that nothing but white space follows.
func (s *scanner) end() {
	s.space()
	if s.problem == "" && s.i != len(s.b) {
		s.fail("something follows the end of the object")
	}
}

// quote appends text as a JSON string. Bytes that are not UTF-8, as a path or
// a name may hold them, become the replacement character.
func quote(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
