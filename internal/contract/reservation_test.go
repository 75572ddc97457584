package contract_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/usage"
)

func TestUnitsFor_IsTheLeastThatIsSoldAndSuffices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &alliance.Units{
			TokensPerMinute: rapid.Int64Range(1, 5_000).Draw(t, "each"), Minimum: rapid.Int64Range(0, 60).Draw(t, "minimum"), Increment: rapid.Int64Range(0, 60).Draw(t, "increment"),
		}
		need := rapid.Int64Range(0, 1<<40).Draw(t, "need")
		got, step := contract.UnitsFor(b, need), max(b.Increment, 1)
		if got*b.TokensPerMinute < need || got < b.Minimum || (got-b.Minimum)%step != 0 {
			t.Fatalf("%d units do not do, or are not sold", got)
		}
		if less := got - step; less >= b.Minimum && less*b.TokensPerMinute >= need {
			t.Fatalf("%d units would do, not only %d", less, got)
		}
	})
}

func TestSizeOf_RefusesWhatItCannotCount(t *testing.T) {
	pm := &alliance.PoolModel{InputWeightPPM: 1_000_000, OutputWeightPPM: 5_000_000}
	if _, err := contract.SizeOf(&alliance.Pool{}, pm, usage.Vector{UncachedInput: usage.MaxTokens}, 1<<62); err == nil {
		t.Error("no error")
	}
}

func TestUse_OfACacheWriteIsThatOfInputUnlessItSaysOtherwise(t *testing.T) {
	pm := &alliance.PoolModel{InputWeightPPM: 1_000_000}
	u := usage.Vector{CacheWrite: 8}
	if got := contract.Use(alliance.ThroughputReserved, pm, u); got != 8_000_000 {
		t.Errorf("burns %d", got)
	}
	pm.CacheWriteWeightPPM = 1_250_000
	if got := contract.Use(alliance.ThroughputReserved, pm, u); got != 10_000_000 {
		t.Errorf("burns %d", got)
	}
}
