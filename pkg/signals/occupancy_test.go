package signals

import (
	"fmt"
	"net/http"
	"testing"
)

// The mean hides the fullest replica: both are there, over the pods that live.
func TestKVUseIsMeanAndFullest(t *testing.T) {
	r := newRig(t, Config{})
	for i, use := range []float64{.95, .05, .05, .05} {
		r.pod(KindDecode, fmt.Sprint(i)).set(append(worker(1, 1, 0), fmt.Sprintf("vllm:kv_cache_usage_perc %v", use))...)
	}
	s := r.collect()
	wantKnown(t, "mean", s.DecodeKVUse, .275)
	wantKnown(t, "fullest", s.DecodeKVUseMax, .95)
	// The fullest pod dies: its last value does not stay.
	r.pods[0].change(func(p *fakePod) { p.status = http.StatusInternalServerError })
	s = r.collect()
	wantKnown(t, "fullest of those that answer", s.DecodeKVUseMax, .05)
	r.remove(r.pods[0])
	s = r.collect()
	wantKnown(t, "running of those that are left", s.DecodeRunning, 3)
	if s.DecodeSilent != 0 {
		t.Errorf("silent = %d, want 0: the pod is no target any more", s.DecodeSilent)
	}
}

// One pod may hold several engines: their queues add up, their caches do not.
func TestSeveralEnginesInAPod(t *testing.T) {
	r := newRig(t, Config{})
	r.pod(KindDecode, "d").set(
		`vllm:num_requests_running{engine="0"} 3`, `vllm:num_requests_running{engine="1"} 5`,
		`vllm:gpu_cache_usage_perc{engine="0"} 0.2`, `vllm:gpu_cache_usage_perc{engine="1"} 0.6`)
	s := r.collect()
	wantKnown(t, "running", s.DecodeRunning, 8)
	wantKnown(t, "mean", s.DecodeKVUse, .4)
	wantKnown(t, "fullest", s.DecodeKVUseMax, .6)
}

func TestEmptyEnginesAreConfirmed(t *testing.T) {
	r := newRig(t, Config{})
	r.pod(KindDecode, "d").set(append(worker(1, 0, 0), "vllm:kv_cache_usage_perc 0")...)
	s := r.collect()
	wantZero(t, "running", s.DecodeRunning)
	wantZero(t, "waiting", s.DecodeWaiting)
	wantZero(t, "fullest", s.DecodeKVUseMax)
	wantUnknown(t, "prefill waiting", s.PrefillWaiting, "there is no prefill pod")
}

func TestPrefillWaitingInEnginesAndRouter(t *testing.T) {
	r := newRig(t, Config{})
	f, a, b := r.pod(KindFrontend, "f"), r.pod(KindPrefill, "a"), r.pod(KindPrefill, "b")
	a.set(worker(1, 1, 4)...)
	b.set(worker(1, 1, 2)...)
	f.set(frontend2025(1, 0)...)
	wantKnown(t, "waiting in engines", r.collect().PrefillWaiting, 6)
	f.set(`dynamo_frontend_router_queue_pending_requests{worker_type="prefill"} 10`,
		`dynamo_frontend_router_queue_pending_requests{worker_type="decode"} 3`)
	s := r.collect()
	wantKnown(t, "waiting in engines and router", s.PrefillWaiting, 16)
	wantKnown(t, "decode waiting at least", s.DecodeWaiting, 3)
	b.change(func(p *fakePod) { p.status = 500 })
	wantKnown(t, "waiting at least", r.collect().PrefillWaiting, 14)
	a.set(worker(1, 1, 0)...)
	wantKnown(t, "waiting in the router at least", r.collect().PrefillWaiting, 10)
	f.set(`dynamo_frontend_router_queue_pending_requests{worker_type="prefill"} 0`)
	wantUnknown(t, "waiting where b may have some", r.collect().PrefillWaiting, "1 of 2 prefill pods")
}
