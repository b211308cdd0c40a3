package signals

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// timed is a value at a time.
type timed struct {
	at    time.Time
	value float64
}

// activity is the mean over the GPUs of one role's pods in this collection,
// 0..1. An exporter's page has the GPUs of its whole node: the pod's name on a
// series says whose GPU it is. GPUs without a value are left out.
func (v *view) activity(role Kind, what quantity) planner.Reading {
	mine := map[string]bool{}
	pods := of(v.listed, role)
	for _, p := range pods {
		mine[p.target.Namespace+"/"+p.target.Pod] = true
	}
	total, n := 0.0, 0
	var at time.Time
	seen, covered := map[string]bool{}, map[string]bool{}
	for _, exporter := range of(v.listed, KindExporter) {
		if !exporter.spoke {
			continue
		}
		for _, s := range exporter.latest.measured[what].series {
			owner, gpu := ownerOf(&s), gpuOf(&s)
			if !mine[owner] || seen[gpu] {
				continue
			}
			seen[gpu], covered[owner] = true, true
			total += s.value
			n++
			at = older(at, exporter.latest.at)
		}
	}
	switch {
	case len(pods) == 0:
		return planner.Unknown(fmt.Sprintf("there is no %s pod", role))
	case n == 0 && len(of(v.listed, KindExporter)) == 0:
		return planner.Unknown("no GPU exporter is read")
	case n == 0:
		for _, exporter := range of(v.listed, KindExporter) {
			if len(exporter.latest.measured[what].series) > 0 && exporter.spoke {
				return planner.Unknown(fmt.Sprintf("no GPU exporter names a %s pod on its series", role))
			}
		}
		if lacking := v.withoutProfiling(); lacking != "" {
			return planner.Unknown(lacking)
		}
		return planner.Unknown(v.cause(KindExporter, what))
	}
	return reading(total/float64(n), at, fmt.Sprintf("dcgm-exporter, %d GPUs of %d of %s", n, len(covered), count(len(pods), role)))
}

// withoutProfiling says that exporters show GPUs without the profiling fields,
// which are the only ones that tell how a GPU is used; empty where that is not so.
func (v *view) withoutProfiling() string {
	for _, exporter := range of(v.listed, KindExporter) {
		if lacking := exporter.lacksProfiling(); lacking != "" {
			return lacking
		}
	}
	return ""
}

// lacksProfiling says the same of one exporter.
func (p *pod) lacksProfiling() string {
	m := p.latest.measured
	if p.target.Kind != KindExporter || !p.spoke || len(m[tensorActive].series)+len(m[dramActive].series) > 0 {
		return ""
	}
	return p.name() + " shows GPUs but no profiling fields (DCGM_FI_PROF_…): they are switched off, not supported, or another profiler holds them"
}

// ownerOf returns "namespace/pod" of the pod that owns the GPU. A scrape
// configuration that does not honour labels renames the owner's to exported_…
// and puts the exporter's own in their place, so those come first; …_name are
// those of the exporter's old naming.
func ownerOf(s *series) string {
	return s.label("exported_namespace", "pod_namespace", "namespace") + "/" + s.label("exported_pod", "pod_name", "pod")
}

// gpuOf tells GPUs, and the instances of a divided GPU, apart.
func gpuOf(s *series) string {
	gpu := s.label("UUID")
	if gpu == "" {
		gpu = s.label("Hostname", "hostname") + "/" + s.label("gpu", "device")
	}
	return gpu + "/" + s.label("GPU_I_ID")
}

// overWindow averages an activity over the collections of the window: one
// collection sees a second or so, and the load it is compared with is the
// window's. An activity that is unknown now is unknown.
func (c *Collector) overWindow(what quantity, now planner.Reading) planner.Reading {
	if !now.Ok() {
		return now
	}
	points := append(c.activity[what], timed{now.At, now.Or(0)})
	var kept []timed
	total := 0.0
	for _, p := range points {
		if age := now.At.Sub(p.at); age >= 0 && age < c.cfg.Window {
			kept = append(kept, p)
			total += p.value
		}
	}
	c.activity[what] = kept
	return reading(total/float64(len(kept)), now.At, now.Source)
}
