package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// sickFS is the system's file system, which refuses every change with an
// error while it has one. A write on a full disk leaves half of its bytes.
type sickFS struct {
	journal.FS
	errno atomic.Int64 // of syscall.Errno; 0: it is well
}

type sickFile struct {
	journal.File
	fs *sickFS
}

func newSickFS() *sickFS { return &sickFS{FS: journal.OS()} }

func (f *sickFS) err() error {
	if n := f.errno.Load(); n != 0 {
		return syscall.Errno(n)
	}
	return nil
}

func (f *sickFS) Create(name string) (journal.File, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	return sickFile{file, f}, err
}

func (f sickFile) WriteAt(b []byte, off int64) (int, error) {
	err := f.fs.err()
	switch {
	case err == nil:
		return f.File.WriteAt(b, off)
	case errors.Is(err, syscall.ENOSPC):
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, err
	}
	return 0, err
}

func (f sickFile) Truncate(size int64) error {
	if err := f.fs.err(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// breaking is a journal whose disk breaks once so many intents are written,
// and whose outcomes wait for that.
type breaking struct {
	gateway.Journal
	intents atomic.Int64 // to come
	broken  chan struct{}
	disk    *sickFS
	errno   syscall.Errno
}

func (b *breaking) Intent(ctx context.Context, in *record.Intent) (uint64, error) {
	seq, err := b.Journal.Intent(ctx, in)
	if err == nil && b.intents.Add(-1) == 0 {
		b.disk.errno.Store(int64(b.errno))
		close(b.broken)
	}
	return seq, err
}

func (b *breaking) Outcome(ctx context.Context, o *record.Outcome) (uint64, error) {
	<-b.broken
	return b.Journal.Outcome(ctx, o)
}

// breakAfter starts a gateway whose disk breaks after n intents.
func breakAfter(t *testing.T, n int, errno syscall.Errno, limits gateway.Limits) (*harness, *sickFS) {
	t.Helper()
	disk := newSickFS()
	return start(t, setup{fs: disk, limits: limits, before: func(j gateway.Journal) gateway.Journal {
		b := &breaking{Journal: j, broken: make(chan struct{}), disk: disk, errno: errno}
		b.intents.Store(int64(n))
		return b
	}}), disk
}

// askAtOnce sends n requests at once, every second one a stream; none may be seen
// complete.
func (h *harness) askAtOnce(n int) {
	h.Helper()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			body := h.body(i%2 == 1)
			r, err := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(body))
			if err != nil {
				h.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer sk-open")
			resp, err := h.client.Do(r)
			if err != nil {
				h.Error(err)
				return
			}
			defer resp.Body.Close()
			var text strings.Builder
			if err := resp.Write(&text); err != nil || !strings.Contains(text.String(), "outcome_not_recorded") || strings.Contains(text.String(), "[DONE]") {
				h.Errorf("%v %s", err, text.String())
			}
		})
	}
	wait.Wait()
}

// A disk that breaks under requests refuses new ones, and has every outcome
// once it is well again, once and as billed, without a restart.
func TestLate_OutcomesAreWrittenOnceTheDiskIsWell(t *testing.T) {
	for _, row := range []struct {
		name  string
		errno syscall.Errno
	}{{"full", syscall.ENOSPC}, {"read-only", syscall.EROFS}, {"input/output error", syscall.EIO}} {
		t.Run(row.name, func(t *testing.T) {
			const n = 48
			h, disk := breakAfter(t, n, row.errno, gateway.Limits{})
			h.askAtOnce(n)
			if waiting, leftOpen := h.g.Late(); waiting != n || leftOpen != 0 {
				t.Fatalf("%d outcomes wait, %d are left open, of %d", waiting, leftOpen, n)
			}
			sent := len(h.sim.Requests())
			resp, body := h.chat("sk-open", hello)
			if resp.StatusCode != 503 || !strings.Contains(body, `"code":"journal_unavailable"`) || resp.Header.Get("Retry-After") == "" || len(h.sim.Requests()) != sent {
				t.Errorf("while it is %s: %d %s, %d requests reached the provider", row.name, resp.StatusCode, body, len(h.sim.Requests())-sent)
			}
			if written, waiting := h.g.WriteLate(t.Context()); written != 0 || waiting != n {
				t.Errorf("while it is %s, %d are written and %d wait", row.name, written, waiting)
			}
			disk.errno.Store(0)
			var wait sync.WaitGroup
			for range 4 { // writing at once, beside requests, writes nothing twice
				wait.Go(func() { h.g.WriteLate(t.Context()) })
				wait.Go(func() {
					r, _ := http.NewRequest("POST", h.url+"/v1/chat/completions", strings.NewReader(hello))
					r.Header.Set("Authorization", "Bearer sk-open")
					resp, err := h.client.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Errorf("well again: %s", resp.Status)
					}
				})
			}
			wait.Wait()
			if waiting, leftOpen := h.g.Late(); waiting != 0 || leftOpen != 0 {
				t.Errorf("%d outcomes wait, %d are left open", waiting, leftOpen)
			}
			h.noHolds()
			h.asBilled(n + 4)
		})
	}
}

// asBilled demands that n attempts were served, with the usage of the
// provider's invoice.
func (h *harness) asBilled(n int) {
	h.Helper()
	billed := map[string]usage.Vector{}
	for _, pool := range []string{"a", "b"} {
		lines, err := h.sim.Lines(pool)
		if err != nil {
			h.Fatal(err)
		}
		for _, l := range lines {
			billed[l.AttemptID] = usage.Vector{UncachedInput: l.UncachedInput, CacheRead: l.CacheRead, CacheWrite: l.CacheWrite, Output: l.Output, Reasoning: l.Reasoning}
		}
	}
	list := h.attempts()
	if len(list) != n || len(billed) != n {
		h.Errorf("%d attempts in the journal, %d on the invoice, want %d", len(list), len(billed), n)
	}
	for _, p := range list {
		want, ok := billed[string(p.in.Attempt)]
		if p.out.Status != record.Served || !ok || p.out.Usage != want || p.out.Upstream == "" || strings.ToValidUTF8(p.out.Upstream, "") != p.out.Upstream {
			h.Errorf("attempt %s: %+v, billed %+v", p.in.Attempt, p.out, want)
		}
	}
}

// What is not kept, and what is kept when the process ends, is open: the next
// process finds it and makes it suspense.
func TestLate_WhatIsNotWrittenIsFoundAtTheNextStart(t *testing.T) {
	const n, kept = 5, 2
	h, disk := breakAfter(t, n, syscall.ENOSPC, gateway.Limits{LateOutcomes: kept})
	h.askAtOnce(n)
	if waiting, leftOpen := h.g.Late(); waiting != kept || leftOpen != n-kept {
		t.Errorf("%d outcomes wait, %d are left open", waiting, leftOpen)
	}
	open := func() int {
		t.Helper()
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
			t.Fatal(err)
		}
		j, recovery, err := journal.Open(dir, journal.Options{Node: "n"})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if abandoned, err := j.Abandon(t.Context(), recovery.Open); err != nil || abandoned != len(recovery.Open) {
			t.Errorf("%d of %d abandoned: %v", abandoned, len(recovery.Open), err)
		}
		return len(recovery.Open)
	}
	if got := open(); got != n {
		t.Errorf("a process that begins now finds %d open intents, want %d", got, n)
	}
	disk.errno.Store(0)
	if written, waiting := h.g.WriteLate(t.Context()); written != kept || waiting != 0 {
		t.Errorf("%d written, %d wait", written, waiting)
	}
	if got := open(); got != n-kept {
		t.Errorf("a process that begins after the disk is well finds %d open intents, want %d", got, n-kept)
	}
	metrics := h.metrics()
	for _, want := range []string{"accordo_late_outcomes 0\n", `accordo_late_outcomes_total{fate="written"} 2` + "\n", `accordo_late_outcomes_total{fate="left_open"} 3` + "\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

// refusing is a journal that never takes the outcomes of some attempts.
type refusing struct {
	gateway.Journal
	mu    sync.Mutex
	never map[record.AttemptID]bool
	all   atomic.Bool
	tried atomic.Int64
}

func (r *refusing) Outcome(ctx context.Context, o *record.Outcome) (uint64, error) {
	r.tried.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all.Load() {
		if len(r.never) < 2 {
			r.never[o.Attempt] = true
		}
		return 0, errNoSpace
	}
	if r.never[o.Attempt] {
		return 0, fmt.Errorf("this one never: %w", errNoSpace)
	}
	return r.Journal.Outcome(ctx, o)
}

// An outcome that is refused for ever holds up no other one, and costs two
// writes at a time at most.
func TestLate_OneThatIsRefusedHoldsUpNoOther(t *testing.T) {
	var journal *refusing
	h := start(t, setup{before: func(j gateway.Journal) gateway.Journal {
		journal = &refusing{Journal: j, never: map[record.AttemptID]bool{}}
		return journal
	}})
	journal.all.Store(true)
	for range 6 {
		h.chat("sk-open", h.body(false))
	}
	journal.all.Store(false)
	h.g.WriteLate(t.Context())
	h.g.WriteLate(t.Context())
	if waiting, _ := h.g.Late(); waiting != 2 {
		t.Errorf("%d outcomes wait, want the two that are refused for ever", waiting)
	}
	journal.all.Store(true)
	before := journal.tried.Load()
	h.g.WriteLate(t.Context())
	if n := journal.tried.Load() - before; n > 2 {
		t.Errorf("%d writes were tried on a disk that is full", n)
	}
}

// What no journal takes is not kept.
func TestLate_AnInvalidOutcomeIsNotKept(t *testing.T) {
	h := start(t, setup{before: func(j gateway.Journal) gateway.Journal { return invalid{j} }})
	if _, body := h.chat("sk-open", hello, "X-Request-Id", "x"); !strings.Contains(body, "outcome_not_recorded") {
		t.Errorf("%s", body)
	}
	if waiting, leftOpen := h.g.Late(); waiting != 0 || leftOpen != 1 {
		t.Errorf("%d outcomes wait, %d are left open", waiting, leftOpen)
	}
}

type invalid struct{ gateway.Journal }

func (invalid) Outcome(context.Context, *record.Outcome) (uint64, error) {
	return 0, fmt.Errorf("append: %w", record.ErrInvalid)
}

func (h *harness) metrics() string {
	w := &memory{header: http.Header{}}
	r, _ := http.NewRequest("GET", "/metrics", nil)
	h.g.Metrics().Handler().ServeHTTP(w, r)
	return w.String()
}
