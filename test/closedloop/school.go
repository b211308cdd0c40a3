package closedloop

import (
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// school teaches the planner's model by what the engine's workers count, as the
// controller does by what it reads of pods.
type school struct {
	learners map[planner.Role]*calibrate.Learner
	lessons  map[planner.Role]calibrate.Online
	before   map[string]seen
}

// seen is a worker as it was at the end of the last interval.
type seen struct {
	at    float64 // seconds
	stats engine.Stats
}

func newSchool(s *Scenario) (*school, error) {
	c := &school{learners: map[planner.Role]*calibrate.Learner{}, lessons: map[planner.Role]calibrate.Online{}, before: map[string]seen{}}
	if !s.Calibrate {
		return c, nil
	}
	for role, kind := range map[planner.Role]calibrate.Kind{planner.Prefill: calibrate.Prefill, planner.Decode: calibrate.Decode} {
		learner, err := calibrate.NewLearner(kind, s.Belief, "emulated")
		if err != nil {
			return nil, err
		}
		c.learners[role] = learner
	}
	return c, nil
}

// correct ends an interval of both roles and puts what was learnt into the planner's input.
func (c *school) correct(l *loop, in *planner.Input) {
	prior := planner.Prior{Service: in.Spec.Service, LeastShare: calibrate.LeastRatio}
	for role, learner := range c.learners {
		interval := c.interval(l, role, &in.Snapshot.Signals)
		c.lessons[role], _ = learner.Learn(c.lessons[role], interval)
		replica, used := learner.Replica(c.lessons[role])
		if !used {
			continue
		}
		in.Spec.Prior = &prior
		if role == planner.Prefill {
			in.Spec.Service.Prefill.Prefill = replica.Prefill
		} else {
			in.Spec.Service.Decode.Decode = replica.Decode
		}
	}
}

func (c *school) interval(l *loop, role planner.Role, s *planner.Signals) (i calibrate.Interval) {
	for _, r := range l.pools[role].Replicas {
		if r.State != planner.Ready {
			i.Doubt = calibrate.RefusedChanging
			continue
		}
		stats, _ := l.engine.Stats(r.Name)
		now := seen{l.now.Seconds(), stats}
		was, known := c.before[r.Name]
		c.before[r.Name] = now
		if !known {
			continue
		}
		i.Replicas++
		i.Seconds += now.at - was.at
		a, b := &was.stats, &now.stats
		if role == planner.Prefill {
			i.Prompts += float64(b.TTFT.Count - a.TTFT.Count)
			i.PrefillSeconds += b.TTFT.Sum - a.TTFT.Sum
			i.PromptTokens += b.PromptLengths.Sum - a.PromptLengths.Sum
			i.CachedTokens += float64(b.PrefixHits - a.PrefixHits)
			i.GeneratedTokens += float64(b.GenerationTokens - a.GenerationTokens)
			i.MostRunning = max(i.MostRunning, float64(a.Running), float64(b.Running))
			continue
		}
		i.Gaps += float64(b.ITL.Count - a.ITL.Count)
		i.GapSeconds += b.ITL.Sum - a.ITL.Sum
		i.Running += float64(a.Running+b.Running) / 2
		i.HeldShares += (a.KVUse + b.KVUse) / 2
		i.KVUseMax = max(i.KVUseMax, a.KVUse, b.KVUse)
	}
	if i.Replicas > 0 {
		i.Seconds /= i.Replicas
	}
	i.InputTokens, i.OutputTokens, i.OutputSCV = s.InputTokens.Or(0), s.OutputTokens.Or(0), s.OutputSCV.Or(1)
	i.LengthSCV = s.InputSCV.Or(1)
	return i
}
