package signals

import (
	"fmt"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// read returns one of the other readings of the latest collection.
func (r *rig) read(name string, role Kind) planner.Reading {
	r.t.Helper()
	for _, one := range r.collector.Readings() {
		if one.Name == name && one.Role == role {
			if one.Unit == "" {
				r.t.Errorf("%s has no unit", name)
			}
			return one.Reading
		}
	}
	r.t.Fatalf("there is no reading %q of %q", name, role)
	return planner.Reading{}
}

// What an SGLang service tells of the way of its requests through both roles.
func TestReadingsOfTheWayThroughBothRoles(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
	for i := range 6 {
		n := 30 * i
		p.set(lines([]string{fmt.Sprintf("sglang:num_requests_total %d", n+1), "sglang:num_running_reqs 1", "sglang:num_queue_reqs 4", "sglang:token_usage 0.25",
			fmt.Sprintf("sglang:prompt_tokens_total %d", 800*n+1), fmt.Sprintf("sglang:cached_tokens_total %d", 200*n+1),
			"sglang:num_prefill_bootstrap_queue_reqs 5", "sglang:num_prefill_inflight_queue_reqs 2", fmt.Sprintf("sglang:num_transfer_failed_reqs_total %d", 3*i+1)},
			latencies("sglang:queue_time_seconds", n+1, .25), latencies("sglang:kv_transfer_latency_ms", n+1, 12))...)
		d.set("sglang:num_running_reqs 8", "sglang:num_queue_reqs 1", fmt.Sprintf("sglang:generation_tokens_total %d", 40*n+1),
			"sglang:num_decode_prealloc_queue_reqs 6", "sglang:num_decode_transfer_queue_reqs 3")
		r.collect()
	}
	for _, want := range []struct {
		name  string
		role  Kind
		value float64
	}{
		{PromptTokensPerSecond, KindPrefill, 1600}, {GeneratedTokensPerSecond, KindDecode, 80}, {QueueTimeMs, KindPrefill, 250},
		{RequestsRunning, KindPrefill, 1}, {KVUse, KindPrefill, 0.25}, {HeldForDecode, KindPrefill, 5}, {HandOver, KindPrefill, 2},
		{Allocating, KindDecode, 6}, {Arriving, KindDecode, 3}, {KVTransferMs, KindPrefill, 12}, {KVTransfersFailed, KindPrefill, 0.2},
		{QueueTokens, KindPrefill, 4 * 800 * 0.75},
	} {
		wantKnown(t, want.name, r.read(want.name, want.role), want.value)
	}
	wantUnknown(t, "queue time of decode", r.read(QueueTimeMs, KindDecode), "no decode pod exports")
}

// Older versions export the time of the latest transfer only.
func TestKVTransferOfOlderVersions(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	r.pod(KindPrefill, "p").set("# TYPE sglang:kv_transfer_latency_ms gauge", "sglang:kv_transfer_latency_ms 9", "sglang:num_running_reqs 1")
	r.collect()
	wantKnown(t, "KV transfer", r.read(KVTransferMs, KindPrefill), 9)
}

// TensorRT-LLM writes the time of a transfer in seconds.
func TestKVTransferInSeconds(t *testing.T) {
	r := newRig(t, Config{Engine: "trtllm"})
	p := r.pod(KindPrefill, "p")
	for n := range 3 {
		p.set(latencies("trtllm_kv_transfer_latency_seconds", n+1, .012)...)
		r.collect()
	}
	wantKnown(t, "KV transfer", r.read(KVTransferMs, KindPrefill), 12)
}

// Requests are unequal: a queue is work, in tokens and seconds, not a number.
func TestQueueAsWork(t *testing.T) {
	known := func(x float64) planner.Reading { return planner.Known(x, epoch, "test") }
	s := planner.Signals{PrefillWaiting: known(10), InputTokens: known(30_000), CachedShare: known(0.5)}
	wantKnown(t, "tokens", Backlog(&s), 150_000)
	wantKnown(t, "seconds", BacklogSeconds(Backlog(&s), 10_000, 3), 5)
	s.CachedShare = planner.Unknown("nobody tells")
	wantKnown(t, "tokens without a cached share", Backlog(&s), 300_000)
	wantUnknown(t, "seconds without a replica", BacklogSeconds(Backlog(&s), 10_000, 0), "no replica")
	s.InputTokens = planner.Unknown("nobody tells")
	wantUnknown(t, "tokens without a length", Backlog(&s), "nobody tells")
	s.PrefillWaiting = planner.Zero(epoch, "test")
	wantZero(t, "tokens of no request", Backlog(&s))
	wantZero(t, "seconds of no request", BacklogSeconds(Backlog(&s), 10_000, 0))
	s.PrefillWaiting = planner.Unknown("the follower's")
	wantUnknown(t, "tokens of an unknown queue", BacklogSeconds(Backlog(&s), 10_000, 3), "the follower's")
}

// With speculative decoding a step makes several tokens: the time of a step is not the time of a token.
func TestSpeculativeDecoding(t *testing.T) {
	for name, c := range map[string]struct {
		metric string
		want   float64
	}{
		"steps":       {"vllm:inter_token_latency_seconds", 12},
		"per request": {"vllm:request_time_per_output_token_seconds", 30},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Engine: "vllm"})
			d := r.pod(KindDecode, "d")
			var s planner.Signals
			for n := range 4 {
				d.set(lines(worker(float64(n), 1, 0), latencies(c.metric, 100*(n+1), .03),
					[]string{fmt.Sprintf("vllm:spec_decode_num_drafts_total %d", 100*n), fmt.Sprintf("vllm:spec_decode_num_accepted_tokens_total %d", 150*n)})...)
				s = r.collect()
			}
			if got := s.TPOTMs.MeanMs; got < c.want-1e-9 || got > c.want+1e-9 {
				t.Errorf("mean TPOT = %v ms from %s, want %v", got, s.TPOTMs.Source, c.want)
			}
		})
	}
}

// F15: what is a total is the sum over the pods, and what is a share is a mean.
func TestF15TotalsAreSumsAndSharesAreMeans(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	for i := range 6 {
		r.pod(KindDecode, fmt.Sprint(i)).set(append(worker(1, 8, 2), "vllm:kv_cache_usage_perc 0.8")...)
	}
	s := r.collect()
	wantKnown(t, "decode running", s.DecodeRunning, 48)
	wantKnown(t, "decode waiting", s.DecodeWaiting, 12)
	wantKnown(t, "KV use", s.DecodeKVUse, 0.8)
}

// F25: decode's TTFT starts at the hand-over and its prompts were computed
// elsewhere; prefill's token gaps are artefacts. None of them is read.
func TestF25EachRoleIsReadForItsOwn(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
	var s planner.Signals
	for n := range 4 {
		p.set(lines(worker(float64(n), 1, 0), latencies("vllm:inter_token_latency_seconds", n, 9), lengths("vllm:request_generation_tokens", n, 1))...)
		d.set(lines(worker(float64(n), 1, 0), latencies("vllm:time_to_first_token_seconds", n, 7), lengths("vllm:request_prompt_tokens", n, 3))...)
		s = r.collect()
	}
	wantUnknown(t, "TTFT", s.TTFTMs.Reading, "no prefill pod exports")
	wantUnknown(t, "TPOT", s.TPOTMs.Reading, "no decode pod exports")
	wantUnknown(t, "input tokens", s.InputTokens, "")
	wantUnknown(t, "output tokens", s.OutputTokens, "")
}
