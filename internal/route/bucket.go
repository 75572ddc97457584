package route

import (
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/contract"
)

// bucket is throughput that a provider averages over less than a minute, or
// counts apart from the rest: it fills at a rate and holds a window's worth.
type bucket struct {
	output bool    // counts tokens of output alone, else burn units
	size   float64 // in millionths
	rate   float64 // millionths per ns
	level  float64 // at the instant at; negative: a debt
	at     int64   // ns
}

// have is the level at an instant.
func (b *bucket) have(at int64) float64 {
	return min(b.size, b.level+float64(max(at-b.at, 0))*b.rate)
}

// fits reports whether x can be taken. What is larger than the bucket takes a
// full one and leaves a debt.
func (b *bucket) fits(at int64, x float64) bool {
	have := b.have(at)
	return x <= have || have == b.size && x > b.size
}

func (b *bucket) take(at int64, x float64) {
	b.level, b.at = min(b.have(at)-x, b.size), max(at, b.at)
}

// admits reports whether every bucket of the pool has room for a use in
// millionths and a number of output tokens.
func (p *pool) admits(at int64, use, out float64) bool {
	for i := range p.buckets {
		if b := &p.buckets[i]; !b.fits(at, b.of(use, out)) {
			return false
		}
	}
	return true
}

// draw takes a use from every bucket; a negative one gives back.
func (p *pool) draw(at int64, use, out float64) {
	for i := range p.buckets {
		p.buckets[i].take(at, p.buckets[i].of(use, out))
	}
}

func (b *bucket) of(use, out float64) float64 {
	if b.output {
		return out * contract.UseDivisor
	}
	return use
}

// refill is how long it takes until every bucket is full.
func (p *pool) refill(at int64) int64 {
	var wait float64
	for i := range p.buckets {
		if b := &p.buckets[i]; b.rate > 0 {
			wait = max(wait, (b.size-b.have(at))/b.rate)
		}
	}
	return int64(min(wait, float64(time.Hour)))
}

// setBuckets makes the buckets of a reservation for the capacity that it has
// now. What was taken from them stays taken.
func (p *pool) setBuckets(at int64) {
	before := p.buckets
	p.buckets = nil
	if !p.tokens || p.capacity <= 0 {
		return
	}
	t, over := p.terms, contract.Window(p.terms)
	perNano := float64(p.capacity) / float64(Window)
	add := func(output bool, rate float64) {
		b := bucket{output: output, size: rate * float64(over), rate: rate, at: at}
		b.level = b.size
		if i := slices.IndexFunc(before, func(o bucket) bool { return o.output == output }); i >= 0 {
			b.level, b.at = min(before[i].level+b.size-before[i].size, b.size), before[i].at
		}
		p.buckets = append(p.buckets, b)
	}
	if over < Window {
		add(false, perNano)
	}
	if t.OutputTokensPerMinute > 0 {
		add(true, perNano*float64(t.OutputTokensPerMinute)/float64(t.TokensPerMinute))
	}
}
