package signals

import (
	"fmt"
	"testing"
)

func TestActivityOfTheRolesGPUs(t *testing.T) {
	for name, c := range map[string]struct{ tensor, dram, labels string }{
		"names before 4.6": {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE", `Hostname="node-0",UUID="GPU-%[1]d",pod="%[2]s",namespace="default",container="main"`},
		"names from 4.6":   {"DCGM_FI_PROF_TENSOR_UTIL_RATIO", "DCGM_FI_PROF_DRAM_UTIL_RATIO", `hostname="node-0",UUID="GPU-%[1]d",pod="%[2]s",namespace="default"`},
		"old pod labels":   {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE", `Hostname="node-0",gpu="%[1]d",pod_name="%[2]s",pod_namespace="default"`},
		"renamed labels":   {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE", `hostname="node-0",gpu="%[1]d",exported_pod="%[2]s",exported_namespace="default",pod="dcgm-exporter-x",namespace="gpu-operator"`},
		"no UUID":          {"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE", `Hostname="node-0",gpu="%[1]d",device="nvidia%[1]d",pod="%[2]s",namespace="default"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			r.pod(KindPrefill, "p0").set(worker(1, 1, 0)...)
			r.pod(KindDecode, "d0").set(worker(1, 1, 0)...)
			exporter := r.pod(KindExporter, "dcgm-exporter-x")
			series := func(metric string, gpu int, pod string, value any) string {
				return fmt.Sprintf("%s{%s} %v", metric, fmt.Sprintf(c.labels, gpu, pod), value)
			}
			exporter.set(
				"# TYPE "+c.tensor+" gauge",
				series(c.tensor, 0, "p0", 0.7), series(c.tensor, 1, "p0", 0.5),
				series(c.tensor, 2, "d0", 0.03), series(c.tensor, 3, "stranger", 0.99),
				series(c.tensor, 4, "p0", "140737488355328.0"), series(c.tensor, 5, "p0", "9223372036854775792"), series(c.tensor, 6, "p0", "NaN"),
				"# TYPE "+c.dram+" gauge",
				series(c.dram, 0, "p0", 0.2), series(c.dram, 2, "d0", 0.72), series(c.dram, 3, "stranger", 0.1),
				c.dram+`{gpu="7",modelName="<<<NULL>>>"} 0.5`)
			s := r.collect()
			wantKnown(t, "prefill tensor", s.PrefillTensorActive, 0.6)
			wantKnown(t, "decode DRAM", s.DecodeDRAMActive, 0.72)
		})
	}
}

func TestActivityThatIsNotThere(t *testing.T) {
	tensor := `DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{UUID="GPU-0",pod="%s",namespace="%s"} %v`
	for name, c := range map[string]struct {
		page []string
		want string
	}{
		"no exporter":           {nil, "no GPU exporter is read"},
		"profiling is off":      {[]string{`DCGM_FI_DEV_GPU_UTIL{UUID="GPU-0",pod="p0",namespace="default"} 99`}, "shows GPUs but no profiling fields"},
		"no pod labels":         {[]string{`DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{UUID="GPU-0"} 0.5`}, "no GPU exporter names a prefill pod"},
		"another namespace":     {[]string{fmt.Sprintf(tensor, "p0", "other", 0.5)}, "no GPU exporter names a prefill pod"},
		"a blank":               {[]string{fmt.Sprintf(tensor, "p0", "default", "140737488355330.0"), "DCGM_FI_PROF_DRAM_ACTIVE 0.5"}, "a share lies in 0..1"},
		"another activity only": {[]string{`DCGM_FI_PROF_DRAM_ACTIVE{UUID="GPU-0",pod="p0",namespace="default"} 0.5`}, "no exporter pod exports"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			r.pod(KindPrefill, "p0").set(worker(1, 1, 0)...)
			if c.page != nil {
				r.pod(KindExporter, "x").set(c.page...)
			}
			wantUnknown(t, "prefill tensor", r.collect().PrefillTensorActive, c.want)
		})
	}
}

// Two exporters on one node show the same GPUs, and a divided GPU has several rows.
func TestActivityCountsEachGPUOnce(t *testing.T) {
	r := newRig(t, Config{})
	r.pod(KindDecode, "d0").set(worker(1, 1, 0)...)
	r.pod(KindExporter, "old").set(`DCGM_FI_PROF_DRAM_ACTIVE{UUID="GPU-0",pod="d0",namespace="default"} 0.6`)
	r.pod(KindExporter, "new").set(`DCGM_FI_PROF_DRAM_UTIL_RATIO{UUID="GPU-0",pod="d0",namespace="default"} 0.6`,
		`DCGM_FI_PROF_DRAM_UTIL_RATIO{UUID="GPU-1",GPU_I_ID="1",pod="d0",namespace="default"} 0.3`,
		`DCGM_FI_PROF_DRAM_UTIL_RATIO{UUID="GPU-1",GPU_I_ID="2",pod="d0",namespace="default"} 0`)
	wantKnown(t, "decode DRAM", r.collect().DecodeDRAMActive, 0.3)
}

// One reading of the exporter is about a second of a bursty load: the window's mean is given.
func TestActivityIsTheWindowsMean(t *testing.T) {
	r := newRig(t, Config{})
	r.pod(KindDecode, "d0").set(worker(1, 1, 0)...)
	exporter := r.pod(KindExporter, "x")
	for i, want := range []float64{0.8, 0.4, 0.8 * 2 / 3, 0.4, 0.4, 0.4} {
		exporter.set(fmt.Sprintf(`DCGM_FI_PROF_DRAM_ACTIVE{UUID="GPU-0",pod="d0",namespace="default"} %v`, []float64{0.8, 0}[i%2]))
		wantKnown(t, fmt.Sprintf("decode DRAM in collection %d", i), r.collect().DecodeDRAMActive, want)
	}
	exporter.change(func(p *fakePod) { p.status = 500 })
	wantUnknown(t, "decode DRAM", r.collect().DecodeDRAMActive, "answered 500")
}
