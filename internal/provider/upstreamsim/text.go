package upstreamsim

import "unicode/utf8"

// appendString appends s as a JSON string, without the HTML escapes of
// encoding/json, which providers do not send. Invalid UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size != 1 {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, "\ufffd"...)
		}
		i++
		start = i
	}
	return append(b, s[start:]...)
}

// mix is the splitmix64 finaliser: a cheap, good hash of one word.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tokens counts bytes of text by the declared rule.
func tokens(bytes int) int64 { return int64((bytes + bytesPerToken - 1) / bytesPerToken) }

// wordList holds 16 words of three letters, each with a space: four bytes, one token.
const wordList = "the sun sat low and one old man ran far out but new men can see "

// generate makes text of exactly n tokens that says it is simulated.
func generate(pool string, hash uint64, n int64) string {
	size := int(n) * bytesPerToken
	b := make([]byte, 0, size+bytesPerToken)
	b = append(b, "[simulated "...)
	b = append(b, pool...)
	b = append(b, ']')
	for len(b)%bytesPerToken != 0 || b[len(b)-1] == ']' {
		b = append(b, ' ')
	}
	for i := uint64(0); len(b) < size; i++ {
		r := mix(hash + i)
		for j := 0; j < 16 && len(b) < size; j++ {
			w := r & 15 * bytesPerToken
			b = append(b, wordList[w:w+bytesPerToken]...)
			r >>= 4
		}
	}
	b = b[:size]
	if size >= bytesPerToken && b[size-1] == ' ' {
		b[size-1] = '.'
	}
	return string(b)
}

// truncate gives at most n tokens of s, ending between two runes.
func truncate(s string, n int64) string {
	if n < 0 || int64(len(s)) <= n*bytesPerToken {
		return s
	}
	return s[:runeEnd(s, int(n)*bytesPerToken)]
}

// runeEnd gives the nearest end of a rune at or before i.
func runeEnd(s string, i int) int {
	for i > 0 && i < len(s) && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}

// piece gives the next part of s of about n tokens and the rest.
func piece(s string, n int) (head, rest string) {
	end := n * bytesPerToken
	if end >= len(s) {
		return s, ""
	}
	if end = runeEnd(s, end); end == 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}
