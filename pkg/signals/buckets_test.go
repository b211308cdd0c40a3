package signals

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// bucketsFrom puts observations into buckets.
func bucketsFrom(bounds []float64, observations ...float64) *buckets {
	b := &buckets{bounds: bounds, upTo: make([]float64, len(bounds))}
	for _, x := range observations {
		b.count++
		b.sum += x
		for i, bound := range bounds {
			if x <= bound {
				b.upTo[i]++
			}
		}
	}
	return b
}

var (
	// dynamoITL is the 2025 frontend's, in seconds.
	dynamoITL    = []float64{0, .001, .005, .01, .015, .02, .025, .05, .1, .25, .5, 1, 2}
	dynamoTokens = []float64{0, 50, 100, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000}
)

func TestQuantile(t *testing.T) {
	for name, c := range map[string]struct {
		b     *buckets
		share float64
		want  estimate
	}{
		"inside a bucket": {bucketsFrom([]float64{1, 2, 4}, .5, 1.5, 1.5, 3, 3, 3, 3, 3, 3, 3), 0.65, estimate{3, 2, 4}},
		"at a bound":      {bucketsFrom([]float64{1, 2, 4}, 1.5, 1.5, 3, 3), 0.5, estimate{2, 1, 2}},
		// Below the first bound nothing is known but the mean.
		"below the first, the mean lies there":     {bucketsFrom([]float64{.1, 1}, .02, .04), 0.9, estimate{.03, 0, .1}},
		"below the first, the mean lies elsewhere": {bucketsFrom([]float64{.1, 1}, .02, .04, .02, .9), 0.5, estimate{.1, 0, .1}},
		"above the last, the mean lies there":      {bucketsFrom([]float64{1, 2}, 5, 7), 0.5, estimate{6, 2, 0}},
		"above the last, the mean lies elsewhere":  {bucketsFrom([]float64{1, 2}, .1, .1, .1, 2.5), 0.9, estimate{2, 2, 0}},
		"a bound of zero is an edge":               {bucketsFrom(dynamoITL, .0004, .0004, .0004, .0004), 0.5, estimate{.0005, 0, .001}},
		"an objective inside a coarse bucket":      {bucketsFrom(dynamoITL, .03, .03, .03, .03), 0.5, estimate{.0375, .025, .05}},
		"all zero":                                 {bucketsFrom(dynamoITL, 0, 0), 0.9, estimate{}},
		"no buckets":                               {bucketsFrom(nil, 3, 5), 0.9, estimate{4, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.b.quantile(c.share), cmp.AllowUnexported(estimate{}), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// drawBuckets draws bounds and observations.
func drawBuckets(t *rapid.T) (*buckets, []float64) {
	bounds := rapid.SliceOfNDistinct(rapid.Float64Range(0, 1000), 1, 12, rapid.ID[float64]).Draw(t, "bounds")
	slices.Sort(bounds)
	observations := rapid.SliceOfN(rapid.Float64Range(0, 2000), 1, 200).Draw(t, "observations")
	return bucketsFrom(bounds, observations...), observations
}

// The true quantile lies between the bounds that are given with it, and so does the value.
func TestQuantileBoundsHoldTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, observations := drawBuckets(t)
		share := rapid.Float64Range(0.01, 0.99).Draw(t, "share")
		slices.Sort(observations)
		truth := observations[min(int(math.Ceil(share*b.count)), len(observations))-1]
		e := b.quantile(share)
		high := e.high
		if high == 0 {
			high = math.Inf(1)
		}
		if truth < e.low || truth > high || e.value < e.low || e.value > high {
			t.Fatalf("%v of the observations are up to %v, estimated as %+v", share, truth, e)
		}
	})
}

// Adding and taking away again gives what was there, at the bounds that both have.
func TestBucketsPlusAndMinus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, _ := drawBuckets(t)
		b, _ := drawBuckets(t)
		both := a.plus(b)
		if both.count != a.count+b.count || !slices.IsSorted(both.upTo) {
			t.Fatalf("%+v and %+v are %+v", a, b, both)
		}
		for _, bound := range both.bounds {
			if !slices.Contains(a.bounds, bound) || !slices.Contains(b.bounds, bound) {
				t.Fatalf("the bound %v is not in both", bound)
			}
		}
		left, ok := both.minus(a.at(both.bounds))
		if !ok {
			t.Fatalf("%+v cannot be taken from %+v", a, both)
		}
		if diff := cmp.Diff(b.at(both.bounds).upTo, left.upTo, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestBucketsMinusKnowsARestart(t *testing.T) {
	before := bucketsFrom([]float64{1, 2}, .5, .5, 1.5)
	for name, after := range map[string]*buckets{
		"fewer observations":            bucketsFrom([]float64{1, 2}, .5),
		"more of others, fewer of some": bucketsFrom([]float64{1, 2}, 1.5, 1.5, 1.5, 1.5),
		"other bounds":                  bucketsFrom([]float64{1, 3}, .5, .5, 1.5, 2),
		"smaller sum":                   bucketsFrom([]float64{1, 2}, .1, .1, .1),
	} {
		if since, ok := after.minus(before); ok {
			t.Errorf("%s: %+v taken for growth", name, since)
		}
	}
}

func TestSCV(t *testing.T) {
	for name, c := range map[string]struct {
		b         *buckets
		low, high float64
	}{
		"all in one bucket":   {bucketsFrom(dynamoTokens, 3000, 3000, 3000, 3000), 0.03, 0.05}, // uniform in 2000..4000: 1/27
		"two far apart":       {bucketsFrom(dynamoTokens, 75, 75, 75, 24000), 2.5, 3.1},
		"beyond the last":     {bucketsFrom([]float64{10, 20}, 15, 15, 15, 1000), 2.6, 3},
		"clamped":             {bucketsFrom([]float64{1}, append(make([]float64, 100000), 1e9)...), maxSCV, maxSCV},
		"bounds below zero":   {bucketsFrom([]float64{-1, 0, 10}, 5, 5), 0.3, 0.34},
		"without any buckets": {bucketsFrom(nil, 5, 5), 0, 0},
	} {
		if got := c.b.scv(); !(got >= c.low && got <= c.high) {
			t.Errorf("%s: SCV = %v, want %v..%v", name, got, c.low, c.high)
		}
	}
	for name, b := range map[string]*buckets{"none": bucketsFrom(dynamoTokens), "one": bucketsFrom(dynamoTokens, 5), "all zero": bucketsFrom(dynamoTokens, 0, 0)} {
		if got := b.scv(); !math.IsNaN(got) {
			t.Errorf("%s: SCV = %v, want NaN", name, got)
		}
	}
}

// TestSCVOnTraces holds the error that the documentation of scv states.
func TestSCVOnTraces(t *testing.T) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("set PDAUTOSCALER_DATA to the folder with the recorded traces to run this test")
	}
	azureIn, azureOut := azureLengths(t, filepath.Join(dir, "traces", "AzureLLMInferenceTrace_conv.csv"))
	mooncakeIn, mooncakeOut := mooncakeLengths(t, filepath.Join(dir, "traces", "mooncake_synthetic_trace.jsonl"))
	var vllmTokens []float64
	for decade := 1.0; decade < 1e6; decade *= 10 {
		vllmTokens = append(vllmTokens, decade, 2*decade, 5*decade)
	}
	const window = 240 // requests: 4 per second over 60 s
	for name, lengths := range map[string][]float64{
		"azure input": azureIn, "azure output": azureOut, "mooncake input": mooncakeIn, "mooncake output": mooncakeOut,
	} {
		for engine, bounds := range map[string][]float64{"dynamo": dynamoTokens, "vllm": vllmTokens} {
			square, n := 0.0, 0
			for part := range slices.Chunk(lengths, window) {
				sum, squares := 0.0, 0.0
				for _, x := range part {
					sum += x
					squares += x * x
				}
				mean := sum / float64(len(part))
				truth := squares/float64(len(part))/(mean*mean) - 1
				wrong := bucketsFrom(bounds, part...).scv()/truth - 1
				square += wrong * wrong
				n++
			}
			rms := math.Sqrt(square / float64(n))
			t.Logf("%s with %s's bounds: relative error %.2f (root mean square over %d windows)", name, engine, rms, n)
			if rms > 0.37 {
				t.Errorf("%s with %s's bounds: relative error %.2f, documented as at most 0.36", name, engine, rms)
			}
		}
	}
}

func azureLengths(t *testing.T, file string) (in, out []float64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		i, err1 := strconv.ParseFloat(row[1], 64)
		o, err2 := strconv.ParseFloat(row[2], 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("row %v of %s", row, file)
		}
		in, out = append(in, i), append(out, o)
	}
	return in, out
}

func mooncakeLengths(t *testing.T, file string) (in, out []float64) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var r struct {
			In  float64 `json:"input_length"`
			Out float64 `json:"output_length"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		in, out = append(in, r.In), append(out, r.Out)
	}
	return in, out
}
