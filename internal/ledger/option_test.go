package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// optionTerms have a rack with an option on 8 more chips and a further year,
// and a spend floor that is an option as a whole.
func optionTerms(hash string) (*alliance.Alliance, error) {
	year, next := termOf("2026-01-01", "2027-01-01"), termOf("2027-01-01", "2028-01-01")
	return &alliance.Alliance{
		Hash: hash, Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{
			{
				ID: "rack", Provider: "neo", Shape: alliance.TakeOrPay, Term: year, Fees: []alliance.Fee{{Term: year, Amount: units(365)}}, Ramp: []alliance.RampStep{{From: dayOf("2026-01-01"), Chips: 8}},
				Option: &alliance.Option{
					Term: termOf("2026-02-01", "2026-07-01"), NoticeDays: 30,
					Ramp: []alliance.RampStep{{From: dayOf("2026-09-01"), Chips: 8}},
					Fees: []alliance.Fee{{Term: next, Amount: units(730)}},
				},
			},
			{
				ID: "more", Provider: "aws", Shape: alliance.OptionShape, Term: next,
				Option: &alliance.Option{Term: termOf("2026-02-01", "2026-07-01"), Becomes: alliance.SpendFloor, Floors: []alliance.Floor{{Term: next, Amount: units(1000)}}},
			},
		},
		Pools: []alliance.Pool{
			{ID: "rack", Provider: "neo", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: 16, Models: []alliance.PoolModel{{Model: "m", OutputTokensPerChipSecond: 100}}},
			{ID: "more", Provider: "aws", Contract: "more", BilledBy: alliance.BilledByToken, Models: []alliance.PoolModel{{Model: "m"}}},
		},
		Plans: []alliance.Plan{{ID: "free", Seller: "lab"}},
	}, nil
}

// optionBooks are books that know of the terms at an instant.
func optionBooks(t testing.TB, at time.Time) *desk {
	t.Helper()
	d := &desk{book: ledger.New(optionTerms)}
	in := &record.Intent{Attempt: "a", Terms: "t", Pool: "none"}
	if _, err := d.book.Post([]record.Record{{Sequence: 1, At: at.UnixNano(), Kind: record.KindIntent, Intent: in}, {Sequence: 2, At: at.UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}}}); err != nil {
		t.Fatal(err)
	}
	return d
}

func exercise(id string) ledger.Event {
	return ledger.Event{OptionExercised: &ledger.OptionExercised{Contract: id, Reason: "notice 1"}}
}

func TestOption_IsRefusedOutsideItsWindowAndAfterItsNotice(t *testing.T) {
	rows := []struct {
		name, at string
		ev       ledger.Event
		why      string // empty: it is taken
	}{
		{"before the window", "2026-01-31", exercise("rack"), "from 2026-02-01 on"},
		{"in the window", "2026-02-01", exercise("rack"), ""},
		{"the last day of the notice", "2026-05-31", exercise("rack"), ""},
		{"after the notice", "2026-06-01", exercise("rack"), "before 2026-06-01"},
		{"without a notice until the window's end", "2026-06-30", exercise("more"), ""},
		{"after the window", "2026-07-01", exercise("more"), "has lapsed"},
		{"of an unknown contract", "2026-03-01", exercise("none"), "no contract none"},
		{"without a reason", "2026-03-01", ledger.Event{OptionExercised: &ledger.OptionExercised{Contract: "rack"}}, "reason"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := optionBooks(t, dayOf(row.at).Time)
			err := d.fact(row.ev)
			if row.why == "" && err != nil || row.why != "" && (!errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), row.why)) {
				t.Fatalf("%v, want %q", err, row.why)
			}
			if row.why == "" {
				if err := d.fact(row.ev); !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "was exercised on "+row.at) {
					t.Errorf("a second time: %v", err)
				}
			}
		})
	}
}

func TestOption_IsNothingUntilExercisedAndThenPartOfTheContract(t *testing.T) {
	d := optionBooks(t, dayOf("2026-03-01").Time)
	at := func(id alliance.ContractID) *alliance.Contract {
		t.Helper()
		terms, err := d.book.Terms("t")
		if err != nil {
			t.Fatal(err)
		}
		return terms.Alliance().Contract(id)
	}
	if c := at("more"); !contract.Optional(c) || len(contract.Legs(c, alliance.BilledByToken, contract.Usage)) > 0 {
		t.Error("an option moves accounts before it is exercised")
	}
	for _, id := range []string{"rack", "more"} {
		if err := d.fact(exercise(id)); err != nil {
			t.Fatal(err)
		}
	}
	type state struct {
		Shape  alliance.Shape
		Until  string
		Chips  [2]int64 // in August 2026 and in 2027
		Floors []money.Amount
		Fees   []money.Amount
	}
	of := func(c *alliance.Contract) (s state) {
		s.Shape, s.Until = c.Shape, c.Until.String()
		s.Chips[0], _ = contract.CapacityAt(c, dayOf("2026-08-31").Time)
		s.Chips[1], _ = contract.CapacityAt(c, dayOf("2027-03-01").Time)
		for _, f := range c.Floors {
			s.Floors = append(s.Floors, f.Amount)
		}
		for _, f := range c.Fees {
			s.Fees = append(s.Fees, f.Amount)
		}
		return s
	}
	want := []state{
		{alliance.TakeOrPay, "2028-01-01", [2]int64{8, 16}, nil, []money.Amount{units(365), units(730)}},
		{alliance.SpendFloor, "2028-01-01", [2]int64{0, 0}, []money.Amount{units(1000)}, nil},
	}
	if diff := cmp.Diff(want, []state{of(at("rack")), of(at("more"))}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// The terms of before are as they were.
	before, err := d.book.TermsAt("t", 1)
	if err != nil || !contract.Optional(before.Alliance().Contract("more")) || len(before.Alliance().Contract("rack").Fees) != 1 {
		t.Errorf("the terms before the fact changed: %v", err)
	}
}

func TestOption_ExercisedCountsInTheCloses(t *testing.T) {
	for _, row := range []struct {
		name     string
		exercise bool
		want     map[string]string
	}{
		{"lapsed", false, map[string]string{"liability/accrued/neo": "-365.00", "expense/unused_capacity/rack": "365.00"}},
		{"exercised", true, map[string]string{
			"liability/accrued/neo": "-1095.00", "expense/unused_capacity/rack": "1095.00", "expense/shortfall/more": "1000.00", "liability/payable/aws": "-1000.00",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := optionBooks(t, dayOf("2026-03-01").Time)
			if row.exercise {
				for _, id := range []string{"rack", "more"} {
					if err := d.fact(exercise(id)); err != nil {
						t.Fatal(err)
					}
				}
			}
			end := dayOf("2028-02-01").UnixNano()
			if _, err := d.book.Post([]record.Record{{Sequence: 3, At: end, Kind: record.KindMark, Mark: &record.Mark{}}}); err != nil {
				t.Fatal(err)
			}
			for month := int32(202601); month <= 202712; month++ {
				if month%100 == 13 {
					month += 88
				}
				if err := d.fact(closeMonth(month)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(row.want, stands(d.book)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
