package emulator

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/natsqueue"
)

// Config is one emulated service. A zero field takes its default.
type Config struct {
	// Engine is what the replicas can do. Its Queue must be nil: it is NATS.
	Engine engine.Config
	// Pods tells which pods there are. Required.
	Pods PodSource
	// Model is the name under which the model is served, a label of every metric.
	Model string
	// Workers is whose metric names the workers export: VLLM (the default) or
	// SGLang, each with its own buckets.
	Workers WorkerNames
	// Frontend is whose names the frontend exports: Dynamo2025 (the default) or Dynamo1.
	Frontend FrontendNames
	// HTTPPort serves the metrics of frontend and workers (default 8000),
	// ExporterPort those of GPUs (default 9400).
	HTTPPort     int
	ExporterPort int
	// NATS is the queue's server, Queue its names.
	NATS  natsqueue.ServerOptions
	Queue natsqueue.Options
	// GPU is what the exporters show.
	GPU GPU
	// ExporterInterval is how often an exporter reads its GPUs. Default 1 s; the
	// real default is 30 s, too slow for an autoscaler.
	ExporterInterval time.Duration
	// Logger gets what goes wrong; nil is silence.
	Logger *slog.Logger
}

// WorkerNames is a vocabulary of the workers' metrics.
type WorkerNames string

// FrontendNames is a vocabulary of the frontend's metrics.
type FrontendNames string

// The vocabularies.
const (
	VLLM   WorkerNames = "vllm"
	SGLang WorkerNames = "sglang"

	Dynamo2025 FrontendNames = "nv_llm_http_service"
	Dynamo1    FrontendNames = "dynamo_frontend"
)

// GPU is a node's kind of GPU, as an exporter shows it.
type GPU struct {
	// ModelName is the product name. Default NVIDIA H200.
	ModelName string
	// PerNode is how many each node has. Default 8.
	PerNode int
	// MemoryMiB is a GPU's frame buffer, UsedMiB what a running engine holds of
	// it, whatever its load. Defaults: those of an H200 at a fraction of 0.9.
	MemoryMiB int
	UsedMiB   int
}

const (
	defaultHTTPPort     = 8000
	defaultExporterPort = 9400
	defaultInterval     = time.Second
	defaultGPUsPerNode  = 8
	h200MiB             = 151_397_597_184 >> 20
)

func (c *Config) setDefaults() error {
	var errs []error
	if c.Pods == nil {
		errs = append(errs, errors.New("emulator: Pods is nil; a source of pods is needed"))
	}
	if c.Engine.Queue != nil {
		errs = append(errs, errors.New("emulator: Engine.Queue is set; the emulator's queue is its own NATS server's"))
	}
	for _, p := range []struct {
		name  string
		port  *int
		value int
	}{{"HTTPPort", &c.HTTPPort, defaultHTTPPort}, {"ExporterPort", &c.ExporterPort, defaultExporterPort}} {
		if *p.port == 0 {
			*p.port = p.value
		}
		if *p.port < 1 || *p.port > 65535 {
			errs = append(errs, fmt.Errorf("emulator: %s is %d; it must be from 1 to 65535", p.name, *p.port))
		}
	}
	switch c.Workers {
	case "":
		c.Workers = VLLM
	case VLLM:
	case SGLang:
		c.Engine.Buckets = engine.SGLangBuckets
	default:
		errs = append(errs, fmt.Errorf("emulator: Workers is %q; allowed are %q and %q", c.Workers, VLLM, SGLang))
	}
	switch c.Frontend {
	case "":
		c.Frontend = Dynamo2025
	case Dynamo2025, Dynamo1:
	default:
		errs = append(errs, fmt.Errorf("emulator: Frontend is %q; allowed are %q and %q", c.Frontend, Dynamo2025, Dynamo1))
	}
	if c.GPU.PerNode < 0 || c.GPU.MemoryMiB < 0 || c.GPU.UsedMiB < 0 {
		errs = append(errs, errors.New("emulator: GPU.PerNode, GPU.MemoryMiB and GPU.UsedMiB must be 0 (the default) or more"))
	}
	if c.GPU.ModelName == "" {
		c.GPU.ModelName = "NVIDIA H200"
	}
	if c.GPU.PerNode == 0 {
		c.GPU.PerNode = defaultGPUsPerNode
	}
	if c.GPU.MemoryMiB == 0 {
		c.GPU.MemoryMiB = h200MiB
	}
	if c.GPU.UsedMiB == 0 {
		c.GPU.UsedMiB = c.GPU.MemoryMiB * 9 / 10
	}
	if c.ExporterInterval <= 0 {
		c.ExporterInterval = defaultInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Queue.Logger == nil {
		c.Queue.Logger = c.Logger
	}
	return errors.Join(errs...)
}
