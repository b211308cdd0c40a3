package scenario

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

// Point is one setting of a policy's knob and what it gave.
type Point struct {
	// Knob is the aggressiveness, or 0 for a static pair.
	Knob       float64        `json:"knob,omitempty"`
	Start      *policy.Counts `json:"start,omitempty"`
	Attainment float64        `json:"attainment"`
	GPUHours   float64        `json:"gpuHours"`
}

// knobs are the settings that are tried, from lean to generous.
var knobs = []float64{0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4, 1.6, 1.8, 2, 2.5, 3, 4}

// Frontier simulates each policy at every setting of its knob and reports the cheapest that attains the target, or, where none
// does, the one that attains most. For static that is the cheapest pair of counts. A pair that holds for the whole time is a
// schedule too, and so is what another policy came to: the oracle has those to choose from as well. Regret is then at equal attainment.
func (s *Scenario) Frontier(ctx context.Context, now func() time.Time, target float64) (*Report, error) {
	if !(target > 0 && target < 1) {
		return nil, fmt.Errorf("%s: the target attainment is %v; allowed is a share above 0 and below 1", s.Name, target)
	}
	report := &Report{Policies: []PolicyReport{}, Target: target}
	t := tuner{scenario: s, ctx: ctx, now: now, target: target}
	for _, name := range s.Policies {
		var err error
		t.best, t.points, t.tuned, t.played = nil, nil, name, 0
		if name != "static" {
			err = t.sweep(name)
		}
		if err == nil && (name == "static" || name == "oracle") {
			err = t.pairs()
		}
		if err == nil {
			err = t.record()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.Name, name, err)
		}
		t.best.Name = name
		t.best.Frontier = t.points
		report.Policies = append(report.Policies, *t.best)
	}
	report.foresee()
	s.finish(report, t.requests, t.spent)
	return report, nil
}

// foresee gives the oracle the cheapest schedule that a policy came to, where that is cheaper than its own: who knows the
// traffic can follow that one as well. So no policy is ever below the oracle.
func (r *Report) foresee() {
	oracle, best := -1, -1
	for i := range r.Policies {
		p := &r.Policies[i]
		if p.Name == "oracle" {
			oracle = i
		}
		if p.Attainment >= r.Target && (best < 0 || p.GPUHours < r.Policies[best].GPUHours) {
			best = i
		}
	}
	if oracle < 0 || best < 0 {
		return
	}
	if own := &r.Policies[oracle]; own.Attainment >= r.Target && own.GPUHours <= r.Policies[best].GPUHours {
		return
	}
	foreseen := r.Policies[best]
	foreseen.ScheduleOf, foreseen.Name = foreseen.Name, "oracle"
	point := Point{Knob: foreseen.Knob, Attainment: foreseen.Attainment, GPUHours: foreseen.GPUHours}
	foreseen.Frontier = append(slices.Clip(r.Policies[oracle].Frontier), point)
	r.Policies[oracle] = foreseen
}

// tuner tries one policy.
type tuner struct {
	scenario *Scenario
	ctx      context.Context
	now      func() time.Time
	target   float64

	best     *PolicyReport
	chosen   Scenario // that gave it, and the policy that it was
	policy   string
	points   []Point
	requests uint64
	spent    time.Duration

	mu     sync.Mutex
	tuned  string // the policy that is tuned
	played int    // settings of it; trials run at once
}

// trial is one setting, and what came of it.
type trial struct {
	name     string
	scenario Scenario
	point    Point
	report   PolicyReport
	spent    time.Duration
}

// play simulates the setting. The scenario is shared by trials that run at once, and not changed.
func (t *tuner) play(r *trial) (err error) {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	r.scenario.Timelines = false // of the chosen setting alone
	started := t.now()
	if r.report, err = r.scenario.play(t.ctx, r.name, nil, nil); err != nil {
		return err
	}
	r.spent = t.now().Sub(started)
	t.tell()
	r.point.Attainment, r.point.GPUHours = r.report.Attainment, r.report.GPUHours
	r.report.Knob = r.point.Knob
	return nil
}

// tell says that one more setting was played.
func (t *tuner) tell() {
	if t.scenario.OnProgress == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.played++
	t.scenario.OnProgress(Progress{Policy: t.tuned, Settings: t.played})
}

// keep remembers the setting, and whether it is the best so far.
func (t *tuner) keep(r *trial) {
	t.spent += r.spent
	t.requests += r.report.Requests
	t.points = append(t.points, r.point)
	if t.best == nil || t.better(&r.report, t.best) {
		t.best, t.chosen, t.policy = &r.report, r.scenario, r.name
	}
}

// record plays the chosen setting once more for its time line, where one is asked for.
func (t *tuner) record() error {
	if !t.scenario.Timelines {
		return nil
	}
	t.chosen.Timelines = true
	r, err := t.chosen.play(t.ctx, t.policy, nil, nil)
	if err != nil {
		return err
	}
	t.best.Timeline = r.Timeline
	return nil
}

// better reports whether a is better than b: the cheaper of two that attain the target, else the one that attains more.
func (t *tuner) better(a, b *PolicyReport) bool {
	if reached := a.Attainment >= t.target; reached != (b.Attainment >= t.target) {
		return reached
	} else if reached {
		return a.GPUHours < b.GPUHours
	}
	return a.Attainment > b.Attainment
}

// sweep tries every setting, and then some between the one that is best and the next leaner one: a policy whose need lies
// between the two would pay for the width of the grid.
func (t *tuner) sweep(name string) error {
	if err := t.settings(name, knobs); err != nil {
		return err
	}
	i := slices.Index(knobs, t.best.Knob)
	if t.best.Attainment < t.target || i == 0 {
		return nil
	}
	low, high := knobs[i-1], knobs[i]
	var finer []float64
	for n := range between {
		finer = append(finer, low+(high-low)*float64(n+1)/(between+1))
	}
	return t.settings(name, finer)
}

// between is how many settings are tried between two of the grid.
const between = 3

// settings tries some settings of the knob, on all cores.
func (t *tuner) settings(name string, knobs []float64) error {
	trials := make([]trial, len(knobs))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, knob := range knobs {
		trials[i] = trial{name: name, scenario: *t.scenario, point: Point{Knob: knob}}
		trials[i].scenario.Setup.Aggressiveness = knob
		group.Go(func() error { return t.play(&trials[i]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range trials {
		t.keep(&trials[i])
	}
	return nil
}
