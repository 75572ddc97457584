package contract_test

import (
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

func TestPaceFrom_IsAMonthBackWithinTheInterval(t *testing.T) {
	f := &alliance.Floor{Term: yearOf(2026)}
	for at, want := range map[string]string{
		"2026-04-01T00:00:00Z": "2026-03-01T00:00:00Z", // a close of March
		"2026-03-31T12:00:00Z": "2026-02-28T12:00:00Z",
		"2026-05-31T00:00:00Z": "2026-04-30T00:00:00Z",
		"2026-03-15T08:00:00Z": "2026-02-15T08:00:00Z",
		"2026-01-20T00:00:00Z": "2026-01-01T00:00:00Z", // the interval is younger
	} {
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := contract.PaceFrom(f, instant).Format(time.RFC3339); got != want {
			t.Errorf("at %s from %s, want %s", at, got, want)
		}
	}
}

func TestLikelyShortfall_IsLessWhatRollsOver(t *testing.T) {
	half := &alliance.Contract{Rollover: &alliance.Rollover{SharePPM: 500_000}}
	for _, row := range []struct {
		name          string
		c             *alliance.Contract
		used, credits money.Amount
		want          money.Amount
	}{
		{"all of it is owed", &alliance.Contract{}, 400, 0, 600},
		{"credits of earlier intervals count", &alliance.Contract{}, 400, 250, 350},
		{"no more of them than is missing", &alliance.Contract{}, 400, 700, 0},
		{"half of what is paid rolls over", half, 400, 200, 200},
		{"nothing is missing", half, 1200, 0, 0},
	} {
		if got := contract.LikelyShortfall(row.c, 1000, row.used, row.credits); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}
