package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/requestlog"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// machine looks at what the system gives the process.
func (d *doctor) machine() {
	if n := fileLimit(); n < fewFiles {
		d.note("files", "raise it: ulimit -n 65536, or LimitNOFILE= of the service", "a process may have %d files open: %d connections of clients at once", n, apiConnections())
	} else {
		d.fine("files", "a process may have %d files open: %d connections of clients at once", n, apiConnections())
	}
}

// data looks at the data directory: room, speed, state, journal and books.
func (d *doctor) data(ctx context.Context) {
	info, err := os.Stat(d.o.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.note("data", "", "there is no data directory at %s yet; `accordo up` makes it", d.o.Data)
		return
	case err != nil:
		d.wrong("data", "give a directory that can be read", "%s", err)
		return
	case !info.IsDir():
		d.wrong("data", "name the directory that `accordo up --data` was given", "%s is a file", d.o.Data)
		return
	case info.Mode().Perm()&0o077 != 0:
		d.note("data", "chmod 700 "+d.o.Data, "others can look into the data directory: it has mode %o", info.Mode().Perm())
	}
	dir, err := datadir.OpenReadOnly(d.o.Data)
	if errors.Is(err, datadir.ErrNone) {
		d.wrong("data", "name the directory that `accordo up --data` was given", "%s is no data directory", d.o.Data)
		return
	}
	d.disk()
	if err != nil {
		d.wrong("data", "put the file back from a copy of the directory", "%s", err)
		return
	}
	d.requestLog(dir)
	defer dir.Close()
	d.books(ctx, dir)
}

func (d *doctor) disk() {
	if free, ok := diskFree(d.o.Data); ok && free < lowDisk {
		d.wrong("disk", fmt.Sprintf("make room, at least %d MB: when the disk is full requests are refused, and request logs have stopped already", uint64(lowDisk)>>20), "%d MB are left", free>>20)
	} else if ok {
		d.fine("disk", "%d MB are left", free>>20)
	}
	f, err := os.CreateTemp(d.o.Data, "doctor-*")
	if err != nil {
		d.wrong("disk", writeRemedy(err), "the data directory cannot be written: %s", err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	begin := time.Now()
	if _, err = f.Write(make([]byte, 4096)); err == nil {
		err = f.Sync()
	}
	switch took := time.Since(begin); {
	case err != nil:
		d.wrong("disk", writeRemedy(err), "writing fails, so that requests would be refused: %s", err)
	case took > slowSync:
		d.note("disk", "with --durability=disk every answer waits for this; use a faster disk", "making 4 KB safe takes %s", took.Round(time.Millisecond))
	default:
		d.fine("disk", "making 4 KB safe takes %s", took.Round(10*time.Microsecond))
	}
}

// writeRemedy says what to do about a disk that refuses.
func writeRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room, or raise the quota; what serves goes on by itself then"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system for writing; if the system made it read-only, look at the kernel's log first, and at the disk"
	case errors.Is(err, fs.ErrPermission):
		return "run this as the user that serves, or make the directory that user's: chown -R"
	}
	return "look at the kernel's log: the disk may be failing"
}

// requestLog looks at what tenants asked to have kept.
func (d *doctor) requestLog(dir *datadir.Dir) {
	size, tenants, err := requestlog.Size(dir.Requests())
	switch {
	case err != nil:
		d.wrong("log", "give the directory to the user that serves, and its files mode 600", "the request log cannot be read: %s", err)
	case tenants > 0:
		d.fine("log", "request logs of %d tenants have %d MB", tenants, size>>20)
	}
}

// books reads the journal from where the books end, and compares.
func (d *doctor) books(ctx context.Context, dir *datadir.Dir) {
	store, err := sqlite.OpenReader(ctx, dir.Books())
	if err != nil && d.failed("disk") {
		d.wrong("books", "the disk first, see above; then run this again", "%s", err)
		d.journal(dir, 1)
		return
	}
	if err != nil {
		do := "see whether another program holds the file; the journal is the truth, so that books which are moved away are posted anew at the next start"
		if errors.Is(err, fs.ErrNotExist) {
			do = "start `accordo up` once: the books are posted from the journal"
		}
		d.wrong("books", do, "%s", err)
		d.journal(dir, 1)
		return
	}
	defer store.Close()
	head, err := store.Head(ctx)
	if err != nil {
		d.wrong("books", "run `accordo ledger verify`", "%s", err)
		return
	}
	last := d.journal(dir, head.Last+1)
	switch lag := last - head.Last; {
	case last == 0 && head.Last > 0:
		d.fine("books", "%d batches; nothing in the journal waits", head.Batch)
	case last < head.Last:
	case lag > maxLag:
		d.wrong("books", "see /readyz and the log for what stops the books; start `accordo up` if it does not run", "%d records of the journal are not in the books", lag)
	default:
		d.fine("books", "%d batches; %d records of the journal are not in the books yet", head.Batch, lag)
	}
	if list, err := store.Suspended(ctx); err == nil && len(list) > 0 {
		d.note("books", "import the provider's invoice, or close them by the estimate", "%d amounts are in suspense: the provider did not say what it served", len(list))
	}
}

// journal reads the journal from a record on and returns its last.
func (d *doctor) journal(dir *datadir.Dir, from uint64) (last uint64) {
	names, err := filepath.Glob(filepath.Join(dir.Journal(), "*"))
	if err != nil || len(names) == 0 {
		d.note("journal", "", "the journal is empty")
		return 0
	}
	open, at, starts := map[uint64]bool{}, int64(0), 0
	for r, err := range journal.Read(dir.Journal(), from) {
		if err != nil {
			d.wrong("journal", "keep a copy of the directory before anything else; an unfinished write at the end is cut off at the next start, other damage needs the files from a copy", "after record %d: %s", last, err)
			return last
		}
		last, at = r.Sequence, r.At
		switch r.Kind {
		case record.KindIntent:
			open[r.Sequence] = true
		case record.KindOutcome:
			delete(open, r.Outcome.Intent)
		case record.KindStart:
			starts++
		}
	}
	if ahead := time.Unix(0, at).Sub(d.o.Now); ahead > clockSlack {
		d.wrong("clock", "set the clock, and keep it with NTP: limits and rights are judged by it. If it is right now, it was wrong then: what was recorded bears those times", "this machine says %s, and the journal's last record is %s later: the clock was set back, or the directory comes from a machine whose clock is ahead", d.o.Now.UTC().Format(time.RFC3339), ahead.Round(time.Second))
	} else {
		d.fine("clock", "%s, not before the journal's last record", d.o.Now.UTC().Format(time.RFC3339))
	}
	if last == 0 {
		d.fine("journal", "%d segments; all of it is in the books", len(names))
		return 0
	}
	d.fine("journal", "%d segments, the last record is %d; read from record %d without a fault", len(names), last, from)
	if len(open) > 0 {
		d.note("journal", "", "%d requests are under way, or were when the process ended; then the next start books them as suspense", len(open))
	}
	return last
}
