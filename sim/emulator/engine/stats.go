package engine

// Stats are the counters of a prefill or decode worker since it joined, and its
// gauges now. Histograms are in seconds and tokens.
type Stats struct {
	Running int
	Waiting int
	// KVUse is the share of the KV cache in use, 0..1, reservations included.
	KVUse float64

	PromptTokens     uint64
	GenerationTokens uint64
	PrefixQueries    uint64
	PrefixHits       uint64
	Succeeded        uint64
	Preemptions      uint64

	TTFT              Histogram
	ITL               Histogram
	PromptLengths     Histogram
	GenerationLengths Histogram

	Activity Activity
}

func newStats(b Buckets) Stats {
	return Stats{
		TTFT:              newHistogram(b.TTFTSeconds),
		ITL:               newHistogram(b.ITLSeconds),
		PromptLengths:     newHistogram(b.Tokens),
		GenerationLengths: newHistogram(b.Tokens),
	}
}

// FrontendStats are the counters of a frontend since it joined.
type FrontendStats struct {
	Inflight  int
	Succeeded uint64
	Failed    uint64

	TTFT         Histogram
	ITL          Histogram
	Duration     Histogram
	InputTokens  Histogram
	OutputTokens Histogram
}

func newFrontendStats() FrontendStats {
	return FrontendStats{
		TTFT:         newHistogram(dynamoTTFTSeconds),
		ITL:          newHistogram(dynamoITLSeconds),
		Duration:     newHistogram(dynamoDurationSeconds),
		InputTokens:  newHistogram(dynamoInputTokens),
		OutputTokens: newHistogram(dynamoOutputTokens),
	}
}

// Stats returns a copy of a prefill or decode worker's numbers; false when the
// engine has no such worker.
func (e *Engine) Stats(id string) (Stats, bool) {
	w := e.find(id)
	if w == nil || w.Role == Frontend {
		return Stats{}, false
	}
	e.count(w)
	s := w.stats
	s.Running, s.Waiting, s.KVUse = e.load(w)
	for _, h := range []*Histogram{&s.TTFT, &s.ITL, &s.PromptLengths, &s.GenerationLengths} {
		*h = h.clone()
	}
	return s, true
}

// FrontendStats returns a copy of a frontend's numbers; false when the engine
// has no such frontend.
func (e *Engine) FrontendStats(id string) (FrontendStats, bool) {
	w := e.find(id)
	if w == nil || w.Role != Frontend {
		return FrontendStats{}, false
	}
	// What streams through a frontend is counted at the decode workers.
	for _, d := range e.workers {
		e.count(d)
	}
	s := w.front
	for _, h := range []*Histogram{&s.TTFT, &s.ITL, &s.Duration, &s.InputTokens, &s.OutputTokens} {
		*h = h.clone()
	}
	return s, true
}

// load returns a worker's gauges as vLLM shows them: a sequence that joins at
// the next step is running, one without a place in the batch is waiting.
func (e *Engine) load(w *worker) (running, waiting int, kvUse float64) {
	if w.Role == Prefill {
		if w.job != nil {
			running, kvUse = 1, float64(w.jobTokens)/e.cfg.Service.Prefill.KVCapacityTokens
		}
		return running, 0, min(1, kvUse)
	}
	joins := min(len(w.joining), e.cfg.Service.MaxSequences-len(w.running))
	running = len(w.running) + joins
	waiting = len(w.waiting) + len(w.joining) - joins
	return running, waiting, float64(w.kvTokens()) / e.cfg.Service.Decode.KVCapacityTokens
}
