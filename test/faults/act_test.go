package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// lastStep is how long what was begun last lasts at least, and givenUp how long pods that never start do where they do to the
// end: then they are given up.
const (
	lastStep = 1500 * time.Millisecond
	givenUp  = startTimeout + 2*time.Second
)

// lasting is a fault that is still there.
type lasting struct {
	until int // the step before which it ends
	kind  Kind
	what  string
	end   func(context.Context) error
}

// disturb plays the steps, and leaves a service that nothing disturbs any more.
func (w *world) disturb(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*patience, errors.New("the faults took too long"))
	defer cancel()
	var present []lasting
	endUntil := func(step int) error {
		for _, l := range present {
			if l.until > step {
				continue
			}
			if err := l.end(ctx); err != nil {
				return fmt.Errorf("end of %s: %w", l.what, err)
			}
			w.note("over: %s", l.what)
		}
		present = slices.DeleteFunc(present, func(l lasting) bool { return l.until <= step })
		return nil
	}
	for i, step := range w.sequence.Steps {
		if err := wait(ctx, step.Wait); err != nil {
			return err
		}
		if err := endUntil(i); err != nil {
			return err
		}
		if step.Demand != nil {
			w.demand.Store(step.Demand)
			w.note("demand: %s", step.Demand)
		}
		if f := step.Fault; f != nil {
			w.note("fault: %s", f)
			end, err := w.begin(ctx, f)
			if err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
			if end != nil {
				present = append(present, lasting{i + f.Steps, f.Kind, f.String(), end})
			}
		}
	}
	last := lastStep
	if slices.ContainsFunc(present, func(l lasting) bool { return l.kind == NeverStarts && l.until > len(w.sequence.Steps) }) {
		last = givenUp
	}
	if err := wait(ctx, last); err != nil {
		return err
	}
	if err := endUntil(len(w.sequence.Steps) + toTheEnd); err != nil {
		return err
	}
	w.hosts.each(func(r *replica) { r.arm(0, AtAny, false); r.sever(false) })
	w.demand.Store(&w.sequence.Final)
	w.note("no more faults; %s within %d GPUs", w.sequence.Final, w.sequence.FinalBudget)
	return w.undisturbed(ctx)
}

// unhurried is how long starts and drains may take once nothing disturbs them: while faults play they are given up soon, and on a
// busy machine sound ones would be too, again and again.
const unhurried = 5 * time.Minute

// undisturbed sets the last budget, and gives the service the time that it takes.
func (w *world) undisturbed(ctx context.Context) error {
	return w.patch(ctx, w.resource(), fmt.Sprintf(`{"spec":{"budget":{"gpus":%d},"behavior":{"startTimeout":%[2]q},"rebalance":{"drainTimeout":%[2]q,"startTimeout":%[2]q}}}`,
		w.sequence.FinalBudget, unhurried.String()))
}

func (w *world) resource() *v1alpha1.PDAutoscaler {
	return &v1alpha1.PDAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "qwen"}}
}

// begin makes a fault happen and returns how it ends, nil where it is over.
func (w *world) begin(ctx context.Context, f *Fault) (end func(context.Context) error, err error) {
	switch f.Kind {
	case Killed:
		if r := w.hosts.leader(); r != nil {
			r.arm(f.N, f.Boundary, f.After)
		}
	case LeaderStops:
		if r := w.hosts.leader(); r != nil {
			r.stop()
		}
	case LeaderCutOff:
		if r := w.hosts.leader(); r != nil {
			r.sever(true)
			return func(context.Context) error { r.sever(false); return nil }, nil
		}
	case NeverStarts:
		stop := w.keepFailing(ctx, f.Role)
		return func(ctx context.Context) error { stop(); return w.startAgain(ctx, f.Role) }, nil
	case Stuck:
		return w.release, w.hold(ctx, f.Role)
	case NodeGone:
		node := w.nodes[f.N]
		return func(ctx context.Context) error { return w.create(ctx, node.DeepCopy()) }, w.removeNode(ctx, node)
	case BudgetLowered:
		return func(ctx context.Context) error { return w.setBudget(ctx, Budget) }, w.setBudget(ctx, f.N)
	case Edited:
		return nil, w.edit(ctx, f.Role, f.N)
	case RoleRecreated:
		return func(ctx context.Context) error {
			if err := w.collected(ctx, f.Role); err != nil {
				return err
			}
			return w.addRole(ctx, f.Role, f.N)
		}, w.removeRole(ctx, f.Role)
	case AdapterAgain:
		return nil, w.removeAdapter(ctx, f.Role)
	case Silence:
		w.silent.Store(true)
		return func(context.Context) error { w.silent.Store(false); return nil }, nil
	}
	return nil, nil
}

// patch writes a merge patch.
func (w *world) patch(ctx context.Context, o client.Object, patch string) error {
	return w.try(ctx, func() error {
		err := w.suite.client.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(patch)))
		if err == nil {
			w.byHand(o)
		}
		return client.IgnoreNotFound(err)
	})
}

func (w *world) setBudget(ctx context.Context, gpus int) error {
	return w.patch(ctx, w.resource(), fmt.Sprintf(`{"spec":{"budget":{"gpus":%d}}}`, gpus))
}

func (w *world) object(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(rbgfake.GroupVersion.WithKind(kind))
	u.SetNamespace(w.namespace)
	u.SetName(name)
	return u
}

// change changes the roles of the group.
func (w *world) change(ctx context.Context, change func(roles []any) []any) error {
	return w.try(ctx, func() error {
		group := w.object(rbgfake.KindGroup, groupName)
		if err := w.suite.client.Get(ctx, client.ObjectKeyFromObject(group), group); err != nil {
			return err
		}
		roles, _, err := unstructured.NestedSlice(group.Object, "spec", "roles")
		if err != nil {
			return err
		}
		if err := unstructured.SetNestedSlice(group.Object, change(roles), "spec", "roles"); err != nil {
			return err
		}
		if err := w.suite.client.Update(ctx, group); err != nil {
			return err
		}
		w.byHand(group)
		return nil
	})
}

func isRole(name string) func(any) bool {
	return func(r any) bool { m, ok := r.(map[string]any); return ok && m["name"] == name }
}

// edit writes a role's count where a person would.
func (w *world) edit(ctx context.Context, role string, n int) error {
	if w.sequence.Adapters {
		return w.patch(ctx, w.object(rbgfake.KindAdapter, groupName+"-"+role), fmt.Sprintf(`{"spec":{"replicas":%d}}`, n))
	}
	return w.change(ctx, func(roles []any) []any {
		if i := slices.IndexFunc(roles, isRole(role)); i >= 0 {
			roles[i].(map[string]any)["replicas"] = int64(n)
		}
		return roles
	})
}

// removeAdapter takes away the adapter of a role; whoever looks after the group makes it again, and binds it.
func (w *world) removeAdapter(ctx context.Context, role string) error {
	return w.try(ctx, func() error {
		return client.IgnoreNotFound(w.suite.client.Delete(ctx, w.object(rbgfake.KindAdapter, groupName+"-"+role)))
	})
}

func (w *world) removeRole(ctx context.Context, name string) error {
	return w.change(ctx, func(roles []any) []any {
		if i := slices.IndexFunc(roles, isRole(name)); i >= 0 {
			w.roles[name] = roles[i]
		}
		return slices.DeleteFunc(roles, isRole(name))
	})
}

func (w *world) addRole(ctx context.Context, name string, replicas int) error {
	return w.change(ctx, func(roles []any) []any {
		role, taken := w.roles[name]
		if !taken || slices.ContainsFunc(roles, isRole(name)) {
			return roles
		}
		role.(map[string]any)["replicas"] = int64(replicas)
		return append(roles, role)
	})
}

// collected waits until all pods of a role that is gone were told to go. Kubernetes' garbage collector never tells them where
// their owner is made again under its name before the collector's watch is back after an outage of the API server: to its cache
// that is a change and no deletion. Such pods stay for good, whatever a controller of ours does.
func (w *world) collected(ctx context.Context, role string) error {
	return w.pods(ctx, func(pod *corev1.Pod) error {
		if pod.DeletionTimestamp == nil {
			return fmt.Errorf("pod %s of a role that is gone was not told to go yet", pod.Name)
		}
		return nil
	}, client.MatchingLabels{rbgfake.LabelRoleName: role})
}

// keepFailing marks each pod of a role that starts as one that never will, until it is stopped. The template is left as it is:
// a change of it would begin a rollout.
func (w *world) keepFailing(ctx context.Context, role string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	mark := fmt.Sprintf(`{"metadata":{"annotations":{%q:"CrashLoopBackOff"}}}`, controlplane.AnnotationStartFailure)
	go func() {
		defer close(ended)
		for marked := map[types.UID]bool{}; wait(ctx, 30*time.Millisecond) == nil; {
			changes, _ := w.suite.history.Since(w.namespace, 0)
			for _, pod := range startingPods(changes, role) {
				if marked[pod.UID] {
					continue
				}
				marked[pod.UID] = w.suite.client.Patch(ctx, pod.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(mark))) == nil
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// startingPods are those of a role that are neither ready nor on their way out.
func startingPods(changes []Change, role string) map[string]*corev1.Pod {
	starting := map[string]*corev1.Pod{}
	for i := range changes {
		c := &changes[i]
		if c.Kind != kindPods {
			continue
		}
		delete(starting, c.Name)
		if c.Pod != nil && gpuwatch.EventOf("MODIFIED", c.Pod, rbgfake.LabelRoleName, c.At).State == gpuwatch.Starting && c.Pod.Labels[rbgfake.LabelRoleName] == role {
			starting[c.Name] = c.Pod
		}
	}
	return starting
}

// startAgain replaces the role's pods that could not start.
func (w *world) startAgain(ctx context.Context, role string) error {
	return w.pods(ctx, func(pod *corev1.Pod) error {
		if pod.Annotations[controlplane.AnnotationStartFailure] == "" {
			return nil
		}
		return client.IgnoreNotFound(w.suite.client.Delete(ctx, pod, client.GracePeriodSeconds(0)))
	}, client.MatchingLabels{rbgfake.LabelRoleName: role})
}

// pods does something with all pods, again where one of them fails.
func (w *world) pods(ctx context.Context, do func(*corev1.Pod) error, options ...client.ListOption) error {
	return w.try(ctx, func() error {
		var pods corev1.PodList
		if err := w.suite.client.List(ctx, &pods, append(options, client.InNamespace(w.namespace))...); err != nil {
			return err
		}
		var failed []error
		for i := range pods.Items {
			failed = append(failed, do(&pods.Items[i]))
		}
		return errors.Join(failed...)
	})
}

// hold keeps the pods of a role from going.
func (w *world) hold(ctx context.Context, role string) error {
	return w.pods(ctx, func(pod *corev1.Pod) error {
		if pod.DeletionTimestamp != nil || slices.Contains(pod.Finalizers, finalizerHeld) {
			return nil
		}
		err := w.suite.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["`+finalizerHeld+`"]}}`)))
		if apierrors.IsInvalid(err) { // it goes already
			return nil
		}
		return client.IgnoreNotFound(err)
	}, client.MatchingLabels{rbgfake.LabelRoleName: role})
}

// release lets all pods go.
func (w *world) release(ctx context.Context) error {
	return w.pods(ctx, func(pod *corev1.Pod) error {
		if len(pod.Finalizers) == 0 {
			return nil
		}
		return client.IgnoreNotFound(w.suite.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	})
}

// removeNode takes a node away, and its pods, as the pod garbage collector does some 40 s later.
func (w *world) removeNode(ctx context.Context, node *corev1.Node) error {
	if err := w.try(ctx, func() error {
		return client.IgnoreNotFound(w.suite.client.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}))
	}); err != nil {
		return err
	}
	return w.pods(ctx, func(pod *corev1.Pod) error {
		if pod.Spec.NodeName != node.Name {
			return nil
		}
		return client.IgnoreNotFound(w.suite.client.Delete(ctx, pod, client.GracePeriodSeconds(0)))
	})
}
