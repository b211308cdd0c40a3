package signals

import (
	"cmp"
	"maps"
	"slices"
)

// Match says which spelling of a reading one page was last found to hold.
type Match struct {
	Kind    Kind   `json:"kind"`
	Pod     string `json:"pod"`
	Reading string `json:"reading"`
	// Engine is whose names the page speaks.
	Engine string `json:"engine"`
	// Spelling is the name on the page, empty where none of the known ones was there.
	Spelling string `json:"spelling,omitempty"`
}

// Describe returns, for each page of the latest collection that answered, what
// every reading of the vocabulary was found under.
func (c *Collector) Describe() []Match {
	var out []Match
	for _, p := range c.pods {
		if p.words == nil || !p.listed || !p.answered {
			continue
		}
		for _, w := range p.words.words {
			out = append(out, Match{p.target.Kind, p.target.Pod, string(w.what), p.words.engine, p.latest.measured[w.what].name})
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Pod, b.Pod))
	})
	return out
}

// spoken returns whose names a pod speaks, and which of them its latest page had.
func (p *pod) spoken() (engine string, names []string) {
	if p.words == nil || len(p.latest.measured) == 0 {
		return "", nil
	}
	set := map[string]bool{}
	for _, m := range p.latest.measured {
		set[m.name] = true
	}
	return p.words.engine, slices.Sorted(maps.Keys(set))
}
