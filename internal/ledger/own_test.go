package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

func civil(y int, m time.Month) alliance.Date {
	return alliance.Date{Time: time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)}
}

// ownRack is a fee of 12 a year for a rack of the operator's own, and of 24
// for one of somebody else, both since 2025; books are posted with requests of
// one instant in 2026 and know that half a year has passed.
func ownRack(t *testing.T) (*desk, *ledger.Terms) {
	t.Helper()
	term := alliance.Term{From: civil(2025, 1), Until: civil(2027, 1)}
	rack := func(id alliance.ContractID, provider alliance.PartyID, fee int64) alliance.Contract {
		return alliance.Contract{
			ID: id, Provider: provider, Shape: alliance.TakeOrPay, Term: term,
			Ramp: []alliance.RampStep{{From: civil(2025, 1), Chips: 1}}, Fees: []alliance.Fee{{Term: term, Amount: money.Amount(fee * money.Micro)}},
		}
	}
	serves := []alliance.PoolModel{{Model: "m", InputTokensPerChipSecond: 10, OutputTokensPerChipSecond: 10}}
	a := &alliance.Alliance{
		Hash: "t", Operator: "acme", Currency: "USD",
		Contracts: []alliance.Contract{rack("rack", "acme", 24), rack("lease", "neo", 48), {ID: "spare", Provider: "acme", Shape: alliance.PayPerUse, Term: term}},
		Pools: []alliance.Pool{
			{ID: "own", Provider: "acme", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: 1, Models: serves},
			{ID: "leased", Provider: "neo", Contract: "lease", BilledBy: alliance.BilledByFixed, Chips: 1, Models: serves},
			{ID: "spare-pool", Provider: "acme", Contract: "spare", BilledBy: alliance.BilledByToken, Models: serves},
		},
		Prices: []alliance.Price{{ID: "inner", Pools: []alliance.PoolID{"spare-pool"}, Model: "m", Term: term, List: alliance.Rates{Output: money.Micro}}},
		Plans:  []alliance.Plan{{ID: "free", Seller: "acme"}},
	}
	at := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC).UnixNano()
	var records []record.Record
	for _, in := range []*record.Intent{{Attempt: "a", Pool: "own"}, {Attempt: "b", Pool: "leased"}, {Attempt: "c", Pool: "spare-pool", CostPrice: "inner"}} {
		in.Terms, in.Plan, in.Model = "t", "free", "m"
		n := uint64(len(records))
		records = append(records, record.Record{Sequence: n + 1, At: at, Kind: record.KindIntent, Intent: in},
			record.Record{Sequence: n + 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: in.Attempt, Intent: n + 1, Status: record.Served, Usage: usage.Vector{Output: 7}}})
	}
	records = append(records, record.Record{Sequence: uint64(len(records)) + 1, At: civil(2026, 7).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}})
	d := &desk{book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil }), records: records}
	if _, err := d.book.Post(records); err != nil {
		t.Fatal(err)
	}
	return d, ledger.NewTerms(a)
}

func TestOwnCapacity_OwesNothingToTheOperatorItself(t *testing.T) {
	d, _ := ownRack(t)
	if err := d.fact(closeMonth(202603)); err != nil {
		t.Fatal(err)
	}
	for _, b := range d.book.Balances() {
		if strings.HasPrefix(string(b.Account), "acme/liability/") && strings.HasSuffix(string(b.Account), "/acme") && b.Amount != 0 {
			t.Errorf("%s is %s", b.Account, b.Amount)
		}
	}
	fee := d.book.Balance("acme/expense/compute/own") + d.book.Balance("acme/expense/unused_capacity/own")
	if got := d.book.Balance("acme/asset/own_capacity/rack"); got != -fee || fee == 0 {
		t.Errorf("own capacity gave off %s, its expense is %s", -got, fee)
	}
	if got := d.book.Balance("acme/asset/own_capacity/spare"); got != -7 {
		t.Errorf("metered use of one's own comes off %d", -got)
	}
	if got := d.book.Balance("acme/liability/accrued/neo"); got == 0 {
		t.Error("what another provides does not accrue to it")
	}
	err := d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "acme", Month: 202603, Document: strings.Repeat("0", 64)}})
	if err == nil || !strings.Contains(err.Error(), "sends itself no invoice") {
		t.Errorf("an invoice of the operator to itself: %v", err)
	}
}

// TestFeesAccrued_AreWhatTheClosesBook opens the books in the second year of a
// contract.
func TestFeesAccrued_AreWhatTheClosesBook(t *testing.T) {
	d, terms := ownRack(t)
	for m := int32(202603); m <= 202606; m++ {
		if err := d.fact(closeMonth(m)); err != nil {
			t.Fatal(err)
		}
		at := civil(int(m/100), time.Month(m%100)).AddDate(0, 1, 0)
		for _, b := range d.book.Burns(terms, at) {
			booked := map[alliance.ContractID]money.Amount{"lease": -d.book.Balance("acme/liability/accrued/neo"), "rack": -d.book.Balance("acme/asset/own_capacity/rack")}[b.Contract]
			if b.FeesAccrued != booked {
				t.Errorf("%s after %d: fees accrued %s, the closes booked %s", b.Contract, m, b.FeesAccrued, booked)
			}
			if booked != 0 && b.FeesSinceStart < booked+12*money.Micro {
				t.Errorf("%s after %d: fees since the start %s", b.Contract, m, b.FeesSinceStart)
			}
		}
	}
}
