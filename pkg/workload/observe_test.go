package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

func forbiddenError(kind string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: strings.ToLower(kind)}, "", errors.New("no permission"))
}

// brief writes a pool in one line: what it asks for, and each replica in order of removal.
func brief(p planner.Pool) string {
	text := fmt.Sprintf("%d x %d:", p.Desired, p.GPUsPerReplica)
	for _, r := range p.Replicas {
		text += fmt.Sprintf(" %s=%s/%d", strings.TrimPrefix(r.Name, "dynamo-pd-"), r.State, r.GPUs)
	}
	return text
}

func TestObserveRunningExample(t *testing.T) {
	c := dynamoPD(t)
	c.pod("processor", "dynamo-pd-processor-0", on("cpu-0"))
	c.pod("prefill", "dynamo-pd-prefill-1", on("gpu-1"))
	c.pod("prefill", "dynamo-pd-prefill-0")
	c.pod("decode", "dynamo-pd-decode-0", notReady, age(time.Minute))
	got := c.observe()
	ready := created.Add(100 * time.Second)
	want := Observation{
		UID: groupUID,
		Prefill: planner.Pool{
			Desired: 2, GPUsPerReplica: 2,
			Replicas: []planner.Replica{
				{Name: "dynamo-pd-prefill-0", State: planner.Ready, Since: ready, Node: "gpu-0", GPUs: 2},
				{Name: "dynamo-pd-prefill-1", State: planner.Ready, Since: ready, Node: "gpu-1", GPUs: 2},
			},
			StartupSeconds: planner.Known(100, now, "start-up of pods of role prefill"),
		},
		Decode: planner.Pool{
			Desired: 1, GPUsPerReplica: 2,
			Replicas:       []planner.Replica{{Name: "dynamo-pd-decode-0", State: planner.Starting, Since: now.Add(-time.Minute), Node: "gpu-0", GPUs: 2}},
			StartupSeconds: planner.Unknown("no replica of role decode was seen starting"),
		},
		Pods: []Pod{
			{Role: FrontendRole, Name: "dynamo-pd-processor-0", Instance: "dynamo-pd-processor-0", UID: "pod-dynamo-pd-processor-0", IP: "127.244.0.9", Node: "cpu-0", Ready: true, Leader: true},
			{Role: prefill, Name: "dynamo-pd-prefill-0", Instance: "dynamo-pd-prefill-0", UID: "pod-dynamo-pd-prefill-0", IP: "127.244.0.9", Node: "gpu-0", Ready: true, Leader: true, GPUs: 2},
			{Role: prefill, Name: "dynamo-pd-prefill-1", Instance: "dynamo-pd-prefill-1", UID: "pod-dynamo-pd-prefill-1", IP: "127.244.0.9", Node: "gpu-1", Ready: true, Leader: true, GPUs: 2},
			{Role: decode, Name: "dynamo-pd-decode-0", Instance: "dynamo-pd-decode-0", UID: "pod-dynamo-pd-decode-0", IP: "127.244.0.9", Node: "gpu-0", Leader: true, GPUs: 2},
		},
		Startup:      map[planner.Role]Startup{prefill: {Total: Quantiles{2, 100 * time.Second, 100 * time.Second}}, decode: {}},
		GraceSeconds: map[planner.Role]int64{prefill: 30, decode: 30},
		Stateless:    map[planner.Role]bool{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("observation (-want +got):\n%s", diff)
	}
}

func TestReplicas(t *testing.T) {
	set := owner(roleSetGVK, "dynamo-pd-prefill", "set-prefill")
	for name, tc := range map[string]struct {
		build func(*cluster)
		want  string // of the prefill pool
	}{
		"none yet": {func(*cluster) {}, "2 x 2:"},
		"terminating pods hold their GPUs and go first": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0", leaving)
			c.pod("prefill", "dynamo-pd-prefill-1")
		}, "2 x 2: prefill-1=ready/2 prefill-0=terminating/2"},
		"the highest ordinal goes first, by number": {func(c *cluster) {
			for _, n := range []string{"10", "9", "2"} {
				c.pod("prefill", "dynamo-pd-prefill-"+n)
			}
		}, "2 x 2: prefill-2=ready/2 prefill-9=ready/2 prefill-10=ready/2"},
		"stateless: not ready first, then the newest": {func(c *cluster) {
			c.role("prefill", `annotations: {rbg.workloads.x-k8s.io/role-instance-pattern: Stateless}`)
			c.pod("prefill", "dynamo-pd-prefill-old", age(2*time.Hour))
			c.pod("prefill", "dynamo-pd-prefill-new", age(time.Minute))
			c.pod("prefill", "dynamo-pd-prefill-mid", age(time.Hour))
			c.pod("prefill", "dynamo-pd-prefill-bad", age(3*time.Hour), notReady)
		}, "2 x 2: prefill-old=ready/2 prefill-mid=ready/2 prefill-new=ready/2 prefill-bad=starting/2"},
		"stateless in name, with a StatefulSet": {func(c *cluster) {
			c.role("prefill", `annotations: {rbg.workloads.x-k8s.io/role-instance-pattern: Stateless, rbg.workloads.x-k8s.io/role-workload-type: apps/v1/StatefulSet}`)
			c.pod("prefill", "dynamo-pd-prefill-1", age(2*time.Hour))
			c.pod("prefill", "dynamo-pd-prefill-0", age(time.Minute), notReady)
		}, "2 x 2: prefill-0=starting/2 prefill-1=ready/2"},
		"finished pods hold nothing": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
			c.pod("prefill", "dynamo-pd-prefill-1", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		}, "2 x 2:"},
		"an old pod beside its successor of the same name": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0")
			c.pod("prefill", "dynamo-pd-prefill-0-old", leaving, labelled(instanceLabels[0], "dynamo-pd-prefill-0"))
		}, "2 x 2: prefill-0=ready/2 prefill-0=terminating/2"},
		"an owner that is gone": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0", ownedBySomething(owner(instanceGVK, "deleted", "deleted")))
		}, "2 x 2: prefill-0=terminating/2"},
		"pods of a group that was deleted and made again": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0", ownedBySomething(owner(modern.group(), "dynamo-pd", "group-0")))
		}, "2 x 2: prefill-0=terminating/2"},
		"nobody's pods": {func(c *cluster) {
			c.pod("prefill", "by-hand", ownedBySomething())
		}, "2 x 2:"},
		"owned by the set itself": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0", ownedBySomething(set))
			c.pod("prefill", "dynamo-pd-prefill-1", ownedBySomething(set))
		}, "2 x 2: prefill-0=ready/2 prefill-1=ready/2"},
		"labels of RBG v0.3 to v0.6": {func(c *cluster) {
			old := func(p *corev1.Pod) {
				p.Labels = map[string]string{groupLabels[1]: "dynamo-pd", roleLabels[1]: "prefill", instanceLabels[1]: p.Name}
			}
			c.pod("prefill", "dynamo-pd-prefill-0", old)
			c.pod("prefill", "dynamo-pd-prefill-1", old, notReady)
		}, "2 x 2: prefill-0=ready/2 prefill-1=starting/2"},
		"labels of both": {func(c *cluster) {
			c.pod("prefill", "dynamo-pd-prefill-0", labelled(groupLabels[1], "dynamo-pd", roleLabels[1], "prefill"))
		}, "2 x 2: prefill-0=ready/2"},
		"a StatefulSet's pod that is made again holds its GPUs once": {func(c *cluster) {
			set := owner(statefulSetGVK, "dynamo-pd-prefill", "sts")
			c.owns(statefulSetGVK, "dynamo-pd-prefill", "sts", owner(modern.group(), "dynamo-pd", groupUID))
			c.role("prefill", `annotations: {rbg.workloads.x-k8s.io/role-workload-type: apps/v1/StatefulSet}`)
			c.pod("prefill", "dynamo-pd-prefill-1", leaving, ownedBySomething(set))
			c.pod("prefill", "dynamo-pd-prefill-2", leaving, ownedBySomething(set))
		}, "2 x 2: prefill-1=starting/2 prefill-2=terminating/2"},
		"the template is unknown": {func(c *cluster) {
			c.role("prefill", `standalonePattern: {templateRef: {name: other}}`)
			c.pod("prefill", "dynamo-pd-prefill-0")
		}, "2 x 0: prefill-0=ready/2"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			if diff := cmp.Diff(tc.want, brief(c.observe().Prefill)); diff != "" {
				t.Errorf("prefill (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLeaderWorkerReplicas(t *testing.T) {
	// two replicas of a leader and two workers, 4 GPUs a pod
	build := func(c *cluster, change map[string][]func(*corev1.Pod)) {
		c.role("decode", `{replicas: 2, standalonePattern: null, leaderWorkerPattern: {size: 3, templateRef: {name: worker, patch: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "4"}}}]}}}}}`)
		for _, instance := range []string{"dynamo-pd-decode-0", "dynamo-pd-decode-1"} {
			for _, index := range []string{"0", "1", "2"} {
				name := instance + "-" + index
				changes, ok := change[strings.TrimPrefix(name, "dynamo-pd-decode-")]
				if ok && changes == nil {
					continue // this pod is missing
				}
				all := append([]func(*corev1.Pod){
					gpus(4), on("gpu-" + index), labelled(instanceLabels[0], instance, componentLabels[0], index),
					ownedBySomething(owner(instanceGVK, instance, types.UID("instance-of-"+instance))),
				}, changes...)
				c.pod("decode", name, all...)
			}
			c.owns(instanceGVK, instance, types.UID("instance-of-"+instance), owner(roleSetGVK, "dynamo-pd-decode", "set-decode"))
		}
	}
	type changes = map[string][]func(*corev1.Pod)
	for name, tc := range map[string]struct {
		change changes
		want   string
	}{
		"all pods ready":              {nil, "2 x 12: decode-0=ready/12 decode-1=ready/12"},
		"a worker is not ready":       {changes{"1-2": {notReady}}, "2 x 12: decode-0=ready/12 decode-1=starting/12"},
		"a worker is still to come":   {changes{"1-2": nil}, "2 x 12: decode-0=ready/12 decode-1=starting/12"},
		"one pod of a replica leaves": {changes{"0-1": {leaving}}, "2 x 12: decode-0=starting/12 decode-1=ready/12"},
		"all pods leave":              {changes{"1-0": {leaving}, "1-1": {leaving}, "1-2": {leaving}}, "2 x 12: decode-0=ready/12 decode-1=terminating/12"},
		"the last pod leaves":         {changes{"1-0": nil, "1-1": {leaving}, "1-2": nil}, "2 x 12: decode-0=ready/12 decode-1=terminating/4"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			build(c, tc.change)
			o := c.observe()
			if diff := cmp.Diff(tc.want, brief(o.Decode)); diff != "" {
				t.Errorf("decode (-want +got):\n%s", diff)
			}
			for _, r := range o.Decode.Replicas {
				if r.Node != "" && r.GPUs > 4 {
					t.Errorf("replica %s spans nodes and is said to be on %s", r.Name, r.Node)
				}
			}
			for _, p := range o.Pods {
				if p.Role == decode && p.Leader != strings.HasSuffix(p.Name, "-0") {
					t.Errorf("pod %s: leader %v", p.Name, p.Leader)
				}
			}
		})
	}
}

func TestSince(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0", readyFor(5*time.Minute))
	c.pod("prefill", "dynamo-pd-prefill-1", pending, age(3*time.Minute))
	c.pod("prefill", "dynamo-pd-prefill-2", leaving)
	got := c.observe().Prefill.Replicas
	want := []planner.Replica{
		{Name: "dynamo-pd-prefill-0", State: planner.Ready, Since: now.Add(-5 * time.Minute), Node: "gpu-0", GPUs: 2},
		{Name: "dynamo-pd-prefill-1", State: planner.Starting, Since: now.Add(-3 * time.Minute), GPUs: 2, Unschedulable: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."},
		{Name: "dynamo-pd-prefill-2", State: planner.Terminating, Since: now.Add(-20 * time.Second), Node: "gpu-0", GPUs: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
}

// A pod that fails a probe after a week has not been starting for a week.
func TestStartingSince(t *testing.T) {
	failing := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { notReady(p); readyFor(ago)(p) }
	}
	for name, tc := range map[string]struct {
		changes []func(*corev1.Pod)
		want    time.Duration
	}{
		"never ready":          {[]func(*corev1.Pod){age(4 * time.Minute), notReady}, 4 * time.Minute},
		"not placed":           {[]func(*corev1.Pod){age(4 * time.Minute), pending}, 4 * time.Minute},
		"not ready any more":   {[]func(*corev1.Pod){age(168 * time.Hour), failing(time.Minute)}, time.Minute},
		"not ready since made": {[]func(*corev1.Pod){age(time.Minute), failing(time.Hour)}, time.Minute},
	} {
		c := dynamoPD(t)
		c.pod("prefill", "dynamo-pd-prefill-0", tc.changes...)
		got := c.observe().Prefill.Replicas[0]
		if since := now.Sub(got.Since); got.State != planner.Starting || since != tc.want {
			t.Errorf("%s: %s for %s, want starting for %s", name, got.State, since, tc.want)
		}
	}
}

// A pod that terminates may still answer that it is ready.
func TestPodsThatLeaveAreNotReady(t *testing.T) {
	c := dynamoPD(t)
	c.pod("prefill", "dynamo-pd-prefill-0", leaving)
	c.pod("prefill", "dynamo-pd-prefill-1")
	for _, p := range c.observe().Pods {
		if leaves := p.Name == "dynamo-pd-prefill-0"; p.Ready == leaves || p.Terminating != leaves {
			t.Errorf("pod %s: ready %v, terminating %v", p.Name, p.Ready, p.Terminating)
		}
	}
}

func TestDesired(t *testing.T) {
	for name, tc := range map[string]struct {
		build    func(*cluster)
		want     int
		wantHeld string
	}{
		"the role's own count":     {func(*cluster) {}, 2, ""},
		"one by default":           {func(c *cluster) { c.role("prefill", `replicas: null`) }, 1, ""},
		"a bound adapter decides":  {func(c *cluster) { c.adapter("prefill", "Bound", 5) }, 5, ""},
		"another role's adapter":   {func(c *cluster) { c.adapter("decode", "Bound", 5) }, 2, ""},
		"an adapter that waits":    {func(c *cluster) { c.adapter("prefill", "NotBound", 5) }, 2, "the scaling adapter of role prefill is not bound yet"},
		"an adapter that is fresh": {func(c *cluster) { c.adapter("prefill", "", 0) }, 2, "the scaling adapter of role prefill is not bound yet"},
		"an adapter to come":       {func(c *cluster) { c.role("prefill", `scalingAdapter: {enable: true}`) }, 2, "the scaling adapter of role prefill is not bound yet"},
		"an adapter without an owner is never looked at": {func(c *cluster) {
			c.adapter("prefill", "Bound", 5)
			c.objects[len(c.objects)-1].SetOwnerReferences(nil)
		}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			got := c.observe().Prefill
			if got.Desired != tc.want || !strings.Contains(got.Held, tc.wantHeld) || (tc.wantHeld == "") != (got.Held == "") {
				t.Errorf("desired %d, held %q; want %d, %q", got.Desired, got.Held, tc.want, tc.wantHeld)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		build func(*cluster)
		want  []string
	}{
		"none": {func(c *cluster) { c.pod("prefill", "dynamo-pd-prefill-0") }, nil},
		"pods hold more than the template says": {func(c *cluster) { c.pod("prefill", "dynamo-pd-prefill-0", gpus(4)) },
			[]string{"prefill GPUsPerReplicaDiffer: replica dynamo-pd-prefill-0 of role prefill holds 4 GPUs, its template says 2"}},
		"not during a rollout": {func(c *cluster) {
			c.carrier("prefill", "{replicas: 2, updatedReplicas: 1}")
			c.pod("prefill", "dynamo-pd-prefill-0", gpus(4))
		}, nil},
		"not of a pod that leaves": {func(c *cluster) { c.pod("prefill", "dynamo-pd-prefill-0", gpus(4), leaving) }, nil},
		"pods of something else": {func(c *cluster) { c.pod("decode", "by-hand", ownedBySomething()) },
			[]string{"decode ForeignPods: 1 pods carry the labels of role decode and belong to something else"}},
		"template": {func(c *cluster) { c.role("decode", `standalonePattern: {templateRef: {name: other}}`) },
			[]string{`decode TemplateInvalid: role "decode": templateRef names "other", which spec.roleTemplates does not have`}},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			tc.build(c)
			got := c.observe().Problems
			if len(got) != len(tc.want) {
				t.Fatalf("problems %v, want %q", got, tc.want)
			}
			for i, p := range got {
				if text := fmt.Sprintf("%s %s: %s", p.Role, p.Reason, p.Message); !strings.HasPrefix(text, tc.want[i]) {
					t.Errorf("problem %q, want %q", text, tc.want[i])
				}
			}
		})
	}
}

func TestMissing(t *testing.T) {
	t.Run("group", func(t *testing.T) {
		c := dynamoPD(t)
		c.objects = c.objects[1:]
		wantMissing(t, c, "RoleBasedGroup default/dynamo-pd does not exist")
	})
	t.Run("group on its way out", func(t *testing.T) {
		c := dynamoPD(t)
		c.group().SetDeletionTimestamp(new(metav1.NewTime(now)))
		c.group().SetFinalizers([]string{"test/keep"})
		wantMissing(t, c, "RoleBasedGroup default/dynamo-pd is being deleted")
	})
	t.Run("definition of groups", func(t *testing.T) {
		c := dynamoPD(t)
		c.versions = []string{"v1beta7"}
		wantMissing(t, c, "RoleBasedGroup default/dynamo-pd cannot exist: this cluster does not serve RoleBasedGroup of workloads.x-k8s.io in a version that is understood: allowed is v1alpha2 or v1alpha1")
	})
	t.Run("definition that goes under a running controller", func(t *testing.T) {
		c := dynamoPD(t)
		w := c.workload()
		gone := false
		w.live = interceptor.NewClient(c.client().(client.WithWatch), interceptor.Funcs{
			Get: func(ctx context.Context, through client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
				if gone {
					return &meta.NoKindMatchError{GroupKind: modern.group().GroupKind(), SearchedVersions: []string{"v1alpha2"}}
				}
				return through.Get(ctx, key, o, options...)
			},
		})
		if _, err := w.Observe(t.Context(), target, now); err != nil {
			t.Fatal(err)
		}
		gone = true
		_, err := w.Observe(t.Context(), target, now)
		want := "RoleBasedGroup default/dynamo-pd cannot be read: the cluster no longer serves it in workloads.x-k8s.io/v1alpha2"
		if !errors.As(err, new(*MissingError)) || err.Error() != want {
			t.Errorf("error %v, want a MissingError: %s", err, want)
		}
	})
	t.Run("role", func(t *testing.T) {
		c := dynamoPD(t)
		c.role("decode", `name: decoder`)
		c.pod("decode", "dynamo-pd-decode-0", leaving) // it was there a moment ago
		got := c.observe().Decode
		want := `RoleBasedGroup default/dynamo-pd has no role "decode"; it has processor, prefill, decoder`
		if got.Missing != want || brief(got) != "0 x 0: decode-0=terminating/2" {
			t.Errorf("missing %q, %s; want %q and a replica that holds 2 GPUs", got.Missing, brief(got), want)
		}
	})
	t.Run("an unreadable group is not a missing one", func(t *testing.T) {
		c := dynamoPD(t)
		c.forbidden["RoleBasedGroup"] = true
		_, err := c.workload().Observe(t.Context(), target, now)
		if err == nil || errors.As(err, new(*MissingError)) {
			t.Errorf("error %v, want one that says nothing about the group", err)
		}
	})
}

func wantMissing(t *testing.T, c *cluster, want string) {
	t.Helper()
	_, err := c.workload().Observe(t.Context(), target, now)
	if !errors.As(err, new(*MissingError)) || err.Error() != want {
		t.Errorf("error %v, want a MissingError: %s", err, want)
	}
}
