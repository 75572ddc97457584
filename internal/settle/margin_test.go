package settle_test

import (
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// from yields records by their sequence, as a journal does.
func from(records []record.Record) settle.Records {
	return func(first uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for i := range records {
				if records[i].Sequence >= first && !yield(records[i], nil) {
					return
				}
			}
		}
	}
}

// TestMargin_ComesToTheBooksByAnyRow makes the margins of random histories, in
// the middle of which June is closed.
func TestMargin_ComesToTheBooksByAnyRow(t *testing.T) {
	for seed := range uint64(6) {
		records := storetest.SalesHistory(storetest.Random(seed), 800)
		n := openNode(t, t.TempDir())
		book := ledger.New(storetest.SalesTerms)
		var facts []ledger.Fact
		add := func(step ledger.Step, err error) {
			t.Helper()
			if err == nil {
				err = n.store.Append(t.Context(), &step)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		fact := func(e ledger.Event) {
			head := book.Head()
			facts = append(facts, ledger.Fact{Number: head.Facts + 1, After: head.Last, At: head.At, Event: e})
			add(book.PostFact(facts[len(facts)-1], ledger.Evidence{}))
		}
		for i, b := range storetest.Split(records) {
			add(book.Post(b))
			if i > 5 && facts == nil && book.Head().At > 1782864000_000000000+20e9 {
				fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Reason: "invoice"}})
				fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202606}})
			}
		}
		if facts == nil {
			t.Fatal("June was not closed")
		}
		for _, month := range []int32{202606, 202607} {
			want := result(t, n.store, month)
			requests := int64(-1)
			for _, by := range settle.MarginsBy {
				m, err := settle.MakeMargin(t.Context(), n.store, from(records), ledger.New(storetest.SalesTerms), salesTerms(t), settle.MarginQuestion{By: by, Month: month, Facts: facts})
				if err != nil {
					t.Fatal(err)
				}
				if m.Total.Margin != want {
					t.Errorf("seed %d, %d by %s: margin %s, the books have %s", seed, month, by, m.Total.Margin, want)
				}
				if requests >= 0 && m.Total.Requests != requests || m.Total.Requests == 0 || m.Closed != (month == 202606) {
					t.Errorf("seed %d, %d by %s: %d requests, before %d", seed, month, by, m.Total.Requests, requests)
				}
				requests = m.Total.Requests
				rows(t, m, records)
			}
		}
		n.close(t)
	}
}

// result is what a month did to revenue and expense.
func result(t *testing.T, books settle.Reader, month int32) (sum money.Amount) {
	t.Helper()
	periods, err := books.Periods(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range periods {
		if c := p.Account.Class(); p.Period == month && (c == contract.Revenue || c == contract.Expense) {
			sum -= p.Amount
		}
	}
	return sum
}

// rows checks each row: its parts add up, and rounding is all that is left of
// the kinds of account that only requests of the month move.
func rows(t *testing.T, m *settle.Margin, records []record.Record) {
	t.Helper()
	sum := money.Amount(0)
	for _, r := range append(m.Rows, m.Rest...) {
		sum += r.Margin
		if r.Sales-r.Commission-r.Cost != r.Margin || r.Revenue > r.Sales && r.Commission >= 0 {
			t.Errorf("%s: sales %s, commission %s, revenue %s, cost %s, margin %s", r.Name, r.Sales, r.Commission, r.Revenue, r.Cost, r.Margin)
		}
		if m.By == "plan" && r.Users > 0 {
			seen := map[string]bool{}
			for i := range records {
				if in := records[i].Intent; in != nil && in.Plan == r.Name {
					seen[in.Tenant+in.EndUser] = true
				}
			}
			if r.Users > int64(len(seen)) {
				t.Errorf("%s: %d users of %d", r.Name, r.Users, len(seen))
			}
		}
	}
	if sum != m.Total.Margin {
		t.Errorf("rows come to %s, the total is %s", sum, m.Total.Margin)
	}
	var text, csv strings.Builder
	if err := errors.Join(settle.WriteMargin(&text, m), settle.WriteMarginCSV(&csv, m)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(csv.String(), "\n"); n != len(m.Rows)+len(m.Rest)+2 || !strings.Contains(text.String(), m.Total.Margin.String()) {
		t.Errorf("%d lines of CSV\n%s", n, text.String())
	}
}

func TestMargin_IsToldByFourThings(t *testing.T) {
	_, err := settle.MakeMargin(t.Context(), nil, nil, nil, salesTerms(t), settle.MarginQuestion{By: "colour", Month: 202606})
	if !errors.Is(err, settle.ErrBy) {
		t.Error(err)
	}
}
