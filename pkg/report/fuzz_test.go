package report

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzReadRecords: whatever a file holds, it is refused in one line that names the place, or it is read whole: what is
// written again reads the same, can be decided on again and be explained.
func FuzzReadRecords(f *testing.F) {
	for _, name := range []string{"move-begins", "demand-unknown"} {
		data, err := os.ReadFile("../../cmd/pdctl/testdata/situations/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(shortened(f, data))
	}
	f.Add([]byte(`[{"version":1,"input":{},"decision":{}}, {"version":1,"input":{"now":"2026-03-01T12:00:00Z"},"decision":{}}]`))
	f.Add([]byte("{\"version\":1,\"input\":{},\"decision\":{}}\n{\"version\":1,\"input\":{\"spec\":{\"ttft\":{\"ms\":NaN}}},\"decision\":{}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := ReadRecords(bytes.NewReader(data), "f.json")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.json:") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("the refusal is not one line with a place: %q", err)
			}
			return
		}
		out, err := json.Marshal(records)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := ReadRecords(bytes.NewReader(out), "f.json")
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if diff := cmp.Diff(records, again); diff != "" {
			t.Fatalf("written and read again (-first +second):\n%s", diff)
		}
		for _, r := range records {
			replay, err := MakeAgain(r)
			e := OfRecord(r)
			if err == nil {
				e.Replay = &replay
			} else if strings.Contains(err.Error(), "\n") { // a service that no perfmodel gives may predict what is no JSON
				t.Fatalf("not one line: %q", err)
			}
			var text bytes.Buffer
			if err := e.Text(&text, time.Time{}); err != nil || text.Len() == 0 {
				t.Fatalf("no text: %v", err)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Fatalf("the explanation cannot be written as JSON: %v", err)
			}
		}
	})
}

// shortened keeps one element of each list of a document: the fuzzer is quick on short inputs only.
func shortened(f *testing.F, document []byte) []byte {
	var tree any
	if err := json.Unmarshal(document, &tree); err != nil {
		f.Fatal(err)
	}
	var cut func(v any) any
	cut = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key := range v {
				v[key] = cut(v[key])
			}
		case []any:
			for i := range v {
				v[i] = cut(v[i])
			}
			return v[:min(1, len(v))]
		}
		return v
	}
	out, err := json.Marshal(cut(tree))
	if err != nil {
		f.Fatal(err)
	}
	return out
}
