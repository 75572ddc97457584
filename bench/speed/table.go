//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// table keeps every measured value in the order of the rounds.
type table struct {
	order  []rowKey
	values map[rowKey][]float64
	rounds map[rowKey][]int // in which each value was measured
	round  int              // the current one
}

type rowKey struct{ work, target, metric string }

// add keeps a value; a ratio to nothing is none.
func (t *table) add(work, target, metric string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if t.values == nil {
		t.values, t.rounds = map[rowKey][]float64{}, map[rowKey][]int{}
	}
	k := rowKey{work, target, metric}
	if t.values[k] == nil {
		t.order = append(t.order, k)
	}
	t.values[k] = append(t.values[k], v)
	t.rounds[k] = append(t.rounds[k], t.round)
}

// relate combines the values of two rows that were measured in the same round.
func (t *table) relate(ours, base rowKey, how func(ours, base float64) float64) (v []float64) {
	for i, round := range t.rounds[ours] {
		if j := slices.Index(t.rounds[base], round); j >= 0 {
			if x := how(t.values[ours][i], t.values[base][j]); !math.IsNaN(x) && !math.IsInf(x, 0) {
				v = append(v, x)
			}
		}
	}
	return v
}

func ratio(ours, base float64) float64      { return ours / base }
func difference(ours, base float64) float64 { return ours - base }

// row is what bench.json holds.
type row struct {
	Work   string  `json:"work"`
	Target string  `json:"target"`
	Metric string  `json:"metric"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// write writes all rows, and the goals' ratios as rows of the target "goal".
func (t *table) write(name string) error {
	rows := []row{}
	put := func(k rowKey, v []float64) {
		rows = append(rows, row{k.work, k.target, k.metric, slices.Min(v), median(v), slices.Max(v)})
	}
	for _, k := range t.order {
		put(k, t.values[k])
	}
	for _, g := range goals {
		if v := g.figures(t); len(v) > 0 {
			put(rowKey{g.work, "goal", g.text}, v)
		}
	}
	data, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o644)
}

// goal is one line of what is promised. Its figure is accordo's value, or
// what relates it to a baseline of the same round.
type goal struct {
	text, work, metric string
	against            string // target of the baseline; empty: the value itself
	how                byte   // '/' ratio, '-' difference, 0 the value itself
	more               bool   // more is better
	must, stretch      float64
}

var goals = []goal{
	{"W1 CPU per request, of ReverseProxy's", "W1", "cpu_us_per_request", "reverseproxy", '/', false, 1.0, 0.55},
	{"W1t CPU per request, of ReverseProxy's with TLS", "W1t", "cpu_us_per_request", "reverseproxy", '/', false, 1.0, 0.6},
	{"W1 requests a second, of ReverseProxy's", "W1", "requests_per_second", "reverseproxy", '/', true, 0.9, 1.5},
	{"W2a added p50 in ms, 1,000 a second", "W2a", "p50_ms", "direct", '-', false, 0.8, 0.4},
	{"W2a added p99 in ms", "W2a", "p99_ms", "direct", '-', false, 8, 4},
	{"W2b served in percent, 5,000 a second", "W2b", "served_percent", "", 0, true, 100, 100},
	{"W2b added p50 in ms", "W2b", "p50_ms", "direct", '-', false, 5, 0.5},
	{"W2b added p99 in ms", "W2b", "p99_ms", "direct", '-', false, 50, 8},
	{"W3 CPU per chunk, of ReverseProxy's", "W3", "cpu_us_per_chunk", "reverseproxy", '/', false, 1.9, 1.1},
	{"W3g CPU per chunk, of ReverseProxy's", "W3g", "cpu_us_per_chunk", "reverseproxy", '/', false, 1.3, 1.05},
	{"W4 CPU per request, of ReverseProxy's", "W4", "cpu_us_per_request", "reverseproxy", '/', false, 1.5, 0.8},
	{"W4 peak RSS in MB", "W4", "rss_peak_mb", "", 0, false, 80, 50},
	{"RSS idle in MB", workIdle, "rss_mb", "", 0, false, 25, 15},
	{"RSS in W1 in MB", "W1", "rss_peak_mb", "", 0, false, 60, 35},
	{"RSS in W2b in MB", "W2b", "rss_peak_mb", "", 0, false, 150, 80},
	{"memory per open idle stream in KB", workIdle, "kb_per_stream", "", 0, false, 64, 32},
	{"CPU burnt after W1 in s", "W1", "burnt_after_s", "", 0, false, 0.2, 0.01},
	{"route decision with 60 pools in us", workDecide, "p50_us", "", 0, false, 0.5, 0.25},
	{"start to first answer in ms", workStart, "ms", "", 0, false, 200, 80},
	{"completed requests without a record after SIGKILL", workKill, "lost", "", 0, false, 0, 0},
	{"requests with two records after SIGKILL", workKill, "twice", "", 0, false, 0, 0},
	{"served requests that are not in the books after a restart", workKill, "not_in_books", "", 0, false, 0, 0},
	{"served at three times the peak, of the peak", workOver, "goodput_share", "", 0, true, 0.9, 1},
	{"durability=disk requests a second, of the default's", workDisk, "rps_ratio", "", 0, true, 0.5, 0.8},
	{"durability=disk added p99 in fsync times (p99)", workDisk, "added_p99_fsyncs", "", 0, false, 2, 1},
	{"cost with 1,000,000 keys, of 1,000's", workGrowth, "keys_ratio", "", 0, false, 1.1, 1.05},
	{"cost with 190,000 keys in the terms, of 1,000's", workGrowth, "filed_keys_ratio", "", 0, false, 1.1, 1.05},
	{"cost with 10,000 rights, of 1's", workGrowth, "rights_ratio", "", 0, false, 1.1, 1.05},
	{"cost with 5,000 ineligible pools, of 0's", workGrowth, "ineligible_ratio", "", 0, false, 1.1, 1.05},
	{"cost with 5,000 variants, of 0's", workGrowth, "variants_ratio", "", 0, false, 1.1, 1.05},
}

// figures are the goal's figure in every round.
func (g *goal) figures(t *table) []float64 {
	ours, base := rowKey{g.work, "accordo", g.metric}, rowKey{g.work, g.against, g.metric}
	switch g.how {
	case '/':
		return t.relate(ours, base, ratio)
	case '-':
		return t.relate(ours, base, difference)
	}
	return t.values[ours]
}

// What became of a goal.
const (
	stretchReached = "stretch"
	mustReached    = "must"
	missed         = "MISSED"
	notMeasured    = "not measured"
)

func (g *goal) verdict(v float64) string {
	meets := func(limit float64) bool {
		if g.more {
			return v >= limit
		}
		return v <= limit
	}
	switch {
	case meets(g.stretch):
		return stretchReached
	case meets(g.must):
		return mustReached
	}
	return missed
}

// print prints the figures of all targets and then the goals.
func (t *table) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nwork\ttarget\tmetric\tmedian\tmin\tmax")
	for _, k := range t.order {
		v := t.values[k]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.work, k.target, k.metric, figure(median(v)), figure(slices.Min(v)), figure(slices.Max(v)))
	}
	_ = w.Flush()
	t.printRatios(out)
	t.printCurves(out)
	t.printGoals(out)
}

// printGoals prints a line for each goal that was measured, and how many were
// reached.
func (t *table) printGoals(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ngoal\taccordo\tbaseline\tfigure\tmin\tmax\tmust\tstretch\t")
	reached := map[string]int{}
	for i := range goals {
		g := &goals[i]
		v := g.figures(t)
		if len(v) == 0 {
			reached[notMeasured]++
			continue
		}
		base := "-"
		if g.how != 0 {
			base = figure(median(t.values[rowKey{g.work, g.against, g.metric}]))
		}
		verdict := g.verdict(median(v))
		reached[verdict]++
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.text, figure(median(t.values[rowKey{g.work, "accordo", g.metric}])), base,
			figure(median(v)), figure(slices.Min(v)), figure(slices.Max(v)), figure(g.must), figure(g.stretch), verdict)
	}
	_ = w.Flush()
	fmt.Fprintf(out, "\nof %d goals: stretch %d, must %d, missed %d, not measured %d\n", len(goals), reached[stretchReached], reached[mustReached], reached[missed], reached[notMeasured])
}

// printRatios prints what every target spends, of what ReverseProxy does in
// the same round: the figure to compare on a busy machine.
func (t *table) printRatios(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nCPU of ReverseProxy's\ttarget\tmedian\tmin\tmax")
	for _, k := range t.order {
		if k.target == "direct" || k.target == "reverseproxy" || !strings.HasPrefix(k.metric, "cpu_us_per_") {
			continue
		}
		if v := t.relate(k, rowKey{k.work, "reverseproxy", k.metric}, ratio); len(v) > 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.work, k.target, figure(median(v)), figure(slices.Min(v)), figure(slices.Max(v)))
		}
	}
	_ = w.Flush()
}

// barWidth is the length of the longest bar of a curve.
const barWidth = 40

// printCurves draws what a request costs against the size of the terms.
func (t *table) printCurves(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range curves() {
		most := 0.0
		for _, n := range c.at {
			if v := t.values[rowKey{workGrowth, "accordo", c.metric(n)}]; len(v) > 0 {
				most = max(most, median(v))
			}
		}
		if most == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\tus of CPU per request\t\n", c.name)
		for _, n := range c.at {
			if v := t.values[rowKey{workGrowth, "accordo", c.metric(n)}]; len(v) > 0 {
				fmt.Fprintf(w, "%d\t%s\t%s\n", n, figure(median(v)), strings.Repeat("#", int(barWidth*median(v)/most+0.5)))
			}
		}
	}
	_ = w.Flush()
}

// figure prints three digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
