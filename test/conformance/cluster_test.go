package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rbgGroup is RBG's API group.
const rbgGroup = "workloads.x-k8s.io"

// Kinds of RBG.
const (
	kindGroup       = "RoleBasedGroup"
	kindAdapter     = "RoleBasedGroupScalingAdapter"
	kindInstanceSet = "RoleInstanceSet"
	kindInstance    = "RoleInstance"
	kindPolicy      = "CoordinatedPolicy"
)

var (
	podKind         = corev1.SchemeGroupVersion.WithKind("Pod")
	statefulSetKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}
	podGroupKind    = schema.GroupVersionKind{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Kind: "PodGroup"}
)

// cluster is where the behaviours are tried.
type cluster struct {
	settings

	name   string // in the table
	config *rest.Config
	client client.WithWatch
	served map[string]map[string]bool // kinds by group and version
	// preStopSleeps: a preStop hook may sleep.
	preStopSleeps bool
	// reserve finds GPUs for a trial.
	reserve reserver

	mu   sync.Mutex
	undo []func(context.Context) error
}

// sleepSince is the minor version of Kubernetes 1 since which a preStop hook may sleep.
const sleepSince = 30

// connect finds out what a cluster serves. The error is a sentence on what is missing.
func connect(ctx context.Context, s settings, name string, config *rest.Config) (*cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 100, 200 // the checks look often, and many run at once
	c := &cluster{settings: s, name: name, config: config}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("no cluster: %w", err)
	}
	version, err := d.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("no cluster: nothing answers at %s: %w", config.Host, err)
	}
	minor, err := strconv.Atoi(strings.TrimRight(version.Minor, "+"))
	c.preStopSleeps = err != nil || version.Major != "1" || minor >= sleepSince
	if c.client, err = client.NewWithWatch(config, client.Options{Scheme: clientgoscheme.Scheme}); err != nil {
		return nil, err
	}
	c.served = map[string]map[string]bool{}
	for _, gv := range []schema.GroupVersion{{Group: rbgGroup, Version: v1alpha1}, {Group: rbgGroup, Version: v1alpha2}, podGroupKind.GroupVersion(), statefulSetKind.GroupVersion()} {
		list, err := d.ServerResourcesForGroupVersion(gv.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask which kinds of %s are served: %w", gv, err)
		}
		c.served[gv.String()] = map[string]bool{}
		for _, r := range list.APIResources {
			c.served[gv.String()][r.Kind] = true
		}
	}
	return c, ctx.Err()
}

// serves reports whether a kind can be read.
func (c *cluster) serves(kind schema.GroupVersionKind) bool {
	return c.served[kind.GroupVersion().String()][kind.Kind]
}

// versions returns the API versions to run.
func (c *cluster) versions() ([]string, error) {
	var found []string
	for _, version := range []string{v1alpha1, v1alpha2} {
		if c.serves(rbg(version, kindGroup)) && c.serves(rbg(version, kindAdapter)) {
			found = append(found, version)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the cluster at %s does not serve RoleBasedGroup and RoleBasedGroupScalingAdapter of %s in %s or %s: install RBG's custom resource definitions first",
			c.config.Host, rbgGroup, v1alpha1, v1alpha2)
	}
	for _, want := range c.apis {
		if !slices.Contains(found, want) {
			return nil, fmt.Errorf("CONFORMANCE_API=%s: the cluster at %s serves only %s", want, c.config.Host, strings.Join(found, ", "))
		}
	}
	if len(c.apis) > 0 {
		return c.apis, nil
	}
	return found, nil
}

func rbg(version, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: rbgGroup, Version: version, Kind: kind}
}

// atEnd remembers how a change of the cluster is taken back.
func (c *cluster) atEnd(undo func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undo = append(c.undo, undo)
}

// restore takes all changes of the cluster back.
func (c *cluster) restore(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed []error
	for _, undo := range slices.Backward(c.undo) {
		failed = append(failed, undo(ctx))
	}
	c.undo = nil
	return errors.Join(failed...)
}

// hasNode makes sure that pods can run somewhere, as far as it may be asked.
func (c *cluster) hasNode(ctx context.Context) error {
	nodes := &corev1.NodeList{}
	if err := c.client.List(ctx, nodes); err != nil {
		return nil //nolint:nilerr // who may not list nodes may still have some
	}
	for i := range nodes.Items {
		if usable(&nodes.Items[i]) {
			return nil
		}
	}
	return fmt.Errorf("the cluster at %s has no node that is Ready: pods need one, a real one or one of kwok", c.config.Host)
}

// managedBy is the label of every namespace of the suite, by which those of a run that was killed can be found.
const managedBy = "app.kubernetes.io/managed-by"

// newNamespace makes an empty namespace.
func (c *cluster) newNamespace(ctx context.Context) (string, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rbg-conformance-", Labels: map[string]string{managedBy: "rbg-conformance"}}}
	err := c.client.Create(ctx, ns)
	if apierrors.IsForbidden(err) {
		return "", fmt.Errorf("the user of this kubeconfig may not make namespaces: %w", err)
	}
	return ns.Name, err
}

// object is an empty object of a kind.
func object(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func listOf(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return l
}
