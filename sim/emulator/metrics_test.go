package emulator

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
)

// bounds returns the upper bounds of a histogram family, +Inf apart.
func bounds(f *dto.MetricFamily) []float64 {
	var all []float64
	for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			all = append(all, b.GetUpperBound())
		}
	}
	return all
}

func labels(m *dto.Metric) map[string]string {
	all := map[string]string{}
	for _, l := range m.GetLabel() {
		all[l.GetName()] = l.GetValue()
	}
	return all
}

// counters flattens everything that may not fall: counters, and the counts, sums
// and buckets of histograms.
func counters(families map[string]*dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += "," + l.GetName() + "=" + l.GetValue()
			}
			if m.GetCounter() != nil {
				all[key] = m.GetCounter().GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				all[key+"/count"], all[key+"/sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				last := 0.0
				for i, b := range h.GetBucket() {
					n := float64(b.GetCumulativeCount())
					if n < last {
						n = -1 // buckets that are not cumulative fall
					}
					last = n
					all[key+"/"+string(rune('a'+i))] = n
				}
			}
		}
	}
	return all
}

func TestMetricsAreThoseOfTheRealThing(t *testing.T) {
	frontend, decode, prefill := pod(20, 1, RoleFrontend, 0), pod(20, 2, RoleDecode, 2), pod(20, 3, RolePrefill, 2)
	exporter := pod(20, 4, RoleExporter, 0)
	e, _ := startEmulator(t, frontend, decode, prefill, exporter)

	if families := mustScrape(t, frontend, 8000); len(families) != 0 {
		t.Errorf("a frontend without requests has metrics: %v", families)
	}
	idle := mustScrape(t, decode, 8000)
	if m := idle["vllm:generation_tokens_total"]; m == nil || m.GetMetric()[0].GetCounter().GetValue() != 0 {
		t.Errorf("an idle engine's counter is %v, want a present 0", m)
	}
	if err := e.Play(steady(60), 1); err != nil {
		t.Fatal(err)
	}
	// Scrape while it runs: nothing that counts may fall.
	before := map[string]map[string]float64{}
	eventually(t, "100 requests are served", func() bool {
		for _, p := range []Pod{frontend, decode, prefill} {
			now := counters(mustScrape(t, p, 8000))
			for key, was := range before[p.UID] {
				if now[key] < was {
					t.Errorf("%s of %s fell from %v to %v", key, p.Name, was, now[key])
				}
			}
			before[p.UID] = now
		}
		return e.Snapshot().Finished > 100
	})

	front := mustScrape(t, frontend, 8000)
	for name, want := range map[string][]float64{
		"time_to_first_token_seconds": {0, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 120, 240, 480},
		"inter_token_latency_seconds": {0, .001, .005, .01, .015, .02, .025, .05, .1, .25, .5, 1, 2},
		"request_duration_seconds":    {0, 1, 2, 4, 8, 16, 32, 64, 128, 256},
		"input_sequence_tokens":       {0, 50, 100, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000},
		"output_sequence_tokens":      {0, 50, 100, 500, 1000, 2000, 4000, 8000, 16000, 32000},
	} {
		f := front["nv_llm_http_service_"+name]
		if f == nil {
			t.Errorf("the frontend has no %s", name)
		} else if diff := cmp.Diff(want, bounds(f)); diff != "" {
			t.Errorf("buckets of %s: %s", name, diff)
		}
	}
	total := front["nv_llm_http_service_requests_total"].GetMetric()[0]
	want := map[string]string{"model": "qwen3-32b", "endpoint": "chat_completions", "request_type": "stream", "status": "success"}
	if diff := cmp.Diff(want, labels(total)); diff != "" {
		t.Errorf("labels of requests_total: %s", diff)
	}
	if in := front["nv_llm_http_service_input_sequence_tokens"].GetMetric()[0].GetHistogram(); in.GetSampleSum() != 200*float64(in.GetSampleCount()) {
		t.Errorf("mean input is %v, want 200", in.GetSampleSum()/float64(in.GetSampleCount()))
	}

	p := mustScrape(t, prefill, 8000)
	value := func(families map[string]*dto.MetricFamily, name string) float64 {
		t.Helper()
		f := families[name]
		if f == nil {
			t.Fatalf("no %s", name)
		}
		m := f.GetMetric()[0]
		return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	if hits, asked := value(p, "vllm:prefix_cache_hits_total"), value(p, "vllm:prefix_cache_queries_total"); hits != asked/4 || hits == 0 {
		t.Errorf("%v of %v prompt tokens were cached, want a quarter", hits, asked)
	}
	if tokens, prompts := value(p, "vllm:prompt_tokens_total"), value(p, "vllm:request_prompt_tokens"); tokens != 200*prompts {
		t.Errorf("%v tokens in %v prompts", tokens, prompts)
	}
	d := mustScrape(t, decode, 8000)
	if value(d, "vllm:inter_token_latency_seconds") < 1000 || value(d, "vllm:time_to_first_token_seconds") < 90 {
		t.Error("the decode pod counts too few tokens")
	}
	info := labels(d["vllm:cache_config_info"].GetMetric()[0])
	if info["num_gpu_blocks"] != "100" || info["block_size"] != "128" {
		t.Errorf("cache configuration %v, want 100 blocks of 128", info)
	}
	for _, name := range []string{"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:request_success_total"} {
		for _, families := range []map[string]*dto.MetricFamily{p, d} {
			if diff := cmp.Diff(map[string]string{"model_name": "qwen3-32b", "engine": "0"}, withoutReason(labels(families[name].GetMetric()[0]))); diff != "" {
				t.Errorf("labels of %s: %s", name, diff)
			}
		}
	}
}

func withoutReason(l map[string]string) map[string]string {
	delete(l, "finished_reason")
	return l
}

func TestExporterShowsWhoseGPUsAreBusy(t *testing.T) {
	decode, prefill, exporter := pod(21, 2, RoleDecode, 2), pod(21, 3, RolePrefill, 2), pod(21, 4, RoleExporter, 0)
	e, set := startEmulator(t, pod(21, 1, RoleFrontend, 0), decode, prefill, exporter)
	if err := e.Play(&longAnswers, 1); err != nil {
		t.Fatal(err)
	}
	var page map[string]*dto.MetricFamily
	scraped := func(name string) map[string]float64 {
		t.Helper()
		all := map[string]float64{}
		for _, m := range page[name].GetMetric() {
			l := labels(m)
			all[l["gpu"]+" "+l["pod"]] = m.GetGauge().GetValue()
		}
		return all
	}
	read := func(name string) map[string]float64 {
		t.Helper()
		page = mustScrape(t, exporter, 9400)
		return scraped(name)
	}
	// All that is asked of a busy GPU is asked of one page: by the next, a queue that stood still may have left it idle.
	eventually(t, "the decode pod's GPUs are busy all the time", func() bool {
		util := read("DCGM_FI_DEV_GPU_UTIL")
		return util["0 decode-2"] == 100 && scraped("DCGM_FI_PROF_DRAM_ACTIVE")["0 decode-2"] > 0.67
	})
	dram := scraped("DCGM_FI_PROF_DRAM_ACTIVE")
	if len(dram) != 8 || math.Abs(dram["0 decode-2"]-0.7) > 0.03 || dram["0 decode-2"] != dram["1 decode-2"] || dram["7 "] != 0 {
		t.Errorf("DRAM activity %v; want about 0.7 on both GPUs of decode and 0 on those of nobody", dram)
	}
	if tensor := scraped("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"); tensor["0 decode-2"] > 0.2 || tensor["0 decode-2"] <= 0 {
		t.Errorf("tensor activity %v", tensor)
	}
	used := scraped("DCGM_FI_DEV_FB_USED")
	if used["2 prefill-3"] != used["0 decode-2"] || used["2 prefill-3"] < 100_000 || used["5 "] != 0 {
		t.Errorf("memory %v; want the same on both engines whatever their load, and none on free GPUs", used)
	}
	power := page["DCGM_FI_DEV_POWER_USAGE"].GetMetric()
	m := power[slices.IndexFunc(power, func(m *dto.Metric) bool { return labels(m)["gpu"] == "0" })]
	l := labels(m)
	if l["Hostname"] != "node-a" || l["modelName"] != "NVIDIA H200" || !strings.HasPrefix(l["UUID"], "GPU-") || l["namespace"] != "default" || l["container"] != "engine" {
		t.Errorf("labels %v", l)
	}
	if w := m.GetGauge().GetValue(); w < 300 || w > 700 {
		t.Errorf("a busy GPU draws %v W", w)
	}

	// A terminating pod holds its GPUs until it is gone; then the next one has them.
	decode.Terminating, decode.EndsBy = true, time.Now().Add(time.Minute)
	set.Put(decode, pod(21, 5, RolePrefill, 2))
	eventually(t, "the new pod has the next free GPUs", func() bool { _, ok := read("DCGM_FI_DEV_FB_USED")["4 prefill-5"]; return ok })
	set.Remove(decode.UID)
	set.Put(pod(21, 6, RolePrefill, 2))
	eventually(t, "the GPUs of the pod that is gone are given out again", func() bool { _, ok := read("DCGM_FI_DEV_FB_USED")["0 prefill-6"]; return ok })
}

// More GPUs than a node has are named as a problem, not shown as GPUs.
func TestGPUsBeyondTheNodeAreAProblem(t *testing.T) {
	b := newGPUBook(GPU{PerNode: 2})
	first, second := pod(22, 1, RolePrefill, 1), pod(22, 2, RoleDecode, 2)
	problems := b.assign([]Pod{first, second})
	if len(problems) != 1 || problems[0].uid != second.UID || !strings.Contains(problems[0].text, "1 more than node node-a with its 2 has free") {
		t.Errorf("%v", problems)
	}
	if problems = b.assign([]Pod{second}); len(problems) != 0 {
		t.Errorf("after the other pod went: %v", problems)
	}
	for i, g := range b.onNode("node-a") {
		if g.pod.UID != second.UID {
			t.Errorf("GPU %d belongs to %q", i, g.pod.Name)
		}
	}
}
