package rbgfake

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// conditionInstanceReady tells that all pods of a RoleInstance are Ready.
const conditionInstanceReady = "RoleInstanceReady"

// namesakeRetry is how soon to look again whether an earlier pod of the same name is gone. The watch on pods is usually sooner.
const namesakeRetry = time.Second

// instanceReconciler keeps the pods of one replica.
type instanceReconciler struct{ client client.Client }

func (r *instanceReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	instance := newObject(KindInstance, "", "")
	if err := r.client.Get(ctx, req.NamespacedName, instance); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if instance.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, nil
	}
	components, err := componentsOf(instance)
	if err != nil {
		return ctrl.Result{}, err
	}
	pods := &corev1.PodList{}
	if err := r.client.List(ctx, pods, client.InNamespace(req.Namespace), client.MatchingLabels{LabelInstanceName: req.Name}); err != nil {
		return ctrl.Result{}, err
	}
	own := map[string]*corev1.Pod{} // those of a deleted namesake have another owner
	for i := range pods.Items {
		if metav1.IsControlledBy(&pods.Items[i], instance) {
			own[pods.Items[i].Name] = &pods.Items[i]
		}
	}
	var result ctrl.Result
	var statuses []any
	allReady := true
	for _, c := range components {
		status := map[string]any{"name": c.name, "size": c.size}
		var ready, scheduled int64
		for id := range c.size {
			name := podName(instance, c.name, id)
			pod := own[name]
			if pod == nil {
				err := r.createPod(ctx, instance, c, id, components)
				if apierrors.IsAlreadyExists(err) {
					result.RequeueAfter = namesakeRetry
				} else if err != nil {
					return ctrl.Result{}, fmt.Errorf("create pod %s: %w", name, err)
				}
			}
			if podHas(pod, corev1.PodScheduled) {
				scheduled++
			}
			if podHas(pod, corev1.PodReady) && pod.DeletionTimestamp == nil {
				ready++
			}
		}
		status["readyReplicas"], status["scheduledReplicas"] = ready, scheduled
		statuses = append(statuses, status)
		allReady = allReady && ready == c.size
	}
	return result, r.writeStatus(ctx, instance, statuses, allReady)
}

func (r *instanceReconciler) writeStatus(ctx context.Context, instance *unstructured.Unstructured, components []any, ready bool) error {
	status, reason := "False", "PodsNotReady"
	if ready {
		status, reason = "True", "AllPodsReady"
	}
	want := map[string]any{
		"observedGeneration": instance.GetGeneration(),
		"componentStatuses":  components,
		"conditions":         conditionList(instance, conditionInstanceReady, status, reason),
	}
	if equality.Semantic.DeepEqual(instance.Object["status"], want) {
		return nil
	}
	return client.IgnoreNotFound(patchStatus(ctx, r.client, instance, want))
}

// componentsOf reads the components that the RoleInstanceSet wrote.
func componentsOf(instance *unstructured.Unstructured) ([]component, error) {
	list, _, err := unstructured.NestedSlice(instance.Object, "spec", "components")
	if err != nil {
		return nil, err
	}
	var out []component
	for i, entry := range list {
		m, ok := entry.(map[string]any)
		name, _, err := unstructured.NestedString(m, "name")
		template, _, err2 := unstructured.NestedMap(m, "template")
		size, _ := nestedInt(m, "size")
		if !ok || err != nil || err2 != nil {
			return nil, fieldError(fmt.Sprintf("spec.components[%d]", i), "want a name, a size and a template")
		}
		out = append(out, component{name, size, template})
	}
	return out, nil
}

func patternOf(instance *unstructured.Unstructured) pattern {
	return pattern(instance.GetLabels()[LabelRoleType])
}

// componentIndex numbers the pods of a leader-worker replica: the leader is 0.
func componentIndex(name string, id int64) int64 {
	if name == workerComponent {
		return id + 1
	}
	return id
}

func podName(instance *unstructured.Unstructured, component string, id int64) string {
	switch patternOf(instance) {
	case leaderWorker:
		return fmt.Sprintf("%s-%d", instance.GetName(), componentIndex(component, id))
	case customComponents:
		return fmt.Sprintf("%s-%s-%d", instance.GetName(), component, id)
	}
	return instance.GetName()
}

func (r *instanceReconciler) createPod(ctx context.Context, instance *unstructured.Unstructured, c component, id int64, all []component) error {
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(c.template, &template); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name = instance.GetNamespace(), podName(instance, c.name, id)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(instance, GroupVersion.WithKind(KindInstance))}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[LabelInstanceName] = instance.GetName()
	for _, key := range []string{LabelInstanceIndex, LabelInstanceID, appsv1.StatefulSetPodNameLabel, labelRevision} {
		if value := instance.GetLabels()[key]; value != "" {
			pod.Labels[key] = value
		}
	}
	pod.Labels[LabelComponentName] = c.name
	pod.Labels[LabelComponentID] = strconv.FormatInt(id, 10)
	pod.Labels[LabelComponentSize] = strconv.FormatInt(c.size, 10)
	if patternOf(instance) == leaderWorker {
		var size int64
		for _, other := range all {
			size += other.size
		}
		pod.Labels[LabelComponentSize] = strconv.FormatInt(size, 10)
		pod.Labels[LabelComponentIndex] = strconv.FormatInt(componentIndex(c.name, id), 10)
	}
	service := serviceName(instance.GetLabels()[LabelGroupName], instance.GetLabels()[LabelRoleName])
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, service
	addEnv(&pod.Spec, podEnv(instance, patternOf(instance), service))
	return r.client.Create(ctx, pod)
}

// addEnv puts variables before those that the containers have.
func addEnv(spec *corev1.PodSpec, env []corev1.EnvVar) {
	for i := range spec.InitContainers {
		spec.InitContainers[i].Env = slices.Concat(env, spec.InitContainers[i].Env)
	}
	for i := range spec.Containers {
		spec.Containers[i].Env = slices.Concat(env, spec.Containers[i].Env)
	}
}

// injectEnv is addEnv for a pod template.
func injectEnv(template map[string]any, env []corev1.EnvVar) error {
	var spec corev1.PodSpec
	body, _ := template["spec"].(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(body, &spec); err != nil {
		return err
	}
	addEnv(&spec, env)
	body, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	template["spec"] = body
	return err
}

// podEnv is the environment that every container gets. Where the original refers to a label, so does this.
func podEnv(instance *unstructured.Unstructured, p pattern, service string) []corev1.EnvVar {
	fromLabel := func(name, label string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.labels['" + label + "']"},
		}}
	}
	env := V1Alpha2.identityEnv(instance.GetLabels()[LabelGroupName], instance.GetLabels()[LabelRoleName])
	if instance.GetLabels()[LabelInstanceIndex] != "" {
		env = append(env, fromLabel("RBG_ROLE_INDEX", LabelInstanceIndex))
	}
	env = append(env,
		fromLabel("RBG_ROLE_INSTANCE_NAME", LabelInstanceName),
		fromLabel("RBG_COMPONENT_NAME", LabelComponentName),
		fromLabel("RBG_COMPONENT_INDEX", LabelComponentID),
	)
	if p == leaderWorker {
		env = append(env,
			corev1.EnvVar{Name: "RBG_LWP_LEADER_ADDRESS", Value: fmt.Sprintf("$(RBG_ROLE_INSTANCE_NAME)-0.%s.%s", service, instance.GetNamespace())},
			fromLabel("RBG_LWP_WORKER_INDEX", LabelComponentIndex),
			fromLabel("RBG_LWP_GROUP_SIZE", LabelComponentSize),
		)
	}
	return env
}

func podHas(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	if pod == nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
