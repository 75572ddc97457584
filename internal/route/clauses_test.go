package route

import (
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
)

// delivered folds a delivery of chips into the terms of the trio.
func delivered(a *alliance.Alliance, from string, chips int64) *alliance.Alliance {
	return contract.Fold(a, []contract.Change{{Contract: "rack", Delivery: &alliance.Delivery{From: date(from), Chips: chips}}})
}

func TestRouter_UsesOnlyWhatWasDelivered(t *testing.T) {
	before := trio()
	before.Pools[0].Chips = 2
	rows := []struct {
		name  string
		terms *alliance.Alliance
		at    time.Time
		want  int64 // of a second's two chip-seconds, in micro
	}{
		{"as contracted where no fact says otherwise", before, noon, 1_000_000},
		{"none of it", delivered(before, "2026-01-01", 0), noon, 0},
		{"more than contracted is as contracted", delivered(before, "2026-01-01", 2), noon, 1_000_000},
		{"the ramp steps, the delivery does not", delivered(before, "2026-01-01", 1), date("2026-08-01").Time, 1_000_000},
		{"before the delivery is late", delivered(before, "2026-06-02", 0), noon, 1_000_000},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := New(before, row.at.Add(-time.Second))
			r.Reload(row.terms, row.at) // as a fact does that is recorded while serving
			if got := r.pools[0].capacity; got != row.want*60 {
				t.Errorf("capacity of a minute is %d, want %d", got, row.want*60)
			}
		})
	}
}

func TestRouter_FollowsADeliveryOnItsDay(t *testing.T) {
	r := New(delivered(trio(), "2026-06-02", 0), noon)
	if got, _ := take(t, r, noon, ask(100)); got != "rack" {
		t.Fatalf("before the day %s is taken", got)
	}
	if got, _ := take(t, r, date("2026-06-02").Time, ask(100)); got == "rack" {
		t.Error("a rack of which nothing is delivered is taken")
	}
}
