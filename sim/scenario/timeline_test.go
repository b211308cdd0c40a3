package scenario

import (
	"math"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

const swinging = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2, replicas: 3}
decode: {tp: 2, replicas: 3}
traffic:
  generator:
    duration: 1h
    rate: 10
    input: {mean: 4600, scv: 1}
    output: {mean: 100, scv: 0.6}
    other: {input: {mean: 400, scv: 1}, output: {mean: 1950, scv: 0.6}}
    swingPeriod: 1h
slo: {ttft: {p95: 2s}, tpot: {p95: 30ms}}
budget: {gpus: 12}
startup: {prefill: 100s, decode: 100s}
policies: [pdautoscaler, keda-queue]
`

// A time line adds up to its report: requests, what attained, GPU-hours, moves and counts.
func TestTimelinesAddUp(t *testing.T) {
	s := build(t, swinging, Options{})
	s.Timelines = true
	for _, p := range run(t, s).Policies {
		line := p.Timeline
		if line == nil || line.Every != 15*time.Second || len(line.Samples) != 241 {
			t.Fatalf("%s: %+v", p.Name, line)
		}
		requests, attained, gpuHours := 0, 0, 0.0
		for i, sample := range line.Samples {
			if sample.At != time.Duration(i)*line.Every {
				t.Fatalf("%s: sample %d is of %v", p.Name, i, sample.At)
			}
			requests += sample.Requests
			attained += sample.Attained
			held := 2 * (sample.Prefill.Held() + sample.Decode.Held())
			if i+1 < len(line.Samples) {
				gpuHours += float64(held) * line.Every.Hours()
			}
			if held > 12 {
				t.Errorf("%s: %d GPUs held at %v", p.Name, held, sample.At)
			}
			if o := sample.TTFTMs; sample.Attained > 0 && !(o.Median <= o.Objective) {
				t.Errorf("%s: TTFT at %v: median %v, objective's quantile %v", p.Name, sample.At, o.Median, o.Objective)
			}
			if l := sample.Prefill.Load; i > 0 && !(l >= 0 && !math.IsInf(l, 0)) && !math.IsNaN(l) {
				t.Errorf("%s: load %v at %v", p.Name, l, sample.At)
			}
		}
		if uint64(requests) != p.Requests || uint64(attained) != p.attained {
			t.Errorf("%s: %d requests and %d attained in the time line, %d and %d in all", p.Name, requests, attained, p.Requests, p.attained)
		}
		if math.Abs(gpuHours/p.GPUHours-1) > 0.02 {
			t.Errorf("%s: %v GPU-hours in the time line, %v in all", p.Name, gpuHours, p.GPUHours)
		}
		followDecisions(t, &p)
	}
}

// followDecisions goes from the start through every decision that is kept, to the counts of the end.
func followDecisions(t *testing.T, p *PolicyReport) {
	t.Helper()
	line := p.Timeline
	counts, changes := policy.Counts{Prefill: 3, Decode: 3}, 0
	for i, d := range line.Decisions {
		if d.From != counts {
			t.Fatalf("%s: at %v the counts are %+v, the decision is from %+v", p.Name, d.At, counts, d.From)
		}
		if i > 0 && d.At <= line.Decisions[i-1].At {
			t.Fatalf("%s: a decision at %v after one at %v", p.Name, d.At, line.Decisions[i-1].At)
		}
		if d.To != d.From {
			changes++
		}
		counts = d.To
	}
	last := line.Samples[len(line.Samples)-1]
	if got := (policy.Counts{Prefill: last.Prefill.Desired, Decode: last.Decode.Desired}); counts != got || changes != len(p.Changes) {
		t.Errorf("%s: %d decisions lead to %+v, %d changes led to %+v", p.Name, changes, counts, len(p.Changes), got)
	}
	if line.Decided < len(line.Decisions) || line.Decided < 230 {
		t.Errorf("%s: %d decisions of %d are kept", p.Name, len(line.Decisions), line.Decided)
	}
	ended := 0
	for _, m := range line.Moves {
		if m.GPUs < 2 || m.To <= m.From || m.Donor == "" {
			t.Errorf("%s: a move %+v", p.Name, m)
		}
		if m.To < time.Hour {
			ended++
		}
	}
	if p.Name == "pdautoscaler" && (ended < p.Moves || p.Moves == 0) {
		t.Errorf("%d moves ended in the time line, %d in all", ended, p.Moves)
	}
}

// The demand holds all requests and tokens of the whole bins.
func TestDemandAddsUp(t *testing.T) {
	s := build(t, swinging, Options{})
	requests, input, output := 0.0, 0.0, 0.0
	for _, d := range s.Demand() {
		requests, input, output = requests+15*d.RequestsPerSecond, input+15*d.InputPerSecond, output+15*d.OutputPerSecond
	}
	sum := s.Traffic.Summary()
	for what, pair := range map[string][2]float64{"requests": {requests, float64(sum.Requests)}, "input": {input, sum.InputTokensMean * float64(sum.Requests)}, "output": {output, sum.OutputTokensMean * float64(sum.Requests)}} {
		if math.Abs(pair[0]/pair[1]-1) > 1e-9 {
			t.Errorf("%s: %v in the bins, %v in all", what, pair[0], pair[1])
		}
	}
}

func TestSamplesAreFewAndRound(t *testing.T) {
	for length, want := range map[time.Duration]time.Duration{time.Minute: time.Second, 58 * time.Minute: 15 * time.Second, 24 * time.Hour: 6 * time.Minute, 100 * 24 * time.Hour: 10 * time.Hour} {
		if got := sampleEvery(length); got != want {
			t.Errorf("%v is sampled every %v, want %v", length, got, want)
		}
	}
}
