package signals

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// latencies is a histogram around one value, in seconds.
func latencies(name string, n int, seconds float64) []string {
	return exported(name, bucketsFrom([]float64{seconds / 4, seconds / 2, seconds * 2, seconds * 4}, repeat(n, seconds)...))
}

// lengths is a histogram around one length in tokens.
func lengths(name string, n int, tokens float64) []string { return latencies(name, n, tokens) }

// servicePages are the pages of one prefill and one decode worker, in the names
// of one engine, after n requests of 800 prompt tokens (a quarter of them cached)
// and 40 output tokens, with 2 that run and 1 that waits on each.
func servicePages(engine string, n int) (prefill, decode []string) {
	f := float64(n)
	switch engine {
	case "vllm":
		prefill = lines(worker(f, 2, 1), latencies("vllm:time_to_first_token_seconds", n, .3), lengths("vllm:request_prompt_tokens", n, 800),
			[]string{fmt.Sprintf("vllm:prefix_cache_queries_total %v", 800*f), fmt.Sprintf("vllm:prefix_cache_hits_total %v", 200*f),
				fmt.Sprintf("vllm:prompt_tokens_total %v", 800*f)},
			// Artefacts of a prefill worker, which makes one token.
			latencies("vllm:inter_token_latency_seconds", n, 9), lengths("vllm:request_generation_tokens", n, 1))
		decode = lines(worker(f, 2, 1), latencies("vllm:request_time_per_output_token_seconds", n, .02), lengths("vllm:request_generation_tokens", n, 40),
			[]string{"vllm:kv_cache_usage_perc 0.5", fmt.Sprintf("vllm:generation_tokens_total %v", 40*f)},
			latencies("vllm:time_to_first_token_seconds", n, 7), lengths("vllm:request_prompt_tokens", n, 3))
	case "sglang":
		requests := func() []string {
			return []string{fmt.Sprintf(`sglang:num_requests_total{model_name="m"} %v`, f), `sglang:num_running_reqs{model_name="m",tp_rank="0",pp_rank="0"} 2`,
				`sglang:num_queue_reqs{model_name="m",tp_rank="0",pp_rank="0"} 1`}
		}
		prefill = lines(requests(), latencies("sglang:time_to_first_token_seconds", n, .3), lengths("sglang:prompt_tokens_histogram", n, 800),
			[]string{fmt.Sprintf("sglang:prompt_tokens_total %v", 800*f), fmt.Sprintf("sglang:cached_tokens_total %v", 200*f)},
			latencies("sglang:inter_token_latency_seconds", n, 9))
		decode = lines(requests(), latencies("sglang:inter_token_latency_seconds", n, .02), lengths("sglang:generation_tokens_histogram", n, 40),
			[]string{`sglang:token_usage{tp_rank="0"} 0.5`, fmt.Sprintf("sglang:generation_tokens_total %v", 40*f)})
	case "trtllm":
		requests := func() []string {
			return []string{fmt.Sprintf(`trtllm_request_success_total{finished_reason="stop"} %v`, f), "trtllm_num_requests_running 2", "trtllm_num_requests_waiting 1"}
		}
		prefill = lines(requests(), latencies("trtllm_time_to_first_token_seconds", n, .3),
			[]string{fmt.Sprintf("trtllm_prompt_tokens_total %v", 800*f), "trtllm_kv_cache_hit_rate 0.25"})
		decode = lines(requests(), latencies("trtllm_time_per_output_token_seconds", n, .02),
			[]string{fmt.Sprintf("trtllm_generation_tokens_total %v", 40*f), "trtllm_kv_cache_utilization 0.5"})
	}
	return prefill, decode
}

// The same service reads the same whichever engine tells of it, chosen or
// detected, and each request is counted once although both workers export it.
func TestEveryEngineReadsTheSame(t *testing.T) {
	for engine, says := range map[string]string{"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm"} {
		for _, chosen := range []string{engine, "dynamo-" + engine, EngineAuto} {
			t.Run(engine+" read as "+chosen, func(t *testing.T) {
				r := newRig(t, Config{Engine: chosen, TTFTPercentile: 0.5, TPOTPercentile: 0.5})
				p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
				for i := range 5 {
					prefill, decode := servicePages(engine, 150*(i+1))
					p.set(prefill...)
					d.set(decode...)
					r.collect()
				}
				prefill, decode := servicePages(engine, 150*6)
				p.set(prefill...)
				d.set(decode...)
				s := r.collect()
				wantKnown(t, "demand", s.RequestsPerSecond, 10)
				wantKnown(t, "input tokens", s.InputTokens, 800)
				wantKnown(t, "output tokens", s.OutputTokens, 40)
				wantKnown(t, "cached share", s.CachedShare, 0.25)
				wantKnown(t, "decode running", s.DecodeRunning, 2)
				wantKnown(t, "prefill waiting", s.PrefillWaiting, 1)
				wantKnown(t, "decode waiting", s.DecodeWaiting, 1)
				wantKnown(t, "KV use", s.DecodeKVUse, 0.5)
				if s.TTFTMs.MeanMs < 299 || s.TTFTMs.MeanMs > 301 || s.TTFTMs.LowMs != 150 || s.TTFTMs.HighMs != 600 {
					t.Errorf("TTFT = %+v, want a mean of 300 ms between 150 and 600", s.TTFTMs)
				}
				if s.TPOTMs.MeanMs < 19.9 || s.TPOTMs.MeanMs > 20.1 {
					t.Errorf("TPOT = %+v, want a mean of 20 ms", s.TPOTMs)
				}
				if got := r.report(p); got.Engine != says || len(got.Names) < 4 {
					t.Errorf("the report says engine %q and names %v, want %q and its names", got.Engine, got.Names, says)
				}
			})
		}
	}
}

// The report says which of the spellings matched.
func TestReportSaysWhichSpellingMatched(t *testing.T) {
	r := newRig(t, Config{Engine: EngineAuto})
	d := r.pod(KindDecode, "d")
	d.set("vllm:request_success 1", "vllm:gpu_cache_usage_perc 0.5")
	r.collect()
	got := r.report(d)
	if diff := cmp.Diff([]string{"vllm:gpu_cache_usage_perc", "vllm:request_success"}, got.Names); diff != "" || got.Engine != "vllm" {
		t.Errorf("engine %q, names: %s", got.Engine, diff)
	}
}

// A Dynamo worker shows Dynamo's own names from the start and its engine's
// later: what it shows most of is read.
func TestDynamoWorkerBeforeItsEngineSpeaks(t *testing.T) {
	r := newRig(t, Config{Engine: "dynamo-vllm"})
	d := r.pod(KindDecode, "d")
	own := []string{"dynamo_component_requests_total 5", "dynamo_component_inflight_requests 3", "dynamo_component_gpu_cache_usage_percent 0.2"}
	d.set(own...)
	s := r.collect()
	wantKnown(t, "decode running", s.DecodeRunning, 3)
	wantKnown(t, "KV use", s.DecodeKVUse, 0.2)
	if got := r.report(d).Engine; got != "dynamo worker" {
		t.Errorf("read as %q", got)
	}
	d.set(append(own, append(worker(5, 2, 1), "vllm:kv_cache_usage_perc 0.25")...)...)
	s = r.collect()
	wantKnown(t, "decode running", s.DecodeRunning, 2)
	wantKnown(t, "decode waiting", s.DecodeWaiting, 1)
	wantKnown(t, "KV use", s.DecodeKVUse, 0.25)
}

// Both generations of Dynamo's frontend, and its router apart, give the same demand.
func TestDynamoFrontendsOfBothGenerations(t *testing.T) {
	for name, page := range map[string]func(n float64) []string{
		"2025": func(n float64) []string { return frontend2025(n, 4) },
		"1.x": func(n float64) []string {
			return []string{fmt.Sprintf(`dynamo_frontend_requests_started_total{model="qwen3-32b"} %v`, n+4), fmt.Sprintf(`dynamo_frontend_requests_total{model="qwen3-32b",status="success"} %v`, n),
				`dynamo_frontend_inflight_requests{model="qwen3-32b"} 4`}
		},
		"1.x before requests_started": func(n float64) []string {
			return []string{fmt.Sprintf(`dynamo_frontend_requests_total{model="qwen3-32b",status="success"} %v`, n), `dynamo_frontend_inflight_requests{model="qwen3-32b"} 4`}
		},
		"router": func(n float64) []string {
			return []string{fmt.Sprintf(`dynamo_component_router_requests_total{dynamo_namespace="a_b"} %v`, n), `dynamo_component_inflight_requests{dynamo_component="router"} 4`,
				`dynamo_component_inflight_requests{dynamo_component="backend"} 40`}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Engine: "dynamo-sglang", Model: "Qwen3-32B"})
			f := r.pod(KindFrontend, "f")
			for i := range 6 {
				f.set(page(float64(30 * i))...)
				r.collect()
			}
			f.set(page(180)...)
			wantKnown(t, "demand", r.collect().RequestsPerSecond, 2)
		})
	}
}

// Where the engine is detected, a router with names of its own is no frontend:
// demand then comes from the prefill pods.
func TestUnknownRouterIsNoFrontend(t *testing.T) {
	r := newRig(t, Config{Engine: EngineAuto})
	r.pod(KindFrontend, "f").set("sgl_router_requests_total 12")
	p := r.pod(KindPrefill, "p")
	for i := range 6 {
		p.set(worker(float64(30*i), 1, 0)...)
		r.collect()
	}
	p.set(worker(180, 1, 0)...)
	wantKnown(t, "demand", r.collect().RequestsPerSecond, 2)
}

// Every rank of one SGLang engine may export the same requests: they count once.
// Ranks of data parallelism have requests of their own.
func TestRanksOfOneEngineCountOnce(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	r.pod(KindDecode, "d").set(
		`sglang:num_running_reqs{tp_rank="1",pp_rank="0",dp_rank="0"} 5`, `sglang:num_running_reqs{tp_rank="0",pp_rank="0",dp_rank="0"} 5`,
		`sglang:num_running_reqs{tp_rank="0",pp_rank="0",dp_rank="1"} 7`, `sglang:num_running_reqs{tp_rank="1",pp_rank="1",dp_rank="1"} 7`)
	wantKnown(t, "decode running", r.collect().DecodeRunning, 12)
}

// A gauge that is split by priority stands beside its total: the parts are not added to it.
func TestPartsAreNotAddedToTheirTotal(t *testing.T) {
	for name, c := range map[string]struct {
		page []string
		want float64
	}{
		"with a total":  {[]string{`sglang:num_queue_reqs{priority=""} 6`, `sglang:num_queue_reqs{priority="1"} 4`, `sglang:num_queue_reqs{priority="0"} 2`}, 6},
		"without label": {[]string{`sglang:num_queue_reqs 6`, `sglang:num_queue_reqs{priority="1"} 6`}, 6},
		"parts alone":   {[]string{`sglang:num_queue_reqs{priority="1"} 4`, `sglang:num_queue_reqs{priority="0"} 2`}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Engine: "sglang"})
			r.pod(KindDecode, "d").set(c.page...)
			wantKnown(t, "decode waiting", r.collect().DecodeWaiting, c.want)
		})
	}
}

// A request that waits for room in decode's KV cache waits for decode; one that
// is on its way there does not; and neither is lost from demand.
func TestQueuesOfDisaggregatedSGLang(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
	d.set("sglang:num_running_reqs 8", "sglang:num_queue_reqs 1", "sglang:num_decode_prealloc_queue_reqs 5", "sglang:num_decode_transfer_queue_reqs 3")
	for i := range 5 {
		// Nothing finishes: what arrives gathers in the hand-shake and in the hand-over.
		p.set("sglang:num_requests_total 7", "sglang:num_running_reqs 0", "sglang:num_queue_reqs 2",
			fmt.Sprintf("sglang:num_prefill_bootstrap_queue_reqs %d", 15*i), fmt.Sprintf("sglang:num_prefill_inflight_queue_reqs %d", 15*i))
		r.collect()
	}
	p.set("sglang:num_requests_total 7", "sglang:num_running_reqs 0", "sglang:num_queue_reqs 2",
		"sglang:num_prefill_bootstrap_queue_reqs 75", "sglang:num_prefill_inflight_queue_reqs 75")
	s := r.collect()
	wantKnown(t, "demand", s.RequestsPerSecond, 2)
	wantKnown(t, "prefill waiting", s.PrefillWaiting, 2)
	wantKnown(t, "decode waiting", s.DecodeWaiting, 6)
	wantKnown(t, "decode running", s.DecodeRunning, 8)
}

// F27: tools that ask for sglang_… read nothing.
func TestF27SGLangNamesHoldAColon(t *testing.T) {
	for _, engine := range Engines() {
		words, err := Vocabulary(engine)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			for _, s := range w.Spellings {
				if strings.HasPrefix(s, "sglang_") || strings.HasPrefix(s, "vllm_") || s == "vllm:num_requests_total" {
					t.Errorf("%s asks for %s, which no engine exports", engine, s)
				}
			}
		}
	}
}

// SGLang's counters come up with their first event: before that an engine that
// shows its gauges has served nothing, and the first requests are counted.
func TestCountersThatComeUpLate(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	p := r.pod(KindPrefill, "p")
	idle := []string{"sglang:num_running_reqs 0", "sglang:num_queue_reqs 0"}
	for range 5 {
		p.set(idle...)
		r.collect()
	}
	p.set(idle...)
	wantZero(t, "demand of an engine that was never used", r.collect().RequestsPerSecond)
	p.set(append(idle, "sglang:num_requests_total 30", "sglang:prompt_tokens_total 24000", "sglang:cached_tokens_total 6000")...)
	wantKnown(t, "demand with the first requests", r.collect().RequestsPerSecond, 0.5)
	p.set(append(idle, "sglang:num_requests_total 60", "sglang:prompt_tokens_total 48000", "sglang:cached_tokens_total 12000")...)
	s := r.collect()
	wantKnown(t, "input tokens without a histogram", s.InputTokens, 800)
	wantKnown(t, "cached share", s.CachedShare, 0.25)

	// Gone again, the counter is no zero.
	for range 6 {
		p.set(idle...)
		s = r.collect()
	}
	wantUnknown(t, "demand without the counter", s.RequestsPerSecond, "gave no count of requests")
}
