package calibrate

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// engine is a made-up service: the roofline with every coefficient off by a known ratio.
func engine(t testing.TB, tp int, gemm, read, kv, overheadMs float64) perfmodel.Replica {
	t.Helper()
	m, g := qwen(t)
	r, err := perfmodel.NewReplica(m, g, perfmodel.Options{TP: tp})
	if err != nil {
		t.Fatal(err)
	}
	r.Prefill.GEMMMsPerToken *= gemm
	r.Prefill.WeightReadMs *= read
	r.Prefill.OverheadMs += overheadMs
	r.Decode.GEMMMsPerSequence *= gemm
	r.Decode.WeightReadMs *= read
	r.Decode.KVMsPerToken *= kv
	r.Decode.OverheadMs += overheadMs
	return r
}

// shows draws readings of a service: prompts, steps, and intervals of both.
func shows(r perfmodel.Replica, random *rand.Rand, n int) (rows []Observation) {
	noise := func() float64 { return math.Exp(0.02 * random.NormFloat64()) }
	for range n {
		tokens := math.Ceil(1 + 1500*random.ExpFloat64())
		rows = append(rows, Observation{Kind: Prefill, Tokens: tokens, Ms: r.Prefill.StepMs(tokens, 0) * noise()})
		b := math.Ceil(40 * random.Float64())
		s := b * (200 + 3000*random.Float64())
		rows = append(rows, Observation{Kind: Decode, Sequences: b, ContextTokens: s, Ms: r.Decode.StepMs(b, s) * noise()})
		sum, ms := 0.0, 0.0
		for range 10 {
			n := 1500 * random.ExpFloat64()
			sum, ms = sum+n, ms+r.Prefill.StepMs(n, 0)
		}
		rows = append(rows, Observation{Kind: Prefill, Tokens: sum, Prompts: 10, LengthSCV: 1, Ms: ms * noise()})
		rows = append(rows, Observation{Kind: Decode, Sequences: b, ContextTokens: s, Steps: 50, Ms: r.Decode.StepMs(b, s) * noise()})
	}
	return rows
}

func newCalibration(t testing.TB, tp int) *Calibration {
	t.Helper()
	m, g := qwen(t)
	c, err := New(m, g, perfmodel.Options{TP: tp})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantNear(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if off := got/want - 1; math.Abs(off) > within {
		t.Errorf("%s is %.4g, want %.4g (%+.1f %%, allowed %.0f %%)", what, got, want, 100*off, 100*within)
	}
}

func TestWithoutReadingsThePriorSpeaks(t *testing.T) {
	c := newCalibration(t, 2)
	m, g := qwen(t)
	want, err := perfmodel.NewReplica(m, g, perfmodel.Options{TP: 2})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, c.Replica()); diff != "" {
		t.Error(diff)
	}
	if u := c.Uncertainty(Observation{Kind: Prefill, Tokens: 4096}); u < 0.08 || u > 0.4 {
		t.Errorf("a prior's prediction of a prompt is stated within %.2f, want some 0.1 to 0.3", u)
	}
}

// A service whose coefficients are all off is learnt online from steps and intervals, within a few per cent where it was seen.
func TestOnlineLearnsAService(t *testing.T) {
	truth := engine(t, 2, 1.25, 1.15, 1.2, 6)
	c := newCalibration(t, 2)
	random := rand.New(rand.NewPCG(1, 1))
	before := c.Uncertainty(Observation{Kind: Decode, Sequences: 30, ContextTokens: 60_000})
	for range 200 {
		c.Observe(shows(truth, random, 1)...)
	}
	got := c.Replica()
	for _, n := range []float64{100, 500, 2000, 6000} {
		wantNear(t, "prefill", got.Prefill.StepMs(n, 0), truth.Prefill.StepMs(n, 0), 0.04)
	}
	for _, b := range []float64{1, 10, 40} {
		wantNear(t, "decode", got.Decode.StepMs(b, 1500*b), truth.Decode.StepMs(b, 1500*b), 0.03)
	}
	if after := c.Uncertainty(Observation{Kind: Decode, Sequences: 30, ContextTokens: 60_000}); after > before/2 {
		t.Errorf("uncertainty goes from %.3f to %.3f: nothing was learnt", before, after)
	}
}

func TestForgettingLeadsBackToThePrior(t *testing.T) {
	c := newCalibration(t, 1)
	truth := engine(t, 1, 1.4, 1.2, 1.3, 5)
	random := rand.New(rand.NewPCG(2, 2))
	for range 100 {
		c.Observe(shows(truth, random, 1)...)
	}
	seen := c.States[Decode].Ratios[5]
	// From now on only one single batch is seen: what it does not tell of kappa fades to the prior.
	for range 2000 {
		c.Observe(Observation{Kind: Decode, Sequences: 1, ContextTokens: 10, Ms: truth.Decode.StepMs(1, 10)})
	}
	if now := c.States[Decode].Ratios[5]; math.Abs(now-1) > 0.35*math.Abs(seen-1) {
		t.Errorf("kappa's ratio was %.2f and is %.2f: it has not faded towards 1", seen, now)
	}
}

// Readings that are wrong in every way leave what is known as it is.
func TestPoisonIsCountedAndNotAbsorbed(t *testing.T) {
	c := newCalibration(t, 1)
	random := rand.New(rand.NewPCG(3, 3))
	truth := engine(t, 1, 1.1, 1.05, 1, 2)
	for range 100 {
		c.Observe(shows(truth, random, 1)...)
	}
	before := c.Replica().Decode.StepMs(20, 30_000)
	for range 50 {
		c.Observe(
			Observation{Kind: Decode, Sequences: 20, ContextTokens: 30_000, Ms: math.NaN()},
			Observation{Kind: Decode, Sequences: 20, ContextTokens: 30_000},                // an idle heartbeat
			Observation{Kind: Decode, Sequences: 20, ContextTokens: 30_000, Ms: 0.0235},    // seconds
			Observation{Kind: Decode, Sequences: 20, ContextTokens: 30_000, Ms: 23_500},    // microseconds
			Observation{Kind: Decode, Sequences: math.Inf(1), ContextTokens: 1, Ms: 20},    // no number
			Observation{Kind: Decode, Sequences: -1, ContextTokens: 30_000, Ms: 20},        // negative
			Observation{Kind: "decoding", Sequences: 20, ContextTokens: 30_000, Ms: 20},    // no kind
			Observation{Kind: Prefill, Tokens: 0, Ms: 20},                                  // nothing done
			Observation{Kind: Prefill, Tokens: 1e300, Ms: 20},                              // no prompt
			Observation{Kind: Prefill, Tokens: 500, Prompts: math.NaN(), Ms: 50},           // no number
			Observation{Kind: KVTransfer, Tokens: 1000, Ms: math.Inf(1), LengthSCV: -1e10}, // no number
		)
	}
	wantNear(t, "decode after poison", c.Replica().Decode.StepMs(20, 30_000), before, 1e-12)
	ignored := 0
	for _, k := range Kinds() {
		for _, n := range c.Counts[k].Ignored {
			ignored += n
		}
	}
	if ignored != 50*11 {
		t.Errorf("%d readings are counted as ignored, want %d: %+v", ignored, 50*11, c.Counts)
	}
	// A few slow steps among many are outliers, not news.
	for i := range 60 {
		o := shows(truth, random, 1)[1]
		if i%12 == 0 {
			o.Ms *= 4
		}
		c.Observe(o)
	}
	wantNear(t, "decode after outliers", c.Replica().Decode.StepMs(20, 30_000), truth.Decode.StepMs(20, 30_000), 0.05)
}

func TestFrozenAndReset(t *testing.T) {
	c := newCalibration(t, 1)
	random := rand.New(rand.NewPCG(4, 4))
	rows := shows(engine(t, 1, 1.3, 1.2, 1.3, 5), random, 30)
	c.Observe(rows...)
	learnt := c.Replica()
	c.Frozen = true
	c.Observe(shows(engine(t, 1, 0.9, 0.9, 0.9, 0), random, 30)...)
	if diff := cmp.Diff(learnt, c.Replica()); diff != "" {
		t.Errorf("frozen, yet moved:\n%s", diff)
	}
	c.Reset()
	if diff := cmp.Diff(newCalibration(t, 1).Replica(), c.Replica()); diff != "" {
		t.Errorf("reset, yet not the prior:\n%s", diff)
	}
}

// Whatever is shown, the coefficients stay physical and predictions stay finite, and more work takes longer.
func TestRatiosStayWithinPhysics(t *testing.T) {
	positive := rapid.Float64Range(1e-6, 1e6)
	rapid.Check(t, func(rt *rapid.T) {
		c := newCalibration(t, 1)
		for range rapid.IntRange(1, 30).Draw(rt, "readings") {
			c.Observe(Observation{
				Kind: rapid.SampledFrom(Kinds()).Draw(rt, "kind"), Ms: positive.Draw(rt, "ms"), Tokens: positive.Draw(rt, "tokens"),
				CachedTokens: positive.Draw(rt, "cached"), Sequences: positive.Draw(rt, "sequences"), ContextTokens: positive.Draw(rt, "context"),
				Prompts: rapid.Float64Range(0, 100).Draw(rt, "prompts"),
			})
		}
		for kind, p := range c.phases {
			for i, x := range c.States[kind].Ratios {
				if !(x >= p.spread.Low[i]-1e-12 && x <= p.spread.High[i]+1e-12) {
					rt.Fatalf("%s: ratio of %s is %v, allowed is %v to %v", kind, p.names[i], x, p.spread.Low[i], p.spread.High[i])
				}
			}
		}
		r := c.Replica()
		if !(r.Prefill.StepMs(2000, 0) > r.Prefill.StepMs(100, 0)) || !(r.Decode.StepMs(64, 1e5) > r.Decode.StepMs(1, 100)) {
			rt.Fatalf("more work is not slower: %+v", r)
		}
	})
}

func TestBatchFitRefusesAnotherUnit(t *testing.T) {
	m, g := qwen(t)
	rows := shows(engine(t, 1, 1, 1, 1, 0), rand.New(rand.NewPCG(5, 5)), 20)
	for i := range rows {
		rows[i].Ms /= 1000 // seconds
	}
	if _, err := FitAll(m, g, perfmodel.Options{}, rows); err == nil || !strings.Contains(err.Error(), "another unit") {
		t.Errorf("times in seconds: %v, want it to ask for the unit", err)
	}
}

func TestBatchFitLeavesContradictionsOut(t *testing.T) {
	m, g := qwen(t)
	truth := engine(t, 1, 1.1, 1.1, 1.1, 3)
	rows := shows(truth, rand.New(rand.NewPCG(6, 6)), 40)
	bad := 0
	for i := range rows {
		if i%16 == 1 { // a decode step
			rows[i].Ms *= 8
			bad++
		}
	}
	c, err := FitAll(m, g, perfmodel.Options{}, rows)
	if err != nil {
		t.Fatal(err)
	}
	wantNear(t, "decode", c.Replica().Decode.StepMs(20, 30_000), truth.Decode.StepMs(20, 30_000), 0.02)
	if n := c.Counts[Decode].Ignored[IgnoredContradicts]; n != bad {
		t.Errorf("%d contradictions are counted, want %d", n, bad)
	}
}

func TestPaddingIsFoundWhereThereIsOne(t *testing.T) {
	m, g := qwen(t)
	truth := engine(t, 1, 1, 1, 1, 1)
	for _, pad := range []int{1, 64, 256} {
		random := rand.New(rand.NewPCG(7, 7))
		var rows []Observation
		for range 80 {
			n := math.Ceil(900 * random.ExpFloat64())
			rows = append(rows, Observation{Kind: Prefill, Tokens: n, Ms: truth.Prefill.StepMs(PadTokens(n, pad), 0) * math.Exp(0.02*random.NormFloat64())})
		}
		c, err := FitAll(m, g, perfmodel.Options{}, rows)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.States[Prefill].PadTokens; got != pad {
			t.Errorf("prompts padded to %d are taken as padded to %d", pad, got)
		}
	}
}

func learntFit(t testing.TB, tp int) (Fit, *Calibration) {
	t.Helper()
	m, g := qwen(t)
	c, err := FitAll(m, g, perfmodel.Options{TP: tp}, shows(engine(t, tp, 1.3, 1.1, 1.2, 4), rand.New(rand.NewPCG(8, 8)), 60))
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.Fit()
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func TestFitFileReadsBackTheSame(t *testing.T) {
	f, c := learntFit(t, 1)
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"version", "model", "gpu", "tp", "prior", "posterior", "covariance", "prefill", "decode", "kvTransfer", "observations"} {
		if keys[key] == nil {
			t.Errorf("the file has no %s", key)
		}
	}
	back, err := ParseFit(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Error(diff)
	}
	m, g := qwen(t)
	restored, err := Restore(back, m, g, perfmodel.Options{TP: 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Replica(), restored.Replica(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Error(diff)
	}
	o := Observation{Kind: Prefill, Tokens: 3000}
	wantNear(t, "the stated uncertainty", restored.Uncertainty(o), c.Uncertainty(o), 1e-6)
	restored.Observe(shows(engine(t, 1, 1.3, 1.1, 1.2, 4), rand.New(rand.NewPCG(9, 9)), 5)...) // and it goes on learning
}

// A mixture has a coefficient more, which only steps of few sequences tell from the rest.
func TestFitOfAMixture(t *testing.T) {
	m, err := perfmodel.LookupModel("Qwen3-30B-A3B")
	if err != nil {
		t.Fatal(err)
	}
	_, g := qwen(t)
	truth, err := perfmodel.NewReplica(m, g, perfmodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	truth.Decode.ExpertReadMs *= 1.4
	random := rand.New(rand.NewPCG(10, 10))
	c, err := FitAll(m, g, perfmodel.Options{}, shows(truth, random, 100))
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.Fit()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseFit(raw)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(back, m, g, perfmodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []float64{1, 4, 16, 40} {
		wantNear(t, "decode of a mixture", restored.Replica().Decode.StepMs(b, 1500*b), truth.Decode.StepMs(b, 1500*b), 0.03)
	}
}

// What is learnt at TP 1 helps at TP 2: closer to that service than the roofline alone.
func TestFitRescalesToAnotherTP(t *testing.T) {
	f, _ := learntFit(t, 1)
	m, g := qwen(t)
	c, err := Restore(f, m, g, perfmodel.Options{TP: 2})
	if err != nil {
		t.Fatal(err)
	}
	truth, got, prior := engine(t, 2, 1.3, 1.1, 1.2, 4), c.Replica(), newCalibration(t, 2).Replica()
	if got.GPUs != 2 || got.KVCapacityTokens != prior.KVCapacityTokens {
		t.Errorf("memory is not that of TP 2: %+v", got)
	}
	for _, n := range []float64{200, 1000, 5000} {
		wantNear(t, "prefill", got.Prefill.StepMs(n, 0), truth.Prefill.StepMs(n, 0), 0.06)
	}
	for _, b := range []float64{1, 30} {
		wantNear(t, "decode", got.Decode.StepMs(b, 2000*b), truth.Decode.StepMs(b, 2000*b), 0.08)
		if math.Abs(prior.Decode.StepMs(b, 2000*b)/truth.Decode.StepMs(b, 2000*b)-1) < 0.08 {
			t.Error("the roofline alone is as close: this test shows nothing")
		}
	}
	one, err := Restore(f, m, g, perfmodel.Options{TP: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := Observation{Kind: Prefill, Tokens: 2000}
	if c.Uncertainty(o) <= one.Uncertainty(o) {
		t.Error("a rescaled fit claims to be as sure as where it was fitted")
	}
}

func TestFitOfSomethingElseIsRefused(t *testing.T) {
	f, _ := learntFit(t, 1)
	m, g := qwen(t)
	other, err := perfmodel.LookupModel("Qwen3-14B")
	if err != nil {
		t.Fatal(err)
	}
	h100, err := perfmodel.LookupGPU("H100-SXM")
	if err != nil {
		t.Fatal(err)
	}
	for want, restore := range map[string]func() (*Calibration, error){
		`of model "Qwen3-32B", not of "Qwen3-14B"`:    func() (*Calibration, error) { return Restore(f, other, g, perfmodel.Options{}) },
		`of GPU "H200-SXM", not of "H100-SXM"`:        func() (*Calibration, error) { return Restore(f, m, h100, perfmodel.Options{TP: 2}) },
		"of 2 bytes per weight and 2 per KV element":  func() (*Calibration, error) { return Restore(f, m, g, perfmodel.Options{KVBytesPerElement: 1}) },
		"the fit is of dp 1 and pp 1, not of 1 and 2": func() (*Calibration, error) { return Restore(f, m, g, perfmodel.Options{PP: 2}) },
		"tp is 3": func() (*Calibration, error) { return Restore(f, m, g, perfmodel.Options{TP: 3}) },
	} {
		if _, err := restore(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Restore: %v, want it to say %q", err, want)
		}
	}
	m.Name = "the same under another name"
	if _, err := Restore(f, m, g, perfmodel.Options{}); err != nil {
		t.Errorf("the same shape under another name: %v", err)
	}
}

func TestParseFitRefusesNamingWhatIsWrong(t *testing.T) {
	f, _ := learntFit(t, 1)
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	change := func(with func(m map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		with(m)
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	in := func(m map[string]any, path ...string) map[string]any {
		for _, key := range path {
			m = m[key].(map[string]any)
		}
		return m
	}
	for want, text := range map[string]string{
		"not a JSON object":                 "",
		"not a JSON object:":                "[]",
		"version is missing":                "{}",
		"version is 2: allowed is 1":        change(func(m map[string]any) { m["version"] = 2 }),
		`unknown field "extra"`:             change(func(m map[string]any) { m["extra"] = 2 }),
		"tp is a JSON string":               change(func(m map[string]any) { m["tp"] = "1" }),
		"tp is 0":                           change(func(m map[string]any) { m["tp"] = 0 }),
		"model or gpu is missing":           change(func(m map[string]any) { delete(m, "gpu") }),
		"prefill.padTokens is -1":           change(func(m map[string]any) { in(m, "prefill")["padTokens"] = -1 }),
		"decode.residual is 0":              change(func(m map[string]any) { delete(in(m, "decode"), "residual") }),
		"they must be the same":             change(func(m map[string]any) { in(m, "decode")["kvMsPerToken"] = 1 }),
		"the prior of overheadMs is 0":      change(func(m map[string]any) { in(m, "prior", "decode", "overheadMs")["value"] = 0 }),
		"must each hold the 6 coefficients": change(func(m map[string]any) { delete(in(m, "posterior", "prefill"), "overheadMs") }),
		"the covariance is not a symmetric": change(func(m map[string]any) { in(m, "covariance", "prefill")["matrix"].([]any)[0].([]any)[1] = 7 }),
		"matrix is not positive definite":   change(func(m map[string]any) { in(m, "covariance", "prefill")["matrix"].([]any)[0].([]any)[0] = -1 }),
		"after top-level value":             string(raw) + "{}",
		"allowed is up to":                  strings.Repeat(" ", maxFitBytes+1),
	} {
		if got, err := ParseFit([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseFit: %v, want it to say %q", err, want)
		} else if diff := cmp.Diff(Fit{}, got); diff != "" {
			t.Errorf("refused, yet returned something: %s", diff)
		}
	}
}
