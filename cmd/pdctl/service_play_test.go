package main

import (
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// load is the traffic of one moment and what the service shows of it.
type load struct {
	rate, input, output           float64
	ttftMs, tpotMs                float64 // observed; 0 is well within the objective
	prefillWaiting, decodeWaiting float64
	kvUse, tensorActive           float64
	unknown                       string // why the frontend says nothing
}

// service is a service under the planner's hand: it carries decisions out, with the time that takes.
type service struct {
	now           time.Time
	spec          planner.Spec
	memory        planner.Memory
	prefill       planner.Pool
	decode        planner.Pool
	unschedulable string // why new replicas are not placed; empty when they are
}

const (
	startup = 40 * time.Second
	drain   = 15 * time.Second
)

// newService is Qwen3-32B with two H200 GPUs per replica, 2 prefill and 1 decode replicas of 12 GPUs.
func newService(t *testing.T) *service {
	t.Helper()
	model, err := perfmodel.LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU("H200-SXM")
	if err != nil {
		t.Fatal(err)
	}
	replica, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: 2})
	if err != nil {
		t.Fatal(err)
	}
	role := planner.RoleSpec{Min: 1, Max: 8, GPUsPerReplica: 2}
	s := &service{
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		spec: planner.Spec{
			Prefill: role, Decode: role, BudgetGPUs: 12,
			Service: capacity.Service{Prefill: replica, Decode: replica, TTFTEndsAt: capacity.EndsAtPrefill, MaxSequences: 256},
			TTFT:    capacity.Objective{Quantile: 0.95, Ms: 2000},
			TPOT:    capacity.Objective{Quantile: 0.95, Ms: 40},
			Behavior: planner.Behavior{IntervalSeconds: 10, DownWindowSeconds: 300, Tolerance: 0.1, MaxAgeSeconds: 60,
				StartupSeconds: 40, StartTimeoutSeconds: 300, BreachSeconds: 60},
			Rebalance: planner.Rebalance{Enabled: true, WindowSeconds: 60, DrainTimeoutSeconds: 600, StartTimeoutSeconds: 900, CooldownSeconds: 600},
		},
	}
	s.set(planner.Prefill, 2)
	s.set(planner.Decode, 1)
	return s
}

func (s *service) pool(r planner.Role) *planner.Pool {
	if r == planner.Prefill {
		return &s.prefill
	}
	return &s.decode
}

// set gives a role so many replicas that have been ready for an hour.
func (s *service) set(role planner.Role, n int) {
	p := planner.Pool{Desired: n, GPUsPerReplica: 2, GPUType: "NVIDIA-H200", StartupSeconds: planner.Known(startup.Seconds(), s.now, "pods")}
	for i := range n {
		p.Replicas = append(p.Replicas, planner.Replica{Name: name(role, i), State: planner.Ready, Since: s.now.Add(-time.Hour), GPUs: 2, Node: "gpu-node-1"})
	}
	*s.pool(role) = p
}

func name(role planner.Role, i int) string {
	return "dynamo-pd-" + string(role) + "-" + string(rune('0'+i))
}

// during plays a load for so long, and returns the last decision.
func (s *service) during(d time.Duration, l load) (r planner.Record) {
	for end := s.now.Add(d); s.now.Before(end); {
		r = s.next(l)
	}
	return r
}

// until plays a load up to the first decision that is so, for an hour at most.
func (s *service) until(l load, is func(planner.Decision) bool) (r planner.Record) {
	for range 360 {
		if r = s.next(l); is(r.Decision) {
			break
		}
	}
	return r
}

// next decides once, carries the decision out and lets one interval pass.
func (s *service) next(l load) planner.Record {
	in := planner.Input{Spec: s.spec, Memory: s.memory, Now: s.now,
		Snapshot: planner.Snapshot{Signals: s.signals(l), Prefill: s.prefill, Decode: s.decode}}
	decision, memory := planner.Plan(in)
	s.memory = memory
	s.write(&s.prefill, planner.Prefill, decision.Prefill.To)
	s.write(&s.decode, planner.Decode, decision.Decode.To)
	s.now = s.now.Add(s.spec.Behavior.IntervalSeconds.Duration())
	s.settle(&s.prefill)
	s.settle(&s.decode)
	return planner.Record{Version: planner.RecordVersion, Input: in, Decision: decision}
}

// write carries a count out: the last replicas terminate, or new ones start.
func (s *service) write(p *planner.Pool, role planner.Role, to int) {
	replicas := append([]planner.Replica(nil), p.Replicas...)
	live := 0
	for _, r := range replicas {
		if r.State != planner.Terminating {
			live++
		}
	}
	for i := len(replicas) - 1; i >= 0 && live > to; i-- {
		if replicas[i].State != planner.Terminating {
			replicas[i].State, replicas[i].Since = planner.Terminating, s.now
			live--
		}
	}
	for ; live < to; live++ {
		replicas = append(replicas, planner.Replica{Name: name(role, len(replicas)), State: planner.Starting, Since: s.now, GPUs: 2,
			Unschedulable: s.unschedulable})
	}
	p.Desired, p.Replicas = to, replicas
}

// settle lets replicas become ready and terminated ones go.
func (s *service) settle(p *planner.Pool) {
	var kept []planner.Replica
	for _, r := range p.Replicas {
		switch since := s.now.Sub(r.Since); {
		case r.State == planner.Terminating && since >= drain:
			continue
		case r.State == planner.Starting && since >= startup && r.Unschedulable == "":
			r.State, r.Since, r.Node = planner.Ready, s.now, "gpu-node-1"
		}
		kept = append(kept, r)
	}
	p.Replicas = kept
}

func (s *service) signals(l load) planner.Signals {
	frontend := "dynamo frontend"
	known := func(v float64) planner.Reading { return planner.Known(v, s.now.Add(-2*time.Second), frontend) }
	if l.unknown != "" {
		u := planner.Unknown(l.unknown)
		q := planner.Quantile{Reading: u}
		return planner.Signals{RequestsPerSecond: u, InputTokens: u, OutputTokens: u, TTFTMs: q, TPOTMs: q}
	}
	return planner.Signals{
		RequestsPerSecond: known(l.rate), ArrivalSCV: planner.Unknown("not measured"),
		InputTokens: known(l.input), InputSCV: known(0.9), OutputTokens: known(l.output), OutputSCV: known(0.6),
		CachedShare:    planner.Zero(s.now, "vllm pods"),
		TTFTMs:         bucket(known(or(l.ttftMs, 640)), 0.95, 500, 1000, 2500, 5000, 10000),
		TPOTMs:         bucket(known(or(l.tpotMs, 22)), 0.95, 10, 25, 50, 75, 100),
		PrefillWaiting: planner.Known(l.prefillWaiting, s.now, "nats dynamo_prefill_queue"),
		DecodeWaiting:  planner.Known(l.decodeWaiting, s.now, "vllm pods"),
		DecodeKVUseMax: planner.Known(or(l.kvUse, 0.3), s.now, "vllm pods"),
		// A prefill replica that is idle now and then.
		PrefillTensorActive: planner.Known(or(l.tensorActive, 0.2), s.now, "dcgm"),
	}
}

// bucket is a reading from a histogram: only the bounds of its bucket are sure.
func bucket(r planner.Reading, percentile float64, bounds ...float64) planner.Quantile {
	q := planner.Quantile{Reading: r, Percentile: percentile, MeanMs: r.Value}
	for _, b := range bounds {
		if r.Value <= b {
			q.HighMs = b
			break
		}
		q.LowMs = b
	}
	return q
}

func or(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}
