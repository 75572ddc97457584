package settle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// Numbers run without a gap over the closed months, are those of the invoices
// themselves, and stay when later months are booked and closed, and when the
// terms no longer know the customers.
func TestSalesNumbers_RunWithoutAGapAndStay(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			n := openNode(t, t.TempDir())
			defer n.close(t)
			book, terms := ledger.New(storetest.SalesTerms), salesTerms(t)
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
			fact := func(e ledger.Event, at int64) {
				t.Helper()
				head := book.Head()
				f := ledger.Fact{Number: head.Facts + 1, After: head.Last, At: max(head.At, at), Event: e}
				add(book.PostFact(f, ledger.Evidence{}))
				facts = append(facts, f)
			}
			list := func(terms *ledger.Terms) []settle.SalesInvoiceHead {
				t.Helper()
				got, err := settle.ListSalesInvoices(t.Context(), n.store, terms, facts)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			for _, b := range storetest.Split(storetest.SalesHistory(storetest.Random(seed), 800)) {
				add(book.Post(b))
			}
			for _, v := range list(terms) {
				if v.Number != "" {
					t.Errorf("%s has a number in %d, which is open", v.Customer, v.Month)
				}
			}
			var before []settle.SalesInvoiceHead
			for _, month := range []int32{202606, 202607} {
				ended := time.Date(2026, time.Month(month%100)+1, 5, 0, 0, 0, 0, time.UTC).UnixNano()
				fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: month, Reason: "invoice"}}, ended)
				fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: month}}, ended)
				got := list(terms)
				closed := slices.IndexFunc(got, func(v settle.SalesInvoiceHead) bool { return v.Number == "" })
				if closed < 0 {
					closed = len(got)
				}
				if slices.ContainsFunc(got[closed:], func(v settle.SalesInvoiceHead) bool { return v.Number != "" || v.Month <= month }) || closed <= len(before) {
					t.Fatalf("after closing %d: %+v", month, got)
				}
				for i := range got[:closed] {
					if want := fmt.Sprintf("LAB-%06d", i+1); got[i].Number != want {
						t.Errorf("invoice %d is %s", i+1, got[i].Number)
					}
				}
				if diff := cmp.Diff(before, got[:len(before)]); diff != "" && before != nil {
					t.Errorf("invoices of earlier months have changed:\n%s", diff)
				}
				before = got[:closed]
			}
			agrees(t, n.store, terms, facts, before)

			fewer := *terms.Alliance()
			fewer.Tenants = nil
			left := list(ledger.NewTerms(&fewer))
			for i := range before {
				if left[i].Number != before[i].Number || left[i].Customer != before[i].Customer || left[i].Total != before[i].Total {
					t.Errorf("without tenants in the terms %+v, with them %+v", left[i], before[i])
				}
			}
			agrees(t, n.store, ledger.NewTerms(&fewer), facts, left[:len(before)])
		})
	}
}

// agrees makes each invoice of a list, and opens each line to its entries.
func agrees(t *testing.T, books settle.Reader, terms *ledger.Terms, facts []ledger.Fact, list []settle.SalesInvoiceHead) {
	t.Helper()
	opened := 0
	for _, h := range list {
		v, err := settle.MakeSalesInvoice(t.Context(), books, storetest.SalesTerms, terms, h.Customer, h.Month, settle.ClosedAt(facts, h.Month))
		if err != nil {
			t.Fatal(err)
		}
		if v.Number != h.Number || v.Issued != h.Issued || v.Due != h.Due || v.Total != h.Total || v.Name != h.Name || v.Party != h.Party {
			t.Errorf("the invoice %s of %s over %s is in the list as %+v", v.Number, v.Customer, v.Total, h)
		}
		for i := range v.Lines {
			l := &v.Lines[i]
			if l.Item == settle.ItemRounding {
				continue
			}
			entries, err := books.Entries(t.Context(), settle.Query{Account: l.Account, Other: l.Against, Price: l.PriceID, Kind: kindOf(t, l.Entries), Period: h.Month})
			if err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			for j := range entries {
				e := &entries[j]
				if l.Month != 0 != (len(e.Ref) == 6) {
					continue
				}
				sum += map[string]int64{
					"uncached input tokens": e.Tokens.UncachedInput, "cache read tokens": e.Tokens.CacheRead, "cache write tokens": e.Tokens.CacheWrite,
					"output tokens": e.Tokens.Output, "reasoning tokens": e.Tokens.Reasoning,
				}[l.Kind]
				opened++
			}
			if l.Unit == "1,000,000 tokens" && sum != l.Quantity {
				t.Errorf("%s %d: the line %s of %d %s opens to entries of %d", h.Customer, h.Month, l.Item, l.Quantity, l.Kind, sum)
			}
		}
	}
	if opened == 0 {
		t.Error("no line opened to an entry")
	}
}

func kindOf(t *testing.T, name string) (k ledger.Kind) {
	t.Helper()
	if err := k.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestClosedAt_IsTheFirstCloseThatCovers(t *testing.T) {
	at := time.Date(2026, 7, 3, 9, 0, 0, 0, time.UTC)
	facts := []ledger.Fact{
		{At: 1, Event: ledger.Event{PoolBilled: &ledger.PoolBilled{Month: 202606}}},
		{At: at.UnixNano(), Event: ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202606}}},
		{At: at.UnixNano() + 1, Event: ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202607}}},
	}
	for month, want := range map[int32]int64{202605: at.UnixNano(), 202606: at.UnixNano(), 202607: at.UnixNano() + 1, 202608: 0} {
		if got := settle.ClosedAt(facts, month); got.IsZero() != (want == 0) || want != 0 && got.UnixNano() != want {
			t.Errorf("%d closed at %v", month, got)
		}
	}
}
