package chart

import (
	"cmp"
	"slices"
)

// lineHeight is how far two lines of small text are apart, in pixels.
const lineHeight = 13

// spread moves heights apart until none is closer than gap to the next, keeping their order and as near as can be to where
// they were, between low and high where there is room.
func spread(at []float64, gap, low, high float64) []float64 {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	// Blocks of texts that touch each other, each as near to the mean of its wishes as can be.
	type block struct{ top, n, sum float64 }
	var blocks []block
	for _, i := range order {
		blocks = append(blocks, block{min(max(at[i], low), high), 1, min(max(at[i], low), high)})
		for len(blocks) > 1 {
			last, before := &blocks[len(blocks)-1], &blocks[len(blocks)-2]
			if before.top+gap*before.n <= last.top {
				break
			}
			// A text that is the k-th of a block wishes the block to begin k gaps above it.
			joined := block{n: before.n + last.n, sum: before.sum + last.sum - gap*before.n*last.n}
			joined.top = min(max(joined.sum/joined.n, low), max(low, high-gap*(joined.n-1)))
			blocks = append(blocks[:len(blocks)-2], joined)
		}
	}
	out := make([]float64, len(at))
	i := 0
	for _, b := range blocks {
		for k := range int(b.n) {
			out[order[i]] = b.top + gap*float64(k)
			i++
		}
	}
	return out
}
