package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// Fixed is a service with counts that never change, under a whole load.
type Fixed struct {
	Prefill int `json:"prefill"`
	Decode  int `json:"decode"`
	GPUs    int `json:"gpus"`
	// GPUHours is GPUs times the length of the load.
	GPUHours float64      `json:"gpuHours"`
	Whole    Attainment   `json:"whole"`
	Phases   []Attainment `json:"phases"`
}

// drainLimit is how long after the end of the load a fixed service may still
// finish requests. What is later is judged as in flight.
const drainLimit = 2 * time.Minute

// RunFixed plays a load on the given replicas as fast as it can. The queue of
// the configuration is not used: it runs in memory. The GPUs per replica are
// those of the service.
func RunFixed(cfg Config, p *load.Profile, loadSeed uint64, prefill, decode int, o Objectives) (Fixed, error) {
	if prefill < 1 || decode < 1 {
		return Fixed{}, fmt.Errorf("engine: a fixed service of %d prefill and %d decode replicas; at least 1 of each is needed", prefill, decode)
	}
	stream, err := load.NewStream(p, loadSeed)
	if err != nil {
		return Fixed{}, err
	}
	cfg.Queue = nil
	e, err := New(cfg)
	if err != nil {
		return Fixed{}, err
	}
	e.Join(Worker{ID: "frontend-0", Name: "frontend-0", Role: Frontend})
	join := func(role Role, n int) {
		for i := range n {
			name := fmt.Sprintf("%s-%d", role, i)
			e.Join(Worker{ID: name, Name: name, Role: role})
		}
	}
	join(Decode, decode)
	join(Prefill, prefill)
	e.Play(stream, 0)
	end := p.Duration()
	e.Advance(end)
	for len(e.live) > 0 && e.now < end+drainLimit {
		e.Advance(e.now + time.Second)
	}
	gpus := prefill*cfg.Service.Prefill.GPUs + decode*cfg.Service.Decode.GPUs
	records := e.Records()
	return Fixed{
		Prefill: prefill, Decode: decode, GPUs: gpus,
		GPUHours: float64(gpus) * end.Hours(),
		Whole:    Attain("whole", records, o, nil),
		Phases:   AttainPhases(p.Names(), records, o),
	}, nil
}

// ErrNoneMeets says that no fixed pair within the limit meets the objectives.
var ErrNoneMeets = errors.New("engine: no fixed pair of prefill and decode replicas within the limit meets the objectives")

// CheapestFixed finds the fixed counts with the fewest GPUs, at most maxGPUs,
// that meet the objectives over the same load, by playing it: pairs are tried
// in order of their GPUs, and of those with equally few the best attainment
// wins. meets says what has to hold; nil is that the whole load meets both
// objectives. It returns every pair that was tried, and ErrNoneMeets where none
// holds.
func CheapestFixed(cfg Config, p *load.Profile, loadSeed uint64, maxGPUs int, o Objectives, meets func(Fixed) bool) (Fixed, []Fixed, error) {
	if meets == nil {
		meets = func(f Fixed) bool { return f.Whole.Met() }
	}
	perPrefill, perDecode := cfg.Service.Prefill.GPUs, cfg.Service.Decode.GPUs
	if perPrefill < 1 || perDecode < 1 {
		return Fixed{}, nil, fmt.Errorf("engine: replicas of %d (prefill) and %d (decode) GPUs; at least 1 each is needed", perPrefill, perDecode)
	}
	var pairs []Fixed
	for d := 1; d*perDecode+perPrefill <= maxGPUs; d++ {
		for n := 1; d*perDecode+n*perPrefill <= maxGPUs; n++ {
			pairs = append(pairs, Fixed{Prefill: n, Decode: d, GPUs: d*perDecode + n*perPrefill})
		}
	}
	slices.SortStableFunc(pairs, func(a, b Fixed) int { return cmp.Compare(a.GPUs, b.GPUs) })

	var tried []Fixed
	best := -1
	for _, pair := range pairs {
		if best >= 0 && pair.GPUs > tried[best].GPUs {
			break
		}
		f, err := RunFixed(cfg, p, loadSeed, pair.Prefill, pair.Decode, o)
		if err != nil {
			return Fixed{}, tried, err
		}
		tried = append(tried, f)
		if meets(f) && (best < 0 || f.Whole.BothShare > tried[best].Whole.BothShare) {
			best = len(tried) - 1
		}
	}
	if best < 0 {
		return Fixed{}, tried, ErrNoneMeets
	}
	return tried[best], tried, nil
}
