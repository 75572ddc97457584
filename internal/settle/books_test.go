package settle_test

import (
	"bytes"
	"database/sql"
	"errors"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// tamper changes the stored books behind the program's back.
func tamper(t *testing.T, n *node, statements ...string) {
	t.Helper()
	if err := n.store.Gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(n.dir, "books.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if res, err := db.Exec(s); err != nil {
			t.Fatal(err)
		} else if k, _ := res.RowsAffected(); k == 0 {
			t.Fatalf("changed nothing: %s", s)
		}
	}
}

func TestVerify_NamesTheFirstDifferenceOfTheBooks(t *testing.T) {
	rows := []struct{ name, change, place, says string }{
		{"an amount", "UPDATE entry SET amount = amount + 1 WHERE batch = 2 AND number = 3", "batch 2, entry 3", "Amount"},
		{"tokens", "UPDATE entry SET output = output - 1 WHERE batch = 3 AND number = 1", "batch 3, entry 1", "Tokens"},
		{"an account", "UPDATE entry SET debit = credit WHERE batch = 1 AND number = 1", "batch 1, entry 1", "Debit"},
		{"an entry that is gone", "DELETE FROM entry WHERE batch = 2 AND number = 1", "batch 2, entry 1", "by the journal"},
		{"a time", "UPDATE batch SET at = at + 1 WHERE sequence = 2", "batch 2", "its At is"},
		{"a hash", "UPDATE batch SET hash = zeroblob(32) WHERE sequence = 2", "batch 2", "the stored hash"},
		{"the chain", "UPDATE batch SET prev = zeroblob(32) WHERE sequence = 3", "batch 3", "the chain is broken"},
		{"a batch that is gone", "DELETE FROM batch WHERE sequence = 2", "batch 2", "do not hold the batch"},
		{"a balance", "UPDATE balance SET amount = amount + 1 WHERE account = (SELECT id FROM name WHERE text = 'lab/expense/compute/aws-east')", "batch 4", "the balance of lab/expense/compute/aws-east"},
		{"a balance that is gone", "DELETE FROM balance WHERE account = (SELECT id FROM name WHERE text = 'lab/expense/compute/aws-east')", "batch 4", "miss the balance of lab/expense/compute/aws-east"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := openNode(t, t.TempDir())
			defer n.close(t)
			for seed := range uint64(4) {
				n.served(t, storetest.History(storetest.Random(seed), 120))
			}
			if v := verify(t, n); v.Fault != nil || v.Batches != 4 {
				t.Fatalf("before: %+v", v)
			}
			tamper(t, n, row.change)
			v := verify(t, n)
			if v.Fault == nil {
				t.Fatal("nothing found")
			}
			if text := v.Fault.String(); !strings.HasPrefix(text, row.place+": ") || !strings.Contains(text, row.says) || v.Fault.Remedy == "" {
				t.Errorf("fault %q", text)
			}
		})
	}
}

// altered yields the records of a journal with one change.
func altered(records settle.Records, change func(r *record.Record) (keep bool)) settle.Records {
	return func(from uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for r, err := range records(from) {
				if err == nil && !change(&r) {
					continue
				}
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

func TestVerify_NamesAJournalThatIsNotTheBooks(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.close(t)
	for seed := range uint64(3) {
		n.served(t, storetest.History(storetest.Random(seed), 120))
	}
	var outcome uint64
	for r, err := range n.journal.Read(1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != nil && r.Outcome.Status == record.Served {
			outcome = r.Sequence
		}
	}
	rows := []struct {
		name   string
		change func(r *record.Record) bool
		says   string
	}{
		{"one token less", func(r *record.Record) bool {
			if r.Sequence == outcome {
				o := *r.Outcome
				o.Usage.UncachedInput++
				r.Outcome = &o
			}
			return true
		}, "batch 3, entry"},
		{"a record that is gone", func(r *record.Record) bool { return r.Sequence != outcome }, "stands where"},
		{"the end that is gone", func(r *record.Record) bool { return r.Sequence < outcome }, "the journal ends before this batch"},
		{"an outcome of nothing", func(r *record.Record) bool {
			if r.Sequence == outcome {
				o := *r.Outcome
				o.Intent = 1
				r.Outcome = &o
			}
			return true
		}, "batch 3"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			v, err := settle.Verify(t.Context(), n.store, altered(n.journal.Read, row.change), storetest.Terms, nil)
			if err != nil || v.Fault == nil || !strings.Contains(v.Fault.String(), row.says) {
				t.Errorf("fault %v, error %v", v.Fault, err)
			}
		})
	}
	t.Run("terms that are gone", func(t *testing.T) {
		v, err := settle.Verify(t.Context(), n.store, n.journal.Read, func(string) (*alliance.Alliance, error) { return nil, errors.New("no such file") }, nil)
		if err != nil || v.Fault == nil || !strings.Contains(v.Fault.Remedy, "version of the terms") {
			t.Errorf("fault %v, error %v", v.Fault, err)
		}
	})
}

func TestVerify_WorksWithoutAServingProcess(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir)
	n.served(t, storetest.History(storetest.Random(3), 200))
	n.close(t)
	books, err := sqlite.OpenReader(t.Context(), filepath.Join(dir, "books.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer books.Close()
	records := func(from uint64) iter.Seq2[record.Record, error] {
		return journal.Read(filepath.Join(dir, "journal"), from)
	}
	v, err := settle.Verify(t.Context(), books, records, storetest.Terms, nil)
	if err != nil || v.Fault != nil || v.Batches != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	var out bytes.Buffer
	if err := settle.WriteVerification(&out, &v); err != nil || !strings.Contains(out.String(), "the books are right") {
		t.Errorf("%s, %v", out.String(), err)
	}
}

func TestTrace_GoesBothWays(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.close(t)
	history := storetest.History(storetest.Random(8), 400)
	n.served(t, history)
	requests := map[string]int{}
	for r, err := range n.journal.Read(1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Intent != nil {
			requests[r.Intent.Request]++
		}
	}
	for request, attempts := range requests {
		trace, err := settle.Find(t.Context(), n.store, n.journal.Read, storetest.Terms, nil, request)
		if err != nil {
			t.Fatal(err)
		}
		if len(trace.Attempts) != attempts {
			t.Fatalf("request %s: %d attempts, want %d", request, len(trace.Attempts), attempts)
		}
		for _, a := range trace.Attempts {
			if a.Outcome == nil {
				if a.State != settle.InFlight {
					t.Errorf("request %s without an outcome is %s", request, a.State)
				}
				continue
			}
			if a.State != settle.Posted || len(a.Entries) != len(a.Line.Postings) {
				t.Fatalf("request %s is %s in %d entries, its line has %d postings", request, a.State, len(a.Entries), len(a.Line.Postings))
			}
			for i := range a.Entries {
				back(t, n, &a, i)
			}
		}
		var out bytes.Buffer
		if err := settle.WriteTrace(&out, trace); err != nil || !strings.Contains(out.String(), request) {
			t.Error(err)
		}
	}
}

// back opens an entry to its lines and finds the attempt among them.
func back(t *testing.T, n *node, a *settle.Attempt, i int) {
	t.Helper()
	lines, err := settle.Lines(t.Context(), n.store, n.journal.Read, storetest.Terms, nil, &a.Entries[i].Entry)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if l.Attempt == a.Line.Attempt {
			return
		}
	}
	t.Errorf("entry %d.%d does not lead back to attempt %s", a.Entries[i].Batch, a.Entries[i].Number, a.Line.Attempt)
}

func TestTrace_SeesWhatIsNotPostedYet(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.close(t)
	n.served(t, storetest.History(storetest.Random(8), 50))
	in := &record.Intent{Attempt: "late", Request: "late", Number: 1, Terms: "f1257", Plan: "direct", SalePrice: "sale-direct", Model: "m1@2026-01", Pool: "aws-east", CostPrice: "cost-m1"}
	state := func(want string) {
		t.Helper()
		trace, err := settle.Find(t.Context(), n.store, n.journal.Read, storetest.Terms, nil, "late")
		if err != nil || len(trace.Attempts) != 1 || trace.Attempts[0].State != want {
			t.Errorf("trace %+v, %v, want %s", trace, err, want)
		}
	}
	if _, err := settle.Find(t.Context(), n.store, n.journal.Read, storetest.Terms, nil, "late"); !errors.Is(err, settle.ErrUnknown) {
		t.Errorf("a request that never was: %v", err)
	}
	sequence, err := n.journal.Intent(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	state(settle.InFlight)
	n.served(t, storetest.History(storetest.Random(9), 50)) // the intent is posted as open
	state(settle.InFlight)
	if _, err := n.journal.Outcome(t.Context(), &record.Outcome{Attempt: "late", Intent: sequence, Status: record.Served}); err != nil {
		t.Fatal(err)
	}
	state(settle.Unposted)
	n.served(t, nil)
	state(settle.Posted)
	n.journal.Refusal(&record.Refusal{Request: "no", Code: "insufficient_quota", Reason: "the day's tokens are used up"})
	if _, err := n.journal.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // before and after it is posted
		trace, err := settle.Find(t.Context(), n.store, n.journal.Read, storetest.Terms, nil, "no")
		if err != nil || len(trace.Refusals) != 1 {
			t.Errorf("trace of a refusal %+v, %v", trace, err)
		}
		n.served(t, nil)
	}
}
