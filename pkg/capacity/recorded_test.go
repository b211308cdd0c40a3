package capacity

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// readColumns reads numeric columns of a CSV file under PDAUTOSCALER_DATA; a column named TIMESTAMP becomes seconds.
func readColumns(t *testing.T, path string, names ...string) map[string][]float64 {
	t.Helper()
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: recorded traffic is not part of the repository")
	}
	f, err := os.Open(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string][]float64{}
	for _, name := range names {
		i := slices.Index(rows[0], name)
		if i < 0 {
			t.Fatalf("%s has no column %s", path, name)
		}
		for _, row := range rows[1:] {
			v, err := strconv.ParseFloat(row[i], 64)
			if name == "TIMESTAMP" {
				var at time.Time
				at, err = time.Parse("2006-01-02 15:04:05.9999999", row[i])
				v = float64(at.UnixNano()) / 1e9
			}
			if err != nil {
				t.Fatal(err)
			}
			columns[name] = append(columns[name], v)
		}
	}
	return columns
}

func lengthsOf(values []float64) Lengths {
	mean, second := 0.0, 0.0
	for _, v := range values {
		mean += v / float64(len(values))
		second += v * v / float64(len(values))
	}
	return Lengths{Mean: mean, SCV: second/(mean*mean) - 1}
}

func gaps(at []float64) []float64 {
	var g []float64
	for i := 1; i < len(at); i++ {
		g = append(g, at[i]-at[i-1])
	}
	return g
}

// A recorded prefill/decode service: 148 requests on one prefill GPU and one decode GPU, first come first served, one
// prompt at a time padded to 128 tokens, prefill blocked while its KV cache leaves, at most 63 sequences. Nothing is
// fitted: the model knows the shape, the GPU and the traffic's moments. 148 requests leave some 20 % of noise at p90.
func TestPredictionsOfARecordedService(t *testing.T) {
	c := readColumns(t, "h200/pd-qwen3-32b-conv-4-requests.csv", "arrival_s", "input", "output", "prefill_start_s", "prefill_end_s", "end_s")
	s := qwenService(t, perfmodel.Options{})
	s.PadTokens, s.TransferBlocksPrefill, s.MaxSequences = 128, true, 63
	n := len(c["input"])
	traffic := Traffic{
		RequestsPerSecond: float64(n-1) / (c["arrival_s"][n-1] - c["arrival_s"][0]),
		ArrivalSCV:        lengthsOf(gaps(c["arrival_s"])).SCV,
		Input:             lengthsOf(c["input"]),
		Output:            lengthsOf(c["output"]),
	}
	var ttft, tpot, service []float64
	for i := range n {
		ttft = append(ttft, 1000*(c["prefill_end_s"][i]-c["arrival_s"][i]))
		service = append(service, 1000*(c["prefill_end_s"][i]-c["prefill_start_s"][i]))
		if c["output"][i] >= 2 {
			tpot = append(tpot, 1000*(c["end_s"][i]-c["prefill_end_s"][i])/(c["output"][i]-1))
		}
	}
	slices.Sort(ttft)
	slices.Sort(tpot)
	prefill, decode := s.PrefillPool(1, traffic), s.DecodePool(1, traffic)
	t.Logf("%d requests at %.2f/s, %+v; prefill load %.2f, batch %.1f", n, traffic.RequestsPerSecond, traffic, prefill.Load, decode.Sequences)
	check := func(name string, predicted, recorded, allowed float64) {
		off := predicted/recorded - 1
		t.Logf("%s: predicted %.1f ms, recorded %.1f ms (%+.1f %%)", name, predicted, recorded, 100*off)
		if math.Abs(off) > allowed {
			t.Errorf("%s is off by %+.1f %%, allowed is %v %%", name, 100*off, 100*allowed)
		}
	}
	check("mean prefill", prefill.MeanServiceMs-s.transferMs(traffic.Input.Mean), lengthsOf(service).Mean, 0.15)
	// The recorded arrivals and lengths with the model's times: what is left is the error of the step model.
	replayed, free := make([]float64, n), 0.0
	for i := range n {
		arrival, padded := 1000*c["arrival_s"][i], 128*math.Ceil(c["input"][i]/128)
		end := max(arrival, free) + s.Prefill.Prefill.StepMs(padded, 0)
		free = end + s.transferMs(c["input"][i])
		replayed[i] = end - arrival
	}
	slices.Sort(replayed)
	for _, q := range []float64{0.5, 0.9, 0.95} {
		name := fmt.Sprintf("TTFT p%g", 100*q)
		check(name+" replayed", quantileOf(replayed, q), quantileOf(ttft, q), 0.15)
		check(name, prefill.TTFTQuantileMs(q), quantileOf(ttft, q), 0.45)
	}
	check("TPOT p50", decode.TPOTQuantileMs(0.5), quantileOf(tpot, 0.5), 0.1)
	// Ten of the 148 requests have 6 output tokens and the longest prompts: no two moments tell that.
	check("TPOT p95", decode.TPOTQuantileMs(0.95), quantileOf(tpot, 0.95), 0.3)
}

// The same service with what its first half has shown, and with its lengths counted: what is left is the queue's error and
// the noise of one recording.
func TestPredictionsOfARecordedServiceOnceFitted(t *testing.T) {
	c := readColumns(t, "h200/pd-qwen3-32b-conv-4-requests.csv", "arrival_s", "input", "output", "prefill_start_s", "prefill_end_s", "kv_done_s", "end_s")
	n := len(c["input"])
	var rows []calibrate.Observation
	for i := range n / 2 {
		rows = append(rows,
			calibrate.Observation{Kind: calibrate.Prefill, Tokens: c["input"][i], Ms: 1000 * (c["prefill_end_s"][i] - c["prefill_start_s"][i])},
			calibrate.Observation{Kind: calibrate.KVTransfer, Tokens: c["input"][i], Ms: 1000 * (c["kv_done_s"][i] - c["prefill_end_s"][i])})
	}
	m, err := perfmodel.LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	g, err := perfmodel.LookupGPU("H200-SXM")
	if err != nil {
		t.Fatal(err)
	}
	fit, err := calibrate.FitAll(m, g, perfmodel.Options{}, rows)
	if err != nil {
		t.Fatal(err)
	}
	s := Service{Prefill: fit.Replica(), Decode: fit.Replica(), PadTokens: fit.States[calibrate.Prefill].PadTokens, TransferBlocksPrefill: true, MaxSequences: 63}
	traffic := Traffic{
		RequestsPerSecond: float64(n-1) / (c["arrival_s"][n-1] - c["arrival_s"][0]),
		ArrivalSCV:        lengthsOf(gaps(c["arrival_s"])).SCV,
		Input:             Lengths{Histogram: NewHistogram(c["input"])},
		Output:            Lengths{Histogram: NewHistogram(c["output"])},
	}
	var ttft, tpot []float64
	for i := range n {
		ttft = append(ttft, 1000*(c["prefill_end_s"][i]-c["arrival_s"][i]))
		if c["output"][i] >= 2 {
			tpot = append(tpot, 1000*(c["end_s"][i]-c["prefill_end_s"][i])/(c["output"][i]-1))
		}
	}
	slices.Sort(ttft)
	slices.Sort(tpot)
	prefill, decode := s.PrefillPool(1, traffic), s.DecodePool(1, traffic)
	for _, q := range []float64{0.5, 0.9, 0.95} {
		for _, c := range []struct {
			name                string
			predicted, recorded float64
		}{
			{"TTFT", prefill.TTFTQuantileMs(q), quantileOf(ttft, q)}, {"TPOT", decode.TPOTQuantileMs(q), quantileOf(tpot, q)},
		} {
			off := c.predicted/c.recorded - 1
			t.Logf("%s p%g: predicted %.1f ms, recorded %.1f ms (%+.1f %%)", c.name, 100*q, c.predicted, c.recorded, 100*off)
			if math.Abs(off) > 0.25 {
				t.Errorf("%s p%g is off by %+.1f %%, allowed is 25 %%", c.name, 100*q, 100*off)
			}
		}
	}
}

// Lengths as recorded in production, which are no Weibull at all: they are drawn from the Azure conversation trace. Arrivals
// are Poisson, as they nearly are in that trace.
func TestPredictionsForRecordedLengths(t *testing.T) {
	c := readColumns(t, "traces/AzureLLMInferenceTrace_conv.csv", "ContextTokens", "GeneratedTokens")
	traffic := Traffic{ArrivalSCV: 1, Input: lengthsOf(c["ContextTokens"]), Output: lengthsOf(c["GeneratedTokens"])}
	s := qwenService(t, perfmodel.Options{TP: 2})
	prefill, decode := []accuracy{{0.5, 0.2, 0.4}, {0.9, 0.15, 0.3}, {0.95, 0.15, 0.3}, {0.99, 0.2, 0.3}}, []accuracy{{0.5, 0.05, 0.1}, {0.95, 0.1, 0.15}}
	ttft, tpot := make([]tally, len(prefill)), make([]tally, len(decode))
	for _, load := range []float64{0.3, 0.6, 0.8, 0.9} {
		at := "load " + strconv.FormatFloat(load, 'g', 2, 64)
		for _, replicas := range []int{1, 2, 4, 8} {
			traffic.RequestsPerSecond = load * s.MaxRatePrefill(replicas, traffic, Objective{Ms: 1e9})
			p := s.PrefillPool(replicas, traffic)
			simulated := simulatePrefill(s, replicas, traffic, resample(c["ContextTokens"]), 200_000, 2)
			for i, a := range prefill {
				ttft[i].add(at+", "+strconv.Itoa(replicas)+" replicas", p.TTFTQuantileMs(a.q), quantileOf(simulated, a.q))
			}
		}
		traffic.RequestsPerSecond = 1
		traffic.RequestsPerSecond = load / s.DecodePool(1, traffic).LoadFor(Objective{Ms: 30})
		d := s.DecodePool(1, traffic)
		simulated, _ := simulateDecode(s, traffic, resample(c["ContextTokens"]), resample(c["GeneratedTokens"]), 10_000)
		for i, a := range decode {
			tpot[i].add(at, d.TPOTQuantileMs(a.q), quantileOf(simulated, a.q))
		}
	}
	for i, a := range prefill {
		a.check(t, "TTFT, recorded lengths", &ttft[i])
	}
	for i, a := range decode {
		a.check(t, "TPOT, recorded lengths", &tpot[i])
	}
}
