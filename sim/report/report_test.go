package report

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

const text = `# Swing: long prompts turn into long answers.
# Twelve GPUs are all there are.
model: qwen3-32b
gpu: h200
prefill: {tp: 2, replicas: 3}
decode: {tp: 2, replicas: 3}
traffic:
  generator:
    duration: 1h
    rate: 10
    input: {mean: 4600, scv: 1}
    output: {mean: 100, scv: 0.6}
    other: {input: {mean: 400, scv: 1}, output: {mean: 1950, scv: 0.6}}
    swingPeriod: 1h
slo: {ttft: {p95: 2s}, tpot: {p95: 30ms}}
budget: {gpus: 12}
startup: {prefill: 100s, decode: 100s}
readings: {noise: 0.02, outages: [{at: 33m, for: 2m}]}
`

var pagePolicies = []string{"static", "pdautoscaler", "keda-queue", "oracle"}

func played(t *testing.T) Input {
	t.Helper()
	f, err := scenario.Parse([]byte(text), "swing.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Build(f, "swing.yaml", scenario.Options{Policies: pagePolicies})
	if err != nil {
		t.Fatal(err)
	}
	s.Timelines = true
	r, err := s.Run(t.Context(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Input{Scenario: s, Text: text, Report: r}
}

func writePage(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, played(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The page holds every number that the report has, in words that a reader without pictures gets too, and asks for nothing.
func TestThePageTellsTheReport(t *testing.T) {
	in := played(t)
	var b bytes.Buffer
	if err := Write(&b, in); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"<h1>Swing</h1>", "Long prompts turn into long answers. Twelve GPUs are all there are.", "Both roles together hold at most 12 GPUs.",
		"within 2 s and its TPOT within 30 ms", "budget 12", "no readings", "<th scope=\"col\" data-panel=\"5\"", "swingPeriod: 1h"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, p := range in.Report.Policies {
		for _, want := range []string{`<th scope="row">` + p.Name, hours(p.GPUHours), percent(p.Attainment), `id="run-` + p.Name} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is not in the page", p.Name, want)
			}
		}
	}
	for _, wrong := range []string{"http://", "https://", "src=", "@import", "url(", "NaN", "ZgotmplZ"} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), wrong) {
			t.Errorf("%q is in the page", wrong)
		}
	}
	in.Report.Policies[0].Timeline = nil
	if err := Write(&b, in); err == nil || !strings.Contains(err.Error(), "static has no time line") {
		t.Errorf("a report without time lines: %v", err)
	}
}

// Every decision that changed a count is in the page with its reason, and every move of GPUs.
func TestDecisionsHaveReasons(t *testing.T) {
	in := played(t)
	p := &in.Report.Policies[1]
	r := newRun(in.Scenario, p)
	changes, moves := 0, 0
	for _, l := range r.lanes() {
		for _, e := range l.Events {
			if e.Why == "" || e.What == "" {
				t.Errorf("%s at %v: %q because %q", l.Name, e.Seconds, e.What, e.Why)
			}
			switch e.Mark {
			case "up", "down":
				changes++
			case "move":
				moves++
			}
		}
	}
	want := 0
	for _, c := range p.Changes {
		if c.From.Prefill != c.To.Prefill {
			want++
		}
		if c.From.Decode != c.To.Decode {
			want++
		}
	}
	if changes != want || want == 0 {
		t.Errorf("%d changes are marked, there were %d", changes, want)
	}
	if moves != p.Moves || moves == 0 {
		t.Errorf("%d moves are marked, there were %d", moves, p.Moves)
	}
}

func TestHeadingIsTheFirstComment(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want Heading
	}{
		"none":     {"model: x\n", Heading{Title: "s.yaml"}},
		"title":    {"# Steady.\nmodel: x\n", Heading{Title: "Steady"}},
		"cut":      {"# Steady: nothing happens.\n#\n# At all.\nmodel: x # no\n", Heading{"Steady", "Nothing happens. At all."}},
		"sentence": {"# Steady\n# Nothing happens.\n", Heading{"Steady", "Nothing happens."}},
		"colon":    {"# What: \n", Heading{Title: "What:"}},
	} {
		if diff := cmp.Diff(tc.want, HeadingOf(tc.text, "s.yaml")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPictureOfAPolicy(t *testing.T) {
	in := played(t)
	var b bytes.Buffer
	if err := Picture(&b, in, "pdautoscaler"); err != nil || !strings.Contains(b.String(), "Swing: pdautoscaler, ") {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	if err := Picture(&b, in, "magic"); err == nil || !strings.Contains(err.Error(), `no time line of "magic"`) {
		t.Error(err)
	}
}
