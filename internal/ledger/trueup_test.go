package ledger_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// quarter is a floor of 9,000 for January to March with use of 1,000 in
// January and 3,000 in February, one micro-unit a token.
func quarter(t *testing.T, change func(c *alliance.Contract)) *desk {
	t.Helper()
	term := alliance.Term{From: civil(2026, 1), Until: civil(2026, 4)}
	a := &alliance.Alliance{
		Hash: "t", Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{{ID: "k", Provider: "aws", Shape: alliance.SpendFloor, Term: term, Floors: []alliance.Floor{{Term: term, Amount: 9000}}}},
		Pools:     []alliance.Pool{{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken}},
		Prices:    []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: term, List: alliance.Rates{Output: money.Micro}}},
		Plans:     []alliance.Plan{{ID: "free", Seller: "lab"}},
	}
	change(&a.Contracts[0])
	var records []record.Record
	for i, tokens := range []int64{1000, 3000} {
		n, id := uint64(len(records)), record.AttemptID("ab"[i:i+1])
		at := civil(2026, 1).AddDate(0, i, 9).UnixNano()
		records = append(records, record.Record{Sequence: n + 1, At: at, Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Plan: "free", Model: "m", Pool: "p", CostPrice: "c"}},
			record.Record{Sequence: n + 2, At: at, Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n + 1, Status: record.Served, Usage: usage.Vector{Output: tokens}}})
	}
	records = append(records, record.Record{Sequence: 5, At: civil(2026, 5).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}})
	d := &desk{book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil }), records: records}
	if _, err := d.book.Post(records); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) must(t *testing.T, ev ledger.Event) {
	t.Helper()
	if err := d.fact(ev); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) refused(t *testing.T, ev ledger.Event, why string) {
	t.Helper()
	if err := d.fact(ev); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("want %q, got %v", why, err)
	}
}

func closeNow(month int32) ledger.Event {
	return ledger.Event{MonthClosed: &ledger.MonthClosed{Month: month, Rules: ledger.CloseRules}}
}

func change(amount money.Amount) *ledger.FloorChange {
	return &ledger.FloorChange{Contract: "k", From: "2026-01-01", Amount: amount, Reason: "agreed"}
}

func TestExpected_AccruesByThePaceAndIsReplaced(t *testing.T) {
	d := quarter(t, func(*alliance.Contract) {})
	likely := func() money.Amount { return -d.book.Balance("lab/liability/expected_shortfall/k,2026-01-01") }
	// January's 1,000 in 31 days leads to 1,000 + 1,000 x 59 / 31 = 2,903 by the
	// end: 6,097 short, of which 31 of 90 days have passed.
	d.must(t, closeNow(202601))
	if got := likely(); got != 2100 {
		t.Errorf("after January %d", got)
	}
	// February's 3,000 in 28 days leads to 4,000 + 3,000 x 31 / 28 = 7,321.
	d.must(t, closeNow(202602))
	if got := likely(); got != 1679*59/90 {
		t.Errorf("after February %d", got)
	}
	if got := d.book.Balance("lab/expense/shortfall/k"); got != likely() {
		t.Errorf("expense %d", got)
	}
	d.must(t, closeNow(202603))
	if got, owed := d.book.Balance("lab/expense/shortfall/k"), -d.book.Balance("lab/liability/payable/aws"); likely() != 0 || got != 5000 || owed != 5000 {
		t.Errorf("at the end: likely %d, expense %d, owed %d", likely(), got, owed)
	}
	d.refused(t, ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202604, Rules: ledger.CloseRules + 1}}, "this version knows")
	old := quarter(t, func(*alliance.Contract) {})
	old.must(t, closeMonth(202601))
	if got := old.book.Balance("lab/expense/shortfall/k"); got != 0 {
		t.Errorf("an old close accrues %d", got)
	}
}

func TestExpected_IsTakenBackWhenTheShortfallIsWaived(t *testing.T) {
	d := quarter(t, func(*alliance.Contract) {})
	d.must(t, closeNow(202601))
	d.must(t, ledger.Event{ShortfallWaived: &ledger.ShortfallWaived{Contract: "k", From: "2026-01-01", Reason: "agreed"}})
	d.must(t, closeNow(202602))
	if got := d.book.Balance("lab/expense/shortfall/k"); got != 0 {
		t.Errorf("%d stays expense", got)
	}
}

func TestMarketplace_RetiresTheFloorExactlyToItsCap(t *testing.T) {
	d := quarter(t, func(c *alliance.Contract) { c.Eligibility = &alliance.Eligibility{MarketplaceCapPPM: 250_000} })
	charge := func(month int32, amount money.Amount) ledger.Event {
		return ledger.Event{MarketplaceCharge: &ledger.MarketplaceCharge{Contract: "k", Month: month, Amount: amount, Reason: "a tool"}}
	}
	d.must(t, charge(202601, 2000))
	d.must(t, charge(202602, 2000))
	d.must(t, charge(202602, 1))
	want := map[ledger.AccountID]money.Amount{
		"lab/expense/marketplace/k": 4001, "lab/liability/accrued/aws": -8001, "lab/memo/commit_used/k,2026-01-01": 6250,
		"lab/memo/marketplace_used/k,2026-01-01": 2250, "lab/memo/marketplace_open/k,2026-01-01": 0, "lab/memo/marketplace_cap/k,2026-01-01": -2250,
	}
	for account, amount := range want {
		if got := d.book.Balance(account); got != amount {
			t.Errorf("%s holds %d, want %d", account, got, amount)
		}
	}
	d.refused(t, charge(202612, 1), "has not begun")
	d.refused(t, ledger.Event{MarketplaceCharge: &ledger.MarketplaceCharge{Contract: "none", Month: 202601, Amount: 1, Reason: "r"}}, "there is no contract")
	d.refused(t, charge(202601, 0), "above 0")
	for m := int32(202601); m <= 202603; m++ {
		d.must(t, closeNow(m))
	}
	if got := d.book.Balance("lab/expense/shortfall/k"); got != 2750 {
		t.Errorf("shortfall %d", got)
	}
	d.must(t, charge(202603, 10)) // of a settled interval: owed, in the first open month
	if got := d.book.Balance("lab/memo/marketplace_used/k,2026-01-01"); got != 2250 {
		t.Errorf("a settled interval is retired: %d", got)
	}
}

func TestTrueUp_RaisesTheFloorForADiscount(t *testing.T) {
	d := quarter(t, func(c *alliance.Contract) {
		c.TrueUp = &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: 9000, DiscountPPM: 10_000}, {Floor: 10_000, DiscountPPM: 100_000}}}
	})
	d.must(t, closeNow(202601))
	if got := d.book.Balance("lab/expense/discount/k"); got != -10 {
		t.Errorf("1 %% of 1,000: %d", got)
	}
	d.must(t, ledger.Event{TrueUp: change(1000)})
	for m := int32(202602); m <= 202603; m++ {
		d.must(t, closeNow(m))
	}
	got := map[string]money.Amount{}
	for _, kind := range []string{"commit_floor", "commit_raised", "commit_used", "commit_open", "commit_lapsed"} {
		got[kind] = d.book.Balance(ledger.AccountID("lab/memo/" + kind + "/k,2026-01-01"))
	}
	want := map[string]money.Amount{"commit_floor": -9000, "commit_raised": -1000, "commit_used": 4000, "commit_open": 0, "commit_lapsed": 6000}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d.refused(t, ledger.Event{TrueUp: change(1)}, "settled")
	without := quarter(t, func(*alliance.Contract) {})
	without.refused(t, ledger.Event{TrueUp: change(1)}, "no right to raise")
	without.refused(t, ledger.Event{TrueDown: change(1)}, "no right to cut")
}

func TestTrueDown_OnceAndWithinItsShare(t *testing.T) {
	d := quarter(t, func(c *alliance.Contract) { c.TrueDown = &alliance.TrueDown{MaxPPM: 600_000} })
	d.refused(t, ledger.Event{TrueDown: change(5401)}, "cut by 0.0054 at most")
	d.refused(t, ledger.Event{TrueDown: change(5400)}, "what was used cannot be cut")
	d.must(t, ledger.Event{TrueDown: change(2000)})
	d.refused(t, ledger.Event{TrueDown: change(1)}, "it may be once")
	terms, err := d.book.Terms("t")
	if err != nil {
		t.Fatal(err)
	}
	if f := d.book.Burns(terms, civil(2026, 2).Time)[0].Floors[0]; f.Floor != 7000 || f.Cut != 2000 || f.Open != 3000 {
		t.Errorf("burn %+v", f)
	}
	if spent := d.book.Spent(terms, "k", civil(2026, 2).Time); spent != 6000 {
		t.Errorf("spent %d: 4,000 were used and 2,000 cut of 9,000", spent)
	}
	for m := int32(202601); m <= 202603; m++ {
		d.must(t, closeNow(m))
	}
	if got := d.book.Balance("lab/expense/shortfall/k"); got != 3000 {
		t.Errorf("shortfall %d", got)
	}
}
