package signals

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

const frontendTTFT = "nv_llm_http_service_time_to_first_token_seconds"

var seconds = []float64{.1, .2, .5, 1, 2, 5}

// repeat returns n times the same observation.
func repeat(n int, x float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = x
	}
	return out
}

// F4: buckets are summed before the quantile, and the mean is that of the
// requests, not of the pods: a frontend that is idle or has few requests counts as few.
func TestF4QuantilesAreOfRequestsNotOfPods(t *testing.T) {
	r := newRig(t, Config{TTFTPercentile: 0.9, TPOTPercentile: 0.9})
	busy, quiet := r.pod(KindFrontend, "busy"), r.pod(KindFrontend, "quiet")
	busy.set(exported(frontendTTFT, bucketsFrom(seconds))...)
	quiet.set(exported(frontendTTFT, bucketsFrom(seconds))...)
	wantUnknown(t, "TTFT of one sample", r.collect().TTFTMs.Reading, "read only once")
	all := append(repeat(90, .15), repeat(9, .3)...)
	busy.set(exported(frontendTTFT, bucketsFrom(seconds, all...))...)
	quiet.set(exported(frontendTTFT, bucketsFrom(seconds, 4))...)
	s := r.collect()
	// 90 of 100 are at most 0.2 s. The mean of the pods' quantiles would be over 2 s, and so would the mean of their means.
	want := planner.Quantile{
		Reading:    planner.Known(200, epoch.Add(interval), frontendTTFT),
		Percentile: 0.9, LowMs: 100, HighMs: 200, MeanMs: (90*150 + 9*300 + 4000) / 100.,
	}
	if diff := cmp.Diff(want, s.TTFTMs, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
}

// The window slides: what was slow before it is not slow now.
func TestLatencyIsOfTheWindow(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	seen := []float64{}
	var s planner.Signals
	for i := range 8 {
		if i < 3 {
			seen = append(seen, repeat(50, 4)...)
		} else {
			seen = append(seen, repeat(10, .15)...)
		}
		p.set(exported(frontendTTFT, bucketsFrom(seconds, seen...))...)
		s = r.collect()
	}
	if s.TTFTMs.HighMs != 200 || s.TTFTMs.MeanMs < 149.9 || s.TTFTMs.MeanMs > 150.1 {
		t.Errorf("TTFT = %+v, want only that of the last minute", s.TTFTMs)
	}
}

// Below the first bucket of vLLM's histogram there is a bound, and the mean beside it.
func TestLatencyBelowTheFirstBucketIsABound(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	p := r.pod(KindDecode, "d")
	bounds := []float64{.01, .025, .05}
	p.set(exported("vllm:inter_token_latency_seconds", bucketsFrom(bounds))...)
	r.collect()
	p.set(exported("vllm:inter_token_latency_seconds", bucketsFrom(bounds, repeat(20, .004)...))...)
	got := r.collect().TPOTMs
	want := planner.Quantile{Reading: planner.Known(4, epoch.Add(interval), "vllm:inter_token_latency_seconds"), Percentile: 0.9, HighMs: 10, MeanMs: 4}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	p.set(exported("vllm:inter_token_latency_seconds", bucketsFrom(bounds, append(repeat(20, .004), repeat(900, .3)...)...))...)
	if got = r.collect().TPOTMs; got.LowMs != 50 || got.HighMs != 0 || got.Value < 50 {
		t.Errorf("TPOT above the last bucket = %+v, want at least 50 ms and no upper bound", got)
	}
}

// Pods of two versions export TPOT under names that mean different things:
// those of the more common name are summed, and the source says which.
func TestLatencyDoesNotMixNames(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	bounds := []float64{.01, .1, 1}
	name := []string{"vllm:request_time_per_output_token_seconds", "vllm:time_per_output_token_seconds", "vllm:time_per_output_token_seconds"}
	for i := range name {
		r.pod(KindDecode, fmt.Sprint(i))
	}
	for round := range 2 {
		for i, p := range r.pods {
			if i == 0 {
				p.set(exported(name[i], bucketsFrom(bounds, repeat(1000*round, .5)...))...)
			} else {
				p.set(exported(name[i], bucketsFrom(bounds, repeat(10*round, .05)...))...)
			}
		}
		if s := r.collect(); round == 1 && (s.TPOTMs.Source != name[1] || s.TPOTMs.HighMs != 100) {
			t.Errorf("TPOT = %+v, want that of the two older pods", s.TPOTMs)
		}
	}
}

// A bound that is beyond all measure is no bound, and nothing overflows by it.
func TestLatencyWithAnEndlessBound(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	p.set(exported(frontendTTFT, &buckets{bounds: []float64{1, 1e308}, upTo: []float64{0, 0}})...)
	r.collect()
	p.set(exported(frontendTTFT, &buckets{bounds: []float64{1, 1e308}, upTo: []float64{0, 2}, count: 2, sum: 6})...)
	want := planner.Quantile{Reading: planner.Known(3000, epoch.Add(interval), frontendTTFT), Percentile: 0.9, LowMs: 1000, MeanMs: 3000}
	if diff := cmp.Diff(want, r.collect().TTFTMs); diff != "" {
		t.Error(diff)
	}
}

// A process that restarted shows fewer observations: all it shows is new.
func TestLatencyOverARestart(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	p.set(exported(frontendTTFT, bucketsFrom(seconds, repeat(500, 4)...))...)
	r.collect()
	p.set(exported(frontendTTFT, bucketsFrom(seconds, repeat(10, .15)...))...)
	if got := r.collect().TTFTMs; got.HighMs != 200 || got.MeanMs < 149 || got.MeanMs > 151 {
		t.Errorf("TTFT = %+v, want that of the 10 requests since the restart", got)
	}
}

func TestLengthsAndWhenTheyAreForgotten(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	in, out := "nv_llm_http_service_input_sequence_tokens", "nv_llm_http_service_output_sequence_tokens"
	page := func(n int) []string {
		return lines(frontend2025(float64(n), 0), exported(in, bucketsFrom(dynamoTokens, repeat(n, 3000)...)),
			exported(out, bucketsFrom(dynamoTokens, append(repeat(n, 75), repeat(n, 225)...)...)))
	}
	p.set(page(5)...)
	wantUnknown(t, "input tokens of one sample", r.collect().InputTokens, "read only once")
	p.set(page(25)...)
	s := r.collect()
	wantKnown(t, "input tokens", s.InputTokens, 3000)
	wantKnown(t, "output tokens", s.OutputTokens, 150)
	wantUnknown(t, "the SCV of few outputs", s.OutputSCV, "too few")
	p.set(page(125)...)
	s = r.collect()
	if got := s.OutputSCV.Value; got < 0.2 || got > 0.6 { // the truth is 0.25; its buckets are 50..100 and 100..500
		t.Errorf("SCV of the output = %+v", s.OutputSCV)
	}
	read := s.InputTokens.At
	// Nothing comes: first the window empties, then the memory ages.
	for i := range 10 {
		s = r.collect()
		switch age := s.InputTokens.At; {
		case r.now.Add(-interval).Sub(read) <= DefaultWindow+DefaultMaxAge-interval:
			wantKnown(t, fmt.Sprintf("input tokens after %d quiet collections", i+1), s.InputTokens, 3000)
		case s.InputTokens.Ok():
			t.Errorf("input tokens of %v are still there at %v", age, r.now)
		}
	}
	wantUnknown(t, "input tokens", s.InputTokens, "no request finished in the window")
	wantZero(t, "demand", s.RequestsPerSecond)
}

// Without a frontend the prompt comes from prefill pods and the output from
// decode pods: each role's other lengths are artefacts.
func TestLengthsOfWorkers(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
	bounds := []float64{1, 100, 1000, 10000}
	for n := range 2 {
		p.set(lines(exported("vllm:request_prompt_tokens", bucketsFrom(bounds, repeat(9*n, 2000)...)),
			exported("vllm:request_generation_tokens", bucketsFrom(bounds, repeat(9*n, 1)...)))...)
		d.set(lines(exported("vllm:request_prompt_tokens", bucketsFrom(bounds, repeat(9*n, 1)...)),
			exported("vllm:request_generation_tokens", bucketsFrom(bounds, repeat(9*n, 300)...)))...)
		if s := r.collect(); n == 1 {
			wantKnown(t, "input tokens", s.InputTokens, 2000)
			wantKnown(t, "output tokens", s.OutputTokens, 300)
		}
	}
}

func TestCachedShare(t *testing.T) {
	counters := func(lookups, hits string) []string {
		return append(worker(1, 0, 0), "# TYPE vllm:prefix_cache_queries counter", "vllm:prefix_cache_queries_total "+lookups,
			"vllm:prefix_cache_hits_total "+hits)
	}
	for name, c := range map[string]struct {
		first, second []string
		want          func(t *testing.T, got planner.Reading)
	}{
		"a part":      {counters("100", "90"), counters("1100", "340"), func(t *testing.T, got planner.Reading) { wantKnown(t, "share", got, 0.25) }},
		"none":        {counters("100", "90"), counters("1100", "90"), func(t *testing.T, got planner.Reading) { wantZero(t, "share", got) }},
		"no lookups":  {counters("100", "90"), counters("100", "90"), func(t *testing.T, got planner.Reading) { wantUnknown(t, "share", got, "did not grow in the window") }},
		"over all":    {counters("100", "0"), counters("110", "50"), func(t *testing.T, got planner.Reading) { wantUnknown(t, "share", got, "more tokens were found") }},
		"no counters": {worker(1, 0, 0), worker(2, 0, 0), func(t *testing.T, got planner.Reading) { wantUnknown(t, "share", got, "no prefill pod exports") }},
		"older names": {[]string{"vllm:gpu_prefix_cache_queries 0", "vllm:gpu_prefix_cache_hits 0"}, []string{"vllm:gpu_prefix_cache_queries 10", "vllm:gpu_prefix_cache_hits 5"},
			func(t *testing.T, got planner.Reading) { wantKnown(t, "share", got, 0.5) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			p := r.pod(KindPrefill, "p")
			p.set(c.first...)
			r.collect()
			p.set(c.second...)
			c.want(t, r.collect().CachedShare)
		})
	}
}
