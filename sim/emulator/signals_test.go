package emulator

import (
	"fmt"
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
	return &load.Profile{Phases: []load.Phase{{Name: "long", DurationSeconds: 3600, RequestsPerSecond: 20, InputTokens: 200, OutputTokens: 300, CachedShare: 0.25}}}
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
		Engine: engine, Model: "qwen3-32b", TTFTPercentile: 0.9, TPOTPercentile: 0.9, Window: 24 * time.Second, MaxAge: patience, Timeout: time.Minute,
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
	first, _, _ := collectOnce(t, e, collector, targets)
	eventually(t, "some seconds have been played", func() bool { return e.Snapshot().Played > first.to.Played+5*time.Second })
	last, read, reports := collectOnce(t, e, collector, targets)
	for _, r := range reports {
		if !r.OK {
			t.Errorf("%s of %s: %s", r.Source, r.Pod, r.Error)
		}
	}
	// What was read of between the two is what came after the first had begun at most, and after it had ended at least.
	rate := func(from, to Snapshot, longer, shorter time.Duration) float64 {
		return float64(to.Arrived-from.Arrived) / (longer - shorter).Seconds()
	}
	least, most := first.ttft(e.Records(), last)
	// Of prompts on their way through prefill only a part may be counted.
	halfway := 0.04 + float64(first.prompts+last.prompts)/float64(last.from.Arrived-first.to.Arrived)
	service := quick().Service
	if last.running[1] == 0 || last.kvUse[1] <= 0 || last.kvUse[1] > 1 {
		t.Errorf("decode runs at most %d requests with %.2f of its KV cache, want some of both", last.running[1], last.kvUse[1])
	}
	for what, tc := range map[string]struct {
		got         planner.Reading
		least, most float64
	}{
		"requests per second": {read.RequestsPerSecond, 0.95 * rate(first.to, last.from, last.to.Played, first.from.Played), 1.05 * rate(first.from, last.to, last.from.Played, first.to.Played)},
		"input tokens":        {read.InputTokens, 199, 201},
		"output tokens":       {read.OutputTokens, 299, 301},
		"cached share":        {read.CachedShare, 0.25 * (1 - halfway), 0.25 * (1 + halfway)},
		"mean TTFT in ms":     {planner.Reading{State: read.TTFTMs.State, Value: read.TTFTMs.MeanMs, At: read.TTFTMs.At}, 0.95 * least, 1.05 * most},
		"mean TPOT in ms": {planner.Reading{State: read.TPOTMs.State, Value: read.TPOTMs.MeanMs, At: read.TPOTMs.At},
			service.Decode.Decode.StepMs(1, 200), 2 * service.Decode.Decode.StepMs(float64(last.running[1]+first.running[1]+20), 10_000)},
		"decode's KV cache use":   {read.DecodeKVUse, last.kvUse[0] - 0.1, last.kvUse[1] + 0.1},
		"requests in decode":      {read.DecodeRunning, float64(last.running[0] - 2), float64(last.running[1] + 2)},
		"requests before prefill": {read.PrefillWaiting, 0, float64(last.to.Arrived)},
		"decode's DRAM activity":  {read.DecodeDRAMActive, last.dram[0] - 0.01, last.dram[1] + 0.01},
	} {
		if !tc.got.Ok() || !(tc.got.Or(0) >= tc.least && tc.got.Or(0) <= tc.most) {
			t.Errorf("%s is read as %+v, want %v to %v", what, tc.got, tc.least, tc.most)
		}
	}
}

// span is the service about one reading: before and after it, and the least and
// the most that decode had in hand meanwhile, however long the reading took.
type span struct {
	from, to Snapshot
	running  [2]int
	kvUse    [2]float64
	dram     [2]float64 // as the exporter shows it of a GPU of decode
	prompts  int        // the most that had arrived and were not decoding
}

// collectOnce collects, and watches the service meanwhile.
func collectOnce(t *testing.T, e *Emulator, c *signals.Collector, targets []signals.Target) (s span, read planner.Signals, reports []signals.SourceReport) {
	t.Helper()
	s.from = e.Snapshot()
	w := decodeOf(t, s.from)
	s.running, s.kvUse, s.dram = [2]int{w.Running, w.Running}, [2]float64{w.KVUse, w.KVUse}, [2]float64{1, 0}
	look := func(now Snapshot) {
		w := decodeOf(t, now)
		s.running = [2]int{min(s.running[0], w.Running), max(s.running[1], w.Running)}
		s.kvUse = [2]float64{min(s.kvUse[0], w.KVUse), max(s.kvUse[1], w.KVUse)}
		active := e.dramOf(engine.Decode)
		s.dram = [2]float64{min(s.dram[0], active), max(s.dram[1], active)}
		s.prompts = max(s.prompts, now.InFlight-now.ByState[engine.Decoding])
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read, reports = c.Collect(t.Context(), targets, time.Now())
	}()
	for over := false; !over; {
		look(e.Snapshot())
		select {
		case <-done:
			over = true
		case <-time.After(time.Millisecond):
		}
	}
	s.to = e.Snapshot()
	look(s.to)
	return s, read, reports
}

// ttft is what the mean TTFT between two readings may be: of the first tokens
// between them for certain, and of those that may have been.
func (s *span) ttft(records []engine.Record, last span) (least, most float64) {
	var sure, maybe, sureMs, maybeMs float64
	for _, r := range records {
		if !r.FirstToken {
			continue
		}
		at := r.At + time.Duration(r.TTFTMs*float64(time.Millisecond))
		if at >= s.from.Played && at <= last.to.Played {
			maybe, maybeMs = maybe+1, maybeMs+r.TTFTMs
		}
		if at > s.to.Played && at < last.from.Played {
			sure, sureMs = sure+1, sureMs+r.TTFTMs
		}
	}
	return sureMs / maybe, maybeMs / sure
}

// dramOf is what the exporter shows of the first GPU of a role.
func (e *Emulator) dramOf(role Role) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.gpus.onNode("node-a") {
		if g.pod.Role == role {
			return g.last.dram
		}
	}
	return 0
}

// decodeOf is the decode worker of a snapshot.
func decodeOf(t *testing.T, s Snapshot) engine.WorkerView {
	t.Helper()
	for _, w := range s.Workers {
		if w.Role == engine.Decode {
			return w
		}
	}
	t.Fatal("the snapshot has no decode worker")
	return engine.WorkerView{}
}
