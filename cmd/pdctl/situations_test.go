package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

var update = flag.Bool("update", false, "play the situations again, and write their records and texts to testdata")

// situation is something that happens to a service, up to the decision that is worth explaining.
type situation struct {
	name string
	// play returns the record of that decision.
	play func(*service) planner.Record
	// prefill and decode are the true causes: what each role must be bound by.
	prefill, decode planner.Reason
}

var situations = []situation{
	{"steady", steady, planner.ReasonSteady, planner.ReasonSteady},
	{"prefill-surge", prefillSurge, planner.ReasonObjective, planner.ReasonSteady},
	{"move-begins", moveBegins, planner.ReasonMove, planner.ReasonMove},
	{"move-gpus-free", moveGPUsFree, planner.ReasonSteady, planner.ReasonMove},
	{"demand-unknown", demandUnknown, planner.ReasonDemandUnknown, planner.ReasonDemandUnknown},
	{"replica-given-up", replicaGivenUp, planner.ReasonGivenUp, planner.ReasonSteady},
	{"decode-back-pressure", decodeBackPressure, planner.ReasonSteady, planner.ReasonObjective},
	{"window-holds", windowHolds, planner.ReasonWindow, planner.ReasonSteady},
	{"goes-down", goesDown, planner.ReasonObjective, planner.ReasonSteady},
	{"after-restart", afterRestart, planner.ReasonWarmUp, planner.ReasonSteady},
	{"budget-too-small", budgetTooSmall, planner.ReasonBudget, planner.ReasonObjective},
	{"model-too-hopeful", modelTooHopeful, planner.ReasonBreach, planner.ReasonSteady},
	{"paused", paused, planner.ReasonPaused, planner.ReasonPaused},
	{"gpus-busier", gpusBusier, planner.ReasonActivity, planner.ReasonSteady},
	{"decode-bandwidth", decodeBandwidth, planner.ReasonObjective, planner.ReasonObjective},
	{"kv-cache-full", kvCacheFull, planner.ReasonObjective, planner.ReasonObjective},
	{"move-draining", moveDraining, planner.ReasonSteady, planner.ReasonMove},
	{"objective-unattainable", objectiveUnattainable, planner.ReasonUnattainable, planner.ReasonSteady},
	{"maximum-out-of-reach", maximumOutOfReach, planner.ReasonMaximum, planner.ReasonSteady},
	{"one-fewer-refused", oneFewerRefused, planner.ReasonSteady, planner.ReasonSteady},
}

// quiet is a load that 2 prefill and 1 decode replicas of the service hold.
var quiet = load{rate: 3, input: 4000, output: 300}

func steady(s *service) planner.Record { return s.during(10*time.Minute, quiet) }

func prefillSurge(s *service) planner.Record {
	s.during(10*time.Minute, quiet)
	s.during(20*time.Second, load{rate: 6, input: 5500, output: 150, ttftMs: 3100})
	return s.next(load{rate: 9, input: 6000, output: 150, ttftMs: 5200})
}

// underCap is a service whose 12 GPUs are all held, most of them by prefill.
func underCap(s *service) {
	s.set(planner.Prefill, 5)
	s.set(planner.Decode, 1)
	s.during(4*time.Minute, load{rate: 9, input: 5000, output: 100})
	s.during(90*time.Second, load{rate: 3, input: 2000, output: 300})
}

func moveBegins(s *service) planner.Record {
	underCap(s)
	return s.next(load{rate: 9, input: 1500, output: 1400})
}

func moveGPUsFree(s *service) planner.Record {
	moveBegins(s)
	return s.until(load{rate: 9, input: 1500, output: 1400}, func(d planner.Decision) bool { return d.Decode.To > d.Decode.From })
}

func demandUnknown(s *service) planner.Record {
	s.during(10*time.Minute, quiet)
	return s.during(30*time.Second, load{unknown: "pod dynamo-pd-processor-0 does not answer: connection refused"})
}

func replicaGivenUp(s *service) planner.Record {
	s.during(10*time.Minute, quiet)
	s.unschedulable = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
	surge := load{rate: 6, input: 5500, output: 150}
	s.during(s.spec.Behavior.StartTimeoutSeconds.Duration(), surge)
	return s.until(surge, func(d planner.Decision) bool { return d.Prefill.To < d.Prefill.From })
}

func decodeBackPressure(s *service) planner.Record {
	s.during(10*time.Minute, quiet)
	return s.next(load{rate: 3, input: 4000, output: 2200, prefillWaiting: 40, decodeWaiting: 23, kvUse: 0.97, ttftMs: 6200, tpotMs: 61})
}

func windowHolds(s *service) planner.Record {
	s.set(planner.Prefill, 4)
	s.during(10*time.Minute, load{rate: 7, input: 4500, output: 150})
	return s.during(2*time.Minute, load{rate: 2, input: 3000, output: 150})
}

func goesDown(s *service) planner.Record {
	windowHolds(s)
	return s.until(load{rate: 2, input: 3000, output: 150}, func(d planner.Decision) bool { return d.Prefill.To < d.Prefill.From })
}

func afterRestart(s *service) planner.Record {
	s.set(planner.Prefill, 4)
	return s.during(30*time.Second, load{rate: 2, input: 3000, output: 150})
}

func budgetTooSmall(s *service) planner.Record {
	s.during(10*time.Minute, quiet)
	return s.next(load{rate: 7, input: 5500, output: 900, ttftMs: 4100, tpotMs: 55})
}

func modelTooHopeful(s *service) planner.Record {
	s.during(10*time.Minute, quiet)
	slow := quiet
	slow.ttftMs = 2900
	return s.during(70*time.Second, slow)
}

func paused(s *service) planner.Record {
	s.during(2*time.Minute, quiet)
	s.spec.Paused = `the annotation pdautoscaler.io/paused is set to "load test until Friday, ask Mira"`
	return s.next(load{rate: 9, input: 6000, output: 150})
}

func gpusBusier(s *service) planner.Record {
	windowHolds(s)
	busy := load{rate: 2, input: 3000, output: 150, tensorActive: 0.71}
	return s.until(busy, func(d planner.Decision) bool { return d.Prefill.Binding == planner.ReasonActivity })
}

// decodeBandwidth: short prompts and long answers; the steps of decode become too slow.
func decodeBandwidth(s *service) planner.Record {
	s.spec.Service.MaxSequences = 1024
	s.spec.TPOT.Ms = 25
	s.during(10*time.Minute, load{rate: 2, input: 600, output: 600, tpotMs: 14})
	return s.next(load{rate: 6, input: 600, output: 1500, tpotMs: 31})
}

// kvCacheFull: long contexts on GPUs whose memory the weights leave little of; the steps are fast enough, and there is no room.
func kvCacheFull(s *service) planner.Record {
	s.spec.Service.Decode.KVCapacityTokens = 90_000
	s.during(10*time.Minute, load{rate: 1, input: 3000, output: 300})
	return s.next(load{rate: 2.5, input: 6000, output: 500, kvUse: 0.86})
}

// moveDraining: the donor has been asked, and its pods are still there.
func moveDraining(s *service) planner.Record {
	moveBegins(s)
	return s.next(load{rate: 9, input: 1500, output: 1400})
}

// objectiveUnattainable: no number of replicas makes one prompt of 24,000 tokens faster than itself.
func objectiveUnattainable(s *service) planner.Record {
	s.spec.TTFT.Ms = 400
	return s.during(10*time.Minute, load{rate: 0.2, input: 24000, output: 200, ttftMs: 1700})
}

// maximumOutOfReach: there would be GPUs, but the role may not have them.
func maximumOutOfReach(s *service) planner.Record {
	s.spec.Prefill.Max = 3
	s.during(10*time.Minute, quiet)
	return s.next(load{rate: 9, input: 6000, output: 150, ttftMs: 5200})
}

// oneFewerRefused: fewer would do at the demand of this moment, but not with the tolerance on top.
func oneFewerRefused(s *service) planner.Record {
	s.set(planner.Prefill, 3)
	s.during(10*time.Minute, load{rate: 5.2, input: 5000, output: 150})
	return s.during(10*time.Minute, load{rate: 4.2, input: 5000, output: 150})
}

// record plays a situation and saves its record.
func (s *situation) record(t *testing.T) {
	t.Helper()
	out, err := json.MarshalIndent(s.play(newService(t)), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", "situations", s.name+".json"), append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
