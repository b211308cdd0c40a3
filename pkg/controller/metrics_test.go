package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// values returns all series as `name{label="value",...}` without the labels of the resource.
func (w *world) values() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values[seriesName(family, m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func seriesName(family *dto.MetricFamily, m *dto.Metric) string {
	var labels []string
	for _, l := range m.GetLabel() {
		if l.GetName() != labelNamespace && l.GetName() != labelName {
			labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
	}
	slices.Sort(labels)
	return strings.TrimPrefix(family.GetName(), "pdautoscaler_") + "{" + strings.Join(labels, ",") + "}"
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, example())
	w.service.reports = []signals.SourceReport{
		{Kind: signals.KindPrefill, OK: true, Age: time.Second}, {Kind: signals.KindPrefill, Error: "refused", Age: 40 * time.Second},
		{Kind: signals.KindDecode, Error: "never answered"}, {Kind: "", OK: true},
	}
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := scaleTo(3, 1)(in)
		d.Prefill.Demand, d.Prefill.Load, d.Prefill.AfterMs = planner.Demand{Known: true}, 0.75, new(1250.0)
		return d, m
	}
	w.rounds(2)
	values := w.values()
	for name, want := range map[string]float64{
		`desired_replicas{role="prefill"}`:            3,
		`desired_replicas{role="decode"}`:             1,
		`ready_replicas{role="prefill"}`:              2,
		`role_load{role="prefill"}`:                   0.75,
		`predicted_latency_seconds{objective="ttft"}`: 1.25,
		`observed_latency_seconds{objective="ttft"}`:  0.6,
		`observed_latency_seconds{objective="tpot"}`:  0.03,
		`gpus_held{}`:   8,
		`gpus_budget{}`: 12,
		`decisions_total{direction="up",reason="Objective",role="prefill"}`:   1,
		`decisions_total{direction="none",reason="Objective",role="prefill"}`: 1,
		`decisions_total{direction="none",reason="Objective",role="decode"}`:  2,
		`signal_age_seconds{source="prefill"}`:                                40,
		`signal_age_seconds{source="queue"}`:                                  0,
		`signal_sources{source="prefill",state="ok"}`:                         1,
		`signal_sources{source="decode",state="failed"}`:                      1,
		`reconcile_errors_total{step="collect"}`:                              2,
	} {
		if got, found := values[name]; !found || got != want {
			t.Errorf("%s is %g (there: %t), want %g", name, got, found, want)
		}
	}
	for _, name := range []string{`role_load{role="decode"}`, `predicted_latency_seconds{objective="tpot"}`, `signal_age_seconds{source="decode"}`, `signal_age_seconds{source="exporter"}`} {
		if got, found := values[name]; found {
			t.Errorf("%s is %g: what is not known must have no series", name, got)
		}
	}

	// What is not known any more loses its series.
	w.service.observe = errors.New("timeout")
	w.rounds(1)
	values = w.values()
	for _, name := range []string{`desired_replicas{role="prefill"}`, `ready_replicas{role="prefill"}`, `gpus_held{}`, `observed_latency_seconds{objective="ttft"}`, `role_load{role="prefill"}`, `signal_age_seconds{source="prefill"}`} {
		if got, found := values[name]; found {
			t.Errorf("nothing could be read, and %s is still %g", name, got)
		}
	}
	if got := values[`reconcile_errors_total{step="observe"}`]; got != 1 {
		t.Errorf("reconcile_errors_total of observe is %g, want 1", got)
	}
}

func TestMoveMetrics(t *testing.T) {
	w := newWorld(t, example())
	w.decide = beginsMove
	w.rounds(2)
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := scaleTo(1, 1)(in)
		ended := *m.Move
		ended.Phase, ended.PhaseSince = planner.MoveGivenUp, in.Now
		d.Ended, m.Move = &ended, nil
		return d, m
	}
	w.rounds(1)
	values := w.values()
	for result, want := range map[string]float64{"Started": 1, "GivenUp": 1} {
		if got := values[fmt.Sprintf("moves_total{result=%q}", result)]; got != want {
			t.Errorf("moves_total of %s is %g, want %g", result, got, want)
		}
	}
	if n := w.countEvents("Warning MoveFailed"); n != 1 {
		t.Errorf("the failed move was announced %d times: %q", n, w.events)
	}
}
