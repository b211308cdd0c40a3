package engine

import (
	"math"
	"slices"
)

// Activity is what DCGM's counters have shown of a worker's GPUs, integrated
// over time: the difference of two readings over the time between them is the
// mean that an exporter reports. All GPUs of a worker show the same.
type Activity struct {
	// BusySeconds is the time with at least one kernel running (GPU_UTIL).
	BusySeconds float64
	// TensorSeconds and DRAMSeconds are the integrals of tensor-active (field
	// 1004) and DRAM-active (field 1005), shares of 0..1.
	TensorSeconds float64
	DRAMSeconds   float64
	// Joules is the energy of one GPU, over what it takes when idle.
	Joules float64
}

// activityRow is what was measured while one step was repeated.
type activityRow struct {
	size         float64 // prompt tokens, or sequences
	tensor, dram float64
	watts        float64
}

// Measured on one H200 SXM (700 W) with the shape of Qwen3-32B in bf16, context
// 512 in decode. Between the rows values are linear in the logarithm of the
// size; beyond them they stay. GPU_UTIL says 100 in all of them.
var (
	prefillActivity = []activityRow{
		{128, 0.368, 0.547, 503},
		{512, 0.647, 0.284, 611},
		{2048, 0.770, 0.211, 693},
		{8192, 0.782, 0.175, 694},
	}
	decodeActivity = []activityRow{
		{1, 0.029, 0.695, 354},
		{16, 0.056, 0.708, 366},
		{64, 0.199, 0.688, 571},
		{256, 0.556, 0.548, 693},
	}
)

// The sizes at which perfmodel.Activity says what a busy replica shows.
const (
	referencePrompt    = 2048
	referenceSequences = 16
)

// scaledTo makes a table show the given shares at the reference size, and keeps
// how they change with the size: another model, GPU or TP is as busy as its
// replica says. A share of 0 is unknown and leaves the measured one.
func scaledTo(table []activityRow, reference, tensor, dram float64) []activityRow {
	ref := at(table, reference)
	scaled := slices.Clone(table)
	for i := range scaled {
		if tensor > 0 {
			scaled[i].tensor = min(1, scaled[i].tensor*tensor/ref.tensor)
		}
		if dram > 0 {
			scaled[i].dram = min(1, scaled[i].dram*dram/ref.dram)
		}
	}
	return scaled
}

// IdleWatts is an assumption, not a measurement; no decision uses it.
const IdleWatts = 100

func (a *Activity) add(table []activityRow, size, seconds float64) {
	row := at(table, size)
	a.BusySeconds += seconds
	a.TensorSeconds += row.tensor * seconds
	a.DRAMSeconds += row.dram * seconds
	a.Joules += (row.watts - IdleWatts) * seconds
}

func at(table []activityRow, size float64) activityRow {
	if size <= table[0].size {
		return table[0]
	}
	for i := 1; i < len(table); i++ {
		low, high := table[i-1], table[i]
		if size > high.size {
			continue
		}
		w := math.Log(size/low.size) / math.Log(high.size/low.size)
		mix := func(a, b float64) float64 { return a + (b-a)*w }
		return activityRow{size, mix(low.tensor, high.tensor), mix(low.dram, high.dram), mix(low.watts, high.watts)}
	}
	return table[len(table)-1]
}
