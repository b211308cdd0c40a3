package conformance

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A place is where the pods of a trial may run, with exactly as many GPUs free as were asked for.
type place struct {
	resource corev1.ResourceName
	selector map[string]string
	node     string
	// release gives the GPUs back; the pods that held them are gone by then.
	release func()
}

// A reserver finds a place in a namespace. The error says in a sentence why there is none.
type reserver func(ctx context.Context, t *trial, gpus int) (*place, error)

// nodeReserver lends each node to one trial at a time, and fills up what is too many on it.
type nodeReserver struct {
	cluster *cluster
	idle    chan string // names of nodes that nobody has
	err     error       // why there are none
}

func newNodeReserver(ctx context.Context, c *cluster) *nodeReserver {
	r := &nodeReserver{cluster: c}
	nodes, err := r.choose(ctx)
	r.idle, r.err = make(chan string, len(nodes)), err
	for _, node := range nodes {
		r.idle <- node
	}
	return r
}

// mostGPUs is the most that any behaviour asks for.
const mostGPUs = 6

// choose takes the nodes that have enough of the resource, or the one with most of it, or advertises the resource on one.
func (r *nodeReserver) choose(ctx context.Context) ([]string, error) {
	c := r.cluster
	nodes := &corev1.NodeList{}
	if err := c.client.List(ctx, nodes); err != nil {
		return nil, fmt.Errorf("nodes may not be listed: %w", err)
	}
	var enough []string
	best, most, ready := "", int64(0), ""
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if !usable(n) || c.node != "" && n.Name != c.node {
			continue
		}
		ready = n.Name
		has := n.Status.Allocatable[corev1.ResourceName(c.resource)]
		if has.Value() >= mostGPUs {
			enough = append(enough, n.Name)
		}
		if has.Value() > most {
			best, most = n.Name, has.Value()
		}
	}
	switch {
	case len(enough) > 0:
		return enough, nil
	case best != "":
		return []string{best}, nil
	case ready == "" && c.node != "":
		return nil, fmt.Errorf("CONFORMANCE_NODE=%s: there is no such node that is Ready and schedulable", c.node)
	case ready == "":
		return nil, errors.New("the cluster has no node that is Ready and schedulable")
	}
	if err := c.advertise(ctx, ready, mostGPUs); err != nil {
		return nil, fmt.Errorf("no node has %s, and it cannot be advertised on node %s: %w", c.resource, ready, err)
	}
	return []string{ready}, nil
}

func usable(n *corev1.Node) bool {
	if n.Spec.Unschedulable {
		return false
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// advertise gives a node GPUs that it does not have, as Kubernetes allows for extended resources, until the suite ends.
func (c *cluster) advertise(ctx context.Context, node string, gpus int) error {
	set := func(ctx context.Context, amount any) error {
		patch := fmt.Appendf(nil, `{"status": {"capacity": {%[1]q: %[2]v}, "allocatable": {%[1]q: %[2]v}}}`, c.resource, amount)
		return c.client.Status().Patch(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, client.RawPatch(types.StrategicMergePatchType, patch))
	}
	if err := set(ctx, fmt.Sprintf("%q", fmt.Sprint(gpus))); err != nil {
		return err
	}
	c.atEnd(func(ctx context.Context) error { return set(ctx, "null") })
	return nil
}

// reserve waits for a node and takes from it all but the GPUs that are asked for.
func (r *nodeReserver) reserve(ctx context.Context, t *trial, gpus int) (*place, error) {
	if r.err != nil {
		return nil, r.err
	}
	p := &place{resource: corev1.ResourceName(r.cluster.resource)}
	select {
	case p.node = <-r.idle:
		p.release = func() { r.idle <- p.node }
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := r.fill(ctx, t, p, gpus); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// fill leaves gpus free on the node.
func (r *nodeReserver) fill(ctx context.Context, t *trial, p *place, gpus int) error {
	node := &corev1.Node{}
	if err := r.cluster.client.Get(ctx, client.ObjectKey{Name: p.node}, node); err != nil {
		return err
	}
	name := node.Labels[corev1.LabelHostname]
	if name == "" {
		return fmt.Errorf("node %s has no label %s, by which pods are put there", p.node, corev1.LabelHostname)
	}
	p.selector = map[string]string{corev1.LabelHostname: name}
	has := node.Status.Allocatable[p.resource]
	free := has.Value()
	pods := &corev1.PodList{}
	if err := r.cluster.client.List(ctx, pods); err != nil {
		return fmt.Errorf("pods of all namespaces may not be listed, so what is free on node %s is not known: %w", p.node, err)
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Spec.NodeName == p.node && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			free -= gpusOf(pod, p.resource)
		}
	}
	switch {
	case free < int64(gpus):
		return fmt.Errorf("node %s has %d of %s free and this needs %d", p.node, free, p.resource, gpus)
	case free == int64(gpus):
		return nil
	}
	filler := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: t.ns, Name: "filler"}}
	filler.Spec = podSpec(r.cluster.image, p, free-int64(gpus), 0)
	if err := r.cluster.client.Create(ctx, filler); err != nil {
		return fmt.Errorf("make the pod that takes the other GPUs of node %s: %w", p.node, err)
	}
	t.eventually("the pod that takes the other GPUs to be on its node", func() error {
		pod := &corev1.Pod{}
		if err := r.cluster.client.Get(ctx, client.ObjectKeyFromObject(filler), pod); err != nil {
			return err
		}
		if pod.Spec.NodeName == "" {
			return errors.New("it is not")
		}
		return nil
	})
	return nil
}

func gpusOf(pod *corev1.Pod, name corev1.ResourceName) int64 {
	total := int64(0)
	for i := range pod.Spec.Containers {
		amount := pod.Spec.Containers[i].Resources.Requests[name]
		total += amount.Value()
	}
	return total
}

// podSpec is a container that waits. It asks for GPUs only, tolerates whatever keeps pods from nodes, and drains for some
// seconds where the kubelet knows how.
func podSpec(image string, p *place, gpus int64, drainSeconds int64) corev1.PodSpec {
	container := corev1.Container{Name: "engine", Image: image}
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: new(max(drainSeconds+10, 30)),
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
	}
	if drainSeconds > 0 {
		container.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: drainSeconds}}}
	} else {
		spec.TerminationGracePeriodSeconds = new(int64(1))
	}
	if p != nil {
		spec.NodeSelector = p.selector
		if gpus > 0 {
			container.Resources.Limits = corev1.ResourceList{p.resource: *resource.NewQuantity(gpus, resource.DecimalSI)}
		}
	}
	spec.Containers = []corev1.Container{container}
	return spec
}
