package top

import (
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// view is what frames are drawn from.
type view struct {
	admin   string
	samples []*sample // of the window, oldest first
	fault   string    // of the latest question, for people
}

// add takes a newer sample and forgets those beyond the window, but one; those
// of an earlier process are forgotten too.
func (v *view) add(s *sample) {
	v.samples = slices.DeleteFunc(v.samples, func(old *sample) bool { return !old.overview.Started.Equal(s.overview.Started) })
	v.samples = append(v.samples, s)
	for len(v.samples) > 2 && s.at.Sub(v.samples[1].at) >= window {
		v.samples = v.samples[1:]
	}
}

func (v *view) last() *sample { return v.samples[len(v.samples)-1] }

// span is the time between the samples that rates compare.
func (v *view) span() time.Duration { return v.last().at.Sub(v.samples[0].at) }

// labels pick the metrics of a family whose labels have these values.
type labels map[string]string

func (want labels) fit(m *dto.Metric) bool {
	for name, value := range want {
		if labelOf(m, name) != value {
			return false
		}
	}
	return true
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// total adds the values of a family's metrics that fit.
func (s *sample) total(family string, want labels) (sum float64) {
	for _, m := range s.metrics[family].GetMetric() {
		if want.fit(m) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// rate is how much a counter grew a second, in the window.
func (v *view) rate(family string, want labels) float64 {
	span := v.span().Seconds()
	if span <= 0 {
		return 0
	}
	return max(0, v.last().total(family, want)-v.samples[0].total(family, want)) / span
}

// named is a rate with the value of the label that it is of.
type named struct {
	name string
	rate float64
}

// rates are those of a counter by the values of a label, the highest first,
// without those that are 0.
func (v *view) rates(family, label string, want labels) (list []named) {
	seen := map[string]bool{}
	for _, m := range v.last().metrics[family].GetMetric() {
		value := labelOf(m, label)
		if seen[value] || !want.fit(m) {
			continue
		}
		seen[value] = true
		only := labels{label: value}
		for name, value := range want {
			only[name] = value
		}
		if r := v.rate(family, only); r > 0 {
			list = append(list, named{value, r})
		}
	}
	slices.SortFunc(list, func(a, b named) int {
		if a.rate != b.rate {
			return int(math.Copysign(1, b.rate-a.rate))
		}
		return strings.Compare(a.name, b.name)
	})
	return list
}

// quantiles are those of a histogram over all its labels: of the window, or
// when nothing happened in it, since the start. ok is false without any.
func (v *view) quantiles(family string, qs ...float64) (values []time.Duration, recent, ok bool) {
	now, before := v.last().buckets(family), v.samples[0].buckets(family)
	grown := map[float64]float64{}
	for bound, n := range now {
		grown[bound] = n - before[bound]
	}
	if recent = grown[math.Inf(1)] > 0; !recent {
		grown = now
	}
	if grown[math.Inf(1)] == 0 {
		return nil, false, false
	}
	for _, q := range qs {
		values = append(values, time.Duration(quantile(grown, q)*float64(time.Second)))
	}
	return values, recent, true
}

// buckets are the cumulative counts of a histogram by upper bound, with that
// of everything under +Inf.
func (s *sample) buckets(family string) map[float64]float64 {
	counts := map[float64]float64{}
	for _, m := range s.metrics[family].GetMetric() {
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), 1) {
				counts[b.GetUpperBound()] += float64(b.GetCumulativeCount())
			}
		}
		counts[math.Inf(1)] += float64(h.GetSampleCount())
	}
	return counts
}

// quantile interpolates within the bucket that holds it; beyond the highest
// bound it is that bound.
func quantile(cumulative map[float64]float64, q float64) float64 {
	bounds := make([]float64, 0, len(cumulative))
	for b := range cumulative {
		bounds = append(bounds, b)
	}
	slices.Sort(bounds)
	rank := q * cumulative[math.Inf(1)]
	lower, below := 0.0, 0.0
	for _, b := range bounds {
		n := cumulative[b]
		if n >= rank && n > below {
			if math.IsInf(b, 1) {
				return lower
			}
			return lower + (b-lower)*(rank-below)/(n-below)
		}
		if !math.IsInf(b, 1) {
			lower, below = b, n
		}
	}
	return lower
}
