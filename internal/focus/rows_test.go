package focus_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// gathered posts a history and gives it to Books, batch by batch.
func gathered(t interface {
	Helper()
	Fatal(...any)
}, records []record.Record,
) (*focus.Books, *ledger.Book, []ledger.Batch) {
	t.Helper()
	book := ledger.New(storetest.Terms)
	books := focus.NewBooks(ledger.New(storetest.Terms))
	var batches []ledger.Batch
	for _, part := range storetest.Split(records) {
		step, err := book.Post(part)
		if err != nil {
			t.Fatal(err)
		}
		for i := range part {
			books.Record(&part[i])
		}
		if err := books.Batch(&step.Batch); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, step.Batch)
	}
	return books, book, batches
}

func terms(t interface{ Fatal(...any) }, hash string) *alliance.Alliance {
	a, err := storetest.Terms(hash)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var fullTerm = focus.Window{From: day("2026-01-01"), AsOf: day("2027-01-01")}

func day(s string) time.Time {
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return at
}

// sample is a table over the whole term of all contracts.
func sample(t interface {
	Helper()
	Fatal(...any)
}, v focus.Version,
) focus.Table {
	t.Helper()
	books, _, _ := gathered(t, storetest.History(storetest.Random(7), 400))
	table, err := books.CostAndUsage(terms(t, "5ec0nd"), v, fullTerm)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestMoney_EffectiveCostIsBilledCostOverATermAndBilledCostIsWhatIsOwed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		records := storetest.History(pick, rapid.IntRange(5, 150).Draw(t, "steps"))
		books, _, batches := gathered(t, records)
		latest := terms(t, "5ec0nd")
		table, err := books.CostAndUsage(latest, focus.V14, fullTerm)
		if err != nil {
			t.Fatal(err)
		}
		faults, err := focus.Identity(&table, true)
		if err != nil || len(faults) > 0 {
			t.Fatal(err, faults)
		}
		// What is owed: costs that do not draw on a fee, and the fees.
		var owed money.Amount
		for _, b := range batches {
			for _, e := range b.Entries {
				if c := latest.Contract(alliance.ContractID(e.Contract)); e.Kind == ledger.Cost && (c == nil || !contract.Perishes(c.Shape)) {
					owed += e.Amount
				}
			}
		}
		for i := range latest.Contracts {
			fees, err := contract.FeesUpTo(&latest.Contracts[i], fullTerm.AsOf)
			if err != nil {
				t.Fatal(err)
			}
			owed += fees
		}
		billed, err := table.Sum("BilledCost")
		if err != nil || billed.Cmp(focus.AmountDecimal(owed)) != 0 {
			t.Fatalf("billed %s, owed %s, %v", billed, owed, err)
		}
	})
}

func TestWindows_AddUpWhateverTheCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		books, _, _ := gathered(t, storetest.History(pick, 80))
		latest := terms(t, "5ec0nd")
		cut := day("2026-06-30").Add(time.Duration(rapid.IntRange(1, 47).Draw(t, "hours")) * time.Hour)
		whole, first, second := fullTerm, fullTerm, fullTerm
		first.Until, second.From = cut, cut
		sums := map[string]focus.Decimal{}
		for sign, w := range map[string]focus.Window{"whole": whole, "first": first, "second": second} {
			table, err := books.CostAndUsage(latest, focus.V14, w)
			if err != nil {
				t.Fatal(err)
			}
			for _, column := range []string{"BilledCost", "EffectiveCost"} {
				sum, err := table.Sum(column)
				if err != nil {
					t.Fatal(err)
				}
				sums[sign+column] = sum
			}
		}
		for _, column := range []string{"BilledCost", "EffectiveCost"} {
			if parts := sums["first"+column].Add(sums["second"+column]); parts.Cmp(sums["whole"+column]) != 0 {
				t.Fatalf("%s: %s + %s is not %s", column, sums["first"+column], sums["second"+column], sums["whole"+column])
			}
		}
	})
}

func TestRows_CountEveryTokenServedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		books, _, batches := gathered(t, storetest.History(pick, 120))
		table, err := books.CostAndUsage(terms(t, "5ec0nd"), focus.V12, fullTerm)
		if err != nil {
			t.Fatal(err)
		}
		var tokens int64
		for _, b := range batches {
			for _, e := range b.Entries {
				if e.Kind == ledger.Tokens {
					tokens += int64(e.Amount)
				}
			}
		}
		sum, err := table.Sum("ConsumedQuantity")
		if err != nil || sum.Cmp(focus.NewDecimal(tokens, 0)) != 0 {
			t.Fatalf("rows have %s tokens, the books %d: %v", sum, tokens, err)
		}
	})
}

func TestRows_KeepOurOwnRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		books, _, _ := gathered(t, storetest.History(pick, 100))
		latest := terms(t, "5ec0nd")
		for _, v := range []focus.Version{focus.V12, focus.V14} {
			table, err := books.CostAndUsage(latest, v, fullTerm)
			if err != nil {
				t.Fatal(err)
			}
			ownRules(t, focus.CostAndUsage, v, &table)
		}
		commitments, err := books.Commitments(latest, fullTerm)
		if err != nil {
			t.Fatal(err)
		}
		ownRules(t, focus.ContractCommitment, focus.V14, &commitments)
		periods, err := books.Periods(latest, fullTerm, 202606)
		if err != nil {
			t.Fatal(err)
		}
		ownRules(t, focus.BillingPeriod, focus.V14, &periods)
		invoices, err := books.Invoices(latest, fullTerm)
		if err != nil {
			t.Fatal(err)
		}
		ownRules(t, focus.InvoiceDetail, focus.V14, &invoices)
	})
}

func ownRules(t interface{ Fatalf(string, ...any) }, d focus.Dataset, v focus.Version, table *focus.Table) {
	rules, err := focus.OwnRules(d, v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	report := rules.Check(table, nil)
	for _, r := range append(report.Of(focus.Failed), report.Of(focus.Warned)...) {
		t.Fatalf("%s %s: %s: row %d, %s = %s", d, v, r.Rule, r.Row, r.Column, r.Value)
	}
	if report.Count(focus.Passed) == 0 {
		t.Fatalf("%s %s: no rule passed", d, v)
	}
}

func TestColumns_AreThoseOfEachVersion(t *testing.T) {
	for _, row := range []struct {
		dataset focus.Dataset
		version focus.Version
		want    int // FOCUS's own
	}{
		{focus.CostAndUsage, focus.V12, 57},
		{focus.CostAndUsage, focus.V14, 65},
		{focus.ContractCommitment, focus.V14, 30},
		{focus.BillingPeriod, focus.V14, 6},
		{focus.InvoiceDetail, focus.V14, 22},
	} {
		columns, err := focus.Columns(row.dataset, row.version)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, c := range columns {
			if !strings.HasPrefix(c.Name, "x_") {
				n++
			}
		}
		if n != row.want {
			t.Errorf("%s %s has %d columns of FOCUS, want %d", row.dataset, row.version, n, row.want)
		}
	}
	for _, row := range []struct {
		dataset focus.Dataset
		version focus.Version
	}{{focus.BillingPeriod, focus.V12}, {"invoices", focus.V14}, {focus.CostAndUsage, "1.0"}} {
		if _, err := focus.Columns(row.dataset, row.version); err == nil {
			t.Errorf("%s %s has columns", row.dataset, row.version)
		}
	}
}

func TestContractApplied_RetiresWhatTheBooksRetire(t *testing.T) {
	for seed := range uint64(12) {
		retires(t, seed)
	}
}

// retires compares what the rows of one history retire with the burn-down.
func retires(t *testing.T, seed uint64) {
	books, book, _ := gathered(t, storetest.History(storetest.Random(seed), 300))
	latest := terms(t, "5ec0nd")
	table, err := books.CostAndUsage(latest, focus.V14, fullTerm)
	if err != nil {
		t.Fatal(err)
	}
	sums, last := map[string]focus.Decimal{}, map[string]string{}
	for i := range table.Rows {
		text := table.At(i, "ContractApplied")
		if !text.Valid {
			continue
		}
		var v struct{ Elements []map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(text.Text), &v); err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Elements {
			id := strings.Trim(string(e["ContractCommitmentId"]), `"`)
			cost, err := focus.ParseDecimal(string(e["ContractCommitmentAppliedCost"]))
			if err != nil {
				t.Fatal(err)
			}
			sums[id] = sums[id].Add(cost)
			last[id] = string(e["x_ContractCommitmentCostBalance"])
		}
	}
	floors := 0
	for _, b := range book.Burns(ledger.NewTerms(latest), day("2026-07-01")) {
		for _, f := range b.Floors {
			if f.Used == 0 {
				continue
			}
			floors++
			id := string(b.Contract) + "," + f.From.String()
			if sums[id].Cmp(focus.AmountDecimal(f.Used)) != 0 {
				t.Errorf("seed %d: %s: rows retire %s, the books %s", seed, id, sums[id], f.Used)
			}
			if open := focus.AmountDecimal(f.Open); last[id] != open.String() {
				t.Errorf("seed %d: %s: the last balance is %s, the books have %s open", seed, id, last[id], open)
			}
		}
	}
	if floors == 0 {
		t.Fatal("the history retires no floor")
	}
}

func TestBatch_RefusesBooksThatRequestsDoNotComeTo(t *testing.T) {
	records := storetest.History(storetest.Random(3), 200)
	book := ledger.New(storetest.Terms)
	books := focus.NewBooks(ledger.New(storetest.Terms))
	for _, part := range storetest.Split(records) {
		step, err := book.Post(part)
		if err != nil {
			t.Fatal(err)
		}
		for i := range part {
			books.Record(&part[i])
		}
		for i := range step.Batch.Entries {
			if step.Batch.Entries[i].Kind == ledger.Cost {
				step.Batch.Entries[i].Amount++
				if err := books.Batch(&step.Batch); err == nil || !strings.Contains(err.Error(), "ledger verify") {
					t.Fatalf("a micro-unit too much is accepted: %v", err)
				}
				return
			}
		}
		if err := books.Batch(&step.Batch); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the history has no cost")
}

// entry is one that no request is behind.
func entry(kind ledger.Kind, debit, credit, contract string, amount money.Amount) ledger.Entry {
	return ledger.Entry{Key: ledger.Key{
		Kind: kind, Debit: ledger.AccountID(debit), Credit: ledger.AccountID(credit), Asset: "USD", Contract: contract, Terms: "5ec0nd", Period: 202607,
	}, Amount: amount, Divisor: 1}
}

func TestClose_WhatIsBookedStandsForWhatAccrues(t *testing.T) {
	books, _, batches := gathered(t, storetest.History(storetest.Random(7), 400))
	latest := terms(t, "5ec0nd")
	july := focus.Window{From: day("2026-07-01"), Until: day("2026-08-01"), AsOf: day("2027-01-01")}
	open, err := books.CostAndUsage(latest, focus.V14, july)
	if err != nil {
		t.Fatal(err)
	}
	used := sum(t, &open, map[string]string{"CommitmentDiscountId": "rack", "CommitmentDiscountStatus": "Used"}, "EffectiveCost")
	const usedLater, fee = 40, 5_000_000
	n, _ := used.Unscaled(6)
	close := ledger.Batch{Sequence: uint64(len(batches) + 1), First: 1, At: day("2026-08-02").UnixNano(), Entries: []ledger.Entry{
		entry(ledger.Cost, "lab/expense/compute/neo-rack", "lab/asset/capacity_clearing/neo-rack", "rack", usedLater),
		entry(ledger.Fee, "lab/asset/capacity_clearing/neo-rack", "lab/liability/accrued/neo", "rack", fee),
		entry(ledger.Unused, "lab/expense/unused_capacity/neo-rack", "lab/asset/capacity_clearing/neo-rack", "rack", fee-usedLater-money.Amount(n.Int64())),
		entry(ledger.Shortfall, "lab/expense/shortfall/floor", "lab/liability/payable/aws", "floor", 70),
		entry(ledger.Rollover, "lab/asset/rollover_credit/floor,2026-01-01", "lab/expense/shortfall/floor", "floor", 30),
		entry(ledger.Unused, "lab/expense/unused_capacity/aws-chips", "lab/asset/capacity_clearing/aws-chips", "floor", -5),
		entry(ledger.Difference, "lab/liability/accrued/aws", "lab/expense/compute/aws-east", "floor", 9),
		entry(ledger.Invoice, "lab/liability/payable/aws", "lab/asset/cash/bank", "", 1000),
	}}
	if err := books.Batch(&close); err != nil {
		t.Fatal(err)
	}
	closed, err := books.CostAndUsage(latest, focus.V14, july)
	if err != nil {
		t.Fatal(err)
	}
	ownRules(t, focus.CostAndUsage, focus.V14, &closed)
	if faults, err := focus.Identity(&closed, true); err != nil || len(faults) > 0 {
		t.Error(err, faults)
	}
	for _, row := range []struct {
		name   string
		where  map[string]string
		column string
		want   money.Amount
	}{
		{"the fee is the booked one", map[string]string{"CommitmentDiscountId": "rack", "ChargeCategory": "Purchase"}, "BilledCost", fee},
		{"what was booked later counts as used", map[string]string{"CommitmentDiscountId": "rack", "CommitmentDiscountStatus": "Used"}, "EffectiveCost", money.Amount(n.Int64()) + usedLater},
		{"the shortfall, the rest of a bill and a credit are adjustments", map[string]string{"ChargeCategory": "Adjustment"}, "BilledCost", 70 - 5 - 9},
	} {
		if got := sum(t, &closed, row.where, row.column); got.Cmp(focus.AmountDecimal(row.want)) != 0 {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	// A window that cuts the month holds as much of the fee as has accrued in it.
	late := focus.Window{From: day("2026-07-10"), Until: day("2026-08-01"), AsOf: day("2027-01-01")}
	rest, err := books.CostAndUsage(latest, focus.V14, late)
	if err != nil {
		t.Fatal(err)
	}
	rack := map[string]string{"CommitmentDiscountId": "rack"}
	accrued, err := contract.FeesUpTo(latest.Contract("rack"), late.Until)
	if err != nil {
		t.Fatal(err)
	}
	before, err := contract.FeesUpTo(latest.Contract("rack"), late.From)
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range []string{"BilledCost", "EffectiveCost"} {
		if got := sum(t, &rest, rack, column); got.Cmp(focus.AmountDecimal(accrued-before)) != 0 {
			t.Errorf("%s of the rest of the month is %s, want %s", column, got, accrued-before)
		}
	}
}

func sum(t *testing.T, table *focus.Table, where map[string]string, column string) (total focus.Decimal) {
	t.Helper()
	for i := range table.Rows {
		match := true
		for name, value := range where {
			match = match && table.At(i, name).Text == value
		}
		if !match {
			continue
		}
		d, err := focus.ParseDecimal(table.At(i, column).Text)
		if err != nil {
			t.Fatal(err)
		}
		total = total.Add(d)
	}
	return total
}
