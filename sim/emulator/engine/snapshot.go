package engine

import (
	"slices"
	"time"
)

// Snapshot is the service at one moment, for people to watch.
type Snapshot struct {
	At time.Duration `json:"at"`

	Arrived   int `json:"arrived"`
	Finished  int `json:"finished"`
	Failed    int `json:"failed"`
	InFlight  int `json:"inFlight"`
	Migrated  int `json:"migrated"`
	Preempted int `json:"preempted"`

	// ByState counts the requests in flight.
	ByState map[State]int `json:"byState"`
	Workers []WorkerView  `json:"workers"`
	Recent  Recent        `json:"recent"`
}

// WorkerView is one worker at one moment.
type WorkerView struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Role    Role    `json:"role"`
	Running int     `json:"running"`
	Waiting int     `json:"waiting"`
	KVUse   float64 `json:"kvUse"`
	// Draining workers get no new work; Drained ones have nothing left.
	Draining bool `json:"draining,omitempty"`
	Drained  bool `json:"drained,omitempty"`
}

// Recent is what clients have seen in the last RecentWindow. Quantiles are 0
// where nothing was seen, as their counts say.
type Recent struct {
	Arrivals    int     `json:"arrivals"`
	FirstTokens int     `json:"firstTokens"`
	TTFTp50Ms   float64 `json:"ttftP50Ms"`
	TTFTp95Ms   float64 `json:"ttftP95Ms"`
	// Finished counts requests of two or more tokens: only those have a TPOT.
	Finished  int     `json:"finished"`
	TPOTp50Ms float64 `json:"tpotP50Ms"`
	TPOTp95Ms float64 `json:"tpotP95Ms"`
}

// RecentWindow is the time that Recent looks back.
const RecentWindow = 10 * time.Second

// Snapshot returns the service as it is now.
func (e *Engine) Snapshot() Snapshot {
	s := Snapshot{
		At: e.now, Arrived: e.arrived, Finished: e.finished, Failed: e.failed, InFlight: len(e.live),
		Migrated: e.migrated, Preempted: e.preempted, ByState: map[State]int{},
	}
	for _, w := range e.workers {
		v := WorkerView{ID: w.ID, Name: w.Name, Role: w.Role, Draining: w.draining, Drained: w.draining && w.drained()}
		if w.Role == Frontend {
			v.Running = w.front.Inflight
		} else {
			e.count(w)
			v.Running, v.Waiting, v.KVUse = e.load(w)
		}
		s.Workers = append(s.Workers, v)
	}
	for _, r := range e.live {
		s.ByState[r.state]++
	}
	s.Recent = e.recent.view(e.now)
	return s
}

// recent holds what happened in the last RecentWindow.
type recent struct {
	arrivals []sample
	ttft     []sample
	tpot     []sample
}

type sample struct {
	at time.Duration
	ms float64
}

func (r *recent) arrived(at time.Duration) { add(&r.arrivals, sample{at: at}) }

func (r *recent) firstToken(at, ttft time.Duration) { add(&r.ttft, sample{at, toMs(ttft)}) }

func (r *recent) ended(at time.Duration, rec Record) {
	if rec.Outcome == Finished && rec.OutputTokens > 1 {
		add(&r.tpot, sample{at, rec.TPOTMs})
	}
}

// add appends a sample and drops those that are too old for any later view.
func add(list *[]sample, s sample) {
	*list = append(since(*list, s.at-RecentWindow), s)
}

// since drops the samples at or before the given time from the list's front.
func since(list []sample, from time.Duration) []sample {
	for len(list) > 0 && list[0].at <= from {
		list = list[1:]
	}
	return list
}

func (r *recent) view(now time.Duration) Recent {
	from := now - RecentWindow
	r.arrivals, r.ttft, r.tpot = since(r.arrivals, from), since(r.ttft, from), since(r.tpot, from)
	v := Recent{Arrivals: len(r.arrivals), FirstTokens: len(r.ttft), Finished: len(r.tpot)}
	ttft, tpot := values(r.ttft), values(r.tpot)
	v.TTFTp50Ms, v.TTFTp95Ms = quantile(ttft, 0.5), quantile(ttft, 0.95)
	v.TPOTp50Ms, v.TPOTp95Ms = quantile(tpot, 0.5), quantile(tpot, 0.95)
	return v
}

func values(samples []sample) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = s.ms
	}
	slices.Sort(all)
	return all
}

// quantile returns the smallest value that a share q of the sorted values does
// not exceed; 0 of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted)) + 1 - 1e-9) // ceil, exact at whole products
	return sorted[min(max(i, 1), len(sorted))-1]
}

func toMs(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
