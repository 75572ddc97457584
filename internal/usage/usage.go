// Package usage holds what a request consumed as five token counts that never
// overlap. It refuses to guess: a provider's figures that contradict each
// other are an error, and the caller books them as suspense.
package usage

import (
	"errors"
	"fmt"
)

// Vector counts the tokens of one attempt, or of a sum of attempts. The five
// counts never overlap: all input is UncachedInput + CacheRead + CacheWrite,
// all output is Output + Reasoning.
type Vector struct {
	UncachedInput int64 `json:"uncached_input"`
	CacheRead     int64 `json:"cache_read"`
	CacheWrite    int64 `json:"cache_write"`
	Output        int64 `json:"output"`
	Reasoning     int64 `json:"reasoning"`
}

// MaxTokens bounds each count of one attempt; a larger figure is a fault of
// the provider, not a bill.
const MaxTokens = 1 << 32

// ErrContradiction reports figures that do not add up.
var ErrContradiction = errors.New("usage contradicts itself")

// Input is the number of input tokens of all kinds.
func (v Vector) Input() int64 { return v.UncachedInput + v.CacheRead + v.CacheWrite }

// AllOutput is the number of output tokens including reasoning.
func (v Vector) AllOutput() int64 { return v.Output + v.Reasoning }

// Total is the number of tokens of all kinds.
func (v Vector) Total() int64 { return v.Input() + v.AllOutput() }

// Neg returns v with every count below zero: what a reversal takes back.
func (v Vector) Neg() Vector {
	return Vector{UncachedInput: -v.UncachedInput, CacheRead: -v.CacheRead, CacheWrite: -v.CacheWrite, Output: -v.Output, Reasoning: -v.Reasoning}
}

// IsZero reports whether nothing was counted.
func (v Vector) IsZero() bool { return v == Vector{} }

// Add returns the sum of v and w, count by count.
func (v Vector) Add(w Vector) Vector {
	return Vector{v.UncachedInput + w.UncachedInput, v.CacheRead + w.CacheRead, v.CacheWrite + w.CacheWrite, v.Output + w.Output, v.Reasoning + w.Reasoning}
}

// Check returns ErrContradiction when a count is negative or beyond
// MaxTokens.
func (v Vector) Check() error {
	for _, n := range [...]int64{v.UncachedInput, v.CacheRead, v.CacheWrite, v.Output, v.Reasoning} {
		if n < 0 || n > MaxTokens {
			return fmt.Errorf("%w: a count of %d tokens", ErrContradiction, n)
		}
	}
	return nil
}
