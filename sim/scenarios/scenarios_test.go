package scenarios

import (
	"slices"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/sim/report"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// Every file is in the gallery, says what it shows, can be built, and lets the project's planner be compared with others.
func TestGallery(t *testing.T) {
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(Names()) {
		t.Errorf("%d files, %d in the gallery", len(entries), len(Names()))
	}
	for _, name := range Names() {
		text, err := Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if h := report.HeadingOf(text, name); h.About == "" || h.Title == name {
			t.Errorf("%s does not say what it shows", name)
		}
		f, err := scenario.Parse([]byte(text), name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scenario.Build(f, name, scenario.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(s.Policies, "pdautoscaler") || !slices.Contains(s.Policies, "oracle") || len(s.Policies) < 6 {
			t.Errorf("%s compares %v", name, s.Policies)
		}
	}
	if _, err := Read("none"); err == nil || !strings.Contains(err.Error(), "allowed are [steady") {
		t.Error(err)
	}
}
