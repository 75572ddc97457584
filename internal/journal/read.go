package journal

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sort"

	"github.com/accordo-ai/accordo/internal/record"
)

// Read yields the records in dir from sequence number from (0 is 1), beside a
// process that appends or without one. It ends at the last complete record;
// an unfinished write at the end is not looked at. After an error it yields
// nothing more. Records do not share memory with the journal.
//
// Beside a process whose disk is full it may, for an instant, see records that
// are taken back; Journal.Read never does.
func Read(dir string, from uint64) iter.Seq2[record.Record, error] { return ReadFS(OS(), dir, from) }

// ReadFS is Read on another file system than the operating system's.
func ReadFS(fs FS, dir string, from uint64) iter.Seq2[record.Record, error] {
	return read(fs, dir, from, math.MaxUint64, position{}, nil)
}

// Read yields the records from sequence number from (0 is 1) to Last. The
// journal remembers where its recent records stand, so that a reader that
// follows it reads no record twice.
func (j *Journal) Read(from uint64) iter.Seq2[record.Record, error] { return j.ReadInto(nil, from) }

// ReadInto is Read for one who reads on and on: the records are in m, and so
// valid until m is reset.
func (j *Journal) ReadInto(m *record.Memory, from uint64) iter.Seq2[record.Record, error] {
	j.mu.Lock()
	upto, near := j.written, j.near(max(from, 1))
	j.mu.Unlock()
	return read(j.fs, j.dir, from, upto, near, m)
}

func read(fs FS, dir string, from, upto uint64, near position, m *record.Memory) iter.Seq2[record.Record, error] {
	from = max(from, 1)
	return func(yield func(record.Record, error) bool) {
		if from > upto {
			return
		}
		c, err := openCursor(fs, dir, from, m)
		if err == nil {
			defer c.close()
			if m != nil {
				defer func() { m.Window = c.scan.buf }()
			}
			if near.sequence > 0 && near.first == c.head.first {
				c.jump(near.sequence, near.offset)
			}
			err = c.find(from)
		}
		for err == nil {
			var r record.Record
			if r, err = c.step(); err != nil {
				break
			}
			if !yield(r, nil) || r.Sequence == upto {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if upto == math.MaxUint64 {
				return
			}
			err = fmt.Errorf("read the journal up to record %d: %w", upto, errNoRecord)
		}
		yield(record.Record{}, err)
	}
}

// position is where a record begins.
type position struct {
	sequence uint64
	first    uint64 // of its segment
	offset   int64
}

const (
	// positionEvery is the least distance in bytes between two positions.
	positionEvery = 64 << 10
	// maxPositions bounds the positions kept: the oldest half goes first.
	maxPositions = 4096
)

// remember keeps p unless one close before it is known.
func (j *Journal) remember(p position) {
	if n := len(j.positions); n > 0 {
		if l := j.positions[n-1]; l.first == p.first && p.offset-l.offset < positionEvery {
			return
		}
		if n >= maxPositions {
			j.positions = append(j.positions[:0], j.positions[n/2:]...)
		}
	}
	j.positions = append(j.positions, p)
}

// near returns the last known position at or before seq, or none.
func (j *Journal) near(seq uint64) position {
	k := sort.Search(len(j.positions), func(k int) bool { return j.positions[k].sequence > seq })
	if k == 0 {
		return position{}
	}
	return j.positions[k-1]
}
