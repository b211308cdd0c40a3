package forecast

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// A rate that swings between 2 and 12 requests/s in half an hour, Poisson arrivals, read every 15 s over the last minute: a
// trend that a planner must see coming. What came is the rate of the minute around the horizon's end.
func TestSwingingDemandIsSeenComing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var arrivals []float64 // seconds
	for at := 0.0; at < 4*3600; at += r.ExpFloat64() / 12 {
		if r.Float64()*12 < 7-5*math.Cos(2*math.Pi*at/1800) {
			arrivals = append(arrivals, at)
		}
	}
	rate := func(from, to float64) float64 {
		return float64(sort.SearchFloat64s(arrivals, to)-sort.SearchFloat64s(arrivals, from)) / (to - from)
	}
	const horizon = 120.0
	var samples []Sample
	var errAhead, errLast, lowAhead, lowLast, demand float64
	for at := 60.0; at+horizon+30 < arrivals[len(arrivals)-1]; at += 15 {
		last := rate(at-60, at)
		samples = append(samples, Sample{At: now.Add(time.Duration(at * float64(time.Second))), Value: last})
		ahead, _ := Ahead(samples, samples[len(samples)-1].At, time.Duration(horizon*float64(time.Second)))
		came := rate(at+horizon-30, at+horizon+30)
		errAhead += math.Abs(ahead - came)
		errLast += math.Abs(last - came)
		lowAhead += max(0, came-max(ahead, last))
		lowLast += max(0, came-last)
		demand += came
	}
	t.Logf("120 s ahead: mean error %.1f %% of the demand (last value %.1f %%); mean shortfall %.1f %% (last value %.1f %%)",
		100*errAhead/demand, 100*errLast/demand, 100*lowAhead/demand, 100*lowLast/demand)
	if errAhead > 0.85*errLast || lowAhead > 0.75*lowLast {
		t.Error("the forecast gains too little over the last value")
	}
}
