package install

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // the parts in this process; the autoscaler has a log of its own
	os.Exit(m.Run())
}

const (
	release   = "pdautoscaler"
	namespace = "pdautoscaler-system"
	crd       = "pdautoscalers.pdautoscaler.io"
)

// repository is the root of the checkout.
var repository = filepath.Join("..", "..")

// patience is how long anything may take that comes within seconds on a machine that is not busy.
const patience = 5 * time.Minute

// prompts are long ones: more than the two prefill replicas of the sample can serve, for as long as the test takes.
var prompts = load.Profile{Phases: []load.Phase{
	{Name: "long prompts", DurationSeconds: 3600, RequestsPerSecond: 11, InputTokens: 4000, InputSCV: 0.5, OutputTokens: 350, OutputSCV: 0.5},
}}

// TestLifeOfAnInstallation follows docs/install.md from the first line to the last: chart, sample, load, replicas, the
// explanation, an upgrade, and nothing left.
func TestLifeOfAnInstallation(t *testing.T) {
	if os.Getenv("PDAUTOSCALER_E2E") == "" {
		t.Skip("takes 3 minutes and builds helm: make e2e-install runs it (PDAUTOSCALER_E2E=1)")
	}
	bin := build(t, "pdautoscaler", "pdctl")
	helm, err := NewHelm(t.Context(), repository, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	chart := &chart{t: t, helm: helm, dir: t.TempDir(), binary: filepath.Join(bin, "pdautoscaler"), offer: newOffer(t)}
	s, err := stage.Start(t.Context(), stage.Options{
		Dir: t.TempDir(), Repository: repository, Autoscaler: chart.binary, Seed: 1, Progress: os.Stderr,
		Installation: chart, Events: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	chart.stage = s

	t.Run("the Deployment's pods pass the restricted standard", chart.podsRun)
	t.Run("KEDA and the scaler know each other by the chart's certificates", chart.keda)
	if err := s.Emulator.Play(&prompts, 1); err != nil {
		t.Fatal(err)
	}
	t.Run("replicas follow the load", chart.replicasFollow)
	t.Run("pdctl explain says why", func(t *testing.T) { chart.explains(t, filepath.Join(bin, "pdctl")) })
	t.Run("the page shows it to whoever may forward its port", chart.page)
	t.Run("its metrics are those that the alerts are tested with", chart.metrics)
	t.Run("a standby takes over from a leader that is lost", chart.takeover)
	t.Run("an upgrade keeps certificates, and the definition is upgraded", chart.upgrade)
	t.Run("the API server trusts the metrics API by the chart's certificate", chart.metricsAPI)
	t.Run("uninstall leaves nothing", chart.uninstall)
}

func build(t *testing.T, commands ...string) string {
	t.Helper()
	bin := t.TempDir()
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	for _, c := range commands {
		args = append(args, "./cmd/"+c)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// chart is the chart's installation.
type chart struct {
	t     *testing.T
	helm  *Helm
	stage *stage.Stage
	dir   string
	// binary is the controller's.
	binary string
	// before is every object of the cluster before there was a namespace for it.
	before map[string]bool
	pod    *Pod
	offer  offer
}

// run is helm against the stage's cluster.
func (c *chart) run(ctx context.Context, s *stage.Stage, args ...string) (string, error) {
	return c.helm.Run(ctx, append(args, "--namespace", namespace, "--kubeconfig", s.ControlPlane.Kubeconfig)...)
}

// Install does what docs/install.md says, and returns how the API server's Deployment wants the controller to be run.
func (c *chart) Install(ctx context.Context, s *stage.Stage) (kubeconfig string, args []string, err error) {
	cp := s.ControlPlane
	if c.before, err = Everything(ctx, cp.Config); err != nil {
		return "", nil, err
	}
	restricted := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: restricted}}
	if _, err := s.Kubernetes.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return "", nil, err
	}
	if err := cp.NamespaceReady(ctx, namespace); err != nil {
		return "", nil, err
	}
	out, err := c.run(ctx, s, "install", release, filepath.Join(repository, "charts", "pdautoscaler"), "--wait", "--timeout", "10m",
		"--set", fmt.Sprintf("metrics.readers[0].namespace=%s,metrics.readers[0].name=%s", stage.Namespace, stage.Reader),
		"--set", "metrics.dashboard.enabled=true,keda.enabled=true,metricsAPI.enabled=true,page.serve=portForward")
	if err != nil {
		return "", nil, err
	}
	c.t.Log(out)
	if c.pod, err = ReadPod(ctx, cp.Config, namespace, release, c.dir); err != nil {
		return "", nil, err
	}
	// What a pod knows from files of its own, and an address that is this machine's alone.
	own := append(c.offer.flags(), "--leader-elect-namespace="+namespace)
	return c.pod.Kubeconfig, append(slices.Clone(c.pod.Args), own...), nil
}

// Resource is the sample, carried out and not only recommended, at the emulated service's addresses and in times that one can
// wait for.
func (c *chart) Resource(own *v1alpha1.PDAutoscaler) (*v1alpha1.PDAutoscaler, error) {
	text, err := os.ReadFile(filepath.Join(repository, "config", "samples", "dynamo-pd.yaml"))
	if err != nil {
		return nil, err
	}
	sample := &v1alpha1.PDAutoscaler{}
	if err := yaml.UnmarshalStrict(text, sample); err != nil {
		return nil, err
	}
	sample.Spec.Mode = v1alpha1.ModeAuto
	sample.Spec.Signals.NATS.URL = own.Spec.Signals.NATS.URL
	sample.Spec.Signals.Direct.Ports = own.Spec.Signals.Direct.Ports
	sample.Spec.Signals.Window = own.Spec.Signals.Window
	sample.Spec.Behavior, sample.Spec.Rebalance = own.Spec.Behavior, own.Spec.Rebalance
	return sample, nil
}

func (c *chart) podsRun(t *testing.T) {
	pods, err := c.stage.Kubernetes.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 2 {
		t.Errorf("%d pods, want 2", len(pods.Items))
	}
	if !slices.Contains(c.pod.Args, "--leader-elect") {
		t.Errorf("the pods would not agree who works: %v", c.pod.Args)
	}
	if c.holder(t) == "" {
		t.Error("nobody holds the chart's lease")
	}
}

func (c *chart) replicasFollow(t *testing.T) {
	deadline := time.After(patience)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		prefill := c.stage.Pods.Ledger.Totals(time.Now()).Roles[rbgfake.RolePrefill]
		if prefill.Ready > stage.FirstPrefill {
			t.Logf("%d prefill replicas are ready, %d at first", prefill.Ready, stage.FirstPrefill)
			return
		}
		select {
		case <-c.stage.Failed():
			t.Fatal(c.stage.Err())
		case <-deadline:
			t.Fatalf("prefill has %+v: no replica more than at first became ready", prefill)
		case <-tick.C:
		}
	}
}

// explains asks pdctl, which reads what the controller wrote into the API server.
func (c *chart) explains(t *testing.T, pdctl string) {
	for args, says := range map[string]string{
		"explain": "p95 TTFT: objective 2000 ms", "explain --history": "prefill 2 -> ", "doctor": "Nothing keeps it from being scaled",
	} {
		cmd := exec.CommandContext(t.Context(), pdctl, append(strings.Fields(args), stage.Name, "--namespace", stage.Namespace, "--kubeconfig", c.stage.ControlPlane.Kubeconfig)...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), says) {
			t.Errorf("pdctl %s (%v), want %q in\n%s", args, err, says, out)
		}
		t.Logf("pdctl %s:\n%s", args, out)
	}
}

// upgrade goes back to a chart with an older definition, as a rollback does, and forth again.
func (c *chart) upgrade(t *testing.T) {
	certificates := c.certificates(t)
	columns := c.kubectl(t, "get", "crd", crd, "-o", "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}")
	older, column := olderChart(t)
	for _, to := range []struct{ path, columns string }{
		{older, strings.TrimPrefix(columns, column+" ")}, {filepath.Join(repository, "charts", "pdautoscaler"), columns},
	} {
		if _, err := c.run(t.Context(), c.stage, "upgrade", release, to.path, "--reset-then-reuse-values", "--set", "replicas=3", "--wait", "--timeout", "10m"); err != nil {
			t.Fatal(err)
		}
		if got := c.kubectl(t, "get", "crd", crd, "-o", "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}"); got != to.columns {
			t.Errorf("the definition of %s is not there: columns %s, want %s", to.path, got, to.columns)
		}
	}
	if diff := cmp.Diff(certificates, c.certificates(t)); diff != "" {
		t.Errorf("the upgrade made new certificates:\n%s", diff)
	}
	if got := c.kubectl(t, "get", "pda", "-n", stage.Namespace, "-o", "name"); !strings.Contains(got, stage.Name) {
		t.Errorf("the upgrade lost the PDAutoscaler: %q", got)
	}
	pods, err := c.stage.Kubernetes.AppsV1().Deployments(namespace).Get(t.Context(), release, metav1.GetOptions{})
	if err != nil || pods.Status.ReadyReplicas != 3 {
		t.Errorf("%d pods are ready, want 3 (%v)", pods.Status.ReadyReplicas, err)
	}
}

// olderChart is a copy of the chart whose definition lacks the first column, which it returns.
func olderChart(t *testing.T) (path, column string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pdautoscaler")
	if err := os.CopyFS(path, os.DirFS(filepath.Join(repository, "charts", "pdautoscaler"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, "files", "crd.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	columns := &definition.Spec.Versions[0].AdditionalPrinterColumns
	column, *columns = (*columns)[0].Name, (*columns)[1:]
	if text, err = yaml.Marshal(definition); err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, column
}

// certificates are those that the chart made, by the name of their Secret.
func (c *chart) certificates(t *testing.T) map[string]string {
	t.Helper()
	secrets, err := c.stage.Kubernetes.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "type=kubernetes.io/tls"})
	if err != nil || len(secrets.Items) < 3 {
		t.Fatalf("%d Secrets with certificates (%v)", len(secrets.Items), err)
	}
	out := map[string]string{}
	for _, s := range secrets.Items {
		out[s.Name] = string(s.Data["ca.crt"]) + string(s.Data["tls.crt"])
	}
	return out
}

func (c *chart) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.stage.ControlPlane.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *chart) uninstall(t *testing.T) {
	c.kubectl(t, "delete", "pda", "--all", "--all-namespaces", "--timeout=5m")
	if out, err := c.run(t.Context(), c.stage, "uninstall", release, "--wait", "--timeout", "10m"); err != nil {
		t.Fatal(err)
	} else {
		t.Log(out)
	}
	if err := c.stage.StopAutoscaler(); err != nil {
		t.Error(err)
	}
	// the definition, as values.yaml says, and the API that comes of it; the namespace was there before
	kept := []string{
		"apiservices.apiregistration.k8s.io /v1alpha1.pdautoscaler.io", "configmaps " + namespace + "/kube-root-ca.crt",
		"customresourcedefinitions.apiextensions.k8s.io /" + crd, "namespaces /" + namespace, "serviceaccounts " + namespace + "/default",
	}
	c.left(t, "helm uninstall", kept)
	c.kubectl(t, "delete", "crd", crd, "--timeout=5m")
	c.kubectl(t, "delete", "namespace", namespace, "--timeout=5m")
	c.left(t, "the two commands after it", nil)
}

// left waits until nothing is there that was not there before but what is kept, and says what there is if that does not come.
func (c *chart) left(t *testing.T, after string, kept []string) {
	t.Helper()
	var more []string
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		now, err := Everything(t.Context(), c.stage.ControlPlane.Config)
		if err != nil { // a kind that is on its way out is named still, and its objects cannot be listed
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			continue
		}
		lost := slices.DeleteFunc(slices.Sorted(maps.Keys(c.before)), func(id string) bool { return now[id] })
		more = slices.DeleteFunc(slices.Sorted(maps.Keys(now)), func(id string) bool { return c.before[id] })
		if slices.Equal(more, kept) && len(lost) == 0 {
			t.Logf("after %s there are %d objects, of which the installation left %d", after, len(now), len(more))
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after %s (-want +left):\n%s\nand %d of the %d objects from before are gone: %v", after, cmp.Diff(kept, more), len(lost), len(c.before), lost)
			return
		}
	}
}
