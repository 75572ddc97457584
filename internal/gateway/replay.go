package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
)

// Counts counts a journal's outcomes against the limits of plans, so that a
// restart gives nobody a new allowance. What never reached the customer counts
// nothing, as it did when it happened. It can be kept and gone on from, so that
// a start does not read a month of records again.
type Counts struct {
	terms *alliance.Alliance
	book  *quota.Book
	open  map[uint64]counted // intents whose outcome has not come
	last  uint64             // record that was taken last
	at    time.Time          // of that record
	from  uint64             // first record to take
}

// counted is what an intent's outcome will count for.
type counted struct {
	at      time.Time
	plan    *alliance.Plan
	subject string
	stream  bool
}

// NewCounts counts nothing yet, from the record from on. Plans are those of
// the terms, whatever was in force when a request was served.
func NewCounts(terms *alliance.Alliance, from uint64) *Counts {
	return &Counts{terms: terms, book: quota.New(quota.Options{}), open: map[uint64]counted{}, from: from}
}

// From is the sequence number of the first record to take.
func (c *Counts) From() uint64 { return c.from }

// Last is the sequence number of the last record that is counted.
func (c *Counts) Last() uint64 { return c.last }

// Book is where it is counted.
func (c *Counts) Book() *quota.Book { return c.book }

// Take counts one record; they come in the order of the journal. It keeps
// nothing of r but texts.
func (c *Counts) Take(r *record.Record) {
	switch {
	case r.Intent != nil:
		in := r.Intent
		if plan := c.terms.Plan(alliance.PlanID(in.Plan)); plan != nil {
			subject := request.Subject(plan, alliance.TenantID(in.Tenant), alliance.KeyID(in.Key), in.EndUser)
			c.open[r.Sequence] = counted{time.Unix(0, r.At), plan, subject, in.Stream}
		}
	case r.Outcome != nil:
		o := r.Outcome
		in, ok := c.open[o.Intent]
		delete(c.open, o.Intent)
		if ok && r.Sequence > c.last && !o.Usage.IsZero() && delivered(in.stream, o) {
			tokens, spend := request.Counted(in.plan, o.Usage)
			c.book.Restore(in.at, in.subject, in.plan.Bounds(), tokens, spend)
		}
	}
	if r.Sequence > c.last {
		c.last, c.at = r.Sequence, time.Unix(0, r.At)
	}
}

// delivered reports whether an attempt counts against its customer: it was
// served, or a part of it was, or nobody knows because the process ended.
func delivered(stream bool, o *record.Outcome) bool {
	switch o.Status {
	case record.Served, record.Abandoned:
		return true
	case record.Unserved:
		return false
	}
	switch o.Reason {
	case request.ReasonNoUsage, request.ReasonContradiction, request.ReasonClientLeft:
		return true
	}
	return stream && o.TTFT > 0
}

// countsHead is the first line of counts that are kept (docs/format/limits.md).
type countsHead struct {
	Version int    `json:"version"`
	Terms   string `json:"terms"`
	Last    uint64 `json:"last"` // record that is counted last
	From    uint64 `json:"from"` // the oldest intent that was open then, or the record after Last
	SHA256  string `json:"sha256"`
}

// ErrCounts reports kept counts that cannot be gone on from.
var ErrCounts = errors.New("the counts of limits that were kept cannot be used")

// Keep returns what ResumeCounts takes, without what is counted in windows that
// are over at now, and were at the record that was taken last: neither a clock
// that is ahead nor one that was takes anything away.
func (c *Counts) Keep(now time.Time) []byte {
	if c.at.Before(now) {
		now = c.at
	}
	counts := c.book.AppendCounts(nil, now)
	sum := sha256.Sum256(counts)
	h := countsHead{Version: 1, Terms: c.terms.Hash, Last: c.last, From: c.last + 1, SHA256: hex.EncodeToString(sum[:])}
	for seq := range c.open {
		h.From = min(h.From, seq)
	}
	line, err := json.Marshal(h)
	if err != nil {
		panic(fmt.Sprintf("gateway: texts and numbers are not JSON: %v", err))
	}
	return append(append(line, '\n'), counts...)
}

// ResumeCounts goes on from what Keep returned. Counts under other terms are
// an error: what a request counts for may differ.
func ResumeCounts(terms *alliance.Alliance, kept []byte) (*Counts, error) {
	line, counts, _ := bytes.Cut(kept, []byte("\n"))
	var h countsHead
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCounts, err)
	}
	sum := sha256.Sum256(counts)
	switch {
	case h.Version != 1:
		return nil, fmt.Errorf("%w: version %d, this program reads 1", ErrCounts, h.Version)
	case h.SHA256 != hex.EncodeToString(sum[:]):
		return nil, fmt.Errorf("%w: damaged", ErrCounts)
	case h.Terms != terms.Hash:
		return nil, fmt.Errorf("%w: they are of other terms", ErrCounts)
	case h.From == 0 || h.From > h.Last+1:
		return nil, fmt.Errorf("%w: from record %d, counted up to %d", ErrCounts, h.From, h.Last)
	}
	c := NewCounts(terms, h.From)
	c.last = h.Last
	if err := c.book.RestoreCounts(counts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCounts, err)
	}
	return c, nil
}
