//go:build cgo && linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/dcgmfake"
	"github.com/pdautoscaler/pdautoscaler/test/kubeletfake"
)

// process is the agent as a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	url string

	mu  sync.Mutex
	log []map[string]any
}

// start runs the agent with ten rounds a second and waits until it serves.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t}
	p.cmd = exec.Command(os.Args[0], append([]string{"--listen", "127.0.0.1:0", "--node", "node-7", "--interval", "100ms", "--max-age", "1s", "--pods-interval", "1s"}, args...)...)
	p.cmd.Env = append(os.Environ(), asAgent+"=1")
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				line = map[string]any{"msg": "no JSON: " + lines.Text()}
			}
			p.mu.Lock()
			p.log = append(p.log, line)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the agent ended with %v; log %v", err, p.lines())
		}
	})
	p.until("the agent serves", func() bool {
		for _, line := range p.lines() {
			if line["msg"] == "gpu-agent serves" {
				p.url = fmt.Sprintf("http://%s", line["address"])
				return true
			}
		}
		return false
	})
	return p
}

func (p *process) lines() []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// patience is how long a test waits for what must come: only a hang takes longer, on a busy machine too.
const patience = 2 * time.Minute

// until waits for something that another process brings about.
func (p *process) until(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not within 2 minutes: %s; log %v; page\n%s", what, p.lines(), p.get("/metrics"))
		}
	}
}

// get returns a page, empty where it cannot be had.
func (p *process) get(path string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// serves waits until the page has these lines and no line that begins as one in not.
func (p *process) serves(want []string, not ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the page has %q and not %q", want, not), func() bool {
		page := "\n" + p.get("/metrics")
		return !slices.ContainsFunc(want, func(s string) bool { return !strings.Contains(page, "\n"+s) }) &&
			!slices.ContainsFunc(not, func(s string) bool { return strings.Contains(page, "\n"+s) })
	})
}

// shows is the line of a condition.
func shows(name, reason string, ok int) string {
	return fmt.Sprintf(`pdautoscaler_gpu_agent_condition{condition="%s",reason="%s"} %d`, name, reason, ok)
}

// showing returns a node that the stand-in for DCGM shows.
func showing(t *testing.T, scenario string) *dcgmfake.Node {
	t.Helper()
	dcgmfake.Need(t)
	return dcgmfake.NewNode(t, scenario)
}

// decodeAndPrefill is a kubelet whose two pods hold the two GPUs of dcgmfake.TwoH200.
func decodeAndPrefill(t *testing.T) *kubeletfake.Kubelet {
	t.Helper()
	kubelet := kubeletfake.Start(t)
	kubelet.Show(
		kubeletfake.Pod("default", "dynamo-pd-decode-0", "main", "GPU-aaaaaaaa-0000-0000-0000-000000000000"),
		kubeletfake.Pod("default", "dynamo-pd-prefill-0", "main", "GPU-bbbbbbbb-0000-0000-0000-000000000000"))
	return kubelet
}

// collect reads the agent as the controller does, beside a prefill and a decode pod.
func (p *process) collect() planner.Signals {
	p.t.Helper()
	c, err := signals.New(signals.Config{Engine: "vllm", TTFTPercentile: 0.9, TPOTPercentile: 0.9, Timeout: patience})
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	target := func(kind signals.Kind, pod, url string) signals.Target {
		return signals.Target{Kind: kind, Namespace: "default", Pod: pod, UID: pod, URL: url, Ready: true}
	}
	s, _ := c.Collect(p.t.Context(), []signals.Target{
		target(signals.KindExporter, "gpu-agent-x", p.url+"/metrics"),
		target(signals.KindPrefill, "dynamo-pd-prefill-0", p.url+"/none"),
		target(signals.KindDecode, "dynamo-pd-decode-0", p.url+"/none"),
	}, time.Now())
	return s
}

// collects reads until one of the readings is so. A value counts for a second here, and a busy machine may take longer between two rounds.
func (p *process) collects(what string, reading func(planner.Signals) planner.Reading, holds func(planner.Reading) bool) {
	p.t.Helper()
	p.until("the controller reads "+what, func() bool { return holds(reading(p.collect())) })
}

func prefillTensor(s planner.Signals) planner.Reading { return s.PrefillTensorActive }

func decodeDRAM(s planner.Signals) planner.Reading { return s.DecodeDRAMActive }

// is holds for a reading of just that value; any other that is known ends the test.
func (p *process) is(want float64) func(planner.Reading) bool {
	return func(got planner.Reading) bool {
		if got.Ok() && got.Or(-1) != want {
			p.t.Fatalf("the controller reads %+v, want %v", got, want)
		}
		return got.Ok()
	}
}

// The controller reads from the agent what DCGM showed, by pod; under both generations of names.
func TestTheControllerReadsTheAgent(t *testing.T) {
	showing(t, dcgmfake.TwoH200)
	kubelet := decodeAndPrefill(t)
	for _, names := range []string{"4.5", "4.6"} {
		p := start(t, "--names", names, "--pod-resources", kubelet.Socket())
		p.serves([]string{
			`pdautoscaler_pod_tensor_active_ratio{Hostname="node-7",namespace="default",pod="dynamo-pd-prefill-0"} 0.77`,
			`pdautoscaler_pod_dram_active_ratio{Hostname="node-7",namespace="default",pod="dynamo-pd-decode-0"} 0.716`,
			shows("DCGM", "Works", 1), shows("DeviceFields", "Works", 1), shows("ProfilingFields", "Works", 1), shows("Pods", "Works", 1),
		})
		p.collects("prefill's tensor activity under the names of "+names, prefillTensor, p.is(0.77))
		p.collects("decode's DRAM activity under the names of "+names, decodeDRAM, p.is(0.716))
	}
}

func TestDeviceAndProfilingFieldsAreWatchedApart(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	p := start(t, "--pod-resources", "", "--interval", "1s", "--max-age", "5s")
	p.serves([]string{shows("DCGM", "Works", 1), shows("Pods", "SwitchedOff", 1)})
	var watches []string
	for _, call := range node.Calls() {
		if strings.HasPrefix(call, "watch ") {
			watches = append(watches, call)
		}
	}
	if want := []string{
		"watch entities=2 device=8 profiling=0 usec=1000000 age=0 samples=1 -> 0",
		"watch entities=2 device=0 profiling=8 usec=1000000 age=0 samples=1 -> 0",
	}; !slices.Equal(watches, want) {
		t.Errorf("watches %q, want %q", watches, want)
	}
}

// What another profiler holds is unknown to the controller, not zero; the rest is served.
func TestProfilingRefused(t *testing.T) {
	for code, reason := range map[string]string{"-34": "InUse", "-36": "NotSupported", "-33": "ModuleNotLoaded"} {
		showing(t, dcgmfake.TwoH200+"profiling "+code)
		p := start(t, "--pod-resources", decodeAndPrefill(t).Socket())
		p.serves([]string{shows("ProfilingFields", reason, 0), shows("DeviceFields", "Works", 1), "DCGM_FI_DEV_GPU_UTIL{"},
			"DCGM_FI_PROF_", "pdautoscaler_pod_tensor", "pdautoscaler_pod_dram")
		if !strings.Contains(p.get("/readyz"), "DCGM refuses the profiling fields, so tensor and DRAM activity are unknown") {
			t.Errorf("%s: /readyz says %s", code, p.get("/readyz"))
		}
		p.collects("that there are no profiling fields", prefillTensor, func(got planner.Reading) bool {
			if got.Ok() {
				t.Fatalf("%s: the controller reads %+v", code, got)
			}
			return strings.Contains(fmt.Sprintf("%+v", got), "no profiling fields")
		})
	}
}

// Some GPUs cannot count everything in one pass: the two fields that matter still come.
func TestEssentialFieldsAlone(t *testing.T) {
	showing(t, dcgmfake.TwoH200+"profiling-at-most 2")
	p := start(t, "--pod-resources", decodeAndPrefill(t).Socket())
	p.serves([]string{shows("ProfilingFields", "EssentialOnly", 1), "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{", "DCGM_FI_PROF_DRAM_ACTIVE{"}, "DCGM_FI_PROF_SM_ACTIVE")
}

// Blanks, fields that are not supported and values that stand still are left out while the agent runs.
func TestBlankAndStaleValues(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	p := start(t, "--pod-resources", decodeAndPrefill(t).Socket())
	tensor := `DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{Hostname="node-7",UUID="GPU-%s-0000-0000-0000-000000000000"`
	first, second := fmt.Sprintf(tensor, "aaaaaaaa"), fmt.Sprintf(tensor, "bbbbbbbb")
	p.serves([]string{first, second})

	node.Show(strings.NewReplacer("value gpu 0 1004 d 0.061", "value gpu 0 1004 d blank", "value gpu 0 204 i 92", "value gpu 0 204 i blank+2").Replace(dcgmfake.TwoH200))
	p.serves([]string{second, shows("ProfilingFields", "SomeGPUs", 0), shows("DeviceFields", "Works", 1),
		`pdautoscaler_gpu_values_left_out{field="DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",why="blank"} 1`,
		`pdautoscaler_gpu_values_left_out{field="DCGM_FI_DEV_MEM_COPY_UTIL",why="not supported"} 1`}, first)

	node.Show(strings.ReplaceAll(dcgmfake.TwoH200, " 1004 d 0.", " 1004 d 0.5 age=60 #"))
	p.serves([]string{`pdautoscaler_gpu_values_left_out{field="DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",why="stale"} 2`, shows("ProfilingFields", "NoValues", 0)}, first, second)
	if got := p.collect().PrefillTensorActive; got.Ok() {
		t.Errorf("the controller reads %+v", got)
	}

	node.Show(dcgmfake.TwoH200)
	p.serves([]string{first, second, shows("ProfilingFields", "Works", 1)})
}

// The host engine dies, comes back with no memory of its watches, and the agent goes on.
func TestHostEngineLostInTheMiddle(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	p := start(t, "--dcgm", "unix:///run/nv-hostengine.sock", "--pod-resources", decodeAndPrefill(t).Socket())
	p.serves([]string{shows("DCGM", "Works", 1), "DCGM_FI_DEV_GPU_UTIL{"})
	node.Show("engine down")
	p.serves([]string{shows("DCGM", "Unreachable", 0), shows("ProfilingFields", "Unreachable", 0), shows("Pods", "Works", 1)}, "DCGM_FI_", "pdautoscaler_pod_")
	if page := p.get("/healthz"); !strings.Contains(page, "DCGM: NOT OK, Unreachable") || !strings.Contains(page, "the DCGM host engine at unix:///run/nv-hostengine.sock does not answer") {
		t.Errorf("/healthz says %s", page)
	}
	node.Show(dcgmfake.TwoH200 + "generation 2")
	p.serves([]string{shows("DCGM", "Works", 1), shows("ProfilingFields", "Works", 1), "DCGM_FI_PROF_DRAM_ACTIVE{", "pdautoscaler_gpu_agent_connections_total 2"})
	want := []string{"Works", "ConnectionLost", "Unreachable", "Works"}
	var logged []string
	p.until(fmt.Sprintf("the log, which comes by another way than the page, tells of %q", want), func() bool {
		logged = nil
		for _, line := range p.lines() {
			if line["condition"] == "DCGM" {
				logged = append(logged, fmt.Sprint(line["reason"]))
			}
		}
		return len(logged) >= len(want)
	})
	if !slices.Equal(logged, want) {
		t.Errorf("the log tells of %q, want %q", logged, want)
	}
	p.collects("decode's DRAM activity", decodeDRAM, p.is(0.716))
}

// DCGM is restarted between two rounds: nothing was ever unreachable, but the connection is another.
func TestHostEngineRestarted(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	p := start(t, "--dcgm", "tcp://127.0.0.1:5555", "--pod-resources", "")
	p.serves([]string{shows("DCGM", "Works", 1)})
	node.Show(dcgmfake.TwoH200 + "generation 2")
	p.serves([]string{shows("DCGM", "Works", 1), shows("ProfilingFields", "Works", 1), "pdautoscaler_gpu_agent_connections_total 2"})
}

// A call to DCGM hangs: the page answers all the same, and shows nothing old.
func TestACallHangs(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	p := start(t, "--pod-resources", "")
	p.serves([]string{"DCGM_FI_PROF_DRAM_ACTIVE{"})
	node.Show(dcgmfake.TwoH200 + "hang 3")
	p.serves([]string{`pdautoscaler_gpu_values_left_out{field="DCGM_FI_PROF_DRAM_ACTIVE",why="stale"} 2`}, "DCGM_FI_")
	node.Show(dcgmfake.TwoH200)
	p.serves([]string{"DCGM_FI_PROF_DRAM_ACTIVE{", "pdautoscaler_gpu_agent_connections_total 1"})
}

func TestWithoutTheLibrary(t *testing.T) {
	if found, _ := filepath.Glob("/usr/lib*/*/libdcgm.so.4"); len(found) > 0 {
		t.Skipf("this machine has %s", found[0])
	}
	showing(t, dcgmfake.TwoH200)
	t.Setenv("LD_LIBRARY_PATH", "")
	p := start(t, "--pod-resources", "")
	p.serves([]string{shows("DCGM", "LibraryMissing", 0)}, "DCGM_FI_")
	if page := p.get("/healthz"); !strings.Contains(page, "libdcgm.so.4 is not found: install DCGM 4") {
		t.Errorf("/healthz says %s", page)
	}
}

// At the end everything is let go of.
func TestGoodbye(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	t.Run("runs", func(t *testing.T) {
		p := start(t, "--pod-resources", "")
		p.serves([]string{shows("ProfilingFields", "Works", 1)})
	})
	if calls := node.Calls(); !slices.Contains(calls, "disconnect lost=0 left=0") || calls[len(calls)-1] != "shutdown" {
		t.Errorf("calls %q", calls)
	}
}
