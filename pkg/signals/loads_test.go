package signals

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A pod that did not answer is not an idle one.
func TestPodLoads(t *testing.T) {
	r := newRig(t, Config{})
	r.pod(KindPrefill, "busy").set(`vllm:num_requests_running{engine="0"} 3`, `vllm:num_requests_running{engine="1"} 1`, `vllm:num_requests_waiting 2`)
	r.pod(KindDecode, "idle").set(`vllm:num_requests_running 0`, `vllm:num_requests_waiting 0`)
	r.pod(KindDecode, "mute").set(`some_other_metric 7`)
	r.pod(KindDecode, "dead").set(`vllm:num_requests_running 9`)
	r.collect()
	r.pods[3].change(func(p *fakePod) { p.status = http.StatusInternalServerError })
	r.collect()
	want := map[string]float64{r.pods[0].target.UID: 6, r.pods[1].target.UID: 0}
	if diff := cmp.Diff(want, r.collector.PodLoads()); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
}
