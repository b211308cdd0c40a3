package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	if dir := b.downloadEnvtest(ctx, components); dir != "" {
		return dir, nil
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
