package check

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// Every block of YAML in a document is YAML, and what is of a PDAutoscaler has
// only fields that there are.
func TestYAMLInDocuments(t *testing.T) {
	found, ours := 0, 0
	for _, path := range documents(t) {
		for line, block := range blocks(read(t, path), "yaml") {
			for part := range strings.SplitSeq(block, "\n---\n") {
				found++
				var object map[string]any
				if err := yaml.Unmarshal([]byte(part), &object); err != nil {
					t.Errorf("%s:%d: %v", path, line, err)
					continue
				}
				if !isPDAutoscaler(object) {
					continue
				}
				ours++
				if _, inSpec := object["spec"]; !inSpec {
					part = "spec:\n  " + strings.ReplaceAll(part, "\n", "\n  ")
				}
				if err := yaml.UnmarshalStrict([]byte(part), &v1alpha1.PDAutoscaler{}); err != nil {
					t.Errorf("%s:%d: %v", path, line, err)
				}
			}
		}
	}
	if found < 6 || ours < 4 {
		t.Errorf("only %d blocks of YAML were found, %d of them of a PDAutoscaler", found, ours)
	}
}

// isPDAutoscaler reports whether an object is one, or a part of one: its spec, or fields of that.
func isPDAutoscaler(object map[string]any) bool {
	if kind, has := object["kind"]; has {
		return kind == "PDAutoscaler"
	}
	fields := object
	if spec, has := object["spec"].(map[string]any); has {
		fields = spec
	}
	for _, name := range []string{"target", "signals", "behavior", "slo", "rebalance"} {
		if _, has := fields[name]; has {
			return true
		}
	}
	return false
}

// blocks are the fenced blocks of a language by the line that they begin on.
func blocks(content, language string) map[int]string {
	all := map[int]string{}
	begin := 0
	var lines []string
	for i, line := range strings.Split(content, "\n") {
		switch {
		case begin == 0 && strings.TrimSpace(line) == "```"+language:
			begin, lines = i+2, nil
		case begin > 0 && strings.TrimSpace(line) == "```":
			all[begin] = strings.Join(lines, "\n")
			begin = 0
		case begin > 0:
			lines = append(lines, line)
		}
	}
	return all
}
