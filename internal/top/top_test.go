package top

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// process answers as the admin API of one that serves two requests more each
// time that it is asked.
type process struct {
	asked   int
	started time.Time
}

func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("Authorization") {
	case "Bearer operator":
	case "Bearer finance":
		w.WriteHeader(http.StatusForbidden)
		return
	default:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var v any
	switch r.URL.Path {
	case "/metrics":
		p.asked++
		_, _ = io.WriteString(w, metricsText(2*p.asked))
		return
	case "/api/overview":
		v = map[string]any{"title": "Terms", "version": "1", "started": p.started, "requests": 7, "lag": 3, "problems": []string{"The disk is \x1b[2Jfull."}}
	case "/api/pools":
		v = []map[string]any{
			{"id": "idle", "healthy": true, "load_ppm": 100_000},
			{"id": "busy", "healthy": true, "load_ppm": 990_000, "in_flight": 4, "max_in_flight": 8, "mu": 42, "lambda_ppm": 125_000, "ttft_ns": 40_000_000},
			{"id": "broken", "healthy": false, "reason": "refuses connections"},
		}
	case "/api/contracts":
		v = []map[string]any{{"id": "floor", "shape": "spend_floor", "currency": "USD", "floor": "100.00", "burnt": "25.00", "interval_from": "2026-01-01", "interval_until": "2027-01-01"}}
	case "/api/balances":
		v = []map[string]any{{"account": "asset/suspense/cloud", "asset": "USD", "amount": "1.25"}, {"account": "liability/suspense/cloud", "asset": "USD", "amount": "-1.25"}}
	case "/api/requests":
		v = []map[string]any{{"id": "r", "at": p.started, "plan": "p", "asked": "evil\x1b]0;title\x07\nname", "pool": "busy", "http": 200, "status": "served", "cost": "0.01", "tokens": map[string]int{"uncached_input": 10, "output": 5}}}
	}
	_ = json.NewEncoder(w).Encode(v)
}

func metricsText(n int) string {
	return fmt.Sprintf(`# TYPE accordo_requests_total counter
# TYPE accordo_attempts_total counter
# TYPE accordo_refusals_total counter
accordo_requests_total{plan="p",status="200"} %d
accordo_attempts_total{outcome="served",pool="busy"} %d
accordo_refusals_total{code="rate_limit",status="429"} %d
`, n, n, n)
}

func serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(&process{started: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
	t.Cleanup(s.Close)
	return s.URL
}

func TestOnce_PrintsWhatTheProcessSays(t *testing.T) {
	var out strings.Builder
	if err := Run(context.Background(), Options{Admin: serve(t), Token: "operator", Every: MinEvery, Once: true, Color: true, Out: &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Terms", "refusals", "(rate_limit ", "suspense 1.25 USD", "books behind 3 records", "since the start 7", "refuses connections", "4/8", "12.5%", "25.00 USD", "100.00", " 25%", "██"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "requests 0/s") {
		t.Errorf("no rate of requests in\n%s", out.String())
	}
	if broken, busy, idle := strings.Index(out.String(), "broken"), strings.Index(out.String(), "busy"), strings.Index(out.String(), "idle"); !(broken < busy && busy < idle) {
		t.Errorf("failing pools come first, then the busiest:\n%s", out.String())
	}
}

func TestOnce_SendsNoControlCharacters(t *testing.T) {
	var out strings.Builder
	if err := Run(context.Background(), Options{Admin: serve(t), Token: "operator", Every: MinEvery, Once: true, Color: true, Out: &out}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f) }); i >= 0 {
		t.Errorf("a control character at %q", out.String()[max(0, i-20):])
	}
	if !strings.Contains(out.String(), "evil?]0;title??name") {
		t.Errorf("the name is not as asked:\n%s", out.String())
	}
}

func TestRun_SaysWhatToChange(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
	defer html.Close()
	waiting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer waiting.Close()
	url := serve(t)
	for name, row := range map[string]struct {
		o    Options
		want string
	}{
		"no process":      {Options{Admin: gone.URL, Token: "operator"}, "is `accordo up` running?"},
		"another server":  {Options{Admin: other.URL, Token: "operator"}, "status 404: is it the operator's listener"},
		"a page":          {Options{Admin: html.URL, Token: "operator"}, "something else than expected"},
		"a wrong token":   {Options{Admin: url, Token: "wrong"}, "does not know this token"},
		"guesses before":  {Options{Admin: waiting.URL, Token: "operator"}, "try again in 3 s"},
		"no token":        {Options{Admin: url}, "set ACCORDO_ADMIN_TOKEN"},
		"finance's token": {Options{Admin: url, Token: "finance"}, "use an operator's"},
		"no address":      {Options{Admin: "localhost", Token: "operator"}, "write http://127.0.0.1:8081"},
		"no terminal":     {Options{Admin: url, Token: "operator"}, "use --once"},
	} {
		t.Run(name, func(t *testing.T) {
			row.o.Every, row.o.Out = time.Second, io.Discard
			if err := Run(context.Background(), row.o); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v; want %q", err, row.want)
			}
		})
	}
	for _, every := range []time.Duration{0, MinEvery - 1, MaxEvery + 1} {
		if err := Run(context.Background(), Options{Admin: url, Token: "operator", Every: every, Once: true, Out: io.Discard}); err == nil {
			t.Errorf("draws every %s", every)
		}
	}
}

func parsed(t *testing.T, text string, at time.Time, started time.Time) *sample {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	m, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return &sample{at: at, metrics: m, overview: overview{Started: started}}
}

func TestRates_AreOfTheWindowAndOfOneProcess(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text := func(n int) string {
		return fmt.Sprintf("# TYPE a_total counter\na_total{l=\"x\"} %d\na_total{l=\"y\"} %d\n", n, 2*n)
	}
	v := &view{samples: []*sample{parsed(t, text(0), at, at)}}
	for i := 1; i <= 60; i++ {
		v.add(parsed(t, text(i*i), at.Add(time.Duration(i)*time.Second), at))
	}
	if len(v.samples) != int(window/time.Second)+1 {
		t.Errorf("%d samples are kept", len(v.samples))
	}
	if got, want := v.rate("a_total", labels{"l": "x"}), float64(60*60-45*45)/15; got != want {
		t.Errorf("rate %g, want %g", got, want)
	}
	if diff := cmp.Diff([]named{{"y", 2 * 105}, {"x", 105}}, v.rates("a_total", "l", nil), cmp.AllowUnexported(named{})); diff != "" {
		t.Error(diff)
	}
	v.add(parsed(t, text(5), at.Add(61*time.Second), at.Add(time.Minute)))
	if got := v.rate("a_total", nil); got != 0 || len(v.samples) != 1 {
		t.Errorf("after a restart: rate %g of %d samples", got, len(v.samples))
	}
}

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for name, row := range map[string]struct {
		buckets map[float64]float64
		q, want float64
	}{
		"in the middle of a bucket":        {map[float64]float64{1: 0, 2: 10, inf: 10}, 0.5, 1.5},
		"in the first":                     {map[float64]float64{1: 10, 2: 10, inf: 10}, 0.5, 0.5},
		"beyond the highest bound":         {map[float64]float64{1: 1, 2: 2, inf: 10}, 0.99, 2},
		"in the last of two that have any": {map[float64]float64{1: 5, 2: 5, 4: 10, inf: 10}, 0.75, 3},
	} {
		if got := quantile(row.buckets, row.q); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", name, got, row.want)
		}
	}
}

func TestFrame_StaysWithinTheTerminal(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := parsed(t, metricsText(4), at, at)
	for i := range 300 {
		s.pools = append(s.pools, pool{ID: fmt.Sprintf("pool-%d-%s", i, strings.Repeat("x", i)), Healthy: i%2 == 0})
		s.contracts = append(s.contracts, contract{ID: "contract"})
		s.requests = append(s.requests, request{Asked: strings.Repeat("ü", 300)})
	}
	v := &view{samples: []*sample{s}}
	for _, size := range [][2]int{{20, 5}, {80, 24}, {132, 43}, {400, 1000}} {
		lines := v.frame(size[0], size[1], false)
		if len(lines) > size[1] {
			t.Errorf("%v: %d rows", size, len(lines))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > size[0] {
				t.Errorf("%v: %d columns in %q", size, utf8.RuneCountInString(l), l)
			}
		}
	}
	all := strings.Join(v.frame(80, 24, false), "\n")
	for _, want := range []string{"POOL", "CONTRACT", "AT ", " more"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q on a small terminal:\n%s", want, all)
		}
	}
}
