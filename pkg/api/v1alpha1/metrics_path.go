package v1alpha1

// WorkerPath is where prefill and decode serve their metrics: as the resource says, else as the engine does by itself.
// TensorRT-LLM's server has JSON under /metrics.
func (s *Signals) WorkerPath() string {
	switch {
	case s.Direct.Path != "":
		return s.Direct.Path
	case s.Engine == EngineTRTLLM:
		return "/prometheus/metrics"
	}
	return FrontendPath
}

// FrontendPath is where a frontend serves its metrics.
const FrontendPath = "/metrics"
