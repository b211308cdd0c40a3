package controller

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// Metrics are the controller's own series. Every label takes its values from a
// bounded set, and all series of a resource go with it. A number that is not
// known has no series: a stale one would look like a fresh one.
type Metrics struct {
	gauges   map[string]*prometheus.GaugeVec
	counters map[string]*prometheus.CounterVec
	// late is how long after they were due rounds began, of all resources together.
	late prometheus.Histogram
	gpus gpuMeter
}

const (
	labelNamespace = "namespace"
	labelName      = "name"
)

// NewMetrics registers the series of the table, or takes those that are registered already.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		gauges: map[string]*prometheus.GaugeVec{}, counters: map[string]*prometheus.CounterVec{},
		gpus: gpuMeter{held: map[types.NamespacedName]gpusAt{}},
	}
	return m, errors.Join(m.register(registry)...)
}

func registered[T prometheus.Collector](registry prometheus.Registerer, failed *[]error, c T) T {
	err := registry.Register(c)
	if already := new(prometheus.AlreadyRegisteredError); errors.As(err, already) {
		if existing, same := already.ExistingCollector.(T); same {
			return existing
		}
	}
	if err != nil {
		*failed = append(*failed, err)
	}
	return c
}

// forget removes all series of a resource.
func (m *Metrics) forget(namespace, name string) {
	of := prometheus.Labels{labelNamespace: namespace, labelName: name}
	for _, v := range m.gauges {
		v.DeletePartialMatch(of)
	}
	for _, v := range m.counters {
		v.DeletePartialMatch(of)
	}
	m.gpus.forget(types.NamespacedName{Namespace: namespace, Name: name})
}

// observe sets the series of one resource after a round.
func (m *Metrics) observe(r *round) {
	of := series{r.pda.Namespace, r.pda.Name}
	d := r.decision()
	for _, role := range roles {
		var desired, target, ready, load, demand, queue *float64
		if r.seen != nil {
			target = new(float64(pool(r.seen, role).Desired))
			ready = new(float64(countReady(pool(r.seen, role))))
		}
		if d != nil {
			rd := roleDecision(d, role)
			desired = new(float64(rd.To))
			if rd.Demand.Known {
				load, demand = knownLoad(rd), &rd.Demand.RequestsPerSecond
			}
			if ms := r.queueMilliseconds(role); ms != nil {
				queue = new(float64(*ms) / 1000)
			}
			m.counters[metricDecisions].WithLabelValues(of.with(string(role), direction(rd), string(rd.Binding))...).Inc()
		}
		of.set(m.gauges[metricDesired], desired, string(role))
		of.set(m.gauges[metricTarget], target, string(role))
		of.set(m.gauges[metricReady], ready, string(role))
		of.set(m.gauges[metricLoad], load, string(role))
		of.set(m.gauges[metricDemand], demand, string(role))
		of.set(m.gauges[metricQueue], queue, string(role))
	}
	if d != nil {
		m.gauges[metricLastDecision].WithLabelValues(of.with()...).Set(float64(d.At.UnixMicro()) / 1e6)
	}
	m.observeLatency(r, of)
	m.observeModel(r, of)
	m.observeGPUs(r, of)
	m.observeSources(r, of)
	m.observeReadings(r, of)
	m.observeMoves(r, of)
	m.observeFailures(r, of)
}

func (m *Metrics) observeLatency(r *round, of series) {
	maxAge := seconds(r.pda.Spec.Behavior.MaxAge)
	d := r.decision()
	for objective, quantile := range map[string]planner.Quantile{"ttft": r.signals.TTFTMs, "tpot": r.signals.TPOTMs} {
		var observed, predicted *float64
		if seen := quantile.Fresh(r.now, maxAge); seen.Ok() {
			observed = new(seen.Or(0) / 1000)
		}
		if d != nil {
			ms := d.Prefill.AfterMs
			if objective == "tpot" {
				ms = d.Decode.AfterMs
			}
			if ms != nil {
				predicted = new(*ms / 1000)
			}
		}
		of.set(m.gauges[metricObserved], observed, objective)
		of.set(m.gauges[metricPredicted], predicted, objective)
	}
}

func (m *Metrics) observeGPUs(r *round, of series) {
	var held, budget *float64
	if r.seen != nil {
		held = new(float64(r.gpusStatus(r.base.Status.GPUs).Held))
	}
	if b := r.pda.Spec.Budget; b != nil {
		budget = new(float64(b.GPUs))
	}
	for role, spent := range m.gpus.since(r) {
		m.counters[metricGPUSeconds].WithLabelValues(of.with(string(role))...).Add(spent)
	}
	of.set(m.gauges[metricGPUsHeld], held)
	of.set(m.gauges[metricGPUsBudget], budget)
}

func (m *Metrics) observeSources(r *round, of series) {
	type tally struct {
		ok, failed int
		oldest     *float64
	}
	kinds := map[string]*tally{}
	for _, kind := range []signals.Kind{signals.KindFrontend, signals.KindPrefill, signals.KindDecode, signals.KindExporter, signals.KindPrometheus, signals.KindEtcd, ""} {
		kinds[sourceLabel(kind)] = &tally{}
	}
	for i := range r.reports {
		report := &r.reports[i]
		t := kinds[sourceLabel(report.Kind)]
		if t == nil {
			continue
		}
		if report.OK {
			t.ok++
		} else {
			t.failed++
		}
		if age := report.Age.Seconds(); (report.OK || age > 0) && (t.oldest == nil || age > *t.oldest) {
			t.oldest = &age
		}
	}
	for kind, t := range kinds {
		var ok, failed *float64
		if t.ok+t.failed > 0 {
			ok, failed = new(float64(t.ok)), new(float64(t.failed))
		}
		of.set(m.gauges[metricSignalAge], t.oldest, kind)
		of.set(m.gauges[metricSources], ok, kind, "ok")
		of.set(m.gauges[metricSources], failed, kind, "failed")
	}
}

// sourceLabel names a kind of source; the prefill queue has none of its own.
func sourceLabel(kind signals.Kind) string {
	if kind == "" {
		return "queue"
	}
	return string(kind)
}

func (m *Metrics) observeMoves(r *round, of series) {
	count := func(result string) { m.counters[metricMoves].WithLabelValues(of.with(result)...).Inc() }
	for _, result := range labelResult.Values { // from zero on: an increase is seen from the first one on
		m.counters[metricMoves].WithLabelValues(of.with(result)...)
	}
	if r.abandoned != "" {
		count("Abandoned")
	}
	if !r.did.intent {
		return
	}
	if r.begun() != nil {
		count("Started")
	}
	if d := r.decision(); d.Ended != nil {
		count(string(d.Ended.Phase))
	}
}

func (m *Metrics) observeFailures(r *round, of series) {
	failed := map[string]bool{
		"observe": r.unseen != nil,
		"collect": failedSources(r.reports) != "",
		"spec":    r.refused != nil && r.unseen == nil,
		"status":  r.statusError != nil,
		"apply":   len(r.writeErrors) > 0,
	}
	for step, yes := range failed {
		failures := m.counters[metricReconcileFail].WithLabelValues(of.with(step)...) // from zero on, as moves
		if yes {
			failures.Inc()
		}
	}
}

// series are the labels that name a resource.
type series struct{ namespace, name string }

func (s series) with(labels ...string) []string {
	return append([]string{s.namespace, s.name}, labels...)
}

// set sets a gauge, or removes it where the number is not known.
func (s series) set(v *prometheus.GaugeVec, value *float64, labels ...string) {
	if value == nil {
		v.DeleteLabelValues(s.with(labels...)...)
		return
	}
	v.WithLabelValues(s.with(labels...)...).Set(*value)
}

func direction(d *planner.RoleDecision) string {
	switch {
	case d.To > d.From:
		return "up"
	case d.To < d.From:
		return "down"
	}
	return "none"
}

func countReady(p *planner.Pool) int {
	n := 0
	for i := range p.Replicas {
		if p.Replicas[i].State == planner.Ready {
			n++
		}
	}
	return n
}
