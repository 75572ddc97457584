package usage

import (
	"errors"
	"testing"
)

func TestVector_CountsNeverOverlap(t *testing.T) {
	v := Vector{UncachedInput: 1, CacheRead: 2, CacheWrite: 4, Output: 8, Reasoning: 16}
	if v.Input() != 7 || v.AllOutput() != 24 || v.Total() != 31 {
		t.Errorf("input %d, output %d, total %d", v.Input(), v.AllOutput(), v.Total())
	}
	if sum := v.Add(v); sum.Total() != 62 || sum.CacheWrite != 8 {
		t.Errorf("the sum is %+v", sum)
	}
	if v.IsZero() || !(Vector{}).IsZero() {
		t.Error("only the zero vector is zero")
	}
}

func TestCheck_RefusesWhatNoProviderCanServe(t *testing.T) {
	for _, row := range []struct {
		name string
		v    Vector
		ok   bool
	}{
		{"nothing", Vector{}, true},
		{"the largest count", Vector{Output: MaxTokens}, true},
		{"a negative count", Vector{CacheRead: -1}, false},
		{"a count beyond the limit", Vector{Reasoning: MaxTokens + 1}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := row.v.Check(); (err == nil) != row.ok || err != nil && !errors.Is(err, ErrContradiction) {
				t.Errorf("Check() = %v", err)
			}
		})
	}
}
