package app

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// progressAfter is how long work takes before a line says so, and how often
// the line is drawn anew.
const progressAfter = time.Second

// progress says on a terminal what takes long, in a line that is drawn anew
// and taken away at the end. Elsewhere it says nothing. Its methods do nothing
// on nil.
type progress struct {
	w     io.Writer
	what  string
	done  atomic.Uint64
	total uint64 // 0: how much there is is not known
	stop  func()
}

// startProgress begins to say so; finish must be called.
func startProgress(w io.Writer, what string, total uint64) *progress {
	if f, ok := w.(*os.File); !ok || !isTerminal(f) {
		return nil
	}
	return newProgress(w, what, total, time.NewTicker(progressAfter))
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func newProgress(w io.Writer, what string, total uint64, tick *time.Ticker) *progress {
	p := &progress{w: w, what: what, total: total}
	end, ended, began := make(chan struct{}), make(chan struct{}), time.Now()
	go func() {
		defer close(ended)
		defer tick.Stop()
		drawn := false
		for {
			select {
			case <-tick.C:
				p.draw(time.Since(began))
				drawn = true
			case <-end:
				if drawn {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	}()
	p.stop = sync.OnceFunc(func() {
		close(end)
		<-ended
	})
	return p
}

// reach notes how much is done.
func (p *progress) reach(done uint64) {
	if p != nil {
		p.done.Store(done)
	}
}

// finish takes the line away.
func (p *progress) finish() {
	if p != nil {
		p.stop()
	}
}

func (p *progress) draw(since time.Duration) {
	if p.total == 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s, %d s", p.what, int(since.Seconds()))
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s %3d%%, %d s", p.what, min(p.done.Load(), p.total)*100/p.total, int(since.Seconds()))
}
