package metricsapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi/externalscaler"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// traffic is what the collector of the controller reads: requests per second of
// 3,000 prompt and 100 output tokens, which prefill alone feels.
type traffic struct{ perSecond atomic.Uint64 }

func (d *traffic) set(perSecond float64) { d.perSecond.Store(math.Float64bits(perSecond)) }

func (d *traffic) Collect(_ context.Context, _ []signals.Target, now time.Time) (planner.Signals, []signals.SourceReport) {
	known := func(v float64) planner.Reading { return planner.Known(v, now, "test") }
	return planner.Signals{
		RequestsPerSecond: known(math.Float64frombits(d.perSecond.Load())), ArrivalSCV: known(1), InputTokens: known(3000), InputSCV: known(0.3),
		OutputTokens: known(100), OutputSCV: known(0.3), CachedShare: known(0), PrefillWaiting: known(0), DecodeWaiting: known(0),
	}, nil
}

func (d *traffic) Close() {}

// control runs the controller with the rights of config/rbac.
func (c *cluster) control(d *traffic) {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	mgr, err := controller.NewManager(c.autoscaler, controller.Options{
		Namespaces:   []string{c.namespace},
		NewCollector: func(signals.Config) (controller.Collector, error) { return d, nil },
	})
	c.must(err)
	c.background(ctx, stop, mgr.Start)
}

// quick makes a PDAutoscaler whose windows are short.
func (c *cluster) quick(name string, edit func(*v1alpha1.PDAutoscaler)) {
	c.t.Helper()
	pda := metricsMode(c.namespace, name)
	pda.Spec.GPU = "H200"
	pda.Spec.Roles.Prefill.Max, pda.Spec.Roles.Decode.Max = 8, 8
	for _, role := range []*v1alpha1.ScaledRole{&pda.Spec.Roles.Prefill.ScaledRole, &pda.Spec.Roles.Decode.ScaledRole} {
		role.Parallelism = &v1alpha1.Parallelism{Tensor: 2}
	}
	b := &pda.Spec.Behavior
	b.Interval, b.ScaleDownWindow, b.StartupTime, b.MaxAge = v1alpha1.Every(time.Second), v1alpha1.Every(3*time.Second), v1alpha1.Every(time.Second), v1alpha1.Every(5*time.Second)
	pda.Spec.Metrics.StaleAfterIntervals = 60 // a round of a busy machine may take some intervals
	edit(pda)
	c.must(c.client.Create(c.t.Context(), pda))
}

func (c *cluster) status(name string) v1alpha1.PDAutoscalerStatus {
	c.t.Helper()
	pda := &v1alpha1.PDAutoscaler{}
	c.must(c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, pda))
	return pda.Status
}

// group runs the RBG stand-in with a group of one replica for each role.
func (c *cluster) group(product string) {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c.background(ctx, stop, func(ctx context.Context) error {
		return rbgfake.Run(ctx, c.cp.Config, rbgfake.Options{Namespaces: []string{c.namespace}})
	})
	c.must(c.client.Create(c.t.Context(), rbgfake.DynamoPD(rbgfake.Example{
		Namespace: c.namespace, PrefillReplicas: 1, DecodeReplicas: 1, NodeSelector: map[string]string{controlplane.LabelGPUProduct: product},
	})))
	c.eventually("the adapter of prefill to be bound", func() error {
		if scale, _, err := c.scale(c.t.Context(), prefillAdapter); err != nil || scale.Status.Selector == "" {
			return fmt.Errorf("%+v (%w)", scale, err)
		}
		return nil
	})
}

var prefillAdapter = autoscalingv2.CrossVersionObjectReference{APIVersion: rbgfake.GroupVersion.String(), Kind: rbgfake.KindAdapter, Name: "dynamo-pd-prefill"}

// object is a reference as something that has a scale.
func (c *cluster) object(ref autoscalingv2.CrossVersionObjectReference) client.Object {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(ref.APIVersion)
	o.SetKind(ref.Kind)
	o.SetNamespace(c.namespace)
	o.SetName(ref.Name)
	return o
}

// scale reads the target's /scale; body is what was read, to be written again.
func (c *cluster) scale(ctx context.Context, ref autoscalingv2.CrossVersionObjectReference) (scale autoscalingv1.Scale, body *unstructured.Unstructured, err error) {
	body = &unstructured.Unstructured{}
	body.SetAPIVersion(autoscalingv1.SchemeGroupVersion.String())
	body.SetKind("Scale")
	if err := c.client.SubResource("scale").Get(ctx, c.object(ref), body); err != nil {
		return scale, nil, err
	}
	return scale, body, runtime.DefaultUnstructuredConverter.FromUnstructured(body.Object, &scale)
}

// follows checks that target and plan say the same, and that it is at least or at most n.
func (c *cluster) follows(pda string, ref autoscalingv2.CrossVersionObjectReference, enough func(n int32) bool) error {
	scale, _, err := c.scale(c.t.Context(), ref)
	if err != nil {
		return err
	}
	status := c.status(pda)
	if n := status.Roles.Prefill.Desired; scale.Spec.Replicas != n || !enough(n) || scale.Status.Replicas != n {
		return fmt.Errorf("the plan says %d, %s has %d and is asked for %d: %s", n, ref.Name, scale.Status.Replicas, scale.Spec.Replicas, status.Message)
	}
	return nil
}

// engine is a Deployment of replicas with two GPUs each.
func (c *cluster) engine(role, product string) autoscalingv2.CrossVersionObjectReference {
	c.t.Helper()
	ref := c.deployment(role)
	d := &appsv1.Deployment{}
	c.must(c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: role}, d))
	before := d.DeepCopy()
	pod := &d.Spec.Template.Spec
	pod.NodeSelector = map[string]string{controlplane.LabelGPUProduct: product}
	pod.Containers[0].Resources.Limits = corev1.ResourceList{controlplane.ResourceGPU: resource.MustParse("2")}
	c.must(c.client.Patch(c.t.Context(), d, client.MergeFrom(before)))
	return ref
}

// The controller in mode Metrics, the metrics API and a real HPA take prefill
// from 1 to what the plan says and back, on an adapter of a RoleBasedGroup and
// on a Deployment; and a client that does as KEDA does. The controller itself
// writes nothing but its status.
func TestPlanIsCarriedOutByOthers(t *testing.T) {
	for name, byKEDA := range map[string]bool{"RoleBasedGroup": false, "Deployment": false, "RoleBasedGroup by KEDA": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			product := "product-of-" + c.namespace
			_, err := c.cp.AddGPUNodes(t.Context(), 3, 8, product)
			c.must(err)
			c.serve()
			demand := &traffic{}
			demand.set(1)
			c.control(demand)
			ref := prefillAdapter
			if name == "Deployment" {
				ref = c.engine("prefill", product)
				decode := c.engine("decode", product)
				c.quick("qwen", func(p *v1alpha1.PDAutoscaler) {
					of := func(r autoscalingv2.CrossVersionObjectReference) v1alpha1.ScaleTargetReference {
						return v1alpha1.ScaleTargetReference{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name}
					}
					p.Spec.Target = v1alpha1.TargetReference{ScaleTargetRefs: &v1alpha1.ScaleTargetReferences{Prefill: of(ref), Decode: of(decode)}}
				})
			} else {
				c.group(product)
				c.quick("qwen", func(*v1alpha1.PDAutoscaler) {})
			}
			if byKEDA {
				c.keda("qwen", "prefill", ref)
			} else {
				c.must(c.client.Create(t.Context(), c.sampleHPA("qwen", "prefill", ref)))
			}

			one := func(n int32) bool { return n == 1 }
			c.eventually("1 replica", func() error { return c.follows("qwen", ref, one) })
			demand.set(18)
			c.eventually("the replicas of the surge", func() error { return c.follows("qwen", ref, func(n int32) bool { return n >= 3 }) })
			t.Logf("the plan for the surge is %d replicas", c.status("qwen").Roles.Prefill.Desired)
			demand.set(1)
			c.eventually("1 replica again", func() error { return c.follows("qwen", ref, one) })
			for _, write := range c.writes() {
				if write != "patch pdautoscalers/status" && write != "create events" && write != "patch events" {
					t.Errorf("mode Metrics: the controller did %q", write)
				}
			}
		})
	}
}

// writes are the controller's writes to this namespace, by the API server's own log.
func (c *cluster) writes() (all []string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.cp.Logs, "audit.log"))
	c.must(err)
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	seen := 0
	for lines.Scan() {
		var event struct {
			Verb      string
			User      struct{ Username string }
			ObjectRef struct{ Resource, Subresource, Namespace string }
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.User.Username != autoscalerUser || event.ObjectRef.Namespace != c.namespace {
			continue
		}
		what := event.Verb + " " + event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			what += "/" + event.ObjectRef.Subresource
		}
		if what == "patch pdautoscalers/status" {
			seen++
		}
		all = append(all, what)
	}
	if seen == 0 {
		c.t.Error("the audit log has no write of the controller at all: it proves nothing")
	}
	return all
}

// keda does as KEDA and its HPA do: it asks for the spec, the value and whether
// the target is active, and writes ceil(value / target).
func (c *cluster) keda(pda, role string, ref autoscalingv2.CrossVersionObjectReference) {
	c.t.Helper()
	server, err := metricsapi.NewScalerServer(metricsapi.ScalerOptions{Address: "127.0.0.1:0"}, c.plans)
	c.must(err)
	ctx, stop := context.WithCancel(context.Background())
	c.background(ctx, stop, server.Start)
	connection, err := grpc.NewClient(server.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	c.must(err)
	scaler := externalscaler.NewExternalScalerClient(connection)
	object := &externalscaler.ScaledObjectRef{Name: "prefill", Namespace: c.namespace, ScalerMetadata: map[string]string{
		"scalerAddress": server.Addr().String(), metricsapi.KeyAutoscaler: pda, metricsapi.KeyRole: role, metricsapi.KeyMetric: metricsapi.DesiredReplicas,
	}}
	c.background(ctx, stop, func(ctx context.Context) error {
		defer connection.Close()
		for ctx.Err() == nil {
			if err := c.kedaStep(ctx, scaler, object, ref); err != nil && ctx.Err() == nil {
				c.t.Log("KEDA:", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
		return nil
	})
}

func (c *cluster) kedaStep(ctx context.Context, scaler externalscaler.ExternalScalerClient, object *externalscaler.ScaledObjectRef, ref autoscalingv2.CrossVersionObjectReference) error {
	specs, err := scaler.GetMetricSpec(ctx, object)
	if err != nil {
		return err
	}
	spec := specs.GetMetricSpecs()[0]
	values, err := scaler.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: object, MetricName: spec.GetMetricName()})
	if err != nil {
		return err
	}
	active, err := scaler.IsActive(ctx, object)
	if err != nil || !active.GetResult() {
		return fmt.Errorf("active: %v (%w)", active, err)
	}
	replicas := int32(math.Ceil(values.GetMetricValues()[0].GetMetricValueFloat() / spec.GetTargetSizeFloat()))
	scale, body, err := c.scale(ctx, ref)
	if err != nil || scale.Spec.Replicas == replicas {
		return err
	}
	if err := unstructured.SetNestedField(body.Object, int64(replicas), "spec", "replicas"); err != nil {
		return err
	}
	return c.client.SubResource("scale").Update(ctx, c.object(ref), client.WithSubResourceBody(body))
}
