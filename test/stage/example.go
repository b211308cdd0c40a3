package stage

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// Names of the example.
const (
	Namespace   = "default"
	Name        = "dynamo-pd" // of the RoleBasedGroup and of the PDAutoscaler
	ServedModel = "qwen3-32b"

	model      = "Qwen3-32B"
	gpuProduct = "NVIDIA-H200" // as GPU feature discovery labels a node

	exporterNamespace = "gpu-operator"
	systemNamespace   = "pdautoscaler-system"
)

// Sizes of the example.
const (
	Nodes          = 2
	GPUsPerNode    = 8
	GPUsPerReplica = 2
	BudgetGPUs     = 12
	maxReplicas    = BudgetGPUs/GPUsPerReplica - 1
	maxSequences   = 256

	FirstPrefill = 2
	FirstDecode  = 1
)

// Times that are short enough to be watched; production values are minutes.
const (
	coldStart = 6 * time.Second
	drain     = 3 * time.Second

	interval        = 2 * time.Second
	signalsWindow   = 10 * time.Second
	scaleDownWindow = 20 * time.Second
	rebalanceWindow = 4 * time.Second
	cooldown        = 15 * time.Second
	maxAge          = 10 * time.Second
	startTimeout    = 3 * time.Minute // of starts, and of the drains of moves: a busy machine takes its time for both
	breachTime      = 15 * time.Second
)

// Objectives of the example. Both lie on bounds of Dynamo's histogram buckets, so that what is observed can be compared
// with them.
var Objectives = engine.Objectives{
	TTFT: capacity.Objective{Quantile: 0.95, Ms: 2000},
	TPOT: capacity.Objective{Quantile: 0.95, Ms: 25},
}

// stepNoise is the spread of step times on an H200, see engine.Config.
const stepNoise = 0.02

// Engine is the emulated service: replicas by the roofline model of pkg/perfmodel, with noise.
func Engine(seed uint64) (engine.Config, error) {
	m, err := perfmodel.LookupModel(model)
	if err != nil {
		return engine.Config{}, err
	}
	gpu, err := perfmodel.MatchGPU(gpuProduct)
	if err != nil {
		return engine.Config{}, err
	}
	replica, err := perfmodel.NewReplica(m, gpu, perfmodel.Options{TP: GPUsPerReplica})
	if err != nil {
		return engine.Config{}, err
	}
	return engine.Config{
		Service: capacity.Service{Prefill: replica, Decode: replica, TTFTEndsAt: capacity.EndsAtPrefill, MaxSequences: maxSequences},
		Seed:    seed, StepNoise: stepNoise,
	}, nil
}
