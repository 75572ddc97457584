package settle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// TestOutlook_SaysWhatIsLeftOfTheCapOfARevenueShare closes June with a cap
// that is far away, with one that is reached, and without one.
func TestOutlook_SaysWhatIsLeftOfTheCapOfARevenueShare(t *testing.T) {
	day := func(month time.Month, n int) alliance.Date {
		return alliance.Date{Time: time.Date(2026, month, n, 0, 0, 0, 0, time.UTC)}
	}
	shared := money.Amount(0)
	for _, limit := range []money.Amount{-1, 1_000_000_000_000, 7} {
		share := &alliance.RevenueShare{RatePPM: 200_000, Base: alliance.ShareOfAll, Term: alliance.Term{From: day(6, 1), Until: day(9, 1)}}
		if limit >= 0 {
			share.Cap = &limit
		}
		terms := func(hash string) (*alliance.Alliance, error) {
			a, err := storetest.SalesTerms(hash)
			for i := range a.Contracts {
				if a.Contracts[i].ID == "metered" {
					a.Contracts[i].RevenueShare = share
				}
			}
			return a, err
		}
		n := openNode(t, t.TempDir())
		book := ledger.New(terms)
		add := func(step ledger.Step, err error) {
			t.Helper()
			if err == nil {
				err = n.store.Append(t.Context(), &step)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range storetest.Split(storetest.SalesHistory(storetest.Random(3), 800)) {
			add(book.Post(b))
		}
		for _, e := range []ledger.Event{{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Reason: "invoice"}}, {MonthClosed: &ledger.MonthClosed{Month: 202606}}} {
			head := book.Head()
			add(book.PostFact(ledger.Fact{Number: head.Facts + 1, After: head.Last, At: head.At, Event: e}, ledger.Evidence{}))
		}
		a, err := terms("5a1e6")
		if err != nil {
			t.Fatal(err)
		}
		o, err := settle.MakeOutlook(t.Context(), n.store, ledger.NewTerms(a), "metered", day(7, 15).Time)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := settle.WriteOutlook(&text, o); err != nil || !strings.Contains(text.String(), "The provider gets 20 %") {
			t.Errorf("%v\n%s", err, text.String())
		}
		switch used := -book.Balance("lab/liability/revenue_share_payable/azure"); {
		case o.Share == nil || o.Share.Used != used || used == 0:
			t.Errorf("shared %d, the outlook says %+v", used, o.Share)
		case limit < 0:
			shared = used
			if o.Share.Left != nil {
				t.Errorf("%d left without a cap", *o.Share.Left)
			}
		case used != min(shared, limit) || *o.Share.Left != limit-used:
			t.Errorf("shared %d of %d, with a cap of %d; %d left", used, shared, limit, *o.Share.Left)
		}
		if !strings.Contains(text.String(), "the revenue share ends") {
			t.Error("no date of its end")
		}
		n.close(t)
	}
}
