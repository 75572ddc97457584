package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// dashboard is what the test reads of a Grafana dashboard.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat string }
	}
}

var (
	promQLSelector = regexp.MustCompile(`\b([a-z_]+)\{([^}]*)\}`)
	promQLMatcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"`)
	promQLGrouping = regexp.MustCompile(`\b(?:by|without) \(([^)]*)\)`)
	promQLValues   = regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	legendLabel    = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// served are the metrics that the process serves with the names of their
// labels; a histogram is its three series.
func (d *deployment) served() map[string][]string {
	d.t.Helper()
	resp, text := d.get(d.admin+"/metrics", "Authorization", "Bearer "+d.token)
	if resp.StatusCode != http.StatusOK {
		d.t.Fatalf("metrics: %s", resp.Status)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	all := map[string][]string{}
	for name, f := range families {
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			all[name] = labels
			continue
		}
		all[name+"_sum"], all[name+"_count"], all[name+"_bucket"] = labels, labels, append(slices.Clone(labels), "le")
	}
	return all
}

// Every metric and label that the dashboard asks for is served by a real
// process, and every metric that is served is on the dashboard.
func TestGrafana_AsksForWhatIsServed(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	south.script("  - {action: {status: 500}}\n") // so that a pool that costs something serves
	for _, ask := range []struct{ key, body string }{
		{keyOpen, `{"model":"chat","stream":true,"messages":[{"role":"user","content":"hello"}]}`},
		{keyOpen, `{"model":"kept-1","messages":[{"role":"user","content":"hello"}]}`}, // refused
	} {
		d.post(ask.key, ask.body)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "grafana", "accordo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	served, asked := d.served(), map[string]bool{}
	knows := func(where, metric, label string) {
		labels, ok := served[metric]
		asked[metric] = true
		if !ok {
			t.Errorf("%s asks for %s, which is not served", where, metric)
		} else if label != "" && label != "job" && !slices.Contains(labels, label) {
			t.Errorf("%s asks for the label %s, which %s has not: %v", where, label, metric, labels)
		}
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: its id or place is not its own", p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			selectors := promQLSelector.FindAllStringSubmatch(q.Expr, -1)
			if len(selectors) == 0 || strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") {
				t.Errorf("%s: %s", p.Title, q.Expr)
			}
			grouped := map[string]bool{}
			for _, g := range promQLGrouping.FindAllStringSubmatch(q.Expr, -1) {
				for _, label := range strings.Split(g[1], ", ") {
					grouped[label] = true
				}
			}
			for _, l := range legendLabel.FindAllStringSubmatch(q.LegendFormat, -1) {
				if !grouped[l[1]] {
					t.Errorf("%s: its legend names %s, by which %s does not group", p.Title, l[1], q.Expr)
				}
			}
			for _, s := range selectors {
				knows(p.Title, s[1], "")
				for _, m := range promQLMatcher.FindAllStringSubmatch(s[2], -1) {
					knows(p.Title, s[1], m[1])
				}
				for label := range grouped {
					knows(p.Title, s[1], label)
				}
			}
		}
	}
	for _, v := range board.Templating.List {
		if m := promQLValues.FindStringSubmatch(v.Definition); m != nil {
			knows("the variable "+v.Name, m[1], m[2])
		}
	}
	for name := range served {
		if strings.HasPrefix(name, "go_") {
			continue // the Go runtime's own, which other dashboards have
		}
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"), "_bucket")
		if !asked[name] && !asked[base+"_bucket"] {
			t.Errorf("%s is served and not on the dashboard", name)
		}
	}
}
