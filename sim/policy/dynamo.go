package policy

import (
	"fmt"
	"math"
	"time"
)

// dynamo is the SLA planner of NVIDIA Dynamo, throughput mode, in its newer form:
//
//	lambda requests/s of the last interval; t = time of isl*(1-hit) tokens
//	P = ceil(lambda*t)
//	B = the largest batch with a step within ITL; rate = B/(osl*step); D = ceil(lambda/rate)
//
// with at most 8 replicas changed at once. The interval of its tests is 60 s (180 s by default). The forecast is its default,
// the last value. Without metrics it makes no decision. The knob multiplies lambda.
type dynamo struct {
	profile
}

const (
	dynamoInterval = 60 * time.Second
	dynamoMaxStep  = 8
)

func newDynamo(s *Setup) Policy { return &dynamo{newProfile(s)} }

func (p *dynamo) Interval() time.Duration { return dynamoInterval }

func (p *dynamo) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if !s.Fresh || s.RequestsPerSecond > 0 && (s.InputTokens == 0 || s.OutputTokens == 0) {
		return in.Desired, "no metrics: no decision"
	}
	if s.RequestsPerSecond == 0 {
		return in.Desired, "no traffic: no decision"
	}
	prefill := ceil(p.margin * s.RequestsPerSecond * p.prefillMs(s.InputTokens, s.CachedShare) / 1000)
	decode := ceil(p.margin * s.RequestsPerSecond * s.OutputTokens / p.decodeTokensPerSecond(s.InputTokens+s.OutputTokens/2, p.tpot))
	step := func(from, to int) int {
		return min(max(to, from-dynamoMaxStep), from+dynamoMaxStep)
	}
	return Counts{step(in.Desired.Prefill, max(1, prefill)), step(in.Desired.Decode, max(1, decode))},
		fmt.Sprintf("%.2f requests/s of %.0f and %.0f tokens", s.RequestsPerSecond, s.InputTokens, s.OutputTokens)
}

// dynamoLoad is its load mode above its throughput mode, as both are used together: every 60 s the latter gives a lower bound,
// and every 5 s the former one replica more or less. Up when all engines are expected to miss the objective:
//
//	TTFT = time of the tokens queued per engine and of a mean prompt
//	ITL  = step of one sequence more than now, with the KV tokens held, waited for and of a mean request
//
// Down when N-1 engines would be within 0.8 of it: (TTFT' - own) < 0.8*(TTFT* - own), ITL' < 0.8*ITL* and KV' below its
// maximum. An engine's queue is taken as the mean, all queues being one here. The knob
// divides the objectives and multiplies the bound's lambda.
type dynamoLoad struct {
	profile
	throughput dynamo
	floor      Counts
	next       time.Duration // when the floor is worked out again
}

const (
	dynamoLoadInterval    = 5 * time.Second
	dynamoLoadSensitivity = 0.8
)

func newDynamoLoad(s *Setup) Policy {
	p := &dynamoLoad{profile: newProfile(s), throughput: dynamo{newProfile(s)}}
	p.ttft, p.tpot = p.ttft/p.margin, p.tpot/p.margin
	return p
}

func (p *dynamoLoad) Interval() time.Duration { return dynamoLoadInterval }

func (p *dynamoLoad) Decide(in *Input) (Counts, string) {
	s, out := &in.Seen, in.Desired
	if in.At >= p.next && s.Fresh && s.OutputTokens > 0 {
		p.floor, _ = p.throughput.Decide(in)
		p.next = in.At + dynamoInterval
	}
	atLeast := func(c Counts) Counts {
		return Counts{max(c.Prefill, p.floor.Prefill), max(c.Decode, p.floor.Decode)}
	}
	if !s.Fresh || in.Unsettled {
		return atLeast(out), "no fresh metrics, or a change is under way"
	}
	ttft := func(n int) float64 {
		return p.prefillMs(s.QueuedTokens/float64(max(n, 1))+s.InputTokens, s.CachedShare)
	}
	own := p.prefillMs(s.InputTokens, s.CachedShare)
	switch n := in.Ready.Prefill; {
	case ttft(n) > p.ttft:
		out.Prefill++
	case n > 1 && ttft(n-1)-own < dynamoLoadSensitivity*(p.ttft-own):
		out.Prefill--
	}
	length := s.InputTokens + s.OutputTokens/2
	itl := func(n int) (stepMs, kv float64) {
		per := float64(max(n, 1))
		held := (s.KVTokens+s.DecodeWaiting*s.InputTokens)/per + length
		return p.service.Decode.Decode.StepMs((s.DecodeRunning+s.DecodeWaiting)/per+1, held), held / p.service.Decode.KVCapacityTokens
	}
	n := in.Ready.Decode
	now, _ := itl(n)
	if now > p.tpot {
		out.Decode++
	} else if after, kv := itl(n - 1); n > 1 && after < dynamoLoadSensitivity*p.tpot && kv < 1 {
		out.Decode--
	}
	return atLeast(out), "load"
}

// rbgPlanner is rbg-planner: Dynamo's first planner on a RoleBasedGroup.
//
//	P = ceil(n*isl/T * ttft/ttft_prof(isl) / thr_p)
//	D = ceil(n*osl/T / thr_d), thr_d at the best batch with a step within ITL/(itl/itl_prof(concurrency, ctx))
//
// The factor of P has no bound, failed queries read as zero, and both roles are written together and only while the group is
// Ready: all as its code does. The knob multiplies n.
type rbgPlanner struct {
	profile
}

func newRBGPlanner(s *Setup) Policy { return &rbgPlanner{newProfile(s)} }

func (p *rbgPlanner) Interval() time.Duration { return dynamoInterval }

func (p *rbgPlanner) Decide(in *Input) (Counts, string) {
	if in.Unsettled {
		return in.Desired, "the group is not Ready"
	}
	s := in.Seen
	if !s.Fresh {
		return Counts{p.limits.prefill.Min, p.limits.decode.Min}, "failed queries read as zero"
	}
	if s.RequestsPerSecond == 0 {
		return Counts{p.limits.prefill.Min, p.limits.decode.Min}, "no traffic"
	}
	context := s.InputTokens + s.OutputTokens/2
	correction := 1.0
	if s.TTFTMs > 0 {
		correction = ratio(s.TTFTMs, p.prefillMs(s.InputTokens, 0))
	}
	prefill := p.margin * s.RequestsPerSecond * s.InputTokens * correction / p.prefillTokensPerSecond(s.InputTokens, 0)
	itl := p.tpot
	if s.TPOTMs > 0 {
		running := max(1, s.DecodeRunning/float64(max(1, in.Ready.Decode)))
		itl = ratio(p.tpot, s.TPOTMs/p.service.Decode.Decode.StepMs(running, running*context))
	}
	decode := p.margin * s.RequestsPerSecond * s.OutputTokens / p.decodeTokensPerSecond(context, itl)
	return Counts{max(1, ceil(prefill)), max(1, ceil(decode))}, fmt.Sprintf("TTFT correction %.2f", math.Round(100*correction)/100)
}
