package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/accordo-ai/accordo/internal/record"
)

// group is records that go to the file in one write. The caller that made the
// group writes it, as soon as the write before is done; the others that joined
// meanwhile wait. Alone, a caller writes at once and no goroutine is woken.
type group struct {
	buf         []byte
	first, last uint64
	at          int64 // of the last record
	members     int
	intents     []uint64      // intents in the group
	outcomes    []uint64      // intents whose outcome is in the group
	lead        chan struct{} // tells the maker to write, or that err is set
	done        chan struct{} // closed for the others
	err         error
}

// keepBytes is the largest buffer that is kept for the next group.
const keepBytes = 1 << 20

// append puts r into the journal and returns its sequence number once it is
// written. ctx is looked at only while there is no room: a record that was
// taken is written.
func (j *Journal) append(ctx context.Context, r *record.Record) (uint64, error) {
	if err := r.Check(); err != nil {
		return 0, fmt.Errorf("append to the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.room(ctx); err != nil {
		return 0, err
	}
	g, err := j.join(r)
	if err != nil {
		return 0, err
	}
	seq := r.Sequence
	switch {
	case !j.flushing:
		j.flushing = true
		j.flush(g)
	case g.members == 1:
		g.lead = make(chan struct{}, 1)
		j.mu.Unlock()
		<-g.lead
		j.mu.Lock()
		if g.err == nil {
			j.flush(g)
		}
	default:
		if g.done == nil {
			g.done = make(chan struct{})
		}
		done := g.done
		j.mu.Unlock()
		<-done
		j.mu.Lock()
	}
	if g.err != nil {
		return 0, g.err
	}
	return seq, nil
}

// room waits until the journal can take a record.
func (j *Journal) room(ctx context.Context) error {
	for {
		switch {
		case j.closed:
			return ErrClosed
		case j.fatal != nil:
			return j.fatal
		case j.waiting == nil || len(j.waiting.buf) < j.pendingBytes:
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for room in the journal: %w", err)
		}
		if j.space == nil {
			j.space = make(chan struct{})
		}
		space := j.space
		j.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
		}
		j.mu.Lock()
	}
}

// join numbers r, encodes it into the waiting group and keeps the account of
// open intents.
func (j *Journal) join(r *record.Record) (*group, error) {
	if r.Kind == record.KindOutcome {
		if _, ok := j.open[r.Outcome.Intent]; !ok {
			return nil, fmt.Errorf("outcome of attempt %q: %w (%d)", r.Outcome.Attempt, ErrNoIntent, r.Outcome.Intent)
		}
	}
	j.at = max(j.at, j.now().UnixNano())
	r.Sequence, r.At = j.next, j.at
	g := j.waiting
	if g == nil {
		if g, j.spare = j.spare, nil; g == nil {
			g = &group{}
		}
		g.first = j.next
	}
	var err error
	if g.buf, err = appendFrame(g.buf, r); err != nil {
		if j.waiting == nil {
			j.spare = g
		}
		return nil, fmt.Errorf("append to the journal: %w", err)
	}
	j.waiting = g
	g.last, g.at = j.next, j.at
	g.members++
	j.next++
	switch r.Kind {
	case record.KindIntent:
		j.open[r.Sequence] = struct{}{}
		g.intents = append(g.intents, r.Sequence)
	case record.KindOutcome:
		delete(j.open, r.Outcome.Intent)
		g.outcomes = append(g.outcomes, r.Outcome.Intent)
	}
	return g, nil
}

// take makes the waiting group nobody's and lets those in who wait for room.
func (j *Journal) take() *group {
	g := j.waiting
	j.waiting = nil
	if j.space != nil {
		close(j.space)
		j.space = nil
	}
	return g
}

// flush writes the waiting group g; j.flushing is the caller's. It is called
// and returns with mu held, which is free during the write.
func (j *Journal) flush(g *group) {
	j.take()
	err := j.rotate(g)
	end, sum := j.end, j.sum
	if err == nil {
		j.mu.Unlock()
		end, sum, err = j.write(g.buf, end, sum)
		j.mu.Lock()
	}
	if err != nil {
		j.fail(g, err)
		return
	}
	j.remember(position{sequence: g.first, first: j.first, offset: j.end})
	j.end, j.sum, j.written, j.writtenAt, j.fault = end, sum, g.last, g.at, nil
	if g.done != nil {
		close(g.done)
	}
	j.announce()
	if j.low(end) {
		j.mu.Unlock()
		j.extend(end)
		j.mu.Lock()
	}
	if g.members == 1 && cap(g.buf) <= keepBytes {
		*g = group{buf: g.buf[:0], intents: g.intents[:0], outcomes: g.outcomes[:0]}
		j.spare = g
	}
	if j.waiting != nil {
		j.waiting.lead <- struct{}{}
		return
	}
	j.rest()
}

// rest gives the token flushing back. Only Close waits for that: whoever waits
// for a sync need not wake up.
func (j *Journal) rest() {
	j.flushing = false
	if j.closed {
		j.changed.Broadcast()
	}
}

// write appends b at offset end. When it fails, what was written of b is taken
// off again, at once or before the next write.
func (j *Journal) write(b []byte, end int64, sum uint32) (int64, uint32, error) {
	if j.dirty {
		if err := j.file.Truncate(end); err != nil {
			return end, sum, fmt.Errorf("take back an unfinished write: %w", err)
		}
		j.dirty, j.ahead = false, end
	}
	n, err := j.file.WriteAt(b, end)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if j.dirty = j.file.Truncate(end) != nil; !j.dirty {
			j.ahead = end
		}
		return end, sum, err
	}
	return end + int64(len(b)), update(sum, b), nil
}

// fail gives the error to g and to the group that waits behind it, whose
// numbers follow g's, and takes all these numbers back.
func (j *Journal) fail(g *group, err error) {
	if j.fatal == nil {
		err = fmt.Errorf("%w: write to %s: %w: nothing was recorded and nothing is lost; make room or make it writable, the next record tries again",
			ErrWrite, j.dir, err)
		j.fault = err
	} else {
		err = j.fatal
	}
	behind := j.take()
	for _, g := range [...]*group{behind, g} {
		if g == nil {
			continue
		}
		for _, seq := range g.outcomes {
			j.open[seq] = struct{}{}
		}
		for _, seq := range g.intents {
			delete(j.open, seq)
		}
		g.err = err
		if g.done != nil {
			close(g.done)
		}
	}
	if behind != nil {
		behind.lead <- struct{}{}
	}
	j.next = g.first
	j.rest()
}

// rotate begins a new segment before g when the current one is long enough.
// It is called and returns with mu held.
func (j *Journal) rotate(g *group) error {
	if j.end < j.segmentBytes {
		return nil
	}
	// Outcomes in g, and those that join while mu is free, will stand in the
	// new segment or nowhere: until then their intents count as open.
	oldest := g.first
	for seq := range j.open {
		oldest = min(oldest, seq)
	}
	for _, seq := range g.outcomes {
		oldest = min(oldest, seq)
	}
	// A finished segment is on the disk before the next begins, so that a loss
	// of power damages the last one at most.
	if err := j.sync(g.first - 1); err != nil {
		return err
	}
	old := j.file
	if err := j.begin(g.first, oldest, func(slow func() error) error {
		j.mu.Unlock()
		defer j.mu.Lock()
		return slow()
	}); err != nil {
		return err
	}
	old.Close() // all of it is on the disk: an error would say nothing
	return nil
}

// begin makes the segment of first and appends to it from then on. away runs
// what is slow, without mu; nil runs it as it is.
func (j *Journal) begin(first, oldest uint64, away func(func() error) error) error {
	if away == nil {
		away = func(slow func() error) error { return slow() }
	}
	path := segmentPath(j.dir, first)
	h := appendHeader(nil, header{first: first, at: j.writtenAt, oldest: oldest, previous: j.sum, node: j.node})
	var f File
	if err := away(func() (err error) {
		f, err = j.create(path, h)
		return err
	}); err != nil {
		return err
	}
	// A sync in progress holds the old file.
	for j.syncing {
		j.changed.Wait()
	}
	j.file, j.first, j.end, j.sum, j.dirty = f, first, int64(len(h)), update(0, h), false
	j.filler, j.ahead, j.extendAt = fillerOf(headerSumIn(h)), j.end, 0
	return nil
}

// create makes a segment of only a header, or nothing.
func (j *Journal) create(path string, h []byte) (File, error) {
	if j.leftover {
		if err := j.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		j.leftover = false
	}
	f, err := j.fs.Create(path)
	if err != nil {
		return nil, err
	}
	n, err := f.WriteAt(h, 0)
	if err == nil && n < len(h) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		f.Close()
		j.leftover = j.fs.Remove(path) != nil
		return nil, err
	}
	return f, nil
}

// sync returns once the records up to seq are on the disk. One caller syncs
// for all that wait; mu is held on entry and return and free meanwhile. An
// error is final: after it nobody can know what the disk holds.
func (j *Journal) sync(seq uint64) error {
	for j.synced < seq {
		switch {
		case j.fatal != nil:
			return j.fatal
		case j.syncing:
			j.changed.Wait()
			continue
		}
		j.syncing = true
		upto, f := j.written, j.file
		j.mu.Unlock()
		err := f.Sync()
		j.mu.Lock()
		j.syncing = false
		if err != nil {
			j.fatal = fmt.Errorf("%w: sync %s: %w: what it holds is not known any more; check the disk and start again",
				ErrWrite, segmentPath(j.dir, j.first), err)
		} else {
			j.synced = max(j.synced, upto)
		}
		j.changed.Broadcast()
	}
	return nil
}

// announce tells readers that Last has grown.
func (j *Journal) announce() {
	if j.grew != nil {
		close(j.grew)
		j.grew = nil
	}
	select {
	case j.flushed <- struct{}{}:
	default:
	}
}
