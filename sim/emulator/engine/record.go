package engine

import (
	"cmp"
	"slices"
	"time"
)

// Record is what became of one request.
type Record struct {
	ID    uint64 `json:"id"`
	Phase int    `json:"phase"`
	// At is the arrival from the start of the load.
	At time.Duration `json:"at"`
	// Arrived and Ended are from the engine's start; of a request in flight,
	// Ended is the time of the record.
	Arrived      time.Duration `json:"arrived"`
	Ended        time.Duration `json:"ended"`
	InputTokens  int           `json:"inputTokens"`
	OutputTokens int           `json:"outputTokens"`
	// Generated is how many tokens the client has.
	Generated int `json:"generated"`
	// TTFTMs is 0 when there was no first token, see FirstToken.
	TTFTMs     float64 `json:"ttftMs"`
	FirstToken bool    `json:"firstToken"`
	// TPOTMs of a finished request of two or more tokens is (end - first
	// token)/(output - 1). Of one in flight it is the time since the first token
	// over the tokens since, the one it waits for included: what it would be if
	// that came at once.
	TPOTMs float64 `json:"tpotMs"`
	// Outcome is Finished, Failed, or the state of a request in flight.
	Outcome   State  `json:"outcome"`
	Why       string `json:"why,omitempty"`
	Preempted int    `json:"preempted,omitempty"`
	Migrated  int    `json:"migrated,omitempty"`
}

func (r *request) record(at time.Duration) Record {
	rec := Record{
		ID: r.id, Phase: r.Phase, At: r.At, Arrived: r.arrived, Ended: at,
		InputTokens: r.InputTokens, OutputTokens: r.OutputTokens, Generated: r.generated,
		Outcome: r.state, Preempted: r.preempted, Migrated: r.migrated,
	}
	if r.firstToken == noTime {
		return rec
	}
	rec.FirstToken = true
	rec.TTFTMs = toMs(r.firstToken - r.arrived)
	switch {
	case r.state == Finished && r.OutputTokens > 1:
		rec.TPOTMs = toMs(at-r.firstToken) / float64(r.OutputTokens-1)
	case r.state != Finished && r.OutputTokens > 1:
		rec.TPOTMs = toMs(at-r.firstToken) / float64(max(1, r.generated))
	}
	return rec
}

// Records returns what became of every request so far, in the order of their
// arrival. All are kept, some hundred bytes each.
func (e *Engine) Records() []Record {
	for _, w := range e.workers {
		e.count(w)
	}
	all := slices.Clone(e.records)
	for _, r := range e.live {
		now := *r
		if r.state == Decoding {
			now.generated += r.decode.run.counted
		}
		all = append(all, now.record(e.now))
	}
	slices.SortFunc(all, func(a, b Record) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
