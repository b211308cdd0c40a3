package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/config/crd"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// TestMain also plays the controller: a process can be killed in the middle of
// a move, a goroutine cannot.
func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.New(log.NullLogSink{}))
	if settings := os.Getenv(managerSettings); settings != "" {
		if err := runManager(settings); err != nil {
			fmt.Fprintln(os.Stderr, "the manager of a test:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(controlplane.Main(m, controlplane.Options{BeforeControllers: install, AuditLog: true}))
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
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{&definition}, PollInterval: 20 * time.Millisecond, MaxTime: patience})
	return err
}

// managerSettings is the environment variable that makes the test binary a manager.
const managerSettings = "PDAUTOSCALER_TEST_MANAGER"

// standIn is what such a manager is told.
type standIn struct {
	Kubeconfig, Namespace, Metrics string
	// Traffic is a file with the demand that its collector reads.
	Traffic string
}

// demand is the content of that file.
type demand struct{ RequestsPerSecond, InputTokens, OutputTokens float64 }

// runManager is the controller with the real workload and a collector that
// reads a file. It ends with its standard input.
func runManager(settings string) error {
	var s standIn
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return err
	}
	mgr, err := NewManager(config, Options{
		Namespaces: []string{s.Namespace}, MetricsAddress: s.Metrics,
		// One that is killed is followed after the lease; one that a busy machine keeps waiting for less than the deadline stays.
		LeaderElection: LeaderElection{Enabled: true, Namespace: systemNamespace, LeaseDuration: 15 * time.Second, RenewDeadline: 12 * time.Second, RetryPeriod: 500 * time.Millisecond},
		NewCollector:   func(signals.Config) (Collector, error) { return &fileCollector{path: s.Traffic}, nil },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctrl.SetupSignalHandler())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return mgr.Start(ctx)
}

// fileCollector reads the demand from a file; a file that it cannot read is a demand that is not known.
type fileCollector struct{ path string }

func (c *fileCollector) Collect(_ context.Context, _ []signals.Target, now time.Time) (planner.Signals, []signals.SourceReport) {
	var d demand
	text, err := os.ReadFile(c.path)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		return planner.Signals{RequestsPerSecond: planner.Unknown(err.Error())}, nil
	}
	known := func(v float64) planner.Reading { return planner.Known(v, now, "file") }
	return planner.Signals{
		RequestsPerSecond: known(d.RequestsPerSecond), ArrivalSCV: known(1), InputTokens: known(d.InputTokens), InputSCV: known(0.3),
		OutputTokens: known(d.OutputTokens), OutputSCV: known(0.3), CachedShare: known(0),
	}, nil
}

func (c *fileCollector) Close() {}

// startManager starts a manager in a process of its own and returns it with the address of its metrics.
func startManager(t *testing.T, s standIn) (manager *exec.Cmd, metrics string) {
	t.Helper()
	s.Metrics = ports.ForTest(t, 1).Address(0)
	settings, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), managerSettings+"="+string(settings))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	stdin, err := cmd.StdinPipe() // open for as long as this process lives
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(stdin.Close(), cmd.Wait())
		if killed := cmd.ProcessState != nil && cmd.ProcessState.ExitCode() < 0; err != nil && !killed {
			t.Errorf("a manager ended with %v", err)
		}
	})
	return cmd, s.Metrics
}
