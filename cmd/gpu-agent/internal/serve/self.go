package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collectSelf offers how the agent is doing.
func (v *View) collectSelf(out chan<- prometheus.Metric, now time.Time) {
	for _, c := range v.Board.All() {
		ok := 0.0
		if c.OK {
			ok = 1
		}
		out <- series("pdautoscaler_gpu_agent_condition", "Whether a part of the agent works (1) or not (0), with the reason; docs/gpu-agent.md explains each.",
			prometheus.GaugeValue, ok, []string{"condition", "reason"}, []string{string(c.Name), string(c.Reason)})
	}
	p := v.Progress()
	counter := func(name, help string, value int) {
		out <- series(name, help, prometheus.CounterValue, float64(value), nil, nil)
	}
	counter("pdautoscaler_gpu_agent_connections_total", "Times that DCGM was connected to.", p.Connections)
	counter("pdautoscaler_gpu_agent_failed_rounds_total", "Rounds in which the GPUs could not be read.", p.Failures)
	out <- series("pdautoscaler_gpu_agent_last_round_age_seconds", "Time since a round last ended, well or not; it grows while a call to DCGM hangs.",
		prometheus.GaugeValue, now.Sub(p.LastRound).Seconds(), nil, nil)
	if !p.LastRead.IsZero() {
		out <- series("pdautoscaler_gpu_agent_read_seconds", "Time that the last round took, all GPUs together.", prometheus.GaugeValue, p.ReadTook.Seconds(), nil, nil)
	}
	out <- series("pdautoscaler_gpu_agent_build_info", "The agent's version.", prometheus.GaugeValue, 1, []string{"version"}, []string{v.Version})
}

// hungAfter is how long a round may take, the longest wait between two included,
// before the agent counts as hung. A call to DCGM cannot be interrupted: only a restart helps.
const hungAfter = 2 * time.Minute
