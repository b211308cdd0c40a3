package metricsapi

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Every answer is counted by how it came out, and a name that someone made up
// makes no series of its own.
func TestTelemetry(t *testing.T) {
	registry := prometheus.NewRegistry()
	telemetry, err := NewTelemetry(registry)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewTelemetry(registry)
	if err != nil {
		t.Fatalf("a second server of one process: %v", err)
	}
	p := &Plans{telemetry: telemetry}
	p.count(APIExternal, DesiredReplicas, answer{}, nil)
	p.count(APIExternal, DesiredReplicas, answer{repeated: true}, nil)
	p.count(APICustom, DesiredReplicas, answer{}, &unknownError{})
	p.count(APIKEDA, "made-up", answer{}, &refusedError{})
	p.count(APIKEDA, "also-made-up", answer{}, &refusedError{})
	for labels, want := range map[[3]string]float64{
		{APIExternal, DesiredReplicas, ResultKnown}:    1,
		{APIExternal, DesiredReplicas, ResultRepeated}: 1,
		{APICustom, DesiredReplicas, ResultUnknown}:    1,
		{APIKEDA, "other", ResultRefused}:              2,
	} {
		if got := testutil.ToFloat64(again.answers.WithLabelValues(labels[:]...)); got != want {
			t.Errorf("%v: %g, want %g", labels, got, want)
		}
	}
	if n := testutil.CollectAndCount(telemetry.answers); n != 4 {
		t.Errorf("%d series, want 4", n)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v (%v)", problems, err)
	}
}
