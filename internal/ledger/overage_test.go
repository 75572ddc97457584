package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// beyondTerms is a floor of two intervals, or a credit, with usage at two
// prices on one pool, of which overage makes others.
func beyondTerms(shape alliance.Shape, floor money.Amount, o *alliance.Overage, e *alliance.Eligibility) *alliance.Alliance {
	term := alliance.Term{From: civil(2026, 1), Until: civil(2026, 3)}
	return &alliance.Alliance{
		Hash: "t", Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{{
			ID: "k", Provider: "aws", Shape: shape, Term: term, Overage: o, Eligibility: e,
			Floors: []alliance.Floor{{Term: alliance.Term{From: civil(2026, 1), Until: civil(2026, 2)}, Amount: floor}, {Term: alliance.Term{From: civil(2026, 2), Until: civil(2026, 3)}, Amount: 2 * floor}},
		}},
		Pools: []alliance.Pool{{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken}, {ID: "q", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken}},
		Prices: []alliance.Price{
			{ID: "c-m", Pools: []alliance.PoolID{"p", "q"}, Model: "m", Term: term, List: alliance.Rates{Input: 900_001, CacheRead: 1, CacheWrite: 900_001, Output: 2_333_333, Reasoning: 2_333_333}, Contracted: &alliance.Rates{Input: 700_003, CacheRead: 0, CacheWrite: 700_003, Output: 1_900_007, Reasoning: 1_900_007}},
			{ID: "c-n", Pools: []alliance.PoolID{"p", "q"}, Model: "n", Term: term, List: alliance.Rates{Input: 3, Output: 5}, Contracted: &alliance.Rates{Input: 2, Output: 4}},
		},
		Plans: []alliance.Plan{{ID: "free", Seller: "lab"}},
	}
}

type oneUse struct {
	at    time.Time
	price int // 0: c-m, 1: c-n
	pool  string
	u     usage.Vector
}

func drawUse(t *rapid.T) (list []oneUse) {
	n := rapid.IntRange(1, 12).Draw(t, "requests")
	tokens := rapid.Int64Range(0, 400)
	for i := range n {
		at := civil(2026, 1).Add(time.Duration(i*5*24) * time.Hour) // the second interval begins with the eighth
		list = append(list, oneUse{at, rapid.IntRange(0, 1).Draw(t, "model"), rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool"), usage.Vector{UncachedInput: tokens.Draw(t, "input"), CacheRead: tokens.Draw(t, "cached"), Output: tokens.Draw(t, "output")}})
	}
	return list
}

// journalOf writes requests with a mark behind those that cut says.
func journalOf(list []oneUse, cut func(i int) bool) []record.Record {
	var records []record.Record
	add := func(at time.Time, r record.Record) {
		r.Sequence, r.At = uint64(len(records)+1), at.UnixNano()
		records = append(records, r)
	}
	for i, v := range list {
		id := record.AttemptID(fmt.Sprint("a", i))
		model := []string{"m", "n"}[v.price]
		add(v.at, record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Plan: "free", Model: model, Pool: v.pool, CostPrice: "c-" + model}})
		add(v.at, record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: uint64(len(records)), Status: record.Served, Usage: v.u}})
		if cut(i) {
			add(v.at, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
		}
	}
	add(civil(2026, 4).Time, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	return records
}

func batchesOf(records []record.Record) (list [][]record.Record) {
	for len(records) > 0 {
		n := 1 + slices.IndexFunc(records, func(r record.Record) bool { return r.Kind == record.KindMark })
		list, records = append(list, records[:n]), records[n:]
	}
	return list
}

func overages(t *rapid.T) *alliance.Overage {
	return rapid.SampledFrom([]*alliance.Overage{
		{At: alliance.OverageAtList},
		{At: alliance.OverageAtPremium, FactorPPM: 1_300_000},
		{At: alliance.OverageAtPremium, FactorPPM: 800_000, Rates: []alliance.OverageRates{{Model: "m", Rates: alliance.Rates{Input: 2_000_000, Output: 3_000_001}}}},
	}).Draw(t, "overage")
}

// tokenByToken computes what is beyond by counting single tokens in the order of the
// journal.
type tokenByToken struct {
	a    *alliance.Alliance
	left map[alliance.Date]int64 // numerator over rating.Divisor
	over map[string]money.Wide   // surcharge by price and interval
}

func (m *tokenByToken) take(v *oneUse) {
	c, p := &m.a.Contracts[0], &m.a.Prices[v.price]
	if !contract.Retires(c, alliance.PoolID(v.pool), p.Model) {
		return
	}
	f, _ := contract.FloorAt(c, v.at)
	if _, ok := m.left[f.From]; !ok {
		m.left[f.From] = int64(f.Amount) * rating.Divisor
	}
	burn, paid := contract.RetiringRates(c, p), rating.Cost(p)
	rates, name, _ := contract.OveragePrice(c, p)
	one := func(n int64, burn, paid, over money.Amount) {
		for range n {
			if m.left[f.From] <= 0 {
				k := name + f.From.String()
				m.over[k] = m.over[k].Add(money.WideOf(int64(over - paid)))
				continue
			}
			m.left[f.From] -= int64(burn)
		}
	}
	one(v.u.UncachedInput, burn.Input, paid.Input, rates.Input)
	one(v.u.CacheRead, burn.CacheRead, paid.CacheRead, rates.CacheRead)
	one(v.u.Output, burn.Output, paid.Output, rates.Output)
}

func TestOverage_IsSplitAtTheTokenWhateverTheBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SampledFrom([]alliance.Shape{alliance.SpendFloor, alliance.PrepaidCredit}).Draw(t, "shape")
		var e *alliance.Eligibility
		switch rapid.IntRange(0, 2).Draw(t, "eligibility") {
		case 1:
			e = &alliance.Eligibility{ExceptPools: []alliance.PoolID{"q"}}
		case 2:
			e = &alliance.Eligibility{ExceptModels: []alliance.ModelID{"n"}, Base: alliance.EligibleGross}
		}
		a := beyondTerms(shape, money.Amount(rapid.IntRange(0, 2500).Draw(t, "floor")), overages(t), e)
		terms := func(string) (*alliance.Alliance, error) { return a, nil }
		list := drawUse(t)
		whole := journalOf(list, func(int) bool { return false })
		book := ledger.New(terms)
		if _, err := book.Post(whole); err != nil {
			t.Fatal(err)
		}
		exact := &tokenByToken{a: a, left: map[alliance.Date]int64{}, over: map[string]money.Wide{}}
		for i := range list {
			exact.take(&list[i])
		}
		var want money.Amount
		for _, n := range exact.over {
			q, _, _ := n.FloorDiv(rating.Divisor)
			want += money.Amount(q)
		}
		var got money.Amount
		for _, b := range book.Balances() {
			if b.Account.Kind() == "overage" {
				got += b.Amount
			}
		}
		if got != want {
			t.Fatalf("surcharge %d, token by token %d", got, want)
		}
		// In batches of any size, each posted by a book resumed from the state before it.
		state := ledger.State{}
		for _, batch := range batchesOf(journalOf(list, func(int) bool { return rapid.Bool().Draw(t, "cut") })) {
			b := ledger.Resume(state, terms)
			if _, err := b.Post(batch); err != nil {
				t.Fatal(err)
			}
			state = b.State()
		}
		accounts := func(list []ledger.Balance) map[ledger.AccountID]money.Amount {
			m := map[ledger.AccountID]money.Amount{}
			for _, b := range list {
				m[b.Account] = b.Amount
			}
			return m
		}
		if diff := cmp.Diff(accounts(book.Balances()), accounts(state.Balances)); diff != "" {
			t.Fatalf("batches change the books:\n%s", diff)
		}
		if len(state.Turns) != len(book.State().Turns) {
			t.Fatalf("batches change where the commitment ends: %v and %v", state.Turns, book.State().Turns)
		}
	})
}

func TestOverage_ReplayGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := beyondTerms(alliance.SpendFloor, money.Amount(rapid.IntRange(0, 1500).Draw(t, "floor")), overages(t), nil)
		terms := func(string) (*alliance.Alliance, error) { return a, nil }
		batches := batchesOf(journalOf(drawUse(t), func(int) bool { return rapid.Bool().Draw(t, "cut") }))
		book, state := ledger.New(terms), ledger.State{}
		for _, batch := range batches {
			once, err := book.Post(batch)
			if err != nil {
				t.Fatal(err)
			}
			again := ledger.Resume(state, terms)
			step, err := again.Post(batch)
			if err != nil {
				t.Fatal(err)
			}
			if state = again.State(); !bytes.Equal(once.Batch.Canonical(nil), step.Batch.Canonical(nil)) {
				t.Fatalf("bytes differ:\n%s", cmp.Diff(once.Batch, step.Batch))
			}
		}
	})
}

// TestOverflow_IsPricedByTheTierThatServed has a reservation whose provider
// says when it served beyond it.
func TestOverflow_IsPricedByTheTierThatServed(t *testing.T) {
	term := alliance.Term{From: civil(2026, 1), Until: civil(2027, 1)}
	a := &alliance.Alliance{
		Hash: "t", Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{{
			ID: "k", Provider: "aws", Shape: alliance.ThroughputReserved, Term: term, Fees: []alliance.Fee{{Term: term, Amount: money.Micro}},
			Ramp: []alliance.RampStep{{From: term.From, TokensPerMinute: 1000}}, Overage: &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 1_500_000, Tiers: []string{"default"}},
		}},
		Pools:  []alliance.Pool{{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByFixed, TokensPerMinute: 1000, Models: []alliance.PoolModel{{Model: "m", InputWeightPPM: 1_000_000, OutputWeightPPM: 1_000_000}}}},
		Prices: []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: term, List: alliance.Rates{Output: 2 * money.Micro}}},
		Plans:  []alliance.Plan{{ID: "free", Seller: "lab"}},
	}
	var records []record.Record
	for i, tier := range []string{"reserved", "default", ""} {
		n := uint64(len(records))
		id := record.AttemptID(fmt.Sprint(i))
		records = append(records, record.Record{Sequence: n + 1, At: civil(2026, 2).UnixNano(), Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Plan: "free", Model: "m", Pool: "p", CostPrice: "c"}},
			record.Record{Sequence: n + 2, At: civil(2026, 2).UnixNano(), Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n + 1, Status: record.Served, Tier: tier, Usage: usage.Vector{Output: 10}}})
	}
	records = append(records, record.Record{Sequence: 7, At: civil(2026, 2).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}})
	book := ledger.New(func(string) (*alliance.Alliance, error) { return a, nil })
	step, err := book.Post(records)
	if err != nil {
		t.Fatal(err)
	}
	if owed, use := book.Balance("lab/liability/accrued/aws"), book.Balance("lab/memo/capacity_used/p"); owed != -30 || use != 20 {
		t.Errorf("owed %d for 10 tokens at 3, %d burn units used of the reservation by 20", -owed, use)
	}
	line, err := ledger.LineOf(&records[2], &records[3], ledger.NewTerms(a))
	if err != nil || len(line.Postings) == 0 || line.Postings[0].Price != "c+premium" {
		t.Errorf("line %+v: %v", line, err)
	}
	found := false
	for _, e := range step.Batch.Entries {
		found = found || e.Price == "c+premium" && e.Lines == 1
	}
	if !found {
		t.Error("no entry at the price of the overage")
	}
}

// TestOverage_InvoiceThatBillsItAgrees bills every attempt what it costs, part
// by part, and by aggregates without amounts.
func TestOverage_InvoiceThatBillsItAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := beyondTerms(alliance.SpendFloor, money.Amount(rapid.IntRange(0, 2500).Draw(t, "floor")), overages(t), nil)
		list := drawUse(t)
		for i := range list {
			list[i].at = civil(2026, 1).Add(time.Duration(i) * time.Hour) // one interval, one month
		}
		records := journalOf(list, func(int) bool { return rapid.Bool().Draw(t, "cut") })
		d := &desk{book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil }), records: records, documents: map[string][]byte{}}
		for _, batch := range batchesOf(records) {
			if _, err := d.book.Post(batch); err != nil {
				t.Fatal(err)
			}
		}
		exact := &tokenByToken{a: a, left: map[alliance.Date]int64{}, over: map[string]money.Wide{}}
		text := "model,attempt_id,day,uncached_input,cache_read,output,amount\n"
		amounts := rapid.Bool().Draw(t, "amounts")
		var total money.Amount
		for i, v := range list {
			p := &a.Prices[v.price]
			before := sumOf(exact.over)
			exact.take(&v)
			base, _, _ := rating.Numerator(rating.Cost(p), v.u).FloorDiv(rating.Divisor)
			more, _, _ := sumOf(exact.over).Add(before.Neg()).FloorDiv(rating.Divisor)
			amount := ""
			if amounts {
				amount = (money.Amount(base) + money.Amount(more)).String()
			}
			total += money.Amount(base) + money.Amount(more)
			text += fmt.Sprintf("%s,a%d,,%d,%d,%d,%s\n", p.Model, i, v.u.UncachedInput, v.u.CacheRead, v.u.Output, amount)
		}
		sum := sha256.Sum256([]byte(text))
		hash := hex.EncodeToString(sum[:])
		d.documents[hash] = []byte(text)
		if err := d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "aws", Month: 202601, Document: hash}}); err != nil {
			t.Fatal(err)
		}
		if got := d.book.Balance("lab/liability/accrued/aws"); got != 0 {
			t.Fatalf("%d stays accrued, differences %v", got, d.kinds())
		}
		for kind, n := range d.kinds() {
			if kind != ledger.Rounding {
				t.Fatalf("%d differences of kind %s", n, kind)
			}
		}
		if got := -d.book.Balance("lab/liability/payable/aws"); amounts && got != total {
			t.Fatalf("payable %d, billed %d", got, total)
		}
	})
}

func sumOf(over map[string]money.Wide) (sum money.Wide) {
	for _, n := range over {
		sum = sum.Add(n)
	}
	return sum
}
