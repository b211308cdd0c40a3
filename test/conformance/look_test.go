package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Both generations of a pod's labels, the new one first.
var (
	groupLabels    = [2]string{"rbg.workloads.x-k8s.io/group-name", "rolebasedgroup.workloads.x-k8s.io/name"}
	roleLabels     = [2]string{"rbg.workloads.x-k8s.io/role-name", "rolebasedgroup.workloads.x-k8s.io/role"}
	instanceLabels = [2]string{"rbg.workloads.x-k8s.io/role-instance-name", "instanceset.workloads.x-k8s.io/instance-name"}
)

const (
	labelIndex     = "rbg.workloads.x-k8s.io/role-instance-index"
	labelComponent = "rbg.workloads.x-k8s.io/component-index"
)

func labelOf(o client.Object, keys [2]string) string {
	if value := o.GetLabels()[keys[0]]; value != "" {
		return value
	}
	return o.GetLabels()[keys[1]]
}

// workloadName is what a role's workload and its adapter are called.
func workloadName(role string) string { return groupName + "-" + role }

// workloadKind is the kind that carries a role of this API version by default.
func (t *trial) workloadKind() schema.GroupVersionKind {
	if t.api == v1alpha1 {
		return statefulSetKind
	}
	return rbg(t.api, kindInstanceSet)
}

// read returns an object, nil where there is none.
func (t *trial) read(kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	t.Helper()
	u := object(kind, t.ns, name)
	err := t.client.Get(t.Context(), client.ObjectKeyFromObject(u), u)
	if apierrors.IsNotFound(err) {
		return nil
	}
	t.must("read "+kind.Kind+" "+name, err)
	return u
}

func (t *trial) theGroup() *unstructured.Unstructured {
	t.Helper()
	g := t.read(rbg(t.api, kindGroup), groupName)
	if g == nil {
		t.Fatalf("the RoleBasedGroup is gone")
	}
	return g
}

func (t *trial) adapter(role string) *unstructured.Unstructured {
	t.Helper()
	return t.read(rbg(t.api, kindAdapter), workloadName(role))
}

func (t *trial) workload(role string) *unstructured.Unstructured {
	t.Helper()
	return t.read(t.workloadKind(), workloadName(role))
}

// pods returns those of a role in the order of their names, terminating ones too.
func (t *trial) pods(role string) []corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	t.must("list pods", t.client.List(t.Context(), list, client.InNamespace(t.ns)))
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return labelOf(&p, groupLabels) != groupName || labelOf(&p, roleLabels) != role
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

// pod returns the one of a name, nil where there is none.
func (t *trial) pod(name string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	err := t.client.Get(t.Context(), client.ObjectKey{Namespace: t.ns, Name: name}, pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	t.must("read pod "+name, err)
	return pod
}

// ready reports whether a pod serves.
func ready(p *corev1.Pod) bool {
	return p != nil && p.DeletionTimestamp == nil && conditionOf(p, corev1.PodReady).Status == corev1.ConditionTrue
}

func conditionOf(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// hasReady checks that a role's pods are exactly these, all Ready.
func (t *trial) hasReady(role string, names ...string) func() error {
	return func() error {
		pods := t.pods(role)
		for i := range pods {
			if !ready(&pods[i]) {
				return fmt.Errorf("pod %s is %s", pods[i].Name, stateOf(&pods[i]))
			}
		}
		return same("pods of "+role, names, namesOf(pods))
	}
}

// hasPods checks that a role's pods are exactly these, in whatever state.
func (t *trial) hasPods(role string, names ...string) func() error {
	return func() error { return same("pods of "+role, names, namesOf(t.pods(role))) }
}

// readyCount checks how many Ready pods a role has, and that it has no other.
func (t *trial) readyCount(role string, n int) func() error {
	return func() error {
		pods := t.pods(role)
		for i := range pods {
			if !ready(&pods[i]) {
				return fmt.Errorf("pod %s is %s", pods[i].Name, stateOf(&pods[i]))
			}
		}
		if len(pods) != n {
			return fmt.Errorf("%s has %d pods, want %d", role, len(pods), n)
		}
		return nil
	}
}

func same(what string, want, got []string) error {
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(want, got) {
		return fmt.Errorf("%s are %v, want %v", what, got, want)
	}
	return nil
}

func namesOf(pods []corev1.Pod) []string {
	var out []string
	for i := range pods {
		out = append(out, pods[i].Name)
	}
	return out
}

// ordinals are the names of the first n replicas of a role.
func ordinals(role string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", workloadName(role), i))
	}
	return out
}

// stateOf is a pod in a word or two.
func stateOf(p *corev1.Pod) string {
	switch scheduled := conditionOf(p, corev1.PodScheduled); {
	case p.DeletionTimestamp != nil:
		return "Terminating"
	case ready(p):
		return "Ready"
	case scheduled.Reason == corev1.PodReasonUnschedulable:
		return "Unschedulable"
	case p.Spec.NodeName == "":
		return "without a node"
	}
	return string(p.Status.Phase) + ", not Ready"
}

// unschedulable checks that a pod waits for a node.
func (t *trial) unschedulable(name string) func() error {
	return func() error {
		p := t.pod(name)
		if p == nil {
			return fmt.Errorf("there is no pod %s", name)
		}
		if s := stateOf(p); s != "Unschedulable" {
			return fmt.Errorf("pod %s is %s", name, s)
		}
		return nil
	}
}

// counts checks a role's replicas and ready replicas in the group's status.
func (t *trial) counts(role string, replicas, ready int64) func() error {
	return func() error {
		s := t.status(role)
		if s == nil {
			return fmt.Errorf("the group has no status of role %s", role)
		}
		if integer(s, "replicas") != replicas || integer(s, "readyReplicas") != ready {
			return fmt.Errorf("the group says of role %s: %d replicas, %d ready; want %d, %d ready", role, integer(s, "replicas"), integer(s, "readyReplicas"), replicas, ready)
		}
		return nil
	}
}

// status is what the group says of a role, nil where it says nothing.
func (t *trial) status(role string) map[string]any {
	t.Helper()
	list, _, _ := unstructured.NestedSlice(t.theGroup().Object, "status", "roleStatuses")
	for _, s := range list {
		if m, ok := s.(map[string]any); ok && m["name"] == role {
			return m
		}
	}
	return nil
}

// readyCondition checks the group's Ready condition.
func (t *trial) readyCondition(status, reason string) func() error {
	return func() error {
		list, _, _ := unstructured.NestedSlice(t.theGroup().Object, "status", "conditions")
		for _, c := range list {
			if m, ok := c.(map[string]any); ok && m["type"] == "Ready" {
				if m["status"] == status && m["reason"] == reason {
					return nil
				}
				return fmt.Errorf("condition Ready is %v (%v), want %s (%s)", m["status"], m["reason"], status, reason)
			}
		}
		return fmt.Errorf("the group has no condition Ready")
	}
}

// wants checks what a role's workload asks for.
func (t *trial) wants(role string, replicas int64) func() error {
	return func() error {
		w := t.workload(role)
		if w == nil {
			return fmt.Errorf("role %s has no %s", role, t.workloadKind().Kind)
		}
		if n := integer(w.Object, "spec", "replicas"); n != replicas {
			return fmt.Errorf("%s %s asks for %d replicas, want %d", w.GetKind(), w.GetName(), n, replicas)
		}
		return nil
	}
}

// onDisk is the replicas of a role as the group has them.
func (t *trial) onDisk(role string) int64 {
	t.Helper()
	list, _, _ := unstructured.NestedSlice(t.theGroup().Object, "spec", "roles")
	for _, r := range list {
		if m, ok := r.(map[string]any); ok && m["name"] == role {
			return integer(m, "replicas")
		}
	}
	return -1
}

// bound waits until a role's adapter is.
func (t *trial) bound(roles ...string) {
	t.Helper()
	for _, role := range roles {
		t.eventually("the scaling adapter of "+role+" to be Bound", t.phase(role, "Bound"))
	}
}

func (t *trial) phase(role, want string) func() error {
	return func() error {
		a := t.adapter(role)
		if a == nil {
			return fmt.Errorf("role %s has no scaling adapter", role)
		}
		if phase, _, _ := unstructured.NestedString(a.Object, "status", "phase"); phase != want {
			return fmt.Errorf("its phase is %q, want %q", phase, want)
		}
		return nil
	}
}

// scale writes to the /scale of a role's adapter. Right after binding RBG may bind a second time, from a cache that does not show
// the first, and overwrite what was written in between: the first write of a role is looked after.
func (t *trial) scale(role string, replicas int) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec": {"replicas": %d}}`, replicas))
	write := func() {
		t.Helper()
		t.must("write the /scale of role "+role, t.client.SubResource("scale").Patch(t.Context(), object(rbg(t.api, kindAdapter), t.ns, workloadName(role)), patch))
	}
	write()
	if t.scaled[role] {
		return
	}
	if t.scaled == nil {
		t.scaled = map[string]bool{}
	}
	t.scaled[role] = true
	lost := func() error {
		if integer(t.adapter(role).Object, "spec", "replicas") != int64(replicas) {
			return nil
		}
		return errStill
	}
	if t.within(2*time.Second, lost) == nil {
		t.observed("the first write after binding was overwritten by a second binding")
		write()
	}
}

// happened checks that an event of a reason was recorded in the namespace.
func (t *trial) happened(reason string) func() error {
	return func() error {
		list := &corev1.EventList{}
		if err := t.client.List(t.Context(), list, client.InNamespace(t.ns)); err != nil {
			return err
		}
		reasons := map[string]bool{}
		for i := range list.Items {
			reasons[list.Items[i].Reason] = true
		}
		if !reasons[reason] {
			return fmt.Errorf("no event %s; there are %v", reason, slices.Sorted(maps.Keys(reasons)))
		}
		return nil
	}
}

// gone checks that an object is not there.
func (t *trial) gone(kind schema.GroupVersionKind, name string) func() error {
	return func() error {
		if t.read(kind, name) != nil {
			return fmt.Errorf("%s %s is there", kind.Kind, name)
		}
		return nil
	}
}

// describe tells of the namespace, for a message about what did not happen.
func (t *trial) describe() string {
	var b strings.Builder
	pods := &corev1.PodList{}
	if err := t.client.List(t.Context(), pods, client.InNamespace(t.ns)); err != nil {
		return err.Error()
	}
	for i := range pods.Items {
		fmt.Fprintf(&b, "  pod %s: %s\n", pods.Items[i].Name, stateOf(&pods.Items[i]))
	}
	if g := t.read(rbg(t.api, kindGroup), groupName); g != nil {
		list, _, _ := unstructured.NestedSlice(g.Object, "status", "roleStatuses")
		fmt.Fprintf(&b, "  roleStatuses: %v\n", list)
	}
	return b.String()
}

// integer reads a whole number, 0 where there is none.
func integer(obj map[string]any, fields ...string) int64 {
	value, _, _ := unstructured.NestedFieldNoCopy(obj, fields...)
	switch n := value.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// controllerOf returns the object that controls another, nil where none does or it is another one than the reference says.
func (t *trial) controllerOf(o client.Object) *unstructured.Unstructured {
	t.Helper()
	ref := metav1.GetControllerOf(o)
	if ref == nil {
		return nil
	}
	owner := t.read(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind), ref.Name)
	if owner == nil || owner.GetUID() != ref.UID {
		return nil
	}
	return owner
}

// unstructuredString reads a text.
func unstructuredString(u *unstructured.Unstructured, fields ...string) (string, bool, error) {
	return unstructured.NestedString(u.Object, fields...)
}

// containsUnschedulable reports whether a pod's status says that it found no node.
func containsUnschedulable(status string) bool {
	return strings.Contains(status, corev1.PodReasonUnschedulable)
}
