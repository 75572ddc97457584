// Package journal keeps the append-only record of what one node did: intents,
// outcomes, refusals and marks, in segment files (docs/format/journal.md). It
// numbers records without gaps, returns when a record is safe, and lets others
// read beside it. It refuses to lose, reorder or invent a record: an
// unfinished write at the end is cut off and reported, any other fault stops
// it. What records mean is not its business.
package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/accordo-ai/accordo/internal/record"
)

// The durabilities of an outcome. Intents are safe against a crash of the
// process in both.
const (
	Crash = "crash" // safe against the end of the process: after write(2)
	Disk  = "disk"  // safe against loss of power: after fdatasync(2) of a group
)

// The limits, where Options do not set others.
const (
	DefaultSegmentBytes      = 64 << 20
	MinSegmentBytes          = 256
	DefaultPendingBytes      = 4 << 20
	DefaultRefusalsPerSecond = 200
	// MaxUpstreamText is the length in bytes to which the texts of an outcome
	// are cut: a provider chose them, and no answer is worth losing a record.
	MaxUpstreamText = 256
)

var (
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("journal is closed")
	// ErrNoIntent reports an outcome whose intent is not open: it was never
	// recorded, or it has its outcome.
	ErrNoIntent = errors.New("journal has no open intent of this number")
	// ErrWrite reports that the disk refused. Unless the error says otherwise
	// the next call tries again.
	ErrWrite = errors.New("journal cannot write")
)

// Options say where and how a journal writes. The zero value of each is its
// default.
type Options struct {
	Node         string           // id of the node, 1 to 64 bytes
	Durability   string           // Crash, or Disk
	Now          func() time.Time // the clock; nil is time.Now
	SegmentBytes int64            // a segment ends with the write that reaches this size
	// PendingBytes may wait for a write in progress; then calls wait, as long
	// as their context lets them.
	PendingBytes int
	// RefusalsPerSecond bounds the refusals kept; more are counted and dropped.
	RefusalsPerSecond int
	FS                FS // nil is OS()
}

// Journal writes one node's journal. Its methods may be called at once.
//
// Lock order: there is one lock, mu. The flag flushing is a token that whoever
// set it keeps over a write without mu; it owns file, first, end, sum, dirty
// and leftover, which change under mu as well, and ahead and extendAt. The flag
// syncing is the token of whoever syncs file; the file is closed only without it.
type Journal struct {
	fs                FS
	dir, node         string
	disk              bool
	now               func() time.Time
	segmentBytes      int64
	pendingBytes      int
	refusalsPerSecond int
	flushed           chan struct{}

	mu      sync.Mutex
	changed *sync.Cond // syncing ended, synced grew, or flushing ended after Close

	next uint64 // of the next record: all below are written or in a group
	at   int64  // the clock: never falls
	open map[uint64]struct{}

	waiting *group        // what the next write will hold
	spare   *group        // a group to use again
	space   chan struct{} // closed when there is room again
	grew    chan struct{} // closed when written grows

	flushing, syncing, closed bool
	written, synced           uint64
	writtenAt                 int64 // of the record written
	fault                     error // of the last write, nil when it went well
	fatal                     error // for good
	positions                 []position

	file     File
	first    uint64 // of the segment
	end      int64  // of what counts in it
	sum      uint32 // CRC-32C of the segment up to end
	dirty    bool   // bytes of a failed write may stand behind end
	leftover bool   // a failed rotation left its file
	filler   filler // of the segment
	ahead    int64  // up to which the segment is written ahead; end or more
	extendAt int64  // no writing ahead before end is there, after the disk refused

	refusalTokens  int
	refusalSecond  int64
	refusalsMissed uint64
}

// Open opens the journal in dir, or begins one. It cuts an unfinished write
// off the end, and finds the open intents. The caller holds the data
// directory's lock: two writers are not noticed here. Damage is a
// *CorruptionError, and nothing is changed.
func Open(dir string, o Options) (*Journal, Recovery, error) {
	j := &Journal{
		fs: o.FS, dir: dir, node: o.Node, now: o.Now, segmentBytes: o.SegmentBytes, pendingBytes: o.PendingBytes,
		refusalsPerSecond: o.RefusalsPerSecond, flushed: make(chan struct{}, 1), next: 1, open: map[uint64]struct{}{},
	}
	j.changed = sync.NewCond(&j.mu)
	switch o.Durability {
	case Crash, "":
	case Disk:
		j.disk = true
	default:
		return nil, Recovery{}, fmt.Errorf("journal: durability %q is not known: write %s or %s", o.Durability, Crash, Disk)
	}
	if j.node == "" || len(j.node) > maxNode {
		return nil, Recovery{}, fmt.Errorf("journal: the node's id has %d bytes, must have 1 to %d", len(j.node), maxNode)
	}
	if j.fs == nil {
		j.fs = OS()
	}
	if j.now == nil {
		j.now = time.Now
	}
	if j.segmentBytes == 0 {
		j.segmentBytes = DefaultSegmentBytes
	}
	if j.segmentBytes < MinSegmentBytes {
		return nil, Recovery{}, fmt.Errorf("journal: segments of %d bytes are too short: %d at least", j.segmentBytes, MinSegmentBytes)
	}
	if j.pendingBytes <= 0 {
		j.pendingBytes = DefaultPendingBytes
	}
	if j.refusalsPerSecond <= 0 {
		j.refusalsPerSecond = DefaultRefusalsPerSecond
	}
	if err := j.fs.MkdirAll(dir); err != nil {
		return nil, Recovery{}, fmt.Errorf("make the journal's directory: %w", err)
	}
	rec, err := j.recover()
	if err != nil {
		return nil, rec, err
	}
	return j, rec, nil
}

// Intent appends an intent and returns its sequence number when it is safe
// against a crash of the process. in is not kept. ctx counts only while the
// journal has no room.
func (j *Journal) Intent(ctx context.Context, in *record.Intent) (uint64, error) {
	return j.append(ctx, &record.Record{Kind: record.KindIntent, Intent: in})
}

// Outcome appends the outcome of the open intent o.Intent (its sequence
// number) and returns its own sequence number when it is safe, as
// Options.Durability says. A second outcome of one intent is ErrNoIntent.
// Texts of the provider are cut to MaxUpstreamText; o is neither changed nor
// kept. After an error of ErrWrite the intent is still open, except when the
// journal has failed for good: then the next process finds out.
func (j *Journal) Outcome(ctx context.Context, o *record.Outcome) (uint64, error) {
	c := *o
	for _, s := range [...]*string{&c.Tier, &c.Upstream, &c.Version, &c.Reason} {
		*s = clip(*s, MaxUpstreamText)
	}
	seq, err := j.append(ctx, &record.Record{Kind: record.KindOutcome, Outcome: &c})
	if err != nil || !j.disk {
		return seq, err
	}
	return j.synchronised(seq)
}

// Mark closes a batch and returns its sequence number after an fdatasync,
// whatever the durability: what is posted up to a mark is on the disk, and the
// books are never ahead of the journal after a loss of power.
func (j *Journal) Mark(ctx context.Context) (uint64, error) {
	seq, err := j.append(ctx, &record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	if err != nil {
		return 0, err
	}
	return j.synchronised(seq)
}

// Start records that this process serves under the terms with this hash. It
// is called after Abandon, once.
func (j *Journal) Start(ctx context.Context, version, terms string) (uint64, error) {
	return j.append(ctx, &record.Record{
		Kind:  record.KindStart,
		Start: &record.Start{Version: version, Terms: terms, Node: j.node},
	})
}

// Refusal appends a refusal. It never waits for room and reports no error: a
// refusal moves no money. Above Options.RefusalsPerSecond, and when the
// journal cannot write, it is dropped and counted in State.
func (j *Journal) Refusal(r *record.Refusal) {
	c := *r
	rec := record.Record{Kind: record.KindRefusal, Refusal: &c}
	if len(c.Considered) > record.MaxConsidered {
		c.Considered = c.Considered[:record.MaxConsidered]
	}
	for _, s := range [...]*string{&c.Request, &c.EndUser, &c.Model, &c.Reason} {
		*s = clip(*s, MaxUpstreamText)
	}
	if !j.refusalAllowed() {
		return
	}
	noWait, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := j.append(noWait, &rec); err != nil {
		j.mu.Lock()
		j.refusalsMissed++
		j.mu.Unlock()
	}
}

func (j *Journal) refusalAllowed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := j.now().Unix(); s != j.refusalSecond {
		j.refusalSecond, j.refusalTokens = s, j.refusalsPerSecond
	}
	if j.refusalTokens == 0 {
		j.refusalsMissed++
		return false
	}
	j.refusalTokens--
	return true
}

func (j *Journal) synchronised(seq uint64) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.sync(seq); err != nil {
		return 0, err
	}
	return seq, nil
}

// Last is the sequence number of the last written record, 0 if there is none.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written
}

// Flushed holds a token when records were written since the last receive. It
// is for one receiver.
func (j *Journal) Flushed() <-chan struct{} { return j.flushed }

// Wait returns Last as soon as it is above after. Otherwise it returns the
// error of ctx, or ErrClosed.
func (j *Journal) Wait(ctx context.Context, after uint64) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.written <= after {
		if j.closed {
			return j.written, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return j.written, err
		}
		if j.grew == nil {
			j.grew = make(chan struct{})
		}
		grew := j.grew
		j.mu.Unlock()
		select {
		case <-grew:
		case <-ctx.Done():
		}
		j.mu.Lock()
	}
	return j.written, nil
}

// State is what an operator wants to see of a journal.
type State struct {
	Last           uint64 // last written record
	Synced         uint64 // last record known to be safe against loss of power
	At             int64  // the journal's clock in nanoseconds since 1970 UTC
	OpenIntents    int
	SegmentFirst   uint64 // first record of the current segment
	SegmentBytes   int64  // its length
	RefusalsMissed uint64 // refusals dropped since Open
	Fault          error  // why the last write failed, nil when it went well
}

// State returns the journal's state now.
func (j *Journal) State() State {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := State{
		Last: j.written, Synced: j.synced, At: j.at, OpenIntents: len(j.open), SegmentFirst: j.first,
		SegmentBytes: j.end, RefusalsMissed: j.refusalsMissed, Fault: j.fault,
	}
	if j.fatal != nil {
		s.Fault = j.fatal
	}
	return s
}

// Close writes what waits, syncs and closes the file. It may be called again.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	for j.flushing || j.syncing || j.waiting != nil {
		j.changed.Wait()
	}
	if j.space != nil {
		close(j.space)
		j.space = nil
	}
	j.announce()
	err := j.sync(j.written)
	if err == nil && j.ahead > j.end {
		// Without a sync: what is still there after a loss of power says nothing.
		if err = j.file.Truncate(j.end); err != nil {
			err = fmt.Errorf("close the journal: %w", err)
		}
	}
	if cerr := j.file.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close the journal: %w", cerr)
	}
	return err
}

// clip returns s cut to n bytes, at the border of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n])
}

func update(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }
