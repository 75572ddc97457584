package settle_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/usage"
)

// A child of this test serves a script into a data directory and kills itself,
// truly, before its n-th write: of the journal, of a row of the books, of
// their commit, of a fact or a document. Then another child goes on.
const (
	killDir = "ACCORDO_TEST_KILL_DIR"
	killAt  = "ACCORDO_TEST_KILL_AT" // 0: never; then it prints how many writes there were
)

// writes counts down to the end of the child.
type writes struct{ at, n int }

func (w *writes) step() {
	if w.n++; w.n == w.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// killedFS counts the writes of a journal.
type killedFS struct {
	journal.FS
	w *writes
}

func (k killedFS) Create(name string) (journal.File, error) {
	k.w.step()
	f, err := k.FS.Create(name)
	return killedFile{f, k.w}, err
}

func (k killedFS) OpenWrite(name string) (journal.File, error) {
	f, err := k.FS.OpenWrite(name)
	return killedFile{f, k.w}, err
}

type killedFile struct {
	journal.File
	w *writes
}

// WriteAt writes in two parts, so that a frame can be torn.
func (k killedFile) WriteAt(b []byte, at int64) (int, error) {
	k.w.step()
	half := len(b) / 2
	if n, err := k.File.WriteAt(b[:half], at); err != nil {
		return n, err
	}
	k.w.step()
	n, err := k.File.WriteAt(b[half:], at+int64(half))
	return half + n, err
}

func (k killedFile) Sync() error {
	k.w.step()
	return k.File.Sync()
}

// killedFacts counts what a data directory is told to keep.
type killedFacts struct {
	*datadir.Dir
	w *writes
}

func (k killedFacts) AppendBooked(f ledger.Fact) error {
	k.w.step()
	err := k.Dir.AppendBooked(f)
	k.w.step()
	return err
}

// script is what a child serves. Every step has its place in the journal or
// among the facts, so that a child that finds some of them done goes on.
type script struct {
	n     *goldenNode
	facts killedFacts
	w     *writes
	at    time.Time
	terms string
	open  map[uint64]*record.Intent
}

// The script's size. Its facts are recorded on a day so far away that the
// clock of the machine says nothing.
const (
	scriptBatches  = 6
	scriptAttempts = 12 // a batch
)

var (
	scriptBegan = time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	scriptFacts = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
)

func killedChild(place string) error {
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		return err
	}
	w := &writes{at: at}
	modernc.RegisterConnectionHook(func(conn modernc.ExecQuerierContext, _ string) error {
		hooks, ok := conn.(modernc.HookRegisterer)
		if !ok {
			return errors.New("the driver has no hooks")
		}
		hooks.RegisterPreUpdateHook(func(modernc.SQLitePreUpdateData) { w.step() })
		hooks.RegisterCommitHook(func() int32 { w.step(); return 0 })
		return nil
	})
	s := &script{w: w, at: scriptBegan, open: map[uint64]*record.Intent{}}
	if err := s.start(place); err != nil {
		return err
	}
	if err := s.traffic(); err != nil {
		return err
	}
	if err := s.record(); err != nil {
		return err
	}
	fmt.Println("writes:", w.n)
	return errors.Join(s.n.store.Close(), s.n.journal.Close(), s.n.dir.Close())
}

func (s *script) start(place string) error {
	ctx := context.Background()
	d, err := datadir.Open(place)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join("testdata", "golden.yaml"))
	if err != nil {
		return err
	}
	a, err := file.Parse("golden.yaml", text)
	if err != nil {
		return err
	}
	if err := d.SaveTerms(a.Hash, file.Canonical(a)); err != nil {
		return err
	}
	s.terms, s.facts = a.Hash, killedFacts{d, s.w}
	j, found, err := journal.Open(d.Journal(), journal.Options{Node: d.Node(), FS: killedFS{journal.OS(), s.w}, SegmentBytes: 8 << 10, Now: func() time.Time { return s.at }})
	if err != nil {
		return err
	}
	for _, o := range found.Open {
		s.open[o.Sequence] = o.Intent
	}
	store, err := sqlite.Open(ctx, d.Books())
	if err != nil {
		return err
	}
	settler, err := settle.New(ctx, j, store, goldenTerms(d), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	s.n = &goldenNode{d, j, store, settler}
	if err := settler.UseFacts(s.facts); err != nil {
		return err
	}
	return settler.CatchUp(ctx)
}

// traffic journals what is missing of the script's batches. Each attempt is
// answered four records later, but for the last ones of a batch, which are
// answered in the next.
func (s *script) traffic() error {
	const each = 2*scriptAttempts + 1
	for seq := s.n.journal.Last() + 1; seq <= scriptBatches*each; seq++ {
		s.at = scriptBegan.Add(time.Duration(seq) * time.Hour)
		if seq == scriptBatches*each {
			s.at = scriptFacts
		}
		if err := s.journal(seq, seq%each == 0); err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
	}
	return nil
}

func (s *script) journal(seq uint64, mark bool) (err error) {
	ctx := context.Background()
	var got uint64
	switch oldest := s.oldest(); {
	case mark:
		if got, err = s.n.journal.Mark(ctx); err == nil {
			err = s.n.settler.CatchUp(ctx)
		}
	case oldest > 0 && seq >= oldest+5:
		got, err = s.n.journal.Outcome(ctx, s.outcome(oldest))
		delete(s.open, oldest)
	default:
		in := s.intent(seq)
		got, err = s.n.journal.Intent(ctx, in)
		s.open[seq] = in
	}
	if err == nil && got != seq {
		err = fmt.Errorf("it became record %d", got)
	}
	return err
}

func (s *script) oldest() (least uint64) {
	for seq := range s.open {
		if least == 0 || seq < least {
			least = seq
		}
	}
	return least
}

func (s *script) intent(seq uint64) *record.Intent {
	pools := [...][2]string{{"a-east", "cost-a"}, {"a-chips", "cost-a"}, {"b-spill", "cost-b"}, {"b-paid", "cost-b"}, {"b-reserved", ""}, {"neo-rack", ""}}
	plans := [...][3]string{{"direct", "sale-direct", "t1"}, {"free", "", "t1"}, {"partner", "", "t2"}}
	pool, plan := pools[seq%6], plans[seq/2%3]
	return &record.Intent{
		Attempt: record.AttemptID(fmt.Sprintf("k%d", seq)), Request: fmt.Sprintf("killed-%d", seq), Number: 1, Terms: s.terms, Tenant: plan[2], Key: "k1", Plan: plan[0], SalePrice: plan[1],
		Channel: "api", Territory: "US", Model: "m1@2026-01", Pool: pool[0], CostPrice: pool[1], Right: "own", Estimate: usage.Vector{UncachedInput: 1000, Output: 500},
	}
}

func (s *script) outcome(intent uint64) *record.Outcome {
	o := &record.Outcome{Attempt: s.open[intent].Attempt, Intent: intent, Status: record.Served, Usage: usage.Vector{UncachedInput: int64(intent * 7919 % 300_000), Output: int64(intent * 104_729 % 90_000)}}
	switch intent % 7 {
	case 2:
		o.Status, o.Usage, o.Reason = record.Suspense, usage.Vector{}, "client_left"
	case 5:
		o.Status, o.Usage, o.Reason = record.Unserved, usage.Vector{}, "connection_refused"
	}
	return o
}

const killedInvoice = "model,attempt_id,uncached_input,cache_read,cache_write,output,reasoning\n" +
	"m1,nobody-made-it,5000,0,0,700,0\nm1,k8,10,0,0,20,0\nm1,k14,5,0,0,5,0\nm1,k14,5,0,0,5,0\n"

// record records what is missing of the script's facts.
func (s *script) record() error {
	ctx := context.Background()
	for {
		done, err := s.n.dir.Booked()
		if err != nil {
			return err
		}
		event, err := s.event(len(done))
		if err != nil || event == (ledger.Event{}) {
			return err
		}
		if _, err := s.n.settler.Record(ctx, event, false); err != nil {
			return fmt.Errorf("fact %d: %w", len(done)+1, err)
		}
	}
}

// event is the script's fact after the first n.
func (s *script) event(n int) (e ledger.Event, err error) {
	ctx := context.Background()
	switch {
	case n == 0:
		e.PoolBilled = &ledger.PoolBilled{Pool: "a-chips", Month: 202601, ChipSeconds: 77, Amount: 3_000_001, Reason: "bill"}
	case n == 1:
		s.w.step()
		hash, err := s.n.dir.SaveDocument([]byte(killedInvoice))
		if err != nil {
			return e, err
		}
		e.InvoiceImported = &ledger.InvoiceImported{Provider: "cloud-b", Month: 202601, Document: hash}
	case n < 5:
		open, err := s.n.store.Differences(ctx)
		if err != nil {
			return e, err
		}
		e.DifferenceClosed = &ledger.DifferenceClosed{ID: open[0].Ref, By: []string{ledger.Accepted, ledger.Rejected}[n%2], Reason: "looked at it"}
	case n < 8:
		open, err := s.n.store.Suspended(ctx)
		if err != nil {
			return e, err
		}
		c := &ledger.SuspenseClosed{Attempt: record.AttemptID(open[0].Ref), Outcome: open[0].First, By: []string{ledger.ByWaiver, ledger.ByEstimate}[n%2], Reason: "looked at it"}
		if c.Intent, err = strconv.ParseUint(strings.TrimPrefix(open[0].Ref, "k"), 10, 64); err != nil {
			return e, err
		}
		e.SuspenseClosed = c
	case n == 8:
		e.ShortfallWaived = &ledger.ShortfallWaived{Contract: "floor", From: "2026-01-01", Reason: "the region was down"}
	case n == 9:
		e.MonthClosed = &ledger.MonthClosed{Month: 202601}
	}
	return e, nil
}

// child runs one child and returns what it printed, empty when it was killed.
func child(t *testing.T, place string, at int) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), killDir+"="+place, killAt+"="+strconv.Itoa(at))
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && at > 0 {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return ""
		}
	}
	if err != nil {
		t.Fatalf("killed before write %d: the child ended with %v: %s", at, err, complaint.String())
	}
	return string(out)
}

// whole is all that a data directory came to: the bytes of journal and facts,
// every batch, and the state that the store keeps.
func whole(t *testing.T, place string) string {
	t.Helper()
	var out strings.Builder
	for _, pattern := range []string{"journal/*", "facts.jsonl", "documents/*"} {
		names, err := filepath.Glob(filepath.Join(place, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s %x\n", filepath.Base(name), sha256.Sum256(data))
		}
	}
	n := openGolden(t, place)
	defer n.close(t)
	told, err := json.MarshalIndent(n.tell(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	st, err := n.store.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%s\n%+v\n%+v\n", told, st.Carries, st.Balances)
	for b, err := range n.store.Batches(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%d %x\n", b.Sequence, sha256.Sum256(b.Canonical(nil)))
	}
	return out.String()
}

// killPlace is a data directory of the same node every time.
func killPlace(t *testing.T) string {
	t.Helper()
	place := t.TempDir()
	if err := os.WriteFile(filepath.Join(place, "node"), []byte("dead00000000000000000000000000ad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return place
}

// TestKill_BeforeAnyWriteEndsInTheSameBytes kills a process that posts
// batches, records facts, imports an invoice and closes a month before each of
// its writes. ACCORDO_KILLS=all tries every write; without it some, spread
// evenly, and others at each run.
func TestKill_BeforeAnyWriteEndsInTheSameBytes(t *testing.T) {
	calm := killPlace(t)
	var total int
	if _, err := fmt.Sscanf(child(t, calm, 0), "writes: %d", &total); err != nil || total < 200 {
		t.Fatalf("the script has %d writes, %v", total, err)
	}
	want := whole(t, calm)
	stride := max(1, total/24)
	first := 1 + int(time.Now().UnixNano()%int64(stride))
	if os.Getenv("ACCORDO_KILLS") == "all" {
		first, stride = 1, 1
	}
	t.Logf("%d writes, killed before number %d and each %d further", total, first, stride)
	for at := first; at <= total; at += stride {
		place := killPlace(t)
		if out := child(t, place, at); out != "" {
			t.Fatalf("it was not killed before write %d of %d: %s", at, total, out)
		}
		again := 0
		if at%3 == 0 { // and again while it goes on
			again = 1 + at%17
		}
		if child(t, place, again) == "" {
			child(t, place, 0)
		}
		if got := whole(t, place); got != want {
			t.Errorf("killed before write %d (and %d) it ended in\n%s\nwant\n%s", at, again, got, want)
		}
	}
}

func runKilledChild() {
	if err := killedChild(os.Getenv(killDir)); err != nil {
		fmt.Fprintln(io.Writer(os.Stderr), err)
		os.Exit(1)
	}
	os.Exit(0)
}
