package emulator

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/natsqueue"
)

// What the autoscaler reads of the emulated service is what is played.
func TestTheAutoscalersReadingsAreWhatIsPlayed(t *testing.T) {
	pods := []Pod{pod(9, 1, RoleFrontend, 0), pod(9, 2, RoleDecode, 2), pod(9, 3, RolePrefill, 2), pod(9, 4, RoleExporter, 0)}
	e, _ := startEmulator(t, pods...)
	collector, err := signals.New(signals.Config{
		Engine: "dynamo-vllm", Model: "qwen3-32b", TTFTPercentile: 0.9, TPOTPercentile: 0.9, Window: 10 * time.Second,
		NATS: &signals.NATSConfig{URL: e.NATSURL(), Stream: natsqueue.DefaultStream, Consumer: natsqueue.DefaultConsumer},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	var targets []signals.Target
	for _, p := range pods {
		port := defaultHTTPPort
		if p.Role == RoleExporter {
			port = defaultExporterPort
		}
		targets = append(targets, signals.Target{
			Kind: signals.Kind(p.Role), Namespace: p.Namespace, Pod: p.Name, UID: p.UID, Node: p.Node,
			URL: fmt.Sprintf("http://%s:%d/metrics", p.IP, port), Ready: true,
		})
	}
	if err := e.Play(steady(50), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first requests are served", func() bool { return e.Snapshot().Finished > 10 })
	collector.Collect(t.Context(), targets, time.Now())
	eventually(t, "some seconds have been played", func() bool { return e.Snapshot().Played > 3*time.Second })
	read, reports := collector.Collect(t.Context(), targets, time.Now())
	for _, r := range reports {
		if !r.OK {
			t.Errorf("%s of %s: %s", r.Source, r.Pod, r.Error)
		}
	}
	// The queue takes as long as the machine is busy, so the TTFT to read is the one that was had.
	ttft, n := 0.0, 0.0
	for _, r := range e.Records() {
		if r.FirstToken {
			ttft, n = ttft+r.TTFTMs, n+1
		}
	}
	ttft /= n
	for what, tc := range map[string]struct {
		got       planner.Reading
		want, off float64
	}{
		"requests per second":     {read.RequestsPerSecond, 50, 15},
		"input tokens":            {read.InputTokens, 200, 1},
		"output tokens":           {read.OutputTokens, 20, 1},
		"cached share":            {read.CachedShare, 0.25, 0.01},
		"mean TTFT in ms":         {planner.Reading{State: read.TTFTMs.State, Value: read.TTFTMs.MeanMs, At: read.TTFTMs.At}, ttft, ttft / 2},
		"mean TPOT in ms":         {planner.Reading{State: read.TPOTMs.State, Value: read.TPOTMs.MeanMs, At: read.TPOTMs.At}, 2.4, 1},
		"decode's KV cache use":   {read.DecodeKVUse, 0.05, 0.05},
		"requests in decode":      {read.DecodeRunning, 3, 4},
		"requests before prefill": {read.PrefillWaiting, 0, 50},
		// On a busy machine requests come in clumps, and what decode idles between them counts: 0.6 was read.
		"decode's DRAM activity": {read.DecodeDRAMActive, 0.7, 0.25},
	} {
		if !tc.got.Ok() || !(math.Abs(tc.got.Or(0)-tc.want) <= tc.off) {
			t.Errorf("%s is read as %+v, want %v ± %v", what, tc.got, tc.want, tc.off)
		}
	}
}
