package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

const dir = "/j"

// shortSegment makes a few records fill a segment.
const shortSegment = 300

var epoch = time.Unix(1_790_000_000, 0)

// options have small segments and a clock that ticks a microsecond per look.
func options(m *memFS) Options {
	n := 0
	return Options{Node: "n1", FS: m, SegmentBytes: shortSegment, Now: func() time.Time {
		n++
		return epoch.Add(time.Duration(n) * time.Microsecond)
	}}
}

func mustOpen(t testing.TB, o Options) (*Journal, Recovery) {
	t.Helper()
	j, rec, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return j, rec
}

func intent(n int) *record.Intent {
	return &record.Intent{
		Attempt: record.AttemptID(fmt.Sprintf("attempt-%d", n)), Request: fmt.Sprintf("r%d", n), Number: 1,
		Pool: "pool", Model: "m@1", Estimate: usage.Vector{UncachedInput: int64(n), Output: 7},
	}
}

func outcome(in uint64, n int) *record.Outcome {
	return &record.Outcome{
		Attempt: record.AttemptID(fmt.Sprintf("attempt-%d", n)), Intent: in, Status: record.Served,
		Usage: usage.Vector{UncachedInput: int64(n), Output: 9},
	}
}

// all collects what a reader yields, and its error.
func all(seq iter.Seq2[record.Record, error]) (rs []record.Record, err error) {
	for r, e := range seq {
		if e != nil {
			return rs, e
		}
		rs = append(rs, r)
	}
	return rs, nil
}

func mustAll(t testing.TB, seq iter.Seq2[record.Record, error]) []record.Record {
	t.Helper()
	rs, err := all(seq)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// diff is cmp.Diff, which takes a nil slice for an empty one; equal values,
// the rule in loops over every byte, are found the fast way.
func diff(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// checkWhole fails unless rs are numbered from 1 without gaps.
func checkWhole(t testing.TB, rs []record.Record) {
	t.Helper()
	for i, r := range rs {
		if r.Sequence != uint64(i+1) {
			t.Fatalf("record %d has sequence %d", i+1, r.Sequence)
		}
	}
}

func must(t testing.TB) func(uint64, error) uint64 {
	return func(seq uint64, err error) uint64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
}

// work appends records of all kinds, some of whose intents stay open, over
// several segments.
func work(t testing.TB, j *Journal, rounds int) {
	ctx, ok := t.Context(), must(t)
	ok(j.Start(ctx, "v1", strings.Repeat("ab", 32)))
	var open []uint64
	for n := range rounds {
		open = append(open, ok(j.Intent(ctx, intent(n))))
		if n%3 != 0 {
			ok(j.Outcome(ctx, outcome(open[0], n)))
			open = open[1:]
		}
		if n%4 == 3 {
			ok(j.Mark(ctx))
		}
		if n%5 == 4 {
			j.Refusal(&record.Refusal{Request: "refused", Code: "no_right", Reason: "no right"})
		}
	}
}

func TestJournal_ReadsBackWhatItWrote(t *testing.T) {
	m := newMemFS()
	j, rec := mustOpen(t, options(m))
	if d := diff(Recovery{Segments: 1}, rec); d != "" {
		t.Error(d)
	}
	work(t, j, 40)
	rs := mustAll(t, j.Read(0))
	checkWhole(t, rs)
	if uint64(len(rs)) != j.Last() || len(m.names()) < 4 {
		t.Fatalf("%d records of %d in %d segments", len(rs), j.Last(), len(m.names()))
	}
	for from := range j.Last() + 2 {
		for name, got := range map[string][]record.Record{"journal": mustAll(t, j.Read(from)), "files": mustAll(t, ReadFS(m, dir, from))} {
			if d := diff(rs[max(from, 1)-1:], got); d != "" {
				t.Fatalf("%s from %d: %s", name, from, d)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, rec = mustOpen(t, options(m))
	if d := diff(rs, mustAll(t, j.Read(1))); d != "" || rec.Last != uint64(len(rs)) || rec.Repairs != nil {
		t.Errorf("after opening again: %+v\n%s", rec, d)
	}
}

func TestJournal_IntentReturnsSequenceAndTimeNeverFalls(t *testing.T) {
	m := newMemFS()
	o := options(m)
	times := []time.Time{epoch, epoch.Add(-time.Hour), epoch.Add(time.Second), epoch}
	o.Now = func() time.Time {
		at := times[0]
		if len(times) > 1 {
			times = times[1:]
		}
		return at
	}
	j, _ := mustOpen(t, o)
	for n := range 4 {
		if seq := must(t)(j.Intent(t.Context(), intent(n))); seq != uint64(n+1) {
			t.Errorf("sequence %d, want %d", seq, n+1)
		}
	}
	j.Close()
	j, rec := mustOpen(t, o)
	must(t)(j.Mark(t.Context()))
	var got []time.Duration
	for _, r := range mustAll(t, j.Read(1)) {
		got = append(got, time.Duration(r.At-epoch.UnixNano()))
	}
	if d := diff([]time.Duration{0, 0, time.Second, time.Second, time.Second}, got); d != "" || rec.LastAt != epoch.Add(time.Second).UnixNano() {
		t.Error(d, rec.LastAt)
	}
}

func TestOutcome_IsRefusedWithoutAnOpenIntent(t *testing.T) {
	j, _ := mustOpen(t, options(newMemFS()))
	ctx := t.Context()
	if _, err := j.Outcome(ctx, outcome(1, 1)); !errors.Is(err, ErrNoIntent) {
		t.Errorf("no intent: %v", err)
	}
	seq := must(t)(j.Intent(ctx, intent(1)))
	must(t)(j.Outcome(ctx, outcome(seq, 1)))
	if _, err := j.Outcome(ctx, outcome(seq, 1)); !errors.Is(err, ErrNoIntent) {
		t.Errorf("a second outcome: %v", err)
	}
	if j.Last() != 2 {
		t.Errorf("last %d, want 2", j.Last())
	}
}

func TestJournal_RefusesWhatIsTooLargeAndGoesOn(t *testing.T) {
	j, _ := mustOpen(t, options(newMemFS()))
	big := intent(1)
	big.EndUser = strings.Repeat("x", record.MaxText+1)
	huge := intent(1)
	for range record.MaxConsidered {
		huge.Considered = append(huge.Considered, record.Considered{Verdict: record.Full, Pool: strings.Repeat("p", record.MaxText)})
	}
	for _, in := range []*record.Intent{big, huge} {
		if _, err := j.Intent(t.Context(), in); !errors.Is(err, record.ErrInvalid) {
			t.Errorf("error %v", err)
		}
	}
	seq := must(t)(j.Intent(t.Context(), intent(2)))
	o := outcome(seq, 2)
	o.Upstream = strings.Repeat("ü", 5000)
	must(t)(j.Outcome(t.Context(), o))
	rs := mustAll(t, j.Read(1))
	checkWhole(t, rs)
	if got := rs[1].Outcome.Upstream; got != strings.Repeat("ü", MaxUpstreamText/2) || len(o.Upstream) != 10000 {
		t.Errorf("a provider's text of %d bytes was recorded with %d", len(o.Upstream), len(got))
	}
}

func TestOpen_RefusesBadOptionsAndAnotherNode(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, options(m))
	j.Close()
	rows := []struct {
		name, want string
		change     func(*Options)
	}{
		{"another node", `belongs to node "n1"`, func(o *Options) { o.Node = "n2" }},
		{"no node", "must have 1 to 64", func(o *Options) { o.Node = "" }},
		{"a long node", "must have 1 to 64", func(o *Options) { o.Node = strings.Repeat("n", 65) }},
		{"an unknown durability", `"paper" is not known`, func(o *Options) { o.Durability = "paper" }},
		{"short segments", "too short", func(o *Options) { o.SegmentBytes = 100 }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			o := options(m)
			row.change(&o)
			if _, _, err := Open(dir, o); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestGroup_ManyWaitersOneWrite holds one write and sees everyone who came
// meanwhile written by the next one.
func TestGroup_ManyWaitersOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		j, _ := mustOpen(t, Options{Node: "n1", FS: m})
		hold := make(chan struct{})
		m.setFail(func(o op) (int, error) {
			if o.kind == "write" {
				<-hold
			}
			return 0, nil
		})
		before := m.count("write")
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() { must(t)(j.Intent(t.Context(), intent(n))) })
			synctest.Wait()
		}
		close(hold)
		wg.Wait()
		if got := m.count("write") - before; got != 2 {
			t.Errorf("%d writes, want 2", got)
		}
		rs := mustAll(t, j.Read(1))
		checkWhole(t, rs)
		if len(rs) != 50 {
			t.Errorf("%d records", len(rs))
		}
	})
}

func TestJournal_WaitsForRoomAsLongAsTheContextLets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		j, _ := mustOpen(t, Options{Node: "n1", FS: m, PendingBytes: 100})
		hold := make(chan struct{})
		m.setFail(func(o op) (int, error) {
			if o.kind == "write" {
				<-hold
			}
			return 0, nil
		})
		var wg sync.WaitGroup
		for n := range 6 { // one is being written, two fill the room, three wait
			wg.Go(func() { must(t)(j.Intent(t.Context(), intent(n))) })
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := j.Intent(ctx, intent(9)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without room: %v", err)
		}
		j.Refusal(&record.Refusal{Code: "full"})
		if got := j.State().RefusalsMissed; got != 1 {
			t.Errorf("%d refusals missed, want 1", got)
		}
		close(hold)
		wg.Wait()
		if j.Last() != 6 {
			t.Errorf("last %d, want 6", j.Last())
		}
	})
}

func TestOutcome_OnDiskWaitsForOneSyncOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		j, _ := mustOpen(t, Options{Node: "n1", FS: m, Durability: Disk})
		var seqs []uint64
		before := m.count("sync")
		for n := range 20 {
			seqs = append(seqs, must(t)(j.Intent(t.Context(), intent(n))))
		}
		if m.count("sync") != before {
			t.Error("an intent waited for the disk")
		}
		hold := make(chan struct{})
		m.setFail(func(o op) (int, error) {
			if o.kind == "sync" {
				<-hold
			}
			return 0, nil
		})
		var wg sync.WaitGroup
		done := 0
		var mu sync.Mutex
		for n, seq := range seqs {
			wg.Go(func() {
				must(t)(j.Outcome(t.Context(), outcome(seq, n)))
				mu.Lock()
				done++
				mu.Unlock()
			})
			synctest.Wait()
		}
		if done != 0 {
			t.Errorf("%d outcomes did not wait", done)
		}
		close(hold)
		wg.Wait()
		if got := m.count("sync") - before; got != 2 {
			t.Errorf("%d syncs for 20 outcomes, want 2", got)
		}
	})
}

func TestRefusal_IsBoundedPerSecond(t *testing.T) {
	o := options(newMemFS())
	at := epoch
	o.Now, o.RefusalsPerSecond = func() time.Time { return at }, 3
	j, _ := mustOpen(t, o)
	for range 5 {
		j.Refusal(&record.Refusal{Code: "no_right"})
	}
	at = at.Add(time.Second)
	j.Refusal(&record.Refusal{Code: "no_right"})
	if s := j.State(); s.Last != 4 || s.RefusalsMissed != 2 {
		t.Errorf("state %+v", s)
	}
}

func TestWait_ReturnsWhenRecordsAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := mustOpen(t, options(newMemFS()))
		got := make(chan uint64)
		go func() { got <- must(t)(j.Wait(t.Context(), 0)) }()
		synctest.Wait()
		must(t)(j.Mark(t.Context()))
		if seq := <-got; seq != 1 {
			t.Errorf("woken with %d", seq)
		}
		<-j.Flushed()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := j.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		closed := make(chan error)
		go func() { _, err := j.Wait(t.Context(), 1); closed <- err }()
		synctest.Wait()
		j.Close()
		if err := <-closed; !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestClose_WritesAndRefusesWhatComesLater(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, options(m))
	must(t)(j.Intent(t.Context(), intent(1)))
	for range 2 {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Intent(t.Context(), intent(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
	if got := len(mustAll(t, ReadFS(afterPowerLoss(m.log(), false), dir, 1))); got != 1 {
		t.Errorf("%d records are on the disk after Close", got)
	}
}

func TestJournal_ManyWritersOnTheRealDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := Open(path, Options{Node: "n1", SegmentBytes: 20_000, Durability: Disk})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	want := map[uint64]record.AttemptID{}
	var wg, readers sync.WaitGroup
	stop := make(chan struct{})
	readers.Go(func() { // beside the writers, as the CLI does
		for {
			rs, err := all(Read(path, 1))
			if err != nil {
				t.Error(err)
				return
			}
			checkWhole(t, rs)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range 16 {
		wg.Go(func() {
			for n := range 30 {
				in := intent(w*1000 + n)
				seq := must(t)(j.Intent(t.Context(), in))
				out := must(t)(j.Outcome(t.Context(), outcome(seq, w*1000+n)))
				mu.Lock()
				want[seq], want[out] = in.Attempt, in.Attempt
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	rs := mustAll(t, Read(path, 1))
	checkWhole(t, rs)
	if len(rs) != 960 || len(want) != 960 {
		t.Fatalf("%d records, %d numbers", len(rs), len(want))
	}
	for _, r := range rs {
		id := record.AttemptID("")
		if r.Intent != nil {
			id = r.Intent.Attempt
		} else {
			id = r.Outcome.Attempt
		}
		if want[r.Sequence] != id {
			t.Errorf("record %d is %s, its writer was told %s", r.Sequence, id, want[r.Sequence])
		}
	}
}

func TestJournal_FullDiskRefusesAndGoesOnWithoutAGap(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		for written := range 60 {
			m := newMemFS()
			j, _ := mustOpen(t, options(m))
			seq := must(t)(j.Intent(t.Context(), intent(1)))
			m.setFail(func(o op) (int, error) {
				if o.kind == "write" {
					return written, syscall.ENOSPC
				}
				if stuck && o.kind == "truncate" {
					return 0, syscall.EIO
				}
				return 0, nil
			})
			for range 2 {
				if _, err := j.Outcome(t.Context(), outcome(seq, 1)); !errors.Is(err, ErrWrite) {
					t.Fatalf("error %v", err)
				}
				if _, err := j.Intent(t.Context(), intent(2)); !errors.Is(err, ErrWrite) {
					t.Fatalf("error %v", err)
				}
			}
			if s := j.State(); s.Last != 1 || s.OpenIntents != 1 || s.Fault == nil {
				t.Fatalf("state %+v", s)
			}
			m.setFail(nil)
			if seq := must(t)(j.Mark(t.Context())); seq != 2 {
				t.Fatalf("sequence %d after the fault, want 2", seq)
			}
			must(t)(j.Outcome(t.Context(), outcome(seq, 1)))
			if s := j.State(); s.Fault != nil {
				t.Errorf("fault %v after a good write", s.Fault)
			}
			j.Close()
			j, rec := mustOpen(t, options(m))
			rs := mustAll(t, j.Read(1))
			checkWhole(t, rs)
			if len(rs) != 3 || rec.Repairs != nil || rec.Open != nil {
				t.Fatalf("%d records, %+v", len(rs), rec)
			}
		}
	}
}

// TestJournal_FullDiskWhileOthersWait fails the write that two groups stand
// behind and at: all get the error, and the numbers are used again.
func TestJournal_FullDiskFailsTheWaitingGroupToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		j, _ := mustOpen(t, options(m))
		old := must(t)(j.Intent(t.Context(), intent(0)))
		hold := make(chan struct{})
		m.setFail(func(o op) (int, error) {
			if o.kind == "write" {
				<-hold
				return 5, syscall.ENOSPC
			}
			return 0, nil
		})
		var wg sync.WaitGroup
		for n := range 9 {
			wg.Go(func() {
				if _, err := j.Intent(t.Context(), intent(n)); !errors.Is(err, ErrWrite) || !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("error %v", err)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() {
			if _, err := j.Outcome(t.Context(), outcome(old, 0)); !errors.Is(err, ErrWrite) {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		close(hold)
		wg.Wait()
		m.setFail(nil)
		if s := j.State(); s.Last != 1 || s.OpenIntents != 1 {
			t.Errorf("state %+v", s)
		}
		if seq := must(t)(j.Outcome(t.Context(), outcome(old, 0))); seq != 2 {
			t.Errorf("sequence %d, want 2", seq)
		}
		checkWhole(t, mustAll(t, j.Read(1)))
	})
}

func TestJournal_FullDiskAtARotation(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync", "syncdir"} {
		for _, stuck := range []bool{false, true} {
			m := newMemFS()
			j, _ := mustOpen(t, options(m))
			work(t, j, 1)
			segment := func() int { return len(m.names()) }
			for n := 0; j.State().SegmentBytes < shortSegment; n++ {
				must(t)(j.Mark(t.Context()))
			}
			last, files := j.Last(), segment()
			m.setFail(func(o op) (int, error) {
				if o.kind == kind && (o.kind != "sync" || strings.HasSuffix(o.name, segmentName(last+1))) || stuck && o.kind == "remove" {
					return 10, syscall.ENOSPC
				}
				return 0, nil
			})
			for range 2 {
				if _, err := j.Intent(t.Context(), intent(2)); !errors.Is(err, ErrWrite) {
					t.Fatalf("%s: error %v", kind, err)
				}
			}
			left := m.clone()
			m.setFail(nil)
			if seq := must(t)(j.Intent(t.Context(), intent(2))); seq != last+1 {
				t.Fatalf("%s: sequence %d, want %d", kind, seq, last+1)
			}
			if segment() != files+1 {
				t.Errorf("%s: %d segments, want %d", kind, segment(), files+1)
			}
			checkWhole(t, mustAll(t, ReadFS(m, dir, 1)))
			// A process that ends instead finds the same journal.
			k, rec := mustOpen(t, options(left))
			if rec.Last != last {
				t.Errorf("%s: last %d, want %d", kind, rec.Last, last)
			}
			must(t)(k.Intent(t.Context(), intent(2)))
			checkWhole(t, mustAll(t, k.Read(1)))
		}
	}
}

func TestJournal_FailedSyncIsFinal(t *testing.T) {
	m := newMemFS()
	o := options(m)
	o.Durability = Disk
	j, _ := mustOpen(t, o)
	seq := must(t)(j.Intent(t.Context(), intent(1)))
	m.setFail(func(o op) (int, error) {
		if o.kind == "sync" {
			return 0, syscall.EIO
		}
		return 0, nil
	})
	if _, err := j.Outcome(t.Context(), outcome(seq, 1)); !errors.Is(err, syscall.EIO) {
		t.Errorf("error %v", err)
	}
	m.setFail(nil)
	if _, err := j.Intent(t.Context(), intent(2)); !errors.Is(err, ErrWrite) || !strings.Contains(err.Error(), "start again") {
		t.Errorf("error %v", err)
	}
	if err := j.Close(); !errors.Is(err, ErrWrite) {
		t.Errorf("close: %v", err)
	}
}
