package engine

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// noise gives factors of mean 1 for step times. A prompt's factor depends on
// the request alone, so that two services that serve the same load with other
// counts meet the same prompts.
type noise struct {
	seed  uint64
	sigma float64 // of the logarithm
}

func newNoise(seed uint64, relative float64) noise {
	return noise{seed: seed, sigma: math.Sqrt(math.Log1p(relative * relative))}
}

func (n noise) ofPrompt(request, attempt uint64) float64 {
	if n.sigma == 0 {
		return 1
	}
	return n.factor(rand.New(rand.NewPCG(n.seed, request<<8^attempt)))
}

// ofWorker starts the stream of a decode worker's factors.
func (n noise) ofWorker(id string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(id))
	return rand.New(rand.NewPCG(n.seed, h.Sum64()))
}

func (n noise) factor(r *rand.Rand) float64 {
	if n.sigma == 0 {
		return 1
	}
	return math.Exp(n.sigma*r.NormFloat64() - n.sigma*n.sigma/2)
}
