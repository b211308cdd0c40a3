package perfmodel

import "math"

// Prefill holds the coefficients of one prefill step of one replica. Each field adds time; none is ever negative.
type Prefill struct {
	// WeightReadMs is the time to read once the weights that every token needs: with ExpertReadMs the roof of short prompts.
	WeightReadMs float64 `json:"weightReadMs"`
	// ExpertReadMs is the time to read all routed experts once; a step reads those that its tokens touch. ExpertMissShare is
	// the share of them that one token does not touch; routing is taken to be even. Both are zero for dense models.
	ExpertReadMs    float64 `json:"expertReadMs,omitempty"`
	ExpertMissShare float64 `json:"expertMissShare,omitempty"`
	// ExpertTileTokens is what padding each expert's rows to whole tiles adds, in tokens of matrix products, once all are
	// touched.
	ExpertTileTokens float64 `json:"expertTileTokens,omitempty"`
	// GEMMMsPerToken is the time of the matrix products of one new token: the roof of long prompts.
	GEMMMsPerToken float64 `json:"gemmMsPerToken"`
	// AttentionMsPerTokenSquared is q: attention costs q*(n^2 + 2*n*c).
	AttentionMsPerTokenSquared float64 `json:"attentionMsPerTokenSquared"`
	// PerTokenMs is what neither roof hides: elementwise kernels and the bytes of the all-reduces.
	PerTokenMs float64 `json:"perTokenMs"`
	// OverheadMs is what a step costs whatever it holds: launches, the output head, all-reduce latency, the scheduler. It
	// grows by up to ExchangeGrowth of itself as the all-reduces grow large, by half of that at ExchangeTokens.
	OverheadMs     float64 `json:"overheadMs"`
	ExchangeGrowth float64 `json:"exchangeGrowth,omitempty"`
	ExchangeTokens float64 `json:"exchangeTokens,omitempty"`
}

// StepMs is the time of one prompt of newTokens to compute after cachedTokens whose KV cache is reused.
// Inputs that are negative or not numbers count as zero; the result is finite and never negative.
func (p Prefill) StepMs(newTokens, cachedTokens float64) float64 {
	n, c := clean(newTokens), clean(cachedTokens)
	return p.BatchMs(n, n*n+2*n*c)
}

// BatchMs is the time of several prompts computed in one step: newTokens is the sum of their new tokens, attention the
// sum of n^2 + 2*n*c over them (science: the sums of each term).
func (p Prefill) BatchMs(newTokens, attention float64) float64 {
	n := clean(newTokens)
	experts := touched(p.ExpertMissShare, n)
	return JoinRoofs(p.WeightReadMs+p.ExpertReadMs*experts, p.GEMMMsPerToken*(n+p.ExpertTileTokens*experts)) +
		p.AttentionMsPerTokenSquared*clean(attention) + p.PerTokenMs*n + p.OverheadMs*Grown(p.ExchangeGrowth, p.ExchangeTokens, n)
}

// ChunkedMs is the time of one prompt that is computed in steps of chunkTokens: (k-1)*w(chunk) + w(rest) + q*(n^2 + 2*n*c),
// since the attention of the chunks sums to that of the whole. Chunks below 1 are no chunks.
func (p Prefill) ChunkedMs(newTokens, cachedTokens, chunkTokens float64) float64 {
	n, c := clean(newTokens), clean(cachedTokens)
	if !(chunkTokens >= 1) || n <= chunkTokens {
		return p.StepMs(n, c)
	}
	whole := math.Ceil(n/chunkTokens) - 1
	return whole*p.BatchMs(chunkTokens, 0) + p.BatchMs(n-whole*chunkTokens, n*n+2*n*c)
}

// Grown is 1 + growth * n²/(n² + half²): it rises from 1 to 1+growth around half, as a message goes over to the protocol of large
// ones.
func Grown(growth, half, n float64) float64 {
	if growth == 0 || n == 0 {
		return 1
	}
	return 1 + growth*n*n/(n*n+half*half)
}

// touched is the share of the experts that n tokens touch, 1 - miss^n.
func touched(miss, n float64) float64 {
	if miss == 0 {
		return 1
	}
	return 1 - math.Pow(miss, n)
}

// Decode holds the coefficients of one decode step of one replica: f(B) + kappa*S, affine in the summed context S.
type Decode struct {
	// WeightReadMs is the time to read once the weights that every sequence needs: with ExpertReadMs the roof of small
	// batches.
	WeightReadMs float64 `json:"weightReadMs"`
	// ExpertReadMs and ExpertMissShare are as of Prefill, for sequences in place of tokens.
	ExpertReadMs    float64 `json:"expertReadMs,omitempty"`
	ExpertMissShare float64 `json:"expertMissShare,omitempty"`
	// GEMMMsPerSequence is the time of the matrix products of one sequence: the roof of large batches.
	GEMMMsPerSequence float64 `json:"gemmMsPerSequence"`
	// PerSequenceMs is what neither roof hides: elementwise kernels, sampling, the bytes of the all-reduces.
	PerSequenceMs float64 `json:"perSequenceMs"`
	// OverheadMs is what a step costs whatever it holds. ExchangeGrowth and ExchangeTokens are as of Prefill.
	OverheadMs     float64 `json:"overheadMs"`
	ExchangeGrowth float64 `json:"exchangeGrowth,omitempty"`
	ExchangeTokens float64 `json:"exchangeTokens,omitempty"`
	// KVMsPerToken is kappa: the time to read the KV cache of one token.
	KVMsPerToken float64 `json:"kvMsPerToken"`
}

// StepMs is the time of one step of sequences whose contexts sum to contextTokens.
// Inputs that are negative or not numbers count as zero; the result is finite and never negative.
func (d Decode) StepMs(sequences, contextTokens float64) float64 {
	return d.BaseMs(sequences) + d.KVMsPerToken*clean(contextTokens)
}

// BaseMs is f(B), the part of a step that does not depend on the context: what k steps of an unchanged batch share.
func (d Decode) BaseMs(sequences float64) float64 {
	b := clean(sequences)
	return JoinRoofs(d.ReadMs(b), d.GEMMMsPerSequence*b) + d.PerSequenceMs*b + d.OverheadMs*Grown(d.ExchangeGrowth, d.ExchangeTokens, b)
}

// ReadMs is the time to read the weights that a step of sequences touches: the lower roof of BaseMs.
func (d Decode) ReadMs(sequences float64) float64 {
	if d.ExpertReadMs == 0 {
		return d.WeightReadMs
	}
	return d.WeightReadMs + d.ExpertReadMs*touched(d.ExpertMissShare, clean(sequences))
}

// Transfer is the move of a prompt's KV cache from a prefill replica to a decode replica.
type Transfer struct {
	LatencyMs  float64 `json:"latencyMs"`
	MsPerToken float64 `json:"msPerToken"`
}

// Ms is the time to move the KV cache of tokens. Inputs that are negative or not numbers count as zero.
func (t Transfer) Ms(tokens float64) float64 { return t.LatencyMs + t.MsPerToken*clean(tokens) }

// JoinRoofs joins two roofs by the hyperbola ½(a + b + sqrt((a-b)² + 4·overlap·a·b)), whose asymptotes they are. Where the
// roofs meet a step costs 1.22 times either: that is how far matrix products of 128 to 256 rows stay below both. The value
// fits prefill and decode of five measured shapes best, with 0.03 and 0.07 close behind.
// T is the greater root of (T-a)*(T-b) = overlap*a*b.
func JoinRoofs(a, b float64) float64 { return (a + b + roofDistance(a, b)) / 2 }

// RoofOverlap is overlap of JoinRoofs.
const RoofOverlap = 0.05

func roofDistance(a, b float64) float64 { return math.Sqrt((a-b)*(a-b) + 4*RoofOverlap*a*b) }

// clean makes a count usable: what is negative or not a number is zero, and infinity is a number no service reaches.
func clean(x float64) float64 {
	if !(x > 0) {
		return 0
	}
	if x > 1e15 {
		return 1e15
	}
	return x
}
