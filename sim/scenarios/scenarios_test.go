package scenarios

import (
	"slices"
	"strings"
	"testing"
	"time"

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

// What the files say of their fixed pairs holds: it is the cheapest that keeps the objectives, and within the cap of the swing
// none does, while the planner attains more than any.
func TestFixedPairsAreWhatTheyAreSaidToBe(t *testing.T) {
	for name, most := range map[string]float64{"steady": 1, "burst": 1, "failed-start": 1, "metrics-outage": 1, "swing": 0.9} {
		text, err := Read(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := scenario.Parse([]byte(text), name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scenario.Build(f, name, scenario.Options{Policies: []string{"static"}})
		if err != nil {
			t.Fatal(err)
		}
		tuned, err := s.Frontier(t.Context(), time.Now, s.Setup.Spec.TTFT.Quantile)
		if err != nil {
			t.Fatal(err)
		}
		asWritten, err := s.Run(t.Context(), time.Now, nil)
		if err != nil {
			t.Fatal(err)
		}
		best, got := tuned.Policies[0], asWritten.Policies[0]
		if got.GPUHours != best.GPUHours || got.Attainment != best.Attainment || got.Attainment > most {
			t.Errorf("%s: the pair attains %.4f on %.1f GPU-hours, the best fixed pair %.4f on %.1f; at most %v is said", name, got.Attainment, got.GPUHours, best.Attainment, best.GPUHours, most)
		}
		if name != "swing" {
			continue
		}
		s.Policies = []string{"pdautoscaler"}
		if own, err := s.Run(t.Context(), time.Now, nil); err != nil || own.Policies[0].Attainment <= best.Attainment || own.Policies[0].Moves == 0 {
			t.Errorf("the planner: %v, %+v", err, own.Policies[0])
		}
	}
}
