package settle_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(killDir) != "" {
		runKilledChild()
	}
	goleak.VerifyTestMain(m)
}

// node is a data directory with its journal and books open.
type node struct {
	dir     string
	journal *journal.Journal
	store   *sqlite.Store
}

func openNode(t *testing.T, dir string) *node {
	t.Helper()
	j, found, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Abandon(t.Context(), found.Open); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Start(t.Context(), "test", "f1257"); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "books.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	return &node{dir, j, s}
}

func (n *node) close(t *testing.T) {
	t.Helper()
	if err := errors.Join(n.journal.Close(), n.store.Close()); err != nil {
		t.Fatal(err)
	}
}

func (n *node) settler(t *testing.T, s settle.Store) *settle.Settler {
	t.Helper()
	settler, err := settle.New(t.Context(), n.journal, s, storetest.Terms, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return settler
}

// serve journals the intents, outcomes and refusals of a history, numbered
// anew; marks are the settler's.
func (n *node) serve(t *testing.T, records []record.Record) {
	t.Helper()
	moved := map[uint64]uint64{}
	for _, r := range records {
		var err error
		switch r.Kind {
		case record.KindIntent:
			moved[r.Sequence], err = n.journal.Intent(t.Context(), r.Intent)
		case record.KindOutcome:
			o := *r.Outcome
			if o.Intent = moved[o.Intent]; o.Usage.Check() != nil {
				o.Usage.Output = 1 // the journal does not take it
			}
			if o.Intent != 0 {
				_, err = n.journal.Outcome(t.Context(), &o)
				delete(moved, r.Outcome.Intent)
			}
		case record.KindRefusal:
			n.journal.Refusal(r.Refusal)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// served runs a settler over a whole history and stops it.
func (n *node) served(t *testing.T, records []record.Record) {
	t.Helper()
	n.serve(t, records)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.settler(t, n.store).Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, n *node) settle.Verification {
	t.Helper()
	v, err := settle.Verify(t.Context(), n.store, n.journal.Read, storetest.Terms, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func countOutcomes(t *testing.T, records settle.Records) (n int64) {
	t.Helper()
	for r, err := range records(1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == record.KindOutcome {
			n++
		}
	}
	return n
}

var errKilled = errors.New("killed")

// mortal is a store that dies at its n-th operation, before or after it took
// effect.
type mortal struct {
	settle.Store
	left  int
	after bool
	kill  context.CancelFunc
}

func (m *mortal) Append(ctx context.Context, s *ledger.Step) error {
	if m.left--; m.left > 0 {
		return m.Store.Append(ctx, s)
	}
	if m.left == 0 && m.after {
		if err := m.Store.Append(ctx, s); err != nil {
			return err
		}
	}
	m.kill()
	return errKilled
}

func TestKill_BetweenAnyTwoStoreOperationsEndsInTheBooksOfTheJournal(t *testing.T) {
	records := storetest.History(storetest.Random(11), 300)
	for op := 1; op <= 4; op++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("operation %d, stored %v", op, after), func(t *testing.T) {
				dir := t.TempDir()
				n := openNode(t, dir)
				ctx, cancel := context.WithCancel(t.Context())
				m := &mortal{Store: n.store, left: op, after: after, kill: cancel}
				s := n.settler(t, m)
				for part := range 4 {
					n.serve(t, storetest.Split(records)[part])
					stopped, stop := context.WithCancel(ctx)
					stop()
					if m.left > 0 {
						_ = s.Run(stopped) // one turn; the mortal store fails in it
					}
				}
				if ctx.Err() == nil {
					t.Fatal("it was not killed")
				}
				n.close(t) // what a kill leaves: the mark is written, the batch maybe

				n = openNode(t, dir)
				defer n.close(t)
				n.served(t, records)
				v := verify(t, n)
				if v.Fault != nil || v.Unposted != 0 {
					t.Errorf("%d records are not posted, fault %v", v.Unposted, v.Fault)
				}
				if want := countOutcomes(t, n.journal.Read); v.Served+v.Unserved+v.Suspense != want {
					t.Errorf("%d outcomes are posted, %d journalled", v.Served+v.Unserved+v.Suspense, want)
				}
			})
		}
	}
}

// failing is a store that can be switched off.
type failing struct {
	settle.Store
	off atomic.Bool
}

var errDisk = errors.New("no space left on device")

func (f *failing) Append(ctx context.Context, s *ledger.Step) error {
	if f.off.Load() {
		return errDisk
	}
	return f.Store.Append(ctx, s)
}

func TestRun_PostsWithinTheWindowAndStopsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &memory{}
		dir := t.TempDir()
		store, err := sqlite.Open(t.Context(), filepath.Join(dir, "books.sqlite"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		s, err := settle.New(t.Context(), j, store, storetest.Terms, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()

		j.attempts(1)
		time.Sleep(settle.Window - time.Millisecond)
		synctest.Wait()
		if st := s.Status(); st.Stored.Batch != 0 || st.Lag == 0 || st.Waiting != 1 {
			t.Errorf("before the window ended: %+v", st)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if st := s.Status(); st.Stored.Batch != 1 || st.Lag != 0 || st.Waiting != 0 || st.Error != "" {
			t.Errorf("after the window: %+v", st)
		}
		j.attempts(1)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if st := s.Status(); st.Stored.Batch != 2 || st.Lag != 0 {
			t.Errorf("after the end: %+v", st)
		}
	})
}

func TestRun_ClosesABatchThatIsFullAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, store := &memory{}, &discard{}
		s, err := settle.New(t.Context(), j, store, storetest.Terms, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		j.attempts(settle.MaxOutcomes)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if st := s.Status(); st.Stored.Batch != 1 || time.Since(began) != 0 {
			t.Errorf("after %v: %+v", time.Since(began), st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRun_AStoreThatFailsNeverStopsTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, store := &memory{}, &failing{Store: &discard{}}
		s, err := settle.New(t.Context(), j, store, storetest.Terms, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		store.off.Store(true)
		for range 3 * settle.MaxQueue {
			j.attempts(100)
			time.Sleep(2 * settle.Window)
		}
		synctest.Wait()
		st := s.Status()
		if st.Queued != settle.MaxQueue || !strings.Contains(st.Error, errDisk.Error()) || st.Failing.IsZero() || st.Stored.Batch != 0 || st.Lag < 3*settle.MaxQueue*200 {
			t.Errorf("while the store fails: %+v", st)
		}
		if longest := j.longest(); longest > 2*settle.MaxOutcomes+300 {
			t.Errorf("a batch has %d records", longest)
		}
		store.off.Store(false)
		time.Sleep(settle.MaxRetry + time.Second)
		synctest.Wait()
		if st := s.Status(); st.Lag != 0 || st.Queued != 0 || st.Error != "" || !st.Failing.IsZero() {
			t.Errorf("after the store works again: %+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNew_RefusesBooksAheadOfTheJournal(t *testing.T) {
	n := openNode(t, t.TempDir())
	n.served(t, storetest.History(storetest.Random(2), 100))
	defer n.close(t)
	_, err := settle.New(t.Context(), &memory{}, n.store, storetest.Terms, slog.New(slog.DiscardHandler))
	if !errors.Is(err, settle.ErrAhead) || !strings.Contains(err.Error(), "put the journal's files back") {
		t.Errorf("error %v", err)
	}
}

func TestCatchUp_PostsWhatTheJournalClosed(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.close(t)
	n.serve(t, storetest.History(storetest.Random(4), 200))
	if _, err := n.journal.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := n.settler(t, n.store)
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Lag != 0 || st.Stored.Batch != 1 || len(s.Balances()) == 0 {
		t.Errorf("%+v", st)
	}
	for _, total := range s.TrialBalance() {
		if !total.Balanced() {
			t.Errorf("%+v", total)
		}
	}
}

func TestRun_KeepsFewRecordsWhereNothingIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, store := &memory{}, &discard{}
		s, err := settle.New(t.Context(), j, store, storetest.Terms, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for range 10 {
			j.refusals(settle.MaxOutcomes)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := j.longest(); n > 3*settle.MaxOutcomes {
			t.Errorf("%d records of refusals wait in memory", n)
		}
		if st := s.Status(); st.Stored.Batch == 0 || st.Error != "" {
			t.Errorf("%+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
