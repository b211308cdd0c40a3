package controller

import (
	"encoding/json"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// inMove plays a service until GPUs are on their way from prefill to decode.
func inMove(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, example())
	w.play(story[:2])
	draining := func() bool {
		m := w.resource().Status.Move
		return m != nil && m.Phase == string(planner.Draining)
	}
	if !w.playUntil([]scene{{60, 20, 400, 1100}}, draining) {
		t.Fatalf("no move began: %s", w.resource().Status.Message)
	}
	return w
}

// status changes the status as another version of the controller would have written it.
func (w *world) status(change func(*v1alpha1.PDAutoscalerStatus)) {
	w.t.Helper()
	pda := w.resource()
	change(&pda.Status)
	if err := w.api.Status().Update(w.t.Context(), pda); err != nil {
		w.t.Fatal(err)
	}
}

// A rolling upgrade in mid-move: the old leader wrote no version at all, the new one goes on with its move and ends it, and the
// budget is kept all along.
func TestUpgradeInMidMove(t *testing.T) {
	w := inMove(t)
	begun := *w.resource().Status.Move
	w.status(func(s *v1alpha1.PDAutoscalerStatus) { s.Memory.Version = 0 })
	w.restart()
	for range 40 {
		w.play([]scene{{1, 20, 400, 1100}})
		s := w.resource().Status
		if held := w.service.held(); held > 12 {
			t.Fatalf("%d GPUs are held of a budget of 12", held)
		}
		if s.Move != nil && s.Move.StartedAt.Equal(&begun.StartedAt) {
			continue
		}
		if got := w.service.pools[planner.Decode].Desired; got < int(begun.ReceiverAfter) {
			t.Fatalf("the move %+v is over, and decode has %d", begun, got)
		}
		if s.Memory.Version != planner.RecordVersion {
			t.Errorf("the memory is of version %d, want %d", s.Memory.Version, planner.RecordVersion)
		}
		return
	}
	t.Fatalf("the move of the old leader did not end: %+v", w.resource().Status.Move)
}

func (s *fakeService) held() int {
	return s.pools[planner.Prefill].HeldGPUs() + s.pools[planner.Decode].HeldGPUs()
}

// A roll-back in mid-move: what the newer leader wrote and this one does not know outlives all that this one writes, and so does
// its version. The API server keeps such fields, since a newer definition has them; here a document beside it does.
func TestNewerMemorySurvivesAnOlderController(t *testing.T) {
	w := inMove(t)
	w.status(func(s *v1alpha1.PDAutoscalerStatus) { s.Memory.Version = planner.RecordVersion + 7 })
	document := map[string]any{}
	text, err := json.Marshal(w.resource())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	status := document["status"].(map[string]any)
	status["memory"].(map[string]any)["learnt"] = map[string]any{"share": 0.5}
	status["memory"].(map[string]any)["prefill"].(map[string]any)["mood"] = "calm"
	status["move"].(map[string]any)["rank"] = 3.0
	patches := 0
	w.patched = func(data []byte) {
		var patch map[string]any
		if err := json.Unmarshal(data, &patch); err != nil {
			t.Errorf("the status was written by something else than a merge patch: %v", err)
		}
		merge(document, patch)
		patches++
		if m, moving := document["status"].(map[string]any)["move"].(map[string]any); moving && m["rank"] != 3.0 && patches == 1 {
			t.Errorf("the first patch destroys what the move held besides: %s", data)
		}
	}
	w.restart()
	for range 30 {
		w.play([]scene{{1, 20, 400, 1100}})
	}
	w.play(story[3:])
	memory := document["status"].(map[string]any)["memory"].(map[string]any)
	if patches < 5 {
		t.Fatalf("only %d patches were written: the test has no subject", patches)
	}
	if got := fmt.Sprintf("%v %v", memory["learnt"], memory["prefill"].(map[string]any)["mood"]); got != "map[share:0.5] calm" {
		t.Errorf("what the newer version wrote is %s after %d patches", got, patches)
	}
	if v := w.resource().Status.Memory.Version; v != planner.RecordVersion+7 || memory["version"] != float64(v) {
		t.Errorf("the version is %d (%v), want the newer one, %d", v, memory["version"], planner.RecordVersion+7)
	}
}

// merge applies a JSON merge patch (RFC 7396).
func merge(into, patch map[string]any) {
	for key, value := range patch {
		inner, object := value.(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case object:
			if _, there := into[key].(map[string]any); !there {
				into[key] = map[string]any{}
			}
			merge(into[key].(map[string]any), inner)
		default:
			into[key] = value
		}
	}
}

// A move of a newer version in a phase that this one does not know is left just as it is, and nothing is written, until it is
// gone; and a resource that is deleted meanwhile waits for it, but not for ever.
func TestAMoveThatIsNotUnderstoodIsLeftAlone(t *testing.T) {
	w := inMove(t)
	var foreign v1alpha1.MoveStatus
	w.status(func(s *v1alpha1.PDAutoscalerStatus) {
		s.Memory.Version, s.Move.Phase = planner.RecordVersion+1, "Handshake"
		foreign = *s.Move
	})
	w.restart()
	w.log = nil
	w.play([]scene{{3, 20, 400, 1100}})
	for _, what := range w.log {
		if what != "status" {
			t.Errorf("%q was written in the middle of a move that is not understood", what)
		}
	}
	s := w.resource().Status
	if s.Move == nil || *s.Move != foreign || s.Memory.Version != planner.RecordVersion+1 {
		t.Errorf("the move is %+v of version %d, want it as it was: %+v", s.Move, s.Memory.Version, foreign)
	}
	w.wantCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, ReasonStatusNewer)
	if n := w.countEvents("Warning MoveAbandoned"); n > 0 {
		t.Error("the move is said to be abandoned")
	}

	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.play([]scene{{1, 20, 400, 1100}})
	if s := w.resource().Status; s.Move == nil || *s.Move != foreign {
		t.Fatalf("the move of a deleted resource is %+v, want it as it was", s.Move)
	}
	w.pass(w.resource().Spec.Rebalance.DrainTimeout.Duration + w.resource().Spec.Rebalance.StartTimeout.Duration)
	if _, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key}); err != nil {
		t.Fatal(err)
	}
	if err := w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{}); !apierrors.IsNotFound(err) {
		t.Errorf("a deleted resource is held for ever: %v", err)
	}
}
