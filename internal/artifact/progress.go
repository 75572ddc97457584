package artifact

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	barInterval  = 200 * time.Millisecond
	lineInterval = 3 * time.Second
	// barWidth keeps a line within eighty columns, so that it is redrawn in place.
	barWidth = 12
)

// bar reports one download. The package clients say nothing useful to a
// program, so it watches the largest file grow in the work folder, against the
// pinned size.
type bar struct {
	w        io.Writer
	what     string
	total    int64
	work     string
	terminal bool
	now      func() time.Time
	began    time.Time

	done chan struct{}
	wg   sync.WaitGroup
}

// startProgress starts a goroutine that ends with stop.
func startProgress(w io.Writer, s Source, work string, now func() time.Time) *bar {
	b := &bar{w: w, what: s.What, total: s.Archive.Size, work: work, terminal: isTerminal(w), now: now, began: now(), done: make(chan struct{})}
	interval := lineInterval
	if b.terminal {
		interval = barInterval
	} else {
		fmt.Fprintf(w, "fetching %s (%s %s, %s)\n", s.What, s.Package, s.Version, megabytes(s.Archive.Size))
	}
	b.wg.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			b.show(largestFile(b.work))
			select {
			case <-b.done:
				return
			case <-t.C:
			}
		}
	})
	return b
}

// stop ends the report with one last line.
func (b *bar) stop(end string) {
	close(b.done)
	b.wg.Wait()
	took := b.now().Sub(b.began).Round(100 * time.Millisecond)
	if b.terminal {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
	fmt.Fprintf(b.w, "%s: %s (%s in %s)\n", b.what, end, megabytes(b.total), took)
}

// show draws the state at n bytes. A line is left out before the first byte.
func (b *bar) show(n int64) {
	n = min(n, b.total)
	line := barLine(b.what, n, b.total, b.now().Sub(b.began))
	switch {
	case b.terminal:
		fmt.Fprint(b.w, "\r\x1b[K"+line)
	case n > 0:
		fmt.Fprintln(b.w, line)
	}
}

// barLine is one state of the bar as text.
func barLine(what string, n, total int64, elapsed time.Duration) string {
	filled := int(n * barWidth / total)
	rate := ""
	if n >= total {
		rate = "  checking"
	} else if ms := elapsed.Milliseconds(); ms > 0 && n > 0 {
		rate = "  " + megabytes(n*1000/ms) + "/s"
	}
	return fmt.Sprintf("%s [%s%s] %3d%%  %s of %s%s", what,
		strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), n*100/total,
		strings.TrimSuffix(megabytes(n), " MB"), megabytes(total), rate)
}

// megabytes writes bytes in decimal megabytes with one digit.
func megabytes(n int64) string {
	return fmt.Sprintf("%d.%d MB", n/1_000_000, n%1_000_000/100_000)
}

// largestFile returns the size of the largest file below a folder. Files come
// and go while it looks; what it cannot read it skips.
func largestFile(dir string) int64 {
	var largest int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if st, err := d.Info(); err == nil {
			largest = max(largest, st.Size())
		}
		return nil
	})
	return largest
}

// isTerminal says whether w is a device that a person watches.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
