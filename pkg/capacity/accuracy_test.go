package capacity

import (
	"fmt"
	"math"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

func qwenService(t testing.TB, o perfmodel.Options) Service {
	t.Helper()
	return serviceOf(t, "Qwen3-32B", o)
}

func serviceOf(t testing.TB, model string, o perfmodel.Options) Service {
	t.Helper()
	m, err := perfmodel.LookupModel(model)
	if err != nil {
		t.Fatal(err)
	}
	g, err := perfmodel.LookupGPU("H200-SXM")
	if err != nil {
		t.Fatal(err)
	}
	r, err := perfmodel.NewReplica(m, g, o)
	if err != nil {
		t.Fatal(err)
	}
	return Service{Prefill: r, Decode: r}
}

// conversation is like the public Azure conversation trace in its means.
func conversation(inputSCV, outputSCV, arrivalSCV float64) Traffic {
	return Traffic{ArrivalSCV: arrivalSCV, Input: Lengths{Mean: 1155, SCV: inputSCV}, Output: Lengths{Mean: 211, SCV: outputSCV}}
}

// tally gathers relative errors.
type tally struct {
	n               int
	sum, bias, most float64
	at              string
}

func (e *tally) add(at string, predicted, simulated float64) {
	r := predicted/simulated - 1
	e.n++
	e.sum += math.Abs(r)
	e.bias += r
	if math.Abs(r) > math.Abs(e.most) {
		e.most, e.at = r, at
	}
}

func (e *tally) mean() float64 { return e.sum / float64(e.n) }

func (e *tally) String() string {
	return fmt.Sprintf("%d cases, mean |error| %.1f %%, bias %+.1f %%, worst %+.1f %% at %s",
		e.n, 100*e.mean(), 100*e.bias/float64(e.n), 100*e.most, e.at)
}

// accuracy is what the approximations are held to at one quantile, in shares of the simulated latency.
type accuracy struct{ q, mean, worst float64 }

func (a accuracy) check(t *testing.T, name string, e *tally) {
	t.Helper()
	t.Logf("%s p%g: %v", name, 100*a.q, e)
	if e.mean() > a.mean || math.Abs(e.most) > a.worst {
		t.Errorf("%s p%g: mean |error| %.3f, worst %+.3f at %s: allowed is %v and %v", name, 100*a.q, e.mean(), e.most, e.at, a.mean, a.worst)
	}
}

func TestTTFTAgainstEventSimulation(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates millions of requests")
	}
	s := qwenService(t, perfmodel.Options{TP: 2})
	for _, f := range []struct {
		name   string
		family family
		scvs   []float64
		held   []accuracy
	}{
		{"Weibull lengths", weibull, []float64{0.25, 1, 2}, []accuracy{{0.5, 0.04, 0.15}, {0.9, 0.03, 0.12}, {0.95, 0.04, 0.12}, {0.99, 0.06, 0.25}}},
		{"lognormal lengths", lognormal, []float64{0.25, 1}, []accuracy{{0.5, 0.08, 0.30}, {0.9, 0.06, 0.20}, {0.95, 0.06, 0.20}, {0.99, 0.1, 0.35}}},
	} {
		tallies := make([]tally, len(f.held))
		for _, scv := range f.scvs {
			for _, arrivalSCV := range []float64{0.5, 1, 2} {
				for _, replicas := range []int{1, 2, 8} {
					for _, load := range []float64{0.3, 0.7, 0.9} {
						traffic := conversation(scv, 1, arrivalSCV)
						traffic.RequestsPerSecond = load * s.MaxRatePrefill(replicas, traffic, Objective{Ms: 1e9})
						requests := 60_000
						if load > 0.8 {
							requests = 300_000 // waits are correlated over hundreds of requests
						}
						p := s.PrefillPool(replicas, traffic)
						simulated := simulatePrefill(s, replicas, traffic, f.family(traffic.Input), requests, 2)
						at := fmt.Sprintf("SCV %v of lengths and %v of arrivals, %d replicas, load %v", scv, arrivalSCV, replicas, load)
						for i, a := range f.held {
							tallies[i].add(at, p.TTFTQuantileMs(a.q), quantileOf(simulated, a.q))
						}
					}
				}
			}
		}
		for i, a := range f.held {
			a.check(t, "TTFT, "+f.name, &tallies[i])
		}
	}
}

func TestTPOTAgainstEventSimulation(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates hundreds of thousands of requests")
	}
	s := qwenService(t, perfmodel.Options{TP: 2})
	held := []accuracy{{0.5, 0.02, 0.08}, {0.9, 0.02, 0.08}, {0.95, 0.05, 0.15}, {0.99, 0.1, 0.25}}
	tallies := make([]tally, len(held))
	var batches tally
	for _, outputSCV := range []float64{0, 0.6, 1, 2} {
		for _, arrivalSCV := range []float64{1, 2} {
			for _, load := range []float64{0.3, 0.5, 0.7, 0.8, 0.9} {
				traffic := conversation(1, outputSCV, arrivalSCV)
				traffic.RequestsPerSecond = 1
				traffic.RequestsPerSecond = load / s.DecodePool(1, traffic).LoadFor(Objective{Ms: 30})
				d := s.DecodePool(1, traffic)
				simulated, batch := simulateDecode(s, traffic, weibull(traffic.Input), weibull(traffic.Output), 10_000)
				at := fmt.Sprintf("SCV %v of outputs and %v of arrivals, load %v against 30 ms", outputSCV, arrivalSCV, load)
				batches.add(at, d.Sequences, batch)
				for i, a := range held {
					tallies[i].add(at, d.TPOTQuantileMs(a.q), quantileOf(simulated, a.q))
				}
			}
		}
	}
	accuracy{q: 0.5, mean: 0.05, worst: 0.15}.check(t, "mean batch, for", &batches)
	for i, a := range held {
		a.check(t, "TPOT", &tallies[i])
	}
}

// Near a wall requests wait for a place. Few are ever preempted: a prompt does not join before there is room for it.
func TestWallsAgainstEventSimulation(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates hundreds of thousands of requests")
	}
	for _, wall := range []struct {
		bound string
		limit func(s *Service)
	}{
		{BoundKV, func(s *Service) { s.Decode.KVCapacityTokens = 40_000 }},
		{BoundSequences, func(s *Service) { s.MaxSequences = 32 }},
	} {
		s := qwenService(t, perfmodel.Options{TP: 2})
		wall.limit(&s)
		held := []accuracy{{0.5, 0.03, 0.12}, {0.95, 0.13, 0.27}}
		tallies := make([]tally, len(held))
		for _, arrivalSCV := range []float64{1, 2} {
			for _, load := range []float64{0.5, 0.7, 0.8, 0.9} {
				traffic := conversation(1, 1, arrivalSCV)
				traffic.RequestsPerSecond = 1
				for range 20 { // the load is not linear in the rate: approach it
					traffic.RequestsPerSecond *= load / s.DecodePool(1, traffic).LoadFor(Objective{Ms: 1e6})
				}
				d := s.DecodePool(1, traffic)
				if d.Bound != wall.bound {
					t.Errorf("bound by %s, want %s: %+v", d.Bound, wall.bound, d)
				}
				simulated, _ := simulateDecode(s, traffic, weibull(traffic.Input), weibull(traffic.Output), 20_000)
				at := fmt.Sprintf("SCV %v of arrivals, %s load %v", arrivalSCV, wall.bound, load)
				for i, a := range held {
					tallies[i].add(at, d.TPOTQuantileMs(a.q), quantileOf(simulated, a.q))
				}
			}
		}
		for i, a := range held {
			a.check(t, "TPOT near the "+wall.bound+" wall", &tallies[i])
		}
	}
}
