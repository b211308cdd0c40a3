package perfmodel

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// stepGrid is h200/steps-qwen3-32b-tp1.json: medians of repeated steps of the Qwen3-32B shape on one H200, a lean engine
// under a steady, power-limited load.
type stepGrid struct {
	Prefill []struct {
		Tokens float64
		Ms     float64
		activityReading
	}
	Decode []struct {
		Batch   float64
		Context float64
		Ms      float64
		activityReading
	}
}

type activityReading struct {
	TensorActive float64 `json:"tensor_active"`
	DRAMActive   float64 `json:"dram_active"`
}

func readStepGrid(t *testing.T) stepGrid {
	t.Helper()
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: the measured steps are not part of the repository")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "h200", "steps-qwen3-32b-tp1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g stepGrid
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Prefill) < 10 || len(g.Decode) < 50 {
		t.Fatalf("the grid holds %d prefill and %d decode steps", len(g.Prefill), len(g.Decode))
	}
	return g
}

type relativeError struct {
	n               int
	sum, bias, most float64
}

func (e *relativeError) add(predicted, measured float64) {
	r := predicted/measured - 1
	e.n++
	e.sum += math.Abs(r)
	e.bias += r
	e.most = max(e.most, math.Abs(r))
}

func (e relativeError) mean() float64     { return 100 * e.sum / float64(e.n) }
func (e relativeError) meanBias() float64 { return 100 * e.bias / float64(e.n) }

func gridErrors(g stepGrid, r Replica) (prefill, decode relativeError) {
	for _, s := range g.Prefill {
		prefill.add(r.Prefill.StepMs(s.Tokens, 0), s.Ms)
	}
	for _, s := range g.Decode {
		decode.add(r.Decode.StepMs(s.Batch, s.Batch*s.Context), s.Ms)
	}
	return prefill, decode
}

func TestPriorsAgainstMeasuredSteps(t *testing.T) {
	g := readStepGrid(t)
	m, err := LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := LookupGPU("H200-SXM")
	if err != nil {
		t.Fatal(err)
	}
	// Two default priors (powerLimit, kvReadBf16) lean halfway on this very GPU; without it only kernel tables remain. Both
	// are held, so that neither the defaults nor their independence is overstated.
	tables := defaultPriors()
	tables.PowerLimit.Mean = 1
	tables.KVReadBf16.Mean = 0.69
	for _, c := range []struct {
		name                    string
		priors                  priors
		prefillMost, decodeMost float64
	}{
		{"default priors", defaultPriors(), 12, 10},
		{"kernel tables alone", tables, 20, 10},
	} {
		r, err := newReplica(m, gpu, Options{}, c.priors)
		if err != nil {
			t.Fatal(err)
		}
		prefill, decode := gridErrors(g, r)
		t.Logf("%s: prefill mean |error| %.1f %%, bias %+.1f %%, worst %.1f %%; decode mean |error| %.1f %%, bias %+.1f %%, worst %.1f %%",
			c.name, prefill.mean(), prefill.meanBias(), 100*prefill.most, decode.mean(), decode.meanBias(), 100*decode.most)
		if prefill.mean() > c.prefillMost {
			t.Errorf("%s: prefill is off by %.1f %% on average, allowed is %v %%", c.name, prefill.mean(), c.prefillMost)
		}
		if decode.mean() > c.decodeMost {
			t.Errorf("%s: decode is off by %.1f %% on average, allowed is %v %%", c.name, decode.mean(), c.decodeMost)
		}
	}
}

// The counters of a busy replica: DRAM-active of decode and tensor-active of prefill are the two that a duty is read from.
func TestBusyActivityAgainstMeasuredCounters(t *testing.T) {
	g := readStepGrid(t)
	a := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{}).BusyActivity
	compared := 0
	check := func(name string, got, measuredPercent, allowed float64) {
		compared++
		t.Logf("%s: %.3f, measured %.3f", name, got, measuredPercent/100)
		if math.Abs(got-measuredPercent/100) > allowed {
			t.Errorf("%s is %.3f, measured %.3f, allowed is +-%v", name, got, measuredPercent/100, allowed)
		}
	}
	for _, s := range g.Prefill {
		if s.Tokens == 2048 {
			check("prefill tensor-active", a.PrefillTensorActive, s.TensorActive, 0.08)
			check("prefill DRAM-active", a.PrefillDRAMActive, s.DRAMActive, 0.03)
		}
	}
	for _, s := range g.Decode {
		if s.DRAMActive > 0 && s.Batch <= 64 {
			check("decode DRAM-active", a.DecodeDRAMActive, s.DRAMActive, 0.05)
		}
	}
	if compared < 6 {
		t.Errorf("only %d counters were compared", compared)
	}
}
