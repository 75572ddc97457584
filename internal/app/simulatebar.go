package app

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/record"
)

// simulateBar shows how far a play is: on a terminal a line that is drawn
// anew, elsewhere one line a simulated month. It is drawn by the play itself,
// between batches.
type simulateBar struct {
	w           io.Writer
	from, until time.Time
	terminal    bool
	began, last time.Time
	month       time.Month
}

const (
	simulateBarWidth = 24
	simulateBarEach  = 200 * time.Millisecond
)

func startSimulateBar(w io.Writer, says string, from, until time.Time) *simulateBar {
	if w == nil {
		return nil
	}
	fmt.Fprintf(w, "SIMULATED: %s\n", says)
	b := &simulateBar{w: w, from: from, until: until, began: time.Now(), month: from.Month()}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		st, err := f.Stat()
		b.terminal = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// reach draws the state at an instant of the play.
func (b *simulateBar) reach(at time.Time, requests int64) {
	if b == nil {
		return
	}
	now := time.Now()
	if b.terminal && now.Sub(b.last) < simulateBarEach || !b.terminal && at.Month() == b.month {
		return
	}
	b.last, b.month = now, at.Month()
	whole, done := b.until.Sub(b.from), min(at.Sub(b.from), b.until.Sub(b.from))
	filled := int(int64(simulateBarWidth) * int64(done/time.Hour) / int64(whole/time.Hour))
	line := fmt.Sprintf("%s [%s%s] %3d%%  %d requests, %.0f a second", at.Format("2006-01-02"), strings.Repeat("#", filled),
		strings.Repeat(".", simulateBarWidth-filled), 100*int64(done/time.Hour)/int64(whole/time.Hour), requests, float64(requests)/max(now.Sub(b.began).Seconds(), 0.001))
	if b.terminal {
		fmt.Fprint(b.w, "\r\x1b[K"+line)
		return
	}
	fmt.Fprintln(b.w, line)
}

// stop takes the line away.
func (b *simulateBar) stop() {
	if b != nil && b.terminal {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// write tells people what was played.
func (r *Simulated) write(w io.Writer) error {
	fmt.Fprintf(w, "SIMULATED: %s\n", r.Says)
	if r.Notice != "" {
		fmt.Fprintln(w, r.Notice)
	}
	fmt.Fprintf(w, "\n%d requests, %d attempts: %d served, %d unserved, %d suspense, %d requests refused, %d restarts of the node\n", r.Stats.Requests, r.Stats.Attempts, r.Stats.Served, r.Stats.Unserved, r.Stats.Suspense, r.Stats.Refused, r.Stats.Restarts)
	fmt.Fprintf(w, "%s: %d records, %d batches, %d facts, %d.%d MB; %.1f s, %.0f requests a second\n", r.Data, r.Records, r.Batches, r.Facts, r.Bytes/1_000_000, r.Bytes%1_000_000/100_000, r.Seconds, float64(r.Stats.Requests)/max(r.Seconds, 0.001))
	fmt.Fprintf(w, "last batch %s: the same seed gives the same\n\n", r.Head)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "MONTH\tINVOICES\tDIFFERENCES\tSUSPENSE CLOSED\tOTHER FACTS\t")
	for _, m := range r.Months {
		fmt.Fprintf(t, "%04d-%02d\t%d\t%d\t%d\t%d\t\n", m.Month/100, m.Month%100, m.Invoices, m.Differences, m.Suspense, m.Facts)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := r.writeMadeUp(w); err != nil {
		return err
	}
	if len(r.Planted) > 0 {
		fmt.Fprintf(w, "\n%d errors were planted in the invoices; each was found in its place, to the micro-unit, and closed with a reason:\n", len(r.Planted))
		for _, kind := range invoice.Kinds() {
			if n := r.Differences[kind]; n > 0 {
				fmt.Fprintf(w, "  %4d  %s\n", n, kind)
			}
		}
	}
	_, err := fmt.Fprintf(w, "\nread on: accordo ledger verify --data %s; accordo statement --party PARTY --month %04d-%02d\n", r.Data, r.Months[0].Month/100, r.Months[0].Month%100)
	return err
}

// sizeOf adds up the files below a directory; what it cannot read it skips.
func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				bytes += st.Size()
			}
		}
		return nil
	})
	return bytes
}

// simulateEstimate is what a dry run expects, from a week played in memory.
type simulateEstimate struct {
	Requests int64 `json:"requests"`
	Records  int64 `json:"records"`
	Bytes    int64 `json:"journal_bytes"`
}

// estimate plays a week in memory and says what the whole would come to.
func (s *simulation) estimate(w io.Writer) error {
	c := &counter{}
	end := s.from.AddDate(0, 0, 7)
	if err := s.play.Advance(end, c); err != nil {
		return err
	}
	part := func(n int64) int64 {
		return n * int64(s.until.Sub(s.from)/time.Hour) / int64(end.Sub(s.from)/time.Hour)
	}
	s.result.Estimate = &simulateEstimate{Requests: part(s.play.Stats().Requests), Records: part(int64(c.next)), Bytes: part(c.bytes)}
	return show(w, s.o.JSON, &s.result, func(w io.Writer) error {
		e := s.result.Estimate
		_, err := fmt.Fprintf(w, "DRY RUN: nothing was written\nSIMULATED: %s\nabout %d requests, %d records, a journal of %d MB and books of about half of that\n", s.result.Says, e.Requests, e.Records, e.Bytes/1_000_000+1)
		return err
	})
}

// counter is a journal that keeps nothing but its size.
type counter struct {
	next  uint64
	bytes int64
	buf   []byte
}

func (c *counter) add(at time.Time, r record.Record) uint64 {
	c.next++
	r.Sequence, r.At = c.next, at.UnixNano()
	c.buf = record.Append(c.buf[:0], &r)
	c.bytes += int64(len(c.buf))
	return c.next
}

// Start counts a start.
func (c *counter) Start(at time.Time, terms string) error {
	c.add(at, record.Record{Kind: record.KindStart, Start: &record.Start{Terms: terms}})
	return nil
}

// Intent counts an intent.
func (c *counter) Intent(at time.Time, in *record.Intent) (uint64, error) {
	return c.add(at, record.Record{Kind: record.KindIntent, Intent: in}), nil
}

// Outcome counts an outcome.
func (c *counter) Outcome(at time.Time, o *record.Outcome) error {
	c.add(at, record.Record{Kind: record.KindOutcome, Outcome: o})
	return nil
}

// Refusal counts a refusal.
func (c *counter) Refusal(at time.Time, r *record.Refusal) error {
	c.add(at, record.Record{Kind: record.KindRefusal, Refusal: r})
	return nil
}

// Mark counts a mark.
func (c *counter) Mark(at time.Time) error {
	c.add(at, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	return nil
}
