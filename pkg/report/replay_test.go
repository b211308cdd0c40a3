package report

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

func TestDifferencesNamesEachValue(t *testing.T) {
	saved := planner.Decision{Prefill: planner.RoleDecision{From: 2, To: 3, Steps: []planner.Step{{Reason: "Objective", Before: 2, After: 3}}}, Summary: "same"}
	again := saved
	again.Prefill.To = 4
	again.Prefill.Steps = nil
	again.Prefill.BeforeMs = new(1500.5)
	want := []Difference{
		{"prefill.beforeMs", "-", "1500.5"},
		{"prefill.steps[0].after", "3", "-"},
		{"prefill.steps[0].before", "2", "-"},
		{"prefill.steps[0].reason", `"Objective"`, "-"},
		{"prefill.to", "3", "4"},
	}
	got := differences([]byte(marshal(t, saved)), []byte(marshal(t, again)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}

// The last bit of a number counts.
func TestMakeAgainComparesBitForBit(t *testing.T) {
	record := planner.Record{Version: planner.RecordVersion} // an empty spec is refused, the same way every time
	record.Decision = planner.Replay(record)
	if r, err := MakeAgain(record); err != nil || !r.Equal {
		t.Fatalf("replay of an unchanged record: %+v, %v", r, err)
	}
	record.Input.Spec.TTFT.Ms = 2000
	record.Decision = planner.Replay(record)
	record.Decision.Prefill.ObjectiveMs = math.Nextafter(2000, 3000)
	r, err := MakeAgain(record)
	if err != nil {
		t.Fatal(err)
	}
	want := Replay{Differences: []Difference{{"prefill.objectiveMs", "2000.0000000000002", "2000"}}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("replay (-want +got):\n%s", diff)
	}
}

func TestMakeAgainSaysWhatCannotBeCompared(t *testing.T) {
	record := planner.Record{Version: planner.RecordVersion}
	record.Decision.Prefill.Load = math.NaN()
	if _, err := MakeAgain(record); err == nil {
		t.Fatal("a decision that is no JSON was compared")
	}
}

// What older rules decided is shown as it was saved: to make it again by newer ones would prove nothing.
func TestARecordOfOlderRulesIsNotMadeAgain(t *testing.T) {
	record := planner.Record{Version: planner.RecordVersion - 1}
	record.Decision.Prefill.To = 7 // what no rule of today gives
	r, err := MakeAgain(record)
	if err != nil || r.Equal || r.Older != planner.RecordVersion-1 || len(r.Differences) > 0 {
		t.Errorf("replay: %+v, %v", r, err)
	}
}
