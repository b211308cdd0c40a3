package planner

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) }

// twoDecode has 1,100 tokens of context per running sequence (half of the
// output on average), so that half of two replicas' cache is 683.3 sequences.
func twoDecode() Input {
	in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: 2, input: 1000, output: 200})
	s := &in.Snapshot.Signals
	s.DecodeWaiting, s.DecodeKVUseMax = in.fresh(12), in.fresh(0.97)
	return in
}

func TestBackPressureNeedsAFullCacheThatRunningSequencesHold(t *testing.T) {
	half := sharedService.Decode.KVCapacityTokens / 1100 // of two replicas
	for name, c := range map[string]struct {
		change func(*Input)
		want   bool
	}{
		"running sequences hold half of it": {func(in *Input) { in.Snapshot.Signals.DecodeRunning = in.fresh(math.Ceil(half)) }, true},
		"they hold less: prefill is slow and the blocks are only reserved": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning = in.fresh(math.Floor(half))
		}, false},
		"none runs":                 {func(in *Input) { in.Snapshot.Signals.DecodeRunning = Zero(in.Now, "test") }, false},
		"how many run is not known": {func(in *Input) { in.Snapshot.Signals.DecodeRunning = Unknown("old engine") }, true},
		"how many run is old": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning = Known(1, in.before(61), "test")
		}, true},
		"prompts are not known": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning, in.Snapshot.Signals.InputTokens = in.fresh(1), Unknown("no histogram")
		}, true},
		"outputs are not known": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning, in.Snapshot.Signals.OutputTokens = in.fresh(1), Unknown("no histogram")
		}, true},
		"one of two replicas starts and holds nothing": {func(in *Input) {
			in.Snapshot.Decode.Replicas[1].State, in.Snapshot.Decode.Replicas[1].Since = Starting, in.Now
			in.Snapshot.Signals.DecodeRunning = in.fresh(math.Ceil(half / 2))
		}, true},
		"nobody waits in decode":       {func(in *Input) { in.Snapshot.Signals.DecodeWaiting = Zero(in.Now, "test") }, false},
		"whether anybody waits is old": {func(in *Input) { in.Snapshot.Signals.DecodeWaiting = Known(12, in.before(61), "test") }, false},
		"one waits, and the cache is just full": {func(in *Input) {
			in.Snapshot.Signals.DecodeWaiting, in.Snapshot.Signals.DecodeKVUseMax = in.fresh(1), in.fresh(0.9)
		}, true},
		"the cache is not full": {func(in *Input) { in.Snapshot.Signals.DecodeKVUseMax = in.fresh(0.89) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := twoDecode()
			c.change(&in)
			in.Snapshot.Signals.PrefillWaiting = in.fresh(400)
			d, _ := Plan(in)
			if got := hasNote(d, ReasonBackPressure); got != c.want {
				t.Fatalf("back-pressure: %v, want %v", got, c.want)
			}
			if got := d.Prefill.Demand.BacklogPerSecond == 0; got != c.want {
				t.Errorf("prefill's queue counts as %g requests/s", d.Prefill.Demand.BacklogPerSecond)
			}
			if c.want && !strings.Contains(d.Prefill.Because, "wait in decode") {
				t.Errorf("prefill's reason does not name decode: %s", d.Prefill.Because)
			}
		})
	}
}

func TestBackPressureMakesALateFirstTokenDecodesOwn(t *testing.T) {
	for _, held := range []bool{true, false} {
		in := twoDecode()
		if !held {
			in.Snapshot.Signals.DecodeKVUseMax = in.fresh(0.5)
		}
		in.Snapshot.Signals.TTFTMs = Quantile{Reading: in.fresh(9000)}
		in.Memory.Prefill.BreachSince, in.Memory.Decode.BreachSince = in.before(60), in.before(60)
		d, m := Plan(in)
		if grown := [2]int{d.Prefill.To - 2, d.Decode.To - 2}; held && grown != [2]int{0, 1} || !held && grown != [2]int{1, 0} {
			t.Errorf("decode is at fault: %v, and the roles grow by %v", held, grown)
		}
		if m.Prefill.BreachSince.IsZero() != held || m.Decode.BreachSince.IsZero() == held {
			t.Errorf("decode is at fault: %v, and the breaches began %v and %v", held, m.Prefill.BreachSince, m.Decode.BreachSince)
		}
	}
}

func TestSequencesInFlightSayThatOutputsAreLonger(t *testing.T) {
	l := load{rate: 4, input: 1500, output: 300}
	expected := 2 * sharedService.DecodePool(2, capacity.Traffic{RequestsPerSecond: 4, ArrivalSCV: 1,
		Input: capacity.Lengths{Mean: 1500, SCV: 1}, Output: OutputLengths(300, 1)}).Sequences
	// surely(n) is n less the model's error of a tenth and its own chance, two standard deviations.
	surely := func(n float64) float64 { return n/1.1 - 2*math.Sqrt(n) }
	for name, c := range map[string]struct {
		change func(*Input)
		want   float64
	}{
		"as many as expected":          {func(in *Input) { in.Snapshot.Signals.DecodeRunning = in.fresh(expected) }, 1},
		"more, but that may be chance": {func(in *Input) { in.Snapshot.Signals.DecodeRunning = in.fresh(expected + 2*math.Sqrt(expected)) }, 1},
		"twice as many":                {func(in *Input) { in.Snapshot.Signals.DecodeRunning = in.fresh(2 * expected) }, surely(2*expected) / expected},
		"ten times as many":            {func(in *Input) { in.Snapshot.Signals.DecodeRunning = in.fresh(10 * expected) }, 2},
		"fewer":                        {func(in *Input) { in.Snapshot.Signals.DecodeRunning = in.fresh(expected / 3) }, 1},
		"not known":                    {func(in *Input) { in.Snapshot.Signals.DecodeRunning = Unknown("old engine") }, 1},
		"old":                          {func(in *Input) { in.Snapshot.Signals.DecodeRunning = Known(2*expected, in.before(61), "test") }, 1},
		"those that wait count only where decode makes them wait": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning, in.Snapshot.Signals.DecodeWaiting = in.fresh(expected), in.fresh(expected)
		}, 1},
		"and there they do": {func(in *Input) {
			s := &in.Snapshot.Signals
			s.DecodeRunning, s.DecodeWaiting, s.DecodeKVUseMax, s.InputTokens = in.fresh(expected), in.fresh(expected), in.fresh(0.97), Unknown("no histogram")
			in.Memory.Requests = []forecast.Sample{{At: in.before(10), Value: 4}}
			in.Memory.Input, in.Memory.Output = []forecast.Sample{{At: in.before(10), Value: 6000}}, []forecast.Sample{{At: in.before(10), Value: 1200}}
		}, surely(2*expected) / expected},
		"more will come, and those in flight are of now": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning = in.fresh(2 * expected)
			for i := range 20 {
				at, rate := in.before(float64(10*(20-i))), 2+0.1*float64(i)
				in.Memory.Requests = append(in.Memory.Requests, forecast.Sample{At: at, Value: rate})
				in.Memory.Input = append(in.Memory.Input, forecast.Sample{At: at, Value: 1500 * rate})
				in.Memory.Output = append(in.Memory.Output, forecast.Sample{At: at, Value: 300 * rate})
			}
		}, surely(2*expected) / expected},
		"no replica is ready to run them": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning = in.fresh(2 * expected)
			for i := range in.Snapshot.Decode.Replicas {
				in.Snapshot.Decode.Replicas[i].State = Starting
			}
		}, 1},
		"nothing arrives any more": {func(in *Input) {
			in.Snapshot.Signals.DecodeRunning, in.Snapshot.Signals.RequestsPerSecond = in.fresh(2*expected), Zero(in.Now, "test")
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{2, 2}, have{2, 2}, l)
			c.change(&in)
			d, _ := Plan(in)
			if got := d.Decode.Demand.InFlightFactor; math.Abs(got-c.want) > 1e-6 {
				t.Fatalf("outputs are taken for %.3f times as long, want %.3f", got, c.want)
			}
			if got := d.Prefill.Demand; got.InFlightFactor != 1 || got.RequestsPerSecond > 0 && !near(got.OutputTokens, 300) {
				t.Errorf("prefill is sized for outputs of %g tokens", got.OutputTokens)
			}
			if d.Decode.Demand.RequestsPerSecond > 0 && !near(d.Decode.Demand.OutputTokens, 300*c.want) {
				t.Errorf("decode is sized for outputs of %g tokens, want %g", d.Decode.Demand.OutputTokens, 300*c.want)
			}
		})
	}
}

func TestQueueAddsToDemand(t *testing.T) {
	// Of 2 requests/s, 4 may wait within an objective of 2 s. A replica asked for
	// now serves in 50 s: 40 s of start-up and the interval.
	past := func(in *Input, rate float64) {
		in.Memory.Requests, in.Memory.Input, in.Memory.Output = one(in, 3000, rate), one(in, 3000, rate*3000), one(in, 3000, rate*100)
	}
	for name, c := range map[string]struct {
		change func(*Input)
		want   float64
	}{
		"as many as may wait":     {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = in.fresh(4) }, 0},
		"one more":                {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = in.fresh(5) }, 1.0 / 50},
		"fifty more":              {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = in.fresh(54) }, 1},
		"never more than arrives": {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = in.fresh(10_000) }, 2},
		"or has arrived":          {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = in.fresh(10_000); past(in, 6) }, 6},
		"not known":               {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = Unknown("NATS does not answer") }, 0},
		"old":                     {func(in *Input) { in.Snapshot.Signals.PrefillWaiting = Known(54, in.before(61), "test") }, 0},
		"start-up measured at 15 s": {func(in *Input) {
			in.Snapshot.Signals.PrefillWaiting = in.fresh(54)
			in.Snapshot.Prefill.StartupSeconds = in.fresh(15)
		}, 2},
		"start-up longer than its time": {func(in *Input) {
			in.Snapshot.Signals.PrefillWaiting = in.fresh(314)
			in.Snapshot.Prefill.StartupSeconds = in.fresh(900)
		}, 1},
		"nothing arrives any more, 100 wait": {func(in *Input) {
			in.Snapshot.Signals.PrefillWaiting, in.Snapshot.Signals.RequestsPerSecond = in.fresh(100), Zero(in.Now, "test")
			in.Snapshot.Signals.InputTokens, in.Snapshot.Signals.OutputTokens = Unknown("idle"), Unknown("idle")
			past(in, 6)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{2, 2}, have{1, 1}, load{rate: 2, input: 3000, output: 100})
			c.change(&in)
			d, _ := Plan(in)
			got := d.Prefill.Demand
			if !near(got.BacklogPerSecond, c.want) {
				t.Fatalf("the queue counts as %g requests/s, want %g", got.BacklogPerSecond, c.want)
			}
			if !near(got.RequestsPerSecond, got.NowPerSecond+c.want) || got.InputTokens != 3000 {
				t.Errorf("prefill is sized for %g requests/s of %g tokens", got.RequestsPerSecond, got.InputTokens)
			}
			if d.Decode.Demand.BacklogPerSecond != 0 || d.Decode.Demand.RequestsPerSecond != got.NowPerSecond {
				t.Errorf("prefill's queue counts as decode's: %+v", d.Decode.Demand)
			}
		})
	}
}

// TestForecastIsOfARolesOwnTokens: demand is for the time when a new replica of
// the role would serve, for the larger of now and then, in requests as long as
// those now: more of them and longer ones are the same work.
func TestForecastIsOfARolesOwnTokens(t *testing.T) {
	series := func(in *Input, from, to float64) (s []forecast.Sample) {
		for i := range 20 {
			s = append(s, forecast.Sample{At: in.before(float64(10 * (20 - i))), Value: from + (to-from)*float64(i)/20})
		}
		return s
	}
	const rate, input, output = 4.0, 2000.0, 300.0
	for name, c := range map[string]struct {
		requests, input, output float64 // 200 s ago; now they are 4, 8000 and 1200 per second
		prefill, decode         bool    // is sized for more than now
	}{
		"steady":           {4, 8000, 1200, false, false},
		"more of the same": {2, 4000, 600, true, true},
		"fewer":            {8, 16000, 2400, false, false},
		"longer prompts":   {4, 4000, 1200, true, false},
		"longer outputs":   {4, 8000, 600, false, true},
		"shorter prompts":  {4, 16000, 1200, false, false},
		"more of less":     {2, 8000, 1200, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: rate, input: input, output: output})
			in.Memory.Requests, in.Memory.Input, in.Memory.Output = series(&in, c.requests, 4), series(&in, c.input, 8000), series(&in, c.output, 1200)
			in.Snapshot.Prefill.StartupSeconds = in.fresh(25) // a measured start-up counts for its own role
			d, m := Plan(in)
			prompts, _ := forecast.Ahead(m.Input, in.Now, 35*time.Second)
			outputs, _ := forecast.Ahead(m.Output, in.Now, 50*time.Second)
			for role, want := range map[Role]struct {
				ahead float64
				more  bool
			}{Prefill: {prompts / input, c.prefill}, Decode: {outputs / output, c.decode}} {
				got := d.role(role).Demand
				if !near(got.ForecastPerSecond, want.ahead) || got.NowPerSecond != rate || !near(got.RequestsPerSecond, max(want.ahead, rate)) {
					t.Errorf("%s: %+v, where %g requests/s are expected", role, got, want.ahead)
				}
				if more := got.RequestsPerSecond > 1.03*rate; more != want.more || got.InputTokens != input || got.OutputTokens != output {
					t.Errorf("%s is sized for %g requests/s of %g and %g tokens", role, got.RequestsPerSecond, got.InputTokens, got.OutputTokens)
				}
			}
		})
	}
}

// TestHeadroomIsOnTopOfWhatIsExpected: of both roles' demand, but not of a queue.
func TestHeadroomIsOnTopOfWhatIsExpected(t *testing.T) {
	for headroom, want := range map[float64]float64{0: 3, 0.5: 4, -0.25: 2.5} {
		in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: 2, input: 3000, output: 100})
		in.Spec.Behavior.Headroom = headroom
		in.Snapshot.Signals.PrefillWaiting = in.fresh(54) // 1/s to work off
		d, _ := Plan(in)
		for role, backlog := range map[Role]float64{Prefill: 1, Decode: 0} {
			if got := d.role(role).Demand; !near(got.RequestsPerSecond, want-1+backlog) || math.Abs(got.HeadroomPerSecond-2*headroom) > 1e-9 || got.BacklogPerSecond != backlog {
				t.Errorf("with a headroom of %g %s is sized for %+v", headroom, role, got)
			}
		}
	}
}

// TestLocalPrefillMovesItsWork: what decode replicas prefill themselves is no
// work of prefill's, and makes their own tokens later.
func TestLocalPrefillMovesItsWork(t *testing.T) {
	at := func(share float64) Decision {
		spec := testSpec()
		spec.BudgetGPUs, spec.LocalPrefillShare = 0, share
		d, _ := Plan(settled(spec, have{1, 1}, have{1, 1}, load{rate: 12, input: 4000, output: 300}))
		return d
	}
	none, half := at(0), at(0.5)
	if 2*half.Prefill.Wanted > none.Prefill.Wanted+1 || half.Prefill.Wanted < 1 {
		t.Errorf("prefill needs %d replicas, and %d where half of the requests are prefilled elsewhere", none.Prefill.Wanted, half.Prefill.Wanted)
	}
	if half.Decode.Wanted <= none.Decode.Wanted {
		t.Errorf("decode needs %d replicas, and %d with half of the prompts on top", none.Decode.Wanted, half.Decode.Wanted)
	}
	for _, share := range []float64{-0.1, 1, math.NaN(), math.Inf(1)} {
		if d := at(share); d.Prefill.Binding != ReasonInvalidSpec {
			t.Errorf("a share of %g was planned with", share)
		}
	}
}
