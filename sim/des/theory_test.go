package des

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// drawn gives n requests with Poisson arrivals, lengths drawn by a function.
type drawn struct {
	n       int
	rate    float64
	at      float64 // seconds
	random  *rand.Rand
	lengths func(*rand.Rand) (input, output int32)
}

func (s *drawn) Next() (trace.Request, bool) {
	if s.n == 0 {
		return trace.Request{}, false
	}
	s.n--
	s.at += s.random.ExpFloat64() / s.rate
	in, out := s.lengths(s.random)
	return trace.Request{At: time.Duration(s.at * float64(time.Second)), InputTokens: in, OutputTokens: out}, true
}

func poisson(n int, rate float64, lengths func(*rand.Rand) (int32, int32)) *drawn {
	return &drawn{n: n, rate: rate, random: rand.New(rand.NewPCG(1, 2)), lengths: lengths}
}

func exponential(mean float64) func(*rand.Rand) (int32, int32) {
	return func(r *rand.Rand) (int32, int32) { return 1 + int32(mean*r.ExpFloat64()), 1 }
}

func constant(in, out int32) func(*rand.Rand) (int32, int32) {
	return func(*rand.Rand) (int32, int32) { return in, out }
}

// meanWaitMs plays prompts of 0.1 ms per token and returns their mean wait for prefill and their mean service.
func meanWaitMs(t *testing.T, prefill int, s *drawn) (wait, service float64) {
	t.Helper()
	cfg := config(prefill, 1)
	cfg.Service.Prefill.Prefill = perfmodel.Prefill{GEMMMsPerToken: 0.1}
	cfg.Service.Decode.KVCapacityTokens = 1e9 // no back-pressure
	n := 0.0
	cfg.OnEnd = func(r Record) {
		own := cfg.Service.Prefill.Prefill.StepMs(float64(r.InputTokens), 0)
		wait, service, n = wait+r.TTFTMs()-own, service+own, n+1
	}
	e := start(t, cfg, s)
	if !e.Finish(1000 * time.Hour) {
		t.Fatal("it did not end")
	}
	return wait / n, service / n
}

// One prefill replica with exponential service is the M/M/1 queue: W = rho*S/(1-rho).
func TestPrefillIsMM1(t *testing.T) {
	for _, rho := range []float64{0.3, 0.6, 0.8} {
		wait, service := meanWaitMs(t, 1, poisson(400_000, rho*10, exponential(1000)))
		near(t, "M/M/1 wait", wait, rho*service/(1-rho), 0.04)
	}
}

// With constant service it is M/D/1: W = rho*S/(2*(1-rho)).
func TestPrefillIsMD1(t *testing.T) {
	for _, rho := range []float64{0.3, 0.6, 0.8} {
		wait, service := meanWaitMs(t, 1, poisson(400_000, rho*10, constant(1000, 1)))
		near(t, "M/D/1 wait", wait, rho*service/(2*(1-rho)), 0.03)
	}
}

// Four replicas behind one queue are M/M/4: W = C(4, 4*rho)*S/(4*(1-rho)), C = 0.4287 at rho 0.7 (Erlang C).
func TestPrefillIsMM4(t *testing.T) {
	const rho, erlangC = 0.7, 0.42866
	wait, service := meanWaitMs(t, 4, poisson(400_000, rho*40, exponential(1000)))
	near(t, "M/M/4 wait", wait, erlangC*service/(4*(1-rho)), 0.04)
}

// Little's law, over the whole service and over the prefill queue: what is seen at regular moments is rate times time.
func TestLittlesLaw(t *testing.T) {
	cfg := config(2, 2)
	var stay, n float64
	cfg.OnEnd = func(r Record) { stay, n = stay+(r.Done-r.Arrived).Seconds(), n+1 }
	g := trace.Generator{Duration: 5 * time.Hour, RequestsPerSecond: 8, Shape: trace.Shape{
		Input: trace.Tokens{Mean: 1500, SCV: 1}, Output: trace.Tokens{Mean: 300, SCV: 0.6}}}
	e := start(t, cfg, generated(t, g, 1))
	seen, looks, running := 0.0, 0.0, 0.0
	for e.Now() < g.Duration {
		e.Advance(e.Now() + 250*time.Millisecond)
		seen += float64(e.InFlight())
		for _, d := range e.View().Replicas[Decode] {
			running += float64(d.Running)
		}
		looks++
	}
	if !e.Finish(6 * time.Hour) {
		t.Fatal("it did not end")
	}
	rate := n / g.Duration.Seconds()
	near(t, "requests in flight", seen/looks, rate*stay/n, 0.01)
	// The batch is what decode steps take in all: tokens are sequences times steps.
	c := e.View().Counters
	near(t, "sequences in batches", running/looks, float64(c.GeneratedTokens)/float64(c.DecodeSteps)*c.DecodeBusy.Seconds()/g.Duration.Seconds(), 0.05)
}

// The decode batch is the fixed point of Little's law and the step time.
func TestDecodeBatchIsTheFixedPoint(t *testing.T) {
	const rate, in, out = 10.0, 500, 200
	cfg := config(4, 1)
	var tpot Latency
	cfg.OnEnd = func(r Record) {
		if at := r.Arrived.Seconds(); at > 60 && at < 1900 {
			tpot.sum += r.TPOTMs()
			tpot.count++
		}
	}
	e := start(t, cfg, poisson(20_000, rate, constant(in, out)))
	if !e.Finish(time.Hour) {
		t.Fatal("it did not end")
	}
	want := 20.0
	for range 100 {
		b := rate / 1000 * (out - 1) * want
		want = cfg.Service.Decode.Decode.StepMs(b, b*(in+out/2))
	}
	near(t, "TPOT", tpot.MeanMs(), want, 0.05)
}

// Work is conserved: replicas are busy for just the time that the prompts take,
// and decode gives each request just its tokens.
func TestWorkIsConserved(t *testing.T) {
	for _, routing := range []Routing{LeastLoaded, RoundRobin, KVAware} {
		cfg := config(3, 2)
		cfg.Routing = routing
		want, tokens := Time(0), int64(0)
		cfg.OnEnd = func(r Record) {
			want += milliseconds(cfg.Service.Prefill.Prefill.StepMs(float64(r.InputTokens), 0))
			tokens += int64(r.OutputTokens) - 1
		}
		e := start(t, cfg, generated(t, trace.Generator{Duration: 10 * time.Minute, RequestsPerSecond: 10, Shape: trace.Shape{
			Input: trace.Tokens{Mean: 1500, SCV: 1}, Output: trace.Tokens{Mean: 100, SCV: 1}}}, 1))
		for e.Now() < 10*time.Minute {
			e.Advance(e.Now() + time.Second)
			check(t, e)
		}
		if !e.Finish(time.Hour) {
			t.Fatal("it did not end")
		}
		if c := e.View().Counters; c.PrefillBusy != want || c.GeneratedTokens != tokens {
			t.Errorf("%s: busy for %v and %d tokens, the requests ask for %v and %d", routing, c.PrefillBusy.Duration(), c.GeneratedTokens, want.Duration(), tokens)
		}
	}
}
