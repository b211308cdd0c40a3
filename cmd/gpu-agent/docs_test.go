package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/gpu-agent.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The document names every flag, field, metric and reason that there is.
func TestDocumentIsComplete(t *testing.T) {
	doc := document(t)
	wanted := map[string]bool{}
	for _, flag := range regexp.MustCompile(`(?m)^ +(--[a-z-]+)`).FindAllStringSubmatch(newCommand(io.Discard).Flags().FlagUsages(), -1) {
		wanted["`"+flag[1]+"`"] = true
	}
	if len(wanted) < 15 {
		t.Errorf("only the flags %v were found", wanted)
	}
	for _, set := range []gpu.Set{gpu.DeviceSet, gpu.ProfilingSet} {
		for _, f := range set.Fields() {
			wanted[f.Name], wanted[f.NameIn(gpu.NamesFrom46)] = true, true
		}
	}
	for pattern, files := range map[string]string{
		`"(pdautoscaler_[a-z_]+)"`:                 "internal/serve/*.go",
		`(?m)^\t[A-Za-z]+ +Reason = "([A-Za-z]+)"`: "internal/condition/condition.go",
	} {
		found := 0
		names, _ := filepath.Glob(files)
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
				found++
				wanted[m[1]] = true
			}
		}
		if found < 10 {
			t.Errorf("only %d matches of %s", found, pattern)
		}
	}
	for word := range wanted {
		if !strings.Contains(doc, word) {
			t.Errorf("docs/gpu-agent.md does not name %s", word)
		}
	}
}

// The DaemonSet of the document is one, and the agent takes its arguments.
func TestDaemonSetOfTheDocument(t *testing.T) {
	text, found := "", false
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(document(t), -1) {
		if strings.Contains(block[1], "kind: DaemonSet") {
			text, found = block[1], true
		}
	}
	set := appsv1.DaemonSet{}
	if err := yaml.UnmarshalStrict([]byte(text), &set); err != nil || !found {
		t.Fatalf("found %t, %v", found, err)
	}
	container := set.Spec.Template.Spec.Containers[0]
	cmd := newCommand(io.Discard)
	if err := cmd.ParseFlags(container.Args); err != nil {
		t.Error(err)
	}
	if port := fmt.Sprintf(":%d", container.Ports[0].ContainerPort); port != listen || cmd.Flag("listen").Value.String() != listen {
		t.Errorf("the port is %s, the agent's is %s", port, listen)
	}
	if socket := cmd.Flag("pod-resources").Value.String(); filepath.Dir(socket) != container.VolumeMounts[0].MountPath {
		t.Errorf("%s is mounted, the socket is %s", container.VolumeMounts[0].MountPath, socket)
	}
}

// The document's figures are those of the measurements that it names.
func TestMeasuredFigures(t *testing.T) {
	type step struct {
		Tokens, Batch, Context int
		Ms, Graphics, Watts    float64
		SM                     float64 `json:"sm_active"`
		Tensor                 float64 `json:"tensor_active"`
		DRAM                   float64 `json:"dram_active"`
		MHz                    float64 `json:"sm_mhz"`
	}
	doc := document(t)
	for _, table := range regexp.MustCompile(`(?s)<!-- (steps-\S+\.json) -->\n.*?\n\n`).FindAllStringSubmatch(doc, -1) {
		text, err := os.ReadFile("../../pkg/perfmodel/testdata/h200/" + table[1])
		if err != nil {
			t.Skipf("the measurements are not at hand: %v", err)
		}
		var measured struct{ Prefill, Decode []step }
		if err := json.Unmarshal(text, &measured); err != nil {
			t.Fatal(err)
		}
		rows := map[string]bool{}
		row := func(load string, s step) {
			rows[fmt.Sprintf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.0f | %.0f |", load, s.Ms, s.Graphics, s.SM, s.Tensor, s.DRAM, s.Watts, s.MHz)] = true
		}
		for _, s := range measured.Prefill {
			row(fmt.Sprintf("prefill of %d tokens", s.Tokens), s)
		}
		for _, s := range measured.Decode {
			sequences := "sequences"
			if s.Batch == 1 {
				sequences = "sequence"
			}
			row(fmt.Sprintf("decode of %d %s, context %d", s.Batch, sequences, s.Context), s)
		}
		lines := regexp.MustCompile(`(?m)^\| (prefill|decode) .*$`).FindAllString(table[0], -1)
		for _, line := range lines {
			if !rows[line] {
				t.Errorf("%s has no row %q", table[1], line)
			}
		}
		if len(lines) < 4 {
			t.Errorf("only %d rows from %s", len(lines), table[1])
		}
	}
}
