package serve

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// View is what is served, and how.
type View struct {
	// Node is the value of the label Hostname.
	Node string
	// Names says which names the fields have.
	Names gpu.Generation
	// MaxAge is the age at which a value is no longer served.
	MaxAge time.Duration
	// Timestamps writes the time of each value beside it.
	Timestamps bool
	Version    string

	Sample   func() *gpu.Sample
	Progress func() agent.Progress
	Board    *condition.Board
	// Owner says who holds a device; nil where pods are not asked for.
	Owner func(d gpu.Device, now time.Time) (gpu.Owner, bool)
	// Clock is time.Now, but for tests.
	Clock func() time.Time
}

// Labels of a GPU's series, in dcgm-exporter's spelling. The last two are of instances.
var gpuLabels = []string{"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "namespace", "pod", "container", "GPU_I_PROFILE", "GPU_I_ID"}

// Describe implements prometheus.Collector. Nothing is described beforehand:
// which series there are depends on the node.
func (v *View) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (v *View) Collect(out chan<- prometheus.Metric) {
	now := v.Clock()
	v.collectSelf(out, now)
	sample := v.Sample()
	if sample == nil {
		return
	}
	v.collectGPUs(out, sample, now)
	v.collectPods(out, sample, now)
}

// collectGPUs offers each field of each device whose value is good now.
func (v *View) collectGPUs(out chan<- prometheus.Metric, sample *gpu.Sample, now time.Time) {
	leftOut := map[[2]string]int{}
	for _, d := range sample.Devices {
		labels := v.labelsOf(d, now)
		for _, set := range []gpu.Set{gpu.DeviceSet, gpu.ProfilingSet} {
			oldest, served := time.Duration(0), 0
			for _, f := range set.Fields() {
				value, read := sample.Of[d.Entity][f.ID]
				if !read {
					continue
				}
				name := f.NameIn(v.Names)
				number, why := value.Number(f, now, v.MaxAge)
				if why != gpu.Good {
					leftOut[[2]string{name, string(why)}]++
					continue
				}
				kind := prometheus.GaugeValue
				if f.Counter {
					kind = prometheus.CounterValue
				}
				m := series(name, f.Help, kind, number, gpuLabels, labels)
				if v.Timestamps {
					m = prometheus.NewMetricWithTimestamp(value.At, m)
				}
				out <- m
				served++
				oldest = max(oldest, value.Age(now))
			}
			if served > 0 {
				out <- series("pdautoscaler_gpu_sample_age_seconds", "Age of the oldest value that is served of a GPU, by set of fields.",
					prometheus.GaugeValue, oldest.Seconds(), append([]string{"fields"}, gpuLabels...), append([]string{string(set)}, labels...))
			}
		}
	}
	for key, devices := range leftOut {
		out <- series("pdautoscaler_gpu_values_left_out", "GPUs and instances whose value of a field is not served now, by cause.",
			prometheus.GaugeValue, float64(devices), []string{"field", "why"}, key[:])
	}
}

// labelsOf returns the values of gpuLabels. Prometheus takes an empty one as absent.
func (v *View) labelsOf(d gpu.Device, now time.Time) []string {
	owner, _ := v.owner(d, now)
	labels := []string{fmt.Sprint(d.Index), d.UUID, d.BusID, fmt.Sprintf("nvidia%d", d.Index), d.Model, v.Node, owner.Namespace, owner.Pod, owner.Container, "", ""}
	if d.Entity.Kind == gpu.Instance {
		labels[len(labels)-2], labels[len(labels)-1] = d.Profile, fmt.Sprint(d.InstanceID)
	}
	return labels
}

func (v *View) owner(d gpu.Device, now time.Time) (gpu.Owner, bool) {
	if v.Owner == nil || d.Divided {
		return gpu.Owner{}, false
	}
	return v.Owner(d, now)
}

// series returns one series. Labels that are empty are left out, as dcgm-exporter
// leaves them out; what is no text is mended, as no page may hold it.
func series(name, help string, kind prometheus.ValueType, value float64, labels, values []string) prometheus.Metric {
	var names, texts []string
	for i, text := range values {
		if text != "" {
			names, texts = append(names, labels[i]), append(texts, strings.ToValidUTF8(text, "?"))
		}
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, texts...)
	if err != nil {
		return prometheus.NewInvalidMetric(prometheus.NewDesc(name, help, nil, nil), err)
	}
	return m
}
