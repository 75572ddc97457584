package focus

import (
	"fmt"
	"slices"
)

// Identity checks the sums that hold over rows of Cost and Usage: for each
// commitment that is bought by a fixed fee, EffectiveCost of what was used and
// not used is BilledCost of what was bought; and so over the whole table. For
// a prepaid credit that holds when its intervals have ended and are closed;
// before, rows of credits are left out unless ended is set. It returns a
// sentence per sum that does not hold.
func Identity(t *Table, ended bool) ([]string, error) {
	type sums struct{ billed, effective Decimal }
	by := map[string]*sums{}
	for i := range t.Rows {
		if !ended && t.At(i, "CommitmentDiscountCategory").Text == "Spend" {
			continue
		}
		for _, key := range [...]string{t.At(i, "CommitmentDiscountId").Text, allCharges} {
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
		switch key {
		case allCharges:
			what = "all charges"
		case "":
		default:
			what = "commitment " + key
		}
		faults = append(faults, fmt.Sprintf("%s: BilledCost comes to %s, EffectiveCost to %s", what, s.billed, s.effective))
	}
	slices.Sort(faults)
	return faults, nil
}

// allCharges is no id of a contract.
const allCharges = "\x00"
