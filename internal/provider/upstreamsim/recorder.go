package upstreamsim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"sync"
	"time"
)

// RecordedRequest is one request as it came over the wire.
type RecordedRequest struct {
	Pool      string              `json:"pool"`           // Pool that was asked.
	Path      string              `json:"path"`           // Path with the pool's prefix.
	AttemptID string              `json:"attempt_id"`     // From the header x-accordo-attempt.
	At        time.Time           `json:"at"`             // Arrival, UTC.
	Header    map[string][]string `json:"header"`         // Headers; credentials are replaced by "redacted".
	SHA256    string              `json:"sha256"`         // Of the whole body, in hex.
	Body      []byte              `json:"body,omitempty"` // The body, base64 in JSON; empty when it was larger than the limit.
	Bytes     int64               `json:"bytes"`          // Size of the whole body.
}

// recorder keeps the latest requests within a count and a number of bytes.
type recorder struct {
	count int
	limit int64

	mu    sync.Mutex
	list  []RecordedRequest
	bytes int64
}

func newRecorder(count int, limit int64) *recorder { return &recorder{count: count, limit: limit} }

// credentials are the headers whose values never leave the process.
var credentials = []string{"Authorization", "Api-Key", "X-Api-Key", "Cookie", "Proxy-Authorization"}

func (c *recorder) record(r *http.Request, pool string, body []byte, at time.Time) {
	if c.count == 0 {
		return
	}
	header := r.Header.Clone()
	for _, name := range credentials {
		if header.Get(name) != "" {
			header.Set(name, "redacted")
		}
	}
	sum := sha256.Sum256(body)
	q := RecordedRequest{
		Pool: pool, Path: r.URL.Path, AttemptID: r.Header.Get("X-Accordo-Attempt"), At: at.UTC(), Header: header,
		SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(body)),
	}
	if q.Bytes <= c.limit {
		q.Body = slices.Clone(body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, q)
	c.bytes += int64(len(q.Body))
	drop := 0
	for len(c.list)-drop > c.count || c.bytes > c.limit {
		c.bytes -= int64(len(c.list[drop].Body))
		drop++
	}
	if drop > 0 {
		c.list = slices.Delete(c.list, 0, drop)
	}
}

// Requests gives the recorded requests, oldest first.
func (s *Server) Requests() []RecordedRequest {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	return slices.Clone(s.recorder.list)
}

func (c *recorder) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list, c.bytes = nil, 0
}
