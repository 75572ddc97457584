package focus_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/focusfile"
)

// rulesEnv names the published rules of FOCUS 1.2; a sample of the older 1.0
// and the currency codes stand beside them. They are not part of the project.
const rulesEnv = "ACCORDO_FOCUS_RULES"

func published(t *testing.T) *focus.Rules {
	t.Helper()
	name := os.Getenv(rulesEnv)
	if name == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: name the published rules of FOCUS 1.2", rulesEnv)
		}
		t.Skipf("not run: %s names no file of rules", rulesEnv)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := focus.ParseRules(data)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestSampleX(t *testing.T) {
	rules := published(t)
	f, err := os.Open(filepath.Join(filepath.Dir(os.Getenv(rulesEnv)), "focus_sample_1.0.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := focusfile.ReadCSV(f, "NULL")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{focus.Supported(), rules.Criteria} {
		r := rules.Check(&table, c)
		t.Log(r.Rows, r.Count(focus.Passed), r.Count(focus.Failed), r.Count(focus.Warned), r.Reasons())
		for _, v := range append(r.Of(focus.Failed), r.Of(focus.Warned)...) {
			if len(v.Parts) == 0 {
				t.Logf("%s %s %s row %d of %d: %s | %s | %s", v.Status, v.Rule, v.Column, v.Row, v.Rows, v.Value, v.Check, v.Text)
			}
		}
	}
	ours := sample(t, focus.V12)
	for _, c := range [][]string{focus.Supported(), rules.Criteria} {
		r := rules.Check(&ours, c)
		t.Log(r.Rows, r.Count(focus.Passed), r.Count(focus.Failed), r.Count(focus.Warned), r.Reasons())
		for _, v := range append(r.Of(focus.Failed), r.Of(focus.Warned)...) {
			t.Logf("%s %s %s row %d of %d: %s | %s | %s", v.Status, v.Rule, v.Column, v.Row, v.Rows, v.Value, v.Check, v.Text)
		}
	}
}
