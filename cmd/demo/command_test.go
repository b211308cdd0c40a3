package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/chart"
	"github.com/pdautoscaler/pdautoscaler/cmd/demo/internal/verdict"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// execute runs a command line that ends before anything is started, and returns what it prints.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	root := newCommand(out)
	root.SetArgs(args)
	failed := root.ExecuteContext(t.Context())
	printed, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(printed), failed
}

func TestPrintedLoadIsTheDemos(t *testing.T) {
	printed, err := execute(t, "--print-load")
	if err != nil {
		t.Fatal(err)
	}
	got, err := story.Read(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(story.Demo(), got); diff != "" {
		t.Errorf("the printed load is another one (-demo +printed):\n%s", diff)
	}
}

func TestBadFlags(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"phases": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no such load":       {[]string{"--load", "/no/such/file"}, "--load: open /no/such/file"},
		"a bad load":         {[]string{"--load", bad}, "phases is empty"},
		"a scale of nothing": {[]string{"--duration-scale", "0"}, "--duration-scale: the phases cannot be 0 times as long: allowed is 0.1 to 1000"},
		"no autoscaler":      {[]string{"--autoscaler", "/no/such/binary"}, "the autoscaler is not there"},
		"an argument":        {[]string{"quickly"}, "unknown command"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := execute(t, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestFilesReplaceOnlyTheirOwn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{summaryName, "mine.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("from before"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := openFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.lines(decisionsName, []planner.Record{{Version: 1}, {Version: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, summaryName)); !os.IsNotExist(err) {
		t.Error("the summary of an earlier run is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "mine.txt")); err != nil {
		t.Error("a file that is not the demo's is gone")
	}
	text, err := os.ReadFile(filepath.Join(dir, decisionsName))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines != 4 {
		t.Errorf("two records take %d lines, want a bracket, one each, a bracket", lines)
	}
}

func TestBandsLabelMovesThatFollowOneAnotherOnce(t *testing.T) {
	got := bands([]verdict.Move{
		{AtSeconds: 10, EndedAtSeconds: 22, To: planner.Decode, GPUs: 2},
		{AtSeconds: 22, EndedAtSeconds: 34, To: planner.Decode, GPUs: 4},
		{AtSeconds: 90, EndedAtSeconds: 99, To: planner.Decode, GPUs: 2},
		{AtSeconds: 99, To: planner.Prefill, GPUs: 2},
	})
	want := []chart.Move{
		{From: 10, To: 22, Label: "2 + 4 GPUs to decode"}, {From: 22, To: 34},
		{From: 90, To: 99, Label: "2 GPUs to decode"}, {From: 99, Label: "2 GPUs to prefill"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bands (-want +got):\n%s", diff)
	}
}
