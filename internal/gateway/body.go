package gateway

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
)

// smallBody is the size in bytes up to which a body is given its memory at
// once. Beyond it memory follows what has arrived, so that a length that is
// only declared costs nothing.
const smallBody = 256 << 10

var (
	errTooLarge = errors.New("larger than the limit")
	errNoMemory = errors.New("bodies take all the memory that they may")
)

// memory counts the bytes that bodies take together.
type memory struct{ used atomic.Int64 }

// claim takes n bytes, unless more than limit would be taken.
func (m *memory) claim(n, limit int64) bool {
	if m.used.Add(n) > limit {
		m.used.Add(-n)
		return false
	}
	return true
}

// claim takes memory for this request's body. The first bytes may use twice
// what is left to large bodies, so that these never keep small ones out.
func (c *call) claim(n int64) bool {
	limit := c.g.limits.BodyMemory
	if c.claimed == 0 {
		limit *= 2
	}
	if !c.g.bodies.claim(n, limit) {
		return false
	}
	c.claimed += n
	return true
}

// free gives back what claim took, and the memory of the request's body: no
// attempt is under way any more.
func (c *call) free() {
	c.g.slabs.give(c.body)
	c.body = nil
	c.g.bodies.used.Add(-c.claimed)
	c.claimed = 0
}

// count notes memory for an answer. It is never refused: the provider has
// been paid for it, and requests make room.
func (c *call) count(n int64) bool {
	c.g.bodies.used.Add(n)
	c.claimed += n
	return true
}

// readBody reads at most limit bytes; length is -1 when it is not known. It
// asks claim for memory before it takes any of mem, and returns what holds the
// body, to be given back when the body is not used any more.
func readBody(r io.Reader, length, limit int64, claim func(int64) bool, mem *slabs) (held *slab, b []byte, err error) {
	if length > limit {
		return nil, nil, errTooLarge
	}
	defer func() {
		if err != nil {
			mem.give(held)
			held = nil
		}
	}()
	size := min(length, smallBody)
	if length < 0 {
		size = 4 << 10
	}
	if !claim(size) {
		return nil, nil, errNoMemory
	}
	held = mem.take(size)
	b = held.b[:0:size]
	for length < 0 || int64(len(b)) < length {
		if int64(len(b)) > limit {
			return held, nil, errTooLarge
		}
		if len(b) == cap(b) {
			size = min(2*int64(cap(b)), limit+1)
			if length >= 0 {
				size = min(size, length)
			}
			if !claim(size - int64(cap(b))) {
				return held, nil, errNoMemory
			}
			larger := mem.take(size)
			b = append(larger.b[:0:size], b...)
			mem.give(held)
			held = larger
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case err == nil || length >= 0 && int64(len(b)) == length:
		case errors.Is(err, io.EOF) && length < 0 && int64(len(b)) <= limit:
			return held, b, nil
		case errors.Is(err, io.EOF):
			return held, nil, io.ErrUnexpectedEOF
		default:
			return held, nil, err
		}
	}
	return held, b, nil
}

// encoded refuses a body that is compressed: what it grows to is not known
// before it is read.
func encoded(h http.Header) *openai.Error {
	for _, v := range h["Content-Encoding"] {
		if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "identity") {
			return openai.Encoded(v)
		}
	}
	return nil
}

// leaveUnread bounds how long the server waits for the rest of a body that
// nobody will read. Without it a client that sends nothing more would keep its
// connection for ever, and would not even need a key.
func (c *call) leaveUnread() {
	if c.req == nil && c.r.ContentLength != 0 {
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(unreadTime))
	}
}

// unreadTime is how long the rest of an unwanted body may take.
const unreadTime = time.Second
