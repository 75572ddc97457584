package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// months of the histories: the terms hold for six, and are closed with two more.
const historyMonths = 6

// drawnTerms draws the clauses of a floor, a credit, a rack and a reservation.
func drawnTerms(t *rapid.T) *alliance.Alliance {
	term := alliance.Term{From: civil(2026, 1), Until: civil(2026, 1+historyMonths)}
	k := alliance.Contract{ID: "k", Provider: "aws", Shape: alliance.SpendFloor, Term: term}
	each := rapid.SampledFrom([]int{1, 2, 3, 6}).Draw(t, "months of an interval")
	for m := 0; m < historyMonths; m += each {
		k.Floors = append(k.Floors, alliance.Floor{Term: alliance.Term{From: civil(2026, time.Month(1+m)), Until: civil(2026, time.Month(1+m+each))}, Amount: money.Amount(rapid.IntRange(0, 3000).Draw(t, "floor"))})
	}
	maybe := func(what string) bool { return rapid.Bool().Draw(t, what) }
	if maybe("rollover") {
		k.Rollover = &alliance.Rollover{SharePPM: rapid.Int64Range(1, 1_000_000).Draw(t, "rolls"), Months: rapid.Int64Range(1, 6).Draw(t, "rolls for")}
	}
	if maybe("overage") {
		k.Overage = overages(t)
	}
	if maybe("eligibility") {
		k.Eligibility = rapid.SampledFrom([]*alliance.Eligibility{
			{ExceptModels: []alliance.ModelID{"n"}, MarketplaceCapPPM: 250_000},
			{Pools: []alliance.PoolID{"p"}, Base: alliance.EligibleGross, MarketplaceCapPPM: 1_000_000},
			{MarketplaceCapPPM: 100_000},
		}).Draw(t, "eligible")
	}
	if maybe("true up") {
		k.TrueUp = &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: 500, DiscountPPM: 50_000}, {Floor: 2000, DiscountPPM: 111_111}}}
	}
	if maybe("true down") {
		k.TrueDown = &alliance.TrueDown{MaxPPM: rapid.Int64Range(1, 1_000_000).Draw(t, "cut at most")}
	}
	limit := money.Amount(rapid.IntRange(0, 800).Draw(t, "cap of the share"))
	k.RevenueShare = &alliance.RevenueShare{RatePPM: 200_000, Base: alliance.ShareOfSales, Cap: &limit, Term: term}
	uc := alliance.Contract{ID: "uc", Provider: "oracle", Shape: alliance.PrepaidCredit, Term: term}
	for m := range historyMonths {
		uc.Floors = append(uc.Floors, alliance.Floor{Term: alliance.Term{From: civil(2026, time.Month(1+m)), Until: civil(2026, time.Month(2+m))}, Amount: 300})
	}
	if maybe("overage of the credit") {
		uc.Overage = overages(t)
	}
	fee := []alliance.Fee{{Term: term, Amount: 100_000}}
	models := []alliance.PoolModel{{Model: "m", InputTokensPerChipSecond: 7, OutputTokensPerChipSecond: 3, InputWeightPPM: 1_000_000, OutputWeightPPM: 3_000_000}}
	list := alliance.Rates{Input: 900_001, CacheRead: 300_000, Output: 2_333_333, Reasoning: 2_333_333}
	paid := &alliance.Rates{Input: 700_003, CacheRead: 100_001, Output: 1_900_007, Reasoning: 1_900_007}
	return &alliance.Alliance{
		Hash: "t", Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{
			k, uc,
			{ID: "rack", Provider: "lab", Shape: alliance.TakeOrPay, Term: term, Fees: fee, Ramp: []alliance.RampStep{{From: term.From, Chips: 1}}},
			{ID: "res", Provider: "azure", Shape: alliance.ThroughputReserved, Term: term, Fees: fee, Ramp: []alliance.RampStep{{From: term.From, TokensPerMinute: 5}}, Overage: &alliance.Overage{At: alliance.OverageAtList, Tiers: []string{"default"}}},
		},
		Pools: []alliance.Pool{
			{ID: "p", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken},
			{ID: "q", Provider: "aws", Contract: "k", BilledBy: alliance.BilledByToken},
			{ID: "u", Provider: "oracle", Contract: "uc", BilledBy: alliance.BilledByToken},
			{ID: "r", Provider: "lab", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: 1, Models: models},
			{ID: "s", Provider: "azure", Contract: "res", BilledBy: alliance.BilledByFixed, TokensPerMinute: 5, Models: models},
		},
		Prices: []alliance.Price{
			{ID: "c-m", Pools: []alliance.PoolID{"p", "q", "u", "s"}, Model: "m", Term: alliance.Term{From: term.From}, List: list, Contracted: paid},
			{ID: "c-n", Pools: []alliance.PoolID{"p", "q", "u"}, Model: "n", Term: alliance.Term{From: term.From}, List: alliance.Rates{Input: 3, Output: 5}, Contracted: &alliance.Rates{Input: 2, Output: 4}},
		},
		Plans: []alliance.Plan{{ID: "api", Seller: "lab", Price: &alliance.SalePrice{ID: "s-api", Rates: alliance.Rates{Input: 2_000_000, Output: 5_000_000}}}},
	}
}

// life is a history under way: batches of the journal and facts in turn.
type life struct {
	t        *rapid.T
	a        *alliance.Alliance
	terms    *ledger.Terms
	book     *ledger.Book
	records  []record.Record
	acts     []act
	facts    []ledger.Fact
	now      time.Time
	expected map[ledger.AccountID]money.Amount // Σ of accruals and reversals
	last     ledger.Digest
	begins   func() // before each batch of the journal
}

// act is one step: records to post, or a fact.
type act struct {
	records []record.Record
	fact    *ledger.Fact
	step    ledger.Step
}

func (l *life) evidence() ledger.Evidence { return ledger.Evidence{Records: reader(l.records)} }

func (l *life) took(a act) {
	l.acts = append(l.acts, a)
	b := &a.step.Batch
	if b.Prev != l.last || b.Sum() != b.Hash || b.Sequence != uint64(len(l.acts)) {
		l.t.Fatalf("batch %d does not follow the one before", b.Sequence)
	}
	l.last = b.Hash
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Kind == ledger.Expected {
			l.expected[e.Credit] += e.Amount
		}
	}
}

// fact records an event, unless it contradicts the books. It is not taken twice.
func (l *life) fact(ev ledger.Event) bool {
	f := factOf(l.book, ev)
	f.At = max(f.At, l.now.UnixNano())
	before := l.book.State()
	step, err := l.book.PostFact(f, l.evidence())
	if errors.Is(err, ledger.ErrFact) {
		if diff := cmp.Diff(before, l.book.State()); diff != "" {
			l.t.Fatalf("a refused fact changed the books:\n%s", diff)
		}
		return false
	}
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.book.PostFact(f, l.evidence()); !errors.Is(err, ledger.ErrSequence) {
		l.t.Fatalf("a fact was posted twice: %v", err)
	}
	l.facts = append(l.facts, f)
	l.took(act{fact: &f, step: step})
	return true
}

// post posts some requests of a month, and outcomes that come twice.
func (l *life) post(m time.Month) {
	first := len(l.records)
	add := func(r record.Record) {
		r.Sequence, r.At = uint64(len(l.records)+1), l.now.UnixNano()
		l.records = append(l.records, r)
	}
	least := 0
	if first == 0 {
		least = 1 // before the first there are no terms to close by
	}
	for range rapid.IntRange(least, 4).Draw(l.t, "requests") {
		l.now = l.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(l.t, "hours")) * time.Hour)
		if end := civil(2026, m+1).Add(-time.Second); l.now.After(end) {
			l.now = end
		}
		pool := rapid.SampledFrom([]string{"p", "p", "p", "q", "u", "r", "s"}).Draw(l.t, "pool")
		model := "m"
		if pool == "p" || pool == "q" || pool == "u" {
			model = rapid.SampledFrom([]string{"m", "n"}).Draw(l.t, "model")
		}
		price := "c-" + model
		if pool == "r" {
			price = ""
		}
		id := record.AttemptID(fmt.Sprint("a", len(l.records)))
		tokens := rapid.Int64Range(0, 500)
		u := usage.Vector{UncachedInput: tokens.Draw(l.t, "input"), CacheRead: tokens.Draw(l.t, "cached"), Output: tokens.Draw(l.t, "output")}
		add(record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Tenant: "x", Plan: "api", Model: model, Pool: pool, CostPrice: price, SalePrice: "s-api", Estimate: u}})
		out := &record.Outcome{Attempt: id, Intent: uint64(len(l.records)), Status: record.Served, Tier: rapid.SampledFrom([]string{"", "default"}).Draw(l.t, "tier"), Usage: u}
		if rapid.IntRange(0, 4).Draw(l.t, "suspense") == 0 {
			out.Status = record.Suspense
		}
		add(record.Record{Kind: record.KindOutcome, Outcome: out})
		if rapid.IntRange(0, 5).Draw(l.t, "twice") == 0 {
			add(record.Record{Kind: record.KindOutcome, Outcome: out})
		}
	}
	add(record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	step, err := l.book.Post(l.records[first:])
	if err != nil {
		l.t.Fatal(err)
	}
	l.took(act{records: l.records[first:], step: step})
}

// happen records some facts, whether the books take them or not.
func (l *life) happen(m time.Month) {
	interval := func() string {
		return rapid.SampledFrom(l.a.Contracts[0].Floors).Draw(l.t, "interval").From.String()
	}
	amount := money.Amount(rapid.IntRange(1, 1500).Draw(l.t, "amount"))
	switch rapid.IntRange(0, 6).Draw(l.t, "fact") {
	case 0:
		l.fact(ledger.Event{MarketplaceCharge: &ledger.MarketplaceCharge{Contract: "k", Month: 202600 + int32(rapid.IntRange(1, int(m)).Draw(l.t, "of")), Amount: amount, Reason: "a tool"}})
	case 1:
		l.fact(ledger.Event{TrueUp: &ledger.FloorChange{Contract: "k", From: interval(), Amount: amount, Reason: "growth"}})
	case 2:
		l.fact(ledger.Event{TrueDown: &ledger.FloorChange{Contract: "k", From: interval(), Amount: amount, Reason: "less"}})
	case 3:
		l.fact(ledger.Event{ShortfallWaived: &ledger.ShortfallWaived{Contract: "k", From: interval(), Reason: "agreed"}})
	case 4, 5:
		if open := l.book.State().Suspended; len(open) > 0 {
			l.fact(closing(draw(l.t), l.records, rapid.SampledFrom(open).Draw(l.t, "of")))
		}
	}
}

func (l *life) close(month int32) {
	before := months(l.book, month-1)
	if !l.fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: month, Rules: ledger.CloseRules}}) {
		l.t.Fatalf("%d does not close", month)
	}
	if diff := cmp.Diff(before, months(l.book, month-1)); diff != "" {
		l.t.Fatalf("the close of %d changed an earlier month:\n%s", month, diff)
	}
	l.invariants(month)
}

// invariants holds the books to what is true after every close.
func (l *life) invariants(month int32) {
	for _, total := range ledger.TrialBalance(l.book.Balances()) {
		if !total.Balanced() {
			l.t.Fatalf("%d: %s has %d debits and %d credits", month, total.Asset, total.Debits, total.Credits)
		}
	}
	for account, amount := range months(l.book, month) {
		if account.Kind() == "capacity_clearing" && amount != 0 {
			l.t.Fatalf("%d: %s holds %d", month, account, amount)
		}
	}
	of := func(class contract.Class, kind string, refs ...string) money.Amount {
		return l.book.Balance(ledger.NewAccount("lab", class, kind, refs...))
	}
	for i := range l.a.Contracts[:2] {
		c := &l.a.Contracts[i]
		for _, f := range c.Floors {
			id, from := string(c.ID), f.From.String()
			memo := func(kind string) money.Amount { return of(contract.Memo, kind, id, from) }
			floor, raised, cut := -memo("commit_floor"), -memo("commit_raised"), memo("commit_cut")
			if floor != 0 && memo("commit_used")+memo("commit_open")+memo("commit_lapsed")+cut != floor+raised {
				l.t.Fatalf("%d: %s from %s: used %d, open %d, lapsed %d, cut %d of %d raised by %d", month, id, from, memo("commit_used"), memo("commit_open"), memo("commit_lapsed"), cut, floor, raised)
			}
			if used, most := memo("marketplace_used"), contract.MarketplaceCap(c, f.Amount+raised); used > most || used != 0 && used+memo("marketplace_open") > most {
				l.t.Fatalf("%d: marketplace retired %d, at most %d", month, used, most)
			}
			if cut > contract.MostCut(c, f.Amount+raised) {
				l.t.Fatalf("%d: the floor of %d was cut by %d", month, f.Amount+raised, cut)
			}
			ended := monthOf(f.Until.Add(-time.Second)) <= month
			likely := -of(contract.Liability, ledger.ExpectedKind, id, from)
			if account := ledger.NewAccount("lab", contract.Liability, ledger.ExpectedKind, id, from); l.expected[account] != likely || ended && likely != 0 {
				l.t.Fatalf("%d: accrued %d for the interval from %s, entries come to %d (ended: %v)", month, likely, from, l.expected[account], ended)
			}
			if likely < 0 || likely > max(0, f.Amount+raised-cut) {
				l.t.Fatalf("%d: a likely shortfall of %d of %d", month, likely, f.Amount+raised-cut)
			}
			now := monthOf(f.Until.Add(-time.Second)) == month
			if open, lapsed := memo("commit_open"), memo("commit_lapsed"); now && (open > 0 || lapsed > 0 && open != 0) {
				l.t.Fatalf("%d: %d of the interval from %s stays open, %d lapsed", month, open, from, lapsed)
			}
		}
	}
	shared := of(contract.Expense, "revenue_share", "aws")
	if l.a.Contracts[0].Currency != "" { // the cap is in the contract's
		shared = -of(contract.Liability, "revenue_share_payable", "aws", string(l.a.Contracts[0].Currency))
	}
	if limit := *l.a.Contracts[0].RevenueShare.Cap; shared > limit {
		l.t.Fatalf("%d: shared %d under a cap of %d", month, shared, limit)
	}
}

func monthOf(t time.Time) int32 { return int32(t.Year()*100 + int(t.Month())) }

// replay posts everything again, each step by books resumed from the state
// before it.
func (l *life) replay() {
	state, terms := ledger.State{}, func(string) (*alliance.Alliance, error) { return l.a, nil }
	facts := 0
	for i := range l.acts {
		b := ledger.Resume(state, terms)
		if err := b.Recall(l.facts[:facts]); err != nil {
			l.t.Fatal(err)
		}
		var step ledger.Step
		var err error
		if a := &l.acts[i]; a.fact != nil {
			step, err = b.PostFact(*a.fact, l.evidence())
			facts++
		} else {
			step, err = b.Post(a.records)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if want := l.acts[i].step.Batch; !bytes.Equal(step.Batch.Canonical(nil), want.Canonical(nil)) {
			l.t.Fatalf("batch %d differs:\n%s", i+1, cmp.Diff(want, step.Batch))
		}
		state = b.State()
	}
	if diff := cmp.Diff(l.book.State(), state); diff != "" {
		l.t.Fatalf("the replayed books differ:\n%s", diff)
	}
}

// TestInvariants_HoldInEveryHistory lives through months of requests and facts
// under clauses drawn at random, closes them, and replays it all.
func TestInvariants_HoldInEveryHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t, drawnTerms(t))
		l.live()
		l.replay()
	})
}

func newLife(t *rapid.T, a *alliance.Alliance) *life {
	return &life{
		t: t, a: a, terms: ledger.NewTerms(a), now: civil(2026, 1).Time,
		book:     ledger.New(func(string) (*alliance.Alliance, error) { return a, nil }),
		expected: map[ledger.AccountID]money.Amount{}, begins: func() {},
	}
}

// live goes through all months and closes them.
func (l *life) live() {
	closed := int32(202600)
	for m := time.January; m <= historyMonths; m++ {
		l.now = civil(2026, m).Time
		for range rapid.IntRange(1, 3).Draw(l.t, "batches") {
			l.begins()
			l.post(m)
			l.happen(m)
		}
		// A month closes at its end, or with a later one.
		l.now = civil(2026, m+1).Time
		for closed < 202600+int32(m) && rapid.IntRange(0, 3).Draw(l.t, "close") > 0 {
			closed++
			l.close(closed)
		}
	}
	l.now = civil(2026, historyMonths+1).Time
	l.post(historyMonths + 1)
	l.now = civil(2026, historyMonths+2).Time
	for closed < 202600+historyMonths+1 {
		closed++
		l.close(closed)
		l.happen(historyMonths)
	}
}
