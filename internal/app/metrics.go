package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector tells Prometheus how pools, contracts and books stand, from the
// same views as the console. Labels are ids of the terms.
type collector struct {
	s                                               *server
	inFlight, left, healthy, mu, lambda, burnt, lag *prometheus.Desc

	logBytes, logLimit, logWritten, logDropped, unrecorded *prometheus.Desc
}

func newCollector(s *server) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("accordo_"+name, help, labels, nil)
	}
	return &collector{
		s:        s,
		inFlight: desc("pool_requests_in_flight", "Requests under way at the pool.", "pool"),
		left:     desc("pool_capacity_left_ratio", "What is left of the pool's capacity in this window, as a share; negative when overdrawn.", "pool"),
		healthy:  desc("pool_healthy", "1 when the pool takes requests.", "pool"),
		mu:       desc("pool_shadow_price_nano", "Shadow price of the pool's capacity, in nano-units of the currency per million units of capacity.", "pool"),
		lambda:   desc("contract_floor_shadow_price_ratio", "Shadow price of the contract's floor, as a share of the price.", "contract"),
		burnt:    desc("contract_burnt_micro", "What requests cost under the contract since the books began, in micro-units of the currency.", "contract"),
		lag:      desc("books_lag_records", "Records of the journal that are not stored in the books yet."),

		unrecorded: desc("journal_refusals_unrecorded_total", "Refused requests that are not in the journal, because more than 200 came in a second or it could not be written. They moved no money."),
		logBytes:   desc("request_log_bytes", "Size of all request logs, of tenants that asked for them."),
		logLimit:   desc("request_log_limit_bytes", "Size that all request logs may have together."),
		logWritten: desc("request_log_records_total", "Requests that were logged."),
		logDropped: desc("request_log_dropped_total", "Requests that should have been logged and were not: the queue was full, the log was full, or the disk refused.", "reason"),
	}
}

// Describe lists what Collect sends.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.inFlight, c.left, c.healthy, c.mu, c.lambda, c.burnt, c.lag, c.logBytes, c.logLimit, c.logWritten, c.logDropped, c.unrecorded} {
		ch <- d
	}
}

// Collect reads the views at this instant.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, p := range c.s.Pools(now) {
		id := string(p.ID)
		gauge(c.inFlight, float64(p.InFlight), id)
		if p.Capacity > 0 {
			gauge(c.left, float64(p.Left)/float64(p.Capacity), id)
		}
		healthy := 0.0
		if p.Healthy {
			healthy = 1
		}
		gauge(c.healthy, healthy, id)
		gauge(c.mu, float64(p.Mu), id)
	}
	for _, k := range c.s.Contracts(now) {
		gauge(c.lambda, float64(k.LambdaPPM)/1e6, k.ID)
		gauge(c.burnt, float64(k.BurntTotal), k.ID)
	}
	gauge(c.lag, float64(c.s.settler.Status().Lag))
	logged := c.s.requestLog.State()
	gauge(c.logBytes, float64(logged.Bytes))
	gauge(c.logLimit, float64(logged.MaxBytes))
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(c.unrecorded, int64(c.s.journal.State().RefusalsMissed))
	count(c.logWritten, logged.Written)
	count(c.logDropped, logged.DroppedQueue, "queue")
	count(c.logDropped, logged.DroppedFull, "full")
	count(c.logDropped, logged.DroppedDisk, "disk")
}
