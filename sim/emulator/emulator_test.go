package emulator

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/natsqueue"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// quick is a service whose steps take a few milliseconds, so that a test sees
// many of them in a second.
func quick() engine.Config {
	r := perfmodel.Replica{
		GPUs:             2,
		Prefill:          perfmodel.Prefill{WeightReadMs: 2, GEMMMsPerToken: 0.02},
		Decode:           perfmodel.Decode{WeightReadMs: 2, PerSequenceMs: 0.05},
		Transfer:         perfmodel.Transfer{LatencyMs: 0.5},
		KVCapacityTokens: 12_800,
	}
	return engine.Config{Service: capacity.Service{Prefill: r, Decode: r}, Seed: 1}
}

var longAnswers = load.Profile{Phases: []load.Phase{{Name: "long", DurationSeconds: 3600, RequestsPerSecond: 3, InputTokens: 100, OutputTokens: 1500}}}

// steady is a load of the given rate that outlasts every test.
func steady(rate float64) *load.Profile {
	return &load.Profile{Phases: []load.Phase{{Name: "steady", DurationSeconds: 3600, RequestsPerSecond: rate, InputTokens: 200, OutputTokens: 20, CachedShare: 0.25}}}
}

// block is the second byte of the addresses of this process: a listener on the
// block's own address keeps other processes, which may run the same tests, out of
// it. They lie outside the ranges of the control planes.
var block = sync.OnceValue(func() int {
	for n := 1; n < 240; n++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.%d.255.254:9", n)); err == nil {
			blockHeld = l
			return n
		}
	}
	panic("all blocks of loopback addresses are in use")
})

var blockHeld net.Listener // until the process ends

// Each test has addresses of its own, so that none waits for another's.
func pod(test, n int, role Role, gpus int) Pod {
	return Pod{
		Namespace: "default", Name: fmt.Sprintf("%s-%d", role, n), UID: fmt.Sprintf("uid-%d-%d", test, n), Role: role,
		Node: "node-a", IP: fmt.Sprintf("127.%d.%d.%d", block(), 200+test, n), GPUs: gpus, Container: "engine", Ready: true,
	}
}

func startEmulator(t *testing.T, pods ...Pod) (*Emulator, *PodSet) {
	t.Helper()
	return startWith(t, Config{}, pods...)
}

func startWith(t *testing.T, cfg Config, pods ...Pod) (*Emulator, *PodSet) {
	t.Helper()
	set := NewPodSet(pods...)
	if cfg.Engine.Service.Decode.GPUs == 0 {
		cfg.Engine = quick()
	}
	cfg.Pods, cfg.Model, cfg.ExporterInterval = set, "qwen3-32b", 100*time.Millisecond
	e, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e, set
}

// patience is how long a condition may take that holds within a second on a
// machine that is not busy.
const patience = 3 * time.Minute

// eventually waits until the condition holds; what says what is waited for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s still not: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// client opens a connection for each request: a kept one would hide a server that ended.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

func scrape(p Pod, port int) (map[string]*dto.MetricFamily, error) {
	response, err := client.Get(fmt.Sprintf("http://%s:%d/metrics", p.IP, port))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return nil, fmt.Errorf("%s: %s", response.Status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

func mustScrape(t *testing.T, p Pod, port int) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := scrape(p, port)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// The queue's depth in JetStream is the number of requests that wait for prefill.
func TestNATSDepthIsWhatWaitsForPrefill(t *testing.T) {
	decode, prefill := pod(1, 2, RoleDecode, 2), pod(1, 3, RolePrefill, 2)
	e, set := startEmulator(t, pod(1, 1, RoleFrontend, 0), decode)
	if err := e.Play(&load.Profile{Phases: []load.Phase{{DurationSeconds: 0.2, RequestsPerSecond: 100, InputTokens: 200, OutputTokens: 5}}}, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all requests of the load are queued", func() bool {
		s := e.Snapshot()
		return s.Ended && s.InFlight > 5 && s.ByState[engine.Queued] == s.InFlight
	})
	arrived := e.Snapshot().Arrived
	eventually(t, fmt.Sprintf("%d messages wait", arrived), func() bool {
		n, err := e.queue.Waiting(t.Context())
		return err == nil && n == arrived
	})
	set.Put(prefill)
	eventually(t, "all requests are served", func() bool { return e.Snapshot().Finished == arrived })
	if n, err := e.queue.Waiting(t.Context()); err != nil || n != 0 {
		t.Errorf("%d messages wait at the end, %v", n, err)
	}
	for _, r := range e.Records() {
		if r.Generated != 5 || r.Migrated != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// Through NATS and real time, TTFT is the model's and what the queue takes: some
// milliseconds, more on a busy machine: as much as another queue of the same
// server takes beside it. TPOT does not pass through the queue.
func TestLatencyThroughNATSIsThatOfTheModel(t *testing.T) {
	e, _ := startEmulator(t, pod(2, 1, RoleFrontend, 0), pod(2, 2, RoleDecode, 2), pod(2, 3, RolePrefill, 2))
	if err := e.Play(&load.Profile{Phases: []load.Phase{{DurationSeconds: 2, RequestsPerSecond: 10, InputTokens: 200, OutputTokens: 20}}}, 1); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	slowest := slowestWay(t, e.NATSURL(), served)
	eventually(t, "the load is served", func() bool { s := e.Snapshot(); return s.Ended && s.InFlight == 0 })
	close(served)
	service := quick().Service
	a := engine.Attain("all", e.Records(), engine.Objectives{TTFT: capacity.Objective{Ms: 1e6}, TPOT: capacity.Objective{Ms: 1e6}}, nil)
	ttft, tpot := service.Prefill.Prefill.StepMs(200, 0), service.Decode.Decode.StepMs(1, 200)
	n := len(e.Records())
	way := <-slowest
	if most := ttft + 1000 + 10*float64(way.Milliseconds()); a.TTFT.P50Ms < ttft || a.TTFT.P50Ms > most {
		t.Errorf("median TTFT is %.1f ms, the model's prefill %.1f ms; beside it the way through another queue took %s at most", a.TTFT.P50Ms, ttft, way)
	}
	// At most all of them are in one batch.
	if most := service.Decode.Decode.StepMs(float64(n), 220*float64(n)); a.TPOT.P50Ms < tpot*0.99 || a.TPOT.P50Ms > most {
		t.Errorf("median TPOT is %.2f ms, the model's step %.2f ms, of all requests at once %.2f ms", a.TPOT.P50Ms, tpot, most)
	}
}

// slowestWay sends messages through a queue of its own, one after the other until
// it is told to end, and gives the longest time that one took.
func slowestWay(t *testing.T, url string, end <-chan struct{}) <-chan time.Duration {
	t.Helper()
	q, err := natsqueue.Connect(t.Context(), url, natsqueue.Options{Stream: "another", Consumer: "another"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	result := make(chan time.Duration, 1)
	go func() {
		slowest := time.Duration(0)
		for n := uint64(1); ; n++ {
			began := time.Now()
			q.Publish(engine.Message{Request: n})
			q.Pull("another")
			select {
			case <-q.Deliveries():
				slowest = max(slowest, time.Since(began))
			case <-t.Context().Done():
			}
			select {
			case <-end:
				result <- slowest
				return
			case <-t.Context().Done():
				return
			default:
			}
		}
	}()
	return result
}

func TestPodsAnswerFromReadyToGone(t *testing.T) {
	prefill, decode := pod(3, 3, RolePrefill, 2), pod(3, 2, RoleDecode, 2)
	prefill.Ready = false
	e, set := startEmulator(t, pod(3, 1, RoleFrontend, 0), decode, prefill)
	if _, err := scrape(prefill, 8000); err == nil {
		t.Error("a starting pod answers")
	}
	if s := e.Snapshot(); s.GPUs != 4 || len(s.Workers) != 2 {
		t.Errorf("%d GPUs and %d workers, want those of both pods and the two that are ready", s.GPUs, len(s.Workers))
	}
	prefill.Ready = true
	set.Put(prefill)
	eventually(t, "the ready pod answers", func() bool { _, err := scrape(prefill, 8000); return err == nil })

	if err := e.Play(steady(50), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "requests are served", func() bool { return e.Snapshot().Finished > 20 })
	prefill.Terminating, prefill.EndsBy = true, time.Now().Add(time.Minute)
	set.Put(prefill)
	eventually(t, "the terminating pod has drained", func() bool {
		for _, w := range e.Snapshot().Workers {
			if w.ID == prefill.UID {
				return w.Draining && w.Drained
			}
		}
		return false
	})
	mustScrape(t, prefill, 8000)
	eventually(t, "requests pile up in the queue", func() bool { return e.Snapshot().ByState[engine.Queued] > 5 })
	piled := e.Snapshot()

	set.Remove(prefill.UID)
	eventually(t, "the pod that is gone does not answer", func() bool { _, err := scrape(prefill, 8000); return err != nil })
	next := pod(3, 4, RolePrefill, 2)
	next.IP = prefill.IP
	set.Put(next)
	eventually(t, "what piled up is served", func() bool {
		return e.Snapshot().Finished >= piled.Finished+piled.ByState[engine.Queued]
	})
	if v, _ := scrape(next, 8000); v["vllm:request_success_total"] == nil {
		t.Error("the new pod on the old address does not answer")
	}
}

func TestADecodePodThatVanishesMigratesItsSequences(t *testing.T) {
	a, b := pod(4, 2, RoleDecode, 2), pod(4, 3, RoleDecode, 2)
	slow := quick() // sequences that outlast the test
	slow.Service.Decode.Decode.WeightReadMs = 500
	e, set := startWith(t, Config{Engine: slow}, pod(4, 1, RoleFrontend, 0), pod(4, 4, RolePrefill, 2), a)
	if err := e.Play(&load.Profile{Phases: []load.Phase{{DurationSeconds: 0.3, RequestsPerSecond: 30, InputTokens: 100, OutputTokens: 2000}}}, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "sequences decode", func() bool { s := e.Snapshot(); return s.Ended && s.ByState[engine.Decoding] > 2 })
	set.Remove(a.UID)
	set.Put(b)
	eventually(t, "they were migrated and decode again", func() bool {
		s := e.Snapshot()
		return s.Migrated > 2 && s.ByState[engine.Decoding] > 2
	})
	s := e.Snapshot()
	if s.Arrived != s.Finished+s.Failed+s.InFlight || s.Failed > 0 {
		t.Errorf("%d arrived, %d finished, %d failed, %d in flight", s.Arrived, s.Finished, s.Failed, s.InFlight)
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	outside := pod(5, 2, RoleDecode, 2)
	outside.IP = "10.1.2.3"
	strange := pod(5, 3, RoleDecode, 2)
	strange.IP = "no address"
	e, _ := startEmulator(t, pod(5, 1, RoleFrontend, 0), outside, strange)
	s := e.Snapshot()
	if len(s.Workers) != 1 || len(s.Problems) != 2 || !strings.Contains(s.Problems[0], "10.1.2.3; only loopback addresses") {
		t.Errorf("%d workers, problems %q", len(s.Workers), s.Problems)
	}
}

// A taken address is a problem that is named, and is over when the address is free.
func TestTakenAddressIsServedWhenItIsFree(t *testing.T) {
	p := pod(6, 2, RoleDecode, 2)
	other, err := net.Listen("tcp", p.IP+":8000")
	if err != nil {
		t.Fatal(err)
	}
	e, _ := startEmulator(t, p)
	if s := e.Snapshot(); len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "address already in use") {
		t.Errorf("problems %q", s.Problems)
	}
	other.Close()
	eventually(t, "the pod answers", func() bool { _, err := scrape(p, 8000); return err == nil })
	eventually(t, "no problem is left", func() bool { return len(e.Snapshot().Problems) == 0 })
}

func TestGPUHoursCountStartingAndTerminatingPods(t *testing.T) {
	starting := pod(7, 2, RoleDecode, 2)
	starting.Ready = false
	ending := pod(7, 3, RolePrefill, 4)
	ending.Terminating, ending.EndsBy = true, time.Now().Add(time.Minute)
	pending := pod(7, 4, RolePrefill, 2)
	pending.Ready, pending.Node = false, ""
	e, set := startEmulator(t, pod(7, 1, RoleFrontend, 0), starting, ending, pending)
	if err := e.Play(steady(1), 1); err != nil {
		t.Fatal(err)
	}
	if s := e.Snapshot(); s.GPUs != 6 {
		t.Errorf("%d GPUs are held, want 6", s.GPUs)
	}
	eventually(t, "6 GPUs were held for half a second", func() bool { return e.Snapshot().GPUHours >= 3.0/3600 })
	s := e.Snapshot()
	if most := 6 * s.Played.Hours() * (1 + 1e-9); s.GPUHours > most {
		t.Errorf("%v GPU-hours in %v, at most %v", s.GPUHours, s.Played, most)
	}
	set.Remove(starting.UID)
	eventually(t, "4 GPUs are held", func() bool { return e.Snapshot().GPUs == 4 })
}

func TestStopLeavesNothing(t *testing.T) {
	before := goroutines()
	set := NewPodSet(pod(8, 1, RoleFrontend, 0), pod(8, 2, RoleDecode, 2), pod(8, 3, RolePrefill, 2), pod(8, 4, RoleExporter, 0))
	e, err := Start(t.Context(), Config{Engine: quick(), Pods: set})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Play(steady(50), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "requests are served", func() bool { return e.Snapshot().Finished > 5 })
	mustScrape(t, set.Pods()[0], 8000)
	nats := strings.TrimPrefix(e.NATSURL(), "nats://")
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{nats, set.Pods()[0].IP + ":8000", set.Pods()[3].IP + ":9400"} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("%s still answers", address)
		}
	}
	eventually(t, "all goroutines have ended", func() bool { return len(goroutines()) <= len(before) })
	for _, stack := range goroutines() {
		if strings.Contains(stack, "emulator.") && !strings.Contains(stack, "TestStopLeavesNothing") {
			t.Errorf("a goroutine is left:\n%s", stack)
		}
	}
}

func goroutines() []string {
	buffer := make([]byte, 1<<20)
	return strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
}

func TestBadConfigurationIsRefused(t *testing.T) {
	good := func() Config { return Config{Engine: quick(), Pods: NewPodSet()} }
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no pods": {func(c *Config) { c.Pods = nil }, "a source of pods is needed"},
		"queue":   {func(c *Config) { c.Engine.Queue = engine.NewMemoryQueue() }, "Engine.Queue is set"},
		"port":    {func(c *Config) { c.HTTPPort = 70000 }, "HTTPPort is 70000; it must be from 1 to 65535"},
		"GPUs":    {func(c *Config) { c.GPU.PerNode = -1 }, "GPU.PerNode"},
		"engine":  {func(c *Config) { c.Engine.Service.Decode.KVCapacityTokens = 0 }, "kvCapacityTokens of the decode replica is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(goroutines())
			c := good()
			tc.change(&c)
			if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q in it", err, tc.want)
			}
			eventually(t, "nothing runs", func() bool { return len(goroutines()) <= before })
		})
	}
	e, _ := startEmulator(t)
	if err := e.Play(nil, 1); err == nil {
		t.Error("a nil load was accepted")
	}
}
