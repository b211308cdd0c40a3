package perfmodel

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

// The work that Activity is of.
const activityPrompt, activitySequences, activityContext = 2048, 16, 1024

// At carries a, of replica before, over to the same replica with the step times of after: the same bytes and FLOPs in
// another time.
func (a Activity) At(before, after Replica) Activity {
	prefill := before.Prefill.StepMs(activityPrompt, 0) / after.Prefill.StepMs(activityPrompt, 0)
	decode := before.Decode.StepMs(activitySequences, activitySequences*activityContext) /
		after.Decode.StepMs(activitySequences, activitySequences*activityContext)
	return Activity{
		PrefillTensorActive: min(1, a.PrefillTensorActive*prefill), PrefillDRAMActive: min(1, a.PrefillDRAMActive*prefill),
		DecodeTensorActive: min(1, a.DecodeTensorActive*decode), DecodeDRAMActive: min(1, a.DecodeDRAMActive*decode),
	}
}

// activity is what the counters read while a phase runs without a pause.
func (r roofline) activity(replica Replica) Activity {
	const prompt, sequences, context = activityPrompt, activitySequences, activityContext
	flops, bandwidth := r.wide()*r.pp*r.g.Bf16FLOPs, r.wide()*r.pp*r.g.BandwidthBytesPerSecond
	if r.m.DenseWeights == FP8 {
		flops = r.wide() * r.pp * r.g.FP8FLOPs
	}
	prefillMs := replica.Prefill.StepMs(prompt, 0)
	attention := prompt * prompt * r.fullLayers() * r.m.prefillAttentionFLOPs() / 2 / (r.wide() * r.pp * r.g.Bf16FLOPs)
	products := 2 * r.m.ActiveLayerParameters() * (prompt + replica.Prefill.ExpertTileTokens) / flops
	decodeMs := replica.Decode.StepMs(sequences, sequences*context)
	prefillShare := (products + attention) / (prefillMs / msPerSecond)
	denseBytes := (r.m.DenseParameters()*r.m.DenseWeights.Bytes() + r.m.HeadParameters()*BF16.Bytes()) * r.dp
	expertBytes := r.m.ExpertParameters() * r.m.ExpertWeights.Bytes()
	decodeBytes := denseBytes + expertBytes*touched(r.missShare(), sequences) + sequences*context*r.kvBytesPerToken()*r.kvCopies()
	// The least tile of a tensor core's product is what each touched expert's few rows are padded to.
	const leastRows = 16
	expertRows := max(sequences*r.m.expertShare(), leastRows*touched(r.missShare(), sequences))
	decodeProducts := 2 * ((r.m.DenseParameters()+r.m.HeadParameters())*sequences + r.m.ExpertParameters()*expertRows)
	// What prefill moves beside the weights follows its FLOPs (matrix operands, activations), so the measured H200's share
	// scales with the ratio of the two peaks.
	const h200FLOPsPerByte = 989e12 / 4.8e12
	return Activity{
		PrefillTensorActive: min(1, prefillShare/r.cycles(prefillShare)),
		PrefillDRAMActive:   min(1, (denseBytes+expertBytes)/(bandwidth*prefillMs/msPerSecond)+r.p.PrefillDRAMActive.Mean*r.g.Bf16FLOPs/r.g.BandwidthBytesPerSecond/h200FLOPsPerByte),
		DecodeTensorActive:  min(1, decodeProducts/(flops*decodeMs/msPerSecond)),
		DecodeDRAMActive:    min(1, decodeBytes/(bandwidth*decodeMs/msPerSecond)),
	}
}

// cycles are a second's clock cycles over those that the peak FLOP/s take: tensor-active counts cycles, so that it reads higher
// than the share of the peak by as much as the power limit lowers the clock. An idle H200 runs at 1980 MHz, its peak means
// 1830 MHz, and at a share of 0.6 the clock is down to the prior's.
func (r roofline) cycles(shareOfPeak float64) float64 {
	const cool, loaded = 1980.0 / 1830, 0.6
	return cool - (cool-r.p.TensorCycles.Mean)*min(1, shareOfPeak/loaded)
}
