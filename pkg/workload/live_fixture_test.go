package workload_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

const config = "../../config"

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.New(log.NullLogSink{}))
	os.Exit(controlplane.Main(m, controlplane.Options{BeforeControllers: install}))
}

// install brings the definitions, and the roles that the product is installed
// with: the tests read and write with the controller's own permissions.
func install(ctx context.Context, admin *rest.Config) error {
	if err := rbgfake.Install(ctx, admin); err != nil {
		return err
	}
	if _, err := envtest.InstallCRDs(admin, envtest.CRDInstallOptions{Paths: []string{config + "/crd/bases"}, ErrorIfPathMissing: true, MaxTime: patience}); err != nil {
		return err
	}
	c, err := client.New(admin, client.Options{})
	if err != nil {
		return err
	}
	paths, err := filepath.Glob(config + "/rbac/*.yaml")
	if err != nil {
		return err
	}
	for _, path := range append([]string{config + "/manager/namespace.yaml"}, paths...) {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		if err := create(ctx, c, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// create makes every object of a file.
func create(ctx context.Context, c client.Client, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		u := &unstructured.Unstructured{}
		if err := documents.Decode(&u.Object); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := c.Create(ctx, u); err != nil {
			return err
		}
	}
}

// service is the running example in a namespace of its own, with one GPU node,
// and a Workload that looks at it through a cache, as the controller does.
type service struct {
	t        *testing.T
	admin    client.Client
	workload *workload.Workload
	target   workload.Target
	node     string
	product  string
	// stopGroups ends the stand-in for the controller of groups.
	stopGroups func()
}

// patience is how long a test waits for what must come: only a hang takes longer, on a busy machine too.
const patience = 3 * time.Minute

const controllerUser = "system:serviceaccount:pdautoscaler-system:pdautoscaler"

// newService starts the stand-in for the controller of groups, and makes the
// example where there is one.
func newService(t *testing.T, gpus int, options rbgfake.Options, example *rbgfake.Example) *service {
	t.Helper()
	cp := controlplane.ForTest(t)
	ns, err := cp.NewNamespace(t.Context(), "workload")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, product: "product-of-" + ns, target: workload.Target{
		Namespace: ns, Group: "dynamo-pd", FrontendRole: "processor", Autoscaler: "none",
		Roles: map[planner.Role]string{planner.Prefill: "prefill", planner.Decode: "decode"},
	}}
	nodes, err := cp.AddGPUNodes(t.Context(), 1, gpus, s.product)
	if err != nil {
		t.Fatal(err)
	}
	s.node = nodes[0]
	if s.admin, err = client.New(cp.Config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	s.runGroups(options)
	s.workload = s.workloadAs(controllerUser)
	if example != nil {
		s.create(s.example(*example))
	}
	return s
}

// runGroups starts the stand-in for the controller of groups.
func (s *service) runGroups(options rbgfake.Options) {
	options.Namespaces = []string{s.target.Namespace}
	admin := controlplane.ForTest(s.t).Config
	s.stopGroups = s.background(func(ctx context.Context) error { return rbgfake.Run(ctx, admin, options) })
}

// background runs something until it is stopped or the test ends.
func (s *service) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// hold keeps all pods that there are from going away, whoever deletes them, until they are let go: what is seen while a pod
// terminates does not depend on when it is looked at.
func (s *service) hold() (letGo func()) {
	s.t.Helper()
	set := func(finalizers []string) {
		s.t.Helper()
		var pods corev1.PodList
		if err := s.admin.List(s.t.Context(), &pods, client.InNamespace(s.target.Namespace)); err != nil {
			s.t.Fatal(err)
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range pods.Items {
			if err := s.admin.Patch(s.t.Context(), &pods.Items[i], client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
				s.t.Fatal(err)
			}
		}
	}
	set([]string{"example.com/held"})
	return func() { s.t.Helper(); set(nil) }
}

// workloadAs returns a Workload with somebody's permissions.
func (s *service) workloadAs(user string) *workload.Workload {
	s.t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		s.t.Fatal(err)
	}
	as := rest.CopyConfig(controlplane.ForTest(s.t).Config)
	as.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	as.QPS = -1
	live, err := client.New(as, client.Options{Scheme: scheme})
	if err != nil {
		s.t.Fatal(err)
	}
	cached, err := cache.New(as, cache.Options{Scheme: scheme})
	if err != nil {
		s.t.Fatal(err)
	}
	s.background(cached.Start)
	return workload.New(cached, live, workload.WithLiveReader(live))
}

func (s *service) example(e rbgfake.Example) *unstructured.Unstructured {
	e.Namespace, e.NodeSelector = s.target.Namespace, map[string]string{controlplane.LabelGPUProduct: s.product}
	return rbgfake.DynamoPD(e)
}

func (s *service) create(o client.Object) {
	s.t.Helper()
	if err := s.admin.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) apply(role planner.Role, from, to int) {
	s.t.Helper()
	if err := s.workload.Apply(s.t.Context(), s.target, role, from, to); err != nil {
		s.t.Fatal(err)
	}
}

// eventually observes until both roles look as they should. A role in brief is
// its desired count and its replicas, the one that goes first last.
func (s *service) eventually(prefill, decode string) workload.Observation {
	s.t.Helper()
	return s.until(fmt.Sprintf("\n  prefill %s\n  decode  %s", prefill, decode), func(o *workload.Observation) bool {
		return brief(o.Prefill) == prefill && brief(o.Decode) == decode
	})
}

// until observes until something holds. Groups, pods and nodes come by ways of their own: what one of them shows another may show later.
func (s *service) until(what string, holds func(*workload.Observation) bool) workload.Observation {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		o, err := s.workload.Observe(ctx, s.target, time.Now())
		if err == nil && holds(&o) {
			return o
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("waited for %s\nand saw at last\n  prefill %s, held by %q\n  decode  %s, held by %q\n  error %v",
				what, brief(o.Prefill), o.Prefill.Held, brief(o.Decode), o.Decode.Held, err)
		case <-tick.C:
		}
	}
}

func brief(p planner.Pool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", p.Desired)
	for _, r := range p.Replicas {
		fmt.Fprintf(&b, " %s=%s/%d", r.Name[strings.LastIndex(r.Name, "-")+1:], r.State, r.GPUs)
	}
	return b.String()
}
