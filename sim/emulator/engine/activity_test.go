package engine

import (
	"math"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// A worker that is busy half of the time shows half of the busy values.
func TestActivityIsDutyTimesBusyValue(t *testing.T) {
	s := service()
	e := start(t, Config{Service: s}, 1, 1)
	step := s.Prefill.Prefill.StepMs(2048, 0)
	var all []load.Request
	for i := range 100 {
		all = append(all, load.Request{At: time.Duration(2*float64(i)*step) * time.Millisecond, InputTokens: 2048, OutputTokens: 1})
	}
	play(e, all...)
	end := time.Duration(200*step) * time.Millisecond
	e.Advance(end)
	p, _ := e.Stats("p0")
	for what, tc := range map[string]struct{ got, want float64 }{
		"busy":   {p.Activity.BusySeconds / end.Seconds(), 0.5},
		"tensor": {p.Activity.TensorSeconds / end.Seconds(), 0.77 / 2},
		"DRAM":   {p.Activity.DRAMSeconds / end.Seconds(), 0.211 / 2},
	} {
		if math.Abs(tc.got/tc.want-1) > 0.01 {
			t.Errorf("prefill %s is %.4f, want %.4f", what, tc.got, tc.want)
		}
	}
}

// DRAM activity does not tell one sequence from sixty-four; tensor activity does.
func TestDecodeActivityIsBlindToLoad(t *testing.T) {
	one, many := at(decodeActivity, 1), at(decodeActivity, 64)
	if math.Abs(one.dram-many.dram) > 0.02 || many.tensor < 5*one.tensor {
		t.Errorf("one sequence %+v, 64 sequences %+v", one, many)
	}
	for size := 0.5; size < 1e6; size *= 1.3 {
		for _, table := range [][]activityRow{prefillActivity, decodeActivity} {
			if r := at(table, size); r.tensor < 0 || r.tensor > 1 || r.dram < 0 || r.dram > 1 || r.watts > 700 {
				t.Errorf("at size %v: %+v", size, r)
			}
		}
	}
}

// A replica that says how busy it is when busy is believed, and the counters
// still change with the size of the step.
func TestActivityFollowsTheReplica(t *testing.T) {
	s := service()
	s.Decode.BusyActivity.DecodeDRAMActive = 0.55
	e := start(t, Config{Service: s}, 1, 1)
	if r := at(e.decodeTable, referenceSequences); math.Abs(r.dram-0.55) > 1e-12 || r.tensor != at(decodeActivity, referenceSequences).tensor {
		t.Errorf("at the reference: %+v", r)
	}
	if a, b := at(e.decodeTable, 1), at(e.decodeTable, 256); math.Abs(a.dram/b.dram-0.695/0.548) > 1e-9 {
		t.Errorf("the shape changed: %+v, %+v", a, b)
	}
}

// Activity is counted up to the moment of the look, inside a step too.
func TestActivityIsCountedDuringAStep(t *testing.T) {
	e := start(t, Config{Service: service()}, 1, 1)
	play(e, load.Request{InputTokens: 20_000, OutputTokens: 1})
	e.Advance(time.Second)
	if p, _ := e.Stats("p0"); math.Abs(p.Activity.BusySeconds-1) > 1e-9 || p.Running != 1 {
		t.Errorf("after one second of a long prompt: busy %v s, running %d", p.Activity.BusySeconds, p.Running)
	}
}
