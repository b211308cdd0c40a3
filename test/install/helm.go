package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// toolsModule pins helm and what checks rendered manifests.
const toolsModule = "test/tools/chart/go.mod"

// Helm is the command, with nothing of the person's own configuration.
type Helm struct {
	path string
	env  []string
}

// NewHelm builds helm where the build cache has none, which takes minutes once; PDAUTOSCALER_HELM names one that is at hand.
// Repository is the root of the checkout, home a folder for helm's own files.
func NewHelm(ctx context.Context, repository, home string) (*Helm, error) {
	path := os.Getenv("PDAUTOSCALER_HELM")
	if path == "" {
		cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+toolsModule, "-n", "helm")
		cmd.Dir = repository
		var err error
		if path, err = output(cmd); err != nil {
			return nil, fmt.Errorf("build helm: %w", err)
		}
	}
	env := os.Environ()
	for _, of := range []string{"CACHE", "CONFIG", "DATA"} {
		env = append(env, "HELM_"+of+"_HOME="+filepath.Join(home, strings.ToLower(of)))
	}
	return &Helm{path: strings.TrimSpace(path), env: env}, nil
}

// Run runs helm and returns what it prints. An error holds what it says on stderr.
func (h *Helm) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, h.path, args...)
	cmd.Env = h.env
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
