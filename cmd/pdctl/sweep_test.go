package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const swept = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2}
decode: {tp: 2}
traffic: {trace: traces/t.csv}
slo: {ttft: {p95: 2s}, tpot: {p95: 40ms}}
policies: [static, pdautoscaler]
`

// folder holds a scenario with a trace.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "traces"), 0o755); err != nil {
		t.Fatal(err)
	}
	lines := []string{"arrival_s,input,output"}
	for i := range 300 {
		lines = append(lines, strconv.Itoa(i)+","+strconv.Itoa(200+i)+",50")
	}
	for name, text := range map[string]string{"s.yaml": swept, "traces/t.csv": strings.Join(lines, "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// One machine and the pods of the Job's manifest write the same, to the last byte.
func TestSweepOnOneMachineAndAsAJob(t *testing.T) {
	dir := folder(t)
	sweep := []string{"--sweep", "traffic.rateScale=1,4", "--sweep", "seed=1,2"}
	whole, stderr, code := pdctl(t, "", append([]string{"simulate", "-f", filepath.Join(dir, "s.yaml"), "-o", "json"}, sweep...)...)
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	text, stderr, code := pdctl(t, "", append([]string{"simulate", "-f", filepath.Join(dir, "s.yaml"), "--shards", "3", "--job-manifest", "--image", "example.org/pdctl:1", "--job-name", "sizes"}, sweep...)...)
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	config, job := manifestOf(t, text)
	if job.Name != "sizes" || *job.Spec.CompletionMode != batchv1.IndexedCompletion || *job.Spec.Completions != 3 || job.Spec.Template.Spec.Containers[0].Image != "example.org/pdctl:1" {
		t.Errorf("%+v", job.Spec)
	}

	// What a pod finds at its mount, and what it runs there.
	pod := t.TempDir()
	for _, item := range job.Spec.Template.Spec.Volumes[0].ConfigMap.Items {
		content := config.BinaryData[item.Key]
		if text, ok := config.Data[item.Key]; ok {
			content = []byte(text)
		}
		path := filepath.Join(pod, item.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var logs strings.Builder
	for _, index := range []string{"2", "0", "1"} {
		t.Setenv("JOB_COMPLETION_INDEX", index)
		var args []string
		for _, a := range job.Spec.Template.Spec.Containers[0].Args {
			args = append(args, strings.ReplaceAll(a, "/scenario/", pod+"/"))
		}
		out, stderr, code := pdctl(t, "", args...)
		if code != exitDone || strings.Count(out, "\n") != 1 {
			t.Fatalf("exit code %d, %d lines: %s", code, strings.Count(out, "\n"), stderr)
		}
		logs.WriteString(out)
	}
	merged, stderr, code := pdctl(t, logs.String(), "merge", "-", "-o", "json")
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if diff := cmp.Diff(whole, merged); diff != "" {
		t.Errorf("(-one machine +merged)\n%s", diff)
	}
	var report struct {
		Points, Pooled []struct {
			Set      map[string]string
			Policies []struct {
				Name     string
				Requests int
			}
		}
		Simulation struct{ Requests int }
	}
	if err := json.Unmarshal([]byte(merged), &report); err != nil || len(report.Points) != 4 || len(report.Pooled) != 2 || report.Points[3].Set["traffic.rateScale"] != "4" {
		t.Errorf("%v: %+v", err, report)
	}
	table, _, code := pdctl(t, logs.String(), "merge", "-")
	if code != exitDone || !strings.Contains(table, "traffic.rateScale") || !strings.Contains(table, "all 2") {
		t.Errorf("exit code %d:\n%s", code, table)
	}
}

func manifestOf(t *testing.T, text string) (config corev1.ConfigMap, job batchv1.Job) {
	t.Helper()
	parts := strings.Split(text, "---\n")
	if len(parts) != 3 {
		t.Fatalf("%d documents:\n%s", len(parts)-1, text)
	}
	if err := yaml.UnmarshalStrict([]byte(parts[1]), &config); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(parts[2]), &job); err != nil {
		t.Fatal(err)
	}
	return config, job
}

func TestSweepRefusesInOneSentence(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "s.yaml")
	outside := filepath.Join(dir, "outside.yaml")
	if err := os.WriteFile(outside, []byte(strings.Replace(swept, "traces/t.csv", "../t.csv", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"no sweep":       {"", []string{"simulate", "-f", file, "--shards", "2"}, "--sweep is missing"},
		"manifest":       {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--job-manifest"}, "--shards is missing"},
		"shard":          {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--shard", "1"}, "--shards is missing"},
		"which shard":    {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--shards", "2"}, "give --shard, or set JOB_COMPLETION_INDEX"},
		"beyond":         {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--shards", "2", "--shard", "2"}, "shard 2 of 2"},
		"many":           {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--shards", "2000"}, "--shards is 2000; allowed is 1 to 1000"},
		"report of one":  {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--report", "x.html", "--shards", "2"}, "give it without --shards"},
		"requests":       {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--requests-out", "x.csv"}, "allowed is one of them"},
		"report":         {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--report", filepath.Join(dir, "none", "x.html")}, "--report: open"},
		"stdin":          {"", []string{"simulate", "-f", file, "--trace", "-", "--sweep", "seed=1,2"}, "give a file"},
		"no values":      {"", []string{"simulate", "-f", file, "--sweep", "seed"}, `--sweep: "seed" is no sweep`},
		"unknown key":    {"", []string{"simulate", "-f", file, "--sweep", "sed=1"}, "with sed=1: key sed is unknown"},
		"bad value":      {"", []string{"simulate", "-f", file, "--sweep", "prefill.min=20"}, "prefill: min is 20 and max is 16"},
		"policies":       {"", []string{"simulate", "-f", file, "--sweep", "policies=[static],[oracle]"}, "policies cannot be swept"},
		"outside":        {"", []string{"simulate", "-f", outside, "--sweep", "seed=1,2", "--shards", "2", "--job-manifest"}, "../t.csv is not in the scenario's folder"},
		"trace":          {"", []string{"simulate", "-f", file, "--trace", "x.csv", "--sweep", "seed=1,2", "--shards", "2", "--job-manifest"}, "name it in the scenario"},
		"job name":       {"", []string{"simulate", "-f", file, "--sweep", "seed=1,2", "--shards", "2", "--job-manifest", "--job-name", "A b"}, `--job-name is "A b"`},
		"merge nothing":  {"", []string{"merge"}, "no file of shards is given"},
		"merge missing":  {"", []string{"merge", "none.json"}, "none.json"},
		"merge empty":    {"", []string{"merge", "-"}, "standard input holds no shard"},
		"merge no shard": {"{}", []string{"merge", "-"}, "standard input: shard 1: version is 0; allowed is 1"},
		"merge cut":      {`{"version":1,`, []string{"merge", "-"}, "standard input: shard 1"},
	} {
		stdout, stderr, code := pdctl(t, tc.stdin, tc.args...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: exit code %d, %q; want %q in it", name, code, stderr, tc.want)
		}
	}
}

// A report is drawn of the result, and refused where it cannot be.
func TestSimulateDraws(t *testing.T) {
	dir := folder(t)
	page := filepath.Join(dir, "out.html")
	if _, stderr, code := pdctl(t, "", "simulate", "-f", filepath.Join(dir, "s.yaml"), "--report", page); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	raw, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(raw), "<h3>pdautoscaler</h3>") {
		t.Errorf("%v, %d bytes", err, len(raw))
	}
	if _, stderr, code := pdctl(t, "", "simulate", "-f", filepath.Join(dir, "s.yaml"), "--report", page, "--sweep", "seed=1,2"); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if raw, err := os.ReadFile(page); err != nil || !strings.Contains(string(raw), "All seeds together") {
		t.Errorf("the sweep's page: %v, %d bytes", err, len(raw))
	}
	if _, stderr, code := pdctl(t, "", "simulate", "-f", filepath.Join(dir, "s.yaml"), "--report", filepath.Join(dir, "none", "out.html")); code != exitUsage || !strings.Contains(stderr, "--report: open") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := pdctl(t, "", "simulate", "-f", filepath.Join(dir, "s.yaml"), "--report", page, "--frontier", "--target", "0.9"); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// writeShards leaves both shards of a sweep in one file, as the logs of a Job's pods put together are.
func writeShards(t *testing.T, dir string) {
	t.Helper()
	var logs string
	for _, shard := range []string{"0", "1"} {
		out, stderr, code := pdctl(t, "", "simulate", "-f", filepath.Join(folder(t), "s.yaml"), "--sweep", "seed=1,2", "--shards", "2", "--shard", shard)
		if code != exitDone {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		logs += out
	}
	if err := os.WriteFile(filepath.Join(dir, "shards.jsonl"), []byte(logs), 0o600); err != nil {
		t.Fatal(err)
	}
}
