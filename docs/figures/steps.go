package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

const stepsFile = "h200/steps-qwen3-32b-tp1.json"

// step is one measured step. Activities are in per cent, and 0 where they were not read.
type step struct {
	Tokens  float64 `json:"tokens"`
	Batch   float64 `json:"batch"`
	Context float64 `json:"context"`
	Ms      float64 `json:"ms"`
	GPUUtil float64 `json:"gpu_util"`
	Tensor  float64 `json:"tensor_active"`
	DRAM    float64 `json:"dram_active"`
}

type steps struct {
	Prefill []step `json:"prefill"`
	Decode  []step `json:"decode"`
}

func readSteps(data string) (steps, error) {
	var s steps
	text, err := os.ReadFile(filepath.Join(data, stepsFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", stepsFile, err)
	}
	return s, nil
}

// watched keeps the steps whose activities were read. GPU_UTIL is a mean over a
// time before: 0 in the first rows is that it had not begun, and says nothing.
func watched(all []step, keep func(step) bool) []step {
	var some []step
	for _, s := range all {
		if s.Tensor > 0 && s.GPUUtil > 0 && keep(s) {
			some = append(some, s)
		}
	}
	return some
}

const source = "Measured on one NVIDIA H200, Qwen3-32B's shape in bf16, TP 1. DCGM fields 203 (GPU_UTIL), 1004 and 1005; tokens/s as a share of the most."

// utilisation shows that GPU_UTIL does not tell a nearly idle GPU from a full one.
func utilisation(data string) ([]byte, error) {
	all, err := readSteps(data)
	if err != nil {
		return nil, err
	}
	const context = 512
	decode := watched(all.Decode, func(s step) bool { return s.Context == context })
	prefill := watched(all.Prefill, func(step) bool { return true })
	if len(decode) < 3 || len(prefill) < 3 {
		return nil, fmt.Errorf("%s has activities of %d decode and %d prefill steps: want 3 of each", stepsFile, len(decode), len(prefill))
	}
	tokensPerSecond := func(tokens func(step) float64) func(step) float64 {
		return func(s step) float64 { return 1000 * tokens(s) / s.Ms }
	}
	decoded, computed := tokensPerSecond(func(s step) float64 { return s.Batch }), tokensPerSecond(func(s step) float64 { return s.Tokens })
	first, last := decode[0], decode[len(decode)-1]
	return drawn(func(b *bytes.Buffer) error {
		return sheet{
			title: fmt.Sprintf("GPU utilisation reads the same for %.0f sequence and for %.0f", first.Batch, last.Batch),
			says: fmt.Sprintf("Decode: GPU_UTIL reads %.0f per cent at %.0f sequence (%.0f tokens/s) and %.0f per cent at %.0f (%.0f tokens/s). %s",
				first.GPUUtil, first.Batch, decoded(first), last.GPUUtil, last.Batch, decoded(last), source),
			source: source,
			planes: []chart.Plane{
				plane("Decode, by the sequences in the batch ("+chart.Number(context)+" tokens of context each)", decode, func(s step) float64 { return s.Batch }, "decode", decoded),
				plane("Prefill, by the tokens of the prompt", prefill, func(s step) float64 { return s.Tokens }, "prefill", computed),
			},
		}.write(b)
	})
}

// plane draws activities and throughput of steps; the throughput is of the most that was measured.
func plane(name string, all []step, x func(step) float64, role string, tokensPerSecond func(step) float64) chart.Plane {
	most := 0.0
	var ticks []float64
	for _, s := range all {
		most = max(most, tokensPerSecond(s))
		ticks = append(ticks, x(s))
	}
	p := chart.Plane{Name: name, Says: name, XName: "", HeightPx: 190,
		X:     logAxis{low: ticks[0], high: ticks[len(ticks)-1], room: 0.76, ticks: ticks},
		Y:     chart.Linear(100),
		XTick: chart.Number, YTick: func(v float64) string { return chart.Number(v) + " %" }}
	for _, line := range []struct {
		class, name string
		y           func(step) float64
	}{
		{"own", "GPU_UTIL", func(s step) float64 { return s.GPUUtil }},
		{role, "tokens/s", func(s step) float64 { return 100 * tokensPerSecond(s) / most }},
		{"", "tensor", func(s step) float64 { return s.Tensor }},
		{"", "DRAM", func(s step) float64 { return s.DRAM }},
	} {
		for i, s := range all {
			point := chart.Point{Class: line.class, X: x(s), Y: line.y(s),
				Says: fmt.Sprintf("%s at %s: %.0f %% (%.0f tokens/s)", line.name, chart.Number(x(s)), line.y(s), tokensPerSecond(s))}
			if i == len(all)-1 {
				point.Name = line.name
				for _, t := range all {
					point.Trail = append(point.Trail, chart.XY{X: x(t), Y: line.y(t)})
				}
			}
			p.Points = append(p.Points, point)
		}
	}
	return p
}

// prompts shows that requests are not equal: how long one prompt takes, by its length.
func prompts(data string) ([]byte, error) {
	all, err := readSteps(data)
	if err != nil {
		return nil, err
	}
	if len(all.Prefill) < 3 {
		return nil, fmt.Errorf("%s has %d prefill steps: want 3", stepsFile, len(all.Prefill))
	}
	first, last := all.Prefill[0], all.Prefill[len(all.Prefill)-1]
	p := chart.Plane{Name: "One prompt's prefill, by its tokens", HeightPx: 220,
		X:     logAxis{low: first.Tokens, high: last.Tokens, room: 0.9, ticks: []float64{64, 256, 1024, 4096, 24576}},
		Y:     chart.Logarithmic(first.Ms, last.Ms),
		XTick: chart.Number, YTick: chart.Latency}
	for i, s := range all.Prefill {
		point := chart.Point{Class: "prefill", X: s.Tokens, Y: s.Ms, Says: fmt.Sprintf("%.0f tokens: %.0f ms", s.Tokens, s.Ms)}
		if i == len(all.Prefill)-1 {
			point.Name = chart.Latency(s.Ms)
			for _, t := range all.Prefill {
				point.Trail = append(point.Trail, chart.XY{X: t.Tokens, Y: t.Ms})
			}
		}
		p.Points = append(p.Points, point)
	}
	p.Says = fmt.Sprintf("A prompt of %.0f tokens takes %.0f ms, one of %.0f tokens %.0f ms.", first.Tokens, first.Ms, last.Tokens, last.Ms)
	return drawn(func(b *bytes.Buffer) error {
		return sheet{
			title: fmt.Sprintf("Ten requests in a queue are %s or %s of work", chart.Latency(10*first.Ms), chart.Latency(10*last.Ms)),
			says:  p.Says + " " + source, source: "Measured on one NVIDIA H200, Qwen3-32B's shape in bf16, TP 1, one prompt at a time.", planes: []chart.Plane{p},
		}.write(b)
	})
}
