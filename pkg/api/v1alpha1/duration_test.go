package v1alpha1

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationJSON(t *testing.T) {
	const refused = -1
	for text, want := range map[string]time.Duration{
		`"500ms"`: 500 * time.Millisecond,
		`"2m30s"`: 150 * time.Second,
		`"1.5h"`:  90 * time.Minute,
		`"0s"`:    0,
		`null`:    0,
		`"-1s"`:   refused,
		`"5"`:     refused,
		`""`:      refused,
		`10`:      refused,
		`{}`:      refused,
	} {
		var d Duration
		err := json.Unmarshal([]byte(text), &d)
		if (err != nil) != (want == refused) || err == nil && d.Duration != want {
			t.Errorf("%s is read as %s, %v; want %s", text, d.Duration, err, want)
		}
	}
}

// What is accepted is not negative, and survives being written and read again.
// (Not a native fuzz test: those compile all of Kubernetes anew.)
func TestAnyDurationRoundTrips(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?([0-9]{1,19}([.][0-9]{1,12})?(ns|us|µs|ms|s|m|h)){0,3}`))
	rapid.Check(t, func(t *rapid.T) {
		quoted, err := json.Marshal(text.Draw(t, "text"))
		if err != nil {
			t.Fatal(err)
		}
		var first, second Duration
		if json.Unmarshal(quoted, &first) != nil {
			return
		}
		if first.Duration < 0 {
			t.Fatalf("%s is accepted as %s", quoted, first.Duration)
		}
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &second); err != nil || second != first {
			t.Fatalf("%s is written as %s and read back as %s, %v", quoted, again, second.Duration, err)
		}
	})
}
