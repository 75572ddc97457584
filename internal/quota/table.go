package quota

import (
	"time"

	"github.com/accordo-ai/accordo/internal/money"
)

type key [16]byte

// chunk is the number of states that are allocated at once.
const chunk = 4096

// sweep is how many subjects one Hold looks at, at most, to find an idle one
// when the table is full.
const sweep = 256

// table finds the state of a subject. States stay where they are while they
// are in use. Invariant: index maps the key of each of the first used states.
type table struct {
	index  map[key]uint32
	chunks [][]state
	used   uint32
	most   uint32
	hand   uint32 // where the next search for an idle subject begins
}

func newTable(most int) table {
	return table{index: map[key]uint32{}, most: uint32(min(most, 1<<31))}
}

func (t *table) at(i uint32) *state { return &t.chunks[i/chunk][i%chunk] }

func (t *table) find(k key) (uint32, bool) {
	i, ok := t.index[k]
	return i, ok
}

// add makes room for a subject, forgetting an idle one when the table is
// full. ok is false when none was found.
func (t *table) add(k key, now time.Time) (i uint32, ok bool) {
	switch {
	case t.used < t.most:
		i = t.used
		if i%chunk == 0 {
			t.chunks = append(t.chunks, make([]state, min(chunk, t.most-i)))
		}
		t.used++
	default:
		if i, ok = t.forget(now); !ok {
			return 0, false
		}
	}
	s := t.at(i)
	*s = state{key: k, day: dayOf(now)}
	t.index[k] = i
	return i, true
}

func (t *table) forget(now time.Time) (uint32, bool) {
	for range min(sweep, t.used) {
		i := t.hand
		if t.hand++; t.hand == t.used {
			t.hand = 0
		}
		if s := t.at(i); s.idle(now) {
			delete(t.index, s.key)
			return i, true
		}
	}
	return 0, false
}

// hold is an amount under way. due is its expiry, or the end of late
// settlement once it has expired.
type hold struct {
	tokens     int64
	spend      money.Amount
	estimate   int64
	perMinute  int64 // the rate under which the estimate was taken, 0: none
	at, due    int64 // ns since 1970
	subject    uint32
	generation uint32
	heap       int32 // position in the heap, -1 when the slot is free
	expired    bool
}

// holds keeps holds in slots, and the slots in a heap by due. Invariant:
// heap[slots[i].heap] == i for every slot in use.
type holds struct {
	slots []hold
	free  []uint32
	heap  []uint32
	open  int
}

func (b *holds) add(h hold) HoldID {
	var i uint32
	if n := len(b.free); n > 0 {
		i, b.free = b.free[n-1], b.free[:n-1]
	} else {
		i = uint32(len(b.slots))
		b.slots = append(b.slots, hold{})
	}
	h.generation = b.slots[i].generation + 1
	h.heap = int32(len(b.heap))
	b.slots[i] = h
	b.heap = append(b.heap, i)
	b.up(int(h.heap))
	b.open++
	return HoldID(uint64(h.generation)<<32 | uint64(i) + 1)
}

// take ends a hold and returns it; ok is false when the id is not, or no
// longer, that of a hold.
func (b *holds) take(id HoldID) (h hold, ok bool) {
	i, generation := uint64(id)&0xffffffff-1, uint32(id>>32)
	if id == 0 || i >= uint64(len(b.slots)) || b.slots[i].heap < 0 || b.slots[i].generation != generation {
		return hold{}, false
	}
	h = b.slots[i]
	last := len(b.heap) - 1
	p := int(h.heap)
	b.swap(p, last)
	b.heap = b.heap[:last]
	if p < last {
		b.down(p)
		b.up(p)
	}
	b.slots[i] = hold{generation: generation, heap: -1}
	b.free = append(b.free, uint32(i))
	b.open--
	return h, true
}

// first returns the hold that is due first, or nil.
func (b *holds) first() (HoldID, *hold) {
	if len(b.heap) == 0 {
		return 0, nil
	}
	i := b.heap[0]
	h := &b.slots[i]
	return HoldID(uint64(h.generation)<<32 | uint64(i) + 1), h
}

// delay makes a hold due later.
func (b *holds) delay(h *hold, by int64) {
	h.due += by
	b.down(int(h.heap))
}

func (b *holds) less(p, q int) bool { return b.slots[b.heap[p]].due < b.slots[b.heap[q]].due }

func (b *holds) swap(p, q int) {
	b.heap[p], b.heap[q] = b.heap[q], b.heap[p]
	b.slots[b.heap[p]].heap, b.slots[b.heap[q]].heap = int32(p), int32(q)
}

func (b *holds) up(p int) {
	for p > 0 && b.less(p, (p-1)/2) {
		b.swap(p, (p-1)/2)
		p = (p - 1) / 2
	}
}

func (b *holds) down(p int) {
	for {
		c := 2*p + 1
		if c >= len(b.heap) {
			return
		}
		if c+1 < len(b.heap) && b.less(c+1, c) {
			c++
		}
		if !b.less(c, p) {
			return
		}
		b.swap(p, c)
		p = c
	}
}
