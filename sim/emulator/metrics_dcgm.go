package emulator

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// dcgmMetrics writes what dcgm-exporter 4.5 shows of a node's GPUs. A GPU that
// no pod holds has no pod labels.
func dcgmMetrics(ch chan<- prometheus.Metric, kind GPU, node string, gpus []gpuView) {
	for i, g := range gpus {
		labels := prometheus.Labels{
			"gpu": fmt.Sprint(i), "UUID": gpuUUID(node, i), "device": fmt.Sprintf("nvidia%d", i),
			"pci_bus_id": fmt.Sprintf("00000000:%02X:00.0", 0x10+i), "modelName": kind.ModelName, "Hostname": node,
		}
		if g.pod.UID != "" {
			labels["namespace"], labels["pod"], labels["container"] = g.pod.Namespace, g.pod.Name, g.pod.Container
		}
		p := page{ch: ch, prefix: "DCGM_FI_", labels: labels}
		p.gauge("DEV_GPU_UTIL", "GPU utilization (in %).", g.last.utilPercent)
		p.gauge("DEV_FB_USED", "Framebuffer memory used (in MiB).", float64(g.usedMiB))
		p.gauge("DEV_FB_FREE", "Framebuffer memory free (in MiB).", float64(kind.MemoryMiB-g.usedMiB))
		p.gauge("DEV_POWER_USAGE", "Power draw (in W).", g.last.watts)
		p.gauge("PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles any tensor pipe is active.", g.last.tensor)
		p.gauge("PROF_DRAM_ACTIVE", "Ratio of cycles the device memory interface is active.", g.last.dram)
	}
}
