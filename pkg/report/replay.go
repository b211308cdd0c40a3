package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Replay is the outcome of making a saved decision again.
type Replay struct {
	// Equal is true where the decision made again is the saved one, bit for bit.
	Equal bool `json:"equal"`
	// Older is the version of a record that was made by older rules; it is not made again, and 0 for any other.
	Older int `json:"older,omitempty"`
	// Differences are the values that are not the same, by their place in the decision.
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is one value that the replay does not give again. "-" stands for a value that is not there.
type Difference struct {
	Path     string `json:"path"`
	Saved    string `json:"saved"`
	Replayed string `json:"replayed"`
}

// MakeAgain decides again on a record's input and compares. Two decisions are equal when their JSON is: JSON gives every
// finite float64 back exactly. It is an error only where the decision cannot be written as JSON at all.
//
// A record of an older version was made by other rules: making it again would prove nothing, so it is not tried.
func MakeAgain(r planner.Record) (Replay, error) {
	if r.Version > 0 && r.Version < planner.RecordVersion {
		return Replay{Older: r.Version}, nil
	}
	saved, err := json.Marshal(r.Decision)
	if err != nil {
		return Replay{}, fmt.Errorf("the saved decision cannot be compared: %w", err)
	}
	again, err := json.Marshal(planner.Replay(r))
	if err != nil {
		return Replay{}, fmt.Errorf("the decision made again cannot be compared: %w", err)
	}
	if bytes.Equal(saved, again) {
		return Replay{Equal: true}, nil
	}
	return Replay{Differences: differences(saved, again)}, nil
}

// differences compares two JSON documents leaf by leaf.
func differences(saved, again []byte) []Difference {
	before, after := map[string]string{}, map[string]string{}
	leaves(saved, before)
	leaves(again, after)
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	var all []Difference
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		a, b := orNone(before, path), orNone(after, path)
		if a != b {
			all = append(all, Difference{Path: path, Saved: a, Replayed: b})
		}
	}
	return all
}

func orNone(m map[string]string, path string) string {
	if v, ok := m[path]; ok {
		return v
	}
	return "-"
}

// leaves collects the values of a JSON document by path, as they are written.
func leaves(document []byte, into map[string]string) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) == nil {
		collect("", v, into)
	}
}

func collect(path string, v any, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			collect(join(path, key), member, into)
		}
	case []any:
		for i, element := range v {
			collect(fmt.Sprintf("%s[%d]", path, i), element, into)
		}
	default:
		text, _ := json.Marshal(v)
		into[path] = string(text)
	}
}
