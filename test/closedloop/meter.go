package closedloop

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// meter keeps frontend counters over a window, as a scraper would.
type meter struct {
	window  time.Duration
	samples []sample
}

type sample struct {
	at                 time.Duration
	started            float64
	inputs, inputSum   float64
	outputs, outputSum float64
}

// signals are the readings that perfect metrics of the service would give.
func (l *loop) signals() planner.Signals {
	f, _ := l.engine.FrontendStats(frontend)
	l.meter.samples = append(l.meter.samples, sample{at: l.now,
		started: float64(f.Succeeded+f.Failed) + float64(f.Inflight),
		inputs:  float64(f.InputTokens.Count), inputSum: f.InputTokens.Sum,
		outputs: float64(f.OutputTokens.Count), outputSum: f.OutputTokens.Sum})
	for len(l.meter.samples) > 2 && l.now-l.meter.samples[1].at >= l.meter.window {
		l.meter.samples = l.meter.samples[1:]
	}
	first, last := l.meter.samples[0], l.meter.samples[len(l.meter.samples)-1]
	at := l.clock()
	s := planner.Signals{
		RequestsPerSecond: planner.Unknown("one sample only"), ArrivalSCV: planner.Unknown("not measured"),
		InputTokens: planner.Unknown("no request in the window"), InputSCV: planner.Unknown("not measured"),
		OutputTokens: planner.Unknown("no request in the window"), OutputSCV: planner.Unknown("not measured"),
		CachedShare: planner.Zero(at, "engine"),
	}
	if seconds := (last.at - first.at).Seconds(); seconds > 0 {
		s.RequestsPerSecond = reading((last.started-first.started)/seconds, at)
		if n := last.inputs - first.inputs; n > 0 {
			s.InputTokens = reading((last.inputSum-first.inputSum)/n, at)
		}
		if n := last.outputs - first.outputs; n > 0 {
			s.OutputTokens = reading((last.outputSum-first.outputSum)/n, at)
		}
	}
	l.queues(&s, at)
	return s
}

// queues fills in what waits and what the decode workers hold.
func (l *loop) queues(s *planner.Signals, at time.Time) {
	view := l.engine.Snapshot()
	var waiting, running, fullest float64
	for _, w := range view.Workers {
		if w.Role == engine.Decode {
			waiting += float64(w.Waiting)
			running += float64(w.Running)
			fullest = max(fullest, w.KVUse)
		}
	}
	s.PrefillWaiting = reading(float64(view.ByState[engine.Queued]), at)
	s.DecodeWaiting, s.DecodeRunning, s.DecodeKVUseMax = reading(waiting, at), reading(running, at), reading(fullest, at)
	recent := view.Recent
	if recent.FirstTokens > 0 {
		s.TTFTMs = planner.Quantile{Reading: planner.Known(recent.TTFTp95Ms, at, "engine"), Percentile: 0.95}
	}
	if recent.Finished > 0 {
		s.TPOTMs = planner.Quantile{Reading: planner.Known(recent.TPOTp95Ms, at, "engine"), Percentile: 0.95}
	}
}

func reading(value float64, at time.Time) planner.Reading {
	if value == 0 {
		return planner.Zero(at, "engine")
	}
	return planner.Known(value, at, "engine")
}
