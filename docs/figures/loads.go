package main

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

const traceFile = "traces/AzureLLMInferenceTrace_conv.csv"

// loads are the tokens per second that came in and went out, minute by minute.
type loads struct {
	seconds, in, out, ratio []float64
}

const minute = 60.0

func readLoads(data string) (loads, error) {
	requests, err := trace.Open(filepath.Join(data, traceFile), trace.Azure, nil)
	if err != nil {
		return loads{}, err
	}
	var l loads
	for source := requests.Source(); ; {
		r, more := source.Next()
		if !more {
			break
		}
		i := int(r.At.Seconds() / minute)
		for len(l.in) <= i {
			l.seconds = append(l.seconds, minute*float64(len(l.in)))
			l.in, l.out = append(l.in, 0), append(l.out, 0)
		}
		l.in[i] += float64(r.InputTokens) / minute
		l.out[i] += float64(r.OutputTokens) / minute
	}
	n := len(l.in) - 1 // the last minute is not whole
	if n < 10 {
		return loads{}, fmt.Errorf("%s has %d whole minutes: want 10", traceFile, max(n, 0))
	}
	l.seconds, l.in, l.out = l.seconds[:n], l.in[:n], l.out[:n]
	for i := range l.in {
		l.ratio = append(l.ratio, l.in[i]/l.out[i])
	}
	return l, nil
}

// twoLoads shows that what prefill has to do and what decode has to do move apart.
func twoLoads(data string) ([]byte, error) {
	l, err := readLoads(data)
	if err != nil {
		return nil, err
	}
	span := chart.Span{To: l.seconds[len(l.seconds)-1]}
	panel := func(class, name, unit string, values []float64) chart.Panel {
		series := chart.Series(l.seconds, values)
		return chart.Panel{Name: name, Unit: unit, Says: name + " in " + unit, HeightPx: 90, Span: span, Scale: chart.Linear(chart.Most(series)),
			Lines: []chart.Line{{Class: class, Values: series}}}
	}
	picture := chart.Picture{
		Title: fmt.Sprintf("Prompt tokens for each generated token: %.1f to %.1f within one hour", slices.Min(l.ratio), slices.Max(l.ratio)),
		Says: fmt.Sprintf("Azure's LLM inference trace of 2023, conversation, CC-BY-4.0: minutes of %.0f to %.0f prompt tokens per second and of %.0f to %.0f generated ones. Their correlation from minute to minute is %.2f.",
			slices.Min(l.in), slices.Max(l.in), slices.Min(l.out), slices.Max(l.out), correlation(l.in, l.out)),
		WidthPx: sheetWidth,
		Panels: []chart.Panel{
			panel("prefill", "Prefill: prompt tokens", "per second, by the minute", l.in),
			panel("decode", "Decode: generated tokens", "per second, by the minute", l.out),
			panel("ink", "Ratio", "prompt tokens for each generated one", l.ratio),
		},
	}
	return drawn(func(b *bytes.Buffer) error { return picture.Write(b) })
}

// correlation is Pearson's.
func correlation(x, y []float64) float64 {
	n := float64(len(x))
	var meanX, meanY, xy, xx, yy float64
	for i := range x {
		meanX, meanY = meanX+x[i]/n, meanY+y[i]/n
	}
	for i := range x {
		xy += (x[i] - meanX) * (y[i] - meanY)
		xx += (x[i] - meanX) * (x[i] - meanX)
		yy += (y[i] - meanY) * (y[i] - meanY)
	}
	return xy / math.Sqrt(xx*yy)
}
