package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// BinDir holds the binaries of the control plane, kubectl among them.
func (cp *ControlPlane) BinDir() string { return cp.binDir }

// KubectlPath is the kubectl of the control plane's own version.
func (cp *ControlPlane) KubectlPath() string { return filepath.Join(cp.binDir, string(Kubectl)) }

// Kubectl runs kubectl as the administrator and returns what it prints. An error holds what it says on stderr.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	return cp.KubectlInput(ctx, "", args...)
}

// KubectlInput is Kubectl with something to read, as in `kubectl apply -f -`.
func (cp *ControlPlane) KubectlInput(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, cp.KubectlPath(), append([]string{"--kubeconfig=" + cp.Kubeconfig}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
