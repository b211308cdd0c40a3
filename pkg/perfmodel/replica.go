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
	// KVBytesPerElement is 2 (bf16) or 1 (fp8). Default: what the model's checkpoint asks for, 2 where it does not.
	KVBytesPerElement float64 `json:"kvBytesPerElement,omitempty"`
	// DP is the number of data-parallel groups of TP GPUs that share the routed experts of a mixture (expert parallel over
	// TP*DP GPUs). Default 1; a dense model's data-parallel copies are replicas of their own.
	DP int `json:"dp,omitempty"`
	// PP is the number of pipeline stages that the layers are split over. Default 1.
	PP int `json:"pp,omitempty"`
	// WeightBytesPerElement is 2 (bf16) or 1 (fp8) for all layers. Default: what the model's checkpoint has.
	WeightBytesPerElement float64 `json:"weightBytesPerElement,omitempty"`
	// MaxBatchedTokens is the most tokens of one prefill step: it sizes the activations. Default 8192.
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// TransferBytesPerSecond is what a whole replica moves KV cache at. Default: a share of its GPUs' network.
	TransferBytesPerSecond float64 `json:"transferBytesPerSecond,omitempty"`
	// OffloadBytesPerSecond is what a replica reloads KV cache at from the tier below its memory. 0 is no such tier.
	OffloadBytesPerSecond float64 `json:"offloadBytesPerSecond,omitempty"`
	// EngineStepMs is what the engine spends on a step outside the GPU. Default 0.126 ms, a prior that real engines exceed.
	EngineStepMs float64 `json:"engineStepMs,omitempty"`
}

// Replica is what one replica can do: its GPUs acting as one device.
type Replica struct {
	// GPUs are TP*DP*PP.
	GPUs     int      `json:"gpus"`
	Prefill  Prefill  `json:"prefill"`
	Decode   Decode   `json:"decode"`
	Transfer Transfer `json:"transfer"`
	// Reload brings KV cache back from the tier it was offloaded to; zero where there is none.
	Reload Transfer `json:"reload,omitzero"`
	// KVCapacityTokens is how many tokens of KV cache fit beside the weights.
	KVCapacityTokens float64 `json:"kvCapacityTokens"`
	// WeightBytes is what the weights occupy over all its GPUs.
	WeightBytes float64 `json:"weightBytes"`
	// KVBytesPerToken is of one token's cache, held once; GPUs that hold the same part again make the capacity smaller.
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
	o = o.withDefaults(m, p)
	if err := o.validate(m, g); err != nil {
		return Replica{}, err
	}
	r := newRoofline(m, g, o, p)
	replica := Replica{
		GPUs:            o.TP * o.DP * o.PP,
		Prefill:         r.prefill(),
		Decode:          r.decode(),
		Transfer:        r.transfer(),
		Reload:          r.reload(),
		WeightBytes:     r.weightBytes(),
		KVBytesPerToken: r.kvBytesPerToken(),
	}
	replica.BusyActivity = r.activity(replica)
	free := r.kvBytes(replica.WeightBytes)
	token := replica.KVBytesPerToken * r.kvCopies()
	if free < token {
		return Replica{}, fmt.Errorf("model %q does not fit: %d x %s give %.1f GB to the engine, weights of %.1f GB, activations and reserve leave %.1f GB for the KV cache: raise tp or memoryFraction",
			m.Name, replica.GPUs, g.Name, float64(replica.GPUs)*g.MemoryBytes*o.MemoryFraction/1e9, replica.WeightBytes/1e9, free/1e9)
	}
	replica.KVCapacityTokens = math.Floor(free / token)
	return replica, nil
}

// newRoofline reads the checked options o; weights of another type than the checkpoint's replace them.
func newRoofline(m Model, g GPU, o Options, p priors) roofline {
	switch o.WeightBytesPerElement {
	case 1:
		m.DenseWeights, m.ExpertWeights = FP8, FP8
	case 2:
		m.DenseWeights, m.ExpertWeights = BF16, BF16
	}
	return roofline{m: m, g: g, o: o, p: p, tp: float64(o.TP), dp: float64(o.DP), pp: float64(o.PP)}
}

func (o Options) withDefaults(m Model, p priors) Options {
	setDefault(&o.TP, 1)
	setDefault(&o.DP, 1)
	setDefault(&o.PP, 1)
	setDefault(&o.MemoryFraction, 0.90)
	setDefault(&o.KVBytesPerElement, m.KVBytesPerElement)
	setDefault(&o.KVBytesPerElement, 2)
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
	case o.DP < 1 || o.DP > 1024 || o.DP > 1 && m.Experts == 0:
		return fmt.Errorf("dp is %d: allowed is 1 to 1024 for a mixture of experts, and 1 for the dense model %q, whose copies are replicas", o.DP, m.Name)
	case o.DP > 1 && m.Experts%(o.TP*o.DP) != 0 && (o.TP*o.DP)%m.Experts != 0:
		return fmt.Errorf("tp times dp is %d: allowed is a divisor or a multiple of the %d experts of model %q", o.TP*o.DP, m.Experts, m.Name)
	case o.PP < 1 || o.PP > m.Layers:
		return fmt.Errorf("pp is %d: allowed is 1 to the %d layers of model %q", o.PP, m.Layers, m.Name)
	case m.KVRank == 0 && m.KVHeads%o.TP != 0 && o.TP%m.KVHeads != 0:
		return fmt.Errorf("tp is %d: allowed is a divisor or a multiple of the %d KV heads of model %q", o.TP, m.KVHeads, m.Name)
	case !(o.MemoryFraction > 0 && o.MemoryFraction <= 1):
		return fmt.Errorf("memoryFraction is %v: allowed is above 0 up to 1", o.MemoryFraction)
	case o.KVBytesPerElement != 1 && o.KVBytesPerElement != 2:
		return fmt.Errorf("kvBytesPerElement is %v: allowed is 2 (bf16) or 1 (fp8)", o.KVBytesPerElement)
	case o.WeightBytesPerElement != 0 && o.WeightBytesPerElement != 1 && o.WeightBytesPerElement != 2:
		return fmt.Errorf("weightBytesPerElement is %v: allowed is 2 (bf16) or 1 (fp8)", o.WeightBytesPerElement)
	case o.WeightBytesPerElement == 0 && (m.DenseWeights == FP8 || m.ExpertWeights == FP8) && g.FP8FLOPs == 0:
		return fmt.Errorf("the weights of model %q are fp8, but GPU %s has no fp8 matrix products: allowed is weightBytesPerElement 2", m.Name, g.Name)
	case o.WeightBytesPerElement == 1 && g.FP8FLOPs == 0:
		return fmt.Errorf("weightBytesPerElement is 1 (fp8), but GPU %s has no fp8 matrix products: allowed is 2", g.Name)
	case o.MaxBatchedTokens < 1 || o.MaxBatchedTokens > largest:
		return fmt.Errorf("maxBatchedTokens is %d: allowed is 1 to %d", o.MaxBatchedTokens, largest)
	case !(o.EngineStepMs >= 0 && o.EngineStepMs <= 1e6):
		return fmt.Errorf("engineStepMs is %v: allowed is 0 to 1e6 ms", o.EngineStepMs)
	case !(o.OffloadBytesPerSecond >= 0 && o.OffloadBytesPerSecond <= 1e18):
		return fmt.Errorf("offloadBytesPerSecond is %v: allowed is above 0, or 0 for no tier below the GPU's memory", o.OffloadBytesPerSecond)
	case !(o.TransferBytesPerSecond >= 0 && o.TransferBytesPerSecond <= 1e18):
		return fmt.Errorf("transferBytesPerSecond is %v: allowed is above 0, or 0 for the GPU's network", o.TransferBytesPerSecond)
	case o.TransferBytesPerSecond == 0 && g.NICBytesPerSecond == 0:
		return fmt.Errorf("the network of GPU %s is unknown: give transferBytesPerSecond", g.Name)
	}
	return nil
}

// validate refuses peaks that no accelerator has; a person may give a GPU that the catalogue lacks.
func (g GPU) validate() error {
	if g.LinkGPUs < 0 || g.LinkGPUs > 1<<16 {
		return fmt.Errorf("GPU %q: linkGPUs is %d: allowed is 1 to %d, or 0 for 8", g.Name, g.LinkGPUs, 1<<16)
	}
	for _, f := range []struct {
		name  string
		value float64
		least float64
	}{
		{"bf16FLOPs", g.Bf16FLOPs, 1e9}, {"fp8FLOPs", g.FP8FLOPs, 0}, {"int8FLOPs", g.Int8FLOPs, 0}, {"fp4FLOPs", g.FP4FLOPs, 0}, {"memoryBytes", g.MemoryBytes, 1e6},
		{"bandwidthBytesPerSecond", g.BandwidthBytesPerSecond, 1e6}, {"linkBytesPerSecond", g.LinkBytesPerSecond, 1e6},
		{"nicBytesPerSecond", g.NICBytesPerSecond, 0},
	} {
		if !(f.value >= f.least && f.value <= 1e18) {
			return fmt.Errorf("GPU %q: %s is %v: allowed is %g to 1e18", g.Name, f.name, f.value, f.least)
		}
	}
	return nil
}

// ElementBytes are the bytes per weight of m's dense part and per element of its KV cache that o means.
func (o Options) ElementBytes(m Model) (weight, kv float64) {
	o = o.withDefaults(m, defaultPriors())
	return newRoofline(m, GPU{}, o, defaultPriors()).m.DenseWeights.Bytes(), o.KVBytesPerElement
}
