package focus

import (
	"fmt"
	"slices"
	"strings"
)

// Identity checks the sums that hold over rows of Cost and Usage: for each
// commitment that is bought by a fixed fee, EffectiveCost of what was used and
// not used is BilledCost of what was bought; and so over the whole table, in
// each currency by itself. For
// a prepaid credit that holds when its intervals have ended and are closed;
// before, rows of credits are left out unless ended is set. It returns a
// sentence per sum that does not hold.
func Identity(t *Table, ended bool) ([]string, error) {
	type sums struct{ billed, effective Decimal }
	by := map[string]*sums{}
	for i := range t.Rows {
		in := inCurrency + t.At(i, "BillingCurrency").Text
		if !ended && t.At(i, "CommitmentDiscountCategory").Text == "Spend" {
			continue
		}
		for _, key := range [...]string{t.At(i, "CommitmentDiscountId").Text + in, allCharges + in} {
			if by[key] == nil {
				by[key] = &sums{}
			}
			billed, err := ParseDecimal(t.At(i, "BilledCost").Text)
			if err != nil {
				return nil, fmt.Errorf("BilledCost of row %d: %w", i+1, err)
			}
			effective, err := ParseDecimal(t.At(i, "EffectiveCost").Text)
			if err != nil {
				return nil, fmt.Errorf("EffectiveCost of row %d: %w", i+1, err)
			}
			by[key].billed, by[key].effective = by[key].billed.Add(billed), by[key].effective.Add(effective)
		}
	}
	var faults []string
	for key, s := range by {
		if s.billed.Cmp(s.effective) == 0 {
			continue
		}
		what := "charges without a commitment"
		id, currency, _ := strings.Cut(key, inCurrency)
		switch id {
		case allCharges:
			what = "all charges"
		case "":
		default:
			what = "commitment " + id
		}
		what += " in " + currency
		faults = append(faults, fmt.Sprintf("%s: BilledCost comes to %s, EffectiveCost to %s", what, s.billed, s.effective))
	}
	slices.Sort(faults)
	return faults, nil
}

// allCharges is no id of a contract, and inCurrency no part of one: amounts of
// two currencies are never added.
const (
	allCharges = "\x00"
	inCurrency = "\x01"
)
