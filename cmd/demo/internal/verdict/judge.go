package verdict

import (
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// Act is how one part of the story went.
type Act struct {
	Name              string            `json:"name"`
	FromSeconds       float64           `json:"fromSeconds"`
	JudgedFromSeconds float64           `json:"judgedFromSeconds"`
	ToSeconds         float64           `json:"toSeconds"`
	Kept              bool              `json:"kept"`
	Attainment        engine.Attainment `json:"attainment"`
	// WarmUp is how the requests of the warm-up before it fared; it counts for nothing.
	WarmUp engine.Attainment `json:"warmUp"`
}

// judgeActs judges each act by the requests that arrived in its judged phase.
func judgeActs(told story.Story, records []engine.Record, o engine.Objectives) []Act {
	var acts []Act
	first := 0 // phase of the act
	for _, a := range told.Acts {
		from := first
		act := Act{
			Name: a.Name, FromSeconds: a.From.Seconds(), JudgedFromSeconds: a.JudgedFrom.Seconds(), ToSeconds: a.To.Seconds(),
			Attainment: engine.Attain(a.Name, records, o, func(r *engine.Record) bool { return r.Phase == a.Judged }),
			WarmUp:     engine.Attain(a.Name+story.WarmUpSuffix, records, o, func(r *engine.Record) bool { return r.Phase >= from && r.Phase < a.Judged }),
		}
		act.Kept = act.Attainment.Met()
		acts = append(acts, act)
		first = a.Judged + 1
	}
	return acts
}

// judged reports whether a phase of the load is judged.
func judged(told story.Story, phase int) bool {
	for _, a := range told.Acts {
		if a.Judged == phase {
			return true
		}
	}
	return false
}
