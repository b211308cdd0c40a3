package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

func TestTable(t *testing.T) {
	regret := func(share float64) *float64 { return &share }
	first := &scenario.Report{Target: 0.99, Policies: []scenario.PolicyReport{
		{Name: "static", Attainment: 0.9912, GPUHours: 14.4, Regret: regret(0.44)},
		{Name: "kpa", Attainment: 0.871, GPUHours: 21.5},
		{Name: "oracle", Attainment: 0.99, GPUHours: 10, Regret: regret(0)},
	}}
	second := &scenario.Report{Target: 0.99, Policies: []scenario.PolicyReport{
		{Name: "static", Attainment: 0.995, GPUHours: 3}, // no oracle was played
		{Name: "wva", Attainment: 0.995, GPUHours: 4},
	}}
	var out bytes.Buffer
	if err := write(&out, []column{{"Waves", first}, {"Calm", second}}); err != nil {
		t.Fatal(err)
	}
	want := `| policy | Waves | Calm |
|---|---|---|
| static | 14.40, 44.0 % | 3.00 |
| kpa | 21.50, attains 87.1 % |  |
| oracle | 10.00, 0.0 % |  |
| wva |  | 4.00 |
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTracesThatAreNotThereAreSaid(t *testing.T) {
	var out, progress bytes.Buffer
	err := run(t.Context(), t.TempDir(), 0.99, []string{"azure-x24", "mooncake-x2"}, &out, &progress)
	if err == nil || !strings.Contains(err.Error(), "no scenario was played") || out.Len() > 0 {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, name := range []string{"azure-x24 is left out: ", "AzureLLMInferenceTrace_conv.csv", "mooncake-x2 is left out: "} {
		if !strings.Contains(progress.String(), name) {
			t.Errorf("%q is not said: %s", name, progress.String())
		}
	}
	if err := run(t.Context(), "", 0.99, []string{"none"}, &out, &progress); err == nil || !strings.Contains(err.Error(), "allowed are [azure-x24 ") {
		t.Errorf("a scenario that is not there: %v", err)
	}
}
