package signals

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// nativeOf is a native histogram of the observations with 8 buckets to a factor of 10, as the HTTP API writes it.
func nativeOf(observations ...float64) string {
	counts := map[int]int{}
	sum := 0.0
	for _, x := range observations {
		counts[int(math.Ceil(8*math.Log10(x)))]++
		sum += x
	}
	var rows []string
	for i := -80; i < 80; i++ {
		if counts[i] > 0 {
			rows = append(rows, fmt.Sprintf(`[0,"%v","%v","%d"]`, math.Pow(10, float64(i-1)/8), math.Pow(10, float64(i)/8), counts[i]))
		}
	}
	return fmt.Sprintf(`{"count":"%d","sum":"%v","buckets":[%s]}`, len(observations), sum, strings.Join(rows, ","))
}

// The quantile of a native histogram is bounded by its fine buckets, over the
// growth of the window, although each sample lists other buckets.
func TestNativeHistograms(t *testing.T) {
	r := newPromRig(t, Config{Engine: "dynamo-vllm"})
	f := r.pod(KindFrontend, "f")
	var seen []float64
	for i := range 6 {
		f.set(frontend2025(float64(30*i), 0)...)
		r.scrape()
		slow := []float64{5, 40} // before the window
		if i > 0 {
			slow = []float64{.2, .3, .4, .5, .6, .7, .8, .9, 1, 1.1}
		}
		seen = append(seen, slow...)
		s := r.prom.of(map[string]string{"__name__": "nv_llm_http_service_time_to_first_token_seconds", "model": "qwen3-32b",
			"pod": "f", "namespace": "default", "job": "engines", "instance": strings.TrimSuffix(strings.TrimPrefix(f.target.URL, "http://"), "/metrics")})
		r.prom.set(func(*fakePrometheus) {
			s.native = append(s.native, fmt.Sprintf("[%d,%s]", r.now.Unix(), nativeOf(seen...)))
		})
		got := r.collectThrough()
		r.now = r.now.Add(interval)
		if i == 5 {
			q := got.TTFTMs
			if !(q.LowMs < 1000 && 1000 <= q.HighMs+1e-9 && q.HighMs/q.LowMs < 1.4) || math.Abs(q.MeanMs-650) > 1e-6 {
				t.Errorf("TTFT = %+v, want the p90 of 1 s in its fine bucket and a mean of 650 ms", q)
			}
		}
	}
}

// Growth over a native histogram is what was observed in between, and never
// places an observation outside of its bucket.
func TestNativeGrowthHoldsTheTruth(t *testing.T) {
	read := func(t *rapid.T, observations []float64) *buckets {
		var h promHistogram
		if err := h.UnmarshalJSON([]byte("[1," + nativeOf(observations...) + "]")); err != nil || h.wrong != "" {
			t.Fatalf("%v %s", err, h.wrong)
		}
		return h.hist
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Custom(func(t *rapid.T) float64 {
			return math.Pow(10, (float64(rapid.IntRange(-24, 24).Draw(t, "bucket"))+0.5)/8)
		})
		before := rapid.SliceOfN(value, 0, 20).Draw(t, "before")
		since := rapid.SliceOfN(value, 1, 20).Draw(t, "since")
		got, ok := read(t, append(before, since...)).minus(read(t, before))
		if !ok || got.count != float64(len(since)) {
			t.Fatalf("growth = %+v, %v, want %d observations", got, ok, len(since))
		}
		for i, bound := range got.bounds {
			n := 0.0
			for _, x := range since {
				if x <= bound*(1+1e-12) {
					n++
				}
			}
			if got.upTo[i] != n {
				t.Fatalf("%v up to %v, want %v", got.upTo[i], bound, n)
			}
		}
	})
}

// A histogram that grew coarser keeps what both have in common and is no restart.
func TestNativeHistogramGrowsCoarser(t *testing.T) {
	fine, _ := nativeBuckets([]nativeBucket{{1, 2, 3}, {2, 4, 5}, {8, 16, 1}}, 9, 40)
	coarse, _ := nativeBuckets([]nativeBucket{{1, 4, 10}, {4, 16, 2}}, 12, 60)
	got, ok := coarse.minus(fine)
	if !ok || got.count != 3 || got.sum != 20 {
		t.Fatalf("growth = %+v, %v", got, ok)
	}
	if e := got.quantile(0.5); e.low != 1 || e.high != 4 {
		t.Errorf("median = %+v, want it from 1 to 4", e)
	}
}

func TestNativeHistogramsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"no pair":          `[1]`,
		"no number":        `[1,{"count":"x","sum":"1"}]`,
		"a bucket of text": `[1,{"count":"1","sum":"1","buckets":[[0,"a","2","1"]]}]`,
	} {
		var h promHistogram
		if err := h.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, h)
		}
	}
	for name, text := range map[string]string{
		"buckets that overlap":    `[1,{"count":"2","sum":"1","buckets":[[0,"1","3","1"],[0,"2","4","1"]]}]`,
		"more in them than count": `[1,{"count":"1","sum":"1","buckets":[[0,"1","3","5"]]}]`,
		"a sum that is NaN":       `[1,{"count":"1","sum":"NaN","buckets":[]}]`,
		"a negative count":        `[1,{"count":"1","sum":"1","buckets":[[0,"1","3","-5"]]}]`,
	} {
		var h promHistogram
		if err := h.UnmarshalJSON([]byte(text)); err != nil || h.wrong == "" {
			t.Errorf("%s: %v, read as %+v", name, err, h.hist)
		}
	}
}

// Custom buckets (a classic histogram that Prometheus stored as a native one)
// keep the quantile of the classic one.
func TestNativeCustomBuckets(t *testing.T) {
	var h promHistogram
	if err := h.UnmarshalJSON([]byte(`[1,{"count":"10","sum":"3","buckets":[[0,"-Inf","0.1","2"],[0,"0.25","0.5","7"],[0,"1","+Inf","1"]]}]`)); err != nil {
		t.Fatal(err)
	}
	if e := h.hist.quantile(0.5); e.low != 0.25 || e.high != 0.5 {
		t.Errorf("median = %+v", e)
	}
	if e := h.hist.quantile(0.99); e.low != 1 || e.high != 0 {
		t.Errorf("p99 = %+v, want it over 1 and no bound", e)
	}
}

// Of one name, one process may export a native histogram and another a number, as of a summary. No series of such a name is read.
func TestNameThatIsAHistogramAndANumber(t *testing.T) {
	for _, first := range []string{"histogram", "number"} {
		t.Run(first, func(t *testing.T) {
			r := newPromRig(t, Config{Engine: "vllm"})
			p := r.pod(KindPrefill, "p")
			series := func(engine string) *fakeSeries {
				return r.prom.of(map[string]string{"__name__": "vllm:time_to_first_token_seconds", "engine": engine, "pod": "p", "namespace": "default",
					"job": "engines", "instance": strings.TrimSuffix(strings.TrimPrefix(p.target.URL, "http://"), "/metrics")})
			}
			var native, number *fakeSeries
			if first == "histogram" {
				native, number = series("0"), series("1")
			} else {
				number, native = series("0"), series("1")
			}
			for i := range 3 {
				p.set(worker(float64(30*i), 0, 0)...)
				r.scrape()
				r.prom.set(func(*fakePrometheus) {
					native.native = append(native.native, fmt.Sprintf("[%d,%s]", r.now.Unix(), nativeOf(repeat(i+1, .5)...)))
					number.samples = append(number.samples, promValue{r.now, 0.5})
				})
				s := r.collectThrough()
				r.now = r.now.Add(interval)
				wantUnknown(t, "TTFT", s.TTFTMs.Reading, "time_to_first_token_seconds is")
			}
		})
	}
}
