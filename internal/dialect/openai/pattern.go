package openai

import (
	"bytes"
	"unicode/utf8"
)

// The limits of a pattern.
const (
	maxPattern = 1 << 10 // bytes of a chunk that is kept as one
	maxHoles   = 4
	maxMisses  = 8 // chunks in a row that did not fit, after which none is tried
)

// holes are the texts of a chunk that may differ from one to the next.
type holes struct {
	list [maxHoles]span // between the quotes, in order
	n    int
	many bool // more than have room
}

// text consumes a value and notes it if it is a string.
func (h *holes) text(s *scanner) {
	if s.peek() != '"' {
		s.skip()
		return
	}
	from, to, _ := s.text()
	if h.many = h.many || h.n == maxHoles; !h.many {
		h.list[h.n] = span{from, to}
		h.n++
	}
}

// members consumes a value and notes the strings in it if it is an object.
func (h *holes) members(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.open('{')
	var m members
	for s.member(&m) {
		h.text(s)
	}
}

// pattern is the last chunk of a stream that was scanned. Most chunks differ
// from the one before in what they say only: where all other bytes are the
// same, it is enough to read what differs.
type pattern struct {
	body   []byte
	holes  holes
	answer Answer // without its body
	misses int
}

// keep takes over a chunk, if chunks like it carry nothing but text.
func (p *pattern) keep(a *Answer, h *holes) {
	p.body = p.body[:0]
	if p.misses >= maxMisses || len(a.body) > maxPattern || h.n == 0 || h.many || a.hasUsage || a.HasError || a.masks != [2]uint64{} {
		return
	}
	p.body, p.holes, p.answer = append(p.body, a.body...), *h, *a
	p.answer.body, p.answer.ID, p.answer.Model = nil, "", ""
}

// match reports whether body differs from the pattern in its texts only, and
// then what a scan would find: all but id, model and what is in the texts.
func (p *pattern) match(body []byte) (a Answer, ok bool) {
	if len(p.body) == 0 {
		return a, false
	}
	p.misses++
	a = p.answer
	a.body, a.model, a.usage = body, span{}, span{}
	at, from := 0, 0 // in body, in the pattern
	for k := 0; ; k++ {
		to := len(p.body)
		if k < p.holes.n {
			to = p.holes.list[k].from
		}
		if !bytes.HasPrefix(body[at:], p.body[from:to]) {
			return a, false
		}
		a.model.follow(p.answer.model, from, to, at)
		a.usage.follow(p.answer.usage, from, to, at)
		if at += to - from; k == p.holes.n {
			break
		}
		s := scanner{b: body, i: at - 1} // at the quote
		_, end, _ := s.text()
		if s.problem != "" || !utf8.Valid(body[at:end]) {
			return a, false
		}
		at, from = end, p.holes.list[k].to
	}
	if at != len(body) {
		return a, false
	}
	p.misses = 0
	return a, true
}

// follow moves a span of the pattern that lies in [from, to) to where the same
// bytes are in a chunk, from at on.
func (s *span) follow(of span, from, to, at int) {
	if of.set() && from <= of.from && of.to <= to {
		*s = span{of.from - from + at, of.to - from + at}
	}
}
