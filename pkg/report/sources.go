package report

import (
	"fmt"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// Source is one kind of source of the readings, and how many of it were read.
type Source struct {
	Kind   string `json:"kind"`
	Read   int    `json:"read"`
	Failed int    `json:"failed,omitempty"`
	// Engine is whose metric names they speak, Names are those that were found.
	Engine string   `json:"engine,omitempty"`
	Names  []string `json:"names,omitempty"`
	// Message is what a person should know of them.
	Message string `json:"message,omitempty"`
}

func sourcesOf(s *v1alpha1.SignalsStatus) []Source {
	var out []Source
	for _, one := range s.Sources {
		out = append(out, Source{Kind: one.Kind, Read: int(one.Read), Failed: int(one.Failed), Engine: one.Engine, Names: one.Names, Message: one.Message})
	}
	return out
}

// sourcesText writes where the readings come from, and what a Prometheus is
// asked, each query on a line of its own that can be pasted.
func (e *Explanation) sourcesText(b *strings.Builder) {
	if len(e.Sources) > 0 {
		b.WriteString("\nRead from:\n")
	}
	for _, s := range e.Sources {
		line := fmt.Sprintf("%s: %d read", s.Kind, s.Read)
		if s.Failed > 0 {
			line += fmt.Sprintf(", %d failed", s.Failed)
		}
		if s.Engine != "" {
			line += ", names of " + s.Engine
		}
		if s.Message != "" {
			line += "; " + s.Message
		}
		wrap(b, sentence(line), "  ")
	}
	if len(e.Queries) > 0 {
		b.WriteString("\nPrometheus is asked:\n")
	}
	for _, q := range e.Queries {
		b.WriteString("  " + q + "\n")
	}
}
