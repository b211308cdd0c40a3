package capacity

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

func TestLengthsHaveTheMomentsTheyAreGiven(t *testing.T) {
	for _, scv := range []float64{0, 0.01, 0.1, 0.25, 0.6, 1, 1.4, 2, 3} {
		l := Lengths{Mean: 1000, SCV: scv}
		tokens := l.edges()
		mean, second := 0.0, 0.0
		for k, w := range strataWeights {
			a, b := tokens[k], tokens[k+1]
			mean += w * (a + b) / 2
			second += w * (a*a + a*b + b*b) / 3
		}
		if math.Abs(mean-1000) > 1e-6 || math.Abs(second/(mean*mean)-1-scv) > 0.02+0.03*scv {
			t.Errorf("SCV %v: strata have mean %v and SCV %v", scv, mean, second/(mean*mean)-1)
		}
		if got, want := l.inverseShape(), weibullInverseShape(scv); scv > 0 && math.Abs(got-want) > 0.01*want {
			t.Errorf("SCV %v: 1/k is %v, want %v", scv, got, want)
		}
	}
	sum := 0.0
	for _, w := range strataWeights {
		sum += w
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("the strata's weights sum to %v", sum)
	}
}

func TestErlangC(t *testing.T) {
	// One server waits with probability rho; the others are sums of the definition, A^c/c!*c/(c-A) over itself and the rest.
	for _, c := range []struct {
		servers       int
		offered, want float64
	}{{1, 0.7, 0.7}, {2, 1, 1.0 / 3}, {8, 7, 1143.81 / (656.57 + 1143.81)}, {1000, 1, 0}} {
		if got := erlangC(c.servers, c.offered); math.Abs(got-c.want) > 5e-5 {
			t.Errorf("Erlang C of %d servers at %v is %v, want %v", c.servers, c.offered, got, c.want)
		}
	}
}

// With service times that are exponential and no work but tokens, the pool is M/M/1: E[W] = rho*S/(1-rho), and TTFT is
// exponential with mean S/(1-rho).
func TestPrefillPoolIsMM1WhereItShouldBe(t *testing.T) {
	s := Service{Prefill: perfmodel.Replica{Prefill: perfmodel.Prefill{PerTokenMs: 0.1}}}
	traffic := Traffic{RequestsPerSecond: 7, ArrivalSCV: 1, Input: Lengths{Mean: 1000, SCV: 1}}
	p := s.PrefillPool(1, traffic)
	for name, c := range map[string]struct{ got, want float64 }{
		"load": {p.Load, 0.7}, "service": {p.MeanServiceMs, 100}, "wait probability": {p.WaitProbability, 0.7},
		"mean wait": {p.MeanWaitMs, 0.7 * 100 / 0.3}, "p50": {p.TTFTQuantileMs(0.5), 100 / 0.3 * math.Ln2},
		"p95": {p.TTFTQuantileMs(0.95), 100 / 0.3 * math.Log(20)}, "floor p95": {p.FloorMs(0.95), 100 * math.Log(20)},
	} {
		if math.Abs(c.got-c.want) > 0.012*c.want {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
}

// For an affine step alpha + g*x the fixed point is known: the step is (alpha+g)/(1-a*g), a the steps per ms.
func TestDecodePoolIsTheAffineFixedPoint(t *testing.T) {
	decode := perfmodel.Decode{OverheadMs: 20, PerSequenceMs: 0.02, KVMsPerToken: 6e-5}
	s := Service{Decode: perfmodel.Replica{Decode: decode, KVCapacityTokens: 1e6}, MaxSequences: 1000}
	traffic := Traffic{RequestsPerSecond: 8, Input: Lengths{Mean: 1000}, Output: Lengths{Mean: 201}}
	g := 0.02 + 6e-5*(1000+201/2.0)
	a := 8.0 / 1000 * 200 / 2
	d := s.DecodePool(2, traffic)
	want := (20 + g) / (1 - a*g)
	if math.Abs(d.StepMs-want) > 1e-9 || math.Abs(d.Sequences-a*want) > 1e-9 || !d.Stable || d.Bound != BoundBandwidth {
		t.Errorf("step %v ms and batch %v, want %v and %v: %+v", d.StepMs, d.Sequences, want, a*want, d)
	}
	// rho_d = a*g/(1-(alpha+g)/TPOT*): a request of its own is part of the batch it sees.
	if got, want := d.LoadFor(Objective{Ms: 25}), a*g/(1-(20+g)/25); math.Abs(got-want) > 1e-9 {
		t.Errorf("load against 25 ms is %v, want %v", got, want)
	}
	if got := d.LoadFor(Objective{Ms: 20}); !math.IsInf(got, 1) {
		t.Errorf("load against 20 ms, which one request misses, is %v, want +Inf", got)
	}
	// At load 1 the mean step is the objective.
	traffic.RequestsPerSecond /= d.LoadFor(Objective{Ms: 25})
	if got := s.DecodePool(2, traffic).StepMs; math.Abs(got-25) > 1e-9 {
		t.Errorf("at load 1 against 25 ms the step is %v ms", got)
	}
}

func TestDecodePoolNamesItsBound(t *testing.T) {
	base := qwenService(t, perfmodel.Options{TP: 2})
	traffic := conversation(1, 1, 1)
	traffic.RequestsPerSecond = 10
	for want, change := range map[string]func(s *Service, t *Traffic){
		BoundBandwidth: func(*Service, *Traffic) {},
		BoundKV:        func(s *Service, _ *Traffic) { s.Decode.KVCapacityTokens = 20_000 },
		BoundSequences: func(s *Service, _ *Traffic) { s.MaxSequences = 8 },
	} {
		s, tr := base, traffic
		change(&s, &tr)
		d := s.DecodePool(1, tr)
		if d.Bound != want || d.Stable != (want == BoundBandwidth) {
			t.Errorf("bound %s, stable %v, want %s: %+v", d.Bound, d.Stable, want, d)
		}
		if d.Sequences > d.slots || math.IsInf(d.StepMs, 0) {
			t.Errorf("bound by %s, yet %v sequences run in %v slots, step %v", want, d.Sequences, d.slots, d.StepMs)
		}
	}
}

func TestNoTrafficIsNoLoadAndFloorLatency(t *testing.T) {
	s := qwenService(t, perfmodel.Options{TP: 2})
	traffic := conversation(1, 1, 1)
	for replicas := range 3 {
		p, d := s.PrefillPool(replicas, traffic), s.DecodePool(replicas, traffic)
		if p.Load != 0 || !p.Stable || p.TTFTQuantileMs(0.95) != p.FloorMs(0.95) {
			t.Errorf("%d replicas without traffic: %+v", replicas, p)
		}
		if d.LoadFor(Objective{Ms: 30}) != 0 || d.Sequences != 0 || !d.Stable || d.TPOTQuantileMs(0.95) != d.FloorMs(0.95) {
			t.Errorf("%d replicas without traffic: %+v", replicas, d)
		}
	}
	traffic.RequestsPerSecond = 1
	if p, d := s.PrefillPool(0, traffic), s.DecodePool(0, traffic); p.Stable || d.Stable || !math.IsInf(p.Load, 1) || !math.IsInf(d.LoadFor(Objective{Ms: 30}), 1) {
		t.Errorf("no replicas hold traffic: %+v %+v", p, d)
	}
}

// With the first token from decode, the handover leaves TPOT and the first step is no longer one of out-1.
func TestTTFTEndMovesTheHandover(t *testing.T) {
	s := qwenService(t, perfmodel.Options{TP: 2})
	traffic := conversation(1, 1, 1)
	traffic.RequestsPerSecond = 5
	atPrefill := s.DecodePool(1, traffic)
	s.TTFTEndsAt = EndsAtDecode
	atDecode := s.DecodePool(1, traffic)
	if atDecode.TPOTQuantileMs(0.95) >= atPrefill.TPOTQuantileMs(0.95) {
		t.Errorf("TPOT p95 is %v when decode emits the first token and %v when prefill does", atDecode.TPOTQuantileMs(0.95), atPrefill.TPOTQuantileMs(0.95))
	}
	if got, least := atDecode.HandoverMs(), s.transferMs(traffic.Input.Mean)+atDecode.StepMs; got < least || got > least+atDecode.StepMs {
		t.Errorf("the handover takes %v ms, want %v and up to a step more", got, least)
	}
}

func TestLocalPrefillMovesWork(t *testing.T) {
	s := qwenService(t, perfmodel.Options{TP: 2})
	traffic := conversation(1, 1, 1)
	traffic.RequestsPerSecond = 5
	local := traffic
	local.LocalPrefillShare = 0.4
	if got, want := s.PrefillPool(2, local).Load, 0.6*s.PrefillPool(2, traffic).Load; math.Abs(got-want) > 1e-12 {
		t.Errorf("prefill load with 40 %% done elsewhere is %v, want %v", got, want)
	}
	if s.DecodePool(2, local).TPOTQuantileMs(0.95) <= s.DecodePool(2, traffic).TPOTQuantileMs(0.95) {
		t.Error("prefills on decode replicas do not slow their steps")
	}
}

func TestChunksAndTiersAreWorkOfPrefill(t *testing.T) {
	s := qwenService(t, perfmodel.Options{TP: 2, OffloadBytesPerSecond: 20e9})
	traffic := Traffic{RequestsPerSecond: 2, Input: Lengths{Mean: 8000}, Output: Lengths{Mean: 100}}
	whole := s.PrefillPool(2, traffic)
	s.ChunkTokens = 512
	chunked := s.PrefillPool(2, traffic)
	if got, want := chunked.MeanServiceMs, s.Prefill.Prefill.ChunkedMs(8000, 0, 512); math.Abs(got-want) > 1e-6*want || got <= whole.MeanServiceMs {
		t.Errorf("in chunks of 512 a prompt takes %v ms, want %v, above the whole's %v", got, want, whole.MeanServiceMs)
	}
	s.ChunkTokens = 0
	traffic.OffloadedShare = 0.5
	reloaded := s.PrefillPool(2, traffic)
	want := s.Prefill.Prefill.StepMs(4000, 4000) + 4000*s.Prefill.KVBytesPerToken/20e9*1000
	if got := reloaded.MeanServiceMs; math.Abs(got-want) > 1e-6*want || got >= whole.MeanServiceMs {
		t.Errorf("half reloaded a prompt takes %v ms, want %v, below %v", got, want, whole.MeanServiceMs)
	}
	// Reuse takes work off prefill, but its cache is held all the same.
	traffic.OffloadedShare, traffic.CachedShare = 0, 0.5
	if d := s.DecodePool(2, traffic); d.KVLoad != s.DecodePool(2, Traffic{RequestsPerSecond: 2, Input: Lengths{Mean: 8000}, Output: Lengths{Mean: 100}}).KVLoad {
		t.Errorf("reuse changes the KV load to %v", d.KVLoad)
	}
}

func TestHistogramsAreWhatTheyCount(t *testing.T) {
	values := make([]float64, 0, 3000)
	for i := range 3000 {
		values = append(values, 100+float64(i%1000)) // uniform from 100 to 1099
	}
	l := Lengths{Mean: 7, SCV: 9, Histogram: NewHistogram(values)}.clean()
	if math.Abs(l.Mean-599.5) > 6 || math.Abs(l.quantile(0.9)-1000) > 20 || math.Abs(l.quantile(0.1)-200) > 20 {
		t.Errorf("mean %v, p10 %v, p90 %v", l.Mean, l.quantile(0.1), l.quantile(0.9))
	}
	tokens, mean := l.edges(), 0.0
	for k, w := range strataWeights {
		mean += w * (tokens[k] + tokens[k+1]) / 2
	}
	if math.Abs(mean-l.Mean) > 1e-6*l.Mean {
		t.Errorf("the strata's mean is %v, the histogram's %v", mean, l.Mean)
	}
	for name, h := range map[string]*Histogram{
		"empty": {}, "uneven": {UpTo: []float64{1, 2}, Count: []float64{1}}, "falling": {UpTo: []float64{2, 1}, Count: []float64{1, 1}},
		"nothing counted": {UpTo: []float64{1}, Count: []float64{0}}, "not numbers": {UpTo: []float64{math.NaN()}, Count: []float64{1}},
		"negative": {UpTo: []float64{1, 2}, Count: []float64{-1, 3}}, "endless": {UpTo: []float64{1, math.Inf(1)}, Count: []float64{1, 1}},
	} {
		if got := (Lengths{Mean: 7, SCV: 2, Histogram: h}).clean(); got.Mean != 7 || got.SCV != 2 || got.Histogram != nil {
			t.Errorf("%s: %+v, want the moments alone", name, got)
		}
	}
	if h := NewHistogram([]float64{math.NaN(), math.Inf(1), -3}); len(h.UpTo) != 0 {
		t.Errorf("no lengths make %+v", h)
	}
}

func TestBadNumbersAreReadAsDocumented(t *testing.T) {
	s := qwenService(t, perfmodel.Options{TP: 2})
	bad := rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0, 1e-300, 1, 1e300, math.MaxFloat64})
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) float64 { return bad.Draw(rt, name) }
		traffic := Traffic{RequestsPerSecond: draw("rate"), ArrivalSCV: draw("arrival SCV"), Input: Lengths{Mean: draw("in"), SCV: draw("in SCV")},
			Output: Lengths{Mean: draw("out"), SCV: draw("out SCV")}, CachedShare: draw("cached"), LocalPrefillShare: draw("local"), OffloadedShare: draw("offloaded")}
		o := Objective{Quantile: draw("q"), Ms: draw("ms")}
		n := rapid.SampledFrom([]int{math.MinInt, -1, 0, 1, 7, 1 << 40}).Draw(rt, "replicas")
		s := s
		s.PadTokens, s.MaxSequences = n, n
		if rapid.Bool().Draw(rt, "at decode") {
			s.TTFTEndsAt = EndsAtDecode
		}
		if rapid.Bool().Draw(rt, "no model") {
			s.Prefill, s.Decode = perfmodel.Replica{}, perfmodel.Replica{}
		}
		p, d := s.PrefillPool(n, traffic), s.DecodePool(n, traffic)
		for name, v := range map[string]float64{
			"prefill load": p.Load, "service": p.MeanServiceMs, "wait probability": p.WaitProbability, "wait": p.MeanWaitMs,
			"TTFT": p.TTFTQuantileMs(o.Quantile), "TTFT floor": p.FloorMs(o.Quantile), "sequences": d.Sequences, "step": d.StepMs,
			"bandwidth load": d.BandwidthLoad, "KV load": d.KVLoad, "sequence load": d.SequenceLoad, "load": d.LoadFor(o),
			"TPOT": d.TPOTQuantileMs(o.Quantile), "TPOT floor": d.FloorMs(o.Quantile), "handover": d.HandoverMs(),
			"prefill rate": s.MaxRatePrefill(n, traffic, o), "decode rate": s.MaxRateDecode(n, traffic, o),
		} {
			if math.IsNaN(v) || v < 0 {
				rt.Fatalf("%s is %v", name, v)
			}
		}
		s.PrefillReplicas(traffic, o, n)
		s.DecodeReplicas(traffic, o, n)
	})
}

func TestInputsAreJSON(t *testing.T) {
	s := qwenService(t, perfmodel.Options{TP: 2})
	s.TTFTEndsAt, s.PadTokens = EndsAtDecode, 128
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Service
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	traffic := conversation(1, 1, 1)
	traffic.RequestsPerSecond = 3
	for _, n := range []int{1, 2} {
		all := cmp.AllowUnexported(PrefillPool{}, promptWork{}, wait{}, DecodePool{}, stepCurve{}, contexts{})
		if diff := cmp.Diff(s.PrefillPool(n, traffic), back.PrefillPool(n, traffic), all, cmpopts.EquateNaNs()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(s.DecodePool(n, traffic), back.DecodePool(n, traffic), all); diff != "" {
			t.Error(diff)
		}
	}
}
