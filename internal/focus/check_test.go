package focus

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// judge runs one requirement over one column or more of one row.
func judge(t *testing.T, requirement string, table Table) *Report {
	t.Helper()
	rules, err := ParseRules(fmt.Appendf(nil, `{"Details":{"FOCUSVersion":"test"},"ModelRules":{"r":{"ValidationCriteria":{"MustSatisfy":"r","Keyword":"MUST","Requirement":%s}}}}`, requirement))
	if err != nil {
		t.Fatal(err)
	}
	return rules.Check(&table, nil)
}

func one(kind Type, names string, values ...string) Table {
	t := Table{Rows: [][]Cell{nil}}
	for i, name := range strings.Fields(names) {
		t.Columns = append(t.Columns, Column{name, kind})
		t.Rows[0] = append(t.Rows[0], Text(values[i]))
	}
	return t
}

func TestFunctions_JudgeValues(t *testing.T) {
	column := func(function string) string { return `{"CheckFunction":"` + function + `","ColumnName":"A"}` }
	with := func(function, value string) string {
		return `{"CheckFunction":"` + function + `","ColumnName":"A","Value":` + value + `}`
	}
	two := func(function string) string {
		result := ""
		if function == "ColumnByColumnEqualsColumnValue" {
			result = `,"ResultColumnName":"C"`
		}
		return `{"CheckFunction":"` + function + `","ColumnAName":"A","ColumnBName":"B","ExpectedCount":1` + result + `}`
	}
	for _, row := range []struct {
		name, requirement string
		table             Table
		want              Status
	}{
		{"a null breaks no format", column("FormatNumeric"), one(Untyped, "A", ""), Passed},
		{"a value equals a number written otherwise", with("CheckValue", "0"), one(Untyped, "A", "0.00"), Passed},
		{"a null is not compared with a value", with("CheckValue", `"x"`), one(Untyped, "A", ""), Passed},
		{"another value is not the value", with("CheckValue", `"x"`), one(Untyped, "A", "y"), Failed},
		{"null is required and there", with("CheckValue", "null"), one(Untyped, "A", ""), Passed},
		{"null is required and not there", with("CheckValue", "null"), one(Untyped, "A", "x"), Failed},
		{"null is forbidden and there", with("CheckNotValue", "null"), one(Untyped, "A", ""), Failed},
		{"a forbidden value is there", with("CheckNotValue", `"x"`), one(Untyped, "A", "x"), Failed},
		{"a null is no forbidden value", with("CheckNotValue", `"x"`), one(Untyped, "A", ""), Passed},
		{"two equal values", two("CheckSameValue"), one(Untyped, "A B", "1.0", "1"), Passed},
		{"a value and a null are not the same", two("CheckSameValue"), one(Untyped, "A B", "1", ""), Failed},
		{"two nulls are the same", two("CheckNotSameValue"), one(Untyped, "A B", "", ""), Failed},
		{"two different values", two("CheckNotSameValue"), one(Untyped, "A B", "x", "y"), Passed},
		{"a number at the bound", with("CheckGreaterOrEqualThanValue", "0"), one(Untyped, "A", "0"), Passed},
		{"a number below the bound", with("CheckGreaterOrEqualThanValue", "0"), one(Untyped, "A", "-0.000001"), Failed},
		{"a text is not above a bound", with("CheckGreaterOrEqualThanValue", "0"), one(Untyped, "A", "x"), Failed},
		{"a decimal value", column("CheckDecimalValue"), one(Untyped, "A", "1.5E-3"), Passed},
		{"no decimal value", column("CheckDecimalValue"), one(Untyped, "A", "1,5"), Failed},
		{"a product that is exact", two("ColumnByColumnEqualsColumnValue"), one(Untyped, "A B C", "0.000003", "0.45", "0.00000135"), Passed},
		{"a product that was rounded", two("ColumnByColumnEqualsColumnValue"), one(Untyped, "A B C", "0.000003", "0.45", "0.000001"), Failed},
		{"a product of an unknown", two("ColumnByColumnEqualsColumnValue"), one(Untyped, "A B C", "", "0.45", "1"), Passed},
		{"one value beside each value", two("CheckDistinctCount"), one(Untyped, "A B", "x", "y"), Passed},
		{"no value beside a value", two("CheckDistinctCount"), one(Untyped, "A B", "x", ""), Failed},
		{"a currency", column("CheckNationalCurrency"), one(Untyped, "A", "EUR"), Passed},
		{"no currency", column("CheckNationalCurrency"), one(Untyped, "A", "EURO"), Failed},
		{"a code that nobody gave", column("CheckNationalCurrency"), one(Untyped, "A", "QQQ"), Failed},
		{"a virtual currency has the form of one", column("FormatCurrency"), one(Untyped, "A", "Credits"), Passed},
		{"three letters must be a currency", column("FormatCurrency"), one(Untyped, "A", "eur"), Failed},
		{"E notation", column("FormatNumeric"), one(Untyped, "A", "-3.5E-12"), Passed},
		{"a sign of an exponent that is not negative", column("FormatNumeric"), one(Untyped, "A", "1E+3"), Failed},
		{"a currency symbol", column("FormatNumeric"), one(Untyped, "A", "$1"), Failed},
		{"a fraction", column("FormatNumeric"), one(Untyped, "A", "1/2"), Failed},
		{"decimals in a column of decimals", column("TypeDecimal"), one(Number, "A", "1"), Passed},
		{"decimals in a column of text", column("TypeDecimal"), one(String, "A", "1"), Failed},
		{"text in a column of text", column("TypeString"), one(String, "A", "x"), Passed},
		{"an object is kept as text", column("TypeString"), one(JSON, "A", "{}"), Passed},
		{"text in a column of instants", column("TypeString"), one(DateTime, "A", "x"), Failed},
		{"an instant of a database", column("TypeDateTime"), one(Untyped, "A", "2024-09-01 00:00:00"), Passed},
		{"no day of the calendar", column("TypeDateTime"), one(Untyped, "A", "2024-02-30T00:00:00Z"), Failed},
		{"an instant in UTC", column("FormatDateTime"), one(Untyped, "A", "2024-09-01T00:00:00Z"), Passed},
		{"an instant elsewhere", column("FormatDateTime"), one(Untyped, "A", "2024-09-01T00:00:00+02:00"), Failed},
		{"a text", column("FormatString"), one(Untyped, "A", "Ünïcode ✓"), Passed},
		{"a text with a control character", column("FormatString"), one(Untyped, "A", "a\x00b"), Failed},
		{"a unit with a quantity", column("FormatUnit"), one(Untyped, "A", "1000000 Tokens"), Passed},
		{"a unit by time", column("FormatUnit"), one(Untyped, "A", "Chip-Seconds"), Passed},
		{"a unit per time", column("FormatUnit"), one(Untyped, "A", "GB/3 Months"), Passed},
		{"a time that is shortened", column("FormatUnit"), one(Untyped, "A", "GB-Mo"), Failed},
		{"a flat object", column("FormatKeyValue"), one(Untyped, "A", `{"a":1,"b":"x","c":null,"d":true}`), Passed},
		{"a list is no object", column("FormatKeyValue"), one(Untyped, "A", `["a"]`), Failed},
		{"an object within", column("FormatKeyValue"), one(Untyped, "A", `{"a":[1]}`), Failed},
		{"a key twice", column("FormatKeyValue"), one(Untyped, "A", `{"a":1,"a":1}`), Failed},
		{"more after the object", column("FormatKeyValue"), one(Untyped, "A", `{} {}`), Failed},
		{"a column that is there", column("ColumnPresent"), one(Untyped, "A", ""), Passed},
		{"a column that is not there", column("ColumnPresent"), one(Untyped, "B", ""), Failed},
		{"a check of a column that is not there", column("FormatNumeric"), one(Untyped, "B", ""), NotApplicable},
		{"all of two", `{"AND":[` + with("CheckValue", `"x"`) + `,` + column("TypeDecimal") + `]}`, one(Untyped, "A", "x"), Failed},
		{"one of two", `{"CheckFunction":"OR","Items":[` + with("CheckValue", `"x"`) + `,` + column("TypeDecimal") + `]}`, one(Untyped, "A", "x"), Passed},
		{"none of two", `{"CheckFunction":"OR","Items":[` + with("CheckValue", `"x"`) + `,` + column("TypeDecimal") + `]}`, one(Untyped, "A", "y"), Failed},
		{"one of two, and a null", `{"CheckFunction":"OR","Items":[` + with("CheckValue", `"x"`) + `,` + with("CheckValue", `"y"`) + `]}`, one(Untyped, "A", ""), Passed},
		{"what a commitment retires", column("x_ContractApplied"), one(Untyped, "A", `{"Elements":[{"ContractId":"c","ContractCommitmentId":"c,1","ContractCommitmentAppliedCost":0.5,"ContractCommitmentAppliedQuantity":null,"ContractCommitmentAppliedUnit":null,"x_ContractCommitmentCostBalance":7}]}`), Passed},
		{"a commitment without its id", column("x_ContractApplied"), one(Untyped, "A", `{"Elements":[{"ContractCommitmentAppliedCost":0.5,"ContractCommitmentAppliedQuantity":null,"ContractCommitmentAppliedUnit":null}]}`), Failed},
		{"a quantity without its unit", column("x_ContractApplied"), one(Untyped, "A", `{"Elements":[{"ContractCommitmentId":"c","ContractCommitmentAppliedCost":0.5,"ContractCommitmentAppliedQuantity":1,"ContractCommitmentAppliedUnit":null}]}`), Failed},
		{"a cost as text", column("x_ContractApplied"), one(Untyped, "A", `{"Elements":[{"ContractCommitmentId":"c","ContractCommitmentAppliedCost":"0.5","ContractCommitmentAppliedQuantity":null,"ContractCommitmentAppliedUnit":null}]}`), Failed},
		{"a key that is neither theirs nor ours", column("x_ContractApplied"), one(Untyped, "A", `{"Elements":[{"ContractCommitmentId":"c","Balance":1,"ContractCommitmentAppliedCost":0.5,"ContractCommitmentAppliedQuantity":null,"ContractCommitmentAppliedUnit":null}]}`), Failed},
		{"columns in Pascal case, ours last", `{"CheckFunction":"x_PascalCase"}`, one(Untyped, "BilledCost x_Pool", "", ""), Passed},
		{"a column of ours among theirs", `{"CheckFunction":"x_PascalCase"}`, one(Untyped, "x_Pool BilledCost", "", ""), Failed},
		{"a column in small letters", `{"CheckFunction":"x_PascalCase"}`, one(Untyped, "billed_cost", ""), Failed},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := judge(t, row.requirement, row.table).Results[0]; got.Status != row.want {
				t.Errorf("%s: %s (%s), want %s", got.Check, got.Status, got.Why, row.want)
			}
		})
	}
}

// rulesOf is a file of rules: a tree of composites, conditions, dependencies,
// criteria and keywords.
const rulesOf = `{"Details":{"FOCUSVersion":"test"},"CheckFunctions":{"AND":{},"CheckModelRule":{}},"ModelRules":{
"top":{"ValidationCriteria":{"Keyword":"MUST","Requirement":{"CheckFunction":"AND","Items":[{"CheckFunction":"CheckModelRule","ModelRuleId":"paid"},{"CheckFunction":"CheckModelRule","ModelRuleId":"either"},{"CheckFunction":"CheckModelRule","ModelRuleId":"named"}]}}},
"paid":{"ValidationCriteria":{"Keyword":"MUST","Condition":{"CheckFunction":"CheckValue","ColumnName":"Kind","Value":"paid"},"Requirement":{"CheckFunction":"AND","Items":[{"CheckFunction":"CheckModelRule","ModelRuleId":"paid-cost"},{"CheckFunction":"CheckModelRule","ModelRuleId":"paid-note"}]}}},
"paid-cost":{"ValidationCriteria":{"Keyword":"MUST NOT","Requirement":{"CheckFunction":"CheckNotValue","ColumnName":"Cost","Value":null}}},
"paid-note":{"ValidationCriteria":{"Keyword":"SHOULD","Requirement":{"CheckFunction":"CheckNotValue","ColumnName":"Note","Value":null}}},
"either":{"ValidationCriteria":{"Keyword":"MUST","Requirement":{"CheckFunction":"OR","Items":[{"CheckFunction":"CheckModelRule","ModelRuleId":"a-cost"},{"CheckFunction":"CheckModelRule","ModelRuleId":"a-note"}]}}},
"a-cost":{"ValidationCriteria":{"Keyword":"MUST","Requirement":{"CheckFunction":"CheckNotValue","ColumnName":"Cost","Value":null}}},
"a-note":{"ValidationCriteria":{"Keyword":"MUST","Requirement":{"CheckFunction":"CheckNotValue","ColumnName":"Note","Value":null}}},
"named":{"ApplicabilityCriteria":["NAMES"],"ValidationCriteria":{"Keyword":"MUST","Requirement":{"CheckFunction":"AND","Items":[{"CheckFunction":"CheckModelRule","ModelRuleId":"name"}]}}},
"name":{"ValidationCriteria":{"Keyword":"MUST","Dependencies":["paid-cost"],"Requirement":{"CheckFunction":"CheckNotValue","ColumnName":"Name","Value":null}}},
"may":{"ValidationCriteria":{"Keyword":"MAY","Requirement":{"CheckFunction":"CheckSameValue","ColumnAName":"Cost","ColumnBName":"Note"}}},
"told":{"ValidationCriteria":{"Keyword":"MUST","Requirement":{}}},
"gone":{"Status":"Deprecated","ValidationCriteria":{"Keyword":"MUST","Requirement":{}}}}}`

func TestCheck_CompositesConditionsDependenciesCriteria(t *testing.T) {
	rules, err := ParseRules([]byte(rulesOf))
	if err != nil {
		t.Fatal(err)
	}
	table := func(cells ...string) Table { return one(Untyped, "Kind Cost Note Name", cells...) }
	for _, row := range []struct {
		name     string
		table    Table
		criteria []string
		want     map[string]Status // others are not applicable
	}{
		{
			"all is right", table("paid", "1", "n", "x"),
			[]string{"NAMES"},
			map[string]Status{"top": Passed, "paid": Passed, "paid-cost": Passed, "paid-note": Passed, "either": Passed, "a-cost": Passed, "a-note": Passed, "named": Passed, "name": Passed},
		},
		{
			"the condition of a composite holds for its parts", table("free", "", "n", "x"),
			[]string{"NAMES"},
			map[string]Status{"top": Passed, "either": Passed, "a-note": Passed, "named": Passed, "name": Passed},
		},
		{
			"a failure rises, and what rests on it is not judged", table("paid", "", "n", ""),
			[]string{"NAMES"},
			map[string]Status{"top": Failed, "paid": Failed, "paid-cost": Failed, "paid-note": Passed, "either": Passed, "a-note": Passed},
		},
		{
			"a recommendation does not rise", table("paid", "1", "", "x"),
			[]string{"NAMES"},
			map[string]Status{"top": Passed, "paid": Passed, "paid-cost": Passed, "paid-note": Warned, "either": Passed, "a-cost": Passed, "named": Passed, "name": Passed},
		},
		{
			"no alternative holds", table("free", "", "", "x"),
			[]string{"NAMES"},
			map[string]Status{"top": Failed, "either": Failed, "a-cost": Failed, "a-note": Failed, "named": Passed, "name": Passed},
		},
		{
			"a criterion that is not claimed frees the parts too", table("paid", "1", "n", ""), nil,
			map[string]Status{"top": Passed, "paid": Passed, "paid-cost": Passed, "paid-note": Passed, "either": Passed, "a-cost": Passed, "a-note": Passed},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := map[string]Status{}
			for _, r := range rules.Check(&row.table, row.criteria).Results {
				if r.Status != NotApplicable {
					got[r.Rule] = r.Status
				} else if r.Why == "" {
					t.Errorf("%s does not say why it is not applicable", r.Rule)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRules_RefusesWhatItCannotJudge(t *testing.T) {
	rule := func(requirement string) string {
		return `{"ModelRules":{"r":{"ValidationCriteria":{"Keyword":"MUST","Requirement":` + requirement + `}}}}`
	}
	for name, text := range map[string]string{
		"no JSON":                         "rules",
		"no rules":                        `{"ModelRules":{}}`,
		"a function in the list":          `{"CheckFunctions":{"CheckMood":{}},"ModelRules":{"r":{}}}`,
		"a function in a rule":            rule(`{"CheckFunction":"CheckMood","ColumnName":"A"}`),
		"an argument that is missing":     rule(`{"CheckFunction":"CheckValue","Value":1}`),
		"an argument that is unknown":     rule(`{"CheckFunction":"CheckValue","ColumnName":"A","Tolerance":1}`),
		"a rule that is not there":        rule(`{"CheckFunction":"CheckModelRule","ModelRuleId":"other"}`),
		"a rule that contains itself":     rule(`{"CheckFunction":"CheckModelRule","ModelRuleId":"r"}`),
		"a dependency that is not there":  `{"ModelRules":{"r":{"ValidationCriteria":{"Dependencies":["other"]}}}}`,
		"rules and checks side by side":   `{"ModelRules":{"q":{},"r":{"ValidationCriteria":{"Requirement":{"CheckFunction":"AND","Items":[{"CheckFunction":"CheckModelRule","ModelRuleId":"q"},{"CheckFunction":"ColumnPresent","ColumnName":"A"}]}}}}}`,
		"alternatives within":             `{"ModelRules":{"p":{},"q":{"ValidationCriteria":{"Requirement":{"CheckFunction":"CheckModelRule","ModelRuleId":"p"}}},"r":{"ValidationCriteria":{"Requirement":{"CheckFunction":"OR","Items":[{"CheckFunction":"CheckModelRule","ModelRuleId":"q"}]}}}}}`,
		"nesting without end":             rule(strings.Repeat(`{"AND":`, 40) + `{}` + strings.Repeat(`}`, 40)),
		"a short form that is no AND, OR": rule(`{"NOT":{"CheckFunction":"ColumnPresent","ColumnName":"A"}}`),
	} {
		if _, err := ParseRules([]byte(text)); !errors.Is(err, ErrRules) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRules_TakesACorrectedEditionAsItIs(t *testing.T) {
	edition := func(values string) *Rule {
		rules, err := ParseRules([]byte(`{"ModelRules":{"CommitmentDiscountStatus-C-005-M":{"ValidationCriteria":{"Keyword":"MUST","Requirement":{"CheckFunction":"OR","Items":[` + values + `]}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		return rules.Rule("CommitmentDiscountStatus-C-005-M")
	}
	value := func(v string) string {
		return `{"CheckFunction":"CheckValue","ColumnName":"CommitmentDiscountStatus","Value":"` + v + `"}`
	}
	if r := edition(value("Active") + "," + value("Expired") + "," + value("Pending")); r.Corrected == "" || !strings.Contains(r.Requirement.String(), "Unused") {
		t.Errorf("the known fault stands: %s", r.Requirement)
	}
	if r := edition(value("Used")); r.Corrected != "" || r.Requirement.String() != "OR(CheckValue(CommitmentDiscountStatus, Used))" {
		t.Errorf("a check that is not the faulty one is changed: %s", r.Requirement)
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte(rulesOf))
	f.Add([]byte(`{"ModelRules":{"r":{"ValidationCriteria":{"Condition":{"AND":{"CheckFunction":"CheckValue","ColumnName":"A","Value":0}}}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := ParseRules(data)
		if err != nil {
			if !errors.Is(err, ErrRules) {
				t.Fatal(err)
			}
			return
		}
		table := one(Untyped, "A B", "1", "")
		report := rules.Check(&table, rules.Criteria)
		if len(report.Results) != rules.Len() {
			t.Fatalf("%d results for %d rules", len(report.Results), rules.Len())
		}
	})
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "-1.50", "1e3", "+.5E-2", "1.", ".", "9e61", "0x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDecimal(s)
		if err != nil {
			return
		}
		again, err := ParseDecimal(d.String())
		if err != nil || again.Cmp(d) != 0 || again.String() != d.String() {
			t.Fatalf("%q reads as %s, which reads as %s: %v", s, d, again, err)
		}
	})
}
