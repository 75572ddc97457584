package settle_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

func openFacts(t *testing.T, dir string) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (n *node) withFacts(t *testing.T, s settle.Store, d *datadir.Dir) *settle.Settler {
	t.Helper()
	settler := n.settler(t, s)
	if err := settler.UseFacts(d); err != nil {
		t.Fatal(err)
	}
	return settler
}

// waivers closes the open suspense of the books, one event each.
func (n *node) waivers(t *testing.T) (events []ledger.Event) {
	t.Helper()
	open, err := n.store.Suspended(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range open {
		for r, err := range n.journal.Read(e.First) {
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{
				Attempt: record.AttemptID(e.Ref), Intent: r.Outcome.Intent, Outcome: e.First, By: ledger.ByWaiver, Reason: "test",
			}})
			break
		}
	}
	return events
}

func verifyFacts(t *testing.T, n *node, d *datadir.Dir) settle.Verification {
	t.Helper()
	v, err := settle.Verify(t.Context(), n.store, n.journal.Read, storetest.Terms, d)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRecord_WhileServingAndAnewFromNothing(t *testing.T) {
	dir := t.TempDir()
	d := openFacts(t, dir)
	defer d.Close()
	n := openNode(t, dir)
	defer n.close(t)
	n.served(t, storetest.History(storetest.Random(1), 200))
	settler := n.withFacts(t, n.store, d)
	if _, err := settler.Record(t.Context(), n.waivers(t)[0], true); err != nil {
		t.Fatalf("dry run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- settler.Run(ctx) }()
	for i, ev := range n.waivers(t) {
		step, err := settler.Record(t.Context(), ev, false)
		if err != nil || step.Batch.Fact != uint64(i+1) {
			t.Fatalf("fact %d: %+v, %v", i+1, step.Batch, err)
		}
		if _, err := settler.Record(t.Context(), ev, false); !errors.Is(err, ledger.ErrFact) {
			t.Fatalf("the same again: %v", err)
		}
		if i%4 == 0 { // traffic goes on between facts
			n.serve(t, storetest.History(storetest.Random(uint64(i+7)), 30))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := settler.Record(t.Context(), ledger.Event{}, false); !errors.Is(err, settle.ErrStopping) {
		t.Errorf("after the end: %v", err)
	}
	v := verifyFacts(t, n, d)
	if v.Fault != nil || v.Facts == 0 {
		t.Fatalf("%d facts, %v", v.Facts, v.Fault)
	}
	// The same journal and facts give the same chain in new books.
	for _, name := range []string{"books.sqlite", "books.sqlite-wal", "books.sqlite-shm"} {
		_ = os.Remove(filepath.Join(dir, name))
	}
	n.close(t)
	n.store, n.journal = nil, nil
	fresh := openNode(t, dir)
	n.store, n.journal = fresh.store, fresh.journal
	if err := n.withFacts(t, n.store, d).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	head, err := n.store.Head(t.Context())
	if err != nil || head.Hash != v.Head.Hash {
		t.Errorf("posted anew the books end with %s, before with %s, %v", head.Hash, v.Head.Hash, err)
	}
}

// TestRecord_KilledAtEveryOperationOfTheStore dies before or after each step
// of the store; the next start posts what is kept, once.
func TestRecord_KilledAtEveryOperationOfTheStore(t *testing.T) {
	for _, after := range []bool{false, true} {
		for left := range 4 {
			dir := t.TempDir()
			d := openFacts(t, dir)
			n := openNode(t, dir)
			n.served(t, storetest.History(storetest.Random(5), 150))
			events := n.waivers(t)
			s := &mortal{Store: n.store, left: left, after: after, kill: func() {}}
			settler, err := settle.New(t.Context(), n.journal, s, storetest.Terms, slog.New(slog.DiscardHandler))
			if err == nil {
				err = settler.UseFacts(d)
			}
			recorded := 0
			for _, ev := range events {
				if err == nil {
					if _, err = settler.Record(t.Context(), ev, false); err == nil {
						recorded++
					}
				}
			}
			if recorded == 0 && left > 1 {
				t.Fatalf("nothing was recorded: %v", err)
			}
			settler = n.withFacts(t, n.store, d)
			if err := settler.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			facts, err := d.Booked()
			if err != nil || len(facts) < recorded {
				t.Fatalf("%d facts kept of %d, %v", len(facts), recorded, err)
			}
			if v := verifyFacts(t, n, d); v.Fault != nil || v.Facts != uint64(len(facts)) {
				t.Fatalf("killed at %d: %d facts in the books of %d, %v", left, v.Facts, len(facts), v.Fault)
			}
			n.close(t)
			d.Close()
		}
	}
}

func TestVerify_NamesFactsThatAreNotTheBooks(t *testing.T) {
	dir := t.TempDir()
	d := openFacts(t, dir)
	n := openNode(t, dir)
	defer n.close(t)
	n.served(t, storetest.History(storetest.Random(5), 150))
	settler := n.withFacts(t, n.store, d)
	for _, ev := range n.waivers(t) {
		if _, err := settler.Record(t.Context(), ev, false); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	name := filepath.Join(dir, "facts.jsonl")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for _, row := range []struct{ name, text, says string }{
		{"the last is gone", strings.Join(lines[:len(lines)-2], ""), "the facts end before this batch"},
		{"the first is gone", strings.Join(lines[1:], ""), "FactDigest"},
		{"a changed reason", strings.Replace(string(whole), "test", "tent", 1), "FactDigest"},
		{"a changed place", strings.Replace(string(whole), `"after":`, `"after":1`, 1), "fact"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := os.WriteFile(name, []byte(row.text), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := datadir.OpenReadOnly(dir)
			if err != nil {
				t.Fatal(err)
			}
			v := verifyFacts(t, n, r)
			if v.Fault == nil || !strings.Contains(v.Fault.String(), row.says) {
				t.Errorf("fault %v", v.Fault)
			}
		})
	}
}

func TestRecord_WithoutFactsIsRefused(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.close(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := n.settler(t, n.store).Record(ctx, ledger.Event{}, false); !errors.Is(err, settle.ErrNoFacts) {
		t.Errorf("error %v", err)
	}
}
