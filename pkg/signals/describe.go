package signals

import (
	"cmp"
	"slices"
)

// Match says which spelling of a reading one page was last found to hold.
type Match struct {
	Kind    Kind   `json:"kind"`
	Pod     string `json:"pod"`
	Reading string `json:"reading"`
	// Spelling is the name on the page, empty where none of the known ones was there.
	Spelling string `json:"spelling,omitempty"`
}

// Describe returns, for each page of the latest collection that answered, what
// every reading of the vocabulary was found under.
func (c *Collector) Describe() []Match {
	var out []Match
	for _, p := range c.pods {
		v := vocabularyOf(c.cfg.Engine, p.target.Kind)
		if v == nil || !p.listed || !p.answered {
			continue
		}
		for _, w := range v.words {
			out = append(out, Match{p.target.Kind, p.target.Pod, string(w.what), p.latest.measured[w.what].name})
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Pod, b.Pod))
	})
	return out
}
