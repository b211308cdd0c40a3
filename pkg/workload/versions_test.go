package workload

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The stored version is read where it is understood, else the newest that is.
func TestVersions(t *testing.T) {
	for name, tc := range map[string]struct {
		served []string // the stored one first
		want   string
	}{
		"RBG v0.7 and later":          {[]string{"v1alpha2", "v1alpha1"}, "v1alpha2"},
		"RBG v0.6 and older":          {[]string{"v1alpha1"}, "v1alpha1"},
		"an upgrade under way":        {[]string{"v1alpha1", "v1alpha2"}, "v1alpha1"},
		"a stored one of some future": {[]string{"v1", "v1alpha2", "v1alpha1"}, "v1alpha2"},
		"none":                        {[]string{"v1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			c.versions = tc.served
			got, err := c.workload().rbg(t.Context(), now)
			if got.version != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("version %q (%v), want %q", got.version, err, tc.want)
			}
		})
	}
}

// counted counts the questions.
type counted struct {
	discovery
	asked int
	fail  error
}

func (c *counted) ServerResourcesForGroupVersionWithContext(ctx context.Context, gv string) (*metav1.APIResourceList, error) {
	if c.asked++; c.fail != nil {
		return nil, c.fail
	}
	return c.discovery.ServerResourcesForGroupVersionWithContext(ctx, gv)
}

// An upgrade of RBG is noticed, and not asked for in every round.
func TestVersionIsAskedForAgain(t *testing.T) {
	d := &counted{discovery: discovery{"v1alpha1"}}
	w := New(nil, nil, WithDiscovery(d))
	for range 3 {
		if got, err := w.rbg(t.Context(), now); err != nil || got.version != "v1alpha1" {
			t.Fatalf("version %q, %v", got.version, err)
		}
	}
	if d.asked != 2 { // one for each version that is understood
		t.Errorf("%d questions in three rounds, want 2", d.asked)
	}
	d.discovery = discovery{"v1alpha2", "v1alpha1"}
	if got, _ := w.rbg(t.Context(), now.Add(servedAge)); got.version != "v1alpha2" {
		t.Errorf("version %q after the upgrade", got.version)
	}
	d.fail = errors.New("connection refused")
	if got, err := w.rbg(t.Context(), now.Add(servedAge+time.Minute)); err != nil || got.version != "v1alpha2" {
		t.Errorf("version %q, %v: what is known serves while it is fresh", got.version, err)
	}
	if _, err := w.rbg(t.Context(), now.Add(3*servedAge)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
}

// ackGroup is a group of v1alpha1 as the tutorials have it.
const ackGroup = `
apiVersion: workloads.x-k8s.io/v1alpha1
kind: RoleBasedGroup
metadata: {name: dynamo-pd, namespace: default, uid: group-1}
spec:
  roleTemplates:
  - name: worker
    template: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}
  coordination:
  - {name: pd, roles: [prefill, decode], strategy: {scaling: {maxSkew: "10%", progression: OrderScheduled}}}
  roles:
  - {name: processor, replicas: 1, workload: {apiVersion: apps/v1, kind: Deployment}, template: {spec: {containers: [{name: frontend}]}}}
  - {name: prefill, replicas: 2, template: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}
  - {name: decode, replicas: 1, templateRef: {name: worker}, templatePatch: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "4"}}}]}}}
`

// ack is a cluster of RBG v0.6 with that group and its StatefulSets.
func ack(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, forbidden: map[string]bool{}, versions: []string{"v1alpha1"}}
	c.add(ackGroup)
	for _, role := range []string{"prefill", "decode"} {
		c.owns(statefulSetGVK, "dynamo-pd-"+role, "sts-"+types.UID(role), owner(legacy.group(), "dynamo-pd", groupUID))
	}
	return c
}

// oldPod keeps a pod of a StatefulSet with the labels of that time.
func (c *cluster) oldPod(role, name string, changes ...func(*corev1.Pod)) {
	c.pod(role, name, append([]func(*corev1.Pod){
		ownedBySomething(owner(statefulSetGVK, "dynamo-pd-"+role, "sts-"+types.UID(role))),
		func(p *corev1.Pod) {
			p.Labels = map[string]string{groupLabels[1]: "dynamo-pd", roleLabels[1]: role}
		},
	}, changes...)...)
}

func TestLegacyGroup(t *testing.T) {
	t.Run("is observed", func(t *testing.T) {
		c := ack(t)
		c.oldPod("prefill", "dynamo-pd-prefill-0")
		c.oldPod("prefill", "dynamo-pd-prefill-1", leaving)
		c.oldPod("decode", "dynamo-pd-decode-0", gpus(4))
		o := c.observe()
		// a StatefulSet's pod that terminates under its count comes back
		if got, want := brief(o.Prefill)+" | "+brief(o.Decode), "2 x 2: prefill-0=ready/2 prefill-1=starting/2 | 1 x 4: decode-0=ready/4"; got != want {
			t.Errorf("observed %s, want %s", got, want)
		}
		if len(o.Problems) > 0 || o.Prefill.Held != "" || o.Decode.Held != "" {
			t.Errorf("problems %v, held %q and %q", o.Problems, o.Prefill.Held, o.Decode.Held)
		}
	})
	t.Run("is patched where no adapter is", func(t *testing.T) {
		c := ack(t)
		if err := c.workload().Apply(t.Context(), target, prefill, 2, 3); err != nil {
			t.Fatal(err)
		}
		c.wantWrites(`RoleBasedGroup dynamo-pd application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"group-1"},` +
			`{"op":"test","path":"/spec/roles/1/name","value":"prefill"},{"op":"test","path":"/spec/roles/1/replicas","value":2},{"op":"add","path":"/spec/roles/1/replicas","value":3}]`)
	})
	t.Run("is written through its adapter", func(t *testing.T) {
		c := ack(t)
		c.adapter("decode", "Bound", 1)
		c.objects[len(c.objects)-1].GetObjectKind().SetGroupVersionKind(legacy.adapter())
		if err := c.workload().Apply(t.Context(), target, decode, 1, 2); err != nil {
			t.Fatal(err)
		}
		if len(c.writes) != 1 || !strings.HasPrefix(c.writes[0], "RoleBasedGroupScalingAdapter dynamo-pd-decode/scale ") {
			t.Errorf("writes %q", c.writes)
		}
	})
	t.Run("is held by its own coordination", func(t *testing.T) {
		c := ack(t)
		c.role("decode", `replicas: 3`)
		c.oldPod("decode", "dynamo-pd-decode-0", gpus(4))
		c.oldPod("decode", "dynamo-pd-decode-1", gpus(4), pending)
		if got := c.observe().Prefill.Held; !strings.Contains(got, "role decode grows and only 1 of its 2 replicas are scheduled") {
			t.Errorf("prefill is held by %q", got)
		}
	})
}

// Each form of a role in v1alpha1, as RBG's own conversion reads it.
func TestLegacyShapes(t *testing.T) {
	const engine = `{spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}`
	for name, tc := range map[string]struct {
		role, kind string
		want       shape
		wantErr    string
	}{
		"a template": {role: `template: ` + engine, kind: "StatefulSet", want: shape{pods: 1, gpus: 2}},
		"a Deployment": {role: `{workload: {apiVersion: apps/v1, kind: Deployment}, template: ` + engine + `}`, kind: "Deployment",
			want: shape{pods: 1, gpus: 2}},
		"a template by name, patched": {role: `{templateRef: {name: worker}, templatePatch: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "8"}}}]}}}`,
			kind: "StatefulSet", want: shape{pods: 1, gpus: 8}},
		"leader and workers": {role: `{workload: {apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet}, template: ` + engine + `,
			leaderWorkerSet: {size: 3, patchLeaderTemplate: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "1"}}}]}}}}`,
			kind: "LeaderWorkerSet", want: shape{pods: 3, gpus: 5}},
		"components": {role: `{workload: {apiVersion: workloads.x-k8s.io/v1alpha1, kind: InstanceSet}, components: [{name: a, size: 2, template: ` + engine + `}, {name: b, template: {spec: {}}}]}`,
			kind: "InstanceSet", want: shape{pods: 3, gpus: 4}},
		"none": {role: `{}`, kind: "StatefulSet", wantErr: "has none of"},
	} {
		t.Run(name, func(t *testing.T) {
			c := ack(t)
			c.role("prefill", "template: null")
			c.role("prefill", tc.role)
			g, err := groupOf(c.group().Object, legacy)
			if err != nil {
				t.Fatal(err)
			}
			r := g.role("prefill")
			got, err := g.shapeOf(r)
			if kind := g.workloadKind(r).Kind; kind != tc.kind {
				t.Errorf("carried by a %s, want a %s", kind, tc.kind)
			}
			switch {
			case tc.wantErr != "":
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error %v, want %q", err, tc.wantErr)
				}
			case err != nil:
				t.Error(err)
			case got.pods != tc.want.pods || got.gpus != tc.want.gpus:
				t.Errorf("a replica is %d pods with %d GPUs, want %d with %d", got.pods, got.gpus, tc.want.pods, tc.want.gpus)
			}
		})
	}
}

// What an old field says in a new group is nothing: RBG keeps unknown fields.
func TestOldFieldsInANewGroup(t *testing.T) {
	c := dynamoPD(t)
	c.role("prefill", `{template: {spec: {containers: [{name: x, resources: {limits: {nvidia.com/gpu: "8"}}}]}}, workload: {apiVersion: apps/v1, kind: Deployment}}`)
	o := c.observe()
	if o.Prefill.GPUsPerReplica != 2 || o.Stateless[prefill] {
		t.Errorf("%d GPUs per replica, stateless %v", o.Prefill.GPUsPerReplica, o.Stateless[prefill])
	}
}
