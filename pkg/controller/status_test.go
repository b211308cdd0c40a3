package controller

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// A service at rest is not written to, whatever the noise on its readings.
func TestIdleRoundsWriteNothing(t *testing.T) {
	w := newWorld(t, example())
	w.service.traffic(3, 2000, 200)
	w.rounds(45) // a window passes: what may go down has
	w.service.settle()
	w.rounds(10)
	w.log = nil
	random := rand.New(rand.NewPCG(1, 2))
	noisy := func(x float64) float64 { return x * (0.98 + 0.04*random.Float64()) }
	for range 60 {
		w.service.traffic(noisy(3), noisy(2000), noisy(200))
		w.service.signals.TTFTMs.Value, w.service.signals.TPOTMs.Value = noisy(600), noisy(30)
		w.rounds(1)
	}
	// Noise of 2 % may say something new once; a status that follows it would be
	// written 20 times, once in each quiet time.
	if len(w.log) > 1 {
		t.Errorf("%d writes in 60 idle rounds: %q", len(w.log), w.log)
	}
	w.log = nil
	w.service.traffic(3, 2000, 200)
	w.rounds(3) // back at rest
	w.log = nil
	w.rounds(60)
	w.wantLog()
}

// What changes all the time is written at its pace, what matters at once.
func TestLoadsAreWrittenAtTheirPace(t *testing.T) {
	w := newWorld(t, example())
	load := 0.5
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := scaleTo(2, 1)(in)
		d.Prefill.Load, d.Prefill.Ready, d.Prefill.Demand = load, 2, planner.Demand{Known: true, RequestsPerSecond: 2}
		return d, m
	}
	w.rounds(1)
	w.log = nil
	for range 9 {
		load *= 1.12
		w.rounds(1)
	}
	if len(w.log) != 3 {
		t.Errorf("a load that moved in each of 9 rounds over 90 s was written %d times, want once in 30 s", len(w.log))
	}
	w.log = nil
	w.service.shrink(planner.Prefill, 0)
	w.service.pools[planner.Prefill].Replicas[1].State = planner.Starting // it crashed
	w.rounds(1)
	w.wantLog("status")
}

// A condition's transition time is that of its status, not of the last look.
func TestTransitionTimesAreStable(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(2, 1)
	times := func() map[string]time.Time {
		m := map[string]time.Time{}
		for _, c := range w.resource().Status.Conditions {
			m[c.Type] = c.LastTransitionTime.UTC()
		}
		return m
	}
	w.rounds(1)
	first := times()
	if len(first) != 6 {
		t.Fatalf("%d conditions: %v", len(first), first)
	}
	w.service.grow(planner.Prefill, 1) // something to write
	w.rounds(3)
	if diff := cmp.Diff(first, times()); diff != "" {
		t.Errorf("nothing changed its status (-first +later):\n%s", diff)
	}
	w.service.observe = fmt.Errorf("timeout")
	changed := w.clock.Now()
	w.rounds(3)
	later := times()
	if got := later[v1alpha1.ConditionTargetFound]; !got.Equal(changed) {
		t.Errorf("TargetFound changed at %s, want %s", got, changed)
	}
}

func TestPrinterColumns(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(3, 1)
	w.service.signals.TPOTMs.Value = 80
	status := w.round().Status
	if status.Roles.Prefill.Replicas != "2/3" || status.Roles.Decode.Replicas != "1/1" || status.GPUs.Summary != "6/12" ||
		status.SLO.State != v1alpha1.SLOMissed || status.Reason != "Objective" || status.Message != "to 3 and 1" {
		t.Errorf("prefill %s, decode %s, GPUs %s, SLO %s, reason %s, message %q", status.Roles.Prefill.Replicas, status.Roles.Decode.Replicas,
			status.GPUs.Summary, status.SLO.State, status.Reason, status.Message)
	}
	if got := *status.SLO.TPOT.ObservedMicroseconds; got != 80000 {
		t.Errorf("observed TPOT is %d us, want 80000", got)
	}
}

// The list of decisions is bounded, newest first, and holds what changed something.
func TestDecisionsAreBounded(t *testing.T) {
	w := newWorld(t, example())
	for i := range 30 {
		w.decide = scaleTo(1+i%2, 1)
		w.rounds(1)
		w.service.settle()
	}
	all := w.resource().Status.Decisions
	if len(all) != v1alpha1.MaxDecisions {
		t.Fatalf("%d decisions are kept, want %d", len(all), v1alpha1.MaxDecisions)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Time.After(all[i-1].Time.Time) {
			t.Errorf("decision %d is newer than the one before it", i)
		}
		if all[i].Prefill.From == all[i].Prefill.To {
			t.Errorf("decision %d changed nothing: %+v", i, all[i])
		}
	}
}

// The status stays within what the CRD accepts, whatever is to be said.
func TestLongMessagesAreCut(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
		p.Annotations = map[string]string{v1alpha1.PausedAnnotation: strings.Repeat("ä\n", 100_000)}
	}))
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		if n := len(in.Spec.Paused); n > 2000 {
			t.Errorf("the planner was given a pause of %d bytes", n)
		}
		d, m := scaleTo(3, 1)(in)
		d.Summary, d.Prefill.Because = strings.Repeat("s", 10_000), strings.Repeat("ü", 10_000)
		d.Notes = []planner.Note{{Reason: planner.ReasonOverBudget, Message: strings.Repeat("ö", 10_000)}}
		return d, m
	}
	status := w.round().Status
	for _, text := range []string{status.Message, status.Roles.Prefill.Message, status.Decisions[0].Message, conditionMessage(status, v1alpha1.ConditionWithinBudget)} {
		if n := len([]rune(text)); n != maxMessageRunes || !strings.HasSuffix(text, "…") {
			t.Errorf("a message of %d characters, want it cut at %d", n, maxMessageRunes)
		}
	}
	for _, e := range w.events {
		if len(e) > maxNoteBytes+len("Warning OverBudget: ") {
			t.Errorf("an event of %d bytes", len(e))
		}
		if !utf8.ValidString(e) {
			t.Errorf("an event is cut within a character, which JSON makes three bytes of each of its own: %q", e[len(e)-8:])
		}
	}
}

func conditionMessage(s v1alpha1.PDAutoscalerStatus, name string) string {
	for _, c := range s.Conditions {
		if c.Type == name {
			return c.Message
		}
	}
	return ""
}

// Something that comes and goes is not announced each time it comes.
func TestStatesAreAnnouncedWhenTheyBegin(t *testing.T) {
	w := newWorld(t, example())
	flap := false
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := scaleTo(2, 1)(in)
		d.Notes = []planner.Note{{Reason: planner.ReasonCannotMeet, Role: planner.Decode, Message: "always"}}
		if flap = !flap; flap {
			d.Notes = append(d.Notes, planner.Note{Reason: planner.ReasonActivity, Role: planner.Prefill, Message: "now and then"})
		}
		return d, m
	}
	w.rounds(59) // just under the 10 minutes after which it would be said again
	for _, reason := range []string{"ObjectiveOutOfReach", "GPUActivity"} {
		if n := w.countEvents("Warning " + reason); n != 1 {
			t.Errorf("%s was announced %d times in 59 rounds", reason, n)
		}
	}
	w.wantCondition(v1alpha1.ConditionObjectivesReachable, metav1.ConditionFalse, planner.ReasonCannotMeet)
}

func TestRounded(t *testing.T) {
	for x, want := range map[float64]int64{-1: 0, 0: 0, 0.4: 0, 7: 7, 12.3: 12, 123.4: 120, 98765: 99000, 1e300: 1e15} {
		if got := rounded(x); got != want {
			t.Errorf("rounded(%g) = %d, want %d", x, got, want)
		}
	}
}

func TestShape(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"4.2 requests/s need 2 replicas", "3.97 requests/s need 12 replicas", true},
		{"1e+06 of it", "12 of it", true},
		{"need 2 replicas.", "need 2 replicas", false},
		{"prefill stays", "decode stays", false},
	} {
		if got := shape(c.a) == shape(c.b); got != c.same {
			t.Errorf("%q and %q: same shape %t, want %t", c.a, c.b, got, c.same)
		}
	}
}
