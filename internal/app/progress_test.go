package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lockedBuffer is written by one goroutine while another looks.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestProgress_IsDrawnOnceWorkTakesLongAndTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		p := newProgress(&out, "reading the journal", 200, time.NewTicker(progressAfter))
		p.reach(50)
		time.Sleep(progressAfter / 2)
		synctest.Wait()
		if out.String() != "" {
			t.Errorf("work that is soon done draws %q", out.String())
		}
		time.Sleep(2 * progressAfter)
		synctest.Wait()
		if !strings.Contains(out.String(), "reading the journal  25%, 2 s") {
			t.Errorf("drawn %q", out.String())
		}
		p.finish()
		p.finish()
		if !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("the line stays: %q", out.String())
		}
	})
}

func TestProgress_IsSilentWhereNoTerminalIs(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, w := range []interface{ Write([]byte) (int, error) }{file, &bytes.Buffer{}} {
		if p := startProgress(w, "reading", 1); p != nil {
			p.finish()
			t.Errorf("%T is taken for a terminal", w)
		}
	}
	var none *progress
	none.reach(1)
	none.finish()
}
