package perfmodel

import "math"

// roofline turns peaks and priors into the coefficients of one replica. doc.go states the formulas.
type roofline struct {
	m  Model
	g  GPU
	o  Options
	p  priors
	tp float64
}

const msPerSecond = 1000

func (r roofline) prefill() Prefill {
	layersMs, tokenMs := r.allReduce()
	attention := 2 * float64(r.m.Layers) * float64(r.m.QueryHeads) * float64(r.m.HeadDim)
	return Prefill{
		WeightReadMs:               r.weightReadMs(),
		GEMMMsPerToken:             2 * r.m.LayerParameters() / r.gemmFLOPs() * msPerSecond,
		AttentionMsPerTokenSquared: attention / (r.tp * r.g.Bf16FLOPs * r.p.Attention.Mean) * msPerSecond,
		PerTokenMs:                 r.elementwiseMs() + tokenMs,
		OverheadMs:                 r.overheadMs() + layersMs,
	}
}

func (r roofline) decode() Decode {
	layersMs, tokenMs := r.allReduce()
	return Decode{
		WeightReadMs:      r.weightReadMs(),
		GEMMMsPerSequence: 2 * r.m.ReadParameters() / r.gemmFLOPs() * msPerSecond,
		PerSequenceMs:     r.elementwiseMs() + tokenMs,
		OverheadMs:        r.overheadMs() + layersMs,
		KVMsPerToken:      r.kvBytesPerToken() / (r.tp * r.g.BandwidthBytesPerSecond * r.kvReadShare()) * msPerSecond,
	}
}

func (r roofline) transfer() Transfer {
	rate := r.o.TransferBytesPerSecond
	if rate == 0 {
		rate = r.tp * r.g.NICBytesPerSecond * r.p.TransferNIC.Mean
	}
	return Transfer{LatencyMs: r.p.TransferMs.Mean, MsPerToken: r.kvBytesPerToken() / rate * msPerSecond}
}

// gemmFLOPs is the rate of large matrix products over time: what the kernels reach, times the clock that the power limit
// leaves between bursts and a steady load.
func (r roofline) gemmFLOPs() float64 {
	if r.o.WeightBytesPerElement == 1 {
		return r.tp * r.g.FP8FLOPs * r.p.GEMMFP8.Mean * r.p.PowerLimit.Mean
	}
	return r.tp * r.g.Bf16FLOPs * r.p.GEMMBf16.Mean * r.p.PowerLimit.Mean
}

func (r roofline) weightReadMs() float64 {
	share := r.p.WeightReadBf16.Mean
	if r.o.WeightBytesPerElement == 1 {
		share = r.p.WeightReadFP8.Mean
	}
	share *= math.Pow(r.tp, -r.p.WeightReadTPExponent.Mean)
	bytes := r.m.ReadParameters() * r.o.WeightBytesPerElement
	return bytes / (r.tp * r.g.BandwidthBytesPerSecond * share) * msPerSecond
}

func (r roofline) kvReadShare() float64 {
	if r.o.KVBytesPerElement == 1 {
		return r.p.KVReadFP8.Mean
	}
	return r.p.KVReadBf16.Mean
}

// elementwiseMs is the time per token of the kernels between the matrix products, which stream like the weights do.
func (r roofline) elementwiseMs() float64 {
	whole, sharded := r.m.elementwiseBytes()
	return (whole + sharded/r.tp) / (r.g.BandwidthBytesPerSecond * r.p.WeightReadBf16.Mean) * msPerSecond
}

// allReduce is the time of a step's all-reduces: two per layer, a part per step and a part per token.
func (r roofline) allReduce() (stepMs, tokenMs float64) {
	if r.o.TP == 1 {
		return 0, 0
	}
	const activationBytes = 2
	reduces := 2 * float64(r.m.Layers)
	sent := 2 * (r.tp - 1) / r.tp * float64(r.m.Hidden) * activationBytes
	return reduces * r.p.AllReduceMs.Mean, reduces * sent / (r.g.LinkBytesPerSecond * r.p.AllReduceLink.Mean) * msPerSecond
}

func (r roofline) overheadMs() float64 {
	return float64(r.m.Layers)*r.p.LayerMs.Mean + r.o.EngineStepMs
}

// kvBytesPerToken counts a KV head once per GPU that holds it.
func (r roofline) kvBytesPerToken() float64 {
	copies := max(1, r.tp/float64(r.m.KVHeads))
	return r.m.KVElementsPerToken() * copies * r.o.KVBytesPerElement
}

// kvBytes is the memory that is left for the KV cache, over all GPUs of the replica. Activations are those of the widest
// step: gate and up of the FFN, queries, keys and values, and four vectors of the hidden size, which every GPU holds whole.
func (r roofline) kvBytes(weightBytes float64) float64 {
	const activationBytes = 2
	perToken := 2*float64(r.m.FFN) + float64((r.m.QueryHeads+2*r.m.KVHeads)*r.m.HeadDim) + 4*float64(r.m.Hidden)*r.tp
	activations := activationBytes * float64(r.o.MaxBatchedTokens) * perToken
	reserve := r.p.ReserveBytes.Mean
	if r.o.TP > 1 {
		reserve += r.p.CollectiveReserveBytes.Mean
	}
	return r.tp*(r.g.MemoryBytes*r.o.MemoryFraction-reserve) - weightBytes - activations
}

// activity is what the counters read while a phase runs without a pause. Tensor-active counts clock cycles: it reads
// higher than the share of the datasheet's FLOP/s by as much as the power limit lowers the clock.
func (r roofline) activity(replica Replica) Activity {
	const prompt, sequences, context = 2048, 16, 1024
	flops, bandwidth := r.tp*r.g.Bf16FLOPs, r.tp*r.g.BandwidthBytesPerSecond
	if r.o.WeightBytesPerElement == 1 {
		flops = r.tp * r.g.FP8FLOPs
	}
	prefillMs := replica.Prefill.StepMs(prompt, 0)
	decodeMs := replica.Decode.StepMs(sequences, sequences*context)
	readBytes := r.m.ReadParameters()*r.o.WeightBytesPerElement + sequences*context*replica.KVBytesPerToken
	// The bytes that prefill moves follow its FLOPs (matrix operands, activations), so the measured H200's share scales
	// with the ratio of the two peaks.
	const h200FLOPsPerByte = 989e12 / 4.8e12
	return Activity{
		PrefillTensorActive: min(1, 2*r.m.LayerParameters()*prompt/(flops*prefillMs/msPerSecond)/r.p.TensorCycles.Mean),
		PrefillDRAMActive:   min(1, r.p.PrefillDRAMActive.Mean*flops/bandwidth/h200FLOPsPerByte),
		DecodeTensorActive:  min(1, 2*r.m.ReadParameters()*sequences/(flops*decodeMs/msPerSecond)),
		DecodeDRAMActive:    min(1, readBytes/(bandwidth*decodeMs/msPerSecond)),
	}
}
