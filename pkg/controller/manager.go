package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controllerruntime "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/live"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// Defaults of Options.
const (
	// DefaultConcurrency is high because a round mostly waits for answers: with
	// few workers a few slow services would hold up all others.
	DefaultConcurrency = 16
	DefaultRecords     = 64

	LeaderElectionID     = "pdautoscaler.pdautoscaler.io"
	DefaultLeaseDuration = 15 * time.Second
	DefaultRenewDeadline = 10 * time.Second
	DefaultRetryPeriod   = 2 * time.Second
)

// nodesFor is how long one look at all nodes and pods does for all services.
const nodesFor = time.Second

// gracePeriod is how long a stopping manager waits for rounds that have begun.
const gracePeriod = longestDeadline + 5*time.Second

// Options say how a manager runs. The zero value runs without leader election,
// without probes and without a metrics server.
type Options struct {
	// Namespaces whose PDAutoscalers are carried out; none is all of them. Pods
	// and nodes are read in the whole cluster either way, to know what GPUs are free.
	Namespaces []string
	// Concurrency is how many resources are worked on at once. Default DefaultConcurrency.
	Concurrency int
	// Records is how many decision records are kept of each resource. Default DefaultRecords.
	Records int

	// SignalHosts are patterns of the hosts that resources may name as Prometheus,
	// NATS or etcd, such as "*.monitoring.svc:9090"; none allows any host.
	SignalHosts []string

	// MetricsAddress is the host:port of /metrics and /debug/decisions; empty is none.
	MetricsAddress string
	// MetricsInsecure serves them over plain HTTP to everyone who can connect.
	// It is refused unless MetricsAddress is a loopback address.
	MetricsInsecure bool
	// MetricsCertDir holds tls.crt and tls.key; empty is a self-signed certificate.
	MetricsCertDir string

	// PageAddress is the host:port of the page (pkg/live); empty is none.
	PageAddress string
	// PageInsecure serves it over plain HTTP to everyone who can connect. It is
	// refused unless PageAddress is a loopback address, which is what kubectl
	// port-forward connects to.
	PageInsecure bool
	// PageCertDir holds tls.crt and tls.key; empty is a self-signed certificate.
	PageCertDir string

	// ProbeAddress is the host:port of /healthz and /readyz; empty is none.
	ProbeAddress string

	LeaderElection LeaderElection

	// What follows is for tests; nil is the real one.
	NewCollector NewCollector
	NewWorkload  func(manager.Manager) Workload
	Clock        clock.PassiveClock
}

// LeaderElection lets several controllers stand by for the one that works.
type LeaderElection struct {
	Enabled bool
	// Namespace of the lease; empty is the one that the controller runs in.
	Namespace string
	// Durations left at zero take their defaults.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

func (l LeaderElection) durations() (lease, renew, retry time.Duration) {
	return orDefault(l.LeaseDuration, DefaultLeaseDuration), orDefault(l.RenewDeadline, DefaultRenewDeadline), orDefault(l.RetryPeriod, DefaultRetryPeriod)
}

// afterStop is how long a round may go on when the manager stops. One that could not renew its lease stops at the renew deadline,
// and the lease is another's when it has run out; a fifth of the time between is left for clocks and for a write on its way.
func (l LeaderElection) afterStop() time.Duration {
	if !l.Enabled {
		return 0
	}
	lease, renew, _ := l.durations()
	return (lease - renew) * 4 / 5
}

// NewManager returns a manager that carries out PDAutoscalers when it is
// started. It listens at once and works from Start until its context ends.
func NewManager(config *rest.Config, o Options) (manager.Manager, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	metrics, cert, err := o.metrics()
	if err != nil {
		return nil, err
	}
	lease, renew, retry := o.LeaderElection.durations()
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache:  o.cache(),
		Client: client.Options{Cache: &client.CacheOptions{
			// One ConfigMap is needed, not all of the cluster.
			DisableFor: []client.Object{&corev1.ConfigMap{}},
		}},
		Metrics:                       metrics,
		HealthProbeBindAddress:        offIfEmpty(o.ProbeAddress),
		LeaderElection:                o.LeaderElection.Enabled,
		LeaderElectionID:              LeaderElectionID,
		LeaderElectionNamespace:       o.LeaderElection.Namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
		GracefulShutdownTimeout:       new(gracePeriod),
	})
	if err != nil {
		return nil, fmt.Errorf("the manager could not be made: %w", err)
	}
	return mgr, errors.Join(cert.watch(mgr), o.addTo(mgr))
}

// addTo adds the controller, its debug pages and its probes to a manager.
func (o Options) addTo(mgr manager.Manager) error {
	metrics, err := NewMetrics(ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("the metrics could not be registered: %w", err)
	}
	c := &Reconciler{
		client:       mgr.GetClient(),
		live:         mgr.GetAPIReader(),
		newCollector: o.NewCollector,
		recorder:     mgr.GetEventRecorder(fieldOwner),
		metrics:      metrics,
		clock:        o.Clock,
		decide:       planner.Plan,
		store:        newStore(),
		recordsKept:  orDefault(o.Records, DefaultRecords),
		signalHosts:  o.SignalHosts,
		afterStop:    o.LeaderElection.afterStop(),
	}
	if c.newCollector == nil {
		c.newCollector = collectFromPods
	}
	if c.clock == nil {
		c.clock = clock.RealClock{}
	}
	if o.NewWorkload != nil {
		c.workload = o.NewWorkload(mgr)
	} else {
		served, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return fmt.Errorf("the API server's discovery cannot be read: %w", err)
		}
		c.workload = workload.New(mgr.GetClient(), mgr.GetClient(), workload.WithLiveReader(mgr.GetAPIReader()), workload.WithDiscovery(served), workload.WithNodesFor(nodesFor))
	}
	if o.MetricsAddress != "" {
		if err := mgr.AddMetricsServerExtraHandler(DecisionsPath, c.DecisionsHandler()); err != nil {
			return err
		}
	}
	if o.PageAddress != "" {
		board := live.NewBoard()
		c.page = board
		if err := o.addPage(mgr, board); err != nil {
			return err
		}
	}
	if err := errors.Join(addProbes(mgr), fillCaches(mgr)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("pdautoscaler").
		For(&v1alpha1.PDAutoscaler{}, builder.WithPredicates(edited)).
		WithOptions(controllerruntime.Options{
			MaxConcurrentReconciles: orDefault(o.Concurrency, DefaultConcurrency),
			SkipNameValidation:      new(true), // tests run two managers in one process
		}).
		Complete(c)
}

// edited are the changes of a resource that are a reason for a round. A status of
// our own making is none; the interval is. A resource that was deleted and made
// again while the watch was cut off is seen as one that changed.
var edited = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() },
})

// fillCaches makes the manager wait for what every round lists, or the first
// rounds would spend their deadline on it. Nodes are not among it: whether they
// may be read is pkg/workload's question.
func fillCaches(mgr manager.Manager) error {
	var failed []error
	for _, object := range []client.Object{&corev1.Pod{}, &autoscalingv2.HorizontalPodAutoscaler{}} {
		_, err := mgr.GetCache().GetInformer(context.Background(), object, cache.BlockUntilSynced(false))
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// addProbes makes the manager ready once its caches are: a standby is ready too.
func addProbes(mgr manager.Manager) error {
	synced := &atomic.Bool{}
	watch := manager.RunnableFunc(func(ctx context.Context) error {
		synced.Store(mgr.GetCache().WaitForCacheSync(ctx))
		return nil
	})
	ready := func(*http.Request) error {
		if !synced.Load() {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
	return errors.Join(mgr.Add(everyReplica{watch}), mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", ready))
}

// everyReplica runs on the leader and on those that stand by.
type everyReplica struct{ manager.Runnable }

func (everyReplica) NeedLeaderElection() bool { return false }

// check refuses options that cannot be meant.
func (o Options) check() error {
	if o.Concurrency < 0 || o.Records < 0 {
		return fmt.Errorf("concurrency is %d and the records kept are %d: allowed is 1 or more, or 0 for the default", o.Concurrency, o.Records)
	}
	if err := checkHostPatterns(o.SignalHosts); err != nil {
		return err
	}
	for _, port := range []struct {
		what, address string
		insecure      bool
	}{{"metrics", o.MetricsAddress, o.MetricsInsecure}, {"page", o.PageAddress, o.PageInsecure}} {
		if err := checkAddress(port.what, port.address, port.insecure); err != nil {
			return err
		}
	}
	l := o.LeaderElection
	lease, renew, retry := l.durations()
	if l.Enabled && !(lease > renew && renew > retry && retry > 0) {
		return fmt.Errorf("leader election: the lease is %s, the renew deadline %s and the retry period %s: allowed is lease > renew deadline > retry period > 0", lease, renew, retry)
	}
	return nil
}

// checkAddress refuses to serve everyone who can connect from elsewhere.
func checkAddress(what, address string, insecure bool) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the %s address %q is not host:port", what, address)
	}
	if ip := net.ParseIP(host); insecure && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("the %s address is %q: without authentication only a loopback address such as 127.0.0.1:8080 is allowed", what, address)
	}
	return nil
}

func (o Options) cache() cache.Options {
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}: {Transform: slimPod}, &corev1.Node{}: {Transform: slimNode},
	}}
	if len(o.Namespaces) > 0 {
		namespaces := map[string]cache.Config{}
		for _, n := range o.Namespaces {
			namespaces[n] = cache.Config{}
		}
		options.ByObject[&v1alpha1.PDAutoscaler{}] = cache.ByObject{Namespaces: namespaces}
	}
	return options
}

// metrics are the options of the metrics server, and its certificate where it speaks TLS.
func (o Options) metrics() (metricsserver.Options, certificate, error) {
	s := metricsserver.Options{BindAddress: offIfEmpty(o.MetricsAddress)}
	if o.MetricsInsecure || o.MetricsAddress == "" {
		return s, certificate{}, nil
	}
	cert, err := newCertificate("the directory of the metrics' certificate", o.MetricsCertDir)
	s.SecureServing, s.FilterProvider, s.TLSOpts = true, filters.WithAuthenticationAndAuthorization, []func(*tls.Config){cert.use}
	return s, cert, err
}

// offIfEmpty: controller-runtime takes an empty address for its own default.
func offIfEmpty(address string) string {
	if address == "" {
		return "0"
	}
	return address
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}
