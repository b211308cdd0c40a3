package load

import (
	"errors"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// leastSCV is the least variation that is drawn; below it every value is the
// mean. A gamma variate of a much smaller one is not a number, and arrivals that
// are no numbers never end.
const leastSCV = 1e-6

// Stream gives a profile's requests in order of arrival. It is for one
// goroutine.
type Stream struct {
	profile *Profile
	pieces  []piece

	at    int     // the piece that the last arrival lies in
	u     float64 // requests expected from that piece's start to the last arrival
	step  func() float64
	in    *rand.Rand
	out   *rand.Rand
	ended bool
}

// NewStream starts a profile. Equal profiles and seeds give equal streams.
func NewStream(p *Profile, seed uint64) (*Stream, error) {
	if p == nil {
		return nil, errors.New("load: the profile is nil")
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	s := &Stream{
		profile: p,
		pieces:  p.pieces(),
		in:      rand.New(rand.NewPCG(seed, 2)),
		out:     rand.New(rand.NewPCG(seed, 3)),
	}
	arrivals := rand.New(rand.NewPCG(seed, 1))
	switch scv := p.ArrivalSCV; {
	case scv == 0 || scv == 1:
		s.step = arrivals.ExpFloat64
	case scv < leastSCV:
		s.step = func() float64 { return 1 }
	default:
		s.step = distuv.Gamma{Alpha: 1 / scv, Beta: 1 / scv, Src: arrivals}.Rand
	}
	return s, nil
}

// Next returns the next request, or false after the last.
func (s *Stream) Next() (Request, bool) {
	if s.ended {
		return Request{}, false
	}
	s.u += s.step()
	for s.at < len(s.pieces) && s.u > s.pieces[s.at].area {
		s.u -= s.pieces[s.at].area
		s.at++
	}
	if s.at == len(s.pieces) {
		s.ended = true
		return Request{}, false
	}
	piece := &s.pieces[s.at]
	seconds := piece.start + piece.after(s.u)
	shape := s.profile.ShapeAt(seconds)
	r := Request{
		At:           toDuration(seconds),
		Phase:        shape.Phase,
		InputTokens:  s.length(s.in, shape.InputTokens, shape.InputSCV, s.profile.MaxInputTokens),
		OutputTokens: s.length(s.out, shape.OutputTokens, shape.OutputSCV, s.profile.MaxOutputTokens),
	}
	// One prompt token at least is always computed: its logits give the first token.
	r.CachedTokens = min(r.InputTokens-1, int(shape.CachedShare*float64(r.InputTokens)))
	return r, true
}

func (s *Stream) length(random *rand.Rand, mean, scv float64, limit int) int {
	v := mean
	switch {
	case scv < leastSCV:
	case s.profile.Lengths == Gamma:
		v = distuv.Gamma{Alpha: 1 / scv, Beta: 1 / (scv * mean), Src: random}.Rand()
	default:
		variance := math.Log1p(scv)
		v = math.Exp(math.Log(mean) - variance/2 + math.Sqrt(variance)*random.NormFloat64())
	}
	tokens := max(1, int(math.Round(min(v, maxTokens))))
	if limit > 0 {
		tokens = min(tokens, limit)
	}
	return tokens
}

// All returns every request of a profile.
func All(p *Profile, seed uint64) ([]Request, error) {
	s, err := NewStream(p, seed)
	if err != nil {
		return nil, err
	}
	var all []Request
	for r, ok := s.Next(); ok; r, ok = s.Next() {
		all = append(all, r)
	}
	return all, nil
}
