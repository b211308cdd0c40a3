package serve

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

var epoch = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// rig is a view of a sample at a time.
type rig struct {
	*View
	now    time.Time
	sample *gpu.Sample
}

func newRig() *rig {
	r := &rig{now: epoch.Add(2 * time.Second)}
	value := func(v float64) gpu.Value { return gpu.Value{Type: gpu.TypeDouble, Double: v, At: epoch} }
	whole := gpu.Device{Entity: gpu.Entity{Kind: gpu.WholeGPU, ID: 0}, UUID: "GPU-a", Model: "NVIDIA H200", BusID: "00000000:19:00.0"}
	divided := gpu.Device{Entity: gpu.Entity{Kind: gpu.WholeGPU, ID: 1}, Index: 1, UUID: "GPU-b", Divided: true}
	instance := gpu.Device{Entity: gpu.Entity{Kind: gpu.Instance, ID: 7}, Index: 1, UUID: "GPU-b", InstanceID: 3, InstanceUUID: "MIG-c", Profile: "1g.18gb"}
	r.sample = &gpu.Sample{At: epoch, Devices: []gpu.Device{whole, divided, instance}, Of: map[gpu.Entity]gpu.Readings{
		whole.Entity:    {203: value(100), 156: value(12345), gpu.FieldTensorActive: value(0.77), gpu.FieldDRAMActive: {Status: -54}},
		divided.Entity:  {203: value(50)},
		instance.Entity: {gpu.FieldTensorActive: value(0.06), gpu.FieldDRAMActive: value(0.72)},
	}}
	r.View = &View{
		Node: "node-7", Names: gpu.NamesBefore46, MaxAge: 5 * time.Second, Version: "v1",
		Sample: func() *gpu.Sample { return r.sample }, Progress: func() agent.Progress { return agent.Progress{LastRound: epoch, Connections: 2} },
		Board: condition.NewBoard(slog.New(slog.DiscardHandler), epoch), Clock: func() time.Time { return r.now },
		Owner: func(d gpu.Device, _ time.Time) (gpu.Owner, bool) {
			o, ok := map[gpu.Entity]gpu.Owner{whole.Entity: {Namespace: "default", Pod: "p0", Container: "main"}, instance.Entity: {Namespace: "default", Pod: "d0"}}[d.Entity]
			return o, ok
		},
	}
	return r
}

// page returns one page of the view.
func (r *rig) page(t *testing.T, path string) (int, string) {
	t.Helper()
	handler, err := r.Handler(false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	text, _ := io.ReadAll(w.Body)
	return w.Code, string(text)
}

// wantLines looks for whole lines, and for lines that begin as those in not do.
func wantLines(t *testing.T, page string, want []string, not ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+page, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, page)
		}
	}
	for _, start := range not {
		if strings.Contains("\n"+page, "\n"+start) {
			t.Errorf("a line begins with %q in\n%s", start, page)
		}
	}
}

const (
	p0 = `Hostname="node-7",UUID="GPU-a",container="main",device="nvidia0",gpu="0",modelName="NVIDIA H200",namespace="default",pci_bus_id="00000000:19:00.0",pod="p0"`
	d0 = `GPU_I_ID="3",GPU_I_PROFILE="1g.18gb",Hostname="node-7",UUID="GPU-b",device="nvidia1",gpu="1",namespace="default",pod="d0"`
)

func TestMetrics(t *testing.T) {
	r := newRig()
	code, page := r.page(t, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, page)
	}
	wantLines(t, page, []string{
		`# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter`,
		`# TYPE DCGM_FI_PROF_PIPE_TENSOR_ACTIVE gauge`,
		`DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{` + p0 + `} 12345`,
		`DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{` + p0 + `} 0.77`,
		`DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{` + d0 + `} 0.06`,
		`DCGM_FI_DEV_GPU_UTIL{Hostname="node-7",UUID="GPU-b",device="nvidia1",gpu="1"} 50`,
		`DCGM_FI_PROF_DRAM_ACTIVE{` + d0 + `} 0.72`,
		`pdautoscaler_gpu_values_left_out{field="DCGM_FI_PROF_DRAM_ACTIVE",why="paused"} 1`,
		`pdautoscaler_gpu_sample_age_seconds{` + strings.Replace(p0, `device="nvidia0",`, `device="nvidia0",fields="profiling",`, 1) + `} 2`,
		`pdautoscaler_pod_gpus{Hostname="node-7",namespace="default",pod="p0"} 1`,
		`pdautoscaler_pod_tensor_active_ratio{Hostname="node-7",namespace="default",pod="p0"} 0.77`,
		`pdautoscaler_pod_dram_active_ratio{Hostname="node-7",namespace="default",pod="d0"} 0.72`,
		`pdautoscaler_pod_activity_age_seconds{Hostname="node-7",namespace="default",pod="d0"} 2`,
		`pdautoscaler_gpu_agent_condition{condition="DCGM",reason="Starting"} 0`,
		`pdautoscaler_gpu_agent_connections_total 2`,
	}, `DCGM_FI_PROF_DRAM_ACTIVE{`+p0, `pdautoscaler_pod_dram_active_ratio{Hostname="node-7",namespace="default",pod="p0"`)
}

func TestNewNamesAndTimes(t *testing.T) {
	r := newRig()
	r.Names, r.Timestamps = gpu.NamesFrom46, true
	_, page := r.page(t, "/metrics")
	wantLines(t, page, []string{`DCGM_FI_PROF_TENSOR_UTIL_RATIO{` + p0 + `} 0.77 1767322800000`}, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_DEV_GPU_UTIL{")
}

// Values that are not renewed disappear at the scrape, though nothing was read since.
func TestOldValuesDisappear(t *testing.T) {
	r := newRig()
	r.now = epoch.Add(5*time.Second + 1)
	_, page := r.page(t, "/metrics")
	wantLines(t, page, []string{
		`pdautoscaler_gpu_values_left_out{field="DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",why="stale"} 2`,
		`pdautoscaler_pod_gpus{Hostname="node-7",namespace="default",pod="p0"} 1`,
	}, "DCGM_FI_", "pdautoscaler_pod_tensor_active", "pdautoscaler_gpu_sample_age_seconds")
}

func TestNothingReadYet(t *testing.T) {
	r := newRig()
	r.sample, r.Owner = nil, nil
	code, page := r.page(t, "/metrics")
	wantLines(t, page, []string{`pdautoscaler_gpu_agent_condition{condition="ProfilingFields",reason="Starting"} 0`}, "DCGM_FI_", "pdautoscaler_pod_")
	if code != http.StatusOK {
		t.Error(code)
	}
	if code, page := r.page(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(page, "DCGM: NOT OK, Starting since") {
		t.Errorf("%d: %s", code, page)
	}
}

// A text that is no UTF-8, or that would end its quotes, does not spoil the page.
func TestStrangeTexts(t *testing.T) {
	r := newRig()
	r.sample.Devices[0].Model, r.sample.Devices[0].BusID = "H\xff200", "a\"b\n"
	code, page := r.page(t, "/metrics")
	if code != http.StatusOK || !strings.Contains(page, `modelName="H?200"`) || !strings.Contains(page, `pci_bus_id="a\"b\n"`) {
		t.Errorf("%d: %s", code, page)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	r := newRig()
	lost := func() { r.Board.Set(r.now, condition.DeviceFields, false, condition.ConnectionLost, "gone") }
	for name, c := range map[string]struct {
		happens       func()
		health, ready int
		says          string
	}{
		"works":          {func() { r.Board.Set(r.now, condition.DeviceFields, true, condition.Works, "all is read") }, 200, 200, "DeviceFields: ok, Works since 2026-01-02T03:00:02Z: all is read"},
		"DCGM is gone":   {lost, 200, 503, "ConnectionLost"},
		"one GPU is off": {func() { r.Board.Set(r.now, condition.DeviceFields, false, condition.SomeGPUs, "1 of 2") }, 200, 200, "1 of 2"},
	} {
		c.happens()
		health, text := r.page(t, "/healthz")
		ready, _ := r.page(t, "/readyz")
		if health != c.health || ready != c.ready || !strings.Contains(text, c.says) {
			t.Errorf("%s: health %d, ready %d, want %d and %d; %s", name, health, ready, c.health, c.ready, text)
		}
	}
	r.now = epoch.Add(hungAfter + time.Second)
	if code, text := r.page(t, "/healthz"); code != 503 || !strings.Contains(text, "no round has ended for 2m1s: a call to DCGM hangs") {
		t.Errorf("%d: %s", code, text)
	}
	if code, _ := r.page(t, "/other"); code != 404 {
		t.Errorf("another page answers %d", code)
	}
}
