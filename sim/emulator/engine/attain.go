package engine

import (
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// Objectives are what the service promises.
type Objectives struct {
	TTFT capacity.Objective `json:"ttft"`
	TPOT capacity.Objective `json:"tpot"`
	// WarmUp leaves requests out that arrived earlier than this after the start
	// of the load.
	WarmUp time.Duration `json:"warmUp,omitempty"`
}

const defaultQuantile = 0.95

// Attainment is how a set of requests fared against the objectives.
type Attainment struct {
	Phase string `json:"phase"`
	// Requests arrived; of them Finished and Failed ended, the rest was in flight.
	Requests int `json:"requests"`
	Finished int `json:"finished"`
	Failed   int `json:"failed"`
	TTFT     Met `json:"ttft"`
	TPOT     Met `json:"tpot"`
	// BothShare is the share of requests that met TTFT and TPOT, of those that
	// were judged for either.
	BothShare float64 `json:"bothShare"`
}

// Met is how one latency fared.
type Met struct {
	// Judged is how many requests counted. A failed request misses. One in flight
	// misses once it is late; before that it is not judged. A request of one
	// token has no TPOT.
	Judged int `json:"judged"`
	// Share is the share of the judged inside the objective; 1 of none.
	Share float64 `json:"share"`
	// Needed is the share that the objective asks for.
	Needed float64 `json:"needed"`
	// QuantileMs is the latency at the objective's quantile over the requests
	// that have one, and ObjectiveMs its limit.
	QuantileMs  float64 `json:"quantileMs"`
	P50Ms       float64 `json:"p50Ms"`
	P99Ms       float64 `json:"p99Ms"`
	ObjectiveMs float64 `json:"objectiveMs"`
}

// Met reports whether the objective was met.
func (m Met) Met() bool { return m.Share >= m.Needed }

// Met reports whether both objectives were met.
func (a Attainment) Met() bool { return a.TTFT.Met() && a.TPOT.Met() }

// Attain judges the records that keep returns true for; nil keeps all. Those of
// the warm-up are left out.
func Attain(name string, records []Record, o Objectives, keep func(*Record) bool) Attainment {
	a := Attainment{Phase: name}
	ttft, tpot := newJudge(o.TTFT), newJudge(o.TPOT)
	both, judged := 0, 0
	for i := range records {
		r := &records[i]
		if r.At < o.WarmUp || keep != nil && !keep(r) {
			continue
		}
		a.Requests++
		switch r.Outcome {
		case Finished:
			a.Finished++
		case Failed:
			a.Failed++
		}
		first := ttft.judge(r.ttft())
		per := tpot.judge(r.tpot())
		if first != undecided || per != undecided {
			judged++
			if first != missed && per != missed {
				both++
			}
		}
	}
	a.TTFT, a.TPOT, a.BothShare = ttft.met(), tpot.met(), share(both, judged)
	return a
}

// AttainPhases judges each phase's requests, in the order of the names.
func AttainPhases(names []string, records []Record, o Objectives) []Attainment {
	all := make([]Attainment, len(names))
	for i, name := range names {
		all[i] = Attain(name, records, o, func(r *Record) bool { return r.Phase == i })
	}
	return all
}

// latency is a latency as far as it is known.
type latency struct {
	ms     float64
	final  bool // it will not change any more
	failed bool
	none   bool // there is nothing to judge
}

func (r *Record) ttft() latency {
	if r.FirstToken {
		return latency{ms: r.TTFTMs, final: true}
	}
	return latency{ms: toMs(r.Ended - r.Arrived), failed: r.Outcome == Failed}
}

func (r *Record) tpot() latency {
	switch {
	case r.OutputTokens < 2:
		return latency{none: true}
	case r.Outcome == Failed:
		return latency{failed: true}
	case r.Outcome == Finished:
		return latency{ms: r.TPOTMs, final: true}
	}
	return latency{ms: r.TPOTMs, none: !r.FirstToken}
}

type verdict uint8

const (
	undecided verdict = iota
	met
	missed
)

type judge struct {
	objective capacity.Objective
	inside    int
	judged    int
	values    []float64
}

func newJudge(o capacity.Objective) judge {
	if o.Quantile <= 0 || o.Quantile > 1 {
		o.Quantile = defaultQuantile
	}
	return judge{objective: o}
}

func (j *judge) judge(l latency) verdict {
	if l.final {
		j.values = append(j.values, l.ms)
	}
	switch {
	case l.none:
		return undecided
	case l.failed || l.ms > j.objective.Ms:
		j.judged++
		return missed
	case l.final:
		j.judged++
		j.inside++
		return met
	}
	return undecided
}

func (j *judge) met() Met {
	slices.Sort(j.values)
	return Met{
		Judged: j.judged, Share: share(j.inside, j.judged), Needed: j.objective.Quantile,
		QuantileMs: quantile(j.values, j.objective.Quantile), P50Ms: quantile(j.values, 0.5), P99Ms: quantile(j.values, 0.99),
		ObjectiveMs: j.objective.Ms,
	}
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}
