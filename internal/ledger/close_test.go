package ledger_test

import (
	"errors"
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
)

var july = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC).UnixNano()

func closeMonth(month int32) ledger.Event {
	return ledger.Event{MonthClosed: &ledger.MonthClosed{Month: month}}
}

// closedBooks posts a history and closes June as soon as it has ended, in the
// middle of the history.
func closedBooks(t *rapid.T, records []record.Record) (*desk, map[ledger.AccountID]money.Amount) {
	d := &desk{book: ledger.New(storetest.Terms), records: records, documents: map[string][]byte{}}
	var june map[ledger.AccountID]money.Amount
	for _, batch := range storetest.Split(records) {
		step, err := d.book.Post(batch)
		if err != nil {
			t.Fatal(err)
		}
		d.steps = append(d.steps, step)
		if june != nil || d.book.Head().At < july || d.book.Head().Terms == "" {
			continue
		}
		if d.book.Balance("lab/expense/compute/aws-chips") != 0 && used(d.book, "lab/expense/compute/aws-chips", 202606) != 0 {
			if err := d.fact(closeMonth(202606)); !errors.Is(err, ledger.ErrFact) {
				t.Fatalf("closed without the bill: %v", err)
			}
		}
		if err := d.fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Amount: 1234, Reason: "invoice"}}); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "waive") {
			if err := d.fact(ledger.Event{ShortfallWaived: &ledger.ShortfallWaived{Contract: "floor", From: "2026-01-01", Reason: "agreed"}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.fact(closeMonth(202606)); err != nil {
			t.Fatal(err)
		}
		june = months(d.book, 202606)
	}
	return d, june
}

func months(b *ledger.Book, upTo int32) map[ledger.AccountID]money.Amount {
	m := map[ledger.AccountID]money.Amount{}
	for _, p := range b.State().Periods {
		if p.Period <= upTo {
			m[p.Account] += p.Amount
		}
	}
	return m
}

func used(b *ledger.Book, a ledger.AccountID, period int32) money.Amount {
	for _, p := range b.State().Periods {
		if p.Account == a && p.Period == period {
			return p.Amount
		}
	}
	return 0
}

func TestClose_ClearingIsZeroAndTheMonthNeverChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		d, june := closedBooks(t, records)
		if june == nil {
			return
		}
		for a, v := range june {
			if a.Kind() == "capacity_clearing" && v != 0 {
				t.Fatalf("%s has %d after the close", a, v)
			}
		}
		if diff := cmp.Diff(june, months(d.book, 202606)); diff != "" {
			t.Fatalf("the closed month changed:\n%s", diff)
		}
		for _, total := range ledger.TrialBalance(d.book.Balances()) {
			if !total.Balanced() {
				t.Fatalf("%s: %d and %d", total.Asset, total.Debits, total.Credits)
			}
		}
		closed := false
		for _, s := range d.steps {
			for i := range s.Batch.Entries {
				e := &s.Batch.Entries[i]
				if !closed {
					continue
				}
				if about := time.Unix(0, e.From).UTC(); e.Period < 202607 || about.Before(time.Unix(0, july)) != (e.Corrects() != 0) && e.Kind != ledger.Opening {
					t.Fatalf("after the close: %+v, about %s, corrects %d", e.Key, about, e.Corrects())
				}
			}
			closed = closed || s.Fact != nil && s.Fact.MonthClosed != nil
		}
		if err := d.fact(closeMonth(202606)); !errors.Is(err, ledger.ErrFact) {
			t.Fatalf("closed again: %v", err)
		}
	})
}

// TestClose_LinesOfCorrectionsAddUp recomputes the entries that were booked
// after a close from their requests.
func TestClose_LinesOfCorrectionsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		d, _ := closedBooks(t, records)
		all := lines(t, records)
		for _, s := range d.steps {
			for i := range s.Batch.Entries {
				e := &s.Batch.Entries[i]
				if e.Lines == 0 {
					continue
				}
				var of []ledger.Line
				for _, l := range all {
					if l.Outcome >= s.Batch.First && l.Outcome <= s.Batch.Last {
						of = append(of, l)
					}
				}
				if sum := ledger.SumOf(e.LineKey(), of); sum.Digest != e.Digest || sum.Lines != e.Lines {
					t.Fatalf("entry %+v has %d lines, its requests %d", e.Key, e.Lines, sum.Lines)
				}
			}
		}
	})
}

func TestClose_SettlesAFloor(t *testing.T) {
	amount := func(units int64) money.Amount { return money.Amount(units * money.Micro) }
	day := func(text string) (d alliance.Date) {
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	half := func(from, until string, floor int64) alliance.Floor {
		return alliance.Floor{Term: alliance.Term{From: day(from), Until: day(until)}, Amount: amount(floor)}
	}
	rows := []struct {
		name    string
		roll    *alliance.Rollover
		waive   bool
		want    map[string]string // account without the party: balance at the end of the year
		closing int32
	}{
		{"automatic", nil, false, map[string]string{"expense/shortfall/floor": "1500.00", "liability/payable/aws": "-1500.00"}, 202612},
		{"waived", nil, true, map[string]string{"expense/shortfall/floor": "1000.00", "liability/payable/aws": "-1000.00"}, 202612},
		{
			"rolled over and used", &alliance.Rollover{SharePPM: 500_000, Months: 12}, false,
			map[string]string{"expense/shortfall/floor": "875.00", "liability/payable/aws": "-1250.00", "asset/rollover_credit/floor,2026-01-01": "0.00", "asset/rollover_credit/floor,2026-07-01": "375.00"},
			202612,
		},
		{
			"rolled over under a cap and forfeited", &alliance.Rollover{SharePPM: 500_000, Cap: new(amount(100)), Months: 1}, false,
			map[string]string{"expense/shortfall/floor": "1300.00", "liability/payable/aws": "-1500.00", "expense/forfeiture/floor": "100.00", "asset/rollover_credit/floor,2026-01-01": "0.00", "asset/rollover_credit/floor,2026-07-01": "100.00"},
			202612,
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			terms := func(hash string) (*alliance.Alliance, error) {
				return &alliance.Alliance{
					Hash: hash, Operator: "lab", Currency: "USD",
					Contracts: []alliance.Contract{{
						ID: "floor", Provider: "aws", Shape: alliance.SpendFloor, Term: alliance.Term{From: day("2026-01-01"), Until: day("2027-01-01")},
						Floors: []alliance.Floor{half("2026-01-01", "2026-07-01", 500), half("2026-07-01", "2027-01-01", 1000)}, Rollover: row.roll,
					}},
				}, nil
			}
			at := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC).UnixNano()
			book := ledger.New(terms)
			in := &record.Intent{Attempt: "a", Terms: "t", Pool: "none"}
			if _, err := book.Post([]record.Record{{Sequence: 1, At: at, Kind: record.KindIntent, Intent: in}, {Sequence: 2, At: at, Kind: record.KindMark, Mark: &record.Mark{}}}); err != nil {
				t.Fatal(err)
			}
			d := &desk{book: book}
			if row.waive {
				if err := d.fact(ledger.Event{ShortfallWaived: &ledger.ShortfallWaived{Contract: "floor", From: "2026-01-01", Reason: "agreed"}}); err != nil {
					t.Fatal(err)
				}
			}
			for month := int32(202601); month <= row.closing; month++ {
				if err := d.fact(closeMonth(month)); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]string{}
			for _, b := range book.Balances() {
				if path := strings.TrimPrefix(string(b.Account), "lab/"); !strings.HasPrefix(path, "memo/") {
					got[path] = b.Amount.String()
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, from := range []string{"2026-01-01", "2026-07-01"} {
				floor := -book.Balance(ledger.NewAccount("lab", "memo", "commit_floor", "floor", from))
				lapsed := book.Balance(ledger.NewAccount("lab", "memo", "commit_lapsed", "floor", from))
				open := book.Balance(ledger.NewAccount("lab", "memo", "commit_open", "floor", from))
				if floor == 0 || lapsed != floor || open != 0 {
					t.Errorf("floor %d, lapsed %d, open %d", floor, lapsed, open)
				}
			}
		})
	}
}

func TestClose_RefusesMonthsOutOfOrder(t *testing.T) {
	records := storetest.History(storetest.Random(3), 200)
	d := newDesk(t, records)
	if d.book.Head().At < july {
		t.Fatal("the history ends too early")
	}
	for _, month := range []int32{202607, 202608, 202613, 0} {
		if err := d.fact(closeMonth(month)); !errors.Is(err, ledger.ErrFact) {
			t.Errorf("closed %d: %v", month, err)
		}
	}
}
