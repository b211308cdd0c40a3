package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/pdautoscaler/pdautoscaler"

// The agent is the only binary that needs cgo: no other package reaches go-dcgm,
// and without cgo everything builds.
func TestNothingElseNeedsCgo(t *testing.T) {
	for cgo, allowed := range map[string]map[string]bool{
		"1": {module + "/cmd/gpu-agent": true, module + "/cmd/gpu-agent/internal/dcgm": true},
		"0": {},
	} {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-f", `{{.ImportPath}} {{join .Deps " "}} `, module+"/...")
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for line := range strings.Lines(string(out)) {
			name, deps, _ := strings.Cut(line, " ")
			if !strings.Contains(deps, "github.com/NVIDIA/go-dcgm") {
				continue
			}
			found++
			if !allowed[name] {
				t.Errorf("with CGO_ENABLED=%s, %s depends on go-dcgm", cgo, name)
			}
		}
		if found != len(allowed) {
			t.Errorf("with CGO_ENABLED=%s, %d packages depend on go-dcgm, want %d", cgo, found, len(allowed))
		}
	}
}
