package focus

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// OwnRules returns the rules that we hold a dataset to: that its columns are
// there, have their type and format, are not null where they may not be, and
// take allowed values; for Cost and Usage also how columns of one row go
// together. The published rules end with version 1.2; these cover what came
// later.
func OwnRules(d Dataset, v Version) (*Rules, error) {
	standard, custom, err := definitions(d, v)
	if err != nil {
		return nil, err
	}
	b := ruleBuilder{prefix: "Accordo-" + strings.ReplaceAll(string(v), ".", "") + "-"}
	for _, def := range standard {
		b.column(def)
	}
	for _, def := range custom {
		b.column(def)
	}
	b.add("ColumnNames", "Names of columns are in Pascal case, those of our own after x_ and after all others.", nil, Check{Function: "x_PascalCase"})
	if d == CostAndUsage {
		b.charges(v)
	}
	return newRules(string(v), b.rules)
}

type ruleBuilder struct {
	prefix string
	rules  []Rule
}

func (b *ruleBuilder) add(name, text string, condition *Check, requirement Check) {
	b.rules = append(b.rules, Rule{ID: b.prefix + name, Text: text, Keyword: "MUST", Requirement: &requirement, Condition: condition})
}

func (b *ruleBuilder) column(def definition) {
	n := def.name
	b.add(n+"-Present", n+" is present.", nil, Check{Function: "ColumnPresent", Column: n})
	kind := map[Type]string{String: "TypeString", JSON: "TypeString", Number: "TypeDecimal", DateTime: "TypeDateTime"}[def.kind]
	b.add(n+"-Type", n+" is of type "+string(def.kind)+".", nil, Check{Function: kind, Column: n})
	format := def.format
	if format == "" {
		format = map[Type]string{String: "FormatString", Number: "FormatNumeric", DateTime: "FormatDateTime"}[def.kind]
	}
	b.add(n+"-Format", n+" has the format that "+format+" checks.", nil, Check{Function: format, Column: n})
	if def.required {
		b.add(n+"-NotNull", n+" is not null.", nil, notNull(n))
	}
	if len(def.allowed) > 0 {
		c := Check{Function: or}
		for _, a := range def.allowed {
			c.Items = append(c.Items, is(n, a))
		}
		b.add(n+"-Allowed", n+" is one of the allowed values.", nil, c)
	}
}

// charges are the rules about the columns of one charge together.
func (b *ruleBuilder) charges(v Version) {
	when := func(c Check) *Check { return &c }
	all := func(items ...Check) Check { return Check{Function: and, Items: items} }
	zero := func(column string) Check {
		return Check{Function: "CheckValue", Column: column, Value: Text("0")}
	}
	b.add("Purchase-EffectiveCost", "A purchase that covers future use has EffectiveCost 0.", when(is("ChargeCategory", "Purchase")), zero("EffectiveCost"))
	b.add("Covered-BilledCost", "Usage that a commitment covers, and what is unused of it, has BilledCost 0.", when(notNull("CommitmentDiscountStatus")), zero("BilledCost"))
	b.add("Unused-Consumed", "Unused commitment consumes nothing.", when(is("CommitmentDiscountStatus", "Unused")), isNull("ConsumedQuantity"))
	b.add("Usage-Status", "Usage of a commitment is Used or Unused.",
		when(all(notNull("CommitmentDiscountId"), is("ChargeCategory", "Usage"))), notNull("CommitmentDiscountStatus"))
	b.add("NoDiscount-Status", "Without a commitment there is no status of one.", when(isNull("CommitmentDiscountId")), isNull("CommitmentDiscountStatus"))
	b.add("Standard-Costs", "Without a commitment EffectiveCost is BilledCost.", when(isNull("CommitmentDiscountId")),
		Check{Function: "CheckSameValue", Column: "EffectiveCost", Other: "BilledCost"})
	b.add("ListCost-Product", "ListCost is ListUnitPrice × PricingQuantity, exactly.", nil,
		Check{Function: "ColumnByColumnEqualsColumnValue", Column: "ListUnitPrice", Other: "PricingQuantity", Result: "ListCost"})
	b.add("ContractedCost-Product", "ContractedCost is ContractedUnitPrice × PricingQuantity, exactly.", nil,
		Check{Function: "ColumnByColumnEqualsColumnValue", Column: "ContractedUnitPrice", Other: "PricingQuantity", Result: "ContractedCost"})
	b.add("Currency-Same", "Prices are in the currency of the bill.", nil, Check{Function: "CheckSameValue", Column: "PricingCurrency", Other: "BillingCurrency"})
	if v != V14 {
		return
	}
	b.add("ContractApplied-Elements", "ContractApplied has Elements, each with commitment, cost, quantity and unit; custom keys begin with x_.", nil,
		Check{Function: "x_ContractApplied", Column: "ContractApplied"})
	b.add("ContractApplied-Used", "Usage of a commitment says what it retires.", when(is("CommitmentDiscountStatus", "Used")), notNull("ContractApplied"))
	b.add("Allocated-Method", "An allocated charge names its method, and describes it.", when(notNull("AllocatedMethodId")), notNull("AllocatedMethodDetails"))
	b.add("Allocated-Resource", "An allocated charge names what was allocated.", when(notNull("AllocatedMethodId")), notNull("AllocatedResourceId"))
	b.add("ServiceProvider-Issuer", "What is billed is billed by the provider of the service.", nil,
		Check{Function: "CheckSameValue", Column: "ServiceProviderName", Other: "InvoiceIssuerName"})
}

// isContractApplied accepts {"Elements": [...]} whose elements name a
// commitment, state cost, quantity and unit (quantity and unit together or
// both null), and hold nothing nested.
func isContractApplied(s string) bool {
	var v struct {
		Elements []map[string]json.RawMessage
	}
	if objectOf(s, maxNesting) != nil || json.Unmarshal([]byte(s), &v) != nil || len(v.Elements) == 0 {
		return false
	}
	for _, e := range v.Elements {
		for key, value := range e {
			if strings.HasPrefix(string(value), "{") || strings.HasPrefix(string(value), "[") {
				return false
			}
			if !strings.HasPrefix(key, "ContractCommitment") && key != "ContractId" && !strings.HasPrefix(key, "x_") {
				return false
			}
		}
		var commitment string
		if json.Unmarshal(e["ContractCommitmentId"], &commitment) != nil || commitment == "" || !isJSONNumber(e["ContractCommitmentAppliedCost"]) {
			return false
		}
		quantity, unit := e["ContractCommitmentAppliedQuantity"], e["ContractCommitmentAppliedUnit"]
		if string(quantity) == "null" && string(unit) == "null" {
			continue
		}
		var name string
		if !isJSONNumber(quantity) || json.Unmarshal(unit, &name) != nil || !unitFormat.MatchString(name) {
			return false
		}
	}
	return true
}

func isJSONNumber(raw json.RawMessage) bool {
	return len(raw) > 0 && raw[0] != '"' && isDecimal(string(raw))
}

var pascalCase = regexp.MustCompile(`^(x_)?[A-Z][A-Za-z0-9]{0,49}$`)

// names judges the names and the order of columns.
func (k *checker) names(r *Result) {
	r.Status = Passed
	custom := false
	for _, c := range k.table.Columns {
		ours := strings.HasPrefix(c.Name, "x_")
		if !pascalCase.MatchString(c.Name) || custom && !ours {
			r.Status, r.Column, r.Value = Failed, c.Name, fmt.Sprintf("column %d", k.position(c.Name)+1)
			return
		}
		custom = custom || ours
	}
}
