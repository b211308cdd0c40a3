package rbgfake

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options vary the behaviour. The zero value is a v0.8 controller of all namespaces that meets no trouble.
type Options struct {
	// Namespaces that the controller looks after. Empty: all. Several controllers, each of a namespace and with options of its
	// own, can share a control plane.
	Namespaces []string

	// API is the version of groups and adapters. The zero value is V1Alpha2; InstallAPI must have brought the same.
	API API

	// Override says who wins when replicas are edited in the group.
	Override Override

	// BindDelay is how long a scaling adapter exists before it is bound. What is written to its /scale until then is lost.
	BindDelay time.Duration

	// SecondBinding is how long after its binding an adapter is bound once more, as the original does from a cache that does not
	// show the first binding yet: what was written to its /scale in between is lost, though its phase was Bound. 0: never.
	SecondBinding time.Duration

	// hold, of tests, keeps an adapter from being bound for the first or the second time as long as it says so; it takes the
	// place of the two times.
	hold func(binding int) bool

	// Selector is what bound adapters have as status.selector.
	Selector Selector

	// Logger receives what the controllers say. The zero value is silence, of this package: the program's own call of
	// ctrl.SetLogger decides about client-go.
	Logger logr.Logger
}

// Selector says how the status.selector of an adapter comes out, which the original does not get right every time.
type Selector int

const (
	// SelectorCorrect selects the role's pods, of leader-worker roles the leaders.
	SelectorCorrect Selector = iota
	// SelectorEmpty is what roles backed by a StatefulSet or a Deployment always have, and others sometimes.
	SelectorEmpty
	// SelectorMalformed is no selector at all; it is seen on leader-worker roles.
	SelectorMalformed
)

// Run is AddTo with a manager of its own, which serves nothing on the network. It returns when the context ends.
func Run(ctx context.Context, cfg *rest.Config, opts Options) error {
	if opts.Logger.GetSink() == nil {
		opts.Logger = logr.New(log.NullLogSink{}) // logr.Discard() counts as none, and controller-runtime then complains
	}
	namespaces := map[string]cache.Config{}
	for _, ns := range opts.Namespaces {
		namespaces[ns] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Logger:  opts.Logger,
		Metrics: server.Options{BindAddress: "0"},
		Cache:   cache.Options{DefaultNamespaces: namespaces},
		// Several may run in one process.
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		return fmt.Errorf("RBG stand-in: %w", err)
	}
	if err := AddTo(mgr, opts); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// AddTo adds the controllers to a manager. The custom resource definitions must be there (Install) before it starts. Of the
// options it ignores Namespaces and Logger, which are the manager's business.
func AddTo(mgr ctrl.Manager, opts Options) error {
	// Everything is read from the API server itself: with a cache a controller may not see what it has just made, and a
	// test double that sometimes errs in timing helps nobody.
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return err
	}
	return firstError(
		func() error { return addGroupController(mgr, live, opts) },
		func() error { return addAdapterController(mgr, live, opts) },
		func() error {
			if opts.api() == V1Alpha1 {
				return nil // which has no RoleInstanceSets
			}
			return firstError(func() error { return addInstanceSetController(mgr, live) }, func() error { return addInstanceController(mgr, live) })
		},
	)
}

func addGroupController(mgr ctrl.Manager, live client.Client, opts Options) error {
	api := opts.api()
	group := api.newObject(KindGroup, "", "")
	// Neither an adapter's owner reference nor, made by hand, a policy names the group as its controller.
	owner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), group)
	namesake := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, policy client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(policy)}}
	})
	b := ctrl.NewControllerManagedBy(mgr).Named("rbg").For(group).Watches(api.newObject(KindAdapter, "", ""), owner)
	for _, kind := range api.workloads() {
		w := &unstructured.Unstructured{}
		w.SetGroupVersionKind(kind)
		b = b.Owns(w)
	}
	if api == V1Alpha2 {
		b = b.Watches(newObject(KindPolicy, "", ""), namesake)
	}
	return b.Complete(&groupReconciler{live, mgr.GetEventRecorder("rbg"), opts})
}

func addAdapterController(mgr ctrl.Manager, live client.Client, opts Options) error {
	r := &adapterReconciler{client: live, events: mgr.GetEventRecorder("rbgsa"), opts: opts}
	b := ctrl.NewControllerManagedBy(mgr).Named("rbgsa").For(opts.api().newObject(KindAdapter, "", ""), onSpecChange())
	if opts.override() != OverrideNone { // which does not look at groups at all
		b = b.Watches(opts.api().newObject(KindGroup, "", ""), handler.EnqueueRequestsFromMapFunc(r.adaptersOf), onRoleStatusChange())
	}
	return b.Complete(r)
}

func addInstanceSetController(mgr ctrl.Manager, live client.Client) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("ris").
		For(newObject(KindInstanceSet, "", "")).
		Owns(newObject(KindInstance, "", "")).
		Complete(&instanceSetReconciler{live})
}

func addInstanceController(mgr ctrl.Manager, live client.Client) error {
	// By label and not by owner, so that the pod of an earlier instance of the same name wakes its successor when it is gone.
	byLabel := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, pod client.Object) []reconcile.Request {
		name := pod.GetLabels()[LabelInstanceName]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: pod.GetNamespace(), Name: name}}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("rins").
		For(newObject(KindInstance, "", "")).
		Watches(&corev1.Pod{}, byLabel).
		Complete(&instanceReconciler{live})
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("RBG stand-in: %w", err)
		}
	}
	return nil
}
