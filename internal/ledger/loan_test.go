package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
)

func TestLoan_IsPaidOutBearsInterestAndComesBack(t *testing.T) {
	lender := alliance.Contract{
		ID: "k", Provider: "neo", Shape: alliance.PayPerUse, Term: termOf("2026-01-01", "2028-01-01"),
		Loan: &alliance.Loan{Term: termOf("2026-01-15", "2027-01-15"), Amount: units(1000), RatePPM: 60_000},
	}
	rows := []struct {
		name        string
		first, last int32
		want        map[string]string
	}{
		{"in its first month", 202601, 202601, map[string]string{"asset/loan/k": "1000.00", "asset/cash/USD": "-1000.00", "asset/receivable/neo": "2.79452", "revenue/interest/k": "-2.79452"}},
		{"a year's interest, and the loan is back", 202601, 202703, map[string]string{"asset/receivable/neo": "60.00", "revenue/interest/k": "-60.00"}},
		{"books that begin while it runs", 202612, 202612, map[string]string{"asset/loan/k": "1000.00", "asset/cash/USD": "-1000.00", "asset/receivable/neo": "5.095891", "revenue/interest/k": "-5.095891"}},
		{"books that begin later", 202702, 202702, map[string]string{}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := opened(t, []alliance.Contract{lender})
			for month := row.first; month <= row.last; month++ {
				if month%100 == 13 {
					month += 88
				}
				if err := d.fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: month}}); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(row.want, stands(d.book)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
