package settle_test

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/usage"
)

// TestOverage_IsKeptAndOpensToItsRequests uses up a floor of 100 within the
// fourth of six requests of 30.
func TestOverage_IsKeptAndOpensToItsRequests(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	term := alliance.Term{From: alliance.Date{Time: from}, Until: alliance.Date{Time: from.AddDate(1, 0, 0)}}
	rate := alliance.Rates{Output: money.Micro}
	a := &alliance.Alliance{
		Hash: "t", Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{{
			ID: "k", Provider: "aws", Shape: alliance.SpendFloor, Term: term, Floors: []alliance.Floor{{Term: term, Amount: 100}},
			Overage: &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 3_000_000},
		}},
		Pools:  []alliance.Pool{{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken}},
		Prices: []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: term, List: rate}},
		Plans:  []alliance.Plan{{ID: "free", Seller: "lab"}},
	}
	terms := func(string) (*alliance.Alliance, error) { return a, nil }
	var records []record.Record
	for i := range 6 {
		n, id := uint64(len(records)), record.AttemptID(fmt.Sprint(i))
		at := from.Add(time.Duration(i) * time.Hour).UnixNano()
		records = append(records,
			record.Record{Sequence: n + 1, At: at, Kind: record.KindIntent, Intent: &record.Intent{Request: fmt.Sprint("r", i), Attempt: id, Terms: "t", Plan: "free", Model: "m", Pool: "p", CostPrice: "c"}},
			record.Record{Sequence: n + 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n + 1, Status: record.Served, Usage: usage.Vector{Output: 30}}})
	}
	records = append(records, record.Record{Sequence: 13, At: from.Add(7 * time.Hour).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}})
	read := func(from uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for i := max(from, 1) - 1; i < uint64(len(records)); i++ {
				if !yield(records[i], nil) {
					return
				}
			}
		}
	}
	n := openNode(t, t.TempDir())
	defer n.close(t)
	book := ledger.New(terms)
	step, err := book.Post(records)
	if err == nil {
		err = n.store.Append(t.Context(), &step)
	}
	if err != nil {
		t.Fatal(err)
	}
	kept, err := n.store.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(book.State(), kept, cmpopts.EquateEmpty()); diff != "" || len(kept.Turns) != 1 {
		t.Fatalf("%d turns; the store keeps another state:\n%s", len(kept.Turns), diff)
	}
	for i := range step.Batch.Entries {
		e := &step.Batch.Entries[i]
		if e.Kind != ledger.Surcharge {
			continue
		}
		lines, err := settle.Lines(t.Context(), n.store, read, terms, nil, e)
		if err != nil || len(lines) != 3 || lines[0].Tokens.Output != 20 || lines[1].Tokens.Output != 30 {
			t.Errorf("lines %+v: %v", lines, err)
		}
		if e.Amount != 160 { // 80 tokens beyond, each for 3 instead of 1
			t.Errorf("surcharge %d", e.Amount)
		}
	}
	trace, err := settle.Find(t.Context(), n.store, read, terms, nil, "r3")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range trace.Attempts[0].Entries {
		found = found || e.Kind == ledger.Surcharge
	}
	if !found {
		t.Error("the trace of the request in which the floor ends shows no surcharge")
	}
}
