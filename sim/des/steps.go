package des

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// fractionBits are kappa's bits below a picosecond.
const fractionBits = 16

// maxRunSteps bounds a run so that its sums stay within 63 bits; a longer one is cut, which changes nothing.
const maxRunSteps = 1024

// stepTimes are the decode step times of one kind of replica in whole numbers.
type stepTimes struct {
	base []Time // f(B) by sequences
	// kappa is whole + part/2^fractionBits picoseconds per token of context.
	whole, part int64
	kappa       float64 // the same, for estimates
}

func newStepTimes(d perfmodel.Decode, maxSequences int) stepTimes {
	s := stepTimes{base: make([]Time, maxSequences+1)}
	for b := 1; b <= maxSequences; b++ {
		s.base[b] = milliseconds(d.BaseMs(float64(b)))
	}
	fixed := int64(math.Round(d.KVMsPerToken * picosecondsPerMs * (1 << fractionBits)))
	s.whole, s.part = fixed>>fractionBits, fixed&(1<<fractionBits-1)
	s.kappa = float64(fixed) / (1 << fractionBits)
	return s
}

// run is a number of decode steps of one unchanged batch. Step j, from 1, ends at end(j).
type run struct {
	start    Time
	fraction int64 // of a picosecond, that the start is later
	sequence int64 // how many sequences
	context  int64 // tokens of all sequences before the first step
	steps    int64 // that are planned; 0 is idle
}

// end is when step j ends, and the fraction of a picosecond after that.
func (s *stepTimes) end(r *run, j int64) (at Time, fraction int64) {
	tokens := j*r.context + r.sequence*(j*(j-1)/2)
	part := s.part*tokens + r.fraction
	return r.start + Time(j)*s.base[r.sequence] + Time(s.whole*tokens+part>>fractionBits), part & (1<<fractionBits - 1)
}

// done is how many steps have ended at or before now, at most those planned.
func (s *stepTimes) done(r *run, now Time) int64 {
	if r.steps == 0 || now < r.start {
		return 0
	}
	// The root of a*j^2 + b*j = elapsed, put right by the exact ends.
	elapsed := float64(now - r.start)
	a := s.kappa * float64(r.sequence) / 2
	b := float64(s.base[r.sequence]) + s.kappa*float64(r.context) - a
	j := min(int64(2*elapsed/(b+math.Sqrt(b*b+4*a*elapsed))), r.steps)
	for j < r.steps {
		if at, _ := s.end(r, j+1); at > now {
			break
		}
		j++
	}
	for j > 0 {
		if at, _ := s.end(r, j); at <= now {
			break
		}
		j--
	}
	return j
}
