package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// pdctl runs one command line.
func pdctl(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environment{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs,
		now: func() time.Time { return time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC) },
	})
	return out.String(), errs.String(), code
}

// golden compares a text with a file of testdata, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test ./cmd/pdctl -update writes it anew, then read it aloud):\n%s", path, diff)
	}
}

func TestExplainSituations(t *testing.T) {
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			if *update {
				s.record(t)
			}
			file := filepath.Join("testdata", "situations", s.name+".json")
			stdout, stderr, code := pdctl(t, "", "explain", "--snapshot", file)
			if code != exitDone || stderr != "" {
				t.Fatalf("exit code %d, %s\n%s\nWhere a rule of the planner was meant to change: go test ./cmd/pdctl -update", code, stderr, stdout)
			}
			golden(t, filepath.Join("situations", s.name+".txt"), stdout)

			stdout, _, _ = pdctl(t, "", "explain", "--snapshot", file, "-o", "json")
			var e report.Explanation
			if err := json.Unmarshal([]byte(stdout), &e); err != nil {
				t.Fatal(err)
			}
			got := []planner.Reason{e.Roles[0].Binding, e.Roles[1].Binding}
			if diff := cmp.Diff([]planner.Reason{s.prefill, s.decode}, got); diff != "" {
				t.Errorf("binding reasons (-true cause +explained):\n%s", diff)
			}
		})
	}
}

// A decision that the planner does not make again is shown, value by value, and the exit code says no.
func TestExplainSaysThatAReplayDiffers(t *testing.T) {
	data, err := os.ReadFile("testdata/situations/prefill-surge.json")
	if err != nil {
		t.Fatal(err)
	}
	var record planner.Record
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	record.Decision.Prefill.To++
	record.Decision.Prefill.AfterMs = nil
	tampered, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := pdctl(t, string(tampered), "explain", "--snapshot", "-")
	if code != exitNo || !strings.Contains(stderr, "1 of 1 decisions made again are not the saved ones") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"the decision is not the saved one; 2 values are not the same:", "  prefill.afterMs: saved -, now 1", "  prefill.to: saved 6, now 5\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the text should say %q:\n%s", want, stdout)
		}
	}

	both := "[" + string(data) + "," + string(tampered) + "]"
	stdout, _, code = pdctl(t, both, "explain", "--snapshot", "-", "--history")
	if code != exitNo || strings.Count(stdout, " same ") != 1 || strings.Count(stdout, " DIFFERS ") != 1 {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
	for pick, want := range map[string]int{"1": exitDone, "2": exitNo, "-1": exitNo, "-2": exitDone} {
		if _, stderr, code := pdctl(t, both, "explain", "--snapshot", "-", "--record", pick); code != want {
			t.Errorf("--record %s: exit code %d: %s", pick, code, stderr)
		}
	}
}

// Several records are explained one after another, and are a list in JSON and YAML; one is an object.
func TestExplainSeveralRecords(t *testing.T) {
	one, err := os.ReadFile("testdata/situations/steady.json")
	if err != nil {
		t.Fatal(err)
	}
	lines := string(one) + string(one)
	stdout, stderr, code := pdctl(t, lines, "explain", "--snapshot", "-")
	if code != exitDone || strings.Count(stdout, "Decision of ") != 2 || !strings.Contains(stdout, "\n----\n") {
		t.Errorf("exit code %d: %s\n%s", code, stderr, stdout)
	}
	var all []report.Explanation
	stdout, _, _ = pdctl(t, lines, "explain", "--snapshot", "-", "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != 2 || !all[1].Replay.Equal {
		t.Errorf("%v:\n%s", err, stdout)
	}
	var single report.Explanation
	stdout, _, _ = pdctl(t, string(one), "explain", "--snapshot", "-", "-o", "yaml")
	if err := yaml.UnmarshalStrict([]byte(stdout), &single); err != nil || len(single.Roles) != 2 {
		t.Errorf("%v:\n%s", err, stdout)
	}
	if stdout, _, code = pdctl(t, "", "--version"); code != exitDone || !strings.HasPrefix(stdout, "pdctl version") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}
