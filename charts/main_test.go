package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/install"
)

// Names of the release in every test, for which the chart's objects are called as those of config/.
const (
	release   = "pdautoscaler"
	namespace = "pdautoscaler-system"
)

func TestMain(m *testing.M) {
	var err error
	if helm.home, err = os.MkdirTemp("", "helm-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := controlplane.Main(m, controlplane.Options{})
	_ = os.RemoveAll(helm.home) // at worst some empty folders stay
	os.Exit(code)
}

var helm struct {
	once sync.Once
	*install.Helm
	home string // helm's own files, of this run
	err  error
}

// runHelm runs the pinned helm, which may have to be built first.
func runHelm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("helm may have to be built: not under -short")
	}
	helm.once.Do(func() {
		helm.Helm, helm.err = install.NewHelm(t.Context(), "..", helm.home)
	})
	if helm.err != nil {
		t.Fatal(helm.err)
	}
	return helm.Run(t.Context(), args...)
}

// render is what the chart makes of a set of values in testdata.
func render(t *testing.T, set string) string {
	t.Helper()
	out, err := runHelm(t, "template", release, "pdautoscaler", "--namespace", namespace, "--values", filepath.Join("testdata", set+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sets are the sets of values in testdata.
func sets(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) < 4 {
		t.Fatalf("sets of values: %v (%v)", paths, err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".yaml")
	}
	return paths
}

// object is one of a manifest.
type object = map[string]any

// objects are those of a manifest, by kind/namespace/name.
func objects(t *testing.T, manifest string) map[string]object {
	t.Helper()
	out := map[string]object{}
	for text := range strings.SplitSeq("\n"+manifest, "\n---") {
		var o object
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		if o == nil {
			continue
		}
		meta, _ := o["metadata"].(object)
		kind, _ := o["kind"].(string)
		ns, _ := meta["namespace"].(string)
		name, _ := meta["name"].(string)
		id := kind + "/" + ns + "/" + name
		if kind == "" || name == "" || out[id] != nil {
			t.Fatalf("an object without kind or name, or a second %s:\n%s", id, text)
		}
		out[id] = o
	}
	return out
}
