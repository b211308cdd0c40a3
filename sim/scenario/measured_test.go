package scenario

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
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
	"github.com/pdautoscaler/pdautoscaler/sim/des"
)

// A service was measured: Qwen3-32B's shape on one prefill and one decode H200, 148 requests of the Azure conversation trace
// at 4 requests/s. With the model fitted on the first half of the run, the simulation of the whole run must show the
// latencies of the second half.
func TestSimulationFollowsTheMeasuredService(t *testing.T) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: no measured service to compare with")
	}
	requests := table(t, filepath.Join(dir, "h200", "pd-qwen3-32b-conv-4-requests.csv"))
	steps := table(t, filepath.Join(dir, "h200", "pd-qwen3-32b-conv-4-steps.csv"))
	half := len(requests.rows) / 2
	middle := requests.at(half, "arrival_s")
	fitted := requests.until(func(i int) bool { return requests.at(i, "prefill_end_s") < middle })
	observed := steps.until(func(i int) bool { return steps.at(i, "t_s") < middle })

	scratch := t.TempDir()
	writeFit(t, filepath.Join(scratch, "fit.json"), fitted, observed)
	requests.write(t, filepath.Join(scratch, "run.csv"))
	file, err := Parse([]byte(`
model: qwen3-32b
gpu: h200
fit: fit.json
prefill: {padTokens: 128, kvTransfer: blocking}
decode: {maxSeqs: 63}
traffic: {trace: run.csv}
slo: {ttft: {p95: 2s}, tpot: {p95: 40ms}}
policies: [static]
`), "conv-4.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(file, "conv-4.yaml", Options{Dir: scratch})
	if err != nil {
		t.Fatal(err)
	}
	simulated := make([]des.Record, len(requests.rows))
	if _, err := s.Run(t.Context(), time.Now, func(_ string, r des.Record) { simulated[r.ID-1] = r }); err != nil {
		t.Fatal(err)
	}
	var ttft, tpot, realTTFT, realTPOT []float64
	for i := half; i < len(requests.rows); i++ {
		r := &simulated[i]
		ttft = append(ttft, r.TTFTMs())
		realTTFT = append(realTTFT, 1000*(requests.at(i, "prefill_end_s")-requests.at(i, "arrival_s")))
		if out := requests.at(i, "output"); out > 1 {
			tpot = append(tpot, r.TPOTMs())
			realTPOT = append(realTPOT, 1000*(requests.at(i, "end_s")-requests.at(i, "prefill_end_s"))/(out-1))
		}
	}
	for _, tc := range []struct {
		what       string
		got, want  []float64
		q, percent float64
	}{
		{"TTFT p50", ttft, realTTFT, 0.5, 8}, {"TTFT p90", ttft, realTTFT, 0.9, 8}, {"TTFT p99", ttft, realTTFT, 0.99, 0},
		{"TPOT p50", tpot, realTPOT, 0.5, 8}, {"TPOT p90", tpot, realTPOT, 0.9, 8}, {"TPOT p99", tpot, realTPOT, 0.99, 0},
	} {
		got, want := quantile(tc.got, tc.q), quantile(tc.want, tc.q)
		off := 100 * (got/want - 1)
		t.Logf("%s: %.1f ms, measured %.1f ms (%+.1f %%)", tc.what, got, want, off)
		if tc.percent > 0 && !(math.Abs(off) <= tc.percent) {
			t.Errorf("%s is off by %+.1f %%, allowed is %v %%", tc.what, off, tc.percent)
		}
	}
}

// writeFit learns from a part of the measurements as pdctl fit does.
func writeFit(t *testing.T, path string, requests, steps csvTable) {
	t.Helper()
	model, err := perfmodel.LookupModel("qwen3-32b")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU("h200")
	if err != nil {
		t.Fatal(err)
	}
	prefills, err := calibrate.ReadRequests(bytes.NewReader(requests.text(t)))
	if err != nil {
		t.Fatal(err)
	}
	decodes, err := calibrate.ReadSteps(bytes.NewReader(steps.text(t)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := calibrate.FitAll(model, gpu, perfmodel.Options{TP: 1}, append(prefills.Observations, decodes.Observations...))
	if err != nil {
		t.Fatal(err)
	}
	fit, err := c.Fit()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(fit)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// csvTable is a CSV file with a header.
type csvTable struct {
	header []string
	rows   [][]string
}

func table(t *testing.T, path string) csvTable {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return csvTable{rows[0], rows[1:]}
}

func (c csvTable) at(row int, column string) float64 {
	v, err := strconv.ParseFloat(c.rows[row][slices.Index(c.header, column)], 64)
	if err != nil {
		panic(fmt.Sprintf("row %d, %s: %v", row, column, err))
	}
	return v
}

// until keeps the leading rows for which keep holds.
func (c csvTable) until(keep func(int) bool) csvTable {
	n := 0
	for n < len(c.rows) && keep(n) {
		n++
	}
	return csvTable{c.header, c.rows[:n]}
}

func (c csvTable) text(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(append([][]string{c.header}, c.rows...)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (c csvTable) write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, c.text(t), 0o600); err != nil {
		t.Fatal(err)
	}
}

func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	at := q * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (at-float64(low))*(values[high]-values[low])
}
