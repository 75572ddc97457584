package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Line is the exact share of one attempt in the books: the same code posts
// batches, so lines add up to their entries without a difference.
type Line struct {
	Request  string           `json:"request"`
	Attempt  record.AttemptID `json:"attempt"`
	Intent   uint64           `json:"intent"`  // sequence of the intent
	Outcome  uint64           `json:"outcome"` // and of the outcome
	At       int64            `json:"at"`      // of the intent, nanoseconds since 1970 UTC
	Tokens   usage.Vector     `json:"tokens"`
	Postings []Posting        `json:"postings"`
	// Suspense says why the attempt is suspense, or is empty.
	Suspense string `json:"suspense,omitempty"`
	// Note says what is unknown about a line that is posted all the same.
	Note string `json:"note,omitempty"`
}

// Posting is one entry's share of a line: Numerator ÷ Divisor units of the
// asset, not rounded.
type Posting struct {
	Key
	Rates     *alliance.Rates `json:"rates,omitempty"`  // per million tokens, where tokens are priced
	Tokens    *usage.Vector   `json:"tokens,omitempty"` // of the line's, those that it rates; nil: all
	Numerator money.Wide      `json:"-"`
	Divisor   int64           `json:"divisor"`
}

// Of returns the tokens of its line that the posting rates.
func (p *Posting) Of(l *Line) usage.Vector {
	if p.Tokens != nil {
		return *p.Tokens
	}
	return l.Tokens
}

// Amount is the posting alone, rounded down: for display, never for sums.
func (p *Posting) Amount() money.Amount {
	q, _, _ := p.Numerator.FloorDiv(p.Divisor)
	return money.Amount(q)
}

// ErrMismatch reports an outcome that does not belong to the intent given with it.
var ErrMismatch = errors.New("the outcome is not of this intent")

// LineOf returns the exact line of one attempt. An attempt that is known not
// to be billed has a line without postings. Where the plan includes a quota
// with an overage, the line lacks what is sold, and where the contract commits
// to an amount per hour, what it costs: LineAfter tells them.
func LineOf(intent, outcome *record.Record, t *Terms) (Line, error) {
	return LineAfter(intent, outcome, t, Lefts{})
}

// Lefts is what was left before an outcome was posted, as the books keep it
// with the outcome: of the subject's included quota, and of the hour's
// commitment. Nil: it was not parted so, or is not known.
type Lefts struct{ Quota, Hour *int64 }

// LineAfter returns the exact line of one attempt of whose quota or hour so
// much was left.
func LineAfter(intent, outcome *record.Record, t *Terms, left Lefts) (Line, error) {
	in, out := intent.Intent, outcome.Outcome
	if in == nil || out == nil || out.Intent != intent.Sequence {
		return Line{}, ErrMismatch
	}
	if in.Terms != t.Hash {
		return Line{}, fmt.Errorf("intent %d was made under the terms %s: these are %s", intent.Sequence, in.Terms, t.Hash)
	}
	l := Line{Request: in.Request, Attempt: in.Attempt, Intent: intent.Sequence, Outcome: outcome.Sequence, At: intent.At, Tokens: out.Usage}
	f := t.flow(in, intent.At, outcome.Sequence)
	if f.overflow != nil && f.overflows(out.Tier) {
		f = f.overflow
	}
	why, owed := suspend(f, out)
	switch {
	case !owed:
	case why != "":
		l.Suspense, l.Tokens = why, estimate(in, out, why)
		k := f.suspense.key
		k.Ref = string(in.Attempt)
		l.Postings = []Posting{f.suspense.posting(k, l.Tokens)}
	default:
		hasCost := false
		u := parts{all: out.Usage, inside: out.Usage}
		if in := f.included; in != nil && in.counts && !in.stops {
			u.inside, l.Note = usage.Vector{}, NoLeft
			if left.Quota != nil {
				u.inside, u.outside, _ = in.split(out.Usage, *left.Quota)
				l.Note = ""
			}
		}
		if f.hourly != nil {
			if left.Hour == nil {
				l.Note = NoLeft
			} else {
				u.covered, u.uncovered, _ = rating.Fit(&f.hourly.weights, out.Usage, *left.Hour)
			}
		}
		for i := range f.served {
			hasCost = hasCost || f.served[i].key.Kind == Cost
			if tokens, ok := f.served[i].of(&u); ok {
				l.Postings = append(l.Postings, f.served[i].posting(f.served[i].key, tokens))
			}
		}
		if !hasCost {
			l.Note = NoStandardRate
		}
	}
	return l, nil
}

func (r *rule) posting(k Key, u usage.Vector) Posting {
	p := Posting{Key: k, Numerator: r.numerator(u), Divisor: r.divisor}
	if r.part != whole {
		p.Tokens = &u
	}
	if r.basis == byRates && k.Price != "" && k.Kind != Converted {
		rates := r.rates
		p.Rates = &rates
	}
	return p
}

// suspend says whether anything may be owed for an outcome, and why it is
// suspense if it is.
func suspend(f *flow, out *record.Outcome) (why string, owed bool) {
	switch out.Status {
	case record.Unserved:
		return "", false
	case record.Served:
		if out.Usage.Check() != nil {
			return BadTokens, true
		}
		return f.why, true
	}
	if out.Reason != "" {
		return out.Reason, true
	}
	return "outcome_unknown", true
}

// estimate returns the tokens of an attempt that may be owed: what its outcome
// says, and the intent's estimate where that is nothing or absurd, because
// suspense is never zero for want of a figure. Counts outside their bounds
// are taken as the nearest bound.
func estimate(in *record.Intent, out *record.Outcome, why string) usage.Vector {
	u := out.Usage
	if why == BadTokens || u.IsZero() {
		u = in.Estimate
	}
	clamp := func(n int64) int64 { return min(max(n, 0), usage.MaxTokens) }
	return usage.Vector{UncachedInput: clamp(u.UncachedInput), CacheRead: clamp(u.CacheRead), CacheWrite: clamp(u.CacheWrite), Output: clamp(u.Output), Reasoning: clamp(u.Reasoning)}
}

// Sum is what the lines of one entry come to.
type Sum struct {
	Numerator money.Wide
	Lines     int64
	Tokens    usage.Vector
	Digest    Digest
}

// SumOf adds up the postings of lines to the entry with the key k, in the
// order of their outcomes, as posting did.
func SumOf(k Key, lines []Line) Sum {
	var s Sum
	var buf []byte
	for i := range lines {
		l := &lines[i]
		for j := range l.Postings {
			if p := &l.Postings[j]; p.Key == k {
				u := p.Of(l)
				s.Numerator, s.Tokens = s.Numerator.Add(p.Numerator), s.Tokens.Add(u)
				s.Lines++
				buf = appendLine(buf, l.Intent, l.Outcome, l.Attempt, u, p.Numerator)
			}
		}
	}
	s.Digest = sha256.Sum256(buf)
	return s
}

// appendLine adds the canonical bytes of one line of an entry to dst.
func appendLine(dst []byte, intent, outcome uint64, attempt record.AttemptID, u usage.Vector, n money.Wide) []byte {
	dst = binary.AppendUvarint(dst, outcome)
	dst = binary.AppendUvarint(dst, intent)
	dst = appendString(dst, string(attempt))
	dst = appendVector(dst, u)
	return n.Append(dst)
}
