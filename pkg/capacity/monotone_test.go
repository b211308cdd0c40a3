package capacity

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// slack is what rounding may turn around, as a share; what is below nothing, in ms or as a load, is not there.
const (
	slack   = 1e-9
	nothing = 1e-9
)

func drawTraffic(t *rapid.T) Traffic {
	return Traffic{
		RequestsPerSecond: rapid.Float64Range(0.01, 60).Draw(t, "rate"),
		ArrivalSCV:        rapid.Float64Range(0.05, 4).Draw(t, "arrival SCV"),
		Input:             Lengths{Mean: rapid.Float64Range(10, 20_000).Draw(t, "in"), SCV: rapid.Float64Range(0, 5).Draw(t, "in SCV")},
		Output:            Lengths{Mean: rapid.Float64Range(1, 3000).Draw(t, "out"), SCV: rapid.Float64Range(0, 5).Draw(t, "out SCV")},
		CachedShare:       rapid.Float64Range(0, 0.95).Draw(t, "cached"),
		LocalPrefillShare: rapid.SampledFrom([]float64{0, 0, 0.2}).Draw(t, "local"),
	}
}

func drawService(t *rapid.T, services []Service) Service {
	s := rapid.SampledFrom(services).Draw(t, "service")
	if rapid.Bool().Draw(t, "at decode") {
		s.TTFTEndsAt = EndsAtDecode
	}
	s.TransferBlocksPrefill = rapid.Bool().Draw(t, "blocked")
	s.PadTokens = rapid.SampledFrom([]int{0, 128}).Draw(t, "pad")
	s.MaxSequences = rapid.SampledFrom([]int{0, 16, 1024}).Draw(t, "sequences")
	return s
}

func someServices(t *testing.T) []Service {
	one, two := qwenService(t, perfmodel.Options{}), qwenService(t, perfmodel.Options{TP: 2})
	small := two
	small.Decode.KVCapacityTokens = 50_000
	return []Service{one, two, small, {Prefill: one.Prefill, Decode: two.Decode}, serviceOf(t, "Qwen3-30B-A3B", perfmodel.Options{})}
}

// latencies are all that must not fall when there is more to do, nor rise when there is more to do it with.
func latencies(s Service, replicas int, t Traffic, q float64) map[string]float64 {
	p, d := s.PrefillPool(replicas, t), s.DecodePool(replicas, t)
	return map[string]float64{
		"TTFT": p.TTFTQuantileMs(q), "prefill load": p.Load, "prefill wait": p.MeanWaitMs, "mean TTFT": p.MeanWaitMs + p.MeanServiceMs,
		"TPOT": d.TPOTQuantileMs(q), "load": d.LoadFor(Objective{Ms: 60}), "handover": d.HandoverMs(),
	}
}

func mustNotFall(t *rapid.T, what string, less, more map[string]float64) {
	t.Helper()
	for name, v := range less {
		if more[name] < v*(1-slack)-nothing {
			t.Fatalf("%s: %s falls from %v to %v", what, name, v, more[name])
		}
	}
}

func TestMoreWorkNeverLowersLatency(t *testing.T) {
	services := someServices(t)
	rapid.Check(t, func(t *rapid.T) {
		s, traffic := drawService(t, services), drawTraffic(t)
		replicas := rapid.IntRange(1, 40).Draw(t, "replicas")
		q := rapid.SampledFrom([]float64{0.5, 0.9, 0.95, 0.99}).Draw(t, "q")
		by := rapid.Float64Range(1, 3).Draw(t, "by")
		base := latencies(s, replicas, traffic, q)

		more := traffic
		more.RequestsPerSecond *= by
		mustNotFall(t, "more requests", base, latencies(s, replicas, more, q))

		// Other prompts have another spread, which may wait less; what they take in all is more.
		delete(base, "prefill wait")
		longer := traffic
		longer.Input.Mean *= by
		mustNotFall(t, "longer prompts", base, latencies(s, replicas, longer, q))

		colder := traffic
		colder.CachedShare /= by
		mustNotFall(t, "less reuse", base, latencies(s, replicas, colder, q))

		mustNotFall(t, "fewer replicas", latencies(s, replicas+1, traffic, q), latencies(s, replicas, traffic, q))
	})
}

func TestQuantilesRiseAndKeepAboveTheFloor(t *testing.T) {
	services := someServices(t)
	rapid.Check(t, func(t *rapid.T) {
		s, traffic := drawService(t, services), drawTraffic(t)
		replicas := rapid.IntRange(1, 40).Draw(t, "replicas")
		p, d := s.PrefillPool(replicas, traffic), s.DecodePool(replicas, traffic)
		lastTTFT, lastTPOT := 0.0, 0.0
		for _, q := range []float64{0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999} {
			ttft, tpot := p.TTFTQuantileMs(q), d.TPOTQuantileMs(q)
			if ttft < lastTTFT*(1-slack) || tpot < lastTPOT*(1-slack) {
				t.Fatalf("at q %v TTFT goes from %v to %v, TPOT from %v to %v", q, lastTTFT, ttft, lastTPOT, tpot)
			}
			if ttft < p.FloorMs(q)*(1-slack) {
				t.Fatalf("TTFT %v is under its floor %v at q %v", ttft, p.FloorMs(q), q)
			}
			if q >= 0.5 && tpot < d.FloorMs(q)*(1-slack) {
				t.Fatalf("TPOT %v is under its floor %v at q %v", tpot, d.FloorMs(q), q)
			}
			lastTTFT, lastTPOT = ttft, tpot
		}
	})
}

func TestBisectionIsTheLinearScan(t *testing.T) {
	services := someServices(t)
	rapid.Check(t, func(t *rapid.T) {
		s, traffic := drawService(t, services), drawTraffic(t)
		limit := rapid.IntRange(0, 64).Draw(t, "limit")
		o := Objective{Quantile: rapid.SampledFrom([]float64{0, 0.5, 0.95}).Draw(t, "q"), Ms: rapid.Float64Range(5, 5000).Draw(t, "ms")}
		scan := func(holds func(n int) bool) (int, bool) {
			for n := 1; n <= limit; n++ {
				if holds(n) {
					return n, true
				}
			}
			return limit, false
		}
		if got, ok := s.PrefillReplicas(traffic, o, limit); true {
			want, found := scan(func(n int) bool { return s.PrefillPool(n, traffic).TTFTQuantileMs(o.quantile()) <= o.Ms })
			if got != want || ok != found {
				t.Fatalf("prefill: %d %v, the scan says %d %v", got, ok, want, found)
			}
		}
		if got, ok := s.DecodeReplicas(traffic, o, limit); true {
			want, found := scan(func(n int) bool { return s.DecodePool(n, traffic).TPOTQuantileMs(o.quantile()) <= o.Ms })
			if got != want || ok != found {
				t.Fatalf("decode: %d %v, the scan says %d %v", got, ok, want, found)
			}
		}
	})
}

func TestMaxRateIsWhereTheObjectiveBreaks(t *testing.T) {
	services := someServices(t)
	rapid.Check(t, func(t *rapid.T) {
		s, traffic := drawService(t, services), drawTraffic(t)
		n := rapid.IntRange(1, 40).Draw(t, "replicas")
		o := Objective{Quantile: 0.95, Ms: rapid.Float64Range(5, 5000).Draw(t, "ms")}
		for name, c := range map[string]struct {
			rate    float64
			latency func(rate float64) float64
		}{
			"TTFT": {s.MaxRatePrefill(n, traffic, o), func(rate float64) float64 {
				traffic.RequestsPerSecond = rate
				return s.PrefillPool(n, traffic).TTFTQuantileMs(o.Quantile)
			}},
			"TPOT": {s.MaxRateDecode(n, traffic, o), func(rate float64) float64 {
				traffic.RequestsPerSecond = rate
				return s.DecodePool(n, traffic).TPOTQuantileMs(o.Quantile)
			}},
		} {
			if math.IsInf(c.rate, 1) {
				continue
			}
			if c.rate > 0 && c.latency(c.rate) > o.Ms {
				t.Fatalf("%s is %v ms at the rate %v that holds %v ms", name, c.latency(c.rate), c.rate, o.Ms)
			}
			if above := c.rate*1.00001 + 1e-9; c.latency(above) <= o.Ms {
				t.Fatalf("%s still holds %v ms at %v, above the largest rate %v", name, o.Ms, above, c.rate)
			}
		}
	})
}
