package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// series are the points of a histogram that came last, by their attributes.
func (c *receiver) series(name string) (unit string, points map[string]*metricspb.HistogramDataPoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	points = map[string]*metricspb.HistogramDataPoint{}
	for _, m := range c.metrics {
		if m.GetName() != name {
			continue
		}
		unit = m.GetUnit()
		for _, p := range m.GetHistogram().GetDataPoints() {
			var list []string
			for _, a := range p.GetAttributes() {
				list = append(list, a.GetKey()+"="+a.GetValue().GetStringValue())
			}
			sort.Strings(list)
			points[strings.Join(list, " ")] = p
		}
	}
	return unit, points
}

// What a collector is sent are the histograms of the gen_ai conventions: their
// names, units, attributes and boundaries, with what the provider billed.
func TestOTelMetrics_AreThoseOfTheConventions(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	c := startReceiver(t)
	d := deploy(t, setup{north: north, south: south, env: []string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=" + c.URL + "/v1/metrics", "OTEL_METRIC_EXPORT_INTERVAL=50", "OTEL_RESOURCE_ATTRIBUTES=deployment=test"}})
	for _, p := range []*provider{north, south} {
		p.script("  - {first: 1, action: {status: 500}}\n  - {action: {text: planted-answer, cache_read_tokens: 1, reasoning_tokens: 2}}\n")
	}
	for _, stream := range []bool{false, true} {
		if resp, body := d.post(keyOpen, saying("planted-question", stream)); resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, body)
		}
	}
	billed := map[string][2]int64{} // input and output of each pool
	requests := uint64(0)
	for _, p := range []*provider{north, south} {
		for _, l := range p.lines() {
			b := billed[l.Pool]
			billed[l.Pool] = [2]int64{b[0] + l.UncachedInput + l.CacheRead + l.CacheWrite, b[1] + l.Output + l.Reasoning}
		}
	}
	eventually(t, startTime, "the figures do not come", func() bool {
		_, points := c.series("gen_ai.server.request.duration")
		requests = 0
		for _, p := range points {
			requests += p.GetCount()
		}
		return requests == uint64(len(north.recorded())+len(south.recorded()))
	})
	boundaries := map[string][]float64{
		"gen_ai.client.token.usage":                   {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864},
		"gen_ai.server.request.duration":              {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92},
		"gen_ai.client.operation.duration":            {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92},
		"gen_ai.client.operation.time_to_first_chunk": {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92},
		"gen_ai.server.time_to_first_token":           {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
		"gen_ai.server.time_per_output_token":         {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5},
	}
	for name, want := range boundaries {
		unit, points := c.series(name)
		if wantUnit := map[bool]string{true: "{token}", false: "s"}[name == "gen_ai.client.token.usage"]; unit != wantUnit || len(points) == 0 {
			t.Errorf("%s: unit %q, %d series", name, unit, len(points))
		}
		for attributes, p := range points {
			if d := cmp.Diff(want, p.GetExplicitBounds()); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			for _, a := range []string{"gen_ai.operation.name=chat", "gen_ai.provider.name=", "gen_ai.request.model=", "gen_ai.response.model=chat-1@2026-01", "accordo.pool="} {
				if !strings.Contains(attributes, a) {
					t.Errorf("%s: %s lacks %s", name, attributes, a)
				}
			}
			if strings.Contains(name, ".time_") && p.GetCount() != 1 {
				t.Errorf("%s counts %d streams: %s", name, p.GetCount(), attributes)
			}
		}
	}
	_, tokens := c.series("gen_ai.client.token.usage")
	told := map[string][2]int64{}
	for attributes, p := range tokens {
		for pool := range billed {
			if strings.Contains(attributes+" ", "accordo.pool="+pool+" ") {
				b := told[pool]
				b[map[bool]int{true: 0, false: 1}[strings.Contains(attributes, "gen_ai.token.type=input")]] += int64(p.GetSum())
				told[pool] = b
			}
		}
	}
	if d := cmp.Diff(billed, told); d != "" || len(billed) == 0 {
		t.Errorf("tokens are not those of the invoices: %s", d)
	}
	_, durations := c.series("gen_ai.server.request.duration")
	_, operations := c.series("gen_ai.client.operation.duration")
	failed := uint64(0)
	for attributes, p := range durations {
		if operations[attributes].GetCount() != p.GetCount() {
			t.Errorf("as a client sees it %s counts %d attempts, as a server %d", attributes, operations[attributes].GetCount(), p.GetCount())
		}
	}
	for attributes, p := range durations {
		if strings.Contains(attributes, "error.type=status_500") {
			failed += p.GetCount()
		}
	}
	if failed == 0 || failed >= requests {
		t.Errorf("%d of %d attempts failed", failed, requests)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.about, "service.name=accordo") || !slices.Contains(c.about, "deployment=test") {
		t.Errorf("the process says of itself %v", c.about)
	}
	if len(c.spans) > 0 {
		t.Error("traces are sent where only metrics are asked for")
	}
	for _, planted := range []string{"planted-question", "planted-answer", keyOpen, providerSecret} {
		if strings.Contains(string(c.bodies), planted) {
			t.Errorf("%s is in the metrics", planted)
		}
	}
}

// A collector that is gone costs figures and no request; what was measured is
// sent as the process stops.
func TestOTelMetrics_AreSentAtTheEndAndCostNoRequest(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	c := startReceiver(t)
	for name, row := range map[string]struct {
		endpoint, exporter string
		come               bool
	}{"gone": {"http://127.0.0.1:1", "", false}, "there": {c.URL, "", true}, "not wanted": {c.URL, "none", false}} {
		d := deploy(t, setup{north: north, south: south, env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + row.endpoint, "OTEL_METRICS_EXPORTER=" + row.exporter, "OTEL_METRIC_EXPORT_INTERVAL=3600000"}})
		if resp, body := d.post(keyOpen, helloBody); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s", name, resp.Status, body)
		}
		c.mu.Lock()
		c.metrics = nil
		c.mu.Unlock()
		d.stop(t)
		if _, points := c.series("gen_ai.client.token.usage"); (len(points) > 0) != row.come {
			t.Errorf("%s: %s", name, fmt.Sprint(points))
		}
	}
}
