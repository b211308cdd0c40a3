package workload_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

const (
	decode  = planner.Decode
	prefill = planner.Prefill
)

// GPUs go from decode's queue to prefill and back on a node of 8: what is
// seen at each step is what holds GPUs.
func TestRunningExample(t *testing.T) {
	t.Parallel()
	began := time.Now()
	s := newService(t, 8, rbgfake.Options{}, &rbgfake.Example{ReadyAfter: time.Second, GoneAfter: 2 * time.Second})

	o := s.eventually("2: 0=ready/2 1=ready/2", "1: 0=ready/2")
	if o.Prefill.GPUsPerReplica != 2 || o.Decode.GPUsPerReplica != 2 || o.Prefill.GPUType != s.product {
		t.Errorf("%d and %d GPUs per replica of type %q", o.Prefill.GPUsPerReplica, o.Decode.GPUsPerReplica, o.Prefill.GPUType)
	}
	if free := o.FreeGPUsByNode[s.node]; free != 2 {
		t.Errorf("%d GPUs are free, want 2 of 8", free)
	}
	// conditions have whole seconds
	if took, most := o.Prefill.StartupSeconds, time.Since(began).Seconds()+1; !took.Ok() || took.Value < 1 || took.Value > most {
		t.Errorf("start-up of prefill %v, want a second or a little more, and no more than the %.1f s that the test has run", took, most)
	}
	// replicas of one role on one node: whichever was ready first read its weights cold
	if s := o.Startup[prefill]; s.Total.Samples != 2 || s.Schedule.Samples != 2 || s.Pull.Samples != 2 || s.ColdLoad.Samples+s.WarmLoad.Samples != 2 || s.ColdLoad.Samples == 0 {
		t.Errorf("start-up of prefill %+v, want two of each phase", s)
	}
	if o.Prefill.Held != "" || o.Prefill.Writer != "" || o.Prefill.Rollout || len(o.Problems) > 0 {
		t.Errorf("held %q, writer %q, rollout %v, problems %v; want none", o.Prefill.Held, o.Prefill.Writer, o.Prefill.Rollout, o.Problems)
	}
	if len(o.Pods) != 4 || o.Pods[0].Role != workload.FrontendRole || o.Pods[0].GPUs != 0 {
		t.Errorf("pods %v, want the frontend's and three workers'", o.Pods)
	}
	// the frontend, which holds no GPU, may come later than the workers
	s.until("every pod to be ready, with a loopback address and a node", func(o *workload.Observation) bool {
		return !slices.ContainsFunc(o.Pods, func(p workload.Pod) bool {
			return !p.Ready || !strings.HasPrefix(p.IP, "127.244.") || p.Node == ""
		})
	})

	s.apply(prefill, 2, 3)
	o = s.eventually("3: 0=ready/2 1=ready/2 2=ready/2", "1: 0=ready/2")
	if free := o.FreeGPUsByNode[s.node]; free != 0 {
		t.Errorf("%d GPUs are free, want none", free)
	}
	if err := s.workload.Apply(t.Context(), s.target, prefill, 2, 4); !errors.As(err, new(*workload.ConflictError)) {
		t.Errorf("a decision made from 2 replicas was carried out on 3: %v", err)
	}

	s.apply(decode, 1, 2)
	s.eventually("3: 0=ready/2 1=ready/2 2=ready/2", "2: 0=ready/2 1=starting/2")
	s.until("decode-1 to find no place", func(o *workload.Observation) bool {
		why := o.Decode.Replicas[1].Unschedulable
		if why != "" && !strings.Contains(why, "Insufficient nvidia.com/gpu") {
			t.Fatalf("decode-1 is unschedulable because %q", why)
		}
		return why != ""
	})

	letGo := s.hold()
	s.apply(prefill, 3, 2)
	// asked for two, and the third holds its GPUs until its pod is gone
	s.eventually("2: 0=ready/2 1=ready/2 2=terminating/2", "2: 0=ready/2 1=starting/2")
	letGo()
	s.eventually("2: 0=ready/2 1=ready/2", "2: 0=ready/2 1=ready/2")
}

func TestWithoutAdapters(t *testing.T) {
	t.Parallel()
	s := newService(t, 8, rbgfake.Options{}, &rbgfake.Example{NoAdapters: true})
	s.eventually("2: 0=ready/2 1=ready/2", "1: 0=ready/2")
	s.apply(prefill, 2, 1)
	s.eventually("1: 0=ready/2", "1: 0=ready/2")
	if err := s.workload.Apply(t.Context(), s.target, prefill, 2, 3); !errors.As(err, new(*workload.ConflictError)) {
		t.Errorf("a decision made from 2 replicas was carried out on 1: %v", err)
	}
	s.apply(decode, 1, 2)
	s.eventually("1: 0=ready/2", "2: 0=ready/2 1=ready/2")
}

// What is written before an adapter is bound is lost, so nothing is.
func TestAdapterBindsLate(t *testing.T) {
	t.Parallel()
	options := rbgfake.Options{BindDelay: time.Hour, Selector: rbgfake.SelectorMalformed}
	s := newService(t, 8, options, &rbgfake.Example{})
	o := s.eventually("2: 0=ready/2 1=ready/2", "1: 0=ready/2")
	if !strings.Contains(o.Prefill.Held, "the scaling adapter of role prefill is not bound yet") {
		t.Errorf("prefill is held by %q", o.Prefill.Held)
	}
	if err := s.workload.Apply(t.Context(), s.target, prefill, 2, 3); !errors.As(err, new(*workload.NotBoundError)) {
		t.Errorf("error %v, want that the adapter is not bound", err)
	}
	s.stopGroups()
	options.BindDelay = 0
	s.runGroups(options)
	s.until("the adapter to be bound", func(o *workload.Observation) bool { return o.Prefill.Held == "" })
	s.apply(prefill, 2, 3) // through a /scale whose selector nobody can read
	s.eventually("3: 0=ready/2 1=ready/2 2=ready/2", "1: 0=ready/2")
}

// decode waits for prefill, and prefill for GPUs that decode holds: RBG changes
// nothing any more, and a count written to decode would do nothing.
func TestDependencyDeadlockIsSeen(t *testing.T) {
	t.Parallel()
	s := newService(t, 6, rbgfake.Options{}, nil)
	group := s.example(rbgfake.Example{})
	role(t, group, "decode")["dependencies"] = []any{"prefill"}
	s.create(group)
	s.eventually("2: 0=ready/2 1=ready/2", "1: 0=ready/2")
	s.apply(prefill, 2, 3)
	s.eventually("3: 0=ready/2 1=ready/2 2=starting/2", "1: 0=ready/2")
	o := s.until("decode to be held by prefill", func(o *workload.Observation) bool {
		return strings.Contains(o.Decode.Held, "role decode depends on role prefill, and 2 of 3 replicas of prefill are ready")
	})
	if o.Prefill.Held != "" {
		t.Errorf("prefill is held by %q, and it is the way out", o.Prefill.Held)
	}
	s.apply(prefill, 3, 2)
	s.eventually("2: 0=ready/2 1=ready/2", "1: 0=ready/2")
	s.until("decode to be held no more", func(o *workload.Observation) bool { return o.Decode.Held == "" })
}

func TestLeaderWorker(t *testing.T) {
	t.Parallel()
	s := newService(t, 8, rbgfake.Options{}, nil)
	group := s.example(rbgfake.Example{PrefillReplicas: 1})
	decodeRole := role(t, group, "decode")
	template := decodeRole["standalonePattern"].(map[string]any)["template"]
	delete(decodeRole, "standalonePattern")
	decodeRole["leaderWorkerPattern"] = map[string]any{"size": int64(2), "template": template}
	s.create(group)
	o := s.eventually("1: 0=ready/2", "1: 0=ready/4")
	leaders := 0
	for _, p := range o.Pods {
		if p.Role == decode && p.Leader {
			leaders++
		}
	}
	if o.Decode.GPUsPerReplica != 4 || leaders != 1 || len(o.Problems) > 0 {
		t.Errorf("%d GPUs per replica, %d leaders, problems %v; want 4, 1 and none", o.Decode.GPUsPerReplica, leaders, o.Problems)
	}
	s.apply(decode, 1, 2) // 2 GPUs are left: one of its two pods finds a place
	s.eventually("1: 0=ready/2", "2: 0=ready/4 1=starting/4")
}

// Pods of a deleted group hold their GPUs, and serve nobody.
func TestGroupMadeAgain(t *testing.T) {
	t.Parallel()
	s := newService(t, 8, rbgfake.Options{}, &rbgfake.Example{DecodeReplicas: 1, PrefillReplicas: 1})
	before := s.eventually("1: 0=ready/2", "1: 0=ready/2")
	letGo := s.hold()
	if err := s.admin.Delete(t.Context(), s.example(rbgfake.Example{}), client.PropagationPolicy("Background")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.workload.Observe(t.Context(), s.target, time.Now()); !errors.As(err, new(*workload.MissingError)) {
		t.Errorf("error %v, want that the group is missing", err)
	}
	s.create(s.example(rbgfake.Example{PrefillReplicas: 2}))
	old := map[types.UID]bool{}
	for _, p := range before.Pods {
		old[p.UID] = true
	}
	// seen reports whether pods of the old group are still seen; whatever is seen, none of them serves.
	seen := func(o *workload.Observation) bool {
		if o.UID == before.UID {
			t.Fatal("the old group was observed")
		}
		found := false
		for _, p := range o.Pods {
			if old[p.UID] && p.Ready {
				t.Fatalf("pod %+v of the old group counts as ready", p)
			}
			found = found || old[p.UID]
		}
		return found
	}
	s.until("the old group's pods to be seen", seen)
	letGo()
	s.until("the new group's pods", func(o *workload.Observation) bool {
		return !seen(o) && brief(o.Prefill) == "2: 0=ready/2 1=ready/2" && brief(o.Decode) == "1: 0=ready/2"
	})
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	s := newService(t, 8, rbgfake.Options{}, &rbgfake.Example{})
	s.eventually("2: 0=ready/2 1=ready/2", "1: 0=ready/2")

	t.Run("without nodes", func(t *testing.T) {
		bind(t, s, "no-nodes", "pdautoscaler")
		o, err := s.workloadAs("no-nodes").Observe(t.Context(), s.target, time.Now())
		if err != nil || o.FreeGPUsByNode != nil || brief(o.Prefill) != "2: 0=ready/2 1=ready/2" {
			t.Errorf("free GPUs %v, prefill %s, %v; want the same without the nodes", o.FreeGPUsByNode, brief(o.Prefill), err)
		}
		if o.Prefill.GPUType != s.product { // from the template's node selector
			t.Errorf("GPU type %q", o.Prefill.GPUType)
		}
	})
	t.Run("without any", func(t *testing.T) {
		_, err := s.workloadAs("nobody").Observe(t.Context(), s.target, time.Now())
		if err == nil || !strings.Contains(err.Error(), "cannot get resource") || errors.As(err, new(*workload.MissingError)) {
			t.Errorf("error %v, want that it is forbidden", err)
		}
	})
}

// bind gives a user one of the product's cluster roles.
func bind(t *testing.T, s *service, user, role string) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": user},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}},
	}}
	s.create(u)
	t.Cleanup(func() { _ = s.admin.Delete(context.Background(), u) })
	// The API server's authoriser hears of a binding a moment later.
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: s.target.Namespace, Verb: "list", Resource: "pods"},
		}}
		if s.create(review); review.Status.Allowed {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the role %s of user %s does not count", role, user)
		}
	}
}

// role gives access to a role of a group.
func role(t *testing.T, group *unstructured.Unstructured, name string) map[string]any {
	t.Helper()
	roles, _, err := unstructured.NestedFieldNoCopy(group.Object, "spec", "roles")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles.([]any) {
		if r := r.(map[string]any); r["name"] == name {
			return r
		}
	}
	t.Fatalf("the example has no role %s", name)
	return nil
}
