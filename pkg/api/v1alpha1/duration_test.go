package v1alpha1

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDurationJSON(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"500ms"`: 500 * time.Millisecond,
		`"2m30s"`: 150 * time.Second,
		`"1.5h"`:  90 * time.Minute,
		`"0s"`:    0,
		`"-1s"`:   0,
		`"5"`:     0,
		`""`:      0,
		`10`:      0,
		`null`:    0,
		`{}`:      0,
	} {
		var d Duration
		err := json.Unmarshal([]byte(text), &d)
		if refused := want == 0 && text != `null`; (err != nil) != refused || d.Duration != want {
			t.Errorf("%s is read as %s, %v; want %s", text, d.Duration, err, want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"500ms", "2m30s", "-1s", "1e9h", "", "９s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Skip()
		}
		var first, second Duration
		if json.Unmarshal(quoted, &first) != nil {
			return
		}
		if first.Duration <= 0 {
			t.Fatalf("%q is accepted as %s", text, first.Duration)
		}
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &second); err != nil || second != first {
			t.Fatalf("%q is written as %s and read back as %s, %v", text, again, second.Duration, err)
		}
	})
}
