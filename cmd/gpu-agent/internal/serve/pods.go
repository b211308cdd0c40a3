package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// collectPods offers the load of each pod that holds GPUs of this node.
func (v *View) collectPods(out chan<- prometheus.Metric, sample *gpu.Sample, now time.Time) {
	labels := []string{"namespace", "pod", "Hostname"}
	owner := func(d gpu.Device) (gpu.Owner, bool) { return v.owner(d, now) }
	for _, p := range gpu.Loads(sample, owner, now, v.MaxAge) {
		values := []string{p.Namespace, p.Pod, v.Node}
		gauge := func(name, help string, value float64) {
			out <- series(name, help, prometheus.GaugeValue, value, labels, values)
		}
		gauge("pdautoscaler_pod_gpus", "GPUs and instances of this node that the pod holds alone.", float64(p.GPUs))
		if p.Tensor.Measured > 0 {
			gauge("pdautoscaler_pod_gpus_measured", "GPUs and instances of the pod whose tensor activity is known.", float64(p.Tensor.Measured))
			gauge("pdautoscaler_pod_tensor_active_ratio", "Tensor activity of the pod, 0 to 1: the mean over its GPUs on this node. The signal of prefill.", p.Tensor.Mean)
			gauge("pdautoscaler_pod_tensor_active_spread_ratio", "Highest less lowest tensor activity among the pod's GPUs: wide where one rank is stuck.", p.Tensor.Spread)
		}
		if p.DRAM.Measured > 0 {
			gauge("pdautoscaler_pod_dram_active_ratio", "Memory activity of the pod, 0 to 1: the mean over its GPUs on this node. The signal of decode.", p.DRAM.Mean)
			gauge("pdautoscaler_pod_dram_active_spread_ratio", "Highest less lowest memory activity among the pod's GPUs: wide where one rank is stuck.", p.DRAM.Spread)
		}
		if p.Tensor.Measured+p.DRAM.Measured > 0 {
			gauge("pdautoscaler_pod_activity_age_seconds", "Age of the oldest value that the pod's activity is made of.", max(p.Tensor.Age, p.DRAM.Age).Seconds())
		}
	}
}
