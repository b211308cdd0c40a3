package metricsapi_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

func firstDocument(text []byte) []byte {
	first, _, _ := bytes.Cut(text, []byte("\n---\n"))
	return first
}

// deployment makes one whose pods run nowhere in particular.
func (c *cluster) deployment(name string) autoscalingv2.CrossVersionObjectReference {
	c.t.Helper()
	labels := map[string]string{"role": name}
	c.must(c.client.Create(c.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "engine", Image: "engine"}}}},
		},
	}))
	return autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
}

func (c *cluster) deploymentHas(name string, replicas int32) error {
	d := &appsv1.Deployment{}
	if err := c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, d); err != nil {
		return err
	}
	if *d.Spec.Replicas != replicas {
		return fmt.Errorf("it has %d replicas, want %d", *d.Spec.Replicas, replicas)
	}
	return nil
}

func (c *cluster) hpa(name string) autoscalingv2.HorizontalPodAutoscalerStatus {
	c.t.Helper()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	c.must(c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, hpa))
	return hpa.Status
}

// active returns what an HPA says about its metric.
func (c *cluster) active(name string) autoscalingv2.HorizontalPodAutoscalerCondition {
	c.t.Helper()
	for _, condition := range c.hpa(name).Conditions {
		if condition.Type == autoscalingv2.ScalingActive {
			return condition
		}
	}
	return autoscalingv2.HorizontalPodAutoscalerCondition{}
}

// The shipped HPA sets just what the plan says, 11 and 12 apart included; one
// with Kubernetes' own tolerance does not.
func TestHPAFollowsThePlan(t *testing.T) {
	c := newCluster(t)
	_, err := c.cp.AddGPUNodes(t.Context(), 1, 0, "")
	c.must(err)
	c.serve()
	c.plan("qwen", 1)
	c.must(c.client.Create(t.Context(), c.sampleHPA("qwen", "prefill", c.deployment("prefill"))))
	tolerant := c.sampleHPA("qwen", "prefill", c.deployment("tolerant"))
	tolerant.Name = "tolerant"
	tolerant.Spec.Behavior.ScaleUp.Tolerance, tolerant.Spec.Behavior.ScaleDown.Tolerance = nil, nil
	c.must(c.client.Create(t.Context(), tolerant))

	for _, n := range []int32{3, 11, 12, 11, 1} {
		c.plan("qwen", n)
		began := time.Now()
		c.eventually(fmt.Sprintf("the Deployment to have %d replicas", n), func() error { return c.deploymentHas("prefill", n) })
		t.Logf("%d replicas after %s", n, time.Since(began).Round(10*time.Millisecond))
		want := map[int32]int32{12: 11}[n] // where the tolerance swallows the change
		if want == 0 {
			want = n
		}
		c.eventually("the HPA with a tolerance", func() error {
			status := c.hpa("tolerant")
			metrics := status.CurrentMetrics
			if len(metrics) == 0 || metrics[0].External == nil {
				return fmt.Errorf("its metrics are %v", metrics)
			}
			// pods that are not counted yet would let the next plan look larger than the tolerance
			if status.CurrentReplicas != want {
				return fmt.Errorf("it sees %d replicas, want %d", status.CurrentReplicas, want)
			}
			// what it was told, over the replicas that it has
			if got, told := metrics[0].External.Current.AverageValue.MilliValue(), (1000*int64(n)+int64(want)-1)/int64(want); got != told {
				return fmt.Errorf("it was told %dm a replica, want %dm", got, told)
			}
			return c.deploymentHas("tolerant", want)
		})
	}
}

// While the plan is not known the HPA holds and says why; with LastSafe it is
// told the last count.
func TestHPAHoldsOnUnknown(t *testing.T) {
	c := newCluster(t)
	_, err := c.cp.AddGPUNodes(t.Context(), 1, 0, "")
	c.must(err)
	c.serve()
	c.plan("qwen", 5)
	c.must(c.client.Create(t.Context(), c.sampleHPA("qwen", "prefill", c.deployment("prefill"))))
	c.eventually("5 replicas", func() error { return c.deploymentHas("prefill", 5) })

	unknown := func(p *v1alpha1.PDAutoscaler) { p.Status.Roles.Prefill.DemandMilliRequestsPerSecond = nil }
	stale := func(p *v1alpha1.PDAutoscaler) {
		p.Status.LastDecisionTime = new(metav1.NewMicroTime(time.Now().Add(-5 * time.Hour)))
	}
	for what, edit := range map[string]func(*v1alpha1.PDAutoscaler){"the demand is not known": unknown, "5h0m": stale} {
		c.plan("qwen", 2, edit) // a count that would shrink the role
		c.eventually("the HPA to say that "+what, func() error {
			if a := c.active("prefill"); a.Status != corev1.ConditionFalse || !strings.Contains(a.Message, what) {
				return fmt.Errorf("it says %+v", a)
			}
			return nil
		})
		c.must(c.deploymentHas("prefill", 5))
	}

	pda := &v1alpha1.PDAutoscaler{}
	c.must(c.client.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "qwen"}, pda))
	pda.Spec.Metrics.WhenUnknown = v1alpha1.UnknownLastSafe
	c.must(c.client.Update(t.Context(), pda))
	c.plan("qwen", 6, unknown)
	c.eventually("the last count", func() error { return c.deploymentHas("prefill", 6) })

	// a target that is gone has a count of 0 in its status
	c.plan("qwen", 0, unknown)
	c.eventually("an error for a count of 0", func() error {
		if a := c.active("prefill"); a.Status != corev1.ConditionFalse {
			return fmt.Errorf("it says %+v", a)
		}
		return nil
	})
	c.must(c.deploymentHas("prefill", 6))
}

// An HPA may describe the PDAutoscaler as an object instead, by the custom metrics.
func TestHPAOfTheObject(t *testing.T) {
	c := newCluster(t)
	_, err := c.cp.AddGPUNodes(t.Context(), 1, 0, "")
	c.must(err)
	c.serve()
	c.plan("qwen", 4)
	hpa := c.sampleHPA("qwen", "prefill", c.deployment("prefill"))
	external := hpa.Spec.Metrics[0].External
	hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PDAutoscaler", Name: "qwen"},
		Metric:          external.Metric, Target: external.Target,
	}}}
	c.must(c.client.Create(t.Context(), hpa))
	for _, n := range []int32{4, 11, 12, 2} {
		c.plan("qwen", n)
		c.eventually(fmt.Sprintf("the Deployment to have %d replicas", n), func() error { return c.deploymentHas("prefill", n) })
	}
}
