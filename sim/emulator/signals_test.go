package emulator

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/natsqueue"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// long is a load under which decode always has something to do: a sequence takes
// about a second, so that what a busy machine holds back for half of one leaves no gap.
func long() *load.Profile {
	return &load.Profile{Phases: []load.Phase{{Name: "long", DurationSeconds: 60, RequestsPerSecond: 20, InputTokens: 200, OutputTokens: 300, CachedShare: 0.25}}}
}

// What the autoscaler reads of the emulated service is what is played, in
// whichever names the service tells it.
func TestTheAutoscalersReadingsAreWhatIsPlayed(t *testing.T) {
	for i, c := range []struct {
		workers  WorkerNames
		frontend FrontendNames
		engine   string
	}{{VLLM, Dynamo2025, "dynamo-vllm"}, {SGLang, Dynamo1, signals.EngineAuto}} {
		t.Run(string(c.workers)+" behind "+string(c.frontend), func(t *testing.T) {
			readAsPlayed(t, 9+10*i, c.workers, c.frontend, c.engine)
		})
	}
}

func readAsPlayed(t *testing.T, test int, workers WorkerNames, frontend FrontendNames, engine string) {
	pods := []Pod{pod(test, 1, RoleFrontend, 0), pod(test, 2, RoleDecode, 2), pod(test, 3, RolePrefill, 2), pod(test, 4, RoleExporter, 0)}
	e, _ := startWith(t, Config{Workers: workers, Frontend: frontend}, pods...)
	collector, err := signals.New(signals.Config{
		Engine: engine, Model: "qwen3-32b", TTFTPercentile: 0.9, TPOTPercentile: 0.9, Window: 10 * time.Second,
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
	if err := e.Play(long(), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first requests are served", func() bool { return e.Snapshot().Finished > 10 })
	began := e.Snapshot()
	collector.Collect(t.Context(), targets, time.Now())
	eventually(t, "some seconds have been played", func() bool { return e.Snapshot().Played > began.Played+4*time.Second })
	ended := e.Snapshot()
	read, reports := collector.Collect(t.Context(), targets, time.Now())
	// What decode has in hand swings with the queue before it, so it is held against the engine's own count about the read.
	before, after := decodeOf(t, ended), decodeOf(t, e.Snapshot())
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
	came := float64(ended.Arrived-began.Arrived) / (ended.Played - began.Played).Seconds()
	for what, tc := range map[string]struct {
		got       planner.Reading
		want, off float64
	}{
		"requests per second":     {read.RequestsPerSecond, came, came / 4},
		"input tokens":            {read.InputTokens, 200, 1},
		"output tokens":           {read.OutputTokens, 300, 1},
		"cached share":            {read.CachedShare, 0.25, 0.01},
		"mean TTFT in ms":         {planner.Reading{State: read.TTFTMs.State, Value: read.TTFTMs.MeanMs, At: read.TTFTMs.At}, ttft, ttft / 2},
		"mean TPOT in ms":         {planner.Reading{State: read.TPOTMs.State, Value: read.TPOTMs.MeanMs, At: read.TPOTMs.At}, 2.9, 1},
		"decode's KV cache use":   {read.DecodeKVUse, (before.KVUse + after.KVUse) / 2, 0.3},
		"requests in decode":      {read.DecodeRunning, float64(before.Running+after.Running) / 2, 12},
		"requests before prefill": {read.PrefillWaiting, 0, 50},
		"decode's DRAM activity":  {read.DecodeDRAMActive, 0.7, 0.1},
	} {
		if !tc.got.Ok() || !(math.Abs(tc.got.Or(0)-tc.want) <= tc.off) {
			t.Errorf("%s is read as %+v, want %v ± %v", what, tc.got, tc.want, tc.off)
		}
	}
}

// decodeOf is the decode worker of a snapshot, which has to have something to do.
func decodeOf(t *testing.T, s Snapshot) engine.WorkerView {
	t.Helper()
	for _, w := range s.Workers {
		if w.Role == engine.Decode {
			if w.KVUse <= 0 || w.KVUse > 1 || w.Running == 0 {
				t.Errorf("decode runs %d requests with %.2f of its KV cache, want some of both", w.Running, w.KVUse)
			}
			return w
		}
	}
	t.Fatal("the snapshot has no decode worker")
	return engine.WorkerView{}
}
