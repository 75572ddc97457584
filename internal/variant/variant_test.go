package variant

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
)

var update = flag.Bool("update", false, "write the golden files anew")

func day(t *testing.T, s string) alliance.Date {
	t.Helper()
	var d alliance.Date
	if err := d.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return d
}

func example(t *testing.T) *alliance.Variant {
	return &alliance.Variant{
		ID: "assistant", Name: "Assistant", Behaviour: []string{"Answer in the customer's language.", "Say when you\ndo not know."}, Style: []string{"Short."},
		Flows: []alliance.Flow{{ID: "commerce", Priorities: []string{"Price first.", "Then delivery."}}, {ID: "information", Priorities: []string{"Sources first."}}},
		Plans: []alliance.PlanID{"prime", "free"}, Surfaces: []string{"web", "device"},
		Rollout: []alliance.Rollout{
			{Territory: "US", State: "on", From: day(t, "2026-02-01"), Claim: []alliance.ClaimID{"C1"}},
			{Territory: "EU", State: "opt_in", From: day(t, "2026-03-01")},
			{Territory: "FR", State: "off", From: day(t, "2026-04-01")},
			{Territory: "CA", State: "opt_in", From: day(t, "2027-01-01"), Claim: []alliance.ClaimID{"C2"}},
		},
	}
}

func TestCompile_MatchesItsGoldenFile(t *testing.T) {
	v := example(t)
	for i := range v.Flows {
		name := filepath.Join("testdata", v.Flows[i].ID+".golden")
		got := Compile(v, &v.Flows[i]) + "\n"
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Error(d)
		}
	}
	if got := Compile(&alliance.Variant{}, nil); got != "" {
		t.Errorf("a definition that says nothing compiles to %q", got)
	}
}

func TestRolledOut_MostSpecificThenLatestDecides(t *testing.T) {
	rows := []struct {
		name    string
		where   alliance.Territory
		optedIn bool
		at      string
		on      bool
		why     string
	}{
		{"on", "US", false, "2026-05-01", true, "on since 2026-02-01"},
		{"before it begins", "US", false, "2026-01-01", false, "begins on 2026-02-01"},
		{"a member of the union without opting in", "DE", false, "2026-05-01", false, "opt-in"},
		{"a member of the union that opted in", "DE", true, "2026-05-01", true, "opt_in"},
		{"a member switched off on its own", "FR", true, "2026-05-01", false, "switched off"},
		{"the same before that", "FR", true, "2026-03-15", true, "opt_in"},
		{"a later beginning", "CA", true, "2026-05-01", false, "begins on 2027-01-01"},
		{"elsewhere", "JP", true, "2026-05-01", false, "not rolled out in JP; it is in: US (on), EU (opt_in), FR (off)"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := RolledOut(example(t), row.where, row.optedIn, day(t, row.at).Time)
			if got.On != row.on || !strings.Contains(got.Why, row.why) {
				t.Errorf("%+v", got)
			}
		})
	}
	if got := RolledOut(example(t), "CA", true, time.Time{}); got.On || len(got.Claims) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAllowed_ByPlanAndSurface(t *testing.T) {
	rows := []struct {
		name    string
		plan    alliance.PlanID
		surface string
		ok      bool
		why     string
	}{
		{"both", "prime", "device", true, ""},
		{"another plan", "api", "web", false, "prime, free"},
		{"another surface", "free", "tv", false, "web, device"},
		{"no surface", "free", "", false, "none stated"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if ok, why := Allowed(example(t), row.plan, row.surface); ok != row.ok || !strings.Contains(why, row.why) {
				t.Errorf("%v %q", ok, why)
			}
		})
	}
}
