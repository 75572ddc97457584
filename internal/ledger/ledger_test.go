package ledger_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
)

var update = flag.Bool("update", false, "write the golden files anew")

func draw(t *rapid.T) storetest.Picker {
	return func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
}

func history(t *rapid.T) []record.Record {
	return storetest.History(draw(t), rapid.IntRange(5, 120).Draw(t, "steps"))
}

// post posts whole histories and returns the book with its batches.
func post(t interface {
	Helper()
	Fatal(...any)
}, records []record.Record,
) (*ledger.Book, []ledger.Step) {
	t.Helper()
	book := ledger.New(storetest.Terms)
	var steps []ledger.Step
	for _, b := range storetest.Split(records) {
		step, err := book.Post(b)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	return book, steps
}

func TestEntries_SumToZeroPerAsset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book, steps := post(t, history(t))
		for _, total := range ledger.TrialBalance(book.Balances()) {
			if !total.Balanced() {
				t.Fatalf("%s: debits %d, credits %d", total.Asset, total.Debits, total.Credits)
			}
		}
		sums := map[ledger.AccountID]money.Amount{}
		assets := map[ledger.AccountID]ledger.Asset{}
		for _, s := range steps {
			for _, e := range s.Batch.Entries {
				for _, a := range []ledger.AccountID{e.Debit, e.Credit} {
					if was, ok := assets[a]; ok && was != e.Asset {
						t.Fatalf("%s holds %s and %s", a, was, e.Asset)
					}
					assets[a] = e.Asset
				}
				sums[e.Debit] += e.Amount
				sums[e.Credit] -= e.Amount
			}
		}
		for a, want := range sums {
			if got := book.Balance(a); got != want {
				t.Fatalf("%s: balance %d, entries come to %d", a, got, want)
			}
		}
	})
}

func TestReplay_GivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		_, once := post(t, records)
		// The second time, each batch is posted by a book resumed from the state before it.
		state := ledger.State{}
		for i, b := range storetest.Split(records) {
			book := ledger.Resume(state, storetest.Terms)
			step, err := book.Post(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(step.Batch.Canonical(nil), once[i].Batch.Canonical(nil)) || step.Batch.Sum() != step.Batch.Hash {
				t.Fatalf("batch %d differs:\n%s", i+1, cmp.Diff(once[i].Batch, step.Batch))
			}
			state = book.State()
		}
	})
}

func TestChain_EveryBatchNamesTheOneBefore(t *testing.T) {
	_, steps := post(t, storetest.History(storetest.Random(1), 300))
	prev := ledger.Digest{}
	for i, s := range steps {
		if s.Batch.Prev != prev || s.Batch.Sequence != uint64(i+1) {
			t.Fatalf("batch %d is number %d after %s, want %s", i+1, s.Batch.Sequence, s.Batch.Prev, prev)
		}
		prev = s.Batch.Hash
	}
}

func TestAmounts_AreTheFloorOfTheExactTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		book, steps := post(t, records)
		type pair struct {
			debit, credit ledger.AccountID
			price         string
			divisor       int64
		}
		exact, booked := map[pair]*big.Int{}, map[pair]int64{}
		for _, l := range lines(t, records) {
			for _, p := range l.Postings {
				k := pair{p.Debit, p.Credit, p.Price, p.Divisor}
				if exact[k] == nil {
					exact[k] = new(big.Int)
				}
				n, _ := new(big.Int).SetString(p.Numerator.String(), 10)
				exact[k].Add(exact[k], n)
			}
		}
		for _, s := range steps {
			for _, e := range s.Batch.Entries {
				if e.Kind != ledger.Opening {
					booked[pair{e.Debit, e.Credit, e.Price, e.Divisor}] += int64(e.Amount)
				}
			}
		}
		if len(exact) != len(booked) {
			t.Fatalf("%d pairs have lines, %d have entries", len(exact), len(booked))
		}
		for k, n := range exact {
			if want := new(big.Int).Div(n, big.NewInt(k.divisor)); want.Int64() != booked[k] {
				t.Fatalf("%+v: booked %d, the floor of the total is %s", k, booked[k], want)
			}
		}
		_ = book
	})
}

// lines recomputes every line of a history, each from its two records alone.
func lines(t interface {
	Helper()
	Fatal(...any)
}, records []record.Record,
) (list []ledger.Line) {
	t.Helper()
	cache := ledger.New(storetest.Terms)
	posted := map[uint64]bool{}
	for i := range records {
		out := records[i].Outcome
		if out == nil || posted[out.Intent] {
			continue
		}
		posted[out.Intent] = true
		intent := &records[out.Intent-1]
		terms, err := cache.Terms(intent.Intent.Terms)
		if err != nil {
			t.Fatal(err)
		}
		l, err := ledger.LineOf(intent, &records[i], terms)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

func TestLines_RecomputeEveryEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		_, steps := post(t, records)
		all := lines(t, records)
		carries := map[ledger.CarryKey]int64{}
		for _, s := range steps {
			var batch []ledger.Line
			for _, l := range all {
				if s.Batch.First <= l.Outcome && l.Outcome <= s.Batch.Last {
					batch = append(batch, l)
				}
			}
			for _, e := range s.Batch.Entries {
				if e.Kind == ledger.Opening {
					continue
				}
				sum := ledger.SumOf(e.Key, batch)
				if sum.Digest != e.Digest || sum.Lines != e.Lines || sum.Tokens != e.Tokens {
					t.Fatalf("batch %d, %s of %s: lines give %+v, the entry says %+v", s.Batch.Sequence, e.Kind, e.Debit, sum, e)
				}
				k := ledger.CarryKey{Debit: e.Debit, Credit: e.Credit, Price: e.Price, Divisor: e.Divisor}
				want := money.Product(int64(e.Amount), e.Divisor).Add(money.WideOf(e.Remainder - carries[k]))
				if sum.Numerator != want {
					t.Fatalf("numerators %s, amount and carry say %s", sum.Numerator, want)
				}
				carries[k] = e.Remainder
			}
		}
	})
}

// resplit puts the marks of a history elsewhere and numbers the records anew.
func resplit(t *rapid.T, records []record.Record) []record.Record {
	var out []record.Record
	moved := map[uint64]uint64{}
	add := func(r record.Record) {
		r.Sequence = uint64(len(out) + 1)
		out = append(out, r)
	}
	for _, r := range records {
		if r.Kind == record.KindMark {
			continue
		}
		moved[r.Sequence] = uint64(len(out) + 1)
		if r.Outcome != nil {
			o := *r.Outcome
			o.Intent = moved[o.Intent]
			r.Outcome = &o
		}
		add(r)
		if rapid.IntRange(0, 9).Draw(t, "mark") == 0 {
			add(record.Record{At: r.At, Kind: record.KindMark, Mark: &record.Mark{}})
		}
	}
	add(record.Record{At: records[len(records)-1].At, Kind: record.KindMark, Mark: &record.Mark{}})
	return out
}

func TestBalances_DoNotDependOnHowBatchesAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		one, _ := post(t, records)
		other, _ := post(t, resplit(t, records))
		if diff := cmp.Diff(one.Balances(), other.Balances()); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(one.State().Carries, other.State().Carries); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestOutcome_PostsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		_, steps := post(t, records)
		outcomes, distinct := 0, map[uint64]bool{}
		for _, r := range records {
			if r.Outcome != nil {
				outcomes++
				distinct[r.Outcome.Intent] = true
			}
		}
		var posted int64
		unmatched := 0
		for _, s := range steps {
			posted += s.Batch.Served + s.Batch.Unserved + s.Batch.Suspense
			unmatched += len(s.Batch.Unmatched)
		}
		if int(posted) != len(distinct) || unmatched != outcomes-len(distinct) {
			t.Fatalf("%d posted and %d unmatched of %d outcomes of %d attempts", posted, unmatched, outcomes, len(distinct))
		}
	})
}

func TestSuspense_IsNeverCostOrBurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		book, steps := post(t, records)
		waiting, served := map[string]bool{}, map[ledger.AccountID]money.Wide{}
		for _, l := range lines(t, records) {
			if l.Suspense != "" {
				waiting[string(l.Attempt)] = true
				if len(l.Postings) != 1 || l.Postings[0].Kind != ledger.Suspense {
					t.Fatalf("a suspense line has the postings %+v", l.Postings)
				}
				continue
			}
			for _, p := range l.Postings {
				if p.Kind == ledger.Commitment {
					served[p.Debit] = served[p.Debit].Add(p.Numerator)
				}
			}
		}
		seen := map[string]int{}
		for _, s := range steps {
			for _, e := range s.Batch.Entries {
				if e.Kind == ledger.Suspense {
					seen[e.Ref]++
				}
			}
		}
		if len(seen) != len(waiting) {
			t.Fatalf("%d attempts are suspense, %d have entries", len(waiting), len(seen))
		}
		for ref, n := range seen {
			if n != 1 || !waiting[ref] {
				t.Fatalf("attempt %s has %d entries", ref, n)
			}
		}
		for account, n := range served {
			if want, _, _ := n.FloorDiv(1_000_000); book.Balance(account) != money.Amount(want) {
				t.Fatalf("%s: %d, served requests come to %d", account, book.Balance(account), want)
			}
		}
	})
}

func TestFloor_UsedAndOpenAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		book, _ := post(t, records)
		if book.Head().Terms == "" {
			return
		}
		terms, err := book.Terms(book.Head().Terms)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range book.Burns(terms, time.Unix(0, book.Head().At))[0].Floors {
			open := book.Balance(ledger.AccountID("lab/memo/commit_open/floor," + f.From.String()))
			opened := -book.Balance(ledger.AccountID("lab/memo/commit_floor/floor," + f.From.String()))
			if opened != 0 && (opened != f.Floor || open != f.Open || f.Used+f.Open != f.Floor) || opened == 0 && f.Used != 0 {
				t.Fatalf("floor %+v, opened %d, open %d", f, opened, open)
			}
			if at := f.From.Time; book.Spent(terms, "floor", at) != f.Used {
				t.Fatalf("spent %d, used %d", book.Spent(terms, "floor", at), f.Used)
			}
		}
	})
}

func TestPost_RefusesRecordsThatDoNotFollow(t *testing.T) {
	records := storetest.Split(storetest.History(storetest.Random(5), 200))
	rows := []struct {
		name  string
		batch []record.Record
	}{
		{"nothing", nil},
		{"a later batch", records[1]},
		{"no mark", records[0][:len(records[0])-1]},
		{"a gap", append(slices.Clone(records[0][:1]), records[0][2:]...)},
		{"two marks", slices.Concat(records[0], records[1])},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			book := ledger.New(storetest.Terms)
			if _, err := book.Post(row.batch); !errors.Is(err, ledger.ErrSequence) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(ledger.New(storetest.Terms).State(), book.State()); diff != "" {
				t.Errorf("a refused batch changed the book:\n%s", diff)
			}
		})
	}
}

func TestPost_ThatFailsChangesNothing(t *testing.T) {
	batches := storetest.Split(storetest.History(storetest.Random(9), 400))
	broken := false
	terms := func(hash string) (*alliance.Alliance, error) {
		if broken && hash == "5ec0nd" {
			return nil, errors.New("disk is gone")
		}
		return storetest.Terms(hash)
	}
	book, want := ledger.New(terms), ledger.New(storetest.Terms)
	failed := 0
	for _, b := range batches {
		before := book.State()
		broken = true
		step, err := book.Post(b)
		if err != nil {
			failed++
			if !errors.Is(err, ledger.ErrTerms) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, book.State()); diff != "" {
				t.Fatal(diff)
			}
			broken = false
			if step, err = book.Post(b); err != nil {
				t.Fatal(err)
			}
		}
		whole, err := want.Post(b)
		if err != nil || whole.Batch.Hash != step.Batch.Hash {
			t.Fatalf("batch %d after a failure: %v", step.Batch.Sequence, err)
		}
	}
	if failed == 0 {
		t.Fatal("nothing failed")
	}
}

func TestPost_AnAmountOutOfRangeIsAnError(t *testing.T) {
	terms := func(hash string) (*alliance.Alliance, error) {
		a, err := storetest.Terms(hash)
		if err == nil {
			a.Prices[0].Contracted.Output = 1 << 62
		}
		return a, err
	}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	in := &record.Intent{Attempt: "a", Request: "r", Terms: "f1257", Plan: "free", Model: "m1", Pool: "aws-east", CostPrice: "cost-m1"}
	book := ledger.New(terms)
	_, err := book.Post([]record.Record{
		{Sequence: 1, At: at, Kind: record.KindIntent, Intent: in},
		{Sequence: 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: "a", Intent: 1, Status: record.Served, Usage: usage.Vector{Output: usage.MaxTokens}}},
		{Sequence: 3, At: at, Kind: record.KindMark, Mark: &record.Mark{}},
	})
	if !errors.Is(err, money.ErrRange) {
		t.Errorf("error %v", err)
	}
}

// TestGolden_Books pins the bytes of the books of one fixed journal. A change
// here is a change of the format: it needs a version and a decision record.
func TestGolden_Books(t *testing.T) {
	book, steps := post(t, storetest.History(storetest.Random(42), 250))
	var out strings.Builder
	for _, s := range steps {
		b := &s.Batch
		fmt.Fprintf(&out, "batch %d records %d-%d served %d unserved %d suspense %d unmatched %v\n  hash %s\n", b.Sequence, b.First, b.Last, b.Served, b.Unserved, b.Suspense, b.Unmatched, b.Hash)
		for _, e := range b.Entries {
			fmt.Fprintf(&out, "  %s %d %s: %s <- %s price %q terms %s period %d ref %q carry %d/%d lines %d tokens %d records %d-%d digest %s\n",
				e.Kind, e.Amount, e.Asset, e.Debit, e.Credit, e.Price, e.Terms, e.Period, e.Ref, e.Remainder, e.Divisor, e.Lines, e.Tokens.Total(), e.First, e.Last, e.Digest)
		}
	}
	for _, b := range book.Balances() {
		fmt.Fprintf(&out, "%s %d %s\n", b.Account, b.Amount, b.Asset)
	}
	path := filepath.Join("testdata", "books.golden")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSuspense_IsNeverZeroForWantOfAFigure(t *testing.T) {
	estimate := usage.Vector{UncachedInput: 1000, Output: 100}
	in := &record.Intent{Attempt: "a", Terms: "f1257", Plan: "free", Model: "m1", Pool: "aws-east", CostPrice: "cost-m1", Estimate: estimate}
	intent := &record.Record{Sequence: 1, At: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano(), Kind: record.KindIntent, Intent: in}
	alliance, err := storetest.Terms("f1257")
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name    string
		outcome record.Outcome
		why     string
		want    usage.Vector
	}{
		{"no usage at all", record.Outcome{Status: record.Suspense, Reason: "usage_missing"}, "usage_missing", estimate},
		{"usage so far", record.Outcome{Status: record.Suspense, Reason: "cut", Usage: usage.Vector{Output: 7}}, "cut", usage.Vector{Output: 7}},
		{"absurd usage", record.Outcome{Status: record.Served, Usage: usage.Vector{Output: usage.MaxTokens + 1}}, ledger.BadTokens, estimate},
		{"negative usage", record.Outcome{Status: record.Served, Usage: usage.Vector{Output: -1}}, ledger.BadTokens, estimate},
		{"a status of the future", record.Outcome{Status: 77, Usage: usage.Vector{Output: 7}}, "outcome_unknown", usage.Vector{Output: 7}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.outcome.Intent, row.outcome.Attempt = 1, "a"
			l, err := ledger.LineOf(intent, &record.Record{Sequence: 2, Kind: record.KindOutcome, Outcome: &row.outcome}, ledger.NewTerms(alliance))
			if err != nil {
				t.Fatal(err)
			}
			if l.Suspense != row.why || l.Tokens != row.want || len(l.Postings) != 1 || l.Postings[0].Numerator.Sign() <= 0 {
				t.Errorf("line %+v", l)
			}
		})
	}
}
