package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

func dayOf(text string) (d alliance.Date) {
	if err := d.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return d
}

func termOf(from, until string) alliance.Term {
	return alliance.Term{From: dayOf(from), Until: dayOf(until)}
}

// fataler is what a test and a property have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// opened returns books whose only record is an intent late enough for every
// month of the terms to be closed.
func opened(t fataler, contracts []alliance.Contract, pools ...alliance.Pool) *desk {
	t.Helper()
	book := ledger.New(func(hash string) (*alliance.Alliance, error) {
		return &alliance.Alliance{Hash: hash, Operator: "lab", Currency: "USD", Contracts: contracts, Pools: pools}, nil
	})
	at := time.Date(2040, 2, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	in := &record.Intent{Attempt: "a", Terms: "t", Pool: "none"}
	if _, err := book.Post([]record.Record{{Sequence: 1, At: at, Kind: record.KindIntent, Intent: in}, {Sequence: 2, At: at, Kind: record.KindMark, Mark: &record.Mark{}}}); err != nil {
		t.Fatal(err)
	}
	return &desk{book: book}
}

// stands returns the balances that are not memo and not zero, without the party.
func stands(b *ledger.Book) map[string]string {
	got := map[string]string{}
	for _, v := range b.Balances() {
		if path := strings.TrimPrefix(string(v.Account), "lab/"); !strings.HasPrefix(path, "memo/") && v.Amount != 0 {
			got[path] = v.Amount.String()
		}
	}
	return got
}

func units(n int64) money.Amount { return money.Amount(n * money.Micro) }

// rack is a take-or-pay contract of 2026 with 12 units of fee a month of 30.4
// days and a ramp of 8 chips, then 16 from July on.
func rack(abates string) alliance.Contract {
	return alliance.Contract{
		ID: "rack", Provider: "neo", Shape: alliance.TakeOrPay, Term: termOf("2026-01-01", "2027-01-01"),
		Fees: []alliance.Fee{{Term: termOf("2026-01-01", "2027-01-01"), Amount: units(365)}},
		Ramp: []alliance.RampStep{{From: dayOf("2026-01-01"), Chips: 8}, {From: dayOf("2026-07-01"), Chips: 16}}, LateDelivery: &alliance.LateDelivery{Abates: abates},
	}
}

func deliveredBy(contractID, from string, chips int64) ledger.Event {
	return ledger.Event{Delivered: &ledger.Delivered{Contract: contractID, From: from, Chips: chips, Reason: "acceptance report"}}
}

func TestLateDelivery_AbatesTheFee(t *testing.T) {
	rows := []struct {
		name   string
		abates string
		facts  map[int32][]ledger.Event // recorded after the close of a month, 0 for at first
		want   map[string]string
	}{
		{"delivered as contracted", alliance.AbatesFees, nil, map[string]string{"expense/unused_capacity/rack": "90.00", "liability/accrued/neo": "-90.00"}},
		{
			"half of January is a quarter less of it", alliance.AbatesFees,
			map[int32][]ledger.Event{0: {deliveredBy("rack", "2026-01-01", 6), deliveredBy("rack", "2026-02-01", 8)}},
			map[string]string{"expense/unused_capacity/rack": "82.25", "liability/accrued/neo": "-82.25"},
		},
		{
			"the same known after January was closed", alliance.AbatesFees,
			map[int32][]ledger.Event{202601: {deliveredBy("rack", "2026-01-01", 6), deliveredBy("rack", "2026-02-01", 8)}},
			map[string]string{"expense/unused_capacity/rack": "90.00", "expense/compute/rack": "-7.75", "liability/accrued/neo": "-82.25"},
		},
		{
			"taken back by a later fact", alliance.AbatesFees,
			map[int32][]ledger.Event{0: {deliveredBy("rack", "2026-01-01", 4)}, 202602: {deliveredBy("rack", "2026-01-01", 8)}},
			map[string]string{"expense/unused_capacity/rack": "60.50", "expense/compute/rack": "29.50", "liability/accrued/neo": "-90.00"},
		},
		{
			"nothing at all was delivered", alliance.AbatesFees,
			map[int32][]ledger.Event{0: {deliveredBy("rack", "2026-01-01", 0)}},
			map[string]string{},
		},
		{
			"nothing abates", alliance.AbatesNothing,
			map[int32][]ledger.Event{0: {deliveredBy("rack", "2026-01-01", 2)}},
			map[string]string{"expense/unused_capacity/rack": "90.00", "liability/accrued/neo": "-90.00"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := opened(t, []alliance.Contract{rack(row.abates)})
			events := func(after int32) {
				for _, ev := range row.facts[after] {
					if err := d.fact(ev); err != nil {
						t.Fatal(err)
					}
				}
			}
			events(0)
			for month := int32(202601); month <= 202603; month++ {
				if err := d.fact(closeMonth(month)); err != nil {
					t.Fatal(err)
				}
				events(month)
			}
			if diff := cmp.Diff(row.want, stands(d.book)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLateDelivery_CorrectionsNameTheirMonth(t *testing.T) {
	d := opened(t, []alliance.Contract{rack(alliance.AbatesFees)})
	for _, ev := range []ledger.Event{closeMonth(202601), closeMonth(202602), deliveredBy("rack", "2026-01-17", 4)} {
		if err := d.fact(ev); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range d.steps[len(d.steps)-1].Batch.Entries {
		got = append(got, fmt.Sprintf("%s of %d in %d: %s", e.Kind, e.Corrects(), e.Period, e.Amount))
	}
	want := []string{"late_delivery of 202601 in 202603: 7.50", "late_delivery of 202602 in 202603: 14.00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLateDelivery_IsRefusedWhereItMeansNothing(t *testing.T) {
	plain := alliance.Contract{ID: "plain", Provider: "neo", Shape: alliance.PayPerUse, Term: termOf("2026-01-01", "2027-01-01")}
	rows := []struct {
		name string
		ev   ledger.Event
	}{
		{"unknown contract", deliveredBy("none", "2026-01-01", 1)},
		{"no ramp", deliveredBy("plain", "2026-01-01", 1)},
		{"out of the term", deliveredBy("rack", "2027-01-01", 1)},
		{"no date", deliveredBy("rack", "soon", 1)},
		{"below zero", deliveredBy("rack", "2026-01-01", -1)},
		{"the wrong unit", ledger.Event{Delivered: &ledger.Delivered{Contract: "rack", From: "2026-01-01", TokensPerMinute: 5, Reason: "r"}}},
		{"no reason", ledger.Event{Delivered: &ledger.Delivered{Contract: "rack", From: "2026-01-01", Chips: 5}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := opened(t, []alliance.Contract{rack(alliance.AbatesFees), plain})
			if err := d.fact(row.ev); !errors.Is(err, ledger.ErrFact) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestLateDelivery_MonthsAddUp records random deliveries at random times
// between closes: what was taken off comes to what the deliveries that are
// known at the end take off, to the micro-unit.
func TestLateDelivery_MonthsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rack(alliance.AbatesFees)
		c.Fees = []alliance.Fee{
			{Term: termOf("2026-01-01", "2026-05-11"), Amount: money.Amount(rapid.Int64Range(0, 1e15).Draw(t, "fee"))},
			{Term: termOf("2026-05-11", "2027-01-01"), Amount: money.Amount(rapid.Int64Range(0, 1e15).Draw(t, "fee"))},
		}
		pools := []alliance.Pool{{ID: "a", Contract: "rack", Chips: 3}, {ID: "b", Contract: "rack", Chips: 5}}
		d := opened(t, []alliance.Contract{c}, pools...)
		for month := int32(202601); month <= 202612; month++ {
			for range rapid.IntRange(0, 2).Draw(t, "facts") {
				day := dayOf("2026-01-01").AddDate(0, 0, rapid.IntRange(0, 364).Draw(t, "day"))
				if err := d.fact(deliveredBy("rack", day.Format(time.DateOnly), rapid.Int64Range(0, 20).Draw(t, "chips"))); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.fact(closeMonth(month)); err != nil {
				t.Fatal(err)
			}
			for _, b := range d.book.Balances() {
				if b.Account.Kind() == "capacity_clearing" && b.Amount != 0 {
					t.Fatalf("%s has %d after the close of %d", b.Account, b.Amount, month)
				}
			}
		}
		terms, err := d.book.Terms("t")
		if err != nil {
			t.Fatal(err)
		}
		owed, err := contract.FeesOwedUpTo(terms.Alliance().Contract("rack"), dayOf("2027-01-01").Time)
		if err != nil {
			t.Fatal(err)
		}
		if got := -d.book.Balance("lab/liability/accrued/neo"); got != owed {
			t.Fatalf("the books owe %d, the contract %d", got, owed)
		}
	})
}
