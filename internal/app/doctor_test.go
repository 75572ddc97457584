package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Each kind of limit bites; one that is taken out of the code's reach is
// found out.
func TestDoctorLimits_FindsEveryLimitThatDoesNotBite(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, k := range limitKinds() {
		t.Run(string(k.plan), func(t *testing.T) {
			rig, err := newLimitRig(context.Background(), limitKinds(), now, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer rig.close()
			if problem := rig.drive(k); problem != "" {
				t.Errorf("it does not hold: %s", problem)
			}
			loose, err := newLimitRig(context.Background(), limitKinds(), now, func(a *alliance.Alliance) {
				for i := range a.Plans {
					a.Plans[i].Limits = alliance.Limits{}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer loose.close()
			if problem := loose.drive(k); !strings.Contains(problem, "were let through") {
				t.Errorf("without the limit the examination says %q", problem)
			}
		})
	}
	rig, err := newLimitRig(context.Background(), limitKinds(), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rig.close()
	if problem := rig.driveInFlight(); problem != "" {
		t.Errorf("max_in_flight does not hold: %s", problem)
	}
	loose, err := newLimitRig(context.Background(), limitKinds(), now, func(a *alliance.Alliance) { a.Pools[0].MaxInFlight = 10 * limitBurst })
	if err != nil {
		t.Fatal(err)
	}
	defer loose.close()
	if problem := loose.driveInFlight(); problem == "" {
		t.Error("a pool without a limit is not found out")
	}
}
