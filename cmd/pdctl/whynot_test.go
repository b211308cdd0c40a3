package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// What speaks against other counts is said of each kind of cause: the objective, the budget, a bound, a window, a move, the
// tolerance, ignorance; and that they would hold and what they cost.
func TestWhyNot(t *testing.T) {
	var all strings.Builder
	for _, c := range []struct {
		situation, ask string
		reasons        []planner.Reason // that must be named, in any order
	}{
		{"prefill-surge", "prefill=4", []planner.Reason{planner.ReasonObjective}},
		{"prefill-surge", "prefill=9", []planner.Reason{planner.ReasonMaximum, planner.ReasonBudget}},
		{"steady", "decode=2", nil},
		{"steady", "prefill=1", []planner.Reason{planner.ReasonObjective, planner.ReasonWindow}},
		{"budget-too-small", "prefill=4,decode=3", []planner.Reason{planner.ReasonBudget}},
		{"window-holds", "prefill=2", []planner.Reason{planner.ReasonWindow}},
		{"one-fewer-refused", "prefill=2", []planner.Reason{planner.ReasonObjective}},
		{"move-draining", "decode=2", []planner.Reason{planner.ReasonMove, planner.ReasonObjective}},
		{"demand-unknown", "prefill=1", []planner.Reason{planner.ReasonDemandUnknown}},
		{"replica-given-up", "prefill=3", nil},
		{"after-restart", "prefill=2", []planner.Reason{planner.ReasonWarmUp}},
		{"gpus-busier", "prefill=1", []planner.Reason{planner.ReasonActivity}},
		{"paused", "prefill=3", []planner.Reason{planner.ReasonPaused}},
		{"kv-cache-full", "decode=1", []planner.Reason{planner.ReasonObjective}},
		{"steady", "decode=1", nil},
	} {
		file := filepath.Join("testdata", "situations", c.situation+".json")
		stdout, stderr, code := pdctl(t, "", "explain", "--snapshot", file, "--why-not", c.ask)
		if code != exitDone || stderr != "" {
			t.Fatalf("%s, %s: exit code %d, %s", c.situation, c.ask, code, stderr)
		}
		fmt.Fprintf(&all, "%s: why not %s?\n%s\n", c.situation, c.ask, stdout)
		stdout, _, _ = pdctl(t, "", "explain", "--snapshot", file, "--why-not", c.ask, "-o", "json")
		var w report.WhyNot
		if err := json.Unmarshal([]byte(stdout), &w); err != nil || w.Verdict == "" {
			t.Fatalf("%v in\n%s", err, stdout)
		}
		text := strings.Join(w.Sentences, " ")
		for _, reason := range c.reasons {
			if !strings.Contains(text, "("+string(reason)+")") {
				t.Errorf("%s, %s: %s is not named in %q", c.situation, c.ask, reason, text)
			}
		}
	}
	golden(t, "why-not.txt", all.String())
}

func TestWhyNotRefuses(t *testing.T) {
	file := filepath.Join("testdata", "situations", "steady.json")
	for ask, want := range map[string]string{
		"decode": "allowed is such as 'decode=6'", "decode=many": "allowed is such as", "decode=-1": "allowed is such as", "frontend=2": "allowed is such as",
		"decode=1,decode=2": "allowed is such as", "decode=2,": "allowed is such as",
	} {
		if _, stderr, code := pdctl(t, "", "explain", "--snapshot", file, "--why-not", ask); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, %s", ask, code, stderr)
		}
	}
	if _, stderr, code := pdctl(t, "", "explain", "qwen3", "--why-not", "decode=2"); code != exitUsage || !strings.Contains(stderr, "pdctl snapshot qwen3 saves one") {
		t.Errorf("without a record: exit code %d, %s", code, stderr)
	}
	if _, stderr, code := pdctl(t, "", "explain", "--snapshot", file, "--why-not", "decode=2", "--history"); code != exitUsage || !strings.Contains(stderr, "allowed is one of them") {
		t.Errorf("with --history: exit code %d, %s", code, stderr)
	}
}

// With the address of a controller its last record is explained, steps and all, and other counts are judged on it.
func TestExplainAsksTheController(t *testing.T) {
	record, err := os.ReadFile(filepath.Join("testdata", "situations", "prefill-surge.json"))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		_, _ = w.Write([]byte("[" + string(record) + "]"))
	}))
	defer server.Close()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	address := server.URL
	stdout, stderr, code := pdctl(t, "", "explain", "qwen3", "-n", "team", "--url", address)
	if code != exitDone || !strings.Contains(stdout, "Tried 5:") || !strings.Contains(stdout, "What binds is prefill compute") {
		t.Errorf("exit code %d: %s\n%s", code, stderr, stdout)
	}
	if stdout, stderr, code = pdctl(t, "", "explain", "qwen3", "-n", "team", "--url", address, "--why-not", "prefill=4"); code != exitDone || !strings.Contains(stdout, "would not do") {
		t.Errorf("exit code %d: %s\n%s", code, stderr, stdout)
	}
	if len(asked) != 2 || asked[0] != "/debug/decisions/team/qwen3?last=1" {
		t.Errorf("the controller was asked %q", asked)
	}
}
