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
		s := built(t, name)
		if !slices.Contains(s.Policies, "pdautoscaler") || !slices.Contains(s.Policies, "oracle") || len(s.Policies) < 6 {
			t.Errorf("%s compares %v", name, s.Policies)
		}
	}
	if _, err := Read("none"); err == nil || !strings.Contains(err.Error(), "allowed are [steady") {
		t.Error(err)
	}
}

// Every file of the table of results is in it, says what it shows, and lets the project's planner be compared with the oracle.
func TestResults(t *testing.T) {
	entries, err := resultFiles.ReadDir("results")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(ResultNames()) {
		t.Errorf("%d files, %d in the table", len(entries), len(ResultNames()))
	}
	for _, name := range ResultNames() {
		text, err := ReadResult(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := scenario.Parse([]byte(text), name)
		if err != nil {
			t.Fatal(err)
		}
		if h := report.HeadingOf(text, name); h.About == "" || h.Title == name {
			t.Errorf("%s does not say what it shows", name)
		}
		if !slices.Contains(f.Policies, "pdautoscaler") || !slices.Contains(f.Policies, "oracle") || len(f.Policies) < 6 {
			t.Errorf("%s compares %v", name, f.Policies)
		}
		if (f.Traffic.Trace == "") == (f.Traffic.Generator == nil) {
			t.Errorf("%s has %+v for traffic", name, f.Traffic)
		}
	}
	if _, err := ReadResult("none"); err == nil || !strings.Contains(err.Error(), "allowed are [azure-x24") {
		t.Error(err)
	}
}

// The fixed pair of each scenario serves it, so that it is a measure for those that scale. Within the cap of the swing no pair
// does, while the planner, which moves GPUs, attains more than any.
func TestFixedPairs(t *testing.T) {
	for _, name := range []string{"steady", "burst", "failed-start", "metrics-outage"} {
		s := built(t, name, "static")
		r, err := s.Run(t.Context(), time.Now, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.Policies[0].Attainment, s.Setup.Spec.TTFT.Quantile; got < want {
			t.Errorf("%s: the fixed pair attains %.4f, %v is asked for", name, got, want)
		}
	}
	s := built(t, "swing", "static")
	best, err := s.Frontier(t.Context(), time.Now, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	s.Policies = []string{"static", "pdautoscaler"}
	r, err := s.Run(t.Context(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	most, fixed, own := best.Policies[0].Attainment, r.Policies[0].Attainment, r.Policies[1]
	if most >= 0.9 || fixed != most || own.Attainment <= most || own.Moves == 0 {
		t.Errorf("swing: pairs attain at most %.4f, that of the file %.4f; the planner %.4f with %d moves", most, fixed, own.Attainment, own.Moves)
	}
}

func built(t *testing.T, name string, policies ...string) *scenario.Scenario {
	t.Helper()
	text, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := scenario.Parse([]byte(text), name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Build(f, name, scenario.Options{Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
