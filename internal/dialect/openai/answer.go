package openai

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/accordo-ai/accordo/internal/usage"
)

// ErrNoUsage reports an answer that does not say what it used.
var ErrNoUsage = errors.New("the answer states no usage")

// Answer is what one scan found in a provider's answer, plain or one chunk
// of a stream.
type Answer struct {
	ID          string
	Model       string
	ServiceTier string
	// Usage is valid when UsageErr is nil; UsageErr is ErrNoUsage or wraps
	// usage.ErrContradiction.
	Usage    usage.Vector
	UsageErr error
	// HasError says that the object is an error object.
	HasError bool

	body       []byte
	model      span
	usage      span // the member from its comma or key to the end of its value
	hasChoices bool // the key is there
	hasData    bool
	hasUsage   bool // an object, not null
	choices    int
	masks      [2]uint64 // which choices have a finish reason
}

// ScanAnswer reads one JSON object of a provider. The Answer keeps the body.
func ScanAnswer(body []byte) (Answer, error) {
	var h holes
	return scanAnswer(body, true, &h)
}

// scanAnswer leaves out id and model's text when facts is false: a stream
// repeats them in every chunk. It notes the texts that differ.
func scanAnswer(body []byte, facts bool, h *holes) (Answer, error) {
	a := Answer{body: body, UsageErr: ErrNoUsage}
	if !utf8.Valid(body) {
		return a, errors.New("the answer is not valid UTF-8")
	}
	s := scanner{b: body}
	s.space()
	if !s.open('{') {
		return a, errors.New("the answer is not a JSON object")
	}
	var m members
	for s.member(&m) {
		switch from := s.i; string(m.name) {
		case "id":
			if !facts {
				s.skip()
				continue
			}
			a.ID, _ = s.str()
		case "model":
			if a.model.set() {
				s.fail("the key model occurs twice")
			}
			text := s.peek() == '"'
			if facts {
				a.Model, _ = s.str()
			} else {
				s.skip()
			}
			if text {
				a.model = span{from, s.i}
			}
		case "service_tier":
			a.ServiceTier, _ = s.str()
		case "choices":
			if a.hasChoices {
				s.fail("the key choices occurs twice")
			}
			a.hasChoices = true
			a.scanChoices(&s, h)
		case "obfuscation": // as long as it takes to hide the length of the rest
			h.text(&s)
		case "data":
			a.hasData = s.peek() == '['
			s.skip()
		case "error":
			a.HasError = s.peek() != 'n'
			s.skip()
		case "usage":
			if a.usage.set() {
				s.fail("the key usage occurs twice")
			}
			a.scanUsage(&s)
			a.usage = span{m.comma, s.i}
			if m.comma == 0 {
				a.usage = span{m.start, s.i}
			}
		default:
			s.skip()
		}
	}
	s.end()
	return a, s.err()
}

// Complete reports whether a plain answer has the parts that its kind must
// have.
func (a *Answer) Complete(k Kind) bool {
	if k == Embedding {
		return a.hasData && !a.HasError
	}
	return a.hasChoices && a.choices > 0 && !a.HasError
}

func (a *Answer) scanChoices(s *scanner, h *holes) {
	if s.peek() != '[' {
		s.skip()
		return
	}
	s.open('[')
	begun := false
	for s.element(&begun) {
		if s.peek() != '{' {
			s.skip()
			continue
		}
		s.open('{')
		var m members
		index, finished := int64(0), false
		for s.member(&m) {
			switch string(m.name) {
			case "index":
				index, _ = s.integer()
			case "finish_reason":
				finished = s.peek() == '"'
				s.skip()
			case "delta":
				h.members(s)
			default:
				s.skip()
			}
		}
		a.choices++
		if finished && index >= 0 && index < MaxChoices {
			a.masks[index>>6] |= 1 << (uint64(index) & 63)
		}
	}
}

// figures are the counts as the provider wrote them; -1 is "not stated".
type figures struct {
	prompt, completion, total, cached, written, reasoning int64
	bad                                                   string
}

func (a *Answer) scanUsage(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	a.hasUsage = true
	f := figures{-1, -1, -1, -1, -1, -1, ""}
	s.open('{')
	var m members
	for s.member(&m) {
		switch string(m.name) {
		case "prompt_tokens":
			f.read(s, "prompt_tokens", &f.prompt)
		case "completion_tokens":
			f.read(s, "completion_tokens", &f.completion)
		case "total_tokens":
			f.read(s, "total_tokens", &f.total)
		case "prompt_tokens_details":
			f.details(s, "cached_tokens", &f.cached, "cache_write_tokens", &f.written)
		case "completion_tokens_details":
			f.details(s, "reasoning_tokens", &f.reasoning, "", nil)
		default:
			s.skip()
		}
	}
	a.Usage, a.UsageErr = f.vector()
}

func (f *figures) read(s *scanner, name string, where *int64) {
	if s.peek() == 'n' {
		s.skip()
		return
	}
	v, ok := s.integer()
	switch {
	case !ok || v < 0 || v > usage.MaxTokens:
		f.bad = name + " is not a count of tokens"
	case *where >= 0:
		f.bad = name + " is stated twice"
	default:
		*where = v
	}
}

func (f *figures) details(s *scanner, name string, where *int64, name2 string, where2 *int64) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.open('{')
	var m members
	for s.member(&m) {
		switch {
		case string(m.name) == name:
			f.read(s, name, where)
		case where2 != nil && string(m.name) == name2:
			f.read(s, name2, where2)
		default:
			s.skip()
		}
	}
}

// vector turns the figures into counts that do not overlap, or says how they
// contradict each other.
func (f *figures) vector() (usage.Vector, error) {
	cached, written, reasoning := max(f.cached, 0), max(f.written, 0), max(f.reasoning, 0)
	completion := max(f.completion, 0)
	bad := f.bad
	switch {
	case bad != "":
	case f.prompt < 0:
		bad = "prompt_tokens is missing"
	case f.total < 0:
		bad = "total_tokens is missing"
	case f.prompt+completion != f.total:
		bad = fmt.Sprintf("total_tokens is %d, the parts add up to %d", f.total, f.prompt+completion)
	case cached+written > f.prompt:
		bad = "more tokens are cached than were sent"
	case reasoning > completion:
		bad = "more tokens are reasoning than were produced"
	}
	if bad != "" {
		return usage.Vector{}, fmt.Errorf("%w: %s", usage.ErrContradiction, bad)
	}
	v := usage.Vector{UncachedInput: f.prompt - cached - written, CacheRead: cached, CacheWrite: written, Output: completion - reasoning, Reasoning: reasoning}
	return v, v.Check()
}

// Rewrite returns the answer with its model replaced by name (quoted JSON)
// and, when strip is set, without its usage. Other bytes stay.
func (a *Answer) Rewrite(dst, name []byte, strip bool) []byte {
	cut := span{}
	if strip && a.usage.set() {
		cut = a.usage
		if a.body[cut.from] != ',' { // the first member: its comma follows
			for i := cut.to; i < len(a.body); i++ {
				if a.body[i] == ',' {
					cut.to = i + 1
					break
				}
				if a.body[i] == '}' {
					break
				}
			}
		}
	}
	at := 0
	put := func(s span, text []byte) {
		dst = append(append(dst, a.body[at:s.from]...), text...)
		at = s.to
	}
	model := a.model.set()
	if model && (!cut.set() || a.model.from < cut.from) {
		put(a.model, name)
		model = false
	}
	if cut.set() {
		put(cut, nil)
	}
	if model {
		put(a.model, name)
	}
	return append(dst, a.body[at:]...)
}

// QuoteModel returns a model's name as JSON, for Rewrite.
func QuoteModel(name string) []byte { return quote(nil, name) }

// IsErrorObject reports whether a provider's refusal is an error object of
// the dialect, which may be passed on.
func IsErrorObject(body []byte) bool {
	a, err := ScanAnswer(body)
	return err == nil && a.HasError && !bytes.ContainsRune(body, 0)
}
