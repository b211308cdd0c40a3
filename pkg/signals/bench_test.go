package signals

import (
	"fmt"
	"strings"
	"testing"
)

// vllmPage is a page as large as vLLM's: its histograms, and what Python and
// the web server export beside them.
func vllmPage(finished float64) string {
	var out []string
	bounds := make([]float64, 25)
	for i := range bounds {
		bounds[i] = 0.01 * float64(int(1)<<i)
	}
	for _, name := range []string{"time_to_first_token_seconds", "inter_token_latency_seconds", "request_time_per_output_token_seconds",
		"e2e_request_latency_seconds", "request_queue_time_seconds", "request_inference_time_seconds", "request_prefill_time_seconds",
		"request_decode_time_seconds", "request_prompt_tokens", "request_generation_tokens", "request_params_n", "request_params_max_tokens",
		"iteration_tokens_total"} {
		out = append(out, exported("vllm:"+name, bucketsFrom(bounds, .02, .3, 4))...)
	}
	for i := range 200 {
		out = append(out, fmt.Sprintf(`http_request_duration_seconds_bucket{handler="/v1/completions",le="%d.0",method="POST"} %d.0`, i, i))
	}
	return strings.Join(lines(out, worker(finished, 3, 1), []string{"vllm:kv_cache_usage_perc 0.42"}), "\n") + "\n"
}

// BenchmarkCollect reads 200 pods on loopback, each a server of its own.
func BenchmarkCollect(b *testing.B) {
	r := newRig(b, Config{Engine: "vllm"})
	page := vllmPage(100)
	for i := range 200 {
		kind := KindPrefill
		if i%2 == 0 {
			kind = KindDecode
		}
		r.pod(kind, fmt.Sprint(i)).body = page
	}
	r.collect()
	b.SetBytes(int64(200 * len(page)))
	for b.Loop() {
		s := r.collect()
		if s.DecodeSilent+s.PrefillSilent > 0 {
			b.Fatalf("%d pods are silent", s.DecodeSilent+s.PrefillSilent)
		}
	}
}

// BenchmarkParse parses one such page.
func BenchmarkParse(b *testing.B) {
	page := vllmPage(100)
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := parsePage(strings.NewReader(page), "", vllmDecode.wanted, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
