package stage

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// exporterLabel is what dcgm-exporter's pods carry, as the GPU operator installs them.
var exporterLabel = map[string]string{"app": "nvidia-dcgm-exporter"}

// createExporters makes one dcgm-exporter per GPU node. The emulator answers for them.
func (s *Stage) createExporters(ctx context.Context) error {
	set := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: exporterNamespace, Name: "nvidia-dcgm-exporter"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: exporterLabel},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: exporterLabel},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name: "exporter", Image: "example.invalid/dcgm-exporter",
						Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9400}},
					}},
				},
			},
		},
	}
	_, err := s.Kubernetes.AppsV1().DaemonSets(exporterNamespace).Create(ctx, set, metav1.CreateOptions{})
	return err
}

// createService makes the RoleBasedGroup.
func (s *Stage) createService(ctx context.Context) error {
	c, err := client.New(s.ControlPlane.Config, client.Options{})
	if err != nil {
		return err
	}
	return c.Create(ctx, rbgfake.DynamoPD(rbgfake.Example{
		Namespace: Namespace, Name: Name, PrefillReplicas: FirstPrefill, DecodeReplicas: FirstDecode, GPUsPerReplica: GPUsPerReplica,
		NATSServer: s.Emulator.NATSURL(), ReadyAfter: coldStart, GoneAfter: drain,
	}))
}

// serviceReady waits until every replica that the example begins with serves.
func (s *Stage) serviceReady(ctx context.Context) error {
	want := map[string]int{rbgfake.RoleProcessor: 1, rbgfake.RolePrefill: FirstPrefill, rbgfake.RoleDecode: FirstDecode}
	return s.until(ctx, "every replica to be ready", func(context.Context) (bool, error) {
		roles := s.Pods.Ledger.Totals(time.Now()).Roles
		for role, n := range want {
			if roles[role].Ready < n {
				return false, nil
			}
		}
		return true, nil
	})
}

// watchPods begins to count the GPUs that pods of the service's namespace hold.
func (s *Stage) watchPods(ctx context.Context) (err error) {
	// The watch is for the whole life of the stage.
	s.Pods, err = gpuwatch.Watch(context.WithoutCancel(ctx), s.Kubernetes, Namespace, rbgfake.LabelRoleName, s.options.Events)
	if err == nil {
		s.onStop("the watch of pods", s.Pods.Stop)
	}
	return err
}

// patience is how long anything may take that comes within seconds on a machine that is not busy.
const patience = 5 * time.Minute

// until tries until something is true, a part fails, or nobody has any patience left.
func (s *Stage) until(ctx context.Context, what string, try func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := try(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-s.failed:
			return s.failure
		case <-tick.C:
		}
	}
}
