package metricsapi_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

const (
	systemNamespace = "pdautoscaler-system"
	autoscalerUser  = "system:serviceaccount:" + systemNamespace + ":pdautoscaler"
)

// cluster is a real control plane with a namespace of this test's own and, after
// serve, the aggregated metrics API.
type cluster struct {
	t          *testing.T
	cp         *controlplane.ControlPlane
	client     client.Client
	kubernetes kubernetes.Interface
	scheme     *runtime.Scheme
	namespace  string
	// autoscaler is the controller's ServiceAccount, with the rights of config and no more.
	autoscaler *rest.Config
	// plans and api are what serve started.
	plans *metricsapi.Plans
	api   net.Addr
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, cp: controlplane.ForTest(t), scheme: runtime.NewScheme()}
	c.must(errors.Join(clientgoscheme.AddToScheme(c.scheme), v1alpha1.AddToScheme(c.scheme)))
	var err error
	c.client, err = client.New(c.cp.Config, client.Options{Scheme: c.scheme})
	c.must(err)
	c.kubernetes, err = kubernetes.NewForConfig(c.cp.Config)
	c.must(err)
	c.namespace, err = c.cp.NewNamespace(t.Context(), "metrics")
	c.must(err)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := c.client.Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	c.must(c.cp.NamespaceReady(t.Context(), ns.Name))
	c.kubectl("apply", "--server-side", "-k", "../../config/rbac")
	c.kubectl("apply", "--server-side", "-f", "../../config/metricsapi/rbac.yaml")
	c.autoscaler, err = c.cp.UserConfig(autoscalerUser, "system:serviceaccounts", "system:serviceaccounts:"+systemNamespace)
	c.must(err)
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.cp.Kubectl(c.t.Context(), args...)
	c.must(err)
	return out
}

// patience is how long a test waits for what must come: only a hang takes longer, on a busy machine too.
const patience = 4 * time.Minute

func (c *cluster) eventually(what string, check func() error) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("waited for %s: %v", what, err)
		}
		select {
		case <-c.t.Context().Done():
			c.t.Fatal(c.t.Context().Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// serve runs the metrics API as a replica of the controller does that is not the
// leader, and registers it with the aggregation layer as config/metricsapi says.
func (c *cluster) serve() {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background()) // the test's own ends before its clean-up
	c.t.Cleanup(stop)
	resources, err := cache.New(c.autoscaler, cache.Options{Scheme: c.scheme})
	c.must(err)
	c.plans, err = metricsapi.NewPlans(ctx, resources, clock.RealClock{}, nil)
	c.must(err)

	dir := c.t.TempDir()
	cert, key, err := certutil.GenerateSelfSignedCertKey("pdautoscaler-metrics-api."+systemNamespace+".svc", nil, nil)
	c.must(err)
	c.must(os.WriteFile(filepath.Join(dir, "tls.crt"), cert, 0o600))
	c.must(os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600))
	asks, err := kubernetes.NewForConfig(c.autoscaler)
	c.must(err)
	server, err := metricsapi.NewServer(metricsapi.ServerOptions{
		Address: "127.0.0.1:0", CertDir: dir, Groups: []string{metricsapi.GroupExternal, metricsapi.GroupCustom},
	}, c.plans, asks)
	c.must(err)
	c.api = server.Addr()
	c.background(ctx, stop, resources.Start)
	c.background(ctx, stop, server.Start)
	if !resources.WaitForCacheSync(ctx) {
		c.t.Fatal("the PDAutoscalers were not read")
	}
	c.register(cert)
}

// background runs a part until the test has ended.
func (c *cluster) background(ctx context.Context, stop func(), run func(context.Context) error) {
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	c.t.Cleanup(func() { stop(); c.must(<-done) })
}

// register makes the shipped APIServices lead to the server.
func (c *cluster) register(caBundle []byte) {
	c.t.Helper()
	for _, file := range []string{"apiservice_external.yaml", "apiservice_custom.yaml"} {
		manifest, err := os.ReadFile(filepath.Join("../../config/metricsapi", file))
		c.must(err)
		c.must(c.cp.Aggregate(c.t.Context(), manifest, c.api, caBundle))
	}
	// the HPA and this test find its metrics where the one before had its own
	c.eventually("the aggregated API to answer", func() error {
		_, err := c.get("/apis/external.metrics.k8s.io/v1beta1", c.cp.Config)
		return err
	})
}

// get reads a path of the API server, and so of the aggregated API behind it.
func (c *cluster) get(path string, as *rest.Config) (string, error) {
	k, err := kubernetes.NewForConfig(as)
	c.must(err)
	body, err := k.Discovery().RESTClient().Get().RequestURI(path).Do(c.t.Context()).Raw()
	return string(body), err
}

// plan writes a decision into the status of a PDAutoscaler, as the leader does,
// and makes the resource where there is none.
func (c *cluster) plan(name string, prefill int32, edit ...func(*v1alpha1.PDAutoscaler)) {
	c.t.Helper()
	pda := &v1alpha1.PDAutoscaler{}
	err := c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, pda)
	if apierrors.IsNotFound(err) {
		pda = metricsMode(c.namespace, name)
		err = c.client.Create(c.t.Context(), pda)
	}
	c.must(err)
	decided(pda, time.Now(), prefill, 1)
	for _, e := range edit {
		e(pda)
	}
	c.must(c.client.Status().Update(c.t.Context(), pda))
}

// metricsMode is the running example, whose plan is offered.
func metricsMode(namespace, name string) *v1alpha1.PDAutoscaler {
	role := v1alpha1.ScaledRole{Max: 64}
	pda := &v1alpha1.PDAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.PDAutoscalerSpec{
			Mode:   v1alpha1.ModeMetrics,
			Target: v1alpha1.TargetReference{Name: "dynamo-pd"},
			Roles:  v1alpha1.Roles{Prefill: v1alpha1.PrefillRole{ScaledRole: role}, Decode: v1alpha1.DecodeRole{ScaledRole: role}},
			Model:  v1alpha1.Model{Name: "Qwen3-32B"},
			// No plan of a test grows too old while it is looked at, unless the test says so: it counts for 100 minutes.
			Metrics: v1alpha1.MetricsOffer{StaleAfterIntervals: 600},
			SLO:     v1alpha1.SLO{TTFT: v1alpha1.Objective{Target: v1alpha1.Every(2 * time.Second)}, TPOT: v1alpha1.Objective{Target: v1alpha1.Every(50 * time.Millisecond)}},
		},
	}
	pda.Default()
	return pda
}

// decided fills in the status of a decision.
func decided(pda *v1alpha1.PDAutoscaler, at time.Time, prefill, decode int32) {
	s := &pda.Status
	s.ObservedGeneration, s.LastDecisionTime = pda.Generation, new(metav1.NewMicroTime(at))
	for role, desired := range map[*v1alpha1.RoleStatus]int32{&s.Roles.Prefill: prefill, &s.Roles.Decode: decode} {
		*role = v1alpha1.RoleStatus{
			Desired: desired, Current: 2, Ready: 2, Starting: 1, GPUsPerReplica: 2,
			LoadPercent: new(int32(83)), DemandMilliRequestsPerSecond: new(int64(4500)), QueueMilliseconds: new(int64(1250)),
		}
	}
	s.SLO.TTFT.PredictedMicroseconds, s.SLO.TPOT.PredictedMicroseconds = new(int64(1_234_000)), new(int64(25_300))
	s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionTargetFound, Status: metav1.ConditionTrue, Reason: "Found", LastTransitionTime: metav1.NewTime(at)}}
}

// sampleHPA reads the sample's HPA of prefill and points it at another target.
func (c *cluster) sampleHPA(pda, role string, target autoscalingv2.CrossVersionObjectReference) *autoscalingv2.HorizontalPodAutoscaler {
	c.t.Helper()
	text, err := os.ReadFile("../../config/samples/hpa/hpa.yaml")
	c.must(err)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	c.must(yaml.UnmarshalStrict(firstDocument(text), hpa))
	hpa.Namespace, hpa.Name = c.namespace, role
	hpa.Spec.ScaleTargetRef, hpa.Spec.MaxReplicas = target, 64
	hpa.Spec.Metrics[0].External.Metric.Selector.MatchLabels = map[string]string{metricsapi.LabelAutoscaler: pda, metricsapi.LabelRole: role}
	return hpa
}
