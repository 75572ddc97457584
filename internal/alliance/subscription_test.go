package alliance

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBounds_HoldAQuotaBeyondWhichNothingIsSold(t *testing.T) {
	for _, c := range []struct {
		name string
		plan Plan
		want Limits
	}{
		{"no quota", Plan{Limits: Limits{TokensPerMonth: 7}}, Limits{TokensPerMonth: 7}},
		{"tokens", Plan{Limits: Limits{TokensPerDay: 5}, Included: &IncludedUse{Tokens: 9}}, Limits{TokensPerDay: 5, TokensPerMonth: 9}},
		{"a smaller limit stays", Plan{Limits: Limits{TokensPerMonth: 7}, Included: &IncludedUse{Tokens: 9}}, Limits{TokensPerMonth: 7}},
		{"a larger limit shrinks", Plan{Limits: Limits{SpendPerMonth: 10}, Included: &IncludedUse{Spend: 9}}, Limits{SpendPerMonth: 9}},
		{"what goes beyond is sold", Plan{Included: &IncludedUse{Tokens: 9}, Overage: &SalePrice{}}, Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, c.plan.Bounds()); d != "" {
				t.Error(d)
			}
		})
	}
}
