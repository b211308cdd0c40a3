package scenario

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/des"
	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

// Report is what came out of a scenario.
type Report struct {
	Policies   []PolicyReport   `json:"policies"`
	Simulation SimulationReport `json:"simulation"`
	// Target is the attainment that policies were tuned to; 0 where they were not.
	Target float64 `json:"target,omitempty"`
}

// PolicyReport is one policy over the scenario.
type PolicyReport struct {
	Name      string `json:"name"`
	Requests  uint64 `json:"requests"`
	Completed uint64 `json:"completed"`
	// Attainment is the share of requests that met both objectives; what had not ended ten minutes after the traffic missed.
	Attainment float64   `json:"attainment"`
	TTFTMs     Latencies `json:"ttftMs"`
	TPOTMs     Latencies `json:"tpotMs"`
	// GPUHours count replicas that start, serve and drain, to the end of the traffic.
	GPUHours float64 `json:"gpuHours"`
	// GPUHoursBy is where they went.
	GPUHoursBy policy.Hours `json:"gpuHoursBy"`
	// Regret is GPU-hours over the oracle's, less 1. It is null where there is no oracle, or less was attained than the oracle
	// did (or than the target, where there is one): GPU-hours saved by missing objectives are not saved.
	Regret     *float64 `json:"regret"`
	Moves      int      `json:"moves"`
	ScaleUps   int      `json:"scaleUps"`
	ScaleDowns int      `json:"scaleDowns"`
	MaxGPUs    int      `json:"maxGpus"`
	// LowerBoundGPUHours are what no policy whatever can be below at this attainment.
	LowerBoundGPUHours float64 `json:"lowerBoundGpuHours"`

	// Knob is the setting that was chosen of those in Frontier, which is there after tuning only.
	Knob     float64 `json:"knob,omitempty"`
	Frontier []Point `json:"frontier,omitempty"`
	// ScheduleOf is the policy whose schedule the oracle follows, where none of its own is cheaper.
	ScheduleOf string `json:"scheduleOf,omitempty"`

	Changes []policy.Change `json:"-"`
	// Timeline is there where the scenario asks for it.
	Timeline *Timeline `json:"-"`
	// attained, ttft and tpot are what other runs of the same policy can be pooled with.
	attained   uint64
	ttft, tpot des.Latency
}

// Latencies are a distribution in milliseconds.
type Latencies struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}

// SimulationReport says what the simulation itself took: requests over all policies, and the time of simulating alone.
type SimulationReport struct {
	Requests          uint64  `json:"requests"`
	Seconds           float64 `json:"seconds"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
}

// Progress is how far a scenario is.
type Progress struct {
	Policy string
	// Played is how much of its traffic the policy has played, Of how long that lasts; both are 0 while a policy is tuned.
	Played, Of time.Duration
	// Settings is how many of its settings were played, while a policy is tuned.
	Settings int
}

// EqualAttainment is by how much less than the oracle's an attainment still counts as equal.
const EqualAttainment = 0.005

// Run simulates the scenario under each of its policies. onEnd, which may be nil, is called with every request that ends. The
// time that the simulation takes is read from now.
func (s *Scenario) Run(ctx context.Context, now func() time.Time, onEnd func(policyName string, r des.Record)) (*Report, error) {
	report := &Report{Policies: []PolicyReport{}}
	var spent time.Duration
	var requests uint64
	for _, name := range s.Policies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		started := now()
		r, err := s.play(ctx, name, onEnd, s.OnProgress)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.Name, name, err)
		}
		spent += now().Sub(started)
		requests += r.Requests
		report.Policies = append(report.Policies, r)
	}
	s.finish(report, requests, spent)
	return report, nil
}

// finish adds what is known only when all policies have run.
func (s *Scenario) finish(report *Report, requests uint64, spent time.Duration) {
	for i := range report.Policies {
		p := &report.Policies[i]
		p.LowerBoundGPUHours = policy.LowerBound(s.Traffic, &s.Setup.Spec, p.Attainment, s.Traffic.Duration())
	}
	report.regret()
	report.Simulation.Requests, report.Simulation.Seconds = requests, spent.Seconds()
	if spent > 0 {
		report.Simulation.RequestsPerSecond = float64(requests) / spent.Seconds()
	}
}

// play simulates one policy. It ends early with the context.
func (s *Scenario) play(ctx context.Context, name string, onEnd func(string, des.Record), onProgress func(Progress)) (PolicyReport, error) {
	p, err := policy.New(name, &s.Setup)
	if err != nil {
		return PolicyReport{}, err
	}
	engine := s.Engine
	engine.Faults = append([]des.Fault(nil), s.Engine.Faults...)
	if onEnd != nil {
		engine.OnEnd = func(r des.Record) { onEnd(name, r) }
	}
	var recorder *recorder
	if s.Timelines {
		recorder = newRecorder(s)
		p = recorder.watch(&engine, p)
	}
	onRound := func(at time.Duration) error {
		if onProgress != nil {
			onProgress(Progress{Policy: name, Played: at, Of: s.Traffic.Duration()})
		}
		return ctx.Err()
	}
	r, err := policy.Play(policy.Run{Engine: engine, Source: s.Traffic.Source(), Duration: s.Traffic.Duration(), Readings: s.Readings,
		Setup: &s.Setup, Unlimited: name == "pdautoscaler", OnRound: onRound}, p)
	if err != nil {
		return PolicyReport{}, err
	}
	report := PolicyReport{
		Name: name, Requests: r.Outcome.Requests, Completed: r.Outcome.Completed, Attainment: r.Outcome.Attainment(),
		TTFTMs: latencies(&r.Outcome.TTFT), TPOTMs: latencies(&r.Outcome.TPOT), GPUHours: r.GPUHours, GPUHoursBy: r.Hours,
		Moves: r.Moves, ScaleUps: r.ScaleUps, ScaleDowns: r.ScaleDown, MaxGPUs: r.MaxGPUs, Changes: r.Changes,
		attained: r.Outcome.Attained, ttft: r.Outcome.TTFT, tpot: r.Outcome.TPOT,
	}
	if recorder != nil {
		report.Timeline = recorder.finish()
	}
	return report, nil
}

func latencies(l *des.Latency) Latencies {
	return Latencies{Mean: l.MeanMs(), P50: l.QuantileMs(0.5), P90: l.QuantileMs(0.9), P95: l.QuantileMs(0.95), P99: l.QuantileMs(0.99)}
}

func (r *Report) regret() {
	for i := range r.Policies {
		if r.Policies[i].Name != "oracle" || r.Policies[i].GPUHours == 0 {
			continue
		}
		oracle := r.Policies[i]
		least := oracle.Attainment - EqualAttainment
		if r.Target > 0 {
			if least = r.Target; oracle.Attainment < least {
				return
			}
		}
		for j := range r.Policies {
			if p := &r.Policies[j]; p.Attainment >= least {
				regret := p.GPUHours/oracle.GPUHours - 1
				p.Regret = &regret
			}
		}
	}
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if r.Target > 0 {
		fmt.Fprintf(w, "each policy at the cheapest setting of its knob that attains %.4g %%, or the most it attains\n\n", 100*r.Target)
	}
	fmt.Fprintln(t, "POLICY\tATTAINED\tGPU-HOURS\tREGRET\tTTFT p50\tp95\tp99 ms\tTPOT p50\tp95\tp99 ms\tMAX GPUs\tUP\tDOWN\tMOVES\t")
	for _, p := range r.Policies {
		regret := "-"
		if p.Regret != nil {
			regret = strconv.FormatFloat(100**p.Regret, 'f', 1, 64) + " %"
		}
		fmt.Fprintf(t, "%s\t%.2f %%\t%.2f\t%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%d\t%d\t%d\t%d\t\n", p.Name, 100*p.Attainment, p.GPUHours, regret,
			p.TTFTMs.P50, p.TTFTMs.P95, p.TTFTMs.P99, p.TPOTMs.P50, p.TPOTMs.P95, p.TPOTMs.P99, p.MaxGPUs, p.ScaleUps, p.ScaleDowns, p.Moves)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d requests simulated in %.2f s, %.0f per second\n", r.Simulation.Requests, r.Simulation.Seconds, r.Simulation.RequestsPerSecond)
	return err
}
