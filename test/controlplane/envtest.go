package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// EnvtestDownload is the environment variable that allows setup-envtest to download. Without it nothing is dialled.
const EnvtestDownload = "PDAUTOSCALER_ENVTEST_DOWNLOAD"

// envtestComponents are what setup-envtest offers: an API, and nobody who acts on it.
var envtestComponents = []Component{Etcd, APIServer, Kubectl}

// envtestPatience is for a download of about 80 MB. Where its index is out of reach it fails at once, as a rule.
const envtestPatience = 3 * time.Minute

// envtestStores returns the directories that setup-envtest has filled on this machine, the newest Kubernetes first.
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

// downloadEnvtest lets setup-envtest fill its store and returns the directory, or "" where that is not allowed, would not do
// or does not work: the build from source is the way that always does.
func (b *builder) downloadEnvtest(ctx context.Context, components []Component) string {
	if os.Getenv(EnvtestDownload) == "" || slices.ContainsFunc(components, func(c Component) bool { return !slices.Contains(envtestComponents, c) }) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, envtestPatience)
	defer cancel()
	b.progress.Step("downloading etcd and kube-apiserver with setup-envtest")
	dev := filepath.Join(b.moduleDir, "..", "dev", "go.mod")
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+dev, "setup-envtest", "use", "--print=path")
	cmd.Dir = filepath.Join(b.moduleDir, "..", "..", "..")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil {
		dir := strings.TrimSpace(string(out))
		if missing := missingIn(dir, components); len(missing) > 0 {
			err = fmt.Errorf("%s has no %s", dir, joinComponents(missing))
		} else {
			return dir
		}
	}
	b.progress.Step("setup-envtest did not serve: %v", goError("it failed", err, lastLine(said.String())))
	return ""
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
