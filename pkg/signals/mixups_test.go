package signals

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// A GPU is busy all of the time with one request or 256, and an engine takes its
// KV cache's memory at its start: neither utilisation, nor that of the memory
// bus, nor the memory in use says how much there is to do, so none of them is read as a load.
func TestGPUUtilisationAndMemoryAreNoLoad(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	r.pod(KindPrefill, "p").set(worker(5, 0, 0)...)
	r.pod(KindDecode, "d").set(worker(5, 0, 0)...)
	var page []string
	for i, pod := range []string{"p", "d"} {
		for _, series := range []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"} {
			page = append(page, fmt.Sprintf(`%s{UUID="GPU-%d",namespace="default",pod=%q} 100`, series, i, pod))
		}
	}
	r.pod(KindExporter, "e").set(page...)
	s := r.collect()
	wantUnknown(t, "prefill's activity", s.PrefillTensorActive, "shows GPUs but no profiling fields")
	wantUnknown(t, "decode's activity", s.DecodeDRAMActive, "shows GPUs but no profiling fields")
	wantZero(t, "decode running", s.DecodeRunning)
	for _, engine := range Engines() {
		words, err := Vocabulary(engine)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			for _, name := range w.Spellings {
				if w.Reading != string(gpuBusy) && (strings.Contains(name, "_FB_") || strings.Contains(name, "GPU_UTIL") || strings.Contains(name, "COPY_UTIL")) {
					t.Errorf("%s reads %s from %s", engine, w.Reading, name)
				}
			}
		}
	}
}

// Of two engines in a pod, and of two pods, one restarts: its counter falls while the other's
// grows by more, so that the sum never falls. Each series is judged before any sum.
func TestOneRestartAmongSeriesThatGrow(t *testing.T) {
	ways := map[string]func(t *testing.T) (*rig, func() planner.Signals){
		"the pods": func(t *testing.T) (*rig, func() planner.Signals) {
			r := newRig(t, Config{Engine: "vllm"})
			return r, r.collect
		},
		"prometheus": func(t *testing.T) (*rig, func() planner.Signals) {
			r := newPromRig(t, Config{Engine: "vllm"})
			return r.rig, func() planner.Signals { return r.step(true) }
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			r, collect := way(t)
			p, q := r.pod(KindPrefill, "p"), r.pod(KindPrefill, "q")
			var s planner.Signals
			// Engine 1 of p begins again after the second page.
			for _, at := range [][3]float64{{1000, 1000, 500}, {1030, 1030, 530}, {1060, 6, 560}, {1090, 36, 590}, {1120, 66, 620}} {
				p.set(fmt.Sprintf(`vllm:request_success_total{engine="0"} %v`, at[0]), fmt.Sprintf(`vllm:request_success_total{engine="1"} %v`, at[1]),
					"vllm:num_requests_running 0", "vllm:num_requests_waiting 0")
				q.set(worker(at[2], 0, 0)...)
				s = collect()
			}
			wantKnown(t, "demand", s.RequestsPerSecond, (120+(30+6+30+30)+120)/60.)
		})
	}
}

// A worker of the queue takes a prompt only when decode has room for it: a queue
// that is empty while decode is full says nothing good of prefill. What waits for decode is read apart.
func TestShortQueueWhileDecodeIsFull(t *testing.T) {
	server := startNATS(t, nil)
	w := newWorkers(t, server)
	w.createStream(1)
	w.createConsumer()
	r := newRig(t, natsConfig(server.ClientURL()))
	r.pod(KindPrefill, "p").set(worker(5, 0, 0)...)
	r.pod(KindDecode, "d0").set(append(worker(5, 40, 12), "vllm:kv_cache_usage_perc 0.99")...)
	r.pod(KindDecode, "d1").set(append(worker(5, 40, 9), "vllm:kv_cache_usage_perc 0.97")...)
	s := r.collect()
	wantZero(t, "prefill's queue", s.PrefillWaiting)
	wantKnown(t, "decode's queue", s.DecodeWaiting, 21)
	wantKnown(t, "fullest KV cache", s.DecodeKVUseMax, 0.99)
}

// A pod that comes with requests on its counter was not seen to get them: until it
// was read for a while the demand is unknown, and not that of the others. One that never had any takes nothing from what is known.
func TestDemandWhileAPodIsNew(t *testing.T) {
	for name, c := range map[string]struct {
		first float64
		why   string
	}{"with requests": {45, "frontend pod new was not read for long enough yet"}, "without": {0, ""}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			old := r.pod(KindFrontend, "old")
			finished := 0.0
			r.steady(old, 5, &finished, 4)
			fresh := r.pod(KindFrontend, "new")
			fresh.set(frontend2025(c.first, 0)...)
			s := r.steady(old, 1, &finished, 4)
			if c.why == "" {
				wantKnown(t, "demand", s.RequestsPerSecond, 4)
				return
			}
			wantUnknown(t, "demand", s.RequestsPerSecond, c.why)
			fresh.set(frontend2025(c.first+30, 0)...)
			wantKnown(t, "demand once it was read twice", r.steady(old, 1, &finished, 4).RequestsPerSecond, 6)
		})
	}
}
