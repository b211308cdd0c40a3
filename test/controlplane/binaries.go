package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// Binaries returns a directory that holds an executable for each of the components, which are AllComponents where none
// is named. It builds them where they are missing, which takes minutes: see the package's documentation for the order.
func Binaries(ctx context.Context, progress *Progress, components ...Component) (string, error) {
	if len(components) == 0 {
		components = AllComponents
	}
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		missing := missingIn(dir, components)
		if len(missing) == 0 {
			return dir, nil
		}
		progress.Step("KUBEBUILDER_ASSETS=%s is not used: it has no %s", dir, joinComponents(missing))
	}
	b, builderErr := newBuilder(progress)
	if builderErr == nil && len(missingIn(b.outDir, components)) == 0 {
		return b.outDir, nil
	}
	for _, dir := range envtestStores() {
		if len(missingIn(dir, components)) == 0 {
			return dir, nil
		}
	}
	if builderErr != nil {
		return "", fmt.Errorf("no control plane binaries in KUBEBUILDER_ASSETS and none can be built: %w", builderErr)
	}
	if err := b.build(ctx); err != nil {
		return "", err
	}
	return b.outDir, nil
}

// missingIn returns the components that dir has no executable for.
func missingIn(dir string, components []Component) []Component {
	var missing []Component
	for _, c := range components {
		info, err := os.Stat(filepath.Join(dir, string(c)))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			missing = append(missing, c)
		}
	}
	return missing
}

// envtestStores returns the directories that setup-envtest has filled on this machine, the newest Kubernetes first. They
// hold etcd, kube-apiserver and kubectl only.
func envtestStores() []string {
	data := os.Getenv("XDG_DATA_HOME")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		data = filepath.Join(home, ".local", "share")
	}
	suffix := "-" + runtime.GOOS + "-" + runtime.GOARCH
	dirs, err := filepath.Glob(filepath.Join(data, "kubebuilder-envtest", "k8s", "*"+suffix))
	if err != nil {
		return nil
	}
	versionOf := func(dir string) *version.Version {
		v, err := version.ParseGeneric(strings.TrimSuffix(filepath.Base(dir), suffix))
		if err != nil {
			return version.MajorMinor(0, 0)
		}
		return v
	}
	sort.Slice(dirs, func(i, j int) bool { return versionOf(dirs[j]).LessThan(versionOf(dirs[i])) })
	return dirs
}
