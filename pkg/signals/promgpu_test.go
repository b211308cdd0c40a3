package signals

import (
	"maps"
	"testing"
)

// gpu puts one sample of an activity into the store, as a scrape configuration left its labels.
func (r *promRig) gpu(name string, value float64, labels map[string]string) {
	all := map[string]string{"__name__": name}
	maps.Copy(all, labels)
	r.prom.put(r.now, value, all)
}

// dcgm-exporter's series are found under every spelling of the labels that name
// the GPU's pod, and of the fields.
func TestGPUsThroughPrometheusInAllSpellings(t *testing.T) {
	for name, c := range map[string]struct {
		tensor, dram string
		labels       func(pod string) map[string]string
	}{
		"labels honoured": {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE", func(pod string) map[string]string {
			return map[string]string{"pod": pod, "namespace": "default", "Hostname": "n"}
		}},
		"labels renamed": {"DCGM_FI_PROF_TENSOR_UTIL_RATIO", "DCGM_FI_PROF_DRAM_UTIL_RATIO", func(pod string) map[string]string {
			return map[string]string{"exported_pod": pod, "exported_namespace": "default", "pod": "dcgm-exporter-x", "namespace": "gpu-operator", "hostname": "n"}
		}},
		"old labels": {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE", func(pod string) map[string]string {
			return map[string]string{"pod_name": pod, "pod_namespace": "default", "pod": "dcgm-exporter-x", "namespace": "gpu-operator"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPromRig(t, Config{Engine: "vllm"})
			r.pod(KindPrefill, "p").set(worker(1, 1, 0)...)
			r.pod(KindDecode, "d").set(worker(1, 1, 0)...)
			for gpu, value := range map[string]float64{"0": 0.5, "1": 0.7} {
				labels := c.labels("p")
				labels["gpu"], labels["UUID"] = gpu, "GPU-"+gpu
				r.gpu(c.tensor, value, labels)
			}
			labels := c.labels("d")
			labels["UUID"] = "GPU-2"
			r.gpu(c.dram, 0.6, labels)
			s := r.step(true)
			wantKnown(t, "prefill tensor", s.PrefillTensorActive, 0.6)
			wantKnown(t, "decode DRAM", s.DecodeDRAMActive, 0.6)
		})
	}
}

// A GPU that went from one pod to another counts for the one that has it now.
func TestGPUThatChangedHands(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	p, d := r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
	p.set(worker(1, 1, 0)...)
	d.set(worker(1, 1, 0)...)
	owned := func(pod string, value float64) {
		r.gpu("DCGM_FI_PROF_DRAM_ACTIVE", value, map[string]string{"UUID": "GPU-0", "pod": pod, "namespace": "default"})
	}
	owned("d", 0.9)
	wantKnown(t, "decode DRAM", r.step(true).DecodeDRAMActive, 0.9)
	owned("p", 0.1)
	if s := r.step(true); s.DecodeDRAMActive.Ok() {
		t.Errorf("decode DRAM = %+v of a GPU that it no longer has", s.DecodeDRAMActive)
	}
}

// Exporters without profiling fields are named as such, and hide nothing else.
func TestGPUsWithoutProfilingFields(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	r.pod(KindDecode, "d").set(worker(1, 3, 0)...)
	r.gpu("DCGM_FI_DEV_GPU_UTIL", 100, map[string]string{"UUID": "GPU-0", "pod": "d", "namespace": "default"})
	s := r.step(true)
	wantUnknown(t, "decode DRAM", s.DecodeDRAMActive, "shows GPUs but no profiling fields")
	wantKnown(t, "decode running", s.DecodeRunning, 3)
	var report SourceReport
	for _, one := range r.throughReports {
		if one.Kind == KindExporter {
			report = one
		}
	}
	if !report.OK || report.Degraded == "" {
		t.Errorf("report = %+v, want it usable and degraded", report)
	}
}

// Without any GPU series the report says what to look at.
func TestGPUsThatAreNotInPrometheus(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	r.pod(KindDecode, "d").set(worker(1, 3, 0)...)
	wantUnknown(t, "decode DRAM", r.step(true).DecodeDRAMActive, "dcgm-exporter is not scraped, or does not name the pods")
}
