package scenario

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pdautoscaler/pdautoscaler/sim/des"
)

// SweepReport is what came out of a sweep. It holds no time that the simulation took, so that it is the same wherever and in
// however many shards it was made.
type SweepReport struct {
	Sweep  []SweepKey   `json:"sweep"`
	Points []SweepPoint `json:"points"`
	// Pooled joins the points that differ in the seed alone, where the seed is swept.
	Pooled     []SweepPoint    `json:"pooled,omitempty"`
	Simulation SweepSimulation `json:"simulation"`
	Target     float64         `json:"target,omitempty"`
}

// SweepPoint is one combination of values.
type SweepPoint struct {
	Set      map[string]string `json:"set"`
	Policies []PooledReport    `json:"policies"`
}

// PooledReport is one policy over one or more runs: counts are sums, latencies those of all requests together, GPU-hours and
// the proven bound means.
type PooledReport struct {
	PolicyReport
	// Seeds is how many runs were pooled; it is there for those alone, with the least and most of them.
	Seeds         int     `json:"seeds,omitempty"`
	AttainmentMin float64 `json:"attainmentMin,omitempty"`
	GPUHoursMin   float64 `json:"gpuHoursMin,omitempty"`
	GPUHoursMax   float64 `json:"gpuHoursMax,omitempty"`
}

// SweepSimulation says how much was simulated.
type SweepSimulation struct {
	Requests uint64 `json:"requests"`
}

// Report tells what a whole sweep came to: Join the shards first.
func (s *Shard) Report() (*SweepReport, error) {
	if s.Of != 1 {
		return nil, fmt.Errorf("this is shard %d of %d; join all of them first", s.Index, s.Of)
	}
	r := &SweepReport{Sweep: s.Sweep, Target: s.Target}
	sweep := Sweep{Keys: s.Sweep}
	per := len(s.Policies)
	if len(s.Runs) != sweep.Points()*per {
		return nil, fmt.Errorf("a sweep of %d points and %d policies has %d runs", sweep.Points(), per, len(s.Runs))
	}
	for point := range sweep.Points() {
		runs := s.Runs[point*per : (point+1)*per]
		p := SweepPoint{Set: sweep.Set(point)}
		for i := range runs {
			r.Simulation.Requests += runs[i].Report.Requests
			p.Policies = append(p.Policies, PooledReport{PolicyReport: runs[i].Report})
		}
		p.regret(s.Target)
		r.Points = append(r.Points, p)
	}
	return r, s.pool(r, &sweep)
}

func (p *SweepPoint) regret(target float64) {
	one := Report{Target: target}
	for i := range p.Policies {
		one.Policies = append(one.Policies, p.Policies[i].PolicyReport)
	}
	one.regret()
	for i := range p.Policies {
		p.Policies[i].Regret = one.Policies[i].Regret
	}
}

// pool joins the points that differ in the seed alone.
func (s *Shard) pool(r *SweepReport, sweep *Sweep) error {
	const seed = "seed"
	if !slices.ContainsFunc(s.Sweep, func(k SweepKey) bool { return k.Key == seed }) {
		return nil
	}
	groups, order := map[string][]int{}, []string{}
	for point := range sweep.Points() {
		set := sweep.Set(point)
		delete(set, seed)
		name := fmt.Sprint(set)
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], point)
	}
	per := len(s.Policies)
	for _, name := range order {
		set := sweep.Set(groups[name][0])
		delete(set, seed)
		p := SweepPoint{Set: set}
		for i := range s.Policies {
			var runs []Run
			for _, point := range groups[name] {
				runs = append(runs, s.Runs[point*per+i])
			}
			pooled, err := poolRuns(runs)
			if err != nil {
				return err
			}
			p.Policies = append(p.Policies, pooled)
		}
		p.regret(s.Target)
		r.Pooled = append(r.Pooled, p)
	}
	return nil
}

// poolRuns joins runs of one policy. Quantiles of all requests come from the merged sketches, which quantiles of the
// parts could not give.
func poolRuns(runs []Run) (PooledReport, error) {
	first := runs[0].Report
	out := PooledReport{PolicyReport: PolicyReport{Name: first.Name}, Seeds: len(runs),
		AttainmentMin: first.Attainment, GPUHoursMin: first.GPUHours, GPUHoursMax: first.GPUHours}
	all, err := des.NewOutcome()
	if err != nil {
		return out, err
	}
	for _, r := range runs {
		p := &r.Report
		part := des.Outcome{Requests: p.Requests, Completed: p.Completed, Attained: r.Attained}
		if err := part.TTFT.UnmarshalBinary(r.TTFT); err != nil {
			return out, err
		}
		if err := part.TPOT.UnmarshalBinary(r.TPOT); err != nil {
			return out, err
		}
		if err := all.Merge(&part); err != nil {
			return out, err
		}
		out.Moves, out.ScaleUps, out.ScaleDowns = out.Moves+p.Moves, out.ScaleUps+p.ScaleUps, out.ScaleDowns+p.ScaleDowns
		out.MaxGPUs = max(out.MaxGPUs, p.MaxGPUs)
		out.GPUHours += p.GPUHours / float64(len(runs))
		out.LowerBoundGPUHours += p.LowerBoundGPUHours / float64(len(runs))
		out.AttainmentMin = min(out.AttainmentMin, p.Attainment)
		out.GPUHoursMin, out.GPUHoursMax = min(out.GPUHoursMin, p.GPUHours), max(out.GPUHoursMax, p.GPUHours)
	}
	out.Requests, out.Completed, out.Attainment = all.Requests, all.Completed, all.Attainment()
	out.TTFTMs, out.TPOTMs = latencies(&all.TTFT), latencies(&all.TPOT)
	return out, nil
}

// Table writes the report for people: a line for each point and policy.
func (r *SweepReport) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	var keys []string
	for _, k := range r.Sweep {
		keys = append(keys, k.Key)
	}
	if r.Target > 0 {
		fmt.Fprintf(w, "each policy at the cheapest setting of its knob that attains %.4g %%, or the most it attains\n\n", 100*r.Target)
	}
	fmt.Fprintln(t, strings.Join(append(slices.Clone(keys), "POLICY\tATTAINED\tGPU-HOURS\tREGRET\tTTFT p95\tp99 ms\tTPOT p95\tp99 ms\tMAX GPUs\tUP\tDOWN\tMOVES\t"), "\t"))
	for _, points := range [][]SweepPoint{r.Points, r.Pooled} {
		for i := range points {
			points[i].lines(t, keys)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d points, %d requests simulated\n", len(r.Points), r.Simulation.Requests)
	return err
}

func (p *SweepPoint) lines(w io.Writer, keys []string) {
	for _, r := range p.Policies {
		for _, k := range keys {
			v, ok := p.Set[k]
			if !ok {
				v = fmt.Sprintf("all %d", r.Seeds)
			}
			fmt.Fprintf(w, "%s\t", v)
		}
		regret := "-"
		if r.Regret != nil {
			regret = strconv.FormatFloat(100**r.Regret, 'f', 1, 64) + " %"
		}
		fmt.Fprintf(w, "%s\t%.2f %%\t%.2f\t%s\t%.0f\t%.0f\t%.1f\t%.1f\t%d\t%d\t%d\t%d\t\n", r.Name, 100*r.Attainment, r.GPUHours, regret,
			r.TTFTMs.P95, r.TTFTMs.P99, r.TPOTMs.P95, r.TPOTMs.P99, r.MaxGPUs, r.ScaleUps, r.ScaleDowns, r.Moves)
	}
}

// Keys are the values of a point in words: decode.tp=2, budget.gpus=16.
func (p *SweepPoint) Keys() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(p.Set)) {
		parts = append(parts, k+"="+p.Set[k])
	}
	return strings.Join(parts, ", ")
}
