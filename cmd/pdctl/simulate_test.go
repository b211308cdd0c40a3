package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The example scenario is one: it runs as it is printed, and each output says the same.
func TestSimulateTheExample(t *testing.T) {
	dir := t.TempDir()
	text, _, code := pdctl(t, "", "simulate", "--example")
	if code != exitDone {
		t.Fatalf("--example: exit code %d", code)
	}
	file, requests := filepath.Join(dir, "scenario.yaml"), filepath.Join(dir, "requests.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := pdctl(t, "", "simulate", "-f", file, "-o", "json", "--policy", "static,pdautoscaler", "--requests-out", requests)
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var report struct {
		Policies []struct {
			Name       string
			Requests   int
			Completed  int
			Attainment float64
			GPUHours   float64 `json:"gpuHours"`
		}
		Simulation struct{ Requests int }
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, name := range []string{"static", "pdautoscaler"} {
		p := report.Policies[i]
		if p.Name != name || p.Completed != p.Requests || p.GPUHours <= 0 || p.Attainment <= 0.9 {
			t.Errorf("%+v", p)
		}
		total += p.Completed
	}
	raw, err := os.ReadFile(requests)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(raw), "\n"); lines != total+1 || report.Simulation.Requests != total {
		t.Errorf("%d lines of requests and %d requests, %d ended", lines, report.Simulation.Requests, total)
	}
	fromStdin, _, code := pdctl(t, text, "simulate", "-f", "-", "--stepwise", "--policy", "static,pdautoscaler")
	if code != exitDone || !strings.Contains(fromStdin, "pdautoscaler") || strings.Contains(fromStdin, "oracle") {
		t.Errorf("exit code %d:\n%s", code, fromStdin)
	}
}

func TestSimulateRefusesInOneSentence(t *testing.T) {
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"no file":      {"", nil, "--file is missing"},
		"missing file": {"", []string{"-f", "none.yaml"}, "none.yaml"},
		"both stdin":   {"", []string{"-f", "-", "--trace", "-"}, "--file and --trace are both standard input"},
		"unknown key":  {"modell: x\n", []string{"-f", "-"}, "standard input line 1: key modell is unknown"},
		"format":       {"", []string{"-o", "html"}, "allowed is table, json or yaml"},
		"policy":       {exampleScenario, []string{"-f", "-", "--policy", "magic"}, `policy "magic" is unknown`},
		"frontier":     {"", []string{"-f", "x.yaml", "--frontier", "--requests-out", "r.csv"}, "--requests-out goes with one simulation"},
		"target":       {"", []string{"-f", "x.yaml", "--frontier", "--target", "99"}, "allowed is a share above 0 and below 1"},
		"out":          {exampleScenario, []string{"-f", "-", "--requests-out", "/nonexistent/r.csv"}, "--requests-out"},
	} {
		stdout, stderr, code := pdctl(t, tc.stdin, append([]string{"simulate"}, tc.args...)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: exit code %d, %q; want %q in it", name, code, stderr, tc.want)
		}
	}
}
