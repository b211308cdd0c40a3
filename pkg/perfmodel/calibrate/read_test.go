package calibrate

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

var near = cmpopts.EquateApprox(1e-9, 0)

func TestReadRequests(t *testing.T) {
	got, err := ReadRequests(strings.NewReader(`arrival_s,input,output,prefill_start_s,prefill_end_s,kv_done_s,cached
0,1000,10,0.1,0.2,0.21,
1,1000,10,1.1,1.15,1.15,400
2,1000,10,2.2,2.1,2.3,
3,0,10,3.1,3.2,3.3,
4,x,10,4.1,4.2,4.3,
5,1000,10,5.1,5.2
6,500,,6.0,6.05,,
7,500,9,7.0,7.05,,
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Readings{
		Observations: []Observation{
			{Kind: Prefill, Tokens: 1000, Ms: 100}, {Kind: KVTransfer, Tokens: 1000, Ms: 10},
			{Kind: Prefill, Tokens: 600, CachedTokens: 400, Ms: 50}, {Kind: Prefill, Tokens: 500, Ms: 50},
			{Kind: Prefill, Tokens: 500, Ms: 50},
		},
		Ignored: map[string]int{IgnoredOutOfOrder: 1, IgnoredNotPositive: 1, IgnoredNotNumbers: 1, IgnoredUnreadable: 1},
	}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Error(diff)
	}
}

func TestReadStepsTakesTheWallTimeOfBusySteps(t *testing.T) {
	got, err := ReadSteps(strings.NewReader(`t_s,batch,graph_batch,context_tokens,ms
0.000,1,1,100,19
0.020,2,2,300,19
0.040,2,2,302,19
0.540,1,1,100,19
0.560,0,1,100,19
0.580,1,1,101,19
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Readings{
		Observations: []Observation{
			{Kind: Decode, Sequences: 1, ContextTokens: 100, Ms: 20}, {Kind: Decode, Sequences: 2, ContextTokens: 300, Ms: 20},
			{Kind: Decode, Sequences: 1, ContextTokens: 100, Ms: 20},
		},
		Ignored: map[string]int{IgnoredIdle: 1, IgnoredNotPositive: 1},
	}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Error(diff)
	}
	got, err = ReadSteps(strings.NewReader("batch,context_tokens,ms\n4,4000,21.5\n"))
	if err != nil || len(got.Observations) != 1 || got.Observations[0].Ms != 21.5 {
		t.Errorf("without t_s: %+v, %v, want the step's own ms", got, err)
	}
}

func TestTablesAreRefusedInOneSentence(t *testing.T) {
	requests := func(s string) error { _, err := ReadRequests(strings.NewReader(s)); return err }
	steps := func(s string) error { _, err := ReadSteps(strings.NewReader(s)); return err }
	grid := func(s string) error { _, err := ReadGrid(strings.NewReader(s)); return err }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"empty":            {requests(""), "requests: no CSV header"},
		"another table":    {requests("a,b\n1,2\n"), `requests: column "input" is missing: needed are input, prefill_start_s`},
		"milliseconds":     {requests("input,prefill_start_s,prefill_end_s,kv_done_ms\n1,2,3,4\n"), `column "kv_done_ms": allowed is "kv_done_s", in seconds`},
		"a column twice":   {steps("batch,batch,context_tokens,ms\n"), `steps: column "batch" is there twice`},
		"no rows":          {steps("batch,context_tokens,ms\n"), "steps: 0 of 0 rows cannot be used"},
		"all rows wrong":   {steps("batch,context_tokens,ms\n1,x,3\n1,2,NaN\n"), "steps: 2 of 2 rows cannot be used (2 not numbers)"},
		"steps overlap":    {steps("t_s,batch,context_tokens,ms\n0,1,9,20\n0.00002,1,9,20\n0.00004,1,9,20\n"), "steps: no step starts after"},
		"binary":           {requests("\x00\xff\x00"), "is missing"},
		"grid, not JSON":   {grid("batch,context"), "grid: not JSON"},
		"grid, no steps":   {grid(`{"prefill":[{"tokens":0,"ms":1}]}`), "grid: no usable step"},
		"grid, wrong type": {grid(`{"prefill":[{"tokens":"64","ms":1}]}`), "grid: prefill.tokens is a JSON string"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) || strings.Contains(c.err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that says %q", name, c.err, c.want)
		}
	}
}

func FuzzReadTables(f *testing.F) {
	f.Add("arrival_s,input,output,prefill_start_s,prefill_end_s,kv_done_s\n0,100,10,0.1,0.2,0.3\n")
	f.Add("t_s,batch,graph_batch,context_tokens,ms\n0,1,1,100,19\n0.02,1,1,101,19\n")
	f.Add("batch,context_tokens,ms\n\"4,4000,1e999\n4,,-0\n")
	f.Add(`{"model":"x","prefill":[{"tokens":64,"ms":19.6}],"decode":[{"batch":1,"context":512,"ms":1e-300}]}`)
	m, err := perfmodel.LookupModel("Qwen3-8B")
	if err != nil {
		f.Fatal(err)
	}
	g, err := perfmodel.LookupGPU("H100-SXM")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var rows []Observation
		for _, read := range []func() (Readings, error){
			func() (Readings, error) { return ReadRequests(strings.NewReader(text)) },
			func() (Readings, error) { return ReadSteps(strings.NewReader(text)) },
			func() (Readings, error) { return ReadGrid(strings.NewReader(text)) },
		} {
			if r, err := read(); err == nil {
				rows = append(rows, r.Observations...)
			}
		}
		c, err := FitAll(m, g, perfmodel.Options{}, rows)
		if err != nil {
			return
		}
		if ms := c.Replica().Prefill.StepMs(1000, 0) + c.Replica().Decode.StepMs(8, 8000); !(ms > 0 && !math.IsInf(ms, 0)) {
			t.Fatalf("a step takes %v ms", ms)
		}
	})
}

func FuzzParseFit(f *testing.F) {
	fit, _ := learntFit(f, 1)
	raw, err := json.Marshal(fit)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":1}`))
	m, g := qwen(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		fit, err := ParseFit(raw)
		if err != nil {
			return
		}
		for _, tp := range []int{1, 2} {
			c, err := Restore(fit, m, g, perfmodel.Options{TP: tp})
			if err != nil {
				continue
			}
			if ms := c.Replica().Prefill.StepMs(1000, 0) + c.Replica().Decode.StepMs(8, 8000); !(ms > 0 && !math.IsInf(ms, 0)) {
				t.Fatalf("a step takes %v ms", ms)
			}
		}
	})
}
