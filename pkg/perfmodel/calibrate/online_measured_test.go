package calibrate

import (
	"encoding/csv"
	"math"
	"strconv"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// table reads the numbers of a measured CSV file, by column.
func table(t *testing.T, name string) (rows []map[string]float64) {
	t.Helper()
	all, err := csv.NewReader(open(t, name)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, fields := range all[1:] {
		row := map[string]float64{}
		for i, text := range fields {
			if row[all[0][i]], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// recorded is a measured service as its metrics would have shown it: what the counters and gauges of one replica of each
// role say of intervals of the given length.
type recorded struct {
	requests, steps []map[string]float64
}

func (r recorded) prefill(from, to float64) Interval {
	i := Interval{Replicas: 1, Seconds: to - from, MostRunning: 1}
	squares := 0.0
	for _, q := range r.requests {
		if end := q["prefill_end_s"]; end < from || end >= to {
			continue
		}
		n := q["input"]
		i.Prompts++
		i.PromptTokens += n
		squares += n * n
		i.PrefillSeconds += q["prefill_end_s"] - q["prefill_start_s"]
	}
	i.GeneratedTokens = i.Prompts
	if i.Prompts > 1 {
		mean := i.PromptTokens / i.Prompts
		i.LengthSCV = squares/i.Prompts/(mean*mean) - 1
	}
	return i
}

// decode adds a gap to each sequence of a step, up to the step after. A pause without sequences is in no gap; an interval's
// gauges are those of the steps at its two ends.
func (r recorded) decode(from, to float64) Interval {
	i := Interval{Replicas: 1, Seconds: to - from}
	late := 0.0
	var first, last map[string]float64
	for k := 0; k+1 < len(r.steps); k++ {
		now, next := r.steps[k], r.steps[k+1]
		if now["t_s"] < from || now["t_s"] >= to {
			continue
		}
		if first == nil {
			first = now
		}
		last = now
		gap := next["t_s"] - now["t_s"]
		if gap > 1.3*now["ms"]/1000+0.002 { // idle, then a new sequence
			gap = now["ms"] / 1000
		}
		i.Gaps += now["batch"]
		i.GapSeconds += now["batch"] * gap
		if gap > LateGap*0.022 {
			late += now["batch"]
		}
	}
	if first != nil {
		i.LateShare = late / i.Gaps
		i.Running, i.HeldTokens = (first["batch"]+last["batch"])/2, (first["context_tokens"]+last["context_tokens"])/2
	}
	return i
}

// The recorded service read every 15 s, as a live one would be: what the first half teaches, held against what the second half
// shows, and against each of its prompts and steps. The requests arrive for 37 s, so that a half is an interval or two.
// The engine pads prompts up to 128, which no interval shows: single prompts are then off by half of that.
func TestOnlineOnARecordedService(t *testing.T) {
	r := recorded{table(t, "pd-qwen3-32b-conv-4-requests.csv"), table(t, "pd-qwen3-32b-conv-4-steps.csv")}
	requests, err := ReadRequests(open(t, "pd-qwen3-32b-conv-4-requests.csv"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := ReadSteps(open(t, "pd-qwen3-32b-conv-4-steps.csv"))
	if err != nil {
		t.Fatal(err)
	}
	single := map[Kind][]Observation{}
	for _, o := range append(requests.Observations, steps.Observations...) {
		single[o.Kind] = append(single[o.Kind], o)
	}
	end := r.steps[len(r.steps)-1]["t_s"]
	for _, c := range []struct {
		kind  Kind
		pad   int
		split float64
		show  func(from, to float64) Interval
		// allowed of the intervals, and of single prompts or steps.
		intervals, singles float64
	}{
		{Prefill, 1, r.requests[len(r.requests)/2]["prefill_start_s"], r.prefill, 0.05, 0.07},
		{Prefill, 128, r.requests[len(r.requests)/2]["prefill_start_s"], r.prefill, 0.05, 0.05},
		{Decode, 1, end / 2, r.decode, 0.05, 0.05},
	} {
		for _, every := range []float64{15, 5, 2} {
			l := learners(t, 1)[c.kind]
			l.PadTokens = c.pad
			var o Online
			for from := 0.0; from < c.split; from += every {
				o, _ = l.Learn(o, c.show(from, min(from+every, c.split)))
			}
			var shown []Observation
			for from := c.split; from < end; from += every {
				if reading, why := c.show(from, min(from+every, end)).observation(c.kind); why == "" {
					shown = append(shown, padded([]Observation{reading}, c.pad)[0])
				}
			}
			rows := padded(single[c.kind][len(single[c.kind])/2:], c.pad)
			none := ones(len(o.Ratios))
			before, after := l.errors(none, shown), l.errors(o.Ratios, shown)
			singlesBefore, singlesAfter := l.errors(none, rows), l.errors(o.Ratios, rows)
			t.Logf("%s every %2.0f s, padding %3d known: %2d intervals taught, %v were refused; second half: %2d intervals %.1f %% before and %.1f %% after, %d single ones %.1f %% and %.1f %%",
				c.kind, every, c.pad, o.Used, o.Refused, len(shown), 100*before, 100*after, len(rows), 100*singlesBefore, 100*singlesAfter)
			if o.Used == 0 || len(shown) == 0 || after > c.intervals || singlesAfter > c.singles {
				t.Errorf("%s every %.0f s: mean |error| is %.1f %% of intervals and %.1f %% of single ones, allowed is %.0f %% and %.0f %%",
					c.kind, every, 100*after, 100*singlesAfter, 100*c.intervals, 100*c.singles)
			}
		}
	}
}

// errors is the mean absolute relative error of the ratios x over single readings.
func (l *Learner) errors(x []float64, rows []Observation) float64 {
	n, sum := len(x), 0.0
	for _, o := range rows {
		sum += relative(l.phase.at(x, o, make([]float64, n), make([]float64, n)))
	}
	return sum / math.Max(1, float64(len(rows)))
}

// A learner costs a round of the controller little.
func BenchmarkLearn(b *testing.B) {
	m, g := qwen(b)
	truth := engine(b, 2, 1, 1, 1, 0)
	i := Interval{Replicas: 2, Seconds: 10, Gaps: 30 * 20 * 1000 / truth.Decode.StepMs(30, 45_000), GapSeconds: 600, Running: 60, HeldTokens: 90_000}
	var o Online
	b.ReportAllocs()
	for b.Loop() {
		belief, err := perfmodel.NewBelief(m, g, perfmodel.Options{TP: 2})
		if err != nil {
			b.Fatal(err)
		}
		l, err := NewLearner(Decode, belief, "an engine")
		if err != nil {
			b.Fatal(err)
		}
		var why Refusal
		if o, why = l.Learn(o, i); why != "" {
			b.Fatal(why)
		}
		l.Replica(o)
	}
}
