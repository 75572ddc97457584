// Package requestlog keeps what tenants asked to have kept of their requests:
// a file per tenant and day beside the journal, bounded in size, deleted when
// its time is over. It refuses to make a request wait, to be books (what it
// has no room for it drops, and counts), to keep a header, and to keep
// anything of a tenant that did not ask.
package requestlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Version is the version of the format of a line.
	Version = 1
	// QueueRecords is how many records may wait to be written.
	QueueRecords = 1024
	// QueueBytes bounds the texts of the records that wait or are being gathered.
	QueueBytes = 32 << 20
	// SweepEach is how often files whose time is over are deleted.
	SweepEach = time.Hour
	// openFiles bounds the files that are open at once.
	openFiles = 64
	// lookEach is how often the room on the disk is looked at, at most.
	lookEach = time.Second

	suffix    = ".jsonl"
	ownerDir  = 0o700
	ownerFile = 0o600
)

// Record is one line: names and figures of a request, and its texts where
// they are kept.
type Record struct {
	V            int       `json:"v"`
	At           time.Time `json:"at"`
	Request      string    `json:"request"`
	Tenant       string    `json:"tenant"`
	Key          string    `json:"key"`
	Plan         string    `json:"plan"`
	EndUser      string    `json:"end_user,omitempty"`
	Territory    string    `json:"territory,omitempty"`
	Asked        string    `json:"asked,omitempty"` // model, as the client wrote it
	Model        string    `json:"model,omitempty"` // that served, id@version
	Pool         string    `json:"pool,omitempty"`
	Stream       bool      `json:"stream,omitempty"`
	Status       int       `json:"status"`
	Code         string    `json:"code,omitempty"` // of the error
	Attempts     int       `json:"attempts"`
	InputTokens  int64     `json:"input_tokens,omitempty"`
	OutputTokens int64     `json:"output_tokens,omitempty"`
	Milliseconds int64     `json:"duration_ms"`
	// PromptBytes and AnswerBytes are the whole lengths; Prompt and Answer may be less.
	PromptBytes int64  `json:"prompt_bytes,omitempty"`
	Prompt      string `json:"prompt,omitempty"`
	AnswerBytes int64  `json:"answer_bytes,omitempty"`
	Answer      string `json:"answer,omitempty"`

	// Claimed are the bytes that Claim gave for the texts.
	Claimed int64 `json:"-"`
}

// File is an open file of the log.
type File interface {
	Write(b []byte) (int, error)
	Truncate(size int64) error
	Close() error
}

// Options say where a log is and what bounds it.
type Options struct {
	Dir string // made when it is needed
	// MaxBytes bounds all files together.
	MaxBytes int64
	// Free tells the room on the disk in bytes; below Reserve nothing is
	// written, so that the log leaves the rest to the journal. Nil: not looked at.
	Free    func() (free uint64, ok bool)
	Reserve uint64
	Logger  *slog.Logger
	// Open opens a file for appending, for its owner only; nil: the system's.
	Open func(name string) (File, error)
	// Remove deletes a file; nil: the system's.
	Remove func(name string) error
}

// State is how a log stands.
type State struct {
	Bytes, MaxBytes int64 // of all files
	Written         int64 // records since the start
	// Dropped are records that were not kept since the start: because the
	// queue or its memory was full, the log was full, or the disk refused.
	DroppedQueue, DroppedFull, DroppedDisk int64
	// Full says that the log has no room; Fault why it cannot be written.
	Full  bool
	Fault string
	// Undeleted says why files whose time is over are still there.
	Undeleted string
}

// Log is a request log. Its methods may be called at once.
type Log struct {
	o       Options
	queue   chan *Record
	swept   chan struct{} // asks for a sweep
	claimed atomic.Int64

	bytes, written, queueDrops, fullDrops, diskDrops atomic.Int64
	full                                             atomic.Bool
	fault, undeleted                                 atomic.Pointer[string]

	mu     sync.Mutex
	retain map[string]int64 // days by tenant

	// of Run
	files  map[string]*openFile // by tenant
	looked time.Time
}

type openFile struct {
	File
	day  string
	size int64
}

// New returns a log. Nothing is written or deleted until Run runs.
func New(o Options) *Log {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Open == nil {
		o.Open = func(name string) (File, error) {
			return os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, ownerFile)
		}
	}
	if o.Remove == nil {
		o.Remove = os.Remove
	}
	return &Log{o: o, queue: make(chan *Record, QueueRecords), swept: make(chan struct{}, 1), retain: map[string]int64{}, files: map[string]*openFile{}}
}

// Retain sets the tenants whose requests are kept, and for how many days.
// Files of all others are deleted at once.
func (l *Log) Retain(days map[string]int64) {
	l.mu.Lock()
	l.retain = days
	l.mu.Unlock()
	select {
	case l.swept <- struct{}{}:
	default:
	}
}

// Claim takes n bytes of the memory for texts; false: there is no room.
func (l *Log) Claim(n int64) bool {
	if l.claimed.Add(n) > QueueBytes {
		l.claimed.Add(-n)
		return false
	}
	return true
}

// Keep takes a record over with what was claimed for it, and returns at once.
func (l *Log) Keep(r *Record) {
	select {
	case l.queue <- r:
	default:
		l.queueDrops.Add(1)
		l.claimed.Add(-r.Claimed)
	}
}

// State says how the log stands.
func (l *Log) State() State {
	s := State{
		Bytes: l.bytes.Load(), MaxBytes: l.o.MaxBytes, Written: l.written.Load(),
		DroppedQueue: l.queueDrops.Load(), DroppedFull: l.fullDrops.Load(), DroppedDisk: l.diskDrops.Load(), Full: l.full.Load(),
	}
	if f := l.fault.Load(); f != nil {
		s.Fault = *f
	}
	if f := l.undeleted.Load(); f != nil {
		s.Undeleted = *f
	}
	return s
}

// Run writes and deletes until ctx ends, and then writes what still waits.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(SweepEach)
	defer tick.Stop()
	defer l.closeAll()
	l.sweep()
	for {
		select {
		case <-ctx.Done():
			for {
				select {
				case r := <-l.queue:
					l.take(r)
				default:
					return
				}
			}
		case r := <-l.queue:
			l.take(r)
		case <-l.swept:
			l.sweep()
		case <-tick.C:
			l.sweep()
		}
	}
}

func (l *Log) take(r *Record) {
	defer l.claimed.Add(-r.Claimed)
	l.mu.Lock()
	_, kept := l.retain[r.Tenant]
	l.mu.Unlock()
	if !kept { // it opted out meanwhile
		return
	}
	r.V = Version
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		l.refused(fmt.Errorf("encode: %w", err))
		return
	}
	if l.bytes.Load()+int64(b.Len()) > l.o.MaxBytes {
		l.fullDrops.Add(1)
		if !l.full.Swap(true) {
			l.o.Logger.Warn("the request log is full; requests are served and not logged", "bytes", l.bytes.Load(), "limit", l.o.MaxBytes)
		}
		return
	}
	if err := l.write(r.Tenant, b.Bytes()); err != nil {
		l.refused(err)
		return
	}
	l.written.Add(1)
	l.full.Store(false)
	l.fault.Store(nil)
}

func (l *Log) refused(err error) {
	l.diskDrops.Add(1)
	text := err.Error()
	if l.fault.Swap(&text) == nil {
		l.o.Logger.Error("the request log cannot be written; requests are served and not logged", "error", err)
	}
}

var errReserve = errors.New("the disk has little room left, which the journal keeps; make room")

// write appends a line to the tenant's file of today: all of it or nothing.
func (l *Log) write(tenant string, line []byte) error {
	now := time.Now()
	if l.o.Free != nil && now.Sub(l.looked).Abs() >= lookEach {
		if free, ok := l.o.Free(); ok && free < l.o.Reserve {
			return errReserve
		}
		l.looked = now
	}
	f, err := l.open(tenant, now.UTC().Format(time.DateOnly))
	if err != nil {
		return err
	}
	n, err := f.Write(line)
	if err == nil {
		f.size += int64(n)
		l.bytes.Add(int64(n))
		return nil
	}
	if n > 0 && f.Truncate(f.size) != nil {
		l.bytes.Add(int64(n))
	}
	l.forget(tenant) // opening it again repairs what could not be taken back
	return err
}

// open returns the tenant's file of a day.
func (l *Log) open(tenant, day string) (*openFile, error) {
	if f := l.files[tenant]; f != nil {
		if f.day == day {
			return f, nil
		}
		l.forget(tenant)
	}
	if len(l.files) >= openFiles {
		l.closeAll()
	}
	if tenant == "" || tenant != filepath.Base(tenant) || !filepath.IsLocal(tenant) {
		return nil, fmt.Errorf("%q is no name of a directory", tenant)
	}
	dir := filepath.Join(l.o.Dir, tenant)
	if err := os.MkdirAll(dir, ownerDir); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, day+suffix)
	whole, all, err := wholeLines(name)
	if err != nil {
		return nil, err
	}
	f, err := l.o.Open(name)
	if err != nil {
		return nil, err
	}
	if whole < all {
		if err := f.Truncate(whole); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		l.bytes.Add(whole - all)
	}
	o := &openFile{f, day, whole}
	l.files[tenant] = o
	return o, nil
}

func (l *Log) forget(tenant string) {
	if f := l.files[tenant]; f != nil {
		_ = f.Close() // nothing is buffered
		delete(l.files, tenant)
	}
}

func (l *Log) closeAll() {
	for tenant := range l.files {
		l.forget(tenant)
	}
}

// sweep deletes files whose time is over or whose tenant did not ask for
// them, and counts the bytes of the others.
func (l *Log) sweep() {
	l.mu.Lock()
	retain := l.retain
	l.mu.Unlock()
	today, total := time.Now().UTC().Truncate(24*time.Hour), int64(0)
	err := days(l.o.Dir, func(tenant string, day time.Time, name string) error {
		if n, kept := retain[tenant]; !kept || !day.AddDate(0, 0, int(n)).After(today) {
			l.forget(tenant)
			if err := l.o.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			_ = os.Remove(filepath.Dir(name)) // if it is empty
			return nil
		}
		info, err := os.Stat(name)
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		l.o.Logger.Error("request logs whose time is over could not be deleted; it is tried again within the hour", "error", err)
		text := err.Error()
		l.undeleted.Store(&text)
		return
	}
	l.undeleted.Store(nil)
	if total < l.bytes.Load() {
		l.full.Store(false)
	}
	l.bytes.Store(total)
}
