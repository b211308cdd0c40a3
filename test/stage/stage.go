package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/kubepods"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// Options say what to set up.
type Options struct {
	// Dir receives the autoscaler's log. The control plane's own files are temporary; they stay only if a component fails.
	Dir string
	// Repository is the root of the checkout: the autoscaler's rights are read from its config/rbac.
	Repository string
	// Autoscaler is the path of the pdautoscaler binary.
	Autoscaler string
	// AutoscalerArgs are more of its flags.
	AutoscalerArgs []string
	// Installation puts the autoscaler into the cluster. Nil: the stage does, with the definition and the rights of config/.
	Installation Installation
	// Mode of the PDAutoscaler. Empty: Auto.
	Mode v1alpha1.Mode
	// Seed makes the noise of the emulated service repeatable.
	Seed uint64
	// Service changes what the emulated replicas can do, away from what the model says. Nil: they are as it says.
	Service func(*capacity.Service)
	// Progress receives one line for each step. Nil: silence.
	Progress io.Writer
	// Logger receives what the parts in this process say, the autoscaler apart. Nil: silence.
	Logger *slog.Logger
	// Events receives every pod event of the service's namespace as one line of JSON.
	Events io.Writer
}

// Stage is the running example, until Stop.
type Stage struct {
	ControlPlane *controlplane.ControlPlane
	Kubernetes   kubernetes.Interface
	Emulator     *emulator.Emulator
	// Pods has counted the GPUs of the service's pods since before there were any.
	Pods *gpuwatch.Watcher

	options     Options
	client      ctrlclient.Client
	controller  *controller
	standby     *controller
	kubeconfig  string   // the autoscaler's
	installed   []string // its flags
	readerToken string
	progress    *controlplane.Progress

	stops    []stop // in the order in which the parts were started
	stopOnce sync.Once
	stopErr  error
	stopping chan struct{}
	failOnce sync.Once
	failed   chan struct{}
	failure  error // read only after failed
}

// stop ends one part.
type stop struct {
	what string
	do   func() error
}

func (s *Stage) onStop(what string, do func() error) { s.stops = append(s.stops, stop{what, do}) }

// Start sets everything up and returns when the service is ready and the autoscaler has made its first decision. The
// context bounds the start. After an error nothing is left running.
func Start(ctx context.Context, o Options) (*Stage, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Stage{options: o, failed: make(chan struct{}), stopping: make(chan struct{}), progress: controlplane.NewProgress(o.Progress)}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stage) start(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"", s.startCluster},
		{"the RBG stand-in, the emulated service, NATS and dcgm-exporter", s.startService},
		{"the autoscaler, with the rights that it is installed with", s.startAutoscaler},
		{"waiting for the service to be ready", s.serviceReady},
		{"the PDAutoscaler " + Namespace + "/" + Name, s.createResource},
	}
	for _, step := range steps {
		if step.what != "" {
			s.progress.Step("%s", step.what)
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startService starts what takes the autoscaler's place in nothing: the controller of RoleBasedGroups, the engines behind
// their pods, and the witness.
func (s *Stage) startService(ctx context.Context) error {
	if err := s.watchPods(ctx); err != nil {
		return err
	}
	s.background("the RBG stand-in", func(ctx context.Context) error {
		return rbgfake.Run(ctx, s.ControlPlane.Config, rbgfake.Options{Logger: logr.FromSlogHandler(s.options.Logger.With("part", "RBG stand-in").Handler())})
	})
	cfg, err := Engine(s.options.Seed)
	if err != nil {
		return err
	}
	if s.options.Service != nil {
		s.options.Service(&cfg.Service)
	}
	pods, err := kubepods.Watch(ctx, s.Kubernetes, kubepods.Options{Namespace: Namespace, Group: Name, ExporterNamespace: exporterNamespace})
	if err != nil {
		return err
	}
	s.onStop("the emulator's watch of pods", func() error { pods.Close(); return nil })
	s.Emulator, err = emulator.Start(ctx, emulator.Config{
		Engine: cfg, Pods: pods, Model: ServedModel, GPU: emulator.GPU{PerNode: GPUsPerNode}, Logger: s.options.Logger.With("part", "emulator"),
	})
	if err != nil {
		return err
	}
	s.onStop("the emulated service", s.Emulator.Stop)
	if err := s.createExporters(ctx); err != nil {
		return err
	}
	return s.createService(ctx)
}

func (s *Stage) startAutoscaler(ctx context.Context) error {
	if err := s.makeReader(ctx); err != nil {
		return err
	}
	install := s.install
	if s.options.Installation != nil {
		install = func(ctx context.Context) (string, []string, error) { return s.options.Installation.Install(ctx, s) }
	}
	var err error
	if s.kubeconfig, s.installed, err = install(ctx); err != nil {
		return err
	}
	s.controller, err = s.run(ctx, s.options.Autoscaler, "controller.log", nil)
	return err
}

// run starts an autoscaler and waits until it is ready.
func (s *Stage) run(ctx context.Context, binary, log string, more []string) (*controller, error) {
	c, err := startController(binary, s.kubeconfig, filepath.Join(s.options.Dir, log), s.installed, slices.Concat(s.options.AutoscalerArgs, more))
	if err != nil {
		return nil, err
	}
	s.onStop("the autoscaler", c.stop)
	s.failWhen(c.done, c.ended)
	return c, c.ready(ctx)
}

// StopAutoscaler ends the autoscaler alone, as a kubelet does with a pod that is deleted.
func (s *Stage) StopAutoscaler() error { return s.controller.stop() }

// createResource makes the PDAutoscaler and waits for the first decision.
func (s *Stage) createResource(ctx context.Context) (err error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	if s.client, err = ctrlclient.New(s.ControlPlane.Config, ctrlclient.Options{Scheme: scheme}); err != nil {
		return err
	}
	resource := autoscaler(s.Emulator.NATSURL(), v1alpha1.MetricsPorts{Frontend: 8000, Prefill: 8000, Decode: 8000})
	if s.options.Mode != "" {
		resource.Spec.Mode = s.options.Mode
	}
	if s.options.Installation != nil {
		if resource, err = s.options.Installation.Resource(resource); err != nil {
			return err
		}
	}
	if err := s.client.Create(ctx, resource); err != nil {
		return err
	}
	return s.until(ctx, "the first decision", func(ctx context.Context) (bool, error) {
		pda, err := s.Autoscaler(ctx)
		return err == nil && pda.Status.LastDecisionTime != nil, err
	})
}

// Autoscaler returns the PDAutoscaler as it is now.
func (s *Stage) Autoscaler(ctx context.Context) (*v1alpha1.PDAutoscaler, error) {
	var pda v1alpha1.PDAutoscaler
	err := s.client.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: Name}, &pda)
	return &pda, err
}

// background runs a part in this process until Stop. If it ends before that, the stage has failed.
func (s *Stage) background(what string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			s.fail(fmt.Errorf("%s ended by itself: %w", what, errors.Join(err, errEnded)))
		}
		done <- err
	}()
	s.onStop(what, func() error { cancel(); return <-done })
}

// failWhen makes the stage fail once a part has ended, for the reason that the part gives; none is no failure.
func (s *Stage) failWhen(ended <-chan struct{}, why func() error) {
	go func() {
		select {
		case <-ended:
			if err := why(); err != nil {
				s.fail(err)
			}
		case <-s.stopping:
		}
	}()
}

func (s *Stage) fail(err error) {
	select {
	case <-s.stopping:
		return
	default:
	}
	s.failOnce.Do(func() {
		s.failure = err
		close(s.failed)
	})
}

// Failed is closed when a part has ended that nobody asked to; Err then says which and why.
func (s *Stage) Failed() <-chan struct{} { return s.failed }

// Err returns nil while every part runs or was stopped on purpose.
func (s *Stage) Err() error {
	select {
	case <-s.failed:
		return s.failure
	default:
		return nil
	}
}

// ErrStop is in every error of Stop.
var ErrStop = errors.New("not everything ended in good order")

// Stop ends everything, the last part first, and returns when nothing is left: no process, listener or goroutine.
func (s *Stage) Stop() error {
	s.stopOnce.Do(func() {
		close(s.stopping)
		for _, part := range slices.Backward(s.stops) {
			if err := part.do(); err != nil {
				s.stopErr = errors.Join(s.stopErr, fmt.Errorf("%w: %s: %w", ErrStop, part.what, err))
			}
		}
	})
	return s.stopErr
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
