package perfmodel

// What a lean engine launches per layer, by part: the kernels that are left once all that can be fused is.
const (
	attentionKernels = 6  // norm; queries, keys and values; rotation and KV write; attention; joining its parts; output
	latentKernels    = 13 // norm; query; latent; its norm; two rotations; key and value products; attention; joining its parts; three moves; output
	ffnKernels       = 4  // norm; gate and up; activation; down
	expertKernels    = 9  // norm; router; choice; two of sorting; gate and up; activation; down; sum
	sharedKernels    = 3  // gate and up; activation; down
)

// operations are the kernels of one step. Each costs time of its own, whatever its bytes: what is lost in starting and
// draining it.
func (m Model) operations() float64 {
	attention, experts, moe := attentionKernels, expertKernels, m.expertLayers()
	if m.KVRank > 0 {
		attention = latentKernels
	}
	if m.SharedFFN > 0 {
		experts += sharedKernels
	}
	return float64(m.Layers*attention) + moe*float64(experts) + (float64(m.Layers)-moe)*ffnKernels
}
