package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew, from the reports in testdata")

// seenPage is the suite and its results on real controllers, for people.
const seenPage = "../../docs/conformance.md"

// The real controllers that the suite was run on, and the reports it left ($CONFORMANCE_REPORT).
var seenOn = []struct{ name, api, report string }{
	{"v0.8.0-alpha.5", v1alpha2, "v0.8.0-alpha.5.json"},
	{"v0.8.0-alpha.5", v1alpha1, "v0.8.0-alpha.5.json"},
	{"v0.7.0", v1alpha2, "v0.7.0.json"},
	{"v0.7.0", v1alpha1, "v0.7.0.json"},
	{"v0.6.0", v1alpha1, "v0.6.0.json"},
}

// What is said of RBG is what was seen on it: every behaviour of the suite has a result on a real controller, none has failed,
// and the page says so.
func TestSeenOnRealControllers(t *testing.T) {
	columns := make([]map[string]result, len(seenOn))
	for i, on := range seenOn {
		columns[i] = readReport(t, on.report, on.api)
		for _, b := range behaviours() {
			if b.api != "" && b.api != on.api {
				continue
			}
			switch r, ok := columns[i][b.name]; {
			case !ok:
				t.Errorf("%s was never tried on RBG %s with %s: run it there and keep the report in testdata/%s", b.name, on.name, on.api, on.report)
			case r.Verdict == fail:
				t.Errorf("%s failed on RBG %s with %s: %s", b.name, on.name, on.api, r.Why)
			}
		}
	}
	page := seenText(columns)
	if *update {
		if err := os.WriteFile(seenPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(seenPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(old) != page {
		t.Errorf("%s is not what the suite and its reports say: go test ./test/conformance -run Seen -update", seenPage)
	}
}

func readReport(t *testing.T, file, api string) map[string]result {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(content, &results); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	out := map[string]result{}
	for _, r := range results {
		if r.API == api {
			out[r.Behaviour] = r
		}
	}
	return out
}

func seenText(columns []map[string]result) string {
	var b strings.Builder
	b.WriteString(`# How RoleBasedGroups behave

<!-- Written from the suite and its reports: go test ./test/conformance -run Seen -update. -->

What pkg/workload and the moves of GPUs rely on, as test/conformance checks it, and what came of it on real controllers of
RBG (github.com/sgl-project/rbg) on kube-apiserver 1.37.2 with the real scheduler and simulated kubelets. ` + "`make conformance`" + ` tries the
same on the stand-in of the tests, ` + "`make conformance RBG=external`" + ` on the controller of the cluster of $KUBECONFIG.

`)
	b.WriteString("| behaviour | what is known |")
	for _, on := range seenOn {
		fmt.Fprintf(&b, " %s, %s |", on.name, on.api)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(seenOn)) + "\n")
	for _, one := range behaviours() {
		fmt.Fprintf(&b, "| %s | %s |", one.name, cell(one.fact))
		for i := range columns {
			r, ok := columns[i][one.name]
			text := "" // not of that version
			if ok {
				text = string(r.Verdict)
				if note := strings.Join(r.Observed, "; ") + r.Why; note != "" {
					text += ": " + note
				}
			}
			fmt.Fprintf(&b, " %s |", cell(text))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cell is a text that fits into a table.
func cell(s string) string { return strings.ReplaceAll(firstLine(s), "|", "\\|") }
