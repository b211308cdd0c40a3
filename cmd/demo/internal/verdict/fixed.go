package verdict

import (
	"errors"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// Fixed is the cheapest pair of fixed counts that would have kept the objectives.
type Fixed struct {
	// Found is false where no pair of at most SearchedGPUs keeps them.
	Found        bool    `json:"found"`
	SearchedGPUs int     `json:"searchedGPUs"`
	Prefill      int     `json:"prefill,omitempty"`
	Decode       int     `json:"decode,omitempty"`
	GPUs         int     `json:"gpus,omitempty"`
	GPUHours     float64 `json:"gpuHours,omitempty"`
	// Tried is how many pairs were played.
	Tried int `json:"tried"`
}

// CheapestFixed plays the same load on fixed counts of ever more GPUs until one pair keeps the objectives in every act.
func CheapestFixed(cfg engine.Config, told story.Story, seed uint64, mostGPUs int, o engine.Objectives) (Fixed, error) {
	meets := func(f engine.Fixed) bool {
		for _, act := range told.Acts {
			if !f.Phases[act.Judged].Met() {
				return false
			}
		}
		return true
	}
	best, tried, err := engine.CheapestFixed(cfg, &told.Load, seed, mostGPUs, o, meets)
	f := Fixed{SearchedGPUs: mostGPUs, Tried: len(tried)}
	if errors.Is(err, engine.ErrNoneMeets) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.Found, f.Prefill, f.Decode, f.GPUs, f.GPUHours = true, best.Prefill, best.Decode, best.GPUs, best.GPUHours
	return f, nil
}
