// Package journal keeps the append-only record of what one node did: intents,
// outcomes, refusals and marks. It refuses to lose, reorder or invent a
// record: a torn tail is cut off and reported, any other fault stops it.
package journal

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/accordo-ai/accordo/internal/record"
)

// The durabilities of an outcome.
const (
	Crash = "crash" // safe against the end of the process: after write(2)
	Disk  = "disk"  // safe against loss of power: after fdatasync(2)
)

// Options say where and how a journal writes.
type Options struct {
	Node         string           // id of the node, at most 64 bytes
	Durability   string           // Crash (the default) or Disk
	Now          func() time.Time // nil: time.Now
	SegmentBytes int64            // size at which a segment ends; 0: 64 MiB
	PendingBytes int              // bytes that may wait for the disk; 0: 4 MiB
	FS           FS               // nil: the operating system's
}

// FS is the file system a journal needs.
type FS interface{}

// OpenIntent is an intent without an outcome.
type OpenIntent struct {
	Sequence uint64
	At       int64
	Intent   *record.Intent
}

// Repair says what was cut off a file.
type Repair struct {
	File   string
	Offset int64
	Bytes  int64
	Reason string
}

// Recovery is what Open found and did.
type Recovery struct {
	Last     uint64 // last sequence number, 0 for an empty journal
	LastAt   int64  // its time in nanoseconds since 1970 UTC
	Segments int
	Repairs  []Repair
	Open     []OpenIntent
}

// Journal is the writer of one node's journal; its methods may be called at once.
type Journal struct{ flushed chan struct{} }

var errUnbuilt = errors.New("journal: cannot write")

// Open opens the journal in dir, repairs a torn tail and finds the open intents.
// The caller holds the data directory's lock.
func Open(dir string, o Options) (*Journal, Recovery, error) { return nil, Recovery{}, errUnbuilt }

// Intent appends an intent and returns its sequence number when it is safe against a crash.
func (j *Journal) Intent(ctx context.Context, in *record.Intent) (uint64, error) {
	return 0, errUnbuilt
}

// Outcome appends the outcome of the open intent o.Intent (its sequence
// number) and returns when it is safe, as Options.Durability says. A second
// outcome of one intent is refused.
func (j *Journal) Outcome(ctx context.Context, o *record.Outcome) (uint64, error) {
	return 0, errUnbuilt
}

// Refusal appends a refusal; above a rate, or when the journal cannot write, it is dropped and counted.
func (j *Journal) Refusal(r *record.Refusal) {}

// Mark closes a batch. It returns after an fdatasync whatever the durability,
// so that books are never ahead of the journal after a loss of power.
func (j *Journal) Mark(ctx context.Context) (uint64, error) { return 0, errUnbuilt }

// Abandon appends an abandoned outcome, with the estimate as usage, for each open intent.
func (j *Journal) Abandon(ctx context.Context, open []OpenIntent) (int, error) { return 0, errUnbuilt }

// Start records that this process serves, after Abandon.
func (j *Journal) Start(ctx context.Context, version, terms string) (uint64, error) {
	return 0, errUnbuilt
}

// Last is the sequence number of the last written record.
func (j *Journal) Last() uint64 { return 0 }

// Flushed carries a token after records were written; for one receiver.
func (j *Journal) Flushed() <-chan struct{} { return j.flushed }

// Wait returns Last() as soon as it is above after, or the error of ctx.
func (j *Journal) Wait(ctx context.Context, after uint64) (uint64, error) { return 0, errUnbuilt }

// Read yields the records from sequence number from to Last(), seeking with
// the positions that the journal remembers.
func (j *Journal) Read(from uint64) iter.Seq2[record.Record, error] {
	return func(func(record.Record, error) bool) {}
}

// Close writes what waits, syncs and closes. It may be called again.
func (j *Journal) Close() error { return nil }

// Read yields the records in dir from sequence number from, beside a process
// that appends or without one. It ends at the last complete record; after an
// error it yields nothing more.
func Read(dir string, from uint64) iter.Seq2[record.Record, error] {
	return func(func(record.Record, error) bool) {}
}
