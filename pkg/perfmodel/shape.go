package perfmodel

import (
	"cmp"
	"fmt"
)

// Model is the shape of a decoder-only transformer: grouped-query or latent attention, full or in a window on some layers,
// and a gated FFN (three matrices) or a mixture of such experts. What a model does not have stays zero.
type Model struct {
	Name       string `json:"name"`
	Layers     int    `json:"layers"`
	Hidden     int    `json:"hidden"`
	QueryHeads int    `json:"queryHeads"`
	KVHeads    int    `json:"kvHeads"`
	HeadDim    int    `json:"headDim"`
	// FFN is the width of the FFN of dense layers; 0 where every layer has experts.
	FFN   int `json:"ffn,omitempty"`
	Vocab int `json:"vocab"`
	// TiedEmbeddings says that the input embedding is the output head's matrix, held once.
	TiedEmbeddings bool `json:"tiedEmbeddings,omitempty"`

	// Experts are routed, per layer; each token goes through ExpertsPerToken of them, each ExpertFFN wide, and through shared
	// ones that are SharedFFN wide together. DenseLayers have an FFN in their place.
	Experts         int `json:"experts,omitempty"`
	ExpertsPerToken int `json:"expertsPerToken,omitempty"`
	ExpertFFN       int `json:"expertFFN,omitempty"`
	SharedFFN       int `json:"sharedFFN,omitempty"`
	DenseLayers     int `json:"denseLayers,omitempty"`

	// KVRank is the latent's size of multi-head latent attention (MLA): a token's cache is the latent and one key of
	// RopeDim for all heads. QRank is the query's own latent, 0 for none. Heads are NopeDim+RopeDim wide for scores and
	// ValueDim for values; HeadDim and KVHeads say nothing then.
	KVRank   int `json:"kvRank,omitempty"`
	QRank    int `json:"qRank,omitempty"`
	RopeDim  int `json:"ropeDim,omitempty"`
	NopeDim  int `json:"nopeDim,omitempty"`
	ValueDim int `json:"valueDim,omitempty"`

	// WindowTokens is how far back WindowLayers of the layers look.
	WindowTokens int `json:"windowTokens,omitempty"`
	WindowLayers int `json:"windowLayers,omitempty"`

	// DenseWeights is the type of all layers' matrices but the routed experts, ExpertWeights theirs. Embedding and output
	// head have 16 bits.
	DenseWeights  WeightType `json:"denseWeights,omitempty"`
	ExpertWeights WeightType `json:"expertWeights,omitempty"`
	// KVBytesPerElement is of the cache that the checkpoint asks for; 0 is 2.
	KVBytesPerElement float64 `json:"kvBytesPerElement,omitempty"`
}

// attentionParameters are those of one layer: grouped-query projections, or those of MLA.
func (m Model) attentionParameters() float64 {
	h, heads := float64(m.Hidden), float64(m.QueryHeads)
	if m.KVRank > 0 {
		kv, q, scores, values := float64(m.KVRank), float64(m.QRank), float64(m.NopeDim+m.RopeDim), float64(m.ValueDim)
		query := h * heads * scores
		if q > 0 {
			query = h*q + q*heads*scores
		}
		return query + h*(kv+float64(m.RopeDim)) + kv*heads*(float64(m.NopeDim)+values) + heads*values*h
	}
	d := float64(m.HeadDim)
	return h*d*(heads+2*float64(m.KVHeads)) + heads*d*h
}

func (m Model) expertLayers() float64 {
	if m.Experts == 0 {
		return 0
	}
	return float64(m.Layers - m.DenseLayers)
}

// DenseParameters are those of all layers that every token goes through: attention, FFN, router, shared experts.
func (m Model) DenseParameters() float64 {
	h, moe := float64(m.Hidden), m.expertLayers()
	return float64(m.Layers)*m.attentionParameters() + (float64(m.Layers)-moe)*3*h*float64(m.FFN) +
		moe*h*(float64(m.Experts)+3*float64(m.SharedFFN))
}

// ExpertParameters are those of all routed experts.
func (m Model) ExpertParameters() float64 {
	return m.expertLayers() * float64(m.Experts) * 3 * float64(m.Hidden) * float64(m.ExpertFFN)
}

// expertShare is the share of the routed experts that one token goes through; 0 where there are none.
func (m Model) expertShare() float64 {
	if m.Experts == 0 {
		return 0
	}
	return float64(m.ExpertsPerToken) / float64(m.Experts)
}

// LayerParameters are those of all layers.
func (m Model) LayerParameters() float64 { return m.DenseParameters() + m.ExpertParameters() }

// ActiveLayerParameters are those of all layers that one token goes through.
func (m Model) ActiveLayerParameters() float64 {
	return m.DenseParameters() + m.ExpertParameters()*m.expertShare()
}

// HeadParameters are the parameters of the output head.
func (m Model) HeadParameters() float64 { return float64(m.Hidden) * float64(m.Vocab) }

// ReadParameters are what a step reads at most: all but the input embedding, of which a step needs only a few rows.
func (m Model) ReadParameters() float64 { return m.LayerParameters() + m.HeadParameters() }

// HeldParameters are what the replica keeps in memory.
func (m Model) HeldParameters() float64 {
	if m.TiedEmbeddings {
		return m.ReadParameters()
	}
	return m.ReadParameters() + m.HeadParameters()
}

// ActiveParameters are those that one token goes through, embedding and head included: what a model's name counts.
func (m Model) ActiveParameters() float64 {
	return m.ActiveLayerParameters() + m.HeldParameters() - m.LayerParameters()
}

// WeightBytes is what the weights occupy once.
func (m Model) WeightBytes() float64 {
	return m.DenseParameters()*m.DenseWeights.Bytes() + m.ExpertParameters()*m.ExpertWeights.Bytes() +
		(m.HeldParameters()-m.LayerParameters())*BF16.Bytes()
}

// windowLayers are those whose cache is bounded by the window. A model that looks back through a window on all of its
// layers is taken as one that looks back all the way: an upper bound that is exact up to the window.
func (m Model) windowLayers() float64 {
	if m.WindowLayers >= m.Layers {
		return 0
	}
	return float64(m.WindowLayers)
}

// KVElementsPerToken are the cached elements of one token, each KV head counted once, over all layers whose cache grows.
func (m Model) KVElementsPerToken() float64 {
	return (float64(m.Layers) - m.windowLayers()) * m.kvElementsPerLayer()
}

// KVElementsPerSequence are the cached elements that a sequence has in its windows, once they are full.
func (m Model) KVElementsPerSequence() float64 {
	return m.windowLayers() * float64(m.WindowTokens) * m.kvElementsPerLayer()
}

func (m Model) kvElementsPerLayer() float64 {
	if m.KVRank > 0 {
		return float64(m.KVRank + m.RopeDim)
	}
	return 2 * float64(m.KVHeads) * float64(m.HeadDim)
}

// prefillAttentionFLOPs are those of one pair of tokens that see each other, per layer: scores and values, 2 FLOPs each.
func (m Model) prefillAttentionFLOPs() float64 {
	if m.KVRank > 0 {
		return 2 * float64(m.QueryHeads) * float64(m.NopeDim+m.RopeDim+m.ValueDim)
	}
	return 4 * float64(m.QueryHeads) * float64(m.HeadDim)
}

// decodeAttentionFLOPs are those of one token of context, per layer: MLA multiplies with the latent itself.
func (m Model) decodeAttentionFLOPs() float64 {
	if m.KVRank > 0 {
		return 2 * float64(m.QueryHeads) * float64(2*m.KVRank+m.RopeDim)
	}
	return 4 * float64(m.QueryHeads) * float64(m.HeadDim)
}

// ffnWidth is what one token's FFN is wide in all, on average over the layers.
func (m Model) ffnWidth() float64 {
	moe := m.expertLayers()
	return ((float64(m.Layers)-moe)*float64(m.FFN) + moe*float64(m.ExpertsPerToken*m.ExpertFFN+m.SharedFFN)) / float64(m.Layers)
}

// elementwiseBytes is what the fused kernels between the matrix products move for one token through all layers, as
// (whole, sharded): the norms with their residual adds run on every GPU (read two, write two vectors, twice per layer),
// and so does the sum over the experts (each one's vector written and read); the rest is split over them (rotary embedding
// on queries and keys, the KV write, the gate of the FFN).
func (m Model) elementwiseBytes() (whole, sharded float64) {
	const activationBytes = 2
	l, d := float64(m.Layers)*activationBytes, float64(m.HeadDim)
	if m.KVRank > 0 {
		d = float64(m.NopeDim + m.RopeDim)
	}
	whole = l*8*float64(m.Hidden) + m.expertLayers()*activationBytes*2*float64(m.ExpertsPerToken)*float64(m.Hidden)
	sharded = l * (2*d*float64(m.QueryHeads+m.KVHeads) + 2*m.kvElementsPerLayer() + 3*m.ffnWidth())
	return whole, sharded
}

// largest keeps products of a shape's numbers far from any overflow.
const largest = 1 << 24

// validate refuses a shape that is no transformer of a known kind.
func (m Model) validate() error {
	type field struct {
		name       string
		value, low int
	}
	fields := []field{
		{"layers", m.Layers, 1}, {"hidden", m.Hidden, 1}, {"queryHeads", m.QueryHeads, 1}, {"kvHeads", m.KVHeads, 1},
		{"headDim", m.HeadDim, 1}, {"ffn", m.FFN, 1}, {"vocab", m.Vocab, 1},
		{"experts", m.Experts, 0}, {"expertsPerToken", m.ExpertsPerToken, 0}, {"expertFFN", m.ExpertFFN, 0}, {"sharedFFN", m.SharedFFN, 0},
		{"kvRank", m.KVRank, 0}, {"qRank", m.QRank, 0}, {"ropeDim", m.RopeDim, 0}, {"nopeDim", m.NopeDim, 0}, {"valueDim", m.ValueDim, 0},
		{"windowTokens", m.WindowTokens, 0},
	}
	if m.Experts > 0 {
		fields[7].low, fields[8].low, fields[9].low = 1, 1, 1
		if m.DenseLayers == 0 {
			fields[5].low = 0
		}
	}
	if m.KVRank > 0 {
		fields[4].low, fields[13].low, fields[14].low, fields[15].low = 0, 1, 1, 1
	}
	for _, f := range fields {
		if f.value < f.low || f.value > largest {
			return fmt.Errorf("model %q: %s is %d: allowed is %d to %d", m.Name, f.name, f.value, f.low, largest)
		}
	}
	switch {
	case m.QueryHeads%m.KVHeads != 0:
		return fmt.Errorf("model %q: %d query heads do not divide over %d KV heads: allowed is a multiple", m.Name, m.QueryHeads, m.KVHeads)
	case m.ExpertsPerToken > m.Experts:
		return fmt.Errorf("model %q: expertsPerToken is %d: allowed is up to the %d experts", m.Name, m.ExpertsPerToken, m.Experts)
	case m.DenseLayers < 0 || m.DenseLayers > m.Layers:
		return fmt.Errorf("model %q: denseLayers is %d: allowed is 0 to the %d layers", m.Name, m.DenseLayers, m.Layers)
	case m.WindowLayers < 0 || m.WindowLayers > m.Layers || (m.WindowLayers > 0) != (m.WindowTokens > 0):
		return fmt.Errorf("model %q: %d layers with a window of %d tokens: allowed are up to %d layers, and both or none", m.Name, m.WindowLayers, m.WindowTokens, m.Layers)
	case !m.DenseWeights.known() || !m.ExpertWeights.known():
		return fmt.Errorf("model %q: weights of type %q: allowed are %s, %s, %s, or none for 16 bits", m.Name,
			cmp.Or(m.DenseWeights, m.ExpertWeights), FP8, INT4, MXFP4)
	case m.KVBytesPerElement != 0 && m.KVBytesPerElement != 1 && m.KVBytesPerElement != 2:
		return fmt.Errorf("model %q: kvBytesPerElement is %v: allowed is 2 (bf16) or 1 (fp8)", m.Name, m.KVBytesPerElement)
	}
	return nil
}
