package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/journal"
)

// brokenDisk is the system's file system, which refuses every change with an
// error while it has one.
type brokenDisk struct {
	journal.FS
	errno atomic.Int64 // of syscall.Errno; 0: it is well
}

type brokenFile struct {
	journal.File
	disk *brokenDisk
}

func (d *brokenDisk) err() error {
	if n := d.errno.Load(); n != 0 {
		return syscall.Errno(n)
	}
	return nil
}

func (d *brokenDisk) Create(name string) (journal.File, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name)
	return brokenFile{f, d}, err
}

func (f brokenFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.disk.err(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

// While the disk refuses, requests are refused with the reason, /readyz says
// so, and both end by themselves once the disk is well.
func TestServer_DiskBreaksWhileItServes(t *testing.T) {
	for _, row := range []struct {
		name  string
		errno syscall.Errno
	}{{"full", syscall.ENOSPC}, {"read-only", syscall.EROFS}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			disk := &brokenDisk{FS: journal.OS()}
			s, err := newServer(t.Context(), UpOptions{
				Data: filepath.Join(t.TempDir(), "data"), NoModel: true, DemoKey: "sk-demo", AdminToken: "admin", Version: "test",
				Out: io.Discard, Progress: io.Discard, ModelLog: io.Discard, Log: slog.New(slog.DiscardHandler), disk: disk,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			ask := func() *httptest.ResponseRecorder {
				r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"openai-frontier","max_tokens":4,"messages":[{"role":"user","content":"hello"}]}`))
				r.Header.Set("Authorization", "Bearer sk-demo")
				w := httptest.NewRecorder()
				s.gateway.ServeHTTP(w, r)
				return w
			}
			if w := ask(); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			disk.errno.Store(int64(row.errno))
			if w := ask(); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"code":"journal_unavailable"`) || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %d %v %s", row.name, w.Code, w.Header(), w.Body)
			}
			if r := s.Readiness(); r.Ready || !strings.Contains(strings.Join(r.Problems, " "), "The journal cannot be written") || !strings.Contains(strings.Join(r.Problems, " "), row.errno.Error()) {
				t.Errorf("%s: %+v", row.name, r)
			}
			s.retryJournal(t.Context()) // changes nothing while the disk refuses
			if s.Readiness().Ready {
				t.Error("ready on a disk that refuses")
			}
			disk.errno.Store(0)
			for end := time.Now().Add(time.Minute); !s.Readiness().Ready; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it does not find out by itself: %+v", s.Readiness())
				}
			}
			if w := ask(); w.Code != http.StatusOK {
				t.Errorf("well again: %d %s", w.Code, w.Body)
			}
		})
	}
}
