package signals

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// prefillPage is a vLLM prefill pod after so many prompts of 1000 tokens, 200 of them cached, in 50 ms each.
func prefillPage(prompts, running float64, more ...string) []string {
	return append([]string{
		fmt.Sprintf("vllm:num_requests_running %v", running), "vllm:num_requests_waiting 0",
		fmt.Sprintf("vllm:request_success_total %v", prompts),
		fmt.Sprintf("vllm:prompt_tokens_total %v", 1000*prompts),
		fmt.Sprintf("vllm:generation_tokens_total %v", prompts),
		fmt.Sprintf("vllm:prefix_cache_queries_total %v", 1000*prompts),
		fmt.Sprintf("vllm:prefix_cache_hits_total %v", 200*prompts),
		"# TYPE vllm:request_prompt_tokens histogram",
		fmt.Sprintf(`vllm:request_prompt_tokens_bucket{le="1000"} %v`, prompts), fmt.Sprintf(`vllm:request_prompt_tokens_bucket{le="+Inf"} %v`, prompts),
		fmt.Sprintf("vllm:request_prompt_tokens_sum %v", 1000*prompts), fmt.Sprintf("vllm:request_prompt_tokens_count %v", prompts),
		"# TYPE vllm:request_prefill_time_seconds histogram",
		fmt.Sprintf(`vllm:request_prefill_time_seconds_bucket{le="0.3"} %v`, prompts), fmt.Sprintf(`vllm:request_prefill_time_seconds_bucket{le="+Inf"} %v`, prompts),
		fmt.Sprintf("vllm:request_prefill_time_seconds_sum %v", 0.05*prompts), fmt.Sprintf("vllm:request_prefill_time_seconds_count %v", prompts),
	}, more...)
}

// decodePage is a vLLM decode pod after so many gaps of 20 ms, late ones of 200 ms among them.
func decodePage(gaps, late, running, kv float64, more ...string) []string {
	return append([]string{
		fmt.Sprintf("vllm:num_requests_running %v", running), "vllm:num_requests_waiting 0", "vllm:request_success_total 1",
		fmt.Sprintf("vllm:kv_cache_usage_perc %v", kv),
		"# TYPE vllm:inter_token_latency_seconds histogram",
		fmt.Sprintf(`vllm:inter_token_latency_seconds_bucket{le="0.025"} %v`, gaps-late), fmt.Sprintf(`vllm:inter_token_latency_seconds_bucket{le="0.1"} %v`, gaps-late),
		fmt.Sprintf(`vllm:inter_token_latency_seconds_bucket{le="+Inf"} %v`, gaps),
		fmt.Sprintf("vllm:inter_token_latency_seconds_sum %v", 0.02*(gaps-late)+0.2*late), fmt.Sprintf("vllm:inter_token_latency_seconds_count %v", gaps),
	}, more...)
}

func TestIntervalsSayWhatWasAdded(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	p, d, other := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d"), r.pod(KindDecode, "e")
	p.set(prefillPage(100, 0)...)
	d.set(decodePage(10_000, 0, 10, 0.2)...)
	other.set(decodePage(50_000, 0, 30, 0.4)...)
	r.collect()
	if prefill, decode := r.collector.Intervals(); prefill.Doubt != calibrate.RefusedUnread || decode.Doubt != calibrate.RefusedUnread {
		t.Fatalf("after one collection: %q, %q", prefill.Doubt, decode.Doubt)
	}
	p.set(prefillPage(140, 1)...)
	d.set(decodePage(18_000, 0, 12, 0.3)...)
	other.set(decodePage(72_000, 0, 28, 0.6)...)
	r.collect()
	prefill, decode := r.collector.Intervals()
	for what, c := range map[string]struct{ got, want float64 }{
		"prompts": {prefill.Prompts, 40}, "prefill seconds": {prefill.PrefillSeconds, 2}, "prompt tokens": {prefill.PromptTokens, 40_000},
		"cached": {prefill.CachedTokens, 8000}, "generated": {prefill.GeneratedTokens, 40}, "running": {prefill.MostRunning, 1}, "seconds": {prefill.Seconds, 15},
		"replicas": {prefill.Replicas, 1},
		"gaps":     {decode.Gaps, 30_000}, "gap seconds": {decode.GapSeconds, 600}, "sequences": {decode.Running, 40}, "held": {decode.HeldShares, 0.75},
		"fullest": {decode.KVUseMax, 0.6}, "decode replicas": {decode.Replicas, 2}, "late": {decode.LateShare, 0},
	} {
		if math.Abs(c.got-c.want) > 1e-6*c.want {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if prefill.Doubt != "" || decode.Doubt != "" {
		t.Errorf("doubts %q and %q", prefill.Doubt, decode.Doubt)
	}
}

// A page may be read between two of its counters: one pod's lengths are then not of the prompts whose time is known.
func TestIntervalsWithoutTheLengthsOfOnePod(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	whole, torn := r.pod(KindPrefill, "a"), r.pod(KindPrefill, "b")
	whole.set(prefillPage(100, 0)...)
	torn.set(prefillPage(100, 0)...)
	r.collect()
	whole.set(prefillPage(140, 0)...)
	lines := prefillPage(130, 0)
	for i, line := range lines {
		if strings.HasPrefix(line, "vllm:request_prompt_tokens") {
			lines[i] = strings.Replace(line, " 130", " 129", 1)
		}
	}
	torn.set(lines...)
	r.collect()
	if prefill, _ := r.collector.Intervals(); prefill.Doubt != "" || prefill.Prompts != 70 || prefill.PromptTokens != 70_000 || math.IsNaN(prefill.LengthSCV) {
		t.Errorf("%+v, want 70 prompts of 1000 tokens", prefill)
	}
}

func TestIntervalsSayWhyTheySayNothing(t *testing.T) {
	for name, c := range map[string]struct {
		kind Kind
		want calibrate.Refusal
		// then changes the two pods of the role between two collections.
		then func(r *rig, a, b *fakePod)
	}{
		"all well": {KindDecode, "", func(_ *rig, a, b *fakePod) {
			a.set(decodePage(9000, 0, 9, 0.2)...)
			b.set(decodePage(9000, 0, 9, 0.2)...)
		}},
		"both restarted": {KindDecode, calibrate.RefusedReset, func(_ *rig, a, b *fakePod) {
			a.set(decodePage(900, 0, 9, 0.2)...)
			b.set(decodePage(900, 0, 9, 0.2)...)
		}},
		"one restarted, the other says enough": {KindDecode, "", func(_ *rig, a, b *fakePod) {
			a.set(decodePage(900, 0, 9, 0.2)...)
			b.set(decodePage(9000, 0, 9, 0.2)...)
		}},
		"both silent": {KindDecode, calibrate.RefusedUnread, func(_ *rig, a, b *fakePod) {
			a.change(func(p *fakePod) { p.status = 500 })
			b.change(func(p *fakePod) { p.status = 500 })
		}},
		"both not ready":  {KindDecode, calibrate.RefusedUnread, func(_ *rig, a, b *fakePod) { a.target.Ready, b.target.Ready = false, false }},
		"the same moment": {KindDecode, calibrate.RefusedStale, func(r *rig, _, _ *fakePod) { r.now = r.now.Add(-interval) }},
		"several engines in a pod": {KindDecode, calibrate.RefusedMixed, func(_ *rig, a, _ *fakePod) {
			a.set(append(decodePage(9000, 0, 9, 0.2)[1:], `vllm:num_requests_running{engine="0"} 4`, `vllm:num_requests_running{engine="1"} 4`)...)
		}},
		"speculative decoding": {KindDecode, calibrate.RefusedSpeculative, func(_ *rig, a, _ *fakePod) {
			a.set(decodePage(9000, 0, 9, 0.2, "vllm:spec_decode_num_drafts_total 500")...)
		}},
		"no gaps exported": {KindDecode, calibrate.RefusedNotExported, func(r *rig, a, b *fakePod) {
			a.set("vllm:num_requests_running 3")
			b.set("vllm:num_requests_running 3")
		}},
		"no cache hits exported": {KindPrefill, calibrate.RefusedNotExported, func(_ *rig, a, b *fakePod) {
			page := prefillPage(200, 0)
			a.set(append(page[:5:5], page[7:]...)...)
			b.set(append(page[:5:5], page[7:]...)...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Engine: "vllm"})
			a, b := r.pod(c.kind, "a"), r.pod(c.kind, "b")
			for _, p := range []*fakePod{a, b} {
				if c.kind == KindDecode {
					p.set(decodePage(6000, 0, 9, 0.2, "vllm:spec_decode_num_drafts_total 0")...)
				} else {
					p.set(prefillPage(100, 0)...)
				}
			}
			r.collect()
			c.then(r, a, b)
			r.collect()
			got, decode := r.collector.Intervals()
			if c.kind == KindDecode {
				got = decode
			}
			if got.Doubt != c.want {
				t.Errorf("doubt %q, want %q: %+v", got.Doubt, c.want, got)
			}
		})
	}
}

// Prompts that are computed between decode steps make some gaps long.
func TestIntervalsShowLateGaps(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	d := r.pod(KindDecode, "d")
	d.set(decodePage(10_000, 0, 10, 0.2)...)
	r.collect()
	d.set(decodePage(20_000, 1000, 10, 0.2)...)
	r.collect()
	if _, decode := r.collector.Intervals(); math.Abs(decode.LateShare-0.1) > 1e-9 {
		t.Errorf("%.3f of the gaps are late, want 0.1", decode.LateShare)
	}
}

// What SGLang exports teaches as well: the stage of its prefill, and the exact context of its batch.
func TestIntervalsOfSGLang(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
	set := func(n float64) {
		p.set("sglang:num_running_reqs 0", "sglang:num_queue_reqs 0", fmt.Sprintf("sglang:num_requests_total %v", n), fmt.Sprintf("sglang:prompt_tokens_total %v", 500*n),
			"# TYPE sglang:per_stage_req_latency_seconds histogram",
			fmt.Sprintf(`sglang:per_stage_req_latency_seconds_bucket{stage="prefill_forward",le="+Inf"} %v`, n),
			fmt.Sprintf(`sglang:per_stage_req_latency_seconds_sum{stage="prefill_forward"} %v`, 0.04*n), fmt.Sprintf(`sglang:per_stage_req_latency_seconds_count{stage="prefill_forward"} %v`, n),
			`sglang:per_stage_req_latency_seconds_bucket{stage="request_process",le="+Inf"} 9`, `sglang:per_stage_req_latency_seconds_sum{stage="request_process"} 9`,
			`sglang:per_stage_req_latency_seconds_count{stage="request_process"} 9`)
		d.set("sglang:num_running_reqs 8", "sglang:num_queue_reqs 0", "sglang:token_usage 0.1", "sglang:decode_sum_seq_lens 12000",
			"# TYPE sglang:inter_token_latency_seconds histogram", fmt.Sprintf(`sglang:inter_token_latency_seconds_bucket{le="+Inf"} %v`, 100*n),
			fmt.Sprintf("sglang:inter_token_latency_seconds_sum %v", n), fmt.Sprintf("sglang:inter_token_latency_seconds_count %v", 100*n))
	}
	set(100)
	r.collect()
	set(160)
	r.collect()
	prefill, decode := r.collector.Intervals()
	if prefill.Doubt != "" || prefill.Prompts != 60 || math.Abs(prefill.PrefillSeconds-2.4) > 1e-9 || prefill.PromptTokens != 30_000 || prefill.CachedTokens != 0 || !prefill.Batches {
		t.Errorf("%+v", prefill)
	}
	if decode.Doubt != "" || decode.ContextTokens != 12_000 || decode.Gaps != 6000 || decode.Running != 8 {
		t.Errorf("%+v", decode)
	}
}

// A page that is older than the maximum age ends no interval.
func TestIntervalsAreNotOfOldPages(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm", MaxAge: 20 * time.Second})
	d := r.pod(KindDecode, "d")
	for n := range 2 {
		at := r.now.Add(-time.Duration(n) * 19 * time.Second).UnixMilli()
		page := decodePage(10_000*float64(n+1), 0, 10, 0.2)
		for i := range page {
			if page[i][0] != '#' {
				page[i] += fmt.Sprintf(" %d", at)
			}
		}
		d.set(page...)
		r.collect()
	}
	if _, decode := r.collector.Intervals(); decode.Doubt == "" {
		t.Errorf("%+v", decode)
	}
}

// A pod that had no prompt, whose histograms are therefore not on its page yet, says nothing of how long prompts are: it takes nothing from what the others say.
func TestIntervalsBesideAPodWithoutPrompts(t *testing.T) {
	page := func(n float64) []string {
		return []string{"sglang:num_running_reqs 0", "sglang:num_queue_reqs 0", fmt.Sprintf("sglang:num_requests_total %v", n), fmt.Sprintf("sglang:prompt_tokens_total %v", 500*n),
			"# TYPE sglang:prompt_tokens_histogram histogram",
			fmt.Sprintf(`sglang:prompt_tokens_histogram_bucket{le="100"} %v`, n/2), fmt.Sprintf(`sglang:prompt_tokens_histogram_bucket{le="900"} %v`, n/2),
			fmt.Sprintf(`sglang:prompt_tokens_histogram_bucket{le="1000"} %v`, n), fmt.Sprintf(`sglang:prompt_tokens_histogram_bucket{le="+Inf"} %v`, n),
			fmt.Sprintf("sglang:prompt_tokens_histogram_sum %v", 500*n), fmt.Sprintf("sglang:prompt_tokens_histogram_count %v", n),
			"# TYPE sglang:per_stage_req_latency_seconds histogram",
			fmt.Sprintf(`sglang:per_stage_req_latency_seconds_bucket{stage="prefill_forward",le="+Inf"} %v`, n),
			fmt.Sprintf(`sglang:per_stage_req_latency_seconds_sum{stage="prefill_forward"} %v`, 0.04*n), fmt.Sprintf(`sglang:per_stage_req_latency_seconds_count{stage="prefill_forward"} %v`, n)}
	}
	variation := func(pods ...string) float64 {
		r := newRig(t, Config{Engine: "sglang"})
		for _, name := range pods {
			r.pod(KindPrefill, name).set("sglang:num_running_reqs 0", "sglang:num_queue_reqs 0")
		}
		for _, n := range []float64{100, 160} {
			for _, p := range r.pods {
				if p.target.Pod == "busy" {
					p.set(page(n)...)
				}
			}
			r.collect()
		}
		prefill, _ := r.collector.Intervals()
		if prefill.Doubt != "" || prefill.Prompts != 60 {
			t.Errorf("%+v, want 60 prompts", prefill)
		}
		return prefill.LengthSCV
	}
	alone := variation("busy")
	if alone < 0.5 {
		t.Fatalf("the variation of the lengths is %v, want some 0.8", alone)
	}
	for _, pods := range [][]string{{"busy", "idle"}, {"idle", "busy"}} {
		if got := variation(pods...); got != alone {
			t.Errorf("%v: the variation of the lengths is %v, want %v", pods, got, alone)
		}
	}
}

// Prompts that all lie in a bucket up to 0 and have tokens contradict themselves: how their lengths vary is then not known, and not no number.
func TestIntervalsWithLengthsThatContradictThemselves(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	p := r.pod(KindPrefill, "p")
	for _, n := range []float64{100, 140} {
		page := prefillPage(n, 0)
		for i, line := range page {
			page[i] = strings.Replace(line, `_tokens_bucket{le="1000"}`, `_tokens_bucket{le="0"}`, 1)
		}
		p.set(page...)
		r.collect()
	}
	if prefill, _ := r.collector.Intervals(); prefill.LengthSCV != 1 || prefill.Prompts != 40 {
		t.Errorf("%+v, want 40 prompts whose lengths vary by as much as is taken where nobody tells", prefill)
	}
}
