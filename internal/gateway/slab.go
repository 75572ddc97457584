package gateway

import (
	"math/bits"
	"sync"
)

// The sizes of memory that is used again, as powers of two. What is larger is
// left to the garbage collector, and so is what is not used for a while.
const (
	minSlab = 10 // 1 KB
	maxSlab = 20 // 1 MB
)

// slabs lend memory for bodies. Memory comes back with what was in it: who
// takes it sees only what it has written itself.
type slabs struct {
	pools [maxSlab - minSlab + 1]sync.Pool // of *slab
}

// slab is a piece of memory on loan.
type slab struct{ b []byte }

// take returns a slab of at least n bytes.
func (s *slabs) take(n int64) *slab {
	class := max(bits.Len64(uint64(max(n, 1)-1)), minSlab)
	if class > maxSlab {
		return &slab{make([]byte, n)}
	}
	if v, ok := s.pools[class-minSlab].Get().(*slab); ok {
		return v
	}
	return &slab{make([]byte, 1<<class)}
}

// give takes a slab back; nil is none. Nobody may use its memory after that.
func (s *slabs) give(v *slab) {
	if v == nil {
		return
	}
	if n := bits.Len64(uint64(len(v.b) - 1)); n >= minSlab && n <= maxSlab && len(v.b) == 1<<n {
		s.pools[n-minSlab].Put(v)
	}
}
