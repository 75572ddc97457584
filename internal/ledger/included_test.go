package ledger_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
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

func salesHistory(t *rapid.T) []record.Record {
	return storetest.HourlyHistory(draw(t), rapid.IntRange(5, 150).Draw(t, "steps"))
}

func postSales(t *rapid.T, records []record.Record) (*desk, map[uint64]ledger.Lefts) {
	d := &desk{book: ledger.New(storetest.SalesTerms), records: records}
	lefts := map[uint64]ledger.Lefts{}
	for _, b := range storetest.Split(records) {
		step, err := d.book.Post(b)
		if err != nil {
			t.Fatal(err)
		}
		d.steps = append(d.steps, step)
		maps.Copy(lefts, storetest.LeftsOf(&step))
	}
	return d, lefts
}

// quotaOf counts the quotas of a history anew: one request after another, one
// token after another.
type quotaOf struct {
	used map[string]*big.Int
}

func (q *quotaOf) take(t *rapid.T, in *record.Intent, at int64, u usage.Vector) (inside, outside usage.Vector) {
	a, err := storetest.SalesTerms(in.Terms)
	if err != nil {
		t.Fatal(err)
	}
	var plan *alliance.Plan
	for i := range a.Plans {
		if string(a.Plans[i].ID) == in.Plan {
			plan = &a.Plans[i]
		}
	}
	if plan == nil || plan.Included == nil {
		return usage.Vector{}, u
	}
	who := map[string]string{"tenant": "", "key": in.Key, "end_user": in.EndUser}[plan.Included.Per]
	id := fmt.Sprint(in.Plan, in.Tenant, who, time.Unix(0, at).UTC().Format("2006-01"))
	if q.used[id] == nil {
		q.used[id] = new(big.Int)
	}
	used, limit := q.used[id], big.NewInt(plan.Included.Tokens)
	weights := [5]int64{1, 1, 1, 1, 1}
	if plan.Included.Spend > 0 {
		r := plan.Price.Rates
		weights = [5]int64{int64(r.Input), int64(r.CacheRead), int64(r.CacheWrite), int64(r.Output), int64(r.Reasoning)}
		limit = new(big.Int).Mul(big.NewInt(int64(plan.Included.Spend)), big.NewInt(1_000_000))
	}
	in5, out5 := [5]int64{}, [5]int64{}
	for k, n := range [5]int64{u.UncachedInput, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning} {
		w := big.NewInt(weights[k])
		for range n {
			if next := new(big.Int).Add(used, w); plan.Overage == nil || next.Cmp(limit) <= 0 {
				used.Set(next)
				in5[k]++
			} else {
				out5[k]++
			}
		}
	}
	vector := func(v [5]int64) usage.Vector {
		return usage.Vector{UncachedInput: v[0], CacheRead: v[1], CacheWrite: v[2], Output: v[3], Reasoning: v[4]}
	}
	return vector(in5), vector(out5)
}

// TestIncluded_IsPartedTokenByTokenInPostingOrder compares every entry of use
// inside and beyond quotas with a count of one token after another.
func TestIncluded_IsPartedTokenByTokenInPostingOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		d, _ := postSales(t, records)
		q, inside, sold := quotaOf{used: map[string]*big.Int{}}, map[string]usage.Vector{}, map[string]usage.Vector{}
		done := map[uint64]bool{}
		for i := range records {
			out := records[i].Outcome
			if out == nil || done[out.Intent] {
				continue
			}
			done[out.Intent] = true
			in := records[out.Intent-1].Intent
			if out.Status != record.Served || out.Usage.Check() != nil || in.Pool == "gone" || in.CostPrice == "no-such-price" && in.Pool == "azure-spill" {
				continue
			}
			within, beyond := q.take(t, in, records[out.Intent-1].At, out.Usage)
			inside[in.Tenant+","+in.Plan] = inside[in.Tenant+","+in.Plan].Add(within)
			if in.Plan == "team" || in.Plan == "pro" {
				sold[in.Plan] = sold[in.Plan].Add(beyond)
			}
		}
		for _, s := range d.steps {
			for _, e := range s.Batch.Entries {
				switch {
				case e.Kind == ledger.Included:
					inside[e.Debit.Ref()] = inside[e.Debit.Ref()].Add(negated(e.Tokens))
				case e.Kind == ledger.Sale && strings.HasSuffix(e.Price, "-over"):
					plan := strings.TrimSuffix(e.Price, "-over")
					sold[plan] = sold[plan].Add(negated(e.Tokens))
				}
			}
		}
		for k, rest := range inside {
			if !rest.IsZero() {
				t.Fatalf("inside the quota of %s: counted %+v more than booked", k, rest)
			}
		}
		for k, rest := range sold {
			if !rest.IsZero() {
				t.Fatalf("beyond the quota of %s: counted %+v more than booked", k, rest)
			}
		}
	})
}

func negated(u usage.Vector) usage.Vector {
	return usage.Vector{UncachedInput: -u.UncachedInput, CacheRead: -u.CacheRead, CacheWrite: -u.CacheWrite, Output: -u.Output, Reasoning: -u.Reasoning}
}

// TestIncluded_BooksDoNotDependOnBatches cuts the batches of a history anew.
func TestIncluded_BooksDoNotDependOnBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		one, _ := postSales(t, records)
		other, _ := postSales(t, resplit(t, records))
		if diff := cmp.Diff(one.book.Balances(), other.book.Balances()); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(one.book.State().Subjects, other.book.State().Subjects); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(one.book.State().Carries, other.book.State().Carries); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestIncluded_ReplayFromStateGivesTheSameBytes posts each batch by a book
// resumed from what the one before left.
func TestIncluded_ReplayFromStateGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		once, _ := postSales(t, records)
		state := ledger.State{}
		for i, b := range storetest.Split(records) {
			book := ledger.Resume(state, storetest.SalesTerms)
			step, err := book.Post(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(step.Batch.Canonical(nil), once.steps[i].Batch.Canonical(nil)) {
				t.Fatalf("batch %d differs:\n%s", i+1, cmp.Diff(once.steps[i].Batch, step.Batch))
			}
			state = book.State()
		}
	})
}

// TestIncluded_LinesRecomputeEveryEntry recomputes entries from two records
// and what was left of the quota.
func TestIncluded_LinesRecomputeEveryEntry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		d, lefts := postSales(t, records)
		var all []ledger.Line
		done := map[uint64]bool{}
		for i := range records {
			out := records[i].Outcome
			if out == nil || done[out.Intent] {
				continue
			}
			done[out.Intent] = true
			intent := &records[out.Intent-1]
			terms, err := d.book.Terms(intent.Intent.Terms)
			if err != nil {
				t.Fatal(err)
			}
			l, err := ledger.LineOf(intent, &records[i], terms)
			if left, ok := lefts[records[i].Sequence]; ok {
				if l.Note != ledger.NoLeft && l.Note != ledger.NoStandardRate {
					t.Fatalf("a line that was parted says %q without what was left", l.Note)
				}
				l, err = ledger.LineAfter(intent, &records[i], terms, left)
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		for _, s := range d.steps {
			var of []ledger.Line
			for _, l := range all {
				if l.Outcome >= s.Batch.First && l.Outcome <= s.Batch.Last {
					of = append(of, l)
				}
			}
			for i := range s.Batch.Entries {
				e := &s.Batch.Entries[i]
				if sum := ledger.SumOf(e.LineKey(), of); e.Lines > 0 && (sum.Digest != e.Digest || sum.Lines != e.Lines || sum.Tokens != e.Tokens) {
					t.Fatalf("%s of %s: lines give %+v, the entry says %+v", e.Kind, e.Debit, sum, e)
				}
			}
		}
	})
}

// TestIncluded_GrantedIsUsedAndOpen closes June and checks what is booked of
// quotas, subjects and fees.
func TestIncluded_GrantedIsUsedAndOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := postSales(t, salesHistory(t))
		of := func(kind, ref string) money.Amount {
			return d.book.Balance(ledger.AccountID("lab/memo/" + kind + "/" + ref))
		}
		before := d.book.Balances()
		for _, tenant := range []string{"t0", "t1", "t2"} {
			for plan, unit := range map[string]string{"team": "tokens", "pro": "spend", "capped": "tokens"} {
				ref := tenant + "," + plan
				granted, used, open := -of("included_"+unit+"_granted", ref), of("included_"+unit+"_used", ref), of("included_"+unit+"_open", ref)
				if granted-used != open || open < 0 && plan != "capped" {
					t.Fatalf("%s: granted %d, used %d, open %d", ref, granted, used, open)
				}
			}
		}
		if d.book.Head().Terms == "" || d.book.Head().At < july {
			return
		}
		if err := d.fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Reason: "invoice"}}); err != nil {
			t.Fatal(err)
		}
		if err := d.fact(closeMonth(202606)); err != nil {
			t.Fatal(err)
		}
		seen := map[string]money.Amount{}
		for _, b := range before {
			if b.Account.Kind() == "subjects" {
				seen[b.Account.Ref()] = used(d.book, b.Account, 202606)
			}
		}
		for _, tenant := range []string{"t0", "t1", "t2", "idle"} {
			fee := money.Amount(0)
			if tenant == "t0" || tenant == "idle" || seen[tenant+",team"] > 0 {
				fee += 25_000_001
			}
			fee += 20_000_000*seen[tenant+",pro"] + 9_990_000*seen[tenant+",seat"]
			got := money.Amount(0)
			for _, e := range d.steps[len(d.steps)-1].Batch.Entries {
				if e.Kind == ledger.Subscription && e.Debit == ledger.AccountID("lab/asset/receivable/"+tenant) {
					got += e.Amount
				}
			}
			if got != fee {
				t.Fatalf("%s: fees %d, want %d by %v", tenant, got, fee, seen)
			}
		}
		wholesale := seen["t0,partner"] + seen["t1,partner"] + seen["t2,partner"]
		if got := -used(d.book, "lab/revenue/wholesale_fee/partner", 202606); got != 1_500_003*wholesale {
			t.Fatalf("the seller owes %d for %d end users", got, wholesale)
		}
		for _, s := range d.book.State().Subjects {
			if s.Period <= 202606 {
				t.Fatalf("a closed month keeps the subject %x", s.Subject)
			}
		}
	})
}

// TestCommission_ChangesRevenueAndNotWhatIsOwed posts one history as
// principal and as agent.
func TestCommission_ChangesRevenueAndNotWhatIsOwed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		book := func(presentation string) *ledger.Book {
			b := ledger.New(func(hash string) (*alliance.Alliance, error) {
				a, err := storetest.SalesTerms(hash)
				if err == nil {
					for i := range a.Channels {
						if a.Channels[i].CommissionPPM > 0 {
							a.Channels[i].Presentation = presentation
						}
					}
				}
				return a, err
			})
			for _, batch := range storetest.Split(records) {
				if _, err := b.Post(batch); err != nil {
					t.Fatal(err)
				}
			}
			return b
		}
		principal, agent := book(alliance.Principal), book(alliance.Agent)
		sums := func(b *ledger.Book) (owed, revenue, commission money.Amount) {
			for _, v := range b.Balances() {
				switch {
				case v.Account.Kind() == "receivable" && (v.Account.Ref() == "platform" || v.Account.Ref() == "market"):
					owed += v.Amount
					if other := principal.Balance(v.Account); other != v.Amount {
						t.Fatalf("%s owes %d to a principal and %d to an agent", v.Account.Ref(), other, v.Amount)
					}
				case v.Account.Class() == "revenue":
					revenue -= v.Amount
				case v.Account.Kind() == "commission":
					commission += v.Amount
				}
			}
			return owed, revenue, commission
		}
		owed, gross, commission := sums(principal)
		again, net, none := sums(agent)
		if owed != again || none != 0 || gross-commission != net || commission < 0 {
			t.Fatalf("owed %d and %d, gross %d less %d, net %d", owed, again, gross, commission, net)
		}
	})
}

// TestIncluded_BeyondTheBoundIsInsideAndSaysSo lets a book count two subjects:
// nobody else pays for use beyond a quota, and what they used is told apart.
func TestIncluded_BeyondTheBoundIsInsideAndSaysSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		book := func(limit int) *ledger.Book {
			b := ledger.New(storetest.SalesTerms)
			b.LimitSubjects(limit)
			for _, batch := range storetest.Split(records) {
				if _, err := b.Post(batch); err != nil {
					t.Fatal(err)
				}
			}
			return b
		}
		few, all := book(2), book(ledger.MaxSubjects)
		if n := len(few.State().Subjects); n > 2 {
			t.Fatalf("%d subjects", n)
		}
		uncounted := money.Amount(0)
		for _, b := range few.Balances() {
			if k := b.Account.Kind(); k == "included_tokens_open" || k == "included_spend_open" {
				granted, used := money.Amount(0), few.Balance(with(b.Account, "_open", "_used"))
				for _, of := range []string{"_granted", "_uncounted"} {
					granted -= few.Balance(with(b.Account, "_open", of))
				}
				uncounted -= few.Balance(with(b.Account, "_open", "_uncounted"))
				if granted-used != b.Amount {
					t.Fatalf("%s: granted %d, used %d, open %d", b.Account, granted, used, b.Amount)
				}
			}
			if b.Account.Kind() == "receivable" && b.Amount > all.Balance(b.Account) {
				t.Fatalf("%s owes %d, with all subjects counted %d", b.Account, b.Amount, all.Balance(b.Account))
			}
		}
		if len(all.State().Subjects) <= 2 && uncounted != 0 {
			t.Fatalf("%d are uncounted within the bound", uncounted)
		}
	})
}

func with(a ledger.AccountID, was, is string) ledger.AccountID {
	return ledger.AccountID(strings.Replace(string(a), was, is, 1))
}

// TestIncluded_MonthsCloseInTheMiddle closes June in the middle of histories:
// what comes later counts in July, lines come to their entries, and a replay
// of records and facts gives the same bytes.
func TestIncluded_MonthsCloseInTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		once := &desk{book: ledger.New(storetest.SalesTerms), records: records}
		lefts := map[uint64]ledger.Lefts{}
		closed := false
		for _, b := range storetest.Split(records) {
			step, err := once.book.Post(b)
			if err != nil {
				t.Fatal(err)
			}
			once.steps = append(once.steps, step)
			maps.Copy(lefts, storetest.LeftsOf(&step))
			if !closed && once.book.Head().At >= july && once.book.Head().Terms != "" {
				closed = true
				if err := once.fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Reason: "invoice"}}); err != nil {
					t.Fatal(err)
				}
				if err := once.fact(closeMonth(202606)); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Suspense is closed, and billed, after the close.
		for _, outcome := range once.book.State().Suspended {
			out := records[outcome-1].Outcome
			err := once.fact(ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: out.Attempt, Intent: out.Intent, Outcome: outcome, By: ledger.ByEstimate, BillCustomer: true, Reason: "delivered"}})
			if err != nil && !strings.Contains(err.Error(), "do not rate") {
				t.Fatal(err)
			}
		}
		again := ledger.State{}
		for i := range once.steps {
			s := &once.steps[i]
			book := ledger.Resume(again, storetest.SalesTerms)
			for j := range once.steps[:i] {
				if f := once.steps[j].Fact; f != nil {
					if err := book.Recall([]ledger.Fact{*f}); err != nil {
						t.Fatal(err)
					}
				}
			}
			var step ledger.Step
			var err error
			if s.Fact != nil {
				step, err = book.PostFact(*s.Fact, once.evidence())
			} else {
				step, err = book.Post(records[s.Batch.First-1 : s.Batch.Last])
			}
			if err != nil {
				t.Fatal(err)
			}
			if step.Batch.Hash != s.Batch.Hash {
				t.Fatalf("batch %d differs:\n%s", i+1, cmp.Diff(s.Batch, step.Batch))
			}
			again = book.State()
		}
		for _, s := range again.Subjects {
			if closed && s.Period <= 202606 {
				t.Fatalf("a closed month keeps the subject %x", s.Subject)
			}
		}
		for _, s := range once.steps {
			for i := range s.Batch.Entries {
				e := &s.Batch.Entries[i]
				if e.Lines == 0 {
					continue
				}
				var of []ledger.Line
				for n := e.First; n <= e.Last; n++ {
					out := records[n-1].Outcome
					if out == nil {
						continue
					}
					intent := &records[out.Intent-1]
					terms, err := once.book.Terms(intent.Intent.Terms)
					if err != nil {
						t.Fatal(err)
					}
					line, err := ledger.LineAfter(intent, &records[n-1], terms, lefts[n])
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Contains(s.Batch.Unmatched, n) {
						of = append(of, line)
					}
				}
				if sum := ledger.SumOf(e.LineKey(), of); sum.Digest != e.Digest || sum.Lines != e.Lines {
					t.Fatalf("entry %+v has %d lines, its requests %d", e.Key, e.Lines, sum.Lines)
				}
			}
		}
	})
}
