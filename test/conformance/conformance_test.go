package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.New(log.NullLogSink{}))
	// Behaviours wait far more than they work. Who knows better says so with -parallel.
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	os.Exit(m.Run())
}

// TestConformance tries every behaviour on the controller that is chosen by RBG, in every API version.
func TestConformance(t *testing.T) {
	s, err := readSettings()
	if err != nil {
		t.Fatal(err)
	}
	all := &report{}
	name := "the stand-in, test/rbgfake"
	if s.external {
		name = "the controller of the cluster of KUBECONFIG"
	}
	t.Cleanup(func() {
		all.print(os.Stdout, name)
		if err := all.write(s.report); err != nil {
			t.Errorf("CONFORMANCE_REPORT: %v", err)
		}
	})
	if s.external {
		external(t, s, all)
	} else {
		standIn(t, s, all)
	}
}

// external runs the suite in the cluster of KUBECONFIG.
func external(t *testing.T, s settings, to *report) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		t.Fatalf("RBG=external needs a cluster: KUBECONFIG=%q names none that can be used: %v", os.Getenv("KUBECONFIG"), err)
	}
	c, err := connect(t.Context(), s, "external", config)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := c.versions()
	if err != nil {
		t.Fatal(err)
	}
	c.reserve = newNodeReserver(t.Context(), c).reserve
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
		defer cancel()
		if err := c.restore(ctx); err != nil {
			t.Errorf("the cluster could not be left as it was: %v", err)
		}
	})
	for _, api := range versions {
		t.Run(api, func(t *testing.T) { c.run(t, api, to) })
	}
}

// run tries all behaviours of one API version, side by side.
func (c *cluster) run(t *testing.T, api string, to *report) {
	switch lost, err := c.alive(t, api); {
	case err != nil:
		to.add(result{API: api, Behaviour: "a controller is at work", Verdict: fail, Why: err.Error(), order: -1})
		t.Fatal(err)
	case lost != "":
		to.add(result{API: api, Behaviour: "the version can be used", Verdict: skip, Why: lost, order: -1})
		t.Skip(lost)
	}
	for i, b := range behaviours() {
		if b.api != "" && b.api != api {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			c.try(t, api, i, b, to)
		})
	}
}

// alive makes sure that somebody looks after groups at all, with one that needs no pods. It returns why an API version that is
// served cannot be used all the same, if it cannot.
func (c *cluster) alive(t *testing.T, api string) (lost string, err error) {
	if err := c.hasNode(t.Context()); err != nil {
		return "", err
	}
	ns, err := c.newNamespace(t.Context())
	if err != nil {
		return "", err
	}
	tr := &trial{T: t, cluster: c, api: api, ns: ns}
	tr.watch()
	defer tr.clean()
	g := tr.group(role{name: "prefill"})
	if err := c.client.Create(t.Context(), g); err != nil {
		if other := c.otherVersion(api); other != "" {
			return fmt.Sprintf("%s is served beside %s, and a group of it cannot be made (%v): is RBG's conversion webhook at work?", api, other, err), nil
		}
		return "", fmt.Errorf("a RoleBasedGroup of %s cannot be made in this cluster: %w", api, err)
	}
	if api == v1alpha1 && c.otherVersion(api) != "" && !converted(tr.read(rbg(v1alpha2, kindGroup), groupName)) {
		return "v1alpha1 is served beside v1alpha2 without RBG's conversion webhook: the controller does not understand what is written in it", nil
	}
	if err := tr.within(c.timeout, tr.wants("prefill", 0)); err != nil {
		return "", fmt.Errorf("nobody looks after RoleBasedGroups of %s: %w after %s; start RBG's controller in the cluster at %s", api, err, c.timeout, c.config.Host)
	}
	return "", nil
}

// converted reports whether a group that was written in v1alpha1 is one of v1alpha2 where it is read as one.
func converted(g *unstructured.Unstructured) bool {
	if g == nil {
		return false
	}
	roles, _, _ := unstructured.NestedSlice(g.Object, "spec", "roles")
	for _, r := range roles {
		if m, ok := r.(map[string]any); ok && m["standalonePattern"] == nil {
			return false
		}
	}
	return true
}

// otherVersion is the version of groups that the cluster serves too, empty where there is none.
func (c *cluster) otherVersion(api string) string {
	for _, other := range []string{v1alpha1, v1alpha2} {
		if other != api && c.serves(rbg(other, kindGroup)) {
			return other
		}
	}
	return ""
}
