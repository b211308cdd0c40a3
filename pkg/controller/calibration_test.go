package controller

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// h200 is the running example's replica as the model has it.
func h200(t testing.TB) perfmodel.Replica {
	t.Helper()
	m, err := perfmodel.LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	g, err := perfmodel.LookupGPU("H200")
	if err != nil {
		t.Fatal(err)
	}
	r, err := perfmodel.NewReplica(m, g, perfmodel.Options{TP: 2, MemoryFraction: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shows makes the replicas show, in every interval, steps that take so many times as long as the model says.
func (s *fakeService) shows(t testing.TB, prefill, decode float64) {
	r := h200(t)
	const prompts, tokens, sequences, context = 30, 1500, 24, 1800
	step := decode * r.Decode.StepMs(sequences, sequences*context)
	s.intervals = map[planner.Role]calibrate.Interval{
		planner.Prefill: {Replicas: 2, Seconds: 10, Prompts: prompts, PromptTokens: prompts * tokens, GeneratedTokens: prompts, MostRunning: 1,
			PrefillSeconds: prefill * prompts * r.Prefill.StepMs(tokens, 0) / 1000},
		planner.Decode: {Replicas: 1, Seconds: 10, GapSeconds: 10 * sequences, Gaps: 10 * sequences * 1000 / step, Running: sequences,
			HeldTokens: sequences * context, InputTokens: context, OutputTokens: 1},
	}
}

// What the service shows reaches the planner, the status, the metrics and the record, which replays.
func TestCalibrationReachesTheDecision(t *testing.T) {
	w := newWorld(t, example())
	w.service.shows(t, 0.8, 1.3)
	pda := w.rounds(5)
	if c := pda.Status.Model.Calibration; c == nil || c.Decode.State != v1alpha1.CalibrationLearning || w.last().Input.Spec.Prior != nil {
		t.Fatalf("after five intervals: %+v", c)
	}
	pda = w.rounds(25)
	c, record, prior := pda.Status.Model.Calibration, w.last(), h200(t)
	for role, ratio := range map[string]float64{
		"prefill": record.Input.Spec.Service.Prefill.Prefill.StepMs(1500, 0) / prior.Prefill.StepMs(1500, 0) / 0.8,
		"decode":  record.Input.Spec.Service.Decode.Decode.StepMs(24, 24*1800) / prior.Decode.StepMs(24, 24*1800) / 1.3,
	} {
		if math.Abs(ratio-1) > 0.03 {
			t.Errorf("%s: the record's steps are %.3f of what the service shows", role, ratio)
		}
	}
	if p := record.Input.Spec.Prior; p == nil || p.LeastShare != calibrate.LeastRatio || p.Service.Decode != prior {
		t.Errorf("the record's prior is %+v", p)
	}
	if c.Decode.State != v1alpha1.CalibrationInUse || c.Decode.StepPermille < 1250 || c.Decode.StepPermille > 1350 || c.Decode.ErrorPermille > c.Decode.PriorErrorPermille/3 ||
		c.Decode.PriorAlphaMicroseconds >= pda.Status.Model.Decode.AlphaMicroseconds || c.Prefill.PriorTokensPerSecond >= pda.Status.Model.Prefill.TokensPerSecond {
		t.Errorf("%+v %+v", c, pda.Status.Model)
	}
	for _, memory := range []string{c.Prefill.Memory, c.Decode.Memory} {
		if len(memory) == 0 || len(memory) > v1alpha1.MaxCalibrationMemory || v1alpha1.MaxCalibrationMemory != calibrate.MaxPacked {
			t.Errorf("a memory of %d bytes", len(memory))
		}
	}
	values := w.values()
	if r := values[`model_step_ratio{role="decode"}`]; math.Abs(r-1.3) > 0.05 {
		t.Errorf("the exported ratio is %v", r)
	}
	if n := values[`model_intervals_total{result="Taught",role="decode"}`]; n != 30 {
		t.Errorf("%v intervals are counted", n)
	}
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	var saved planner.Record
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(record.Decision, planner.Replay(saved)); diff != "" {
		t.Errorf("replayed it is another decision: %s", diff)
	}
}

// Prompts of a mean of 1,500 tokens that the engine pads take the time of half a multiple more: where the resource says so, that
// is no slower replica.
func TestCalibrationKnowsPadding(t *testing.T) {
	const pad = 512
	prior := h200(t).Prefill
	slower := prior.StepMs(1500+pad/2, 0) / prior.StepMs(1500, 0)
	for said, want := range map[int32]float64{pad: 1, 0: slower} {
		w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Roles.Prefill.PadTokens = said }))
		w.service.shows(t, slower, 1)
		w.rounds(30)
		learnt := w.last().Input.Spec.Service.Prefill.Prefill
		if got := learnt.StepMs(1500, 0) / prior.StepMs(1500, 0); math.Abs(got/want-1) > 0.03 {
			t.Errorf("padTokens %d: a step takes %.3f of the model's, want %.3f", said, got, want)
		}
	}
}

// last is the newest record.
func (w *world) last() planner.Record {
	w.t.Helper()
	all := w.controller.store.get(w.key).records.last(1)
	if len(all) == 0 {
		w.t.Fatal("no record")
	}
	return all[0]
}

// A service that stays as it is writes its status a few times while it is learnt, and then never again.
func TestCalibrationIsWrittenSeldom(t *testing.T) {
	w := newWorld(t, example())
	w.service.shows(t, 0.9, 1.2)
	w.rounds(250)
	learning := len(w.log)
	w.rounds(250)
	t.Logf("%d writes in the first 250 rounds, %d in the next 250", learning, len(w.log)-learning)
	if learning > 25 || len(w.log) != learning {
		t.Errorf("%d writes in the first 250 rounds, %d in the next 250: %q", learning, len(w.log)-learning, w.log[learning:])
	}
}

// A controller that starts anew goes on with what was in use; another GPU, engine or model starts over.
func TestCalibrationSurvivesARestart(t *testing.T) {
	w := newWorld(t, example())
	w.service.shows(t, 0.9, 1.3)
	w.rounds(100)
	before := w.last().Input.Spec.Service
	w.service.intervals = nil
	w.restart()
	w.rounds(1)
	after := w.last().Input.Spec.Service
	if ratio := after.Decode.Decode.StepMs(24, 43_200) / before.Decode.Decode.StepMs(24, 43_200); math.Abs(ratio-1) > 1e-5 {
		t.Errorf("after the restart a step takes %.6f of what it took before", ratio)
	}
	for name, edit := range map[string]func(*v1alpha1.PDAutoscaler){
		"another GPU":    func(p *v1alpha1.PDAutoscaler) { p.Spec.GPU = "H100" },
		"another engine": func(p *v1alpha1.PDAutoscaler) { p.Spec.GPU, p.Spec.Signals.Engine = "H200", "vllm" },
		"another model":  func(p *v1alpha1.PDAutoscaler) { p.Spec.Signals.Engine, p.Spec.Model.Name = "dynamo-vllm", "Qwen3-14B" },
	} {
		w.edit(edit)
		w.rounds(1)
		if p := w.last().Input.Spec.Prior; p != nil {
			t.Errorf("%s: what was learnt is still used", name)
		}
	}
}

func TestCalibrationOffAndFrozen(t *testing.T) {
	w := newWorld(t, example())
	w.service.shows(t, 1, 1.3)
	w.rounds(40)
	learnt := w.last().Input.Spec.Service.Decode.Decode
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Calibration = v1alpha1.CalibrationFrozen })
	w.service.shows(t, 1, 2)
	pda := w.rounds(40)
	if got := w.last().Input.Spec.Service.Decode.Decode; got != learnt || pda.Status.Model.Calibration.Decode.State != v1alpha1.CalibrationIsFrozen {
		t.Errorf("frozen, yet moved: %s", cmp.Diff(learnt, got))
	}
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Calibration = v1alpha1.CalibrationOff })
	pda = w.rounds(2)
	if got := w.last().Input.Spec; got.Service.Decode != h200(t) || got.Prior != nil || pda.Status.Model.Calibration != nil {
		t.Errorf("off, yet corrected: %+v", pda.Status.Model.Calibration)
	}
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Calibration = v1alpha1.CalibrationOn })
	if pda = w.rounds(2); w.last().Input.Spec.Prior != nil || pda.Status.Model.Calibration.Decode.State != v1alpha1.CalibrationLearning {
		t.Errorf("after off it starts from the prior: %+v", pda.Status.Model.Calibration)
	}
}

// What the workload says against an interval counts, whatever the replicas show.
func TestCalibrationHeedsTheWorkload(t *testing.T) {
	for name, c := range map[string]struct {
		want   calibrate.Refusal
		change func(*planner.Pool)
	}{
		"settled":             {"", func(*planner.Pool) {}},
		"one starts":          {calibrate.RefusedChanging, func(p *planner.Pool) { p.Replicas[0].State = planner.Starting }},
		"one leaves":          {calibrate.RefusedChanging, func(p *planner.Pool) { p.Replicas[0].State = planner.Terminating }},
		"one has no pod yet":  {calibrate.RefusedChanging, func(p *planner.Pool) { p.Desired++ }},
		"a rollout":           {calibrate.RefusedChanging, func(p *planner.Pool) { p.Rollout = true }},
		"one of another size": {calibrate.RefusedMixed, func(p *planner.Pool) { p.Replicas[0].GPUs = 4 }},
		"one finds no node": {"", func(p *planner.Pool) {
			p.Replicas[0].State, p.Replicas[0].Unschedulable = planner.Starting, "0/3 nodes"
		}},
	} {
		p := planner.Pool{Desired: 2, GPUsPerReplica: 2, Replicas: []planner.Replica{{State: planner.Ready, GPUs: 2}, {State: planner.Ready, GPUs: 2}}}
		c.change(&p)
		if got := doubtful(&p); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeRecommend }))
	w.service.shows(t, 1, 1.3)
	w.service.grow(planner.Decode, 1)
	pda := w.rounds(20)
	if c := pda.Status.Model.Calibration; c.Decode.State != v1alpha1.CalibrationWaiting || !strings.Contains(c.Decode.Message, string(calibrate.RefusedChanging)) {
		t.Errorf("%+v", c.Decode)
	}
	if n := w.values()[`model_intervals_total{result="ReplicasChanging",role="decode"}`]; n != 20 {
		t.Errorf("%v intervals are counted as refused", n)
	}
}

// A rollout keeps what is in use until the new replicas show something else, and then follows them soon.
func TestCalibrationAfterARollout(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeRecommend }))
	w.service.shows(t, 1, 1.3)
	w.rounds(100)
	before := w.last().Input.Spec.Service.Decode.Decode
	w.service.pools[planner.Decode].Rollout = true
	w.service.shows(t, 1, 1)
	w.rounds(10)
	w.service.pools[planner.Decode].Rollout = false
	if w.rounds(1); w.last().Input.Spec.Service.Decode.Decode != before {
		t.Error("the rollout alone changed the model")
	}
	w.rounds(15)
	if got := w.last().Input.Spec.Service.Decode.Decode.StepMs(24, 43_200) / h200(t).Decode.StepMs(24, 43_200); math.Abs(got-1) > 0.05 {
		t.Errorf("%v after the rollout a step still takes %.2f of the prior's", 16*10*time.Second, got)
	}
}

// A status that somebody wrote nonsense into is learnt anew.
func TestCalibrationMemoryOfNonsense(t *testing.T) {
	for _, text := range []string{"nonsense", "{}", `{"v":1,"r":[1]}`} {
		w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
			p.Status.Model.Calibration = &v1alpha1.CalibrationStatus{Decode: v1alpha1.DecodeCalibration{RoleCalibration: v1alpha1.RoleCalibration{Memory: text}}}
		}))
		w.rounds(1)
		if w.last().Input.Spec.Prior != nil {
			t.Errorf("%q is used", text)
		}
	}
}
