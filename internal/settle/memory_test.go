package settle_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/usage"
)

// memory is a journal in memory that writes attempts of its own: inside a
// synctest bubble a journal on disk would wait for what the bubble does not see.
type memory struct {
	mu      sync.Mutex
	records []record.Record
	grew    chan struct{}
	made    int
}

func (m *memory) add(r record.Record) uint64 {
	r.Sequence, r.At = uint64(len(m.records)+1), time.Now().UnixNano()
	m.records = append(m.records, r)
	if m.grew != nil {
		close(m.grew)
		m.grew = nil
	}
	return r.Sequence
}

// attempts journals n served attempts.
func (m *memory) attempts(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.made++
		id := record.AttemptID(fmt.Sprintf("a%d", m.made))
		in := &record.Intent{
			Attempt: id, Request: requestID(m.made), Terms: "f1257", Tenant: fmt.Sprintf("t%d", m.made%5), Key: "k", Plan: "direct",
			SalePrice: "sale-direct", Channel: "direct-api", Model: "m1@2026-01", Pool: "aws-east", CostPrice: "cost-m1", Right: "own",
		}
		at := m.add(record.Record{Kind: record.KindIntent, Intent: in})
		m.add(record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: at, Status: record.Served, Usage: usage.Vector{UncachedInput: 900, Output: int64(m.made % 700)}}})
	}
}

// refusals journals n refusals.
func (m *memory) refusals(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.made++
		m.add(record.Record{Kind: record.KindRefusal, Refusal: &record.Refusal{Request: requestID(m.made), Tenant: "t1", Key: "k", Plan: "direct", Code: "no_right"}})
	}
}

// requestID is as random as the ids of clients are.
func requestID(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, n))
	return fmt.Sprintf("req_%x", sum[:12])
}

// longest returns the records of the longest batch, the open one included.
func (m *memory) longest() (longest int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for i := range m.records {
		n++
		longest = max(longest, n)
		if m.records[i].Kind == record.KindMark {
			n = 0
		}
	}
	return longest
}

func (m *memory) Mark(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.add(record.Record{Kind: record.KindMark, Mark: &record.Mark{}}), nil
}

func (m *memory) Last() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.records))
}

func (m *memory) Wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		m.mu.Lock()
		last := uint64(len(m.records))
		if last > after {
			m.mu.Unlock()
			return last, nil
		}
		if m.grew == nil {
			m.grew = make(chan struct{})
		}
		grew := m.grew
		m.mu.Unlock()
		select {
		case <-grew:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

func (m *memory) ReadInto(_ *record.Memory, from uint64) iter.Seq2[record.Record, error] {
	m.mu.Lock()
	records := m.records[min(from-1, uint64(len(m.records))):]
	m.mu.Unlock()
	return func(yield func(record.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// discard is a store that keeps nothing but where it stands.
type discard struct {
	settle.Reader
	head ledger.Head
}

func (d *discard) State(context.Context) (ledger.State, error) { return ledger.State{}, nil }

func (d *discard) Append(_ context.Context, s *ledger.Step) error {
	if s.Batch.Prev != d.head.Hash {
		return settle.ErrHead
	}
	d.head = s.Head
	return nil
}
