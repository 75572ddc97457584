package gateway

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
)

// Metrics are the gateway's counters and histograms. Labels are ids of the
// terms, statuses and codes: their number is bounded by the terms.
type Metrics struct {
	registry     *prometheus.Registry
	inFlight     prometheus.Gauge
	waiting      prometheus.Gauge
	requests     *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	attempts     *prometheus.CounterVec
	tokens       *prometheus.CounterVec
	cost         *prometheus.CounterVec
	retries      prometheus.Counter
	hedges       prometheus.Counter
	overshoot    prometheus.Counter
	lateWaiting  prometheus.Gauge
	lateOutcomes *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	ttft         *prometheus.HistogramVec
	tpot         *prometheus.HistogramVec

	ofModel table[seriesKey, series]
	served  table[alliance.PlanID, counter] // of requests
	costs   table[costKey, counter]
}

// NewMetrics returns metrics in a registry of their own.
func NewMetrics() *Metrics {
	secondsBuckets := []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	ttftBuckets := []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	tpotBuckets := []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "accordo_requests_in_flight", Help: "Requests under way."})
	m.waiting = prometheus.NewGauge(prometheus.GaugeOpts{Name: "accordo_requests_waiting", Help: "Requests that wait for a permit, because the processors are saturated."})
	m.retries = prometheus.NewCounter(prometheus.CounterOpts{Name: "accordo_retries_total", Help: "Attempts after the first of a request."})
	m.hedges = prometheus.NewCounter(prometheus.CounterOpts{Name: "accordo_hedges_total", Help: "Second attempts sent because the first had not begun to answer."})
	m.overshoot = prometheus.NewCounter(prometheus.CounterOpts{Name: "accordo_hold_overshoot_total", Help: "Requests that used more than their hold."})
	m.lateWaiting = prometheus.NewGauge(prometheus.GaugeOpts{Name: "accordo_late_outcomes", Help: "Outcomes that the journal refused and that wait until it can be written again."})
	m.registry.MustRegister(m.lateWaiting, m.inFlight, m.waiting, m.retries, m.hedges, m.overshoot)
	m.requests = counter("accordo_requests_total", "Requests of known keys by HTTP status; 499: the client left.", "status", "plan")
	m.refusals = counter("accordo_refusals_total", "Error objects that the gateway sent, by status and code.", "status", "code")
	m.attempts = counter("accordo_attempts_total", "Attempts by pool and outcome.", "pool", "outcome")
	m.lateOutcomes = counter("accordo_late_outcomes_total", "Outcomes that the journal refused: written later, or left open, which makes them suspense at the next start.", "fate")
	for _, fate := range [...]string{"left_open", "written"} {
		m.lateOutcomes.WithLabelValues(fate) // 0 is a figure, too: alerts need it before the first one
	}
	m.tokens = counter("gen_ai_client_token_usage_total", "Tokens of attempts that the provider billed.", "accordo_pool", "gen_ai_request_model", "gen_ai_token_type")
	m.cost = counter("accordo_attempt_cost_micro_total", "Cost of served attempts at the price of their pool, in micro-units of its contract's currency; nothing where the pool's fee is fixed.", "pool", "currency")
	m.duration = histogram("gen_ai_server_request_duration_seconds", "Attempts that were served, from the intent to the end.", secondsBuckets, "accordo_pool", "gen_ai_request_model")
	m.ttft = histogram("gen_ai_server_time_to_first_token_seconds", "From the intent to the first event of a stream or the header of a plain answer.", ttftBuckets, "accordo_pool", "gen_ai_request_model")
	m.tpot = histogram("gen_ai_server_time_per_output_token_seconds", "Time per output token after the first, of streams.", tpotBuckets, "accordo_pool", "gen_ai_request_model")
	return m
}

// Registry lets others add their own collectors to what Handler serves.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves the metrics in Prometheus' text format. It belongs on the
// admin listener.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *Metrics) request(c *call) {
	if plan := c.key.plan.ID; c.row.Status == http.StatusOK {
		m.served.get(plan).of(m.requests, "200", string(plan)).Inc()
	} else {
		m.requests.WithLabelValues(strconv.Itoa(c.row.Status), string(plan)).Inc()
	}
}

func outcomeName(s record.Status) string {
	switch s {
	case record.Served:
		return "served"
	case record.Unserved:
		return "unserved"
	}
	return "suspense"
}

func (m *Metrics) attempt(a *attempt, e *request.Ending) {
	pool, model := string(a.d.Pool.ID), string(a.c.Model.ID)
	of := m.ofModel.get(seriesKey{pool, model})
	of.attempts[min(e.Status, record.Suspense)].of(m.attempts, pool, outcomeName(e.Status)).Inc()
	if e.Status != record.Served {
		return
	}
	for i, n := range [...]int64{e.Usage.UncachedInput, e.Usage.CacheRead, e.Usage.CacheWrite, e.Usage.Output, e.Usage.Reasoning} {
		if n > 0 {
			of.tokens[i].ofThree(m.tokens, pool, model, tokenKinds[i]).Add(float64(n))
		}
	}
	if cost := a.c.row.Cost; cost > 0 {
		terms := a.st.a
		currency := string(terms.CurrencyOf(terms.Contract(a.d.Contract)))
		m.costs.get(costKey{pool, currency}).of(m.cost, pool, currency).Add(float64(cost))
	}
	of.duration.of(m.duration, pool, model).Observe(e.Duration.Seconds())
	of.ttft.of(m.ttft, pool, model).Observe(e.TTFT.Seconds())
	if out := e.Usage.AllOutput(); a.c.req.Stream && out > 1 {
		of.tpot.of(m.tpot, pool, model).Observe((e.Duration - e.TTFT).Seconds() / float64(out-1))
	}
}
