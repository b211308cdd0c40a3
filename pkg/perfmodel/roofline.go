package perfmodel

import "math"

// roofline turns peaks and priors into the coefficients of one replica. doc.go states the formulas.
type roofline struct {
	m Model
	g GPU
	o Options
	p priors
	// tp GPUs share one copy of what every token needs; dp such groups share the routed experts; pp stages split the layers.
	tp, dp, pp float64
}

const msPerSecond = 1000

// wide is the number of GPUs that work on a layer.
func (r roofline) wide() float64 { return r.tp * r.dp }

func (r roofline) prefill() Prefill {
	layersMs, tokenMs := r.exchange()
	growth, half := r.exchangeGrowth(r.overheadMs() + layersMs)
	return Prefill{
		WeightReadMs:               r.weightReadMs(),
		ExpertReadMs:               r.expertReadMs(),
		ExpertMissShare:            r.missShare(),
		ExpertTileTokens:           r.tileTokens(),
		GEMMMsPerToken:             r.gemmMs(),
		AttentionMsPerTokenSquared: r.fullLayers() * r.m.prefillAttentionFLOPs() / 2 * r.attentionMsPerFLOP(),
		PerTokenMs:                 r.elementwiseMs() + tokenMs + r.m.windowLayers()*float64(r.m.WindowTokens)*r.m.prefillAttentionFLOPs()*r.attentionMsPerFLOP(),
		OverheadMs:                 r.overheadMs() + layersMs,
		ExchangeGrowth:             growth,
		ExchangeTokens:             half,
	}
}

// decode lets each of the pipeline's stages hold its share of the sequences: a token passes all stages, and in each its batch
// is that share.
func (r roofline) decode() Decode {
	layersMs, tokenMs := r.exchange()
	growth, half := r.exchangeGrowth(r.overheadMs() + layersMs)
	head := 2 * r.m.HeadParameters() / (r.wide() * BF16.multiply(r.g, r.p)) * msPerSecond
	windows := r.m.KVElementsPerSequence() * r.kvMsPerElement()
	return Decode{
		WeightReadMs:      r.weightReadMs(),
		ExpertReadMs:      r.expertReadMs(),
		ExpertMissShare:   math.Pow(r.missShare(), 1/r.pp),
		GEMMMsPerSequence: (r.gemmMs() + head) / r.pp,
		PerSequenceMs:     (r.elementwiseMs() + tokenMs + windows) / r.pp,
		OverheadMs:        r.overheadMs() + layersMs,
		ExchangeGrowth:    growth,
		ExchangeTokens:    half * r.pp,
		KVMsPerToken:      r.kvMsPerToken() / r.pp,
	}
}

func (r roofline) transfer() Transfer {
	rate := r.o.TransferBytesPerSecond
	if rate == 0 {
		rate = r.wide() * r.pp * r.g.NICBytesPerSecond * r.p.TransferNIC.Mean
	}
	return Transfer{LatencyMs: r.p.TransferMs.Mean, MsPerToken: r.kvBytesPerToken() / rate * msPerSecond}
}

// reload is the way back of KV cache from the tier that it was offloaded to.
func (r roofline) reload() Transfer {
	if r.o.OffloadBytesPerSecond == 0 {
		return Transfer{}
	}
	return Transfer{MsPerToken: r.kvBytesPerToken() / r.o.OffloadBytesPerSecond * msPerSecond}
}

func (r roofline) fullLayers() float64 { return float64(r.m.Layers) - r.m.windowLayers() }

// missShare is the share of the experts that one token does not touch; 0 where there are none.
func (r roofline) missShare() float64 {
	if r.m.Experts == 0 {
		return 0
	}
	return 1 - r.m.expertShare()
}

// gemmMs is the time of the matrix products of one token in all layers. Its rate is that of large products over time: what
// the kernels reach, times the clock that the power limit leaves between bursts and a steady load.
func (r roofline) gemmMs() float64 {
	return 2*r.m.DenseParameters()/(r.wide()*r.m.DenseWeights.multiply(r.g, r.p))*msPerSecond + r.expertGEMMMs()
}

// expertGEMMMs is the experts' part of gemmMs: many products of few rows each.
func (r roofline) expertGEMMMs() float64 {
	rate := r.m.ExpertWeights.multiply(r.g, r.p) * r.p.ExpertGEMM.Mean
	return 2 * r.m.ExpertParameters() * r.m.expertShare() / (r.wide() * rate) * msPerSecond
}

// tileTokens is the work of padding every expert's rows to whole tiles, in tokens.
func (r roofline) tileTokens() float64 {
	if r.m.Experts == 0 {
		return 0
	}
	return r.expertGEMMMs() / r.gemmMs() * r.p.ExpertTileRows.Mean / r.m.expertShare()
}

func (r roofline) attentionMsPerFLOP() float64 {
	return 1 / (r.wide() * r.g.Bf16FLOPs * r.p.Attention.Mean) * msPerSecond
}

// weightReadMs is of what every token needs, the output head included: each of the dp groups reads its own copy.
func (r roofline) weightReadMs() float64 {
	w := r.m.DenseWeights
	seconds := r.m.DenseParameters()*w.Bytes()/w.read(r.p).Mean + r.m.HeadParameters()*BF16.Bytes()/r.p.WeightReadBf16.Mean
	return seconds / (r.tp * r.g.BandwidthBytesPerSecond) * msPerSecond
}

func (r roofline) expertReadMs() float64 {
	w := r.m.ExpertWeights
	share := w.read(r.p).Mean * r.p.ExpertRead.Mean
	return r.m.ExpertParameters() * w.Bytes() / (r.wide() * r.g.BandwidthBytesPerSecond * share) * msPerSecond
}

func (r roofline) kvReadShare() float64 {
	if r.o.KVBytesPerElement == 1 {
		return r.p.KVReadFP8.Mean
	}
	return r.p.KVReadBf16.Mean
}

// kvMsPerElement is the time to read one element of every copy of the cache.
func (r roofline) kvMsPerElement() float64 {
	return r.kvCopies() * r.o.KVBytesPerElement / (r.wide() * r.g.BandwidthBytesPerSecond * r.kvReadShare()) * msPerSecond
}

// kvMsPerToken is kappa. Reading the cache is its roof but for MLA, whose heads all multiply with the same latent.
func (r roofline) kvMsPerToken() float64 {
	return max(r.m.KVElementsPerToken()*r.kvMsPerElement(), r.fullLayers()*r.m.decodeAttentionFLOPs()*r.attentionMsPerFLOP())
}

// elementwiseMs is the time per token of the kernels between the matrix products, which stream like the weights do.
func (r roofline) elementwiseMs() float64 {
	whole, sharded := r.m.elementwiseBytes()
	return (whole + sharded/r.tp) / (r.dp * r.g.BandwidthBytesPerSecond * r.p.WeightReadBf16.Mean) * msPerSecond
}

const activationBytes = 2

// exchange is the time of what the GPUs of a step tell each other, a part per step and a part per token: two all-reduces per
// layer within each of the dp groups; between the groups a token goes out to its experts and comes back, two all-to-alls
// per layer with experts. Stages pass a token on once.
func (r roofline) exchange() (stepMs, tokenMs float64) {
	vector := float64(r.m.Hidden) * activationBytes
	seconds := 0.0
	if r.tp > 1 {
		reduces := 2 * float64(r.m.Layers)
		near := min(r.tp, r.g.linked())
		hopsMs := 2*math.Log2(near)*r.p.AllReduceHopMs.Mean + 2*math.Log2(r.tp/near)*r.p.NetworkHopMs.Mean
		stepMs += reduces * (r.p.AllReduceMs.Mean + hopsMs)
		seconds += reduces * 2 * (r.tp - 1) / r.tp * vector / (r.dp * r.g.ring(r.tp))
	}
	if r.dp > 1 {
		link := r.g.each(r.wide())
		moe, n := r.m.expertLayers(), r.wide()
		stepMs += 2 * moe * r.p.AllReduceMs.Mean
		seconds += 2 * moe * float64(r.m.ExpertsPerToken) * (n - 1) / n * vector / (n * link)
	}
	stepMs += (r.pp - 1) * r.p.AllReduceMs.Mean
	return stepMs, seconds / r.p.AllReduceLink.Mean * msPerSecond
}

// exchangeGrowth is what all-reduces of many tokens cost more beside their bytes, as a share of a step's overhead, and the
// tokens at which half of it is there.
func (r roofline) exchangeGrowth(overheadMs float64) (growth, halfTokens float64) {
	if r.tp == 1 {
		return 0, 0
	}
	vector := float64(r.m.Hidden) * activationBytes
	return 2 * float64(r.m.Layers) * r.p.AllReduceLargeMs.Mean / overheadMs, r.p.AllReduceLargeBytes.Mean * r.dp / vector
}

// linked is how many GPUs the links join.
func (g GPU) linked() float64 {
	if g.LinkGPUs == 0 {
		return 8
	}
	return float64(g.LinkGPUs)
}

// each is the rate at which one of n GPUs talks to all others at once, bytes per second.
func (g GPU) each(n float64) float64 {
	if n > g.linked() && g.NICBytesPerSecond > 0 {
		return min(g.LinkBytesPerSecond, g.NICBytesPerSecond)
	}
	return g.LinkBytesPerSecond
}

// ring is the rate of rings through n GPUs: where they leave a link domain, its GPUs' networks carry a ring each.
func (g GPU) ring(n float64) float64 {
	if n > g.linked() && g.NICBytesPerSecond > 0 {
		return min(g.LinkBytesPerSecond, g.NICBytesPerSecond*g.linked())
	}
	return g.LinkBytesPerSecond
}

func (r roofline) overheadMs() float64 {
	return r.m.operations()*r.p.OperationMs.Mean + r.o.EngineStepMs
}

// kvBytesPerToken counts a KV head, or a latent, once.
func (r roofline) kvBytesPerToken() float64 { return r.m.KVElementsPerToken() * r.o.KVBytesPerElement }

// kvCopies is how often the GPUs of a tensor-parallel group hold the same cache: a KV head where there are more GPUs than
// heads, and MLA's latent on each.
func (r roofline) kvCopies() float64 {
	if r.m.KVRank > 0 {
		return r.tp
	}
	return max(1, r.tp/float64(r.m.KVHeads))
}

// weightBytes counts the copies of the dp groups.
func (r roofline) weightBytes() float64 {
	experts := r.m.ExpertParameters() * r.m.ExpertWeights.Bytes()
	return (r.m.WeightBytes()-experts)*r.dp + experts
}

// kvBytes is the memory that is left for the KV cache, over all GPUs of the replica. Activations are those of the widest
// step: gate and up of the FFN, queries, keys and values, and four vectors of the hidden size, which every GPU holds whole.
func (r roofline) kvBytes(weightBytes float64) float64 {
	width := 2*max(float64(r.m.FFN), r.m.ffnWidth()) + 4*float64(r.m.Hidden)*r.tp
	if r.m.KVRank > 0 {
		width += float64(r.m.QueryHeads * (2*(r.m.NopeDim+r.m.RopeDim) + r.m.ValueDim))
	} else {
		width += float64((r.m.QueryHeads + 2*r.m.KVHeads) * r.m.HeadDim)
	}
	activations := activationBytes * float64(r.o.MaxBatchedTokens) * width * r.dp
	reserve := r.p.ReserveBytes.Mean
	gpus := r.wide() * r.pp
	if gpus > 1 {
		reserve += r.p.CollectiveReserveBytes.Mean
	}
	return gpus*(r.g.MemoryBytes*r.o.MemoryFraction-reserve) - weightBytes - activations
}
