package requestlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// running runs a log in a bubble of testing/synctest; the function it returns
// ends it and waits.
func running(l *Log) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { l.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func record(tenant, id string) *Record {
	return &Record{At: time.Now().UTC(), Request: id, Tenant: tenant, Status: 200, Prompt: "the prompt of " + id, PromptBytes: 1}
}

func ids(t *testing.T, dir string, q Query) (list []string, faults int) {
	t.Helper()
	for r, err := range Read(dir, q) {
		if err != nil {
			faults++
			continue
		}
		list = append(list, r.Request)
	}
	return list, faults
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	if err := days(dir, func(_ string, _ time.Time, name string) error {
		rel, err := filepath.Rel(dir, name)
		list = append(list, filepath.ToSlash(rel))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLog_KeepsADayAFileAndDeletesItInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble's time begins on 2000-01-01
		dir := filepath.Join(t.TempDir(), "requests")
		l := New(Options{Dir: dir, MaxBytes: 1 << 20})
		l.Retain(map[string]int64{"acme": 2, "other": 1})
		defer running(l)()
		synctest.Wait()
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a directory before a record: %v", err)
		}
		for day := range 3 {
			l.Keep(record("acme", fmt.Sprint("a", day)))
			l.Keep(record("other", fmt.Sprint("o", day)))
			l.Keep(record("nobody", "never"))
			synctest.Wait()
			time.Sleep(24 * time.Hour)
		}
		synctest.Wait()
		// It is 2000-01-04: the days 02 of acme and 03 of other were deleted as 04 began.
		if d := cmp.Diff([]string{"acme/2000-01-03.jsonl"}, files(t, dir)); d != "" {
			t.Error(d)
		}
		if s := l.State(); s.Written != 6 || s.Bytes == 0 || s.DroppedDisk+s.DroppedFull+s.DroppedQueue != 0 {
			t.Errorf("%+v", s)
		}
		for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "acme"): 0o700, filepath.Join(dir, "acme", "2000-01-03.jsonl"): 0o600} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v %v", name, info.Mode(), err)
			}
		}
		l.Retain(map[string]int64{}) // acme opts out
		synctest.Wait()
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("kept of a tenant that opted out: %v", left)
		}
		l.Keep(record("acme", "late"))
		synctest.Wait()
		if left := files(t, dir); len(left) > 0 || l.State().Bytes != 0 {
			t.Errorf("logged after the tenant opted out: %v", left)
		}
	})
}

func TestLog_OldFilesGoAtTheStartAndOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		put := func(name string) {
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte("{}\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"acme/1999-12-30.jsonl", "acme/1999-12-31.jsonl", "acme/notes.txt", "gone/1999-12-31.jsonl"} {
			put(name)
		}
		l := New(Options{Dir: dir, MaxBytes: 1 << 20})
		l.Retain(map[string]int64{"acme": 2})
		defer running(l)()
		synctest.Wait()
		if d := cmp.Diff([]string{"acme/1999-12-31.jsonl"}, files(t, dir)); d != "" {
			t.Error(d)
		}
		if _, err := os.Stat(filepath.Join(dir, "acme", "notes.txt")); err != nil {
			t.Errorf("a file that is none of the log's: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory of a tenant that is gone: %v", err)
		}
	})
}

func TestLog_FullStopsLoggingUntilADayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := New(Options{Dir: dir, MaxBytes: 1000})
		l.Retain(map[string]int64{"acme": 1})
		defer running(l)()
		for i := range 20 {
			l.Keep(record("acme", fmt.Sprint(i)))
		}
		synctest.Wait()
		s := l.State()
		if !s.Full || s.DroppedFull == 0 || s.Written+s.DroppedFull != 20 || s.Bytes > s.MaxBytes {
			t.Errorf("%+v", s)
		}
		time.Sleep(24*time.Hour + time.Minute)
		synctest.Wait()
		if s := l.State(); s.Full || s.Bytes != 0 {
			t.Errorf("after the day's end: %+v", s)
		}
		l.Keep(record("acme", "again"))
		synctest.Wait()
		if list, _ := ids(t, dir, Query{}); !slices.Equal(list, []string{"again"}) {
			t.Errorf("%v", list)
		}
	})
}

// refusing is a file that takes only a part of what it is given while its
// disk has an error.
type refusing struct {
	*os.File
	errno *syscall.Errno
}

func (f refusing) Write(b []byte) (int, error) {
	if *f.errno == 0 {
		return f.File.Write(b)
	}
	n, _ := f.File.Write(b[:len(b)/2])
	return n, *f.errno
}

func (f refusing) Truncate(size int64) error {
	if *f.errno == syscall.EIO {
		return *f.errno
	}
	return f.File.Truncate(size)
}

func TestLog_ADiskThatRefusesCostsRecordsAndBreaksNoLine(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		t.Run(errno.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, current := t.TempDir(), syscall.Errno(0)
				l := New(Options{Dir: dir, MaxBytes: 1 << 20, Open: func(name string) (File, error) {
					f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
					return refusing{f, &current}, err
				}})
				l.Retain(map[string]int64{"acme": 9})
				defer running(l)()
				keep := func(id string) {
					l.Keep(record("acme", id))
					synctest.Wait()
				}
				keep("before")
				current = errno
				keep("lost-1")
				keep("lost-2")
				if s := l.State(); s.DroppedDisk != 2 || !strings.Contains(s.Fault, errno.Error()) {
					t.Errorf("%+v", s)
				}
				if list, faults := ids(t, dir, Query{}); !slices.Equal(list, []string{"before"}) || faults > 0 {
					t.Errorf("while it refuses: %v, %d faults", list, faults)
				}
				current = 0
				keep("after")
				if s := l.State(); s.Fault != "" || s.Written != 2 {
					t.Errorf("%+v", s)
				}
				if list, faults := ids(t, dir, Query{}); !slices.Equal(list, []string{"before", "after"}) || faults > 0 {
					t.Errorf("%v, %d faults", list, faults)
				}
			})
		})
	}
}

func TestLog_LeavesTheLastOfTheDiskToTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := uint64(99)
		l := New(Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Reserve: 100, Free: func() (uint64, bool) { return free, true }})
		l.Retain(map[string]int64{"acme": 9})
		defer running(l)()
		l.Keep(record("acme", "lost"))
		synctest.Wait()
		if s := l.State(); s.DroppedDisk != 1 || s.Fault == "" || s.Written != 0 {
			t.Errorf("%+v", s)
		}
		free = 100
		l.Keep(record("acme", "kept"))
		synctest.Wait()
		if s := l.State(); s.Written != 1 || s.Fault != "" {
			t.Errorf("%+v", s)
		}
	})
}

// TestLog_SaysThatFilesOutliveTheirRetention keeps on saying so while records
// are written, until the files are deleted.
func TestLog_SaysThatFilesOutliveTheirRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, repaired := t.TempDir(), atomic.Bool{}
		l := New(Options{Dir: dir, MaxBytes: 1 << 20, Remove: func(name string) error {
			if !repaired.Load() {
				return syscall.EROFS
			}
			return os.Remove(name)
		}})
		l.Retain(map[string]int64{"acme": 1})
		defer running(l)()
		l.Keep(record("acme", "first"))
		synctest.Wait()
		time.Sleep(24 * time.Hour)
		l.Keep(record("acme", "second"))
		synctest.Wait()
		if s := l.State(); s.Written != 2 || s.Fault != "" || !strings.Contains(s.Undeleted, syscall.EROFS.Error()) {
			t.Errorf("%+v", s)
		}
		repaired.Store(true)
		time.Sleep(SweepEach)
		synctest.Wait()
		if s := l.State(); s.Undeleted != "" || len(files(t, dir)) != 1 {
			t.Errorf("%+v, files %v", s, files(t, dir))
		}
	})
}

// A process that is killed leaves a file cut at any byte: what was whole is
// read, and the next process writes on behind it.
func TestLog_GoesOnBehindAnUnfinishedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		write := func(dir string, ids ...string) {
			l := New(Options{Dir: dir, MaxBytes: 1 << 20})
			l.Retain(map[string]int64{"acme": 9})
			end := running(l)
			for _, id := range ids {
				l.Keep(record("acme", id))
			}
			end()
		}
		model := t.TempDir()
		write(model, "one", "two")
		const name = "acme/2000-01-01.jsonl"
		all, err := os.ReadFile(filepath.Join(model, name))
		if err != nil {
			t.Fatal(err)
		}
		first := strings.IndexByte(string(all), '\n') + 1
		for cut := range len(all) {
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "acme"), 0o700), os.WriteFile(filepath.Join(dir, name), all[:cut], 0o600)); err != nil {
				t.Fatal(err)
			}
			want := []string{}
			if cut >= first {
				want = append(want, "one")
			}
			if got, faults := ids(t, dir, Query{}); !slices.Equal(got, want) || faults > 0 {
				t.Fatalf("cut at %d: %v, %d faults", cut, got, faults)
			}
			write(dir, "three")
			if got, faults := ids(t, dir, Query{}); !slices.Equal(got, append(want, "three")) || faults > 0 {
				t.Fatalf("cut at %d, then written: %v, %d faults", cut, got, faults)
			}
		}
	})
}

func TestLog_AQueueThatIsFullDropsAndNobodyWaits(t *testing.T) {
	l := New(Options{Dir: t.TempDir(), MaxBytes: 1 << 20}) // nobody runs it
	l.Retain(map[string]int64{"acme": 9})
	for i := range QueueRecords + 5 {
		r := record("acme", fmt.Sprint(i))
		if r.Claimed = QueueBytes / (QueueRecords + 5); !l.Claim(r.Claimed) {
			t.Fatalf("no memory for record %d", i)
		}
		l.Keep(r)
	}
	if s := l.State(); s.DroppedQueue != 5 {
		t.Errorf("%+v", s)
	}
	if l.Claim(QueueBytes) {
		t.Error("texts may take more memory than QueueBytes")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx) // writes what waits
	if s := l.State(); s.Written != QueueRecords || !l.Claim(QueueBytes) {
		t.Errorf("%+v, and memory is lost", s)
	}
}

func TestLog_ManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := New(Options{Dir: dir, MaxBytes: 1 << 30})
	keep := map[string]int64{}
	for i := range 2 * openFiles {
		keep[fmt.Sprint("tenant-", i)] = 9
	}
	l.Retain(keep)
	end := running(l)
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for i := range 500 {
				if l.Claim(10) {
					r := record(fmt.Sprint("tenant-", i%len(keep)), fmt.Sprint(i))
					r.Claimed = 10
					l.Keep(r)
				}
				_ = l.State()
			}
		})
	}
	senders.Wait()
	end()
	s := l.State()
	list, faults := ids(t, dir, Query{})
	if s.Written+s.DroppedQueue != 2000 || int64(len(list)) != s.Written || faults > 0 {
		t.Errorf("%+v, %d records are read, %d faults", s, len(list), faults)
	}
}

func TestRead_AsksForTenantRequestAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := New(Options{Dir: dir, MaxBytes: 1 << 20})
		l.Retain(map[string]int64{"a": 9, "b": 9})
		end := running(l)
		for i := range 3 {
			l.Keep(record("a", fmt.Sprint("a", i)))
			l.Keep(record("b", fmt.Sprint("b", i)))
			synctest.Wait()
			time.Sleep(20 * time.Hour)
		}
		end()
		f, err := os.OpenFile(filepath.Join(dir, "a", "2000-01-01.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.WriteString("no JSON\n{\"v\":2}\n"); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
		at := func(h int) time.Time { return time.Date(2000, 1, 1, h, 0, 0, 0, time.UTC) }
		for _, row := range []struct {
			name   string
			q      Query
			want   []string
			faults int
		}{
			{"all", Query{}, []string{"a0", "a1", "a2", "b0", "b1", "b2"}, 2},
			{"a tenant", Query{Tenant: "b"}, []string{"b0", "b1", "b2"}, 0},
			{"a request", Query{Request: "a1"}, []string{"a1"}, 2},
			{"since within a day", Query{Tenant: "a", Since: at(1)}, []string{"a1", "a2"}, 2},
			{"since the next day", Query{Tenant: "a", Since: at(25)}, []string{"a2"}, 0},
			{"nothing", Query{Tenant: "c"}, nil, 0},
		} {
			if got, faults := ids(t, dir, row.q); !slices.Equal(got, row.want) || faults != row.faults {
				t.Errorf("%s: %v, %d faults", row.name, got, faults)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"at":"2026-06-01T00:00:00Z","request":"r","tenant":"t","status":200,"prompt":"\u0000<é"}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := Parse(line)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("%v", err)
			}
			return
		}
		if r.V != Version || !utf8.ValidString(r.Prompt) {
			t.Fatalf("%+v", r)
		}
	})
}
