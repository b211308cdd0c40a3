package benchcontroller

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/config/crd"
	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

var (
	services   = flag.Int("bench.services", 20, "how many services there are")
	window     = flag.Duration("bench.window", 6*time.Second, "how long is measured")
	interval   = flag.Duration("bench.interval", 2*time.Second, "the interval of every service")
	processors = flag.Int("bench.processors", 2, "how many processors the controller may use")
	bars       = flag.Bool("bench.bars", false, "fail where a bar is missed")
	keep       = flag.String("bench.log", "", "the file that the controller's log is kept in")
)

// The bars.
const (
	longestRound = time.Second
	mostBytes    = 300e6
	leastRounds  = 0.9 // of those that the interval promises
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.New(log.NullLogSink{}))
	os.Exit(controlplane.Main(m, controlplane.Options{
		Components: []controlplane.Component{controlplane.Etcd, controlplane.APIServer, controlplane.Kubectl}, BeforeControllers: install,
	}))
}

// install installs the kinds of RBG and ours.
func install(ctx context.Context, config *rest.Config) error {
	if err := rbgfake.Install(ctx, config); err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(bytes.TrimPrefix(crd.PDAutoscalers, []byte("---\n")), &definition); err != nil {
		return err
	}
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{&definition}, PollInterval: 20 * time.Millisecond, MaxTime: 5 * time.Minute})
	return err
}

// TestManyServices holds the controller against the bars, with as many services as the flags say.
func TestManyServices(t *testing.T) {
	cp := controlplane.ForTest(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scheme := runtime.NewScheme()
	must(clientgoscheme.AddToScheme(scheme))
	must(v1alpha1.AddToScheme(scheme))
	config := rest.CopyConfig(cp.Config)
	config.QPS = -1
	c, err := client.New(config, client.Options{Scheme: scheme})
	must(err)
	const system = "pdautoscaler-system"
	must(c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}))
	_, err = cp.Kubectl(t.Context(), "apply", "--server-side", "-k", "../../config/rbac")
	must(err)
	kubeconfig, err := cp.UserKubeconfig("system:serviceaccount:"+system+":pdautoscaler", "system:serviceaccounts", "system:serviceaccounts:"+system)
	must(err)
	binary := build(t)

	pages := NewPages()
	t.Cleanup(pages.Close)
	began := time.Now()
	fleet, err := NewFleet(c, cp.PodCIDR, pages)
	must(err)
	must(fleet.Make(t.Context(), *services, *interval))
	t.Logf("%d services with %d pods made in %s", *services, *services*podsPerService, time.Since(began).Round(time.Second))

	logs := filepath.Join(t.TempDir(), "controller.log")
	if *keep != "" {
		logs = *keep
	}
	process, err := StartProcess(binary, kubeconfig, logs, *processors, memoryLimit(t))
	must(err)
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			said, _ := os.ReadFile(logs)
			t.Errorf("%v; it said last: %s", err, said[max(0, len(said)-2000):])
		}
	})
	first := time.Now()
	decided(t, process)
	t.Logf("every service was decided for %s after the start", time.Since(first).Round(100*time.Millisecond))

	// Rounds that were due while the start was worked off are late for that, once: the window begins an interval later.
	select {
	case <-t.Context().Done():
	case <-time.After(*interval):
	}
	load := loadAverage()
	before, err := process.Sample(t.Context())
	must(err)
	select {
	case <-t.Context().Done():
	case <-time.After(*window):
	}
	after, err := process.Sample(t.Context())
	must(err)
	peak, err := process.PeakBytes()
	must(err)
	judge(t, before, after, peak, load)
	known(t, c)
}

// missed says that a bar was missed, which fails where bars are asked for.
func missed(t *testing.T, format string, args ...any) {
	t.Helper()
	if *bars {
		t.Errorf(format, args...)
		return
	}
	t.Logf(format+" (no bar here: other tests run on this machine)", args...)
}

// judge prints what was measured and holds it against the bars.
func judge(t *testing.T, before, after Sample, peak int64, load string) {
	t.Helper()
	took := after.At.Sub(before.At)
	rounds, late := after.Rounds.Minus(before.Rounds), after.Late.Minus(before.Late)
	promised := float64(*services) * took.Seconds() / interval.Seconds()
	t.Logf("%.0f rounds in %s, %.1f a second; the interval of %s promises %.0f", rounds.Count(), took.Round(time.Second), rounds.Count()/took.Seconds(), *interval, promised)
	t.Logf("a round takes at most %s (p50), %s (p99); it begins at most %s (p50), %s (p99) after it is due",
		rounds.Quantile(0.5), rounds.Quantile(0.99), late.Quantile(0.5), late.Quantile(0.99))
	t.Logf("memory at its highest (VmHWM) %.0f MB; %.2f processors in use", float64(peak)/1e6, (after.CPU-before.CPU).Seconds()/took.Seconds())
	t.Logf("load average of the machine before and after: %s; %s", load, loadAverage())
	if p99 := rounds.Quantile(0.99); p99 >= longestRound {
		missed(t, "the p99 of a round is up to %s, the bar is %s", p99, longestRound)
	}
	if p99 := late.Quantile(0.99); p99 > longestRound {
		missed(t, "the p99 of how late a round begins is up to %s, the bar is %s", p99, longestRound)
	}
	if peak >= mostBytes {
		missed(t, "%.0f MB were resident, the bar is %.0f MB", float64(peak)/1e6, float64(mostBytes)/1e6)
	}
	if rounds.Count() < leastRounds*promised {
		missed(t, "%.0f rounds were made, the interval promises %.0f", rounds.Count(), promised)
	}
}

// decided waits until every service has had a decision.
func decided(t *testing.T, p *Process) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Minute)
	for {
		families, err := p.Metrics(t.Context())
		n := len(families["pdautoscaler_last_decision_timestamp_seconds"].GetMetric())
		if err == nil && n >= *services {
			return
		}
		select {
		case <-p.done:
			t.Fatalf("the controller ended: %v", p.err)
		case <-time.After(2 * time.Second): // a page of hundreds of services costs the controller more than their rounds
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d services were decided for (%v)", n, *services, err)
		}
	}
}

// known fails where services are not really decided for: a controller that reads nothing is quick.
func known(t *testing.T, c client.Client) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		unknown, example := unknownOf(t, c)
		if unknown == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d of %d services the demand or the replicas are not known, such as %s", unknown, *services, example)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func unknownOf(t *testing.T, c client.Client) (unknown int, example string) {
	t.Helper()
	var all v1alpha1.PDAutoscalerList
	if err := c.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		s := &all.Items[i].Status
		if s.Roles.Prefill.DemandMilliRequestsPerSecond == nil || s.Roles.Prefill.Ready != 2 || s.Roles.Decode.Ready != 1 {
			unknown++
			example = fmt.Sprintf("%s/%s: %s", all.Items[i].Namespace, all.Items[i].Name, s.Message)
		}
	}
	return unknown, example
}

// build builds the controller as it ships.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "pdautoscaler")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "../../cmd/pdautoscaler")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the controller: %v\n%s", err, out)
	}
	return binary
}

// memoryLimit is Go's limit of memory as the Deployment sets it.
func memoryLimit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../config/manager/manager.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &deployment); err != nil {
		t.Fatal(err)
	}
	for _, e := range deployment.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "GOMEMLIMIT" {
			return e.Value
		}
	}
	t.Fatal("the Deployment sets no GOMEMLIMIT")
	return ""
}

// loadAverage is that of the machine, empty where it does not say.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
