package story

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDemoTellsFourActsInFourMinutes(t *testing.T) {
	s := Demo()
	if diff := cmp.Diff([]string{"quiet", "long prompts", "long answers", "lull"}, s.ActNames()); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
	if d := s.Load.Duration(); d != 4*time.Minute {
		t.Errorf("the demo's load lasts %s, want 4m0s", d)
	}
	for _, a := range s.Acts {
		if a.To-a.JudgedFrom < 20*time.Second {
			t.Errorf("%s is judged over %s only", a.Name, a.To-a.JudgedFrom)
		}
	}
}

func TestActs(t *testing.T) {
	s, err := Read(strings.NewReader(`{"phases": [
		{"name": "a", "durationSeconds": 10, "requestsPerSecond": 1, "inputTokens": 1, "outputTokens": 1},
		{"name": "turn (warm-up)", "durationSeconds": 2, "requestsPerSecond": 1, "inputTokens": 1, "outputTokens": 1},
		{"name": "b (warm-up)", "durationSeconds": 3, "rampSeconds": 3, "requestsPerSecond": 1, "inputTokens": 1, "outputTokens": 1},
		{"name": "b", "durationSeconds": 5, "requestsPerSecond": 1, "inputTokens": 1, "outputTokens": 1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Act{{Name: "a", Judged: 0, From: 0, JudgedFrom: 0, To: 10 * time.Second},
		{Name: "b", Judged: 3, From: 10 * time.Second, JudgedFrom: 15 * time.Second, To: 20 * time.Second}}
	if diff := cmp.Diff(want, s.Acts); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
	for at, want := range map[time.Duration]struct {
		act    int
		judged bool
	}{0: {0, true}, 9 * time.Second: {0, true}, 10 * time.Second: {1, false}, 15 * time.Second: {1, true}, time.Hour: {1, true}} {
		if act, judged := s.ActAt(at); act != want.act || judged != want.judged {
			t.Errorf("at %s act %d plays (judged: %t), want %d (%t)", at, act, judged, want.act, want.judged)
		}
	}
}

func TestStretched(t *testing.T) {
	s, err := Demo().Stretched(0.25)
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Load.Duration(); d != time.Minute {
		t.Errorf("a quarter of the demo lasts %s, want 1m0s", d)
	}
	whole := Demo()
	if got := whole.Load.Duration(); got != 4*time.Minute {
		t.Errorf("the demo itself has become %s long", got)
	}
	for _, p := range s.Load.Phases {
		if p.RampSeconds > p.DurationSeconds {
			t.Errorf("phase %s ramps for %v s and lasts %v s", p.Name, p.RampSeconds, p.DurationSeconds)
		}
	}
	for _, factor := range []float64{0, -1, 1e9} {
		if _, err := s.Stretched(factor); err == nil {
			t.Errorf("a factor of %v is taken", factor)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	phase := func(name string) string {
		return `{"name": "` + name + `", "durationSeconds": 10, "requestsPerSecond": 1, "inputTokens": 1, "outputTokens": 1}`
	}
	tests := map[string]struct{ json, want string }{
		"no JSON":           {"quiet", "not a load in JSON"},
		"unknown key":       {`{"phases": [], "phase": 1}`, `unknown field "phase"`},
		"no phases":         {`{"phases": []}`, "phases is empty"},
		"warm-up at end":    {`{"phases": [` + phase("a") + "," + phase("b (warm-up)") + `]}`, `ends with phase "b (warm-up)"`},
		"negative duration": {`{"phases": [{"name": "a", "durationSeconds": -1, "inputTokens": 1, "outputTokens": 1}]}`, "durationSeconds is -1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tc.json))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
