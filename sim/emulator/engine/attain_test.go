package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

func TestAttainJudgesWhatIsKnown(t *testing.T) {
	o := Objectives{TTFT: capacity.Objective{Quantile: 0.6, Ms: 100}, TPOT: capacity.Objective{Quantile: 0.5, Ms: 20}}
	ms := time.Millisecond
	records := []Record{
		{Outcome: Finished, FirstToken: true, TTFTMs: 50, TPOTMs: 10, OutputTokens: 10},
		{Outcome: Finished, FirstToken: true, TTFTMs: 150, TPOTMs: 30, OutputTokens: 10},
		{Outcome: Finished, FirstToken: true, TTFTMs: 100, OutputTokens: 1},              // one token has no TPOT
		{Outcome: Failed, OutputTokens: 10},                                              // misses both
		{Outcome: Queued, OutputTokens: 10, Arrived: 0, Ended: 101 * ms},                 // already late
		{Outcome: Queued, OutputTokens: 10, Arrived: 0, Ended: 99 * ms},                  // may still be in time
		{Outcome: Decoding, FirstToken: true, TTFTMs: 10, TPOTMs: 25, OutputTokens: 100}, // TPOT late so far
		{Outcome: Decoding, FirstToken: true, TTFTMs: 10, TPOTMs: 15, OutputTokens: 100},
	}
	got := Attain("all", records, o, nil)
	want := Attainment{
		Phase: "all", Requests: 8, Finished: 3, Failed: 1,
		TTFT:      Met{Judged: 7, Share: 4.0 / 7, Needed: 0.6, QuantileMs: 50, P50Ms: 50, P99Ms: 150, ObjectiveMs: 100},
		TPOT:      Met{Judged: 4, Share: 1.0 / 4, Needed: 0.5, QuantileMs: 10, P50Ms: 10, P99Ms: 30, ObjectiveMs: 20},
		BothShare: 3.0 / 7,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Error(diff)
	}
	if got.Met() || got.TTFT.Met() {
		t.Error("57 % inside is taken for the 60 % that are needed")
	}
}

func TestAttainLeavesTheWarmUpOut(t *testing.T) {
	o := Objectives{TTFT: capacity.Objective{Quantile: 0.9, Ms: 100}, TPOT: capacity.Objective{Ms: 20}, WarmUp: time.Second}
	records := []Record{
		{At: 999 * time.Millisecond, Outcome: Failed, OutputTokens: 2},
		{At: time.Second, Outcome: Finished, FirstToken: true, TTFTMs: 50, TPOTMs: 10, OutputTokens: 2, Phase: 1},
	}
	phases := AttainPhases([]string{"a", "b"}, records, o)
	if phases[0].Requests != 0 || phases[1].Requests != 1 || !phases[0].Met() || !phases[1].Met() {
		t.Errorf("%+v", phases)
	}
	if phases[1].TPOT.Needed != defaultQuantile {
		t.Errorf("an objective without a quantile needs %v", phases[1].TPOT.Needed)
	}
}

func TestQuantileIsTheSmallestValueThatCoversTheShare(t *testing.T) {
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.11: 2, 0.5: 5, 0.9: 9, 0.95: 10, 1: 10} {
		if got := quantile(ten, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("quantile of nothing")
	}
}

func TestHistogramBuckets(t *testing.T) {
	h := newHistogram([]float64{1, 2})
	h.Observe(1, 2) // a value on a bound belongs to that bucket
	h.Observe(1.5, 1)
	h.Observe(9, 4)
	h.Observe(9, 0)
	if diff := cmp.Diff(map[float64]uint64{1: 2, 2: 3}, h.Cumulative()); diff != "" || h.Count != 7 || h.Sum != 39.5 {
		t.Errorf("count %d, sum %v, %s", h.Count, h.Sum, diff)
	}
}

func TestRecentLooksBackTenSeconds(t *testing.T) {
	var r recent
	r.arrived(0)
	r.arrived(5 * time.Second)
	r.firstToken(5*time.Second, 80*time.Millisecond)
	r.ended(6*time.Second, Record{Outcome: Finished, OutputTokens: 2, TPOTMs: 25})
	r.ended(6*time.Second, Record{Outcome: Failed, OutputTokens: 2})
	want := Recent{Arrivals: 1, FirstTokens: 1, TTFTp50Ms: 80, TTFTp95Ms: 80, Finished: 1, TPOTp50Ms: 25, TPOTp95Ms: 25}
	if diff := cmp.Diff(want, r.view(10*time.Second)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Recent{}, r.view(16*time.Second)); diff != "" {
		t.Error(diff)
	}
}
