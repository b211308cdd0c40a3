package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// foreign are kinds of other projects that may be scaled or looked at; scaled
// ones have a /scale.
var foreign = []struct {
	group, version, kind, plural string
	cluster, scaled              bool
}{
	{"leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets", false, true},
	{"disaggregatedset.x-k8s.io", "v1", "DisaggregatedSetRoleScaler", "disaggregatedsetrolescalers", false, true},
	{"nvidia.com", "v1alpha1", "DynamoGraphDeploymentScalingAdapter", "dynamographdeploymentscalingadapters", false, true},
	{"kueue.x-k8s.io", "v1beta1", "LocalQueue", "localqueues", false, false},
	{"kueue.x-k8s.io", "v1beta1", "ClusterQueue", "clusterqueues", true, false},
	{"keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", false, false},
	{"inference-extension.rolebasedgroup.io", "v1alpha1", "AutoScaler", "autoscalers", false, false},
	{"workloads.x-k8s.io", "v1alpha2", "CoordinatedPolicy", "coordinatedpolicies", false, false},
	{"workloads.x-k8s.io", "v1alpha1", "InstanceSet", "instancesets", false, false},
	{"workloads.x-k8s.io", "v1alpha1", "Instance", "instances", false, false},
}

// installForeign makes the API server serve them, with no fields of their own.
func (c *cluster) installForeign() {
	c.t.Helper()
	var definitions []*apiextensionsv1.CustomResourceDefinition
	for _, f := range foreign {
		scope := apiextensionsv1.NamespaceScoped
		if f.cluster {
			scope = apiextensionsv1.ClusterScoped
		}
		subresources := &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}
		if f.scaled {
			subresources.Scale = &apiextensionsv1.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.replicas", StatusReplicasPath: ".status.replicas", LabelSelectorPath: new(".status.selector")}
		}
		definitions = append(definitions, &apiextensionsv1.CustomResourceDefinition{
			// groups under k8s.io are protected and ask for a link to who approved them
			ObjectMeta: metav1.ObjectMeta{Name: f.plural + "." + f.group, Annotations: map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, a stand-in for tests"}},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: f.group, Scope: scope, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: f.plural, Kind: f.kind, ListKind: f.kind + "List", Singular: strings.ToLower(f.kind)},
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: f.version, Served: true, Storage: true, Subresources: subresources,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
							"spec": {Type: "object", XPreserveUnknownFields: new(true)}, "status": {Type: "object", XPreserveUnknownFields: new(true)},
						},
					}},
				}},
			},
		})
	}
	_, err := envtest.InstallCRDs(c.cp.Config, envtest.CRDInstallOptions{CRDs: definitions, PollInterval: 20 * time.Millisecond, MaxTime: patience})
	c.must(err)
}

// make creates an object of a YAML text in the cluster's namespace.
func (c *cluster) make(text string) *unstructured.Unstructured {
	c.t.Helper()
	u := &unstructured.Unstructured{}
	c.must(yaml.Unmarshal([]byte(text), &u.Object))
	u.SetNamespace(c.namespace)
	status := u.Object["status"]
	c.must(c.client.Create(c.t.Context(), u))
	if status != nil {
		u.Object["status"] = status
		c.must(c.client.Status().Update(c.t.Context(), u))
	}
	return u
}

// The rights of config/rbac are enough for all that the controller does, and
// there is not one that it does not use. It runs beside no other test: one of them could make the lease.
func TestRightsAreEnoughAndNoMore(t *testing.T) {
	c := newCluster(t, rbgfake.Example{ReadyAfter: 300 * time.Millisecond})
	c.installForeign()
	c.make(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: gpus}, spec: {hard: {requests.nvidia.com/gpu: "64"}}}`)
	c.make(`{apiVersion: v1, kind: ConfigMap, metadata: {name: model}, data: {config.json: "{}"}}`)
	c.demand(2, 500, 100)

	address := ports.ForTest(t, 1).Address(0)
	// A test before this one may have made the lease, and nobody holds it now.
	if err := c.kubernetes.CoordinationV1().Leases(systemNamespace).Delete(t.Context(), LeaderElectionID, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	// A lease that a busy machine does not let run out, and that is renewed within the test.
	calls := c.manage(Options{MetricsAddress: address, LeaderElection: LeaderElection{Enabled: true, Namespace: systemNamespace, LeaseDuration: time.Minute, RenewDeadline: 50 * time.Second}})

	// its own resource: a model from a ConfigMap, status, events, and a move with its finalizer
	c.must(c.client.Create(t.Context(), example(func(p *v1alpha1.PDAutoscaler) {
		p.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace, Name: "refused"}
		p.Spec.Mode, p.Spec.Model = v1alpha1.ModeRecommend, v1alpha1.Model{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "model"}}
	})))
	c.must(c.client.Create(t.Context(), example(func(p *v1alpha1.PDAutoscaler) {
		p.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace, Name: "qwen"}
		p.Spec.Budget.GPUs = 8
		p.Spec.Behavior.Interval, p.Spec.Behavior.StartupTime = v1alpha1.Every(time.Second), v1alpha1.Every(time.Second)
		p.Spec.Behavior.Drain = &v1alpha1.Drain{Deadline: v1alpha1.Every(time.Second), DrainHook: v1alpha1.DrainHook{Label: &v1alpha1.PodMark{Key: "example.com/draining"}}}
		p.Spec.Behavior.ScaleDownWindow, p.Spec.Rebalance.Window = v1alpha1.Every(3*time.Second), v1alpha1.Every(2*time.Second)
	})))
	reader := c.token("reader", true)
	c.eventually("its decisions", func() error {
		code, body, err := c.get(address, DecisionsPath+c.namespace+"/qwen", reader)
		if err == nil && code != 200 {
			err = fmt.Errorf("%d %s", code, body)
		}
		return err
	})
	c.demand(14, 3000, 100)
	c.eventually("growth", func() error { return c.ready(3, 1) })
	c.demand(25, 300, 1500)
	c.eventually("a drain or a move", func() error {
		if n := calls.of(0, func(a access) bool { return a == access{"patch", "", "pods"} }); len(n) == 0 {
			return fmt.Errorf("no pod was marked: %s", c.status().Message)
		}
		return nil
	})

	c.sameEventTwice(calls)
	c.everyKind(calls)
	granted := ownRights(t)
	c.eventually("the use of each right", func() error {
		var unused []string // the watch of what was just listed comes a moment later
		for _, rules := range [][]rbacv1.PolicyRule{granted.cluster, granted.system} {
			each(rules, func(a access, _ []string, _ []rbacv1.PolicyRule) {
				if len(calls.of(0, func(made access) bool { return made == a })) == 0 {
					unused = append(unused, a.String())
				}
			})
		}
		if len(unused) > 0 {
			return fmt.Errorf("never used: %s", strings.Join(unused, ", "))
		}
		return nil
	})
	if refused := calls.forbidden(); len(refused) > 0 {
		t.Errorf("refused was\n%s", strings.Join(slices.Compact(refused), "\n"))
	}
	c.eachVerbIsNeeded(granted)
}

// sameEventTwice sends an event again before the first is forgotten, as a state that comes and goes is said again ten minutes
// later: it is written into the first as one that goes on.
func (c *cluster) sameEventTwice(calls *recorder) {
	c.t.Helper()
	qwen := &v1alpha1.PDAutoscaler{}
	c.must(c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "qwen"}, qwen))
	for range 2 {
		calls.events.Eventf(qwen, nil, corev1.EventTypeWarning, "Budget", "Decide", "the same once more")
	}
	c.eventually("an event that goes on", func() error {
		if n := calls.of(0, func(a access) bool { return a == access{"patch", "events.k8s.io", "events"} }); len(n) == 0 {
			return errors.New("none was written")
		}
		return nil
	})
}

// everyKind observes and scales each kind of target with the controller's rights.
func (c *cluster) everyKind(calls *recorder) {
	t := c.t
	t.Helper()
	kubeconfig, err := clientcmd.BuildConfigFromFlags("", c.standIn().Kubeconfig)
	c.must(err)
	config := calls.through(kubeconfig)
	scheme := runtime.NewScheme()
	c.must(clientgoscheme.AddToScheme(scheme))
	c.must(v1alpha1.AddToScheme(scheme))
	live, err := client.New(config, client.Options{Scheme: scheme})
	c.must(err)
	// An API server that cannot stream what there is is asked for lists first.
	cached, err := cache.New(withoutStreams(config), cache.Options{Scheme: scheme})
	c.must(err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = cached.Start(ctx) }()
	served, err := discovery.NewDiscoveryClientForConfig(config)
	c.must(err)
	w := workload.New(cached, live, workload.WithLiveReader(live), workload.WithDiscovery(served))

	const template = `template: {metadata: {labels: {app: %[1]s, kueue.x-k8s.io/queue-name: q}}, spec: {containers: [{name: vllm, image: none, resources: {limits: {nvidia.com/gpu: "1"}}}]}}`
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		name := strings.ToLower(kind)
		c.make(fmt.Sprintf(`{apiVersion: apps/v1, kind: `+kind+`, metadata: {name: %[1]s}, spec: {replicas: 1, selector: {matchLabels: {app: %[1]s}}, `+template+`}}`, name))
	}
	c.make(`{apiVersion: kueue.x-k8s.io/v1beta1, kind: LocalQueue, metadata: {name: q}, spec: {clusterQueue: ` + c.namespace + `}}`)
	queue := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "ClusterQueue", "metadata": map[string]any{"name": c.namespace}, "spec": map[string]any{}}}
	c.must(c.client.Create(t.Context(), queue))
	for _, f := range foreign {
		if f.scaled {
			c.make(fmt.Sprintf(`{apiVersion: %s/%s, kind: %s, metadata: {name: x}, spec: {replicas: 1}, status: {replicas: 1, selector: "app=x"}}`, f.group, f.version, f.kind))
		}
	}
	ref := func(apiVersion, kind, name string) workload.ScaleRef {
		return workload.ScaleRef{APIVersion: apiVersion, Kind: kind, Name: name}
	}
	for _, pair := range [][2]workload.ScaleRef{
		{ref("apps/v1", "Deployment", "deployment"), ref("apps/v1", "StatefulSet", "statefulset")},
		{ref("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "x"), ref("disaggregatedset.x-k8s.io/v1", "DisaggregatedSetRoleScaler", "x")},
		{ref("nvidia.com/v1alpha1", "DynamoGraphDeploymentScalingAdapter", "x"), ref("apps/v1", "StatefulSet", "statefulset")},
	} {
		target := workload.Target{Namespace: c.namespace, Autoscaler: "none", Scales: map[planner.Role]workload.ScaleRef{planner.Prefill: pair[0], planner.Decode: pair[1]}}
		c.eventually("pods of "+target.String(), func() error {
			o, err := w.Observe(t.Context(), target, time.Now())
			if err == nil && pair[0].Kind == "Deployment" && len(o.Prefill.Replicas)+len(o.Decode.Replicas) != 2 {
				err = fmt.Errorf("%d and %d replicas", len(o.Prefill.Replicas), len(o.Decode.Replicas))
			}
			return err
		})
		for _, role := range roles {
			for _, step := range [][2]int{{1, 0}, {0, 2}, {2, 1}} { // from nothing, where a Scale leaves the count out
				if err := w.Apply(t.Context(), target, role, step[0], step[1]); err != nil {
					t.Errorf("%s %d -> %d: %v", target.RoleName(role), step[0], step[1], err)
				}
			}
			for _, from := range []int{0, 3} {
				if err := w.Apply(t.Context(), target, role, from, 4); !errors.As(err, new(*workload.ConflictError)) {
					t.Errorf("%s was scaled from %d, a count that it does not have: %v", target.RoleName(role), from, err)
				}
			}
		}
	}
	c.eventually("the queue of the pods", func() error {
		target := workload.Target{Namespace: c.namespace, Scales: map[planner.Role]workload.ScaleRef{planner.Prefill: ref("apps/v1", "Deployment", "deployment"), planner.Decode: ref("apps/v1", "StatefulSet", "statefulset")}}
		if _, err := w.Observe(t.Context(), target, time.Now()); err != nil {
			return err
		}
		if n := calls.of(0, func(a access) bool { return a.resource == "clusterqueues" }); len(n) == 0 {
			return fmt.Errorf("it was not read")
		}
		return nil
	})
	c.groups(w)
}

// groups scales roles of RoleBasedGroups: without an adapter, without
// identities, and with the owners that pods had in older versions.
func (c *cluster) groups(w *workload.Workload) {
	t := c.t
	t.Helper()
	plain := rbgfake.DynamoPD(rbgfake.Example{Namespace: c.namespace, Name: "plain", NoAdapters: true, PrefillReplicas: 1, GPUsPerReplica: 1, NodeSelector: map[string]string{"nothing": "here"}})
	c.must(c.client.Create(t.Context(), plain))
	owner := func(apiVersion, kind string, u client.Object) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "name": u.GetName(), "uid": string(u.GetUID()), "controller": true}
	}
	const old = "workloads.x-k8s.io/v1alpha1"
	object := func(kind, name string, by map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": old, "kind": kind, "metadata": map[string]any{"name": name, "namespace": c.namespace, "ownerReferences": []any{by}}}}
		c.must(c.client.Create(t.Context(), u))
		return u
	}
	set := object("InstanceSet", "plain-prefill", owner(rbgfake.GroupVersion.String(), rbgfake.KindGroup, plain))
	instance := object("Instance", "plain-prefill-0", owner(old, "InstanceSet", set))
	c.make(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: more}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu.nvidia.com}}]}}}}`)
	c.must(c.client.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: c.namespace, Labels: map[string]string{"rolebasedgroup.workloads.x-k8s.io/name": "plain", "rolebasedgroup.workloads.x-k8s.io/role": "prefill"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: old, Kind: "Instance", Name: instance.GetName(), UID: instance.GetUID(), Controller: new(true)}}},
		Spec: corev1.PodSpec{ResourceClaims: []corev1.PodResourceClaim{{Name: "more", ResourceClaimTemplateName: new("more")}}, Containers: []corev1.Container{{Name: "x", Image: "none", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{workload.GPUResource: resource.MustParse("1")}}}}},
	}))
	target := workload.Target{Namespace: c.namespace, Group: "plain", Roles: map[planner.Role]string{planner.Prefill: "prefill", planner.Decode: "decode"}}
	c.eventually("the pod of an older version", func() error {
		o, err := w.Observe(t.Context(), target, time.Now())
		if err == nil && !slices.ContainsFunc(o.Prefill.Replicas, func(r planner.Replica) bool { return r.Name == "old" }) {
			err = fmt.Errorf("prefill has %v", o.Prefill.Replicas)
		}
		return err
	})
	c.must(w.Apply(t.Context(), target, planner.Prefill, 1, 2))

	stateless := &unstructured.Unstructured{}
	stateless.SetGroupVersionKind(rbgfake.GroupVersion.WithKind(rbgfake.KindGroup))
	c.must(c.client.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "plain"}, stateless))
	c.mark(stateless, "prefill")
	for _, name := range []string{"a", "b"} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: rbgfake.GroupVersion.Group, Version: rbgfake.GroupVersion.Version, Kind: rbgfake.KindInstance})
		u.SetName("plain-prefill-" + name)
		u.SetNamespace(c.namespace)
		u.SetLabels(map[string]string{rbgfake.LabelGroupName: "plain", rbgfake.LabelRoleName: "prefill"})
		c.must(c.client.Create(t.Context(), u))
	}
	c.must(w.Choose(t.Context(), target, planner.Prefill, []string{"plain-prefill-b"}))
}

// mark makes a role of a group one without identities.
func (c *cluster) mark(group *unstructured.Unstructured, role string) {
	c.t.Helper()
	roles, _, _ := unstructured.NestedSlice(group.Object, "spec", "roles")
	at := slices.IndexFunc(roles, func(r any) bool { return r.(map[string]any)["name"] == role })
	patch := fmt.Sprintf(`[{"op":"add","path":"/spec/roles/%d/annotations","value":{"rbg.workloads.x-k8s.io/role-instance-pattern":"Stateless"}}]`, at)
	c.must(c.client.Patch(c.t.Context(), group, client.RawPatch(types.JSONPatchType, []byte(patch))))
}
