package perfmodel

import (
	"fmt"
	"math"
)

// Options are the choices of a deployment. A field left at zero takes its default.
type Options struct {
	// TP is the number of GPUs of one replica (tensor parallel), joined by one link domain. Default 1.
	TP int `json:"tp,omitempty"`
	// MemoryFraction is the share of GPU memory that the engine takes, above 0 up to 1. Default 0.90.
	MemoryFraction float64 `json:"memoryFraction,omitempty"`
	// KVBytesPerElement is 2 (bf16) or 1 (fp8). Default 2.
	KVBytesPerElement float64 `json:"kvBytesPerElement,omitempty"`
	// WeightBytesPerElement is 2 (bf16) or 1 (fp8). Default 2.
	WeightBytesPerElement float64 `json:"weightBytesPerElement,omitempty"`
	// MaxBatchedTokens is the most tokens of one prefill step: it sizes the activations. Default 8192.
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// TransferBytesPerSecond is what a whole replica moves KV cache at. Default: a share of its GPUs' network.
	TransferBytesPerSecond float64 `json:"transferBytesPerSecond,omitempty"`
	// EngineStepMs is what the engine spends on a step outside the GPU. Default 0.126 ms, a prior that real engines exceed.
	EngineStepMs float64 `json:"engineStepMs,omitempty"`
}

// Activity is what DCGM's tensor-active (1004) and DRAM-active (1005) read, as shares 0..1, while a replica is busy all
// the time in one phase: prompts of 2048 tokens, or decode of 16 sequences of 1024 tokens. Over a window, the reading over
// this is the busy share.
type Activity struct {
	PrefillTensorActive float64 `json:"prefillTensorActive"`
	PrefillDRAMActive   float64 `json:"prefillDRAMActive"`
	// DecodeTensorActive is a weak signal: it grows with the batch and counts padded tiles.
	DecodeTensorActive float64 `json:"decodeTensorActive"`
	DecodeDRAMActive   float64 `json:"decodeDRAMActive"`
}

// Replica is what one replica can do: TP GPUs acting as one device.
type Replica struct {
	GPUs     int      `json:"gpus"`
	Prefill  Prefill  `json:"prefill"`
	Decode   Decode   `json:"decode"`
	Transfer Transfer `json:"transfer"`
	// KVCapacityTokens is how many tokens of KV cache fit beside the weights.
	KVCapacityTokens float64 `json:"kvCapacityTokens"`
	// WeightBytes is what the weights occupy over all its GPUs.
	WeightBytes     float64  `json:"weightBytes"`
	KVBytesPerToken float64  `json:"kvBytesPerToken"`
	BusyActivity    Activity `json:"busyActivity"`
}

// NewReplica is the roofline's view of model m on TP GPUs g: what is believed before the service has shown anything. It
// refuses shapes, options and GPUs that it cannot model, and a model that does not fit into the memory.
func NewReplica(m Model, g GPU, o Options) (Replica, error) {
	return newReplica(m, g, o, defaultPriors())
}

func newReplica(m Model, g GPU, o Options, p priors) (Replica, error) {
	if err := m.validate(); err != nil {
		return Replica{}, err
	}
	if err := g.validate(); err != nil {
		return Replica{}, err
	}
	o = o.withDefaults(p)
	if err := o.validate(m, g); err != nil {
		return Replica{}, err
	}
	r := roofline{m: m, g: g, o: o, p: p, tp: float64(o.TP)}
	replica := Replica{
		GPUs:            o.TP,
		Prefill:         r.prefill(),
		Decode:          r.decode(),
		Transfer:        r.transfer(),
		WeightBytes:     m.HeldParameters() * o.WeightBytesPerElement,
		KVBytesPerToken: r.kvBytesPerToken(),
	}
	replica.BusyActivity = r.activity(replica)
	free := r.kvBytes(replica.WeightBytes)
	if free < replica.KVBytesPerToken {
		return Replica{}, fmt.Errorf("model %q does not fit: %d x %s give %.1f GB to the engine, weights of %.1f GB, activations and reserve leave %.1f GB for the KV cache: raise tp or memoryFraction",
			m.Name, o.TP, g.Name, r.tp*g.MemoryBytes*o.MemoryFraction/1e9, replica.WeightBytes/1e9, free/1e9)
	}
	replica.KVCapacityTokens = math.Floor(free / replica.KVBytesPerToken)
	return replica, nil
}

func (o Options) withDefaults(p priors) Options {
	setDefault(&o.TP, 1)
	setDefault(&o.MemoryFraction, 0.90)
	setDefault(&o.KVBytesPerElement, 2)
	setDefault(&o.WeightBytesPerElement, 2)
	setDefault(&o.MaxBatchedTokens, 8192)
	setDefault(&o.EngineStepMs, p.StepMs.Mean)
	return o
}

func setDefault[T int | float64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (o Options) validate(m Model, g GPU) error {
	switch {
	case o.TP < 1 || m.QueryHeads%o.TP != 0:
		return fmt.Errorf("tp is %d: allowed is a divisor of the %d query heads of model %q", o.TP, m.QueryHeads, m.Name)
	case m.KVHeads%o.TP != 0 && o.TP%m.KVHeads != 0:
		return fmt.Errorf("tp is %d: allowed is a divisor or a multiple of the %d KV heads of model %q", o.TP, m.KVHeads, m.Name)
	case !(o.MemoryFraction > 0 && o.MemoryFraction <= 1):
		return fmt.Errorf("memoryFraction is %v: allowed is above 0 up to 1", o.MemoryFraction)
	case o.KVBytesPerElement != 1 && o.KVBytesPerElement != 2:
		return fmt.Errorf("kvBytesPerElement is %v: allowed is 2 (bf16) or 1 (fp8)", o.KVBytesPerElement)
	case o.WeightBytesPerElement != 1 && o.WeightBytesPerElement != 2:
		return fmt.Errorf("weightBytesPerElement is %v: allowed is 2 (bf16) or 1 (fp8)", o.WeightBytesPerElement)
	case o.WeightBytesPerElement == 1 && g.FP8FLOPs == 0:
		return fmt.Errorf("weightBytesPerElement is 1 (fp8), but GPU %s has no fp8 matrix products: allowed is 2", g.Name)
	case o.MaxBatchedTokens < 1 || o.MaxBatchedTokens > largest:
		return fmt.Errorf("maxBatchedTokens is %d: allowed is 1 to %d", o.MaxBatchedTokens, largest)
	case !(o.EngineStepMs >= 0 && o.EngineStepMs <= 1e6):
		return fmt.Errorf("engineStepMs is %v: allowed is 0 to 1e6 ms", o.EngineStepMs)
	case !(o.TransferBytesPerSecond >= 0 && o.TransferBytesPerSecond <= 1e18):
		return fmt.Errorf("transferBytesPerSecond is %v: allowed is above 0, or 0 for the GPU's network", o.TransferBytesPerSecond)
	case o.TransferBytesPerSecond == 0 && g.NICBytesPerSecond == 0:
		return fmt.Errorf("the network of GPU %s is unknown: give transferBytesPerSecond", g.Name)
	}
	return nil
}

// validate refuses peaks that no accelerator has; a person may give a GPU that the catalogue lacks.
func (g GPU) validate() error {
	for _, f := range []struct {
		name  string
		value float64
		least float64
	}{
		{"bf16FLOPs", g.Bf16FLOPs, 1e9}, {"fp8FLOPs", g.FP8FLOPs, 0}, {"memoryBytes", g.MemoryBytes, 1e6},
		{"bandwidthBytesPerSecond", g.BandwidthBytesPerSecond, 1e6}, {"linkBytesPerSecond", g.LinkBytesPerSecond, 1e6},
		{"nicBytesPerSecond", g.NICBytesPerSecond, 0},
	} {
		if !(f.value >= f.least && f.value <= 1e18) {
			return fmt.Errorf("GPU %q: %s is %v: allowed is %g to 1e18", g.Name, f.name, f.value, f.least)
		}
	}
	return nil
}

// ElementBytes are the bytes per weight and per element of the KV cache that o means.
func (o Options) ElementBytes() (weight, kv float64) {
	o = o.withDefaults(defaultPriors())
	return o.WeightBytesPerElement, o.KVBytesPerElement
}
