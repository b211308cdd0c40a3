package des

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// Latencies that went to another process and back merge into what one process would have had, to the last bit.
func TestLatenciesTravel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		together, joined := latencies(t), latencies(t)
		for range rapid.IntRange(0, 4).Draw(t, "shards") {
			part := latencies(t)
			for _, ms := range rapid.SliceOf(rapid.OneOf(rapid.Float64Range(1e-6, 1e9), rapid.Just(0.0))).Draw(t, "ms") {
				part.Add(ms)
			}
			if err := together.Merge(&part); err != nil {
				t.Fatal(err)
			}
			raw, err := part.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var read Latency
			if err := read.UnmarshalBinary(raw); err != nil {
				t.Fatal(err)
			}
			if err := joined.Merge(&read); err != nil {
				t.Fatal(err)
			}
		}
		if together.Count() != joined.Count() || together.MeanMs() != joined.MeanMs() {
			t.Fatalf("%d of %v ms, joined %d of %v ms", together.Count(), together.MeanMs(), joined.Count(), joined.MeanMs())
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			if a, b := together.QuantileMs(q), joined.QuantileMs(q); a != b {
				t.Fatalf("the %v quantile is %v, joined %v", q, a, b)
			}
		}
	})
}

func latencies(t tester) Latency {
	l, err := NewLatency()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return l
}

// Bytes that no simulation wrote are refused, and never more than a bounded store is made of them.
func FuzzLatencies(f *testing.F) {
	l := latencies(f)
	l.Add(3)
	l.Add(math.Pi)
	raw, err := l.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var l Latency
		if err := l.UnmarshalBinary(data); err == nil {
			l.QuantileMs(0.5)
		}
	})
}

// Samples come every so often, from the start, before anything of that moment is decided; and they change nothing.
func TestSamplesComeInTime(t *testing.T) {
	requests := []trace.Request{{InputTokens: 900, OutputTokens: 300}, {At: 2 * time.Second, InputTokens: 50, OutputTokens: 20}}
	_, want := play(t, config(1, 1), requests...)
	cfg := config(1, 1)
	var at []time.Duration
	cfg.SampleEvery, cfg.OnSample = 700*time.Millisecond, func(v View) { at = append(at, v.Now) }
	_, got := play(t, cfg, requests...)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, without looking %+v", got[i], want[i])
		}
	}
	for i, v := range at {
		if v != time.Duration(i)*cfg.SampleEvery {
			t.Fatalf("samples at %v", at)
		}
	}
	if len(at) < 10 {
		t.Errorf("%d samples", len(at))
	}
	cfg.SampleEvery = 0
	if _, err := New(cfg, trace.New(requests).Source()); err == nil {
		t.Error("samples without a time between them were accepted")
	}
}
