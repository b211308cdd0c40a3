package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The reference is of the definition that is installed.
func TestAPIPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../api.md")
	if err != nil {
		t.Fatal(err)
	}
	now, err := apiPage()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), now); diff != "" {
		t.Errorf("docs/api.md is not current: run make generate (-there +now):\n%s", diff)
	}
}

// What a person looks for is there: type, default, what is allowed, and the sentence of a refusal.
func TestAPIPageSays(t *testing.T) {
	page, err := apiPage()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `mode` | string | `Recommend` | `Auto`, `Recommend`, `Metrics` | mode says who writes the replicas",
		"| `max` (required) | integer |  | 1 to 4096 |",
		"| `interval` | duration | `10s` |",
		"- Rule: min must be at most max.",
		"[spec.roles.decode.scaleDown](#specrolesdecodescaledown)",
		"\n## status.roles.decode\n",
		"| `decodePrefix` (required) | string |  |  | See `prefillPrefix`. |",
		"pdautoscaler.io/paused",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("nothing says %q", want)
		}
	}
}
