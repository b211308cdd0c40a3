package perfmodel

import "fmt"

// LayerParameters are the parameters of all layers: attention projections and the three matrices of the gated FFN.
func (m Model) LayerParameters() float64 {
	h, d := float64(m.Hidden), float64(m.HeadDim)
	attention := h*d*float64(m.QueryHeads+2*m.KVHeads) + float64(m.QueryHeads)*d*h
	return float64(m.Layers) * (attention + 3*h*float64(m.FFN))
}

// HeadParameters are the parameters of the output head.
func (m Model) HeadParameters() float64 { return float64(m.Hidden) * float64(m.Vocab) }

// ReadParameters are what every step reads: all but the input embedding, of which a step needs only a few rows.
func (m Model) ReadParameters() float64 { return m.LayerParameters() + m.HeadParameters() }

// HeldParameters are what the replica keeps in memory.
func (m Model) HeldParameters() float64 {
	if m.TiedEmbeddings {
		return m.ReadParameters()
	}
	return m.ReadParameters() + m.HeadParameters()
}

// KVElementsPerToken are the key and value elements of one token, each KV head counted once.
func (m Model) KVElementsPerToken() float64 {
	return 2 * float64(m.Layers) * float64(m.KVHeads) * float64(m.HeadDim)
}

// elementwiseBytes is what the fused kernels between the matrix products move for one token through all layers, as
// (whole, sharded): the norms with their residual adds run on every GPU (read two, write two vectors, twice per layer),
// the rest is split over them (rotary embedding on queries and keys, the KV write, the gate of the FFN).
func (m Model) elementwiseBytes() (whole, sharded float64) {
	const activationBytes = 2
	l, d := float64(m.Layers)*activationBytes, float64(m.HeadDim)
	whole = l * 8 * float64(m.Hidden)
	sharded = l * (2*d*float64(m.QueryHeads+m.KVHeads) + 4*d*float64(m.KVHeads) + 3*float64(m.FFN))
	return whole, sharded
}

// largest keeps products of a shape's numbers far from any overflow.
const largest = 1 << 24

// validate refuses a shape that is no dense grouped-query transformer.
func (m Model) validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"layers", m.Layers}, {"hidden", m.Hidden}, {"queryHeads", m.QueryHeads}, {"kvHeads", m.KVHeads},
		{"headDim", m.HeadDim}, {"ffn", m.FFN}, {"vocab", m.Vocab},
	} {
		if f.value < 1 || f.value > largest {
			return fmt.Errorf("model %q: %s is %d: allowed is 1 to %d", m.Name, f.name, f.value, largest)
		}
	}
	if m.QueryHeads%m.KVHeads != 0 {
		return fmt.Errorf("model %q: %d query heads do not divide over %d KV heads: allowed is a multiple", m.Name, m.QueryHeads, m.KVHeads)
	}
	return nil
}
