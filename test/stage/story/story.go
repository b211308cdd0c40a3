// Package story is a load told in acts: which stretches of it are judged, and what each is called. Beside it lies the load of
// the demo (demo.json).
//
// It knows loads (sim/load) as plain data. It must never know who serves them.
package story

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// WarmUpSuffix marks a phase of a load that is played and not judged: the traffic changes, and the replicas that it needs
// are being started. It belongs to the act of the next phase without it.
const WarmUpSuffix = " (warm-up)"

// Story is a load told in acts.
type Story struct {
	Load load.Profile
	Acts []Act
}

// Act is one part of a story: any number of warm-up phases, then one that is judged.
type Act struct {
	// Name is the judged phase's.
	Name string
	// Judged is the index of the judged phase in the load.
	Judged int
	// From and To bound the act; its requests are judged if they arrive from JudgedFrom on.
	From, JudgedFrom, To time.Duration
}

//go:embed demo.json
var demo []byte

// DemoJSON is the load of `make demo` as JSON, to begin one's own with.
func DemoJSON() []byte { return bytes.Clone(demo) }

// Demo is the story of `make demo`.
func Demo() Story {
	s, err := Read(bytes.NewReader(demo))
	if err != nil {
		panic(err) // a test reads it
	}
	return s
}

// Read reads a load.Profile as JSON. Unknown keys are refused.
func Read(r io.Reader) (Story, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var p load.Profile
	if err := dec.Decode(&p); err != nil {
		return Story{}, fmt.Errorf("not a load in JSON: %w", err)
	}
	return tell(p)
}

func tell(p load.Profile) (Story, error) {
	if err := p.Validate(); err != nil {
		return Story{}, err
	}
	s := Story{Load: p}
	begins := 0 // the first phase of the act
	for i, phase := range p.Phases {
		if strings.HasSuffix(phase.Name, WarmUpSuffix) {
			continue
		}
		from, _ := p.Bounds(begins)
		judgedFrom, to := p.Bounds(i)
		s.Acts = append(s.Acts, Act{Name: phase.Name, Judged: i, From: from, JudgedFrom: judgedFrom, To: to})
		begins = i + 1
	}
	if begins != len(p.Phases) {
		return Story{}, fmt.Errorf("the load ends with phase %q, which is not judged: want a phase without %q after it", p.Phases[len(p.Phases)-1].Name, WarmUpSuffix)
	}
	return s, nil
}

// Stretched is the story with phases of other lengths: twice as long with 2. Ramps keep their length where they fit, rates
// and lengths of requests stay.
func (s Story) Stretched(factor float64) (Story, error) {
	if !(factor >= 0.1 && factor <= 1000) {
		return Story{}, fmt.Errorf("the phases cannot be %v times as long: allowed is 0.1 to 1000", factor)
	}
	p := s.Load
	p.Phases = append([]load.Phase(nil), p.Phases...)
	for i := range p.Phases {
		phase := &p.Phases[i]
		phase.DurationSeconds *= factor
		phase.RampSeconds = min(phase.RampSeconds, phase.DurationSeconds)
	}
	return tell(p)
}

// ActAt returns the index of the act that plays at an offset, and whether its warm-up is over.
func (s *Story) ActAt(at time.Duration) (act int, judged bool) {
	for i, a := range s.Acts {
		if at < a.To {
			return i, at >= a.JudgedFrom
		}
	}
	return len(s.Acts) - 1, true
}

// ActNames returns the names of the acts in their order.
func (s *Story) ActNames() []string {
	names := make([]string, len(s.Acts))
	for i, a := range s.Acts {
		names[i] = a.Name
	}
	return names
}
