package controller

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// withoutNonNumbers makes readings that are no numbers unknown. A record with
// one in it could not be written as JSON, so it could not be replayed.
func withoutNonNumbers(s planner.Signals) planner.Signals {
	for _, r := range []*planner.Reading{
		&s.RequestsPerSecond, &s.ArrivalSCV, &s.InputTokens, &s.InputSCV, &s.OutputTokens, &s.OutputSCV, &s.CachedShare,
		&s.PrefillWaiting, &s.DecodeWaiting, &s.DecodeRunning, &s.DecodeKVUse, &s.DecodeKVUseMax,
		&s.PrefillTensorActive, &s.DecodeDRAMActive,
	} {
		if !finite(r.Value) {
			*r = planner.Unknown(r.Source + " gave what is not a number")
		}
	}
	for _, q := range []*planner.Quantile{&s.TTFTMs, &s.TPOTMs} {
		if !finite(q.Value, q.LowMs, q.HighMs, q.MeanMs, q.Percentile) {
			*q = planner.Quantile{Reading: planner.Unknown(q.Source + " gave what is not a number")}
		}
	}
	return s
}

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
