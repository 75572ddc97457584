package invoice

import (
	"strings"

	"github.com/accordo-ai/accordo/internal/usage"
)

// Meter is one of the five kinds of token, in the order of usage.Vector.
type Meter int

// Meters is the number of kinds of token.
const Meters = 5

// The kinds of token.
const (
	Input Meter = iota
	CacheRead
	CacheWrite
	Output
	Reasoning
)

var (
	meterColumns = [Meters]string{"uncached_input", "cache_read", "cache_write", "output", "reasoning"}
	meterTypes   = [Meters]string{"input", "cache_read", "cache_write", "output", "reasoning"}
	meterNames   = [Meters]string{"Input Tokens", "Cached Input Tokens", "Cache Write Tokens", "Output Tokens", "Reasoning Tokens"}
)

// count returns the count of one kind of token.
func count(v *usage.Vector, m Meter) *int64 {
	return [Meters]*int64{&v.UncachedInput, &v.CacheRead, &v.CacheWrite, &v.Output, &v.Reasoning}[m]
}

// Split returns v as vectors that have the tokens of one kind each.
func Split(v usage.Vector) (parts [Meters]usage.Vector) {
	for m := range Meter(Meters) {
		*count(&parts[m], m) = *count(&v, m)
	}
	return parts
}

// meterOf tells the kind of token from the words of a meter or a type of
// token, whatever a provider writes around them.
func meterOf(words string) (Meter, bool) {
	text := strings.ToLower(words)
	has := func(list ...string) bool {
		for _, w := range list {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("cache") && has("write", "creation", "storage"):
		return CacheWrite, true
	case has("cache"):
		return CacheRead, true
	case has("reason", "thinking"):
		return Reasoning, true
	case has("output", "completion", "generated"):
		return Output, true
	case has("input", "prompt"):
		return Input, true
	}
	return 0, false
}
