package focus_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/focusfile"
)

// rulesEnv names the published rules of FOCUS 1.2; a sample of the older 1.0
// stands beside them. They are not part of the project.
const rulesEnv = "ACCORDO_FOCUS_RULES"

func published(t *testing.T) *focus.Rules {
	t.Helper()
	name := os.Getenv(rulesEnv)
	if name == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: name the published rules of FOCUS 1.2", rulesEnv)
		}
		t.Skipf("not run: %s names no file of rules", rulesEnv)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := focus.ParseRules(data)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// untyped is the sample as a reader of its CSV file sees it.
func untyped(t *testing.T) focus.Table {
	t.Helper()
	table := sample(t, focus.V12)
	var file bytes.Buffer
	if err := focusfile.WriteCSV(&file, &table); err != nil {
		t.Fatal(err)
	}
	read, err := focusfile.ReadCSV(&file)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// broken lists the rules that fail or warn by their own check, not by parts.
func broken(r *focus.Report, s focus.Status) (ids []string) {
	for _, v := range r.Of(s) {
		if len(v.Parts) == 0 {
			ids = append(ids, v.Rule)
		}
	}
	return ids
}

func TestPublishedRules_AllHoldOrDoNotApply(t *testing.T) {
	rules := published(t)
	if rules.Len() != 621 {
		t.Errorf("%d rules, want 621", rules.Len())
	}
	typed := sample(t, focus.V12)
	plain := untyped(t)
	a, _ := creditTerms("credit")
	closed, err := written(t).books.CostAndUsage(a, focus.V12, focus.Window{AsOf: day("2026-04-01")})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name     string
		table    focus.Table
		criteria []string
		least    int // rules that must have passed, so that the test sees something
	}{
		{"as written, with the criteria that we claim", typed, focus.Supported(), 300},
		{"read back from CSV", plain, focus.Supported(), 300},
		{"with every criterion there is", plain, rules.Criteria, 350},
		{"closed months with credits and corrections", closed, rules.Criteria, 350},
	} {
		t.Run(row.name, func(t *testing.T) {
			report := rules.Check(&row.table, row.criteria)
			for _, s := range []focus.Status{focus.Failed, focus.Warned} {
				for _, v := range report.Of(s) {
					t.Errorf("%s %s: row %d, %s = %s: %s", s, v.Rule, v.Row, v.Column, v.Value, v.Text)
				}
			}
			if n := report.Count(focus.Passed); n < row.least {
				t.Errorf("only %d rules passed: %v", n, report.Reasons())
			}
			n := 0
			for _, count := range report.Reasons() {
				n += count
			}
			if n != report.Count(focus.NotApplicable) {
				t.Errorf("%d of %d rules that are not applicable say why", n, report.Count(focus.NotApplicable))
			}
		})
	}
}

// change breaks one row of the sample, chosen by what it is.
type change struct {
	row    string // metered, used, unused or purchase; empty: the table
	column string
	to     focus.Cell
	also   map[string]focus.Cell
	table  func(*focus.Table)
}

func (c change) apply(t *testing.T, table *focus.Table) {
	t.Helper()
	if c.table != nil {
		c.table(table)
		return
	}
	for i, row := range table.Rows {
		kind := table.At(i, "ChargeCategory").Text
		if kind == "Usage" {
			kind = "metered"
			if s := table.At(i, "CommitmentDiscountStatus"); s.Valid {
				kind = strings.ToLower(s.Text)
			}
		}
		if strings.ToLower(kind) != c.row || kind == "metered" && table.At(i, "BilledCost").Text == "0" {
			continue
		}
		row[table.Position(c.column)] = c.to
		for column, cell := range c.also {
			row[table.Position(column)] = cell
		}
		return
	}
	t.Fatalf("the sample has no %s row", c.row)
}

func drop(column string) func(*focus.Table) {
	return func(t *focus.Table) {
		i := t.Position(column)
		t.Columns = slices.Delete(slices.Clone(t.Columns), i, i+1)
		for n := range t.Rows {
			t.Rows[n] = slices.Delete(t.Rows[n], i, i+1)
		}
	}
}

func retype(column string, to focus.Type) func(*focus.Table) {
	return func(t *focus.Table) { t.Columns[t.Position(column)].Type = to }
}

func TestPublishedRules_FailExactlyWhereARowIsBroken(t *testing.T) {
	rules := published(t)
	text := focus.Text
	for _, row := range []struct {
		name   string
		change change
		fails  []string
		warns  []string
	}{
		{"ColumnPresent: a column is missing", change{table: drop("BilledCost")}, []string{"CostAndUsage-D-006-M"}, nil},
		{"ColumnPresent: a recommended column is missing", change{table: drop("ServiceSubcategory")}, nil, []string{"CostAndUsage-D-042-O"}},
		{"CheckDistinctCount: one price of two SKUs", change{row: "metered", column: "SkuId", to: text("another")}, []string{"SkuPriceId-C-008-M"}, nil},
		{"FormatKeyValue: a nested value", change{row: "metered", column: "Tags", to: text(`{"a":{"b":1}}`)}, []string{"Tags-C-001-M"}, nil},
		{"FormatKeyValue: a key twice", change{row: "used", column: "SkuPriceDetails", to: text(`{"x_A":1,"x_A":2}`)}, []string{"SkuPriceDetails-C-001-M"}, nil},
		{"CheckValue: a purchase with an effective cost", change{row: "purchase", column: "EffectiveCost", to: text("1")}, []string{"EffectiveCost-C-005-C"}, nil},
		{"CheckValue null: unused capacity that consumes", change{row: "unused", column: "ConsumedQuantity", to: text("1"), also: map[string]focus.Cell{"ConsumedUnit": text("Tokens")}}, []string{"ConsumedQuantity-C-004-C"}, nil},
		{"CheckNotValue null: no issuer; what rests on it is not judged", change{row: "metered", column: "InvoiceIssuerName", to: focus.Null}, []string{"InvoiceIssuerName-C-003-M"}, nil},
		{"CheckNotValue: a purchase by usage", change{row: "purchase", column: "ChargeFrequency", to: text("Usage-Based")}, []string{"ChargeFrequency-C-004-C"}, nil},
		{"CheckNotSameValue in a condition: another provider than issuer", change{row: "metered", column: "ProviderName", to: text("another")}, []string{"BilledCost-C-005-C"}, nil},
		{"CheckDecimalValue, TypeDecimal, FormatNumeric: no number", change{row: "metered", column: "BilledCost", to: text("abc")}, []string{"BilledCost-C-001-M", "BilledCost-C-002-M", "BilledCost-C-004-M"}, nil},
		{"FormatNumeric: a plus sign", change{row: "metered", column: "ConsumedQuantity", to: text("+5")}, []string{"ConsumedQuantity-C-002-M"}, nil},
		{"CheckGreaterOrEqualThanValue: a negative price", change{row: "unused", column: "ListUnitPrice", to: text("-1"), also: map[string]focus.Cell{"PricingQuantity": text("0"), "ListCost": text("0")}}, []string{"ListUnitPrice-C-008-M"}, nil},
		{"ColumnByColumnEqualsColumnValue: a cost off by a little", change{row: "metered", column: "ListCost", to: text("0.000000000001")}, []string{"ListUnitPrice-C-010-C"}, nil},
		{"ColumnByColumnEqualsColumnValue: a contracted cost", change{row: "metered", column: "ContractedCost", to: text("7")}, []string{"ContractedUnitPrice-C-011-C"}, nil},
		{"CheckNationalCurrency: a virtual currency", change{row: "metered", column: "BillingCurrency", to: text("Credits")}, []string{"BillingCurrency-C-006-M"}, nil},
		{"FormatCurrency: a code in small letters", change{row: "metered", column: "PricingCurrency", to: text("usd")}, []string{"PricingCurrency-C-003-M"}, nil},
		{"TypeString: numbers for text", change{table: retype("SkuMeter", focus.Number)}, []string{"SkuMeter-C-001-M"}, nil},
		{"TypeDecimal: text for numbers", change{table: retype("ListCost", focus.String)}, []string{"ListCost-C-001-M"}, nil},
		{"TypeDateTime, FormatDateTime: no instant", change{row: "used", column: "ChargePeriodStart", to: text("yesterday")}, []string{"ChargePeriodStart-C-001-M", "ChargePeriodStart-C-002-M"}, nil},
		{"FormatDateTime: an instant without its zone", change{row: "used", column: "BillingPeriodEnd", to: text("2026-07-01 00:00:00")}, []string{"BillingPeriodEnd-C-002-M"}, nil},
		{"FormatString: a blank text", change{row: "metered", column: "ChargeDescription", to: text("  ")}, []string{"ChargeDescription-C-002-M"}, nil},
		{"FormatString, TypeString: no Unicode", change{row: "metered", column: "SkuMeter", to: text("\xff")}, []string{"SkuMeter-C-001-M", "SkuMeter-C-002-M"}, nil},
		{"FormatUnit: a recommendation", change{row: "metered", column: "PricingUnit", to: text("per million tokens")}, nil, []string{"PricingUnit-C-003-O"}},
		{"OR: a value that is not allowed", change{row: "unused", column: "ChargeFrequency", to: text("Weekly")}, []string{"ChargeFrequency-C-003-M"}, nil},
		{"OR of AND: a subcategory of another category", change{table: func(t *focus.Table) {
			for i := range t.Rows {
				t.Rows[i][t.Position("ServiceSubcategory")] = text("Caching")
			}
		}}, []string{"ServiceSubcategory-C-004-M"}, nil},
		{"a condition of two columns: a reservation without its status", change{row: "used", column: "CapacityReservationStatus", to: focus.Null}, []string{"CapacityReservationStatus-C-004-C"}, nil},
		{"a condition that stands over others: a commitment without quantity", change{row: "purchase", column: "CommitmentDiscountQuantity", to: focus.Null, also: map[string]focus.Cell{"CommitmentDiscountUnit": focus.Null}}, []string{"CommitmentDiscountQuantity-C-005-C"}, nil},
		{"judged by its sentence: a status without a commitment", change{row: "metered", column: "CommitmentDiscountStatus", to: text("Used")}, []string{"CommitmentDiscountStatus-C-003-C"}, nil},
		{"judged by its sentence: a commitment without status", change{row: "used", column: "CommitmentDiscountStatus", to: focus.Null}, []string{"CommitmentDiscountStatus-C-004-C"}, nil},
		{"judged by its sentence: a status that the sentence does not know", change{row: "used", column: "CommitmentDiscountStatus", to: text("Active")}, []string{"CommitmentDiscountStatus-C-005-M"}, nil},
		{"judged by its sentence: usage without quantity", change{row: "metered", column: "ConsumedQuantity", to: focus.Null, also: map[string]focus.Cell{"ConsumedUnit": focus.Null}}, []string{"ConsumedQuantity-C-006-C"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			table := untyped(t)
			row.change.apply(t, &table)
			report := rules.Check(&table, rules.Criteria)
			if diff := cmp.Diff(row.fails, broken(report, focus.Failed)); diff != "" {
				t.Errorf("failed (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.warns, broken(report, focus.Warned)); diff != "" {
				t.Errorf("warned (-want +got):\n%s", diff)
			}
			// A failure reaches the top through the composites above it.
			top := slices.ContainsFunc(report.Of(focus.Failed), func(r focus.Result) bool { return r.Rule == "CostAndUsage-D-000-M" })
			if top != (len(row.fails) > 0) {
				t.Errorf("the rule of the whole dataset fails: %v", top)
			}
		})
	}
}

// TestPublishedRules_FindTheFaultsOfTheOlderSample holds the engine to a file
// that others wrote: it is of version 1.0, so columns of later versions are
// missing, and its writers kept other habits. Counts were taken from the file
// by other means.
func TestPublishedRules_FindTheFaultsOfTheOlderSample(t *testing.T) {
	rules := published(t)
	f, err := os.Open(filepath.Join(filepath.Dir(os.Getenv(rulesEnv)), "focus_sample_1.0.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := focusfile.ReadCSV(f, "NULL")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{ // rule → rows that break it
		// Instants are written without T and Z.
		"BillingPeriodEnd-C-002-M": 1000, "BillingPeriodStart-C-002-M": 1000, "ChargePeriodEnd-C-002-M": 1000, "ChargePeriodStart-C-002-M": 1000,
		// "AWS" bills as "Amazon Web Services, Inc.": the check compares names.
		"BilledCost-C-005-C": 615,
		// One provider leaves seven rows without names, costs and prices, and writes "Usage-based".
		"BillingAccountName-C-003-C": 7, "ChargeFrequency-C-003-M": 7, "ContractedCost-C-003-M": 7, "ContractedCost-C-004-M": 7,
		"ContractedUnitPrice-C-006-C": 5, "PricingCategory-C-004-C": 5, "SkuPriceId-C-005-C": 5, "RegionName-C-004-C": 7,
		// Quantities of what is no usage, a negative price, costs rounded after eleven decimals.
		"ConsumedQuantity-C-004-C": 2, "ContractedUnitPrice-C-009-C": 1, "ListUnitPrice-C-010-C": 490,
		"RegionName-C-005-C": 2, "ResourceType-C-004-C": 36, "ResourceType-C-005-C": 752, "ServiceName-C-005-C": 1,
		// Columns that came after 1.0.
		"CostAndUsage-D-015-C": 0, "CostAndUsage-D-018-C": 0, "CostAndUsage-D-020-C": 0, "CostAndUsage-D-059-C": 0, "CostAndUsage-D-061-C": 0, "CostAndUsage-D-065-C": 0,
	}
	got := map[string]int{}
	for _, v := range rules.Check(&table, focus.Supported()).Of(focus.Failed) {
		if len(v.Parts) == 0 {
			got[v.Rule] = v.Rows
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules and rows (-want +got):\n%s", diff)
	}
}
