package focus_test

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

func date(s string) alliance.Date { return alliance.Date{Time: day(s)} }

// creditTerms has a prepaid credit of two months, a fixed fee and a pool that
// is paid by use.
func creditTerms(hash string) (*alliance.Alliance, error) {
	term := alliance.Term{From: date("2026-01-01"), Until: date("2026-03-01")}
	floors := []alliance.Floor{{Term: alliance.Term{From: date("2026-01-01"), Until: date("2026-02-01")}, Amount: 9_000_000}, {Term: alliance.Term{From: date("2026-02-01"), Until: date("2026-03-01")}, Amount: 1_000_000}}
	rates := alliance.Rates{Input: 2_000_000, Output: 8_000_001}
	a := &alliance.Alliance{
		Version: 1, Operator: "lab", Currency: "USD", Hash: hash,
		Contracts: []alliance.Contract{
			{ID: "credit", Title: "Credit", Provider: "oracle", Shape: alliance.PrepaidCredit, Term: term, Floors: floors},
			{ID: "metered", Title: "Use", Provider: "azure", Shape: alliance.PayPerUse, Term: term},
			{ID: "rack", Title: "Rack", Provider: "neo", Shape: alliance.TakeOrPay, Term: term, Fees: []alliance.Fee{{Term: term, Amount: 59_000_000}}, Ramp: []alliance.RampStep{{From: date("2026-01-01"), Chips: 2}}},
		},
		Pools: []alliance.Pool{
			{ID: "drawn", Provider: "oracle", Contract: "credit", BilledBy: alliance.BilledByToken, Models: []alliance.PoolModel{{Model: "m1"}}},
			{ID: "used", Provider: "azure", Contract: "metered", BilledBy: alliance.BilledByToken, Models: []alliance.PoolModel{{Model: "m1"}}},
			{ID: "own", Provider: "neo", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: 2, Models: []alliance.PoolModel{{Model: "m1", InputTokensPerChipSecond: 700, OutputTokensPerChipSecond: 90}}},
		},
		Prices: []alliance.Price{{ID: "price", Pools: []alliance.PoolID{"drawn", "used"}, Model: "m1", Term: alliance.Term{From: date("2026-01-01")}, List: rates}},
		Plans:  []alliance.Plan{{ID: "free", Seller: "lab"}},
	}
	return a, nil
}

// diary writes a journal, its books and what is made of them, side by side.
type diary struct {
	t        *testing.T
	terms    func(hash string) (*alliance.Alliance, error)
	book     *ledger.Book
	versions *ledger.Book // what books asks for terms
	books    *focus.Books
	records  []record.Record
	posted   int
	facts    uint64
}

func newDiary(t *testing.T, terms func(hash string) (*alliance.Alliance, error)) *diary {
	d := &diary{t: t, terms: terms, book: ledger.New(terms), versions: ledger.New(terms)}
	d.books = focus.NewBooks(d.versions)
	return d
}

func (d *diary) record(at time.Time, r record.Record) uint64 {
	r.Sequence, r.At = uint64(len(d.records)+1), at.UnixNano()
	d.records = append(d.records, r)
	return r.Sequence
}

func (d *diary) request(at, answered time.Time, pool string, in, out int64, status record.Status) uint64 {
	id, price := fmt.Sprintf("a%d", len(d.records)), "price"
	if pool == "own" {
		price = ""
	}
	intent := d.record(at, record.Record{Kind: record.KindIntent, Intent: &record.Intent{
		Attempt: record.AttemptID(id), Request: id, Terms: "credit", Tenant: "t", Plan: "free", Channel: "c", Model: "m1@1", Pool: pool, CostPrice: price,
		Estimate: usage.Vector{UncachedInput: in, Output: out},
	}})
	return d.record(answered, record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{
		Attempt: record.AttemptID(id), Intent: intent, Status: status, Usage: usage.Vector{UncachedInput: in, Output: out},
	}})
}

func (d *diary) post(at time.Time) {
	d.t.Helper()
	d.record(at, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	part := d.records[d.posted:]
	d.posted = len(d.records)
	step, err := d.book.Post(part)
	if err != nil {
		d.t.Fatal(err)
	}
	for i := range part {
		d.books.Record(&part[i])
	}
	for _, l := range step.Hours {
		d.books.Left(l.Outcome, l.Left)
	}
	d.batch(&step.Batch)
}

func (d *diary) fact(at time.Time, ev ledger.Event) {
	d.t.Helper()
	d.facts++
	f := ledger.Fact{Number: d.facts, After: d.book.Head().Last, At: at.UnixNano(), Event: ev}
	step, err := d.book.PostFact(f, ledger.Evidence{Records: func(from uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for _, r := range d.records[from-1:] {
				if !yield(r, nil) {
					return
				}
			}
		}
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.versions.Recall([]ledger.Fact{f}); err != nil {
		d.t.Fatal(err)
	}
	d.batch(&step.Batch)
}

// latest are the terms of now.
func (d *diary) latest() *alliance.Alliance {
	d.t.Helper()
	t, err := d.versions.Terms("credit")
	if err != nil {
		d.t.Fatal(err)
	}
	return t.Alliance()
}

// owed is what the books owe to providers.
func (d *diary) owed() (owed money.Amount) {
	for _, b := range d.book.Balances() {
		if b.Asset == "USD" && (b.Account.Kind() == "accrued" || b.Account.Kind() == "payable") {
			owed -= b.Amount
		}
	}
	return owed
}

func (d *diary) batch(b *ledger.Batch) {
	d.t.Helper()
	if err := d.books.Batch(b); err != nil {
		d.t.Fatal(err)
	}
}

func (d *diary) table(w focus.Window) focus.Table {
	d.t.Helper()
	table, err := d.books.CostAndUsage(d.latest(), focus.V14, w)
	if err != nil {
		d.t.Fatal(err)
	}
	ownRules(d.t, focus.CostAndUsage, focus.V14, &table)
	return table
}

// written makes two closed months: a credit that is not used up and one that
// is overdrawn, a fee, an answer that is booked after its month was closed,
// and suspense that is closed.
func written(t *testing.T) *diary { return writtenUnder(t, creditTerms) }

func writtenUnder(t *testing.T, terms func(string) (*alliance.Alliance, error), before ...ledger.Event) *diary {
	d := newDiary(t, terms)
	for _, ev := range before {
		d.fact(day("2026-01-04"), ev)
	}
	d.record(day("2026-01-05"), record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: "credit", Node: "n1"}})
	for i, pool := range []string{"drawn", "used", "own", "drawn", "own"} {
		at := day("2026-01-10").Add(time.Duration(i) * 7 * time.Hour)
		d.request(at, at, pool, int64(10_001+i), int64(333+i), record.Served)
	}
	held := d.request(day("2026-01-20"), day("2026-01-20"), "used", 700, 70, record.Suspense)
	late := len(d.records)
	d.request(day("2026-01-31").Add(23*time.Hour), day("2026-02-01"), "used", 5, 7, record.Served)
	outcome := d.records[late+1]
	d.records = d.records[:late+1] // its answer comes after the close
	d.post(day("2026-01-31"))
	d.fact(day("2026-02-02"), ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: d.records[held-1].Outcome.Attempt, Intent: held - 1, Outcome: held, By: ledger.ByEstimate, Reason: "billed so"}})
	d.fact(day("2026-02-03"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202601}})
	d.record(day("2026-02-04"), record.Record{Kind: record.KindOutcome, Outcome: outcome.Outcome})
	d.request(day("2026-02-10"), day("2026-02-10"), "drawn", 400_000, 100_000, record.Served)
	d.request(day("2026-02-11"), day("2026-02-11"), "own", 4000, 1000, record.Served)
	d.post(day("2026-02-28"))
	d.fact(day("2026-03-02"), ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202602}})
	return d
}

func TestClosedBooks_EffectiveCostIsBilledCostAndBilledCostIsOwed(t *testing.T) {
	d := written(t)
	table := d.table(focus.Window{AsOf: day("2026-04-01")})
	if faults, err := focus.Identity(&table, true); err != nil || len(faults) > 0 {
		t.Error(err, faults)
	}
	owed := d.owed()
	if got := sum(t, &table, nil, "BilledCost"); owed == 0 || got.Cmp(focus.AmountDecimal(owed)) != 0 {
		t.Errorf("rows bill %s, the books owe %s", got, owed)
	}
	for _, row := range []struct {
		name  string
		where map[string]string
		rows  int
	}{
		{"a credit is bought for each interval, and what goes beyond it", map[string]string{"CommitmentDiscountId": "credit", "ChargeCategory": "Purchase"}, 3},
		{"a credit that expires is unused", map[string]string{"CommitmentDiscountId": "credit", "CommitmentDiscountStatus": "Unused"}, 1},
		{"a fee is bought each month", map[string]string{"CommitmentDiscountId": "rack", "ChargeCategory": "Purchase"}, 2},
		{"an answer after the close is a correction of input and output", map[string]string{"ChargeClass": "Correction", "BillingPeriodStart": "2026-02-01T00:00:00Z", "ChargePeriodStart": "2026-01-31T23:00:00Z"}, 2},
		{"suspense that was closed is an adjustment", map[string]string{"ChargeCategory": "Adjustment"}, 1},
	} {
		if n := count(&table, row.where); n != row.rows {
			t.Errorf("%s: %d rows, want %d", row.name, n, row.rows)
		}
	}
	totals, err := d.books.Totals(&table, "USD")
	if err != nil || totals.Suspense.Attempts != 0 || totals.Suspense.Estimate != 0 {
		t.Errorf("suspense that was closed is still told: %+v %v", totals, err)
	}
}

func count(table *focus.Table, where map[string]string) (n int) {
rows:
	for i := range table.Rows {
		for name, value := range where {
			if table.At(i, name).Text != value {
				continue rows
			}
		}
		n++
	}
	return n
}

func TestClosedBooks_WindowsAddUp(t *testing.T) {
	d := written(t)
	whole := d.table(focus.Window{AsOf: day("2026-04-01")})
	january := d.table(focus.Window{From: day("2026-01-01"), Until: day("2026-02-01"), AsOf: day("2026-04-01")})
	february := d.table(focus.Window{From: day("2026-02-01"), AsOf: day("2026-04-01")})
	for _, column := range []string{"BilledCost", "EffectiveCost", "ConsumedQuantity"} {
		if parts := sumOf(t, &january, column).Add(sumOf(t, &february, column)); parts.Cmp(sumOf(t, &whole, column)) != 0 {
			t.Errorf("%s: the months come to %s, the whole to %s", column, parts, sumOf(t, &whole, column))
		}
	}
}

func sumOf(t *testing.T, table *focus.Table, column string) focus.Decimal {
	t.Helper()
	d, err := table.Sum(column)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCommitments_OfCreditAndPeriodsOfClosedBooks(t *testing.T) {
	d := written(t)
	a, _ := creditTerms("credit")
	w := focus.Window{AsOf: day("2026-04-01")}
	commitments, err := d.books.Commitments(a, w)
	if err != nil {
		t.Fatal(err)
	}
	ownRules(t, focus.ContractCommitment, focus.V14, &commitments)
	if n := count(&commitments, map[string]string{"ContractId": "credit", "ContractCommitmentPaymentModel": "All Upfront", "ContractCommitmentFulfillmentInterval": "Monthly", "ContractCommitmentLifecycleStatus": "Expired"}); n != 2 {
		t.Errorf("%d intervals of the credit, want 2", n)
	}
	periods, err := d.books.Periods(a, w, 202601)
	if err != nil {
		t.Fatal(err)
	}
	ownRules(t, focus.BillingPeriod, focus.V14, &periods)
	got := map[string]int{}
	for i := range periods.Rows {
		got[periods.At(i, "BillingPeriodStart").Text[:7]+" "+periods.At(i, "BillingPeriodStatus").Text]++
	}
	if diff := cmp.Diff(map[string]int{"2026-01 Closed": 3, "2026-02 Open": 3}, got); diff != "" {
		t.Errorf("periods (-want +got):\n%s", diff)
	}
}

func TestInvoices_AddUpToWhatBecamePayable(t *testing.T) {
	d := newDiary(t, creditTerms)
	invoice := func(kind ledger.Kind, debit, price, ref string, amount money.Amount) ledger.Entry {
		e := entry(kind, debit, "lab/liability/payable/azure", "metered", amount)
		e.Price, e.Ref, e.Period = price, ref, 202601
		return e
	}
	d.batch(&ledger.Batch{Sequence: 1, First: 1, At: day("2026-02-05").UnixNano(), Entries: []ledger.Entry{
		invoice(ledger.Invoice, "lab/liability/accrued/azure", "price,used", "0123456789ab", 1_500_000),
		invoice(ledger.Difference, "lab/asset/difference/azure,price_differs", "", "0123456789ab.7", 25),
		invoice(ledger.Difference, "lab/asset/difference/azure,price_differs", "", "0123456789ab.7", -25),
		invoice(ledger.Difference, "lab/asset/difference/azure,rounding", "", "0123456789ab.9", 0),
		entry(ledger.Shortfall, "lab/expense/shortfall/x", "lab/liability/payable/azure", "metered", 7),
	}})
	a, _ := creditTerms("credit")
	table, err := d.books.Invoices(a, focus.Window{From: day("2026-01-01"), AsOf: day("2026-04-01")})
	if err != nil {
		t.Fatal(err)
	}
	ownRules(t, focus.InvoiceDetail, focus.V14, &table)
	if got := sumOf(t, &table, "BilledCost"); len(table.Rows) != 3 || got.String() != "1.5" || table.At(1, "InvoiceId").Text != "0123456789ab" {
		t.Errorf("%d rows of %s", len(table.Rows), got)
	}
}
