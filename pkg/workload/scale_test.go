package workload

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// byReference is a service of two objects with a /scale.
var byReference = Target{
	Namespace: "default",
	Scales: map[planner.Role]ScaleRef{
		prefill: {"apps/v1", "Deployment", "vllm-prefill"},
		decode:  {"leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "vllm-decode"},
	},
}

// scales is a cluster with those objects: prefill of 2 GPUs, decode of a leader
// without GPUs and two workers of 4.
func scales(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, forbidden: map[string]bool{}}
	c.add(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm-prefill, namespace: default, uid: deployment, resourceVersion: "7"}
spec:
  replicas: 2
  selector: {matchLabels: {app: prefill}}
  template: {spec: {terminationGracePeriodSeconds: 120, containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}`)
	c.add(`
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: vllm-decode, namespace: default, uid: lws}
spec:
  replicas: 1
  leaderWorkerTemplate:
    size: 3
    leaderTemplate: {spec: {containers: [{name: ray}]}}
    workerTemplate: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "4"}}}]}}
status: {selector: "leaderworkerset.sigs.k8s.io/name=vllm-decode,leaderworkerset.sigs.k8s.io/worker-index=0"}`)
	c.owns(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, "vllm-prefill-5d", "replicas",
		owner(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, "vllm-prefill", "deployment"))
	return c
}

// prefillPod keeps a pod of the Deployment, decodePod one of a group of the LeaderWorkerSet.
func (c *cluster) prefillPod(name string, changes ...func(*corev1.Pod)) {
	c.pod("prefill", name, append([]func(*corev1.Pod){
		func(p *corev1.Pod) { p.Labels = map[string]string{"app": "prefill"} },
		ownedBySomething(owner(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, "vllm-prefill-5d", "replicas")),
	}, changes...)...)
}

func (c *cluster) decodePod(group, index int, changes ...func(*corev1.Pod)) {
	name := fmt.Sprintf("vllm-decode-%d", group)
	if index > 0 {
		name = fmt.Sprintf("%s-%d", name, index)
	}
	held := int64(4)
	if index == 0 {
		held = 0
	}
	set := owner(statefulSetGVK, "vllm-decode", "lws-sts")
	c.owns(statefulSetGVK, "vllm-decode", "lws-sts", owner(schema.GroupVersionKind{Group: lwsKind.Group, Version: "v1", Kind: lwsKind.Kind}, "vllm-decode", "lws"))
	c.pod("decode", name, append([]func(*corev1.Pod){
		func(p *corev1.Pod) {
			p.Labels = map[string]string{lwsNameLabel: "vllm-decode", lwsGroupLabel: fmt.Sprint(group), lwsWorkerLabel: fmt.Sprint(index)}
		},
		gpus(held), ownedBySomething(set),
	}, changes...)...)
}

func (c *cluster) observeScales(target Target) Observation {
	c.t.Helper()
	o, err := c.workload().Observe(c.t.Context(), target, now)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func TestObserveScales(t *testing.T) {
	c := scales(t)
	c.prefillPod("vllm-prefill-5d-a")
	c.prefillPod("vllm-prefill-5d-b", notReady)
	for index := range 3 {
		c.decodePod(0, index)
	}
	c.prefillPod("stranger", ownedBySomething()) // carries the label, and nobody made it
	o := c.observeScales(byReference)
	if got, want := brief(o.Prefill), "2 x 2: vllm-prefill-5d-a=ready/2 vllm-prefill-5d-b=starting/2"; got != want {
		t.Errorf("prefill %s, want %s", got, want)
	}
	if got, want := brief(o.Decode), "1 x 8: vllm-decode-0=ready/8"; got != want { // workers are found though only leaders are selected
		t.Errorf("decode %s, want %s", got, want)
	}
	leaders := 0
	for _, p := range o.Pods {
		if p.Role == decode && p.Leader {
			leaders++
		}
	}
	if len(o.Pods) != 5 || leaders != 1 {
		t.Errorf("%d pods with %d leaders of decode, want 5 and 1", len(o.Pods), leaders)
	}
	if len(o.Problems) != 1 || o.Problems[0].Reason != ProblemForeignPods {
		t.Errorf("problems %v, want the stranger", o.Problems)
	}
	if !o.Stateless[prefill] || o.Stateless[decode] || o.GraceSeconds[prefill] != 120 {
		t.Errorf("stateless %v, grace %v", o.Stateless, o.GraceSeconds)
	}
	if o.UID != "deployment+lws" {
		t.Errorf("UID %q", o.UID)
	}
}

func TestApplyScales(t *testing.T) {
	const patched = `{"op":"test","path":"/metadata/uid","value":"deployment"},{"op":"test","path":"/spec/replicas","value":2},{"op":"replace","path":"/spec/replicas","value":3}`
	t.Run("one call for each role", func(t *testing.T) {
		c := scales(t)
		w := c.workload()
		if _, err := w.Observe(t.Context(), byReference, now); err != nil {
			t.Fatal(err)
		}
		reads := len(c.reads)
		for _, step := range []struct {
			role     planner.Role
			from, to int
		}{{prefill, 2, 3}, {decode, 1, 2}} {
			if err := w.Apply(t.Context(), byReference, step.role, step.from, step.to); err != nil {
				t.Fatal(err)
			}
		}
		c.wantWrites("Deployment vllm-prefill/scale application/json-patch+json ["+patched+"]",
			`LeaderWorkerSet vllm-decode/scale application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"lws"},{"op":"test","path":"/spec/replicas","value":1},{"op":"replace","path":"/spec/replicas","value":2}]`)
		if len(c.reads) != reads {
			t.Errorf("read again: %q", c.reads[reads:])
		}
	})
	t.Run("without an observation", func(t *testing.T) {
		c := scales(t)
		if err := c.workload().Apply(t.Context(), byReference, prefill, 2, 3); err != nil {
			t.Fatal(err)
		}
		c.wantWrites("Deployment vllm-prefill/scale application/json-patch+json [" + patched + "]")
	})
	t.Run("up from nothing", func(t *testing.T) {
		c := scales(t)
		_ = unstructured.SetNestedField(c.group().Object, int64(0), "spec", "replicas")
		if err := c.workload().Apply(t.Context(), byReference, prefill, 0, 1); err != nil {
			t.Fatal(err)
		}
		c.wantWrites(`Deployment vllm-prefill/scale application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"deployment"},{"op":"test","path":"/spec/replicas","value":null},{"op":"add","path":"/spec/replicas","value":1}]`)
	})
	t.Run("an observation serves one write", func(t *testing.T) {
		c := scales(t)
		w := c.workload()
		if _, err := w.Observe(t.Context(), byReference, now); err != nil {
			t.Fatal(err)
		}
		reads := len(c.reads)
		for range 2 {
			if err := w.Apply(t.Context(), byReference, prefill, 2, 3); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.reads) == reads {
			t.Error("the second write went by what was seen before the first")
		}
	})
}

func TestScalesThatCannotBeUsed(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*cluster, *Target)
		want   string
	}{
		"missing": {func(_ *cluster, target *Target) {
			target.Scales[prefill] = ScaleRef{"apps/v1", "Deployment", "other"}
		}, "Deployment default/other does not exist"},
		"on its way out": {func(c *cluster, _ *Target) {
			c.objects[0].SetDeletionTimestamp(new(metav1.NewTime(now)))
			c.objects[0].SetFinalizers([]string{"test/keep"})
		}, "Deployment default/vllm-prefill is being deleted"},
		"no scale": {func(c *cluster, target *Target) {
			c.add(`{apiVersion: v1, kind: ConfigMap, metadata: {name: cm, namespace: default}}`)
			target.Scales[prefill] = ScaleRef{"v1", "ConfigMap", "cm"}
		}, "ConfigMap default/cm has no /scale: allowed are kinds that have one, such as Deployment, StatefulSet and LeaderWorkerSet"},
	} {
		t.Run(name, func(t *testing.T) {
			c := scales(t)
			target := byReference
			target.Scales = map[planner.Role]ScaleRef{prefill: byReference.Scales[prefill], decode: byReference.Scales[decode]}
			tc.change(c, &target)
			_, err := c.workload().Observe(t.Context(), target, now)
			if !errors.As(err, new(*MissingError)) || err.Error() != tc.want {
				t.Errorf("error %v, want a MissingError: %s", err, tc.want)
			}
		})
	}
}

// adapters is a service of kinds that have a /scale and no template: a role
// scaler of a DisaggregatedSet for prefill, Dynamo's adapter for decode.
func adapters(t *testing.T, replicas string) (*cluster, Target) {
	t.Helper()
	c := &cluster{t: t, forbidden: map[string]bool{}}
	c.add(`
apiVersion: disaggregatedset.x-k8s.io/v1
kind: DisaggregatedSetRoleScaler
metadata: {name: ds-prefill, namespace: default, uid: scaler, resourceVersion: "3", labels: {disaggregatedset.x-k8s.io/name: ds, disaggregatedset.x-k8s.io/role: prefill}}
spec: ` + replicas + `
status: {selector: "leaderworkerset.sigs.k8s.io/name=ds-new-prefill"}`)
	c.add(`
apiVersion: nvidia.com/v1alpha1
kind: DynamoGraphDeploymentScalingAdapter
metadata: {name: graph-decode, namespace: default, uid: dynamo}
spec: {replicas: 1, dgdRef: {name: graph, serviceName: decode}}
status: {selector: "nvidia.com/selector=graph-decode"}`)
	return c, Target{Namespace: "default", Scales: map[planner.Role]ScaleRef{
		prefill: {"disaggregatedset.x-k8s.io/v1", "DisaggregatedSetRoleScaler", "ds-prefill"},
		decode:  {"nvidia.com/v1alpha1", "DynamoGraphDeploymentScalingAdapter", "graph-decode"},
	}}
}

// dsPod keeps the one pod of a group of the DisaggregatedSet's revision.
func (c *cluster) dsPod(revision string, group int, changes ...func(*corev1.Pod)) {
	name := fmt.Sprintf("ds-%s-prefill-%d", revision, group)
	c.pod("prefill", name, append([]func(*corev1.Pod){func(p *corev1.Pod) {
		p.Labels = map[string]string{"disaggregatedset.x-k8s.io/name": "ds", "disaggregatedset.x-k8s.io/role": "prefill", revisionLabel: revision,
			lwsNameLabel: "ds-" + revision + "-prefill", lwsGroupLabel: fmt.Sprint(group), lwsWorkerLabel: "0"}
	}, ownedBySomething(owner(statefulSetGVK, "of-lws", types.UID("of-"+revision)))}, changes...)...)
}

func TestAdaptersOfOtherKinds(t *testing.T) {
	dynamo := func(p *corev1.Pod) { p.Labels = map[string]string{"nvidia.com/selector": "graph-decode"} }
	t.Run("GPUs by live pods", func(t *testing.T) {
		c, target := adapters(t, `{replicas: 2}`)
		c.dsPod("new", 0)
		c.dsPod("new", 1)
		c.pod("decode", "graph-decode-0", dynamo, gpus(4))
		o := c.observeScales(target)
		if got, want := brief(o.Prefill)+" | "+brief(o.Decode), "2 x 2: ds-new-prefill-0=ready/2 ds-new-prefill-1=ready/2 | 1 x 4: graph-decode-0=ready/4"; got != want {
			t.Errorf("observed %s, want %s", got, want)
		}
		if len(o.Problems) > 0 || o.Prefill.Rollout {
			t.Errorf("problems %v, rollout %v", o.Problems, o.Prefill.Rollout)
		}
	})
	t.Run("GPUs that nobody tells are not guessed", func(t *testing.T) {
		c, target := adapters(t, `{replicas: 2}`)
		o := c.observeScales(target)
		if o.Prefill.GPUsPerReplica != 0 || o.Decode.GPUsPerReplica != 0 || len(o.Problems) != 2 || o.Problems[0].Reason != ProblemGPUsUnknown {
			t.Errorf("%d and %d GPUs, problems %v", o.Prefill.GPUsPerReplica, o.Decode.GPUsPerReplica, o.Problems)
		}
	})
	t.Run("replicas that differ are not averaged", func(t *testing.T) {
		c, target := adapters(t, `{replicas: 2}`)
		c.dsPod("new", 0)
		c.dsPod("new", 1, gpus(8))
		if o := c.observeScales(target); o.Prefill.GPUsPerReplica != 0 || o.Prefill.HeldGPUs() != 10 {
			t.Errorf("%d GPUs per replica and %d held, want 0 and 10", o.Prefill.GPUsPerReplica, o.Prefill.HeldGPUs())
		}
	})
	t.Run("pods of an older revision hold their GPUs", func(t *testing.T) {
		c, target := adapters(t, `{replicas: 2}`)
		c.dsPod("new", 0)
		c.dsPod("old", 0)
		o := c.observeScales(target)
		if o.Prefill.HeldGPUs() != 4 || !o.Prefill.Rollout {
			t.Errorf("%d GPUs held, rollout %v; want 4 in a rollout", o.Prefill.HeldGPUs(), o.Prefill.Rollout)
		}
	})
	t.Run("without a count the role keeps what it has", func(t *testing.T) {
		c, target := adapters(t, `{}`)
		c.dsPod("new", 0)
		c.dsPod("new", 1)
		w := c.workload()
		o, err := w.Observe(t.Context(), target, now)
		if err != nil || o.Prefill.Desired != 2 {
			t.Fatalf("desired %d (%v), want the 2 that run", o.Prefill.Desired, err)
		}
		if err := w.Apply(t.Context(), target, prefill, 2, 3); err != nil {
			t.Fatal(err)
		}
		c.wantWrites(`DisaggregatedSetRoleScaler ds-prefill/scale application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"scaler"},{"op":"test","path":"/spec/replicas","value":null},{"op":"add","path":"/spec/replicas","value":3}]`)
	})
	t.Run("pods that cannot be found hold the role", func(t *testing.T) {
		c, target := adapters(t, `{replicas: 2}`)
		_ = unstructured.SetNestedField(c.objects[1].(*unstructured.Unstructured).Object, ",component-index=0", "status", "selector")
		c.pod("decode", "graph-decode-0", dynamo, ownedBySomething())
		if got := c.observeScales(target).Decode.Held; !strings.Contains(got, "which pods DynamoGraphDeploymentScalingAdapter/graph-decode has is not known") {
			t.Errorf("held by %q", got)
		}
	})
}

// Two that look at one service forget it apart.
func TestForgetIsOfOneOwner(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0")
	w := c.workload()
	a, b := target, target
	a.Owner, b.Owner = "a", "b"
	for _, one := range []Target{a, b} {
		if _, err := w.Observe(t.Context(), one, now); err != nil {
			t.Fatal(err)
		}
	}
	w.Forget(a)
	if w.state(b).startups[prefill] == nil || w.state(a).startups[prefill] != nil {
		t.Error("forgetting one target forgot the other's start-up times, or kept its own")
	}
}
