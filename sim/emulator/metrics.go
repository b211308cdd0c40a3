package emulator

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// page writes metrics that share a prefix and labels.
type page struct {
	ch     chan<- prometheus.Metric
	prefix string
	labels prometheus.Labels
}

// value writes one value. Names and values are label pairs of this metric.
func (p *page) value(kind prometheus.ValueType, name, help string, value float64, pairs ...string) {
	p.ch <- prometheus.MustNewConstMetric(p.desc(name, help, pairs), kind, value)
}

func (p *page) gauge(name, help string, value float64, pairs ...string) {
	p.value(prometheus.GaugeValue, name, help, value, pairs...)
}

func (p *page) counter(name, help string, value uint64, pairs ...string) {
	p.value(prometheus.CounterValue, name, help, float64(value), pairs...)
}

func (p *page) histogram(name, help string, h *engine.Histogram) {
	p.ch <- prometheus.MustNewConstHistogram(p.desc(name, help, nil), h.Count, h.Sum, h.Cumulative())
}

func (p *page) desc(name, help string, pairs []string) *prometheus.Desc {
	labels := prometheus.Labels{}
	maps.Copy(labels, p.labels)
	for i := 0; i+1 < len(pairs); i += 2 {
		labels[pairs[i]] = pairs[i+1]
	}
	return prometheus.NewDesc(p.prefix+name, help, nil, labels)
}
