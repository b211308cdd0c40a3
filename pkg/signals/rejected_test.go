package signals

import (
	"fmt"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// A service that turns requests away finishes no more than it can and holds no
// more than it may: what it turns away is demand all the same. What is counted in two places counts once.
func TestRequestsTurnedAwayAreDemand(t *testing.T) {
	const served, refused = 2, 3 // per second
	for name, c := range map[string]struct {
		engine string
		kind   Kind
		page   func(served, refused float64) []string
		want   float64
		shown  Kind
	}{
		"vllm counts them apart": {"vllm", KindPrefill, func(served, refused float64) []string {
			return append(worker(served, 4, 6), fmt.Sprintf(`vllm:admission_rejections_total{model_name="m",reason="max_num_queued_reqs"} %v`, refused/2),
				fmt.Sprintf(`vllm:admission_rejections_total{model_name="m",reason="max_num_queued_tokens"} %v`, refused/2))
		}, served + refused, KindPrefill},
		"sglang counts them apart, on one rank or on each": {"sglang", KindPrefill, func(served, refused float64) []string {
			return []string{fmt.Sprintf("sglang:num_requests_total %v", served), "sglang:num_running_reqs 4", "sglang:num_queue_reqs 6",
				fmt.Sprintf(`sglang:num_queue_rejected_requests_total{reason="queue_full",tp_rank="0"} %v`, refused),
				fmt.Sprintf(`sglang:num_queue_rejected_requests_total{reason="queue_full",tp_rank="1"} %v`, refused)}
		}, served + refused, KindPrefill},
		"dynamo counts them among those started": {"dynamo-vllm", KindFrontend, func(served, refused float64) []string {
			return []string{fmt.Sprintf(`dynamo_frontend_requests_started_total{model="m"} %v`, served+refused),
				fmt.Sprintf(`dynamo_frontend_requests_total{model="m",status="success",error_type=""} %v`, served),
				fmt.Sprintf(`dynamo_frontend_requests_total{model="m",status="error",error_type="overload"} %v`, refused),
				fmt.Sprintf(`dynamo_frontend_model_rejection_total{model="m",endpoint="chat_completions"} %v`, refused),
				`dynamo_frontend_inflight_requests{model="m"} 10`}
		}, served + refused, KindFrontend},
		"dynamo counts them among those finished": {"dynamo-vllm", KindFrontend, func(served, refused float64) []string {
			return []string{fmt.Sprintf(`dynamo_frontend_requests_total{model="m",status="success"} %v`, served),
				fmt.Sprintf(`dynamo_frontend_requests_total{model="m",status="error"} %v`, refused),
				fmt.Sprintf(`dynamo_frontend_model_rejection_total{model="m",endpoint="chat_completions"} %v`, refused),
				`dynamo_frontend_inflight_requests{model="m"} 10`}
		}, served + refused, KindFrontend},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Engine: c.engine})
			p := r.pod(c.kind, "p")
			var s planner.Signals
			for i := range 6 {
				seconds := float64(i) * interval.Seconds()
				p.set(c.page(100+served*seconds, 10+refused*seconds)...)
				s = r.collect()
			}
			wantKnown(t, "demand", s.RequestsPerSecond, c.want)
			wantKnown(t, "turned away", r.read(RequestsRejected, c.shown), refused)
		})
	}
}

// The first request that is turned away brings the counter up, on a page whose
// other counters are there from the start.
func TestFirstRequestTurnedAwayCounts(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	p := r.pod(KindPrefill, "p")
	p.set(worker(100, 4, 6)...)
	r.collect()
	p.set(append(worker(100, 4, 6), `vllm:admission_rejections_total{reason="max_num_queued_reqs"} 30`)...)
	wantKnown(t, "demand", r.collect().RequestsPerSecond, 2)
	// A pod that only ever turned requests away is not one that had none.
	r = newRig(t, Config{Engine: "vllm"})
	p = r.pod(KindPrefill, "p")
	p.set(append(worker(0, 0, 0), `vllm:admission_rejections_total{reason="max_num_queued_tokens"} 15`)...)
	wantUnknown(t, "demand of a pod seen once", r.collect().RequestsPerSecond, "long enough")
	// Nor is one that was idle and turns away its first.
	r = newRig(t, Config{Engine: "vllm"})
	p = r.pod(KindPrefill, "p")
	p.set(worker(0, 0, 0)...)
	r.collect()
	p.set(append(worker(0, 0, 0), `vllm:admission_rejections_total{reason="max_num_queued_tokens"} 15`)...)
	wantKnown(t, "demand", r.collect().RequestsPerSecond, 1)
}

// A request that waited, and is then dropped from the queue, arrived once.
func TestRequestDroppedFromTheQueueCountsOnce(t *testing.T) {
	r := newRig(t, Config{Engine: "sglang"})
	p := r.pod(KindPrefill, "p")
	page := func(waiting, dropped int) planner.Signals {
		p.set("sglang:num_requests_total 5", "sglang:num_running_reqs 1", fmt.Sprintf("sglang:num_queue_reqs %d", waiting),
			fmt.Sprintf(`sglang:num_queue_rejected_requests_total{reason="timeout"} %d`, dropped))
		return r.collect()
	}
	page(0, 0)
	page(60, 0)
	s := page(0, 60)
	wantKnown(t, "demand", s.RequestsPerSecond, 60/(2*interval.Seconds()))
}

// Where nobody counts what is turned away its number is unknown, not zero; the
// rest of demand is not held back by that.
func TestRequestsTurnedAwayThatNobodyCounts(t *testing.T) {
	r := newRig(t, Config{Engine: "trtllm"})
	p := r.pod(KindPrefill, "p")
	var s planner.Signals
	for i := range 6 {
		p.set(fmt.Sprintf("trtllm_request_success_total %d", 30*i+1), "trtllm_num_requests_running 1", "trtllm_num_requests_waiting 0")
		s = r.collect()
	}
	wantKnown(t, "demand", s.RequestsPerSecond, 2)
	wantUnknown(t, "turned away", r.read(RequestsRejected, KindPrefill), "no prefill pod exports requests turned away")
}

// A router tells of requests started too.
func TestRouterTellsOfRequestsStarted(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "router")
	var s planner.Signals
	for i := range 3 {
		p.set(fmt.Sprintf("dynamo_component_router_requests_started_total %d", 45*i+1), fmt.Sprintf("dynamo_component_router_requests_total %d", 15*i))
		s = r.collect()
	}
	wantKnown(t, "demand", s.RequestsPerSecond, 3)
}
