package controller

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// Metrics are the controller's own series. Every label takes its values from a
// bounded set, and all series of a resource go with it. A number that is not
// known has no series: a stale one would look like a fresh one.
type Metrics struct {
	desired, ready, load, predicted, observed *prometheus.GaugeVec
	gpusHeld, gpusBudget                      *prometheus.GaugeVec
	signalAge, sources                        *prometheus.GaugeVec
	decisions, moves, failures                *prometheus.CounterVec
}

const (
	labelNamespace = "namespace"
	labelName      = "name"
)

// NewMetrics registers the series, or takes those that are registered already.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	var failed []error
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return registered(registry, &failed, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{labelNamespace, labelName}, labels...)))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return registered(registry, &failed, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{labelNamespace, labelName}, labels...)))
	}
	m := &Metrics{
		desired:    gauge("pdautoscaler_desired_replicas", "Replicas that the last decision asks for.", "role"),
		ready:      gauge("pdautoscaler_ready_replicas", "Replicas that serve.", "role"),
		load:       gauge("pdautoscaler_role_load", "Share of the ready replicas' capacity that the demand takes: compute for prefill, memory bandwidth for decode. Over 1 is overload.", "role"),
		predicted:  gauge("pdautoscaler_predicted_latency_seconds", "Latency that the model expects after the last decision, at the percentile of its objective.", "objective"),
		observed:   gauge("pdautoscaler_observed_latency_seconds", "Latency that the service's metrics show, at the percentile of its objective.", "objective"),
		gpusHeld:   gauge("pdautoscaler_gpus_held", "GPUs of ready, starting and terminating replicas."),
		gpusBudget: gauge("pdautoscaler_gpus_budget", "GPUs that both roles together may hold."),
		signalAge:  gauge("pdautoscaler_signal_age_seconds", "Age of the oldest last reading among the sources of a kind.", "source"),
		sources:    gauge("pdautoscaler_signal_sources", "Sources of a kind, by whether they could be read.", "source", "state"),
		decisions:  counter("pdautoscaler_decisions_total", "Decisions for a role, by direction and by what bound the count.", "role", "direction", "reason"),
		moves:      counter("pdautoscaler_moves_total", "Moves of GPUs from one role to the other, by result; Started counts their beginnings.", "result"),
		failures:   counter("pdautoscaler_reconcile_errors_total", "Rounds that could not do one of their steps.", "step"),
	}
	return m, errors.Join(failed...)
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
	for _, v := range []*prometheus.GaugeVec{m.desired, m.ready, m.load, m.predicted, m.observed, m.gpusHeld, m.gpusBudget, m.signalAge, m.sources} {
		v.DeletePartialMatch(of)
	}
	for _, v := range []*prometheus.CounterVec{m.decisions, m.moves, m.failures} {
		v.DeletePartialMatch(of)
	}
}

// observe sets the series of one resource after a round.
func (m *Metrics) observe(r *round) {
	of := series{r.pda.Namespace, r.pda.Name}
	d := r.decision()
	for _, role := range roles {
		var desired, ready, load *float64
		if r.seen != nil {
			ready = new(float64(countReady(pool(r.seen, role))))
		}
		if d != nil {
			rd := roleDecision(d, role)
			desired = new(float64(rd.To))
			if rd.Demand.Known {
				load = &rd.Load
			}
			m.decisions.WithLabelValues(of.with(string(role), direction(rd), string(rd.Binding))...).Inc()
		}
		of.set(m.desired, desired, string(role))
		of.set(m.ready, ready, string(role))
		of.set(m.load, load, string(role))
	}
	m.observeLatency(r, of)
	m.observeGPUs(r, of)
	m.observeSources(r, of)
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
		of.set(m.observed, observed, objective)
		of.set(m.predicted, predicted, objective)
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
	of.set(m.gpusHeld, held)
	of.set(m.gpusBudget, budget)
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
		of.set(m.signalAge, t.oldest, kind)
		of.set(m.sources, ok, kind, "ok")
		of.set(m.sources, failed, kind, "failed")
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
	count := func(result string) { m.moves.WithLabelValues(of.with(result)...).Inc() }
	if r.abandoned != "" {
		count("Abandoned")
	}
	if !r.did.intent {
		return
	}
	if r.after.Move != nil && r.before.Move == nil {
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
		if yes {
			m.failures.WithLabelValues(of.with(step)...).Inc()
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
