// Package storetest is the conformance suite of the books' stores, with the
// terms and the random histories that tests of the books share. A new store
// calls Run with a way to open it. It is imported by tests only.
package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
)

// Opener opens a store: the same place gives the same books. The suite closes
// what it opens.
type Opener func(t *testing.T, place string) interface {
	settle.Store
	Close() error
}

// Random returns a Picker of a seed.
func Random(seed uint64) Picker {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(_ string, n int) int { return r.IntN(n) }
}

// Split cuts a history into its batches, each with its mark.
func Split(records []record.Record) (batches [][]record.Record) {
	from := 0
	for i := range records {
		if records[i].Kind == record.KindMark {
			batches = append(batches, records[from:i+1])
			from = i + 1
		}
	}
	return batches
}

// Steps posts a history.
func Steps(t testing.TB, records []record.Record) []ledger.Step {
	t.Helper()
	book := ledger.New(SalesTerms)
	var steps []ledger.Step
	for _, b := range Split(records) {
		step, err := book.Post(b)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	return steps
}

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	steps := Steps(t, History(Random(7), 600))
	if len(steps) < 10 {
		t.Fatalf("the history gave only %d batches", len(steps))
	}
	t.Run("EmptyBooks_HaveAZeroState", func(t *testing.T) {
		s := open(t, t.TempDir())
		defer s.Close()
		st, err := s.State(t.Context())
		if err != nil || st.Head != (ledger.Head{}) || len(st.Balances)+len(st.Carries)+len(st.Open) > 0 {
			t.Errorf("state %+v, %v", st, err)
		}
	})
	t.Run("StateAfterEachBatch_IsTheBooks", func(t *testing.T) { stateFollows(t, open, History(Random(7), 600)) })
	t.Run("StateOfIncludedQuotas_IsTheBooks", func(t *testing.T) { stateFollows(t, open, HourlyHistory(Random(7), 600)) })
	t.Run("Batch_ComesBackByteForByte", func(t *testing.T) { batchesComeBack(t, open, steps) })
	t.Run("Append_RefusesWhatDoesNotFollow", func(t *testing.T) { refuses(t, open, steps) })
	t.Run("Append_CancelledLeavesNothing", func(t *testing.T) { cancelled(t, open, steps) })
	t.Run("Entries_AreSelected", func(t *testing.T) { selects(t, open, steps) })
	t.Run("Sums_AreThoseOfTheEntries", func(t *testing.T) { sums(t, open, steps) })
	t.Run("Find_GivesEveryPlaceOfARequest", func(t *testing.T) { finds(t, open, steps) })
}

func fill(t *testing.T, s settle.Store, steps []ledger.Step) {
	t.Helper()
	for i := range steps {
		if err := s.Append(t.Context(), &steps[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// stateFollows reopens the store after every batch and posts the next one
// from what it kept.
func stateFollows(t *testing.T, open Opener, records []record.Record) {
	place := t.TempDir()
	batches, steps := Split(records), Steps(t, records)
	whole := ledger.New(SalesTerms)
	for i := range batches {
		s := open(t, place)
		st, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.State(), st, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("state before batch %d (-posted +stored):\n%s", i+1, diff)
		}
		step, err := ledger.Resume(st, SalesTerms).Post(batches[i])
		if err != nil {
			t.Fatal(err)
		}
		if step.Batch.Hash != steps[i].Batch.Hash {
			t.Fatalf("batch %d posted from stored state has the hash %s, want %s", i+1, step.Batch.Hash, steps[i].Batch.Hash)
		}
		if err := s.Append(t.Context(), &step); err != nil {
			t.Fatal(err)
		}
		lefts, err := s.Lefts(t.Context(), step.Batch.First, step.Batch.Last)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(LeftsOf(&step), lefts); diff != "" {
			t.Fatalf("what was left before each outcome (-posted +stored):\n%s", diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := whole.Post(batches[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func batchesComeBack(t *testing.T, open Opener, steps []ledger.Step) {
	s := open(t, t.TempDir())
	defer s.Close()
	fill(t, s, steps)
	n := 0
	for b, err := range s.Batches(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Sum() != steps[n].Batch.Hash || b.Hash != steps[n].Batch.Hash {
			t.Errorf("batch %d differs:\n%s", n+1, cmp.Diff(steps[n].Batch, b))
		}
		n++
	}
	if n != len(steps) {
		t.Errorf("%d batches, want %d", n, len(steps))
	}
	if _, err := s.Batch(t.Context(), uint64(n+1)); !errors.Is(err, settle.ErrNotFound) {
		t.Errorf("a batch that is not there: %v", err)
	}
	last := steps[n-1].Batch
	for record, want := range map[uint64]uint64{1: 1, last.First: last.Sequence, last.Last: last.Sequence} {
		if got, err := s.BatchOf(t.Context(), record); got != want || err != nil {
			t.Errorf("batch of record %d is %d, %v, want %d", record, got, err, want)
		}
	}
	if _, err := s.BatchOf(t.Context(), last.Last+1); !errors.Is(err, settle.ErrNotFound) {
		t.Errorf("batch of a record that is not posted: %v", err)
	}
}

func refuses(t *testing.T, open Opener, steps []ledger.Step) {
	s := open(t, t.TempDir())
	defer s.Close()
	fill(t, s, steps[:2])
	for name, step := range map[string]ledger.Step{"the same batch again": steps[1], "a batch too far": steps[3], "the first batch": steps[0]} {
		if err := s.Append(t.Context(), &step); !errors.Is(err, settle.ErrHead) {
			t.Errorf("%s: %v, want ErrHead", name, err)
		}
	}
	broken := steps[2]
	broken.Batch.Prev[0] ^= 1
	if err := s.Append(t.Context(), &broken); !errors.Is(err, settle.ErrHead) {
		t.Errorf("a batch of another chain: %v, want ErrHead", err)
	}
	fill(t, s, steps[2:4])
}

func cancelled(t *testing.T, open Opener, steps []ledger.Step) {
	s := open(t, t.TempDir())
	defer s.Close()
	fill(t, s, steps[:1])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, &steps[1]); err == nil {
		t.Error("a cancelled append said nothing")
	}
	if h, err := s.Head(t.Context()); err != nil || h.Batch != 1 {
		t.Errorf("after a cancelled append the head is %+v, %v", h, err)
	}
	fill(t, s, steps[1:])
}

func selects(t *testing.T, open Opener, steps []ledger.Step) {
	s := open(t, t.TempDir())
	defer s.Close()
	fill(t, s, steps)
	mid := steps[len(steps)/2].Batch
	full := mid
	for _, step := range steps {
		if len(step.Batch.Entries) > 1 {
			full = step.Batch
		}
	}
	if len(full.Entries) < 2 {
		t.Fatal("no batch has two entries: nothing to tell apart")
	}
	rows := []struct {
		name string
		q    settle.Query
		keep func(b *ledger.Batch, e *ledger.Entry) bool
	}{
		{"all", settle.Query{}, func(*ledger.Batch, *ledger.Entry) bool { return true }},
		{"one account", settle.Query{Account: "lab/expense/compute/aws-east"}, func(_ *ledger.Batch, e *ledger.Entry) bool {
			return e.Debit == "lab/expense/compute/aws-east" || e.Credit == "lab/expense/compute/aws-east"
		}},
		{"all accounts below a path", settle.Query{Account: "lab/liability/"}, func(_ *ledger.Batch, e *ledger.Entry) bool {
			return e.Debit.Class() == "liability" || e.Credit.Class() == "liability"
		}},
		{"one contract", settle.Query{Contract: "rack"}, func(_ *ledger.Batch, e *ledger.Entry) bool { return e.Contract == "rack" }},
		{"suspense", settle.Query{Kind: ledger.Suspense}, func(_ *ledger.Batch, e *ledger.Entry) bool { return e.Kind == ledger.Suspense }},
		{"one batch", settle.Query{Batch: mid.Sequence, Kind: ledger.Tokens}, func(b *ledger.Batch, e *ledger.Entry) bool {
			return b.Sequence == mid.Sequence && e.Kind == ledger.Tokens
		}},
		{"a time", settle.Query{From: mid.At, Until: steps[len(steps)-2].Batch.At}, func(b *ledger.Batch, _ *ledger.Entry) bool {
			return b.At >= mid.At && b.At < steps[len(steps)-2].Batch.At
		}},
		{"one account against others", settle.Query{Account: "lab/expense/compute/aws-east", Other: "lab/liability/"}, func(_ *ledger.Batch, e *ledger.Entry) bool {
			return e.Debit == "lab/expense/compute/aws-east" && e.Credit.Class() == "liability" || e.Credit == "lab/expense/compute/aws-east" && e.Debit.Class() == "liability"
		}},
		{"a price", settle.Query{Price: "cost-m1"}, func(_ *ledger.Batch, e *ledger.Entry) bool { return e.Price == "cost-m1" }},
		{"a month", settle.Query{Period: full.Entries[0].Period}, func(_ *ledger.Batch, e *ledger.Entry) bool { return e.Period == full.Entries[0].Period }},
		{"another month", settle.Query{Period: 190001}, func(*ledger.Batch, *ledger.Entry) bool { return false }},
		{"before a place", settle.Query{Before: settle.Place{Batch: full.Sequence, Number: 2}}, func(b *ledger.Batch, e *ledger.Entry) bool {
			return b.Sequence < full.Sequence || b.Sequence == full.Sequence && e.Key == b.Entries[0].Key
		}},
		{"a fact that is not there", settle.Query{Fact: 1 << 40}, func(*ledger.Batch, *ledger.Entry) bool { return false }},
		{"an account that is not there", settle.Query{Account: "lab/expense/none"}, func(*ledger.Batch, *ledger.Entry) bool { return false }},
		{"a time after the end", settle.Query{From: 1 << 62}, func(*ledger.Batch, *ledger.Entry) bool { return false }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var want []settle.Placed
			for i := range steps {
				b := &steps[i].Batch
				for n := range b.Entries {
					if row.keep(b, &b.Entries[n]) {
						want = append(want, settle.Placed{Batch: b.Sequence, Number: n + 1, At: b.At, Entry: b.Entries[n]})
					}
				}
			}
			got, err := s.Entries(t.Context(), row.q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			row.q.Newest, row.q.Limit = true, 1
			newest, err := s.Entries(t.Context(), row.q)
			if err != nil || len(want) > 0 && (len(newest) != 1 || newest[0] != want[len(want)-1]) {
				t.Errorf("the newest is %+v, %v", newest, err)
			}
		})
	}
}

// sums compares what the store adds up with the entries themselves: balances
// at instants, and movements and balances of months.
func sums(t *testing.T, open Opener, steps []ledger.Step) {
	s := open(t, t.TempDir())
	defer s.Close()
	fill(t, s, steps)
	var entries []ledger.Entry
	accounts, months, instants := map[ledger.AccountID]bool{}, map[int32]bool{}, []int64{0, 1 << 62}
	for i := range steps {
		for _, e := range steps[i].Batch.Entries {
			entries = append(entries, e)
			accounts[e.Debit], accounts[e.Credit], months[e.Period] = true, true, true
			if len(entries)%40 == 0 {
				instants = append(instants, e.From-1, e.From, e.From+1)
			}
		}
	}
	for account := range accounts {
		for _, at := range instants {
			var want money.Amount
			for i := range entries {
				if e := &entries[i]; e.From <= at {
					want += signed(e, account)
				}
			}
			if got, err := s.BalanceAt(t.Context(), account, at); got != want || err != nil {
				t.Fatalf("balance of %s at %d is %d, %v, want %d", account, at, got, err, want)
			}
		}
		for month := range months {
			got, err := s.Movements(t.Context(), account, month)
			if err != nil {
				t.Fatal(err)
			}
			var sum, want money.Amount
			var lines, wantLines, count, wantCount int64
			for _, m := range got {
				sum, lines, count = sum+m.Amount, lines+m.Lines, count+m.Entries
			}
			for i := range entries {
				if e := &entries[i]; e.Period == month && (e.Debit == account || e.Credit == account) {
					want, wantLines, wantCount = want+signed(e, account), wantLines+e.Lines, wantCount+1
				}
			}
			if sum != want || lines != wantLines || count != wantCount {
				t.Errorf("movements of %s in %d come to %d in %d entries with %d lines, want %d, %d, %d", account, month, sum, count, lines, want, wantCount, wantLines)
			}
		}
	}
	periods, err := s.Periods(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	total := map[ledger.AccountID]money.Amount{}
	for _, p := range periods {
		total[p.Account] += p.Amount
	}
	balances, err := s.Balances(t.Context())
	if err != nil || len(balances) != len(accounts) {
		t.Fatalf("%d balances of %d accounts, %v", len(balances), len(accounts), err)
	}
	for _, b := range balances {
		if total[b.Account] != b.Amount {
			t.Errorf("the months of %s come to %d, its balance is %d", b.Account, total[b.Account], b.Amount)
		}
	}
}

func signed(e *ledger.Entry, account ledger.AccountID) (n money.Amount) {
	if e.Debit == account {
		n += e.Amount
	}
	if e.Credit == account {
		n -= e.Amount
	}
	return n
}

func finds(t *testing.T, open Opener, steps []ledger.Step) {
	s := open(t, t.TempDir())
	defer s.Close()
	fill(t, s, steps)
	want := map[string]map[uint64]uint64{}
	for _, step := range steps {
		for _, l := range step.Requests {
			if want[l.Request] == nil {
				want[l.Request] = map[uint64]uint64{}
			}
			want[l.Request][l.Intent] = l.Outcome
		}
	}
	for request, places := range want {
		list, err := s.Find(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		got := map[uint64]uint64{}
		for _, l := range list {
			got[l.Intent] = l.Outcome
		}
		if diff := cmp.Diff(places, got); diff != "" {
			t.Errorf("request %s -want +got:\n%s", request, diff)
		}
	}
	if list, err := s.Find(t.Context(), "no such request"); len(list) > 0 || err != nil {
		t.Errorf("a request that is not there: %v, %v", list, err)
	}
}
