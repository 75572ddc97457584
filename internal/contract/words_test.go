package contract_test

import (
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
)

func TestSays_HasASentenceForEveryShape(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []alliance.Shape{alliance.PayPerUse, alliance.SpendFloor, alliance.TakeOrPay, alliance.ThroughputReserved, alliance.PrepaidCredit, alliance.HourlyRate, alliance.OptionShape} {
		says := contract.Says(s)
		if !strings.HasSuffix(says, ".") || seen[says] {
			t.Errorf("%s: %q", s, says)
		}
		seen[says] = true
	}
	if says := contract.Says("unknown"); says != "" {
		t.Errorf("an unknown shape: %q", says)
	}
}
