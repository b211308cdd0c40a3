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
	if err := c.alive(t, api); err != nil {
		to.add(result{API: api, Behaviour: "a controller is at work", Verdict: fail, Why: err.Error(), order: -1})
		t.Fatal(err)
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

// alive makes sure that somebody looks after groups at all, with one that needs no pods.
func (c *cluster) alive(t *testing.T, api string) error {
	ns, err := c.newNamespace(t.Context())
	if err != nil {
		return err
	}
	tr := &trial{T: t, cluster: c, api: api, ns: ns}
	tr.watch()
	defer tr.clean()
	if err := c.client.Create(t.Context(), tr.group(role{name: "prefill"})); err != nil {
		return fmt.Errorf("a RoleBasedGroup of %s cannot be made in this cluster: %w", api, err)
	}
	err = tr.within(c.timeout, func() error {
		g := tr.theGroup()
		if n := integer(g.Object, "status", "observedGeneration"); n > 0 {
			return nil
		}
		if list, _, _ := unstructured.NestedSlice(g.Object, "status", "roleStatuses"); len(list) > 0 {
			return nil
		}
		return errMissing
	})
	if err != nil {
		return fmt.Errorf("nobody looks after RoleBasedGroups of %s: one had no status after %s; start RBG's controller in the cluster at %s", api, c.timeout, c.config.Host)
	}
	return nil
}
