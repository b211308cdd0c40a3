package charts

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// kustomize builds a kustomization with the kustomize that kubectl has in it.
func kustomize(t *testing.T, dir string) map[string]object {
	t.Helper()
	if testing.Short() {
		t.Skip("needs kubectl: not under -short")
	}
	bin, err := controlplane.Binaries(t.Context(), controlplane.NewProgress(os.Stderr), controlplane.Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, string(controlplane.Kubectl)), "kustomize", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, string(out))
}

// The chart with its default values is config/default, and what can be switched on is a component of config/. They may differ in
// what is said here and in nothing else.
func TestTheSameAsKustomize(t *testing.T) {
	for _, c := range []struct {
		set, kustomization string
		// onlyKustomize are objects that the chart has no part in, onlyChart the other way round.
		onlyKustomize, onlyChart []string
		// ignore are fields that differ on purpose, of kind/name.
		ignore map[string][]string
	}{
		{
			set: "default", kustomization: "../config/default",
			onlyKustomize: []string{"Namespace//pdautoscaler-system"}, // the release's is the person's to make
		},
		{
			set: "components", kustomization: "testdata/components",
			onlyKustomize: []string{
				"Namespace//pdautoscaler-system",
				"Secret/pdautoscaler-system/pdautoscaler-keda", // made by hand where no chart makes it
			},
			onlyChart: []string{
				"Issuer/pdautoscaler-system/pdautoscaler-self-signed", // an authority of its own, for KEDA's clients too
				"Certificate/pdautoscaler-system/pdautoscaler-ca",
				"Certificate/pdautoscaler-system/pdautoscaler-metrics",
				"Certificate/pdautoscaler-system/pdautoscaler-keda",
				"Certificate/pdautoscaler-system/pdautoscaler-keda-client",
			},
			ignore: map[string][]string{
				"Issuer/pdautoscaler":                  {"spec"},
				"Certificate/pdautoscaler-metrics-api": {"spec"},
				"ServiceMonitor/pdautoscaler":          {"spec.endpoints.0.tlsConfig"},           // with that authority the chart can name it
				"Deployment/pdautoscaler":              {"spec.template.spec.volumes", "mounts"}, // and the metrics port gets a certificate too
			},
		},
	} {
		t.Run(c.set, func(t *testing.T) {
			chart, config := objects(t, render(t, c.set)), kustomize(t, c.kustomization)
			for _, id := range c.onlyKustomize {
				delete(config, id)
				if chart[id] != nil {
					t.Errorf("the chart has %s", id)
				}
			}
			for _, id := range c.onlyChart {
				if delete(chart, id); config[id] != nil {
					t.Errorf("config/ has %s", id)
				}
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(config)), slices.Sorted(maps.Keys(chart))); diff != "" {
				t.Errorf("other objects (-kustomize +chart):\n%s", diff)
			}
			for id, of := range config {
				if chart[id] == nil {
					continue
				}
				kind, _, _ := strings.Cut(id, "/")
				ignore := c.ignore[kind+"/"+filepath.Base(id)]
				if kind == "CustomResourceDefinition" {
					ignore = []string{"spec"} // held to the letter by the test of charts/generate
				}
				if diff := cmp.Diff(withoutMarks(of, ignore), withoutMarks(chart[id], ignore)); diff != "" {
					t.Errorf("%s (-kustomize +chart):\n%s", id, diff)
				}
			}
		})
	}
}

// chartLabels say which release an object is of.
var chartLabels = []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}

// withoutMarks is an object without labels that only a chart has, without tags of images, and without ignored fields.
func withoutMarks(o object, ignore []string) object {
	delete(o, "ignored")
	for _, path := range ignore {
		if path == "mounts" { // without the metrics port's, and in any order
			container := o["spec"].(object)["template"].(object)["spec"].(object)["containers"].([]any)[0].(object)
			delete(container, "volumeMounts")
			container["args"] = slices.DeleteFunc(container["args"].([]any), func(a any) bool { return strings.HasPrefix(a.(string), "--metrics-cert-dir=") })
			slices.SortFunc(container["args"].([]any), func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
			slices.SortFunc(container["ports"].([]any), func(a, b any) int {
				return strings.Compare(a.(object)["name"].(string), b.(object)["name"].(string))
			})
			continue
		}
		cut(o, strings.Split(path, "."))
	}
	return clean(o).(object)
}

func cut(node any, path []string) {
	switch n := node.(type) {
	case object:
		if len(path) == 1 {
			delete(n, path[0])
			return
		}
		cut(n[path[0]], path[1:])
	case []any:
		cut(n[0], path[1:])
	}
}

func clean(node any) any {
	switch n := node.(type) {
	case []any:
		for i := range n {
			n[i] = clean(n[i])
		}
	case object:
		for key, value := range n {
			switch key {
			case "labels", "matchLabels", "selector":
				for _, label := range chartLabels {
					if of, ok := value.(object); ok {
						delete(of, label)
					}
				}
			case "annotations":
				delete(value.(object), "helm.sh/resource-policy")
			case "image":
				if image, ok := value.(string); ok {
					n[key], _, _ = strings.Cut(image, ":")
				}
			}
			n[key] = clean(n[key])
			if of, ok := n[key].(object); ok && len(of) == 0 && key != "podSelector" && key != "selfSigned" {
				delete(n, key)
			}
		}
	}
	return node
}
