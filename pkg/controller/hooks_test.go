package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// words are what pods were told that nothing took back: a router hears of each
// hook by itself, and one is undone by the same hook only.
type words map[string]bool

func (w words) say(pod string, h workload.Hook)      { w[pod+" "+word(h)] = true }
func (w words) takeBack(pod string, h workload.Hook) { delete(w, pod+" "+word(h)) }

func word(h workload.Hook) string {
	switch {
	case h.Label != nil:
		return fmt.Sprintf("label %s=%s", h.Label.Key, h.Label.Value)
	case h.Annotation != nil:
		return fmt.Sprintf("annotation %s=%s", h.Annotation.Key, h.Annotation.Value)
	case h.HTTP != nil:
		return fmt.Sprintf("%s :%d%s, back %s", h.HTTP.Method, h.HTTP.Port, h.HTTP.Path, h.HTTP.CancelPath)
	}
	return "nothing"
}

func (w *world) wantWords(when string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(w.service.words))); diff != "" {
		w.t.Errorf("what pods believe %s (-want +got):\n%s", when, diff)
	}
}

// hook asks for another drain, or for none.
func hook(d *v1alpha1.Drain) func(*v1alpha1.PDAutoscaler) {
	return func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Behavior.Drain = d
		p.Default()
	}
}

func byLabel(key, value string) *v1alpha1.Drain {
	return &v1alpha1.Drain{DrainHook: v1alpha1.DrainHook{Label: &v1alpha1.PodMark{Key: key, Value: value}}}
}

func byHTTP(cancelPath string) *v1alpha1.Drain {
	return &v1alpha1.Drain{DrainHook: v1alpha1.DrainHook{HTTP: &v1alpha1.HTTPDrain{Port: 8000, Path: "/drain", CancelPath: cancelPath}}}
}

// A hook is edited in the middle of a drain: what was said by the old one is
// taken back by the old one, also by a controller that was not there when it was
// said; and a replica that goes all the same is told by the new one.
func TestHookEditedInMidDrain(t *testing.T) {
	const label, http = "prefill-2 label a=true", "prefill-2 POST :8000/drain, back /resume"
	for name, tc := range map[string]struct {
		from, to *v1alpha1.Drain
		told     string
		then     []string // where it goes all the same
	}{
		"another key":           {byLabel("a", ""), byLabel("b", ""), label, []string{"prefill-2 label b=true"}},
		"another value":         {byLabel("a", ""), byLabel("a", "yes"), label, []string{"prefill-2 label a=yes"}},
		"an annotation instead": {byLabel("a", ""), &v1alpha1.Drain{DrainHook: v1alpha1.DrainHook{Annotation: &v1alpha1.PodMark{Key: "a"}}}, label, []string{"prefill-2 annotation a=true"}},
		"HTTP instead":          {byLabel("a", ""), byHTTP("/resume"), label, []string{http}},
		"a label instead":       {byHTTP("/resume"), byLabel("a", ""), http, []string{label}},
		"another way back":      {byHTTP("/resume"), byHTTP("/undrain"), http, []string{"prefill-2 POST :8000/drain, back /undrain"}},
		"another deadline":      {byLabel("a", ""), &v1alpha1.Drain{Deadline: v1alpha1.Every(time.Hour), DrainHook: byLabel("a", "").DrainHook}, label, []string{label}},
		"no hook":               {byLabel("a", ""), nil, label, nil},
	} {
		for _, restarted := range []bool{false, true} {
			for _, goes := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, restarted %t, goes %t", name, restarted, goes), func(t *testing.T) {
					w := newWorld(t, example(hook(tc.from)))
					w.decide = scaleTo(1, 1)
					w.rounds(1)
					w.wantWords("at first", tc.told)
					w.edit(hook(tc.to))
					if restarted {
						w.restart()
					}
					if goes {
						w.rounds(1)
						w.wantWords("after the edit", tc.then...)
					}
					w.decide = scaleTo(2, 1)
					w.rounds(1)
					w.wantWords("in the end")
					if s := w.resource().Status; len(s.Drains) > 0 || len(w.resource().Finalizers) > 0 {
						t.Errorf("still on record: %+v", s.Drains)
					}
				})
			}
		}
	}
}

// An edit of the deadline alone is no other drain: it goes on since it began.
func TestDeadlineEditedInMidDrain(t *testing.T) {
	w := newWorld(t, example(withHook))
	w.decide = scaleTo(1, 1)
	w.rounds(1)
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Behavior.Drain.Deadline = v1alpha1.Every(20 * time.Second) })
	w.log = nil
	w.rounds(2)
	w.wantLog("status", "prefill 2->1", "status", "finalizers []")
}

// A status of a controller that did not write how: it was as the spec says.
func TestDrainOfAnOlderController(t *testing.T) {
	w := newWorld(t, example(hook(byLabel("a", ""))))
	w.decide = scaleTo(1, 1)
	w.rounds(1)
	w.status(func(s *v1alpha1.PDAutoscalerStatus) { s.Drains[0].How = nil })
	w.restart()
	w.log = nil
	w.rounds(1)
	if slices.Contains(w.log, "undrain prefill-2") {
		t.Errorf("it was taken back, although nothing changed: %q", w.log)
	}
	if d := w.resource().Status.Drains; len(d) != 1 || !d[0].Since.Time.Equal(start) || d[0].How == nil {
		t.Errorf("on record is %+v, want the same drain, and how", d)
	}
	w.decide = scaleTo(2, 1)
	w.rounds(1)
	w.wantWords("in the end")
}

// A word that cannot be taken back at once is not forgotten: not for the hook
// that came after it, and not when other replicas went meanwhile.
func TestWordThatIsOwed(t *testing.T) {
	t.Run("by a hook that was edited", func(t *testing.T) {
		w := newWorld(t, example(hook(byLabel("a", ""))))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.edit(hook(byLabel("b", "")))
		w.service.refuseDrain = errors.New("timeout")
		if d := w.rounds(1).Status.Drains; len(d) != 1 || d[0].How.Label.Key != "a" {
			t.Errorf("on record is %+v, want what the pod was told", d)
		}
		w.restart()
		w.service.refuseDrain = nil
		w.rounds(1)
		w.wantWords("when it could be told", "prefill-2 label b=true")
	})
	t.Run("while another goes", func(t *testing.T) {
		w := newWorld(t, example(hook(byLabel("a", ""))))
		w.service.grow(planner.Prefill, 1)
		w.service.settle()
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantWords("at first", "prefill-2 label a=true", "prefill-4 label a=true")
		w.decide, w.service.refuseDrain = scaleTo(2, 1), errors.New("timeout")
		w.rounds(3)
		w.service.settle()
		if n := len(w.service.pools[planner.Prefill].Replicas); n != 2 {
			t.Fatalf("%d replicas after the deadline, want 2", n)
		}
		w.service.refuseDrain = nil
		w.rounds(1)
		w.wantWords("in the end", "prefill-4 label a=true") // that one is gone
		if s := w.resource().Status; len(s.Drains) > 0 {
			t.Errorf("still on record: %+v", s.Drains)
		}
	})
}
