package controller

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
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
	w.service.signals.PrefillWaiting = planner.Known(5, start, "test")
	w.service.reports = []signals.SourceReport{
		{Kind: signals.KindPrefill, OK: true, Age: time.Second}, {Kind: signals.KindPrefill, Error: "refused", Age: 40 * time.Second},
		{Kind: signals.KindDecode, Error: "never answered"}, {Kind: "", OK: true},
	}
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := scaleTo(3, 1)(in)
		d.Prefill.Demand, d.Prefill.Load, d.Prefill.AfterMs = planner.Demand{Known: true}, 0.75, new(1250.0)
		d.Prefill.ServesPerSecond, d.Prefill.Ready, d.Decode.BeforeMs = 1, 2, new(20.0)
		return d, m
	}
	w.rounds(2)
	values := w.values()
	for name, want := range map[string]float64{
		`desired_replicas{role="prefill"}`:            3,
		`desired_replicas{role="decode"}`:             1,
		`target_replicas{role="prefill"}`:             3,
		`target_replicas{role="decode"}`:              1,
		`ready_replicas{role="prefill"}`:              2,
		`role_load{role="prefill"}`:                   0.75,
		`predicted_latency_seconds{objective="ttft"}`: 1.25,
		`observed_latency_seconds{objective="ttft"}`:  0.6,
		`observed_latency_seconds{objective="tpot"}`:  0.03,
		`gpus_held{}`:                         8,
		`gpus_budget{}`:                       12,
		`gpu_seconds_total{role="prefill"}`:   40,
		`gpu_seconds_total{role="decode"}`:    20,
		`queue_seconds{role="prefill"}`:       2.5,
		`model_error_ratio{objective="tpot"}`: 0.5,
		`last_decision_timestamp_seconds{}`:   float64(start.Add(10 * time.Second).Unix()),
		`decisions_total{direction="up",reason="Objective",role="prefill"}`:   1,
		`decisions_total{direction="none",reason="Objective",role="prefill"}`: 1,
		`decisions_total{direction="none",reason="Objective",role="decode"}`:  2,
		`signal_age_seconds{source="prefill"}`:                                40,
		`signal_age_seconds{source="queue"}`:                                  0,
		`signal_sources{source="prefill",state="ok"}`:                         1,
		`signal_sources{source="decode",state="failed"}`:                      1,
		`reconcile_errors_total{step="collect"}`:                              2,
		`reconcile_errors_total{step="apply"}`:                                0,
		`moves_total{result="Returned"}`:                                      0,
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
	for _, name := range []string{`desired_replicas{role="prefill"}`, `target_replicas{role="prefill"}`, `ready_replicas{role="prefill"}`, `gpus_held{}`, `observed_latency_seconds{objective="ttft"}`, `role_load{role="prefill"}`, `signal_age_seconds{source="prefill"}`} {
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

// What is exported is what the table says, in Prometheus' own manner and of a
// number that is bounded.
func TestMetricsTable(t *testing.T) {
	w := newWorld(t, example())
	w.rounds(3)
	problems, err := testutil.GatherAndLint(w.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v (%v)", problems, err)
	}
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	rows := map[string]Series{}
	for _, s := range Table() {
		rows[s.Name] = s
		most += s.Most()
		if last := s.Help[len(s.Help)-1]; last != '.' {
			t.Errorf("%s: the help is no sentence", s.Name)
		}
	}
	if most > 520 {
		t.Errorf("a PDAutoscaler may have %d series", most)
	}
	for _, family := range families {
		if family.GetName() == RoundsLate {
			continue // of no resource
		}
		row, listed := rows[family.GetName()]
		if !listed {
			t.Errorf("%s is not in the table", family.GetName())
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				i := slices.IndexFunc(row.Labels, func(want Label) bool { return want.Name == l.GetName() })
				switch {
				case l.GetName() == labelNamespace || l.GetName() == labelName:
				case i < 0:
					t.Errorf("%s has the label %s, which the table does not have", row.Name, l.GetName())
				case len(row.Labels[i].Values) > 0 && !slices.Contains(row.Labels[i].Values, l.GetValue()):
					t.Errorf("%s has %s=%q: allowed is %v", row.Name, l.GetName(), l.GetValue(), row.Labels[i].Values)
				}
			}
		}
	}
	page, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	if reasons := len(regexp.MustCompile(`[A-Z][A-Za-z]+`).FindAllString(strings.Join(regexp.MustCompile(`(?m)^\| [A-Z][A-Za-z, ]+ \|`).FindAllString(string(page), -1), ""), -1)); reasons < 20 || reasons > maxReasons {
		t.Errorf("there are %d reasons; the table says at most %d", reasons, maxReasons)
	}
}

// Time that nobody looked is not counted, whatever is held after it.
func TestGPUSeconds(t *testing.T) {
	w := newWorld(t, example())
	w.rounds(2)
	const series = `gpu_seconds_total{role="prefill"}`
	once := w.values()[series]
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	w.round()
	if got := w.values()[series]; once == 0 || got != once {
		t.Errorf("GPU-seconds went from %g to %g over an hour without a round", once, got)
	}
	w.service.observe = errors.New("timeout")
	w.rounds(1)
	w.service.observe = nil
	w.rounds(1)
	if got := w.values()[series]; got != once {
		t.Errorf("GPU-seconds went from %g to %g over rounds that saw nothing", once, got)
	}
	w.rounds(1)
	if got := w.values()[series]; got <= once {
		t.Errorf("GPU-seconds stay at %g", got)
	}
}
