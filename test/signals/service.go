package signals

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/natsqueue"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// servedModel is the name that the services serve their model under.
const servedModel = "qwen3-32b"

// Kind is what one emulated service speaks, and what it is read as.
type Kind struct {
	Name     string
	Workers  emulator.WorkerNames
	Frontend emulator.FrontendNames
	// ReadFrontend is false for workers behind a router without metrics.
	ReadFrontend bool
	// Engine is the vocabulary it is read with.
	Engine string
}

// Service is an emulated service whose pages stand still between two thaws.
type Service struct {
	Kind     Kind
	Emulator *emulator.Emulator
	// Targets are the frozen pages.
	Targets []signals.Target
}

// model is a replica whose steps take a few milliseconds.
func model() engine.Config {
	r := perfmodel.Replica{
		GPUs:             2,
		Prefill:          perfmodel.Prefill{WeightReadMs: 2, GEMMMsPerToken: 0.02},
		Decode:           perfmodel.Decode{WeightReadMs: 2, PerSequenceMs: 0.05},
		Transfer:         perfmodel.Transfer{LatencyMs: 0.5},
		KVCapacityTokens: 12_800,
	}
	return engine.Config{Service: capacity.Service{Prefill: r, Decode: r}, Seed: 1}
}

// StartService starts the n-th service: two prefill and two decode workers, a
// frontend and a GPU exporter, on loopback addresses of its own.
func StartService(ctx context.Context, n int, kind Kind, frozen *Frozen) (*Service, error) {
	pods := []emulator.Pod{}
	for i, role := range []emulator.Role{emulator.RoleFrontend, emulator.RolePrefill, emulator.RolePrefill, emulator.RoleDecode, emulator.RoleDecode, emulator.RoleExporter} {
		gpus := 0
		if role == emulator.RolePrefill || role == emulator.RoleDecode {
			gpus = 2
		}
		pods = append(pods, emulator.Pod{Namespace: kind.Name, Name: fmt.Sprintf("%s-%d", role, i), UID: fmt.Sprintf("%s-%d", kind.Name, i), Role: role,
			Node: "node-" + kind.Name, IP: fmt.Sprintf("127.247.%d.%d", n, i+1), GPUs: gpus, Container: "engine", Ready: true})
	}
	s := &Service{Kind: kind}
	var err error
	s.Emulator, err = emulator.Start(ctx, emulator.Config{Engine: model(), Pods: emulator.NewPodSet(pods...), Model: servedModel,
		Workers: kind.Workers, Frontend: kind.Frontend, ExporterInterval: 500 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		port := 8000
		if p.Role == emulator.RoleExporter {
			port = 9400
		}
		page, err := frozen.Add(fmt.Sprintf("http://%s:%d/metrics", p.IP, port))
		if err != nil {
			return nil, errors.Join(err, s.Emulator.Stop())
		}
		if p.Role == emulator.RoleFrontend && !kind.ReadFrontend {
			continue
		}
		s.Targets = append(s.Targets, signals.Target{Kind: signals.Kind(p.Role), Namespace: p.Namespace, Pod: p.Name, UID: p.UID, Node: p.Node, URL: page, Ready: true})
	}
	return s, nil
}

// Play starts a load under which both roles are busy.
func (s *Service) Play(time time.Duration) error {
	return s.Emulator.Play(&load.Profile{Phases: []load.Phase{{Name: "steady", DurationSeconds: time.Seconds(), RequestsPerSecond: 20, InputTokens: 400, OutputTokens: 200, CachedShare: 0.25}}}, 1)
}

// Config reads the service over the given window; prometheus may be empty.
func (s *Service) Config(window time.Duration, prometheus string) signals.Config {
	c := signals.Config{Engine: s.Kind.Engine, Model: servedModel, TTFTPercentile: 0.9, TPOTPercentile: 0.9, Window: window,
		MaxAge: window + 20*time.Second, // a Prometheus is asked for as much, so that a new collector knows a whole window
		NATS:   &signals.NATSConfig{URL: s.Emulator.NATSURL(), Stream: natsqueue.DefaultStream, Consumer: natsqueue.DefaultConsumer}}
	if prometheus != "" {
		c.Prometheus = &signals.PrometheusConfig{URL: prometheus, GPUs: true}
	}
	return c
}

// ScrapeConfig is a Prometheus configuration that reads the pages of services as
// a PodMonitor has it done: with the labels pod and namespace of the pod, and
// with labels of the page that clash with them renamed.
func ScrapeConfig(every time.Duration, services ...*Service) string {
	var out strings.Builder
	fmt.Fprintf(&out, "global:\n  scrape_interval: %v\n  scrape_timeout: %v\nscrape_configs:\n- job_name: pods\n  static_configs:\n", every, every)
	for _, s := range services {
		for _, t := range s.Targets {
			host := strings.TrimSuffix(strings.TrimPrefix(t.URL, "http://"), "/metrics")
			fmt.Fprintf(&out, "  - targets: [%q]\n    labels: {pod: %q, namespace: %q, container: main}\n", host, t.Pod, t.Namespace)
		}
	}
	return out.String()
}
