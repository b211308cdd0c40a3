package calibrate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

func learners(t testing.TB, tp int) map[Kind]*Learner {
	t.Helper()
	m, g := qwen(t)
	belief, err := perfmodel.NewBelief(m, g, perfmodel.Options{TP: tp})
	if err != nil {
		t.Fatal(err)
	}
	all := map[Kind]*Learner{}
	for _, kind := range []Kind{Prefill, Decode} {
		if all[kind], err = NewLearner(kind, belief, "an engine"); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// interval is ten seconds of two replicas of a service, whose load goes up and down.
func interval(kind Kind, truth perfmodel.Replica, random *rand.Rand) Interval {
	noise := math.Exp(0.02 * random.NormFloat64())
	i := Interval{Replicas: 2, Seconds: 10}
	if kind == Prefill {
		i.LengthSCV, i.MostRunning = 1, 1
		for range 40 {
			n := math.Ceil(1200 * random.ExpFloat64())
			i.PromptTokens += n
			i.PrefillSeconds += truth.Prefill.StepMs(n, 0) * noise / 1000
		}
		i.Prompts, i.GeneratedTokens = 40, 40
		return i
	}
	b, context := 5+50*random.Float64(), 500+2500*random.Float64()
	ms := truth.Decode.StepMs(b, b*context) * noise
	i.GapSeconds = b * i.Seconds * i.Replicas
	i.Gaps = i.GapSeconds * 1000 / ms
	i.Running, i.HeldTokens = 2*b, 2*b*context
	return i
}

// A service that is slower at decode and faster at prefill than the prior is learnt from a few minutes of intervals.
func TestOnlineLearnsWhatIntervalsShow(t *testing.T) {
	prior := engine(t, 2, 1, 1, 1, 0)
	truth := scaled(prior, 0.8, 1.3)
	random := rand.New(rand.NewPCG(1, 2))
	for kind, l := range learners(t, 2) {
		var o Online
		for n := range 60 {
			before := o
			var why Refusal
			if o, why = l.Learn(o, interval(kind, truth, random)); why != "" {
				t.Fatalf("%s, interval %d: refused: %s", kind, n, why)
			}
			if r, learnt := l.Replica(o); learnt != (n+1 >= fewestObservations) || !learnt && r != l.replica {
				t.Fatalf("%s: after %d intervals learnt is %v", kind, n+1, learnt)
			}
			if before.Used != n {
				t.Fatalf("%s: Learn changed the state that it was given", kind)
			}
		}
		got, _ := l.Replica(o)
		if kind == Prefill {
			for _, n := range []float64{300, 1200, 4000} {
				wantNear(t, "prefill", got.Prefill.StepMs(n, 0), truth.Prefill.StepMs(n, 0), 0.04)
			}
			if got.Decode != prior.Decode {
				t.Error("prefill's learner changed decode")
			}
		} else {
			for _, b := range []float64{5, 30, 60} {
				wantNear(t, "decode", got.Decode.StepMs(b, 1500*b), truth.Decode.StepMs(b, 1500*b), 0.03)
			}
		}
		u := o.InUse
		t.Logf("%s: %d intervals, step ratio %.3f +- %.3f, error %.1f %% before and %.1f %% after", kind, u.Observations, u.StepRatio, u.Uncertainty, 100*u.PriorError, 100*u.LearntError)
		if u.PriorError < 0.15 || u.LearntError > 0.05 || u.Uncertainty > 0.03 {
			t.Errorf("%s: %+v", kind, u)
		}
	}
}

// scaled is a replica whose steps all take so many times as long.
func scaled(r perfmodel.Replica, prefill, decode float64) perfmodel.Replica {
	p, d := r.Prefill.Coefficients(), r.Decode.Coefficients()
	for i := range p {
		p[i] *= prefill
	}
	for i := range d {
		d[i] *= decode
	}
	r.Prefill, r.Decode = r.Prefill.WithCoefficients(p), r.Decode.WithCoefficients(d)
	return r
}

// What is in use stands still while the service does, so that neither a decision nor the status follows noise.
func TestOnlineStandsStillWhereTheServiceDoes(t *testing.T) {
	truth := scaled(engine(t, 2, 1, 1, 1, 0), 0.9, 1.2)
	random := rand.New(rand.NewPCG(3, 4))
	for kind, l := range learners(t, 2) {
		var o Online
		changes, late := 0, 0
		for n := range 1000 {
			before := o.InUse
			o, _ = l.Learn(o, interval(kind, truth, random))
			if !cmp.Equal(before, o.InUse) {
				if changes++; n >= 200 {
					late++
				}
			}
		}
		t.Logf("%s: %d changes in 1000 intervals, %d after the first 200", kind, changes, late)
		if changes == 0 || changes > 20 || late > 6 {
			t.Errorf("%s: what is in use changed %d times, %d of them after the first 200", kind, changes, late)
		}
	}
}

// An upgrade or a throttled GPU is another service: it is followed within minutes, not within half-lives.
func TestOnlineFollowsAServiceThatChanges(t *testing.T) {
	first, then := scaled(engine(t, 2, 1, 1, 1, 0), 1, 1), scaled(engine(t, 2, 1, 1, 1, 0), 1.5, 1.5)
	random := rand.New(rand.NewPCG(5, 6))
	for kind, l := range learners(t, 2) {
		var o Online
		for range 300 {
			o, _ = l.Learn(o, interval(kind, first, random))
		}
		taken := 0
		for ; taken < 200 && math.Abs(o.InUse.StepRatio/1.5-1) > 0.05; taken++ {
			o, _ = l.Learn(o, interval(kind, then, random))
		}
		t.Logf("%s: %d intervals until within 5 %%", kind, taken)
		if taken > 40 {
			t.Errorf("%s: %d intervals of 10 s until a service half as slow again is known within 5 %%", kind, taken)
		}
	}
}

func TestOnlineRefusesWithAReason(t *testing.T) {
	truth := engine(t, 2, 1, 1, 1, 0)
	for name, c := range map[string]struct {
		kind Kind
		want Refusal
		with func(*Interval)
	}{
		"nothing read":                {Decode, RefusedUnread, func(i *Interval) { *i = Interval{} }},
		"nothing done":                {Decode, RefusedIdle, func(i *Interval) { i.Gaps, i.GapSeconds, i.Running = 0, 0, 0 }},
		"no prompt":                   {Prefill, RefusedIdle, func(i *Interval) { i.Prompts, i.PrefillSeconds, i.PromptTokens = 0, 0, 0 }},
		"the reader's doubt":          {Decode, RefusedChanging, func(i *Interval) { i.Doubt = RefusedChanging }},
		"a doubt nobody knows":        {Decode, RefusedContradictory, func(i *Interval) { i.Doubt = "whatever" }},
		"not a number":                {Decode, RefusedNotNumbers, func(i *Interval) { i.GapSeconds = math.NaN() }},
		"without end":                 {Prefill, RefusedNotNumbers, func(i *Interval) { i.PromptTokens = math.Inf(1) }},
		"negative":                    {Prefill, RefusedNotNumbers, func(i *Interval) { i.PrefillSeconds = -1 }},
		"few gaps":                    {Decode, RefusedFew, func(i *Interval) { i.Gaps, i.GapSeconds, i.Running, i.HeldTokens = 100, 1.2, 0.1, 100 }},
		"few prompts":                 {Prefill, RefusedFew, func(i *Interval) { i.Prompts, i.PromptTokens, i.PrefillSeconds, i.GeneratedTokens = 2, 4000, 0.2, 2 }},
		"all of it cached":            {Prefill, RefusedFew, func(i *Interval) { i.CachedTokens = i.PromptTokens - 500 }},
		"more cached than asked":      {Prefill, RefusedContradictory, func(i *Interval) { i.CachedTokens = 2 * i.PromptTokens }},
		"prompts at once":             {Prefill, RefusedTogether, func(i *Interval) { i.MostRunning = 3 }},
		"a busy engine that batches":  {Prefill, RefusedTogether, func(i *Interval) { i.Batches, i.PrefillSeconds = true, 7 }},
		"more than all the time":      {Prefill, RefusedTogether, func(i *Interval) { i.PrefillSeconds = 25 }},
		"prefill replicas decode":     {Prefill, RefusedMixed, func(i *Interval) { i.GeneratedTokens = 4000 }},
		"prompts between steps":       {Decode, RefusedPrefillOnDecode, func(i *Interval) { i.LateShare = 0.05 }},
		"a full cache":                {Decode, RefusedFull, func(i *Interval) { i.KVUseMax = 0.99 }},
		"gaps in milliseconds":        {Decode, RefusedContradictory, func(i *Interval) { i.GapSeconds *= 1000 }},
		"gaps in kiloseconds":         {Decode, RefusedContradictory, func(i *Interval) { i.GapSeconds /= 1000 }},
		"prefill in milliseconds":     {Prefill, RefusedTogether, func(i *Interval) { i.PrefillSeconds *= 1000 }},
		"prefill in kiloseconds":      {Prefill, RefusedImplausible, func(i *Interval) { i.PrefillSeconds /= 1000 }},
		"tokens counted as thousands": {Prefill, RefusedFew, func(i *Interval) { i.PromptTokens /= 1000 }},
		"no context known":            {Decode, RefusedNotExported, func(i *Interval) { i.HeldTokens = 0 }},
		"lengths and cache disagree":  {Decode, RefusedContradictory, func(i *Interval) { i.InputTokens, i.OutputTokens = 100_000, 100 }},
		"gaps without their time":     {Decode, RefusedContradictory, func(i *Interval) { i.GapSeconds = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			l := learners(t, 2)[c.kind]
			i := interval(c.kind, truth, rand.New(rand.NewPCG(7, 8)))
			c.with(&i)
			o, why := l.Learn(Online{}, i)
			if why != c.want || o.Used != 0 || o.Refused[c.want] != 1 || o.MostRefused() != c.want {
				t.Errorf("refused for %q, want %q: %+v", why, c.want, o.Refused)
			}
			if r, learnt := l.Replica(o); learnt || r != l.replica {
				t.Error("the model was changed by what was refused")
			}
		})
	}
}

// Once prompts were seen to be computed together, the busy intervals in which none of it shows teach nothing either.
func TestOnlineRemembersThatPromptsAreBatched(t *testing.T) {
	l := learners(t, 2)[Prefill]
	busy := interval(Prefill, scaled(engine(t, 2, 1, 1, 1, 0), 3, 1), rand.New(rand.NewPCG(1, 1)))
	if _, why := l.Learn(Online{}, busy); why != "" {
		t.Fatalf("refused for %s", why)
	}
	seen := busy
	seen.MostRunning = 2
	o, _ := l.Learn(Online{}, seen)
	if _, why := l.Learn(o, busy); why != RefusedTogether {
		t.Errorf("refused for %q", why)
	}
}

// anyInterval draws what no service shows, and what one shows in a wrong unit.
func anyInterval(t *rapid.T, kind Kind, truth perfmodel.Replica) Interval {
	good := interval(kind, truth, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 9)))
	odd := rapid.SampledFrom([]float64{1, 1, 1, 1, 0.5, 2, 0, -1, 1e-3, 1e3, 1e-6, 1e6, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)})
	for _, field := range []*float64{&good.Replicas, &good.Seconds, &good.Gaps, &good.GapSeconds, &good.LateShare, &good.Running, &good.HeldShares, &good.HeldTokens, &good.ContextTokens,
		&good.KVUseMax, &good.InputTokens, &good.OutputTokens, &good.OutputSCV, &good.Prompts, &good.PrefillSeconds, &good.PromptTokens, &good.CachedTokens,
		&good.LengthSCV, &good.MostRunning, &good.GeneratedTokens} {
		*field *= odd.Draw(t, "times")
	}
	good.Doubt = rapid.SampledFrom(append(Refusals(), "", "", "", "nonsense")).Draw(t, "doubt")
	return good
}

// Whatever is shown, no step becomes less than LeastRatio of the prior's or more than MostRatio, and nothing is not a number.
func TestOnlineStaysWithinItsBounds(t *testing.T) {
	prior := engine(t, 2, 1, 1, 1, 0)
	all := learners(t, 2)
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom([]Kind{Prefill, Decode}).Draw(rt, "kind")
		truth := scaled(prior, rapid.Float64Range(0.1, 10).Draw(rt, "prefill"), rapid.Float64Range(0.1, 10).Draw(rt, "decode"))
		l := all[kind]
		var o Online
		for range rapid.IntRange(1, 40).Draw(rt, "intervals") {
			i := interval(kind, truth, rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 10)))
			if rapid.Bool().Draw(rt, "garbage") {
				i = anyInterval(rt, kind, truth)
			}
			o, _ = l.Learn(o, i)
		}
		r, _ := l.Replica(o)
		for _, n := range []float64{1, 64, 1000, 20_000} {
			for what, ratio := range map[string]float64{
				"prefill": r.Prefill.StepMs(n, n) / prior.Prefill.StepMs(n, n), "decode": r.Decode.StepMs(n/50, 20*n) / prior.Decode.StepMs(n/50, 20*n),
			} {
				if !(ratio >= LeastRatio-1e-9 && ratio <= MostRatio+1e-9) {
					rt.Fatalf("%s of %v takes %v times the prior's", what, n, ratio)
				}
			}
		}
		packed, err := o.Pack()
		if err != nil || len(packed) > MaxPacked {
			rt.Fatalf("%d bytes, %v", len(packed), err)
		}
		back, err := Unpack(kind, packed)
		if err != nil {
			rt.Fatalf("%s: %v", packed, err)
		}
		if got, _ := l.Replica(back); !cmp.Equal(r, got, cmpopts.EquateApprox(1e-5, 0)) {
			rt.Fatalf("unpacked it is another replica: %s", cmp.Diff(r, got))
		}
	})
}

// A restart goes on where it was: the same intervals lead to the same model.
func TestOnlineSurvivesPacking(t *testing.T) {
	truth := scaled(engine(t, 2, 1, 1, 1, 0), 0.85, 1.25)
	for kind, l := range learners(t, 2) {
		random := rand.New(rand.NewPCG(11, 12))
		var o, restarted Online
		for n := range 80 {
			i := interval(kind, truth, random)
			o, _ = l.Learn(o, i)
			restarted, _ = l.Learn(restarted, i)
			if n%20 == 10 {
				text, err := restarted.Pack()
				if err != nil {
					t.Fatal(err)
				}
				if restarted, err = Unpack(kind, text); err != nil {
					t.Fatal(err)
				}
				if n == 10 {
					t.Logf("%s: %d bytes", kind, len(text))
				}
			}
		}
		a, _ := l.Replica(o)
		b, _ := l.Replica(restarted)
		if diff := cmp.Diff(a, b, cmpopts.EquateApprox(1e-3, 0)); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
}

// What was learnt of another model, GPU, parallelism or engine is not used: the prior speaks.
func TestOnlineOfSomethingElseStartsOver(t *testing.T) {
	m, g := qwen(t)
	h100, err := perfmodel.LookupGPU("H100-SXM")
	if err != nil {
		t.Fatal(err)
	}
	small, err := perfmodel.LookupModel("Qwen3-14B")
	if err != nil {
		t.Fatal(err)
	}
	l := learners(t, 2)[Decode]
	random := rand.New(rand.NewPCG(13, 14))
	truth := scaled(engine(t, 2, 1, 1, 1, 0), 1, 1.3)
	var o Online
	for range 20 {
		o, _ = l.Learn(o, interval(Decode, truth, random))
	}
	if _, learnt := l.Replica(o); !learnt {
		t.Fatal("nothing was learnt")
	}
	for name, c := range map[string]struct {
		m  perfmodel.Model
		g  perfmodel.GPU
		tp int
		of string
	}{
		"another model": {small, g, 2, "an engine"}, "another GPU": {m, h100, 2, "an engine"}, "another TP": {m, g, 4, "an engine"}, "another engine": {m, g, 2, "sglang"},
	} {
		belief, err := perfmodel.NewBelief(c.m, c.g, perfmodel.Options{TP: c.tp})
		if err != nil {
			t.Fatal(err)
		}
		other, err := NewLearner(Decode, belief, c.of)
		if err != nil {
			t.Fatal(err)
		}
		if r, learnt := other.Replica(o); learnt || r != belief.Replica {
			t.Errorf("%s: what was learnt is still used", name)
		}
		next, _ := other.Learn(o, Interval{})
		if next.Used != 0 || next.InUse.Ratios != nil {
			t.Errorf("%s: %+v", name, next)
		}
	}
}

// After a rollout the best guess stays in use, and is given up readily.
func TestLoosenKeepsTheGuess(t *testing.T) {
	l := learners(t, 2)[Decode]
	random := rand.New(rand.NewPCG(15, 16))
	var o Online
	for range 60 {
		o, _ = l.Learn(o, interval(Decode, scaled(engine(t, 2, 1, 1, 1, 0), 1, 1.3), random))
	}
	before, _ := l.Replica(o)
	loose := l.Loosen(o)
	if after, _ := l.Replica(loose); after != before {
		t.Errorf("a rollout alone changed the model: %s", cmp.Diff(before, after))
	}
	for range 10 {
		loose, _ = l.Learn(loose, interval(Decode, engine(t, 2, 1, 1, 1, 0), random))
		o, _ = l.Learn(o, interval(Decode, engine(t, 2, 1, 1, 1, 0), random))
	}
	if math.Abs(loose.InUse.StepRatio-1) > 0.05 {
		t.Errorf("ten intervals after the rollout steps are taken for %.2f of the prior's", loose.InUse.StepRatio)
	}
}

func TestUnpackRefusesNamingWhatIsWrong(t *testing.T) {
	var o Online
	l := learners(t, 2)[Prefill]
	for range 8 {
		o, _ = l.Learn(o, interval(Prefill, engine(t, 2, 1, 1, 1, 0), rand.New(rand.NewPCG(17, 18))))
	}
	good, err := o.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"unexpected end":            "",
		"version is 0":              "{}",
		"version is 9":              strings.Replace(good, `"v":1`, `"v":9`, 1),
		"not of one model":          strings.Replace(good, `"s":[`, `"s":[1,`, 1),
		"a count is negative":       strings.Replace(good, `"n":8`, `"n":-8`, 1),
		"positive definite":         strings.Replace(good, `"p":[`, `"p":[-`, 1),
		"a ratio to the prior":      strings.Replace(good, `"r":[`, `"r":[9`, 1),
		"allowed is up to":          strings.Repeat(" ", MaxPacked+1),
		"is a JSON string":          strings.Replace(good, `"n":8`, `"n":"8"`, 1),
		"invalid character":         "{",
		fmt.Sprint(packVersion + 1): strings.Replace(good, `"v":1`, `"v":2`, 1),
	} {
		if _, err := Unpack(Prefill, text); err == nil || !strings.Contains(err.Error(), want) && want != "invalid character" {
			t.Errorf("Unpack(%.40q): %v, want it to say %q", text, err, want)
		}
	}
	if _, err := Unpack(KVTransfer, good); err == nil {
		t.Error("a transfer has no online learner")
	}
}

// FuzzUnpack: whatever a status holds, learning goes on within its bounds or from the prior.
func FuzzUnpack(f *testing.F) {
	l := learners(f, 2)[Decode]
	truth := engine(f, 2, 1, 1, 1, 0)
	var o Online
	random := rand.New(rand.NewPCG(19, 20))
	for range 12 {
		o, _ = l.Learn(o, interval(Decode, truth, random))
	}
	good, err := o.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("{}")
	f.Add(strings.Replace(good, "1", "1e300", 3))
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Unpack(Decode, text)
		if err != nil {
			return
		}
		o.Of = l.of
		for range 3 {
			o, _ = l.Learn(o, interval(Decode, truth, rand.New(rand.NewPCG(1, 1))))
		}
		r, _ := l.Replica(o)
		if ratio := r.Decode.StepMs(10, 1e4) / l.replica.Decode.StepMs(10, 1e4); !(ratio >= LeastRatio-1e-9 && ratio <= MostRatio+1e-9) {
			t.Fatalf("a step takes %v times the prior's", ratio)
		}
	})
}
