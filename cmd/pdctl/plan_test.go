package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// planOf runs pdctl plan for a Qwen3-32B on H200 with TP 2 and reads its JSON.
func planOf(t *testing.T, args ...string) (p plan, code int) {
	t.Helper()
	all := append([]string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--prefill-tp", "2", "--decode-tp", "2", "-o", "json"}, args...)
	stdout, stderr, code := pdctl(t, "", all...)
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || stderr != "" {
		t.Fatalf("exit code %d, stderr %q: %v\n%s", code, stderr, err, stdout)
	}
	return p, code
}

func TestPlanHoldsAndTheNextCheaperDoesNot(t *testing.T) {
	p, code := planOf(t, "--rate", "20", "--input", "4000", "--output", "1000", "--ttft", "p95=2s", "--tpot", "p95=40ms")
	if code != exitDone || !p.Meets {
		t.Fatalf("exit code %d: %+v", code, p)
	}
	if p.GPUs != 2*(p.Prefill+p.Decode) {
		t.Errorf("%d GPUs for %d and %d replicas of 2", p.GPUs, p.Prefill, p.Decode)
	}
	if p.TTFTMs["p95"] > 2000 || p.TPOTMs["p95"] > 40 || !(p.TTFTMs["p50"] < p.TTFTMs["p95"]) || !(p.TPOTMs["p50"] < p.TPOTMs["p95"]) {
		t.Errorf("predicted TTFT %v and TPOT %v", p.TTFTMs, p.TPOTMs)
	}
	c := p.NextCheaper
	if c == nil || c.GPUs != p.GPUs-2 || c.Breaks != p.Binding {
		t.Fatalf("binding %q, next cheaper %+v", p.Binding, c)
	}
	limit := map[string]float64{"ttft": 2000, "tpot": 40}[c.Breaks]
	if limit == 0 || c.PredictedMs != nil && *c.PredictedMs <= limit {
		t.Errorf("the next cheaper plan breaks nothing: %+v", c)
	}
}

func TestPlanOfALightLoadIsTheMinimum(t *testing.T) {
	p, code := planOf(t, "--rate", "0.1", "--input", "500", "--output", "100", "--ttft", "p95=2s", "--tpot", "p95=40ms")
	if code != exitDone || p.Prefill != 1 || p.Decode != 1 || p.Binding != "minimum" || p.NextCheaper != nil {
		t.Errorf("exit code %d: %+v", code, p)
	}
}

func TestPlanSaysThatThereIsNone(t *testing.T) {
	flags := []string{"--rate", "20", "--input", "4000", "--output", "1000", "--tpot", "p95=40ms"}
	p, code := planOf(t, append(flags, "--ttft", "p95=2s", "--max-gpus", "12")...)
	if code != exitNo || p.Meets || p.Binding != "max-gpus" || p.GPUs > 12 || p.Prefill < 1 || p.Decode < 1 || len(p.Why) == 0 {
		t.Errorf("exit code %d: %+v", code, p)
	}
	p, code = planOf(t, append(flags, "--ttft", "p95=50ms")...)
	if code != exitNo || p.Meets || p.Binding != "unattainable" || len(p.Why) == 0 {
		t.Errorf("exit code %d: %+v", code, p)
	}
	stdout, _, code := pdctl(t, "", append([]string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--prefill-tp", "2", "--decode-tp", "2", "--ttft", "p95=2s", "--max-gpus", "12"}, flags...)...)
	if code != exitNo || !strings.HasPrefix(stdout, "No plan holds both objectives.") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
}

// A handover that counts towards TTFT never makes a plan cheaper, and it is in what is predicted.
func TestPlanWithTTFTThatEndsAtDecode(t *testing.T) {
	flags := []string{"--rate", "8", "--input", "6000", "--output", "400", "--ttft", "p95=2s", "--tpot", "p95=40ms"}
	prefill, _ := planOf(t, flags...)
	decode, code := planOf(t, append(flags, "--ttft-ends-at", "decode")...)
	if code != exitDone || decode.GPUs < prefill.GPUs || decode.TTFTMs["p95"] > 2000 {
		t.Errorf("exit code %d: %+v, against %+v", code, decode, prefill)
	}
	if decode.Prefill == prefill.Prefill && decode.TTFTMs["p50"] <= prefill.TTFTMs["p50"] {
		t.Errorf("TTFT with the handover %v, without %v", decode.TTFTMs, prefill.TTFTMs)
	}
}

// Where both objectives can be held, the plan is what the planner would do for the same load: there is one model.
func TestPlanIsThePlannersChoice(t *testing.T) {
	service := newService(t).spec.Service
	rapid.Check(t, func(t *rapid.T) {
		o := planOptions{prefillTP: 2, decodeTP: 2, rate: above0(0), input: above0(0), output: above0(0),
			arrivalSCV: atLeast0(1), inputSCV: atLeast0(1), outputSCV: atLeast0(1), cachedShare: shareBelow1(0)}
		o.rate.value = rapid.Float64Range(0.1, 60).Draw(t, "rate")
		o.input.value = rapid.Float64Range(50, 12000).Draw(t, "input")
		o.output.value = rapid.Float64Range(20, 2000).Draw(t, "output")
		o.inputSCV.value = rapid.Float64Range(0.05, 3).Draw(t, "inputSCV")
		o.ttft = objective{capacity.Objective{Quantile: 0.95, Ms: rapid.Float64Range(500, 8000).Draw(t, "ttft")}}
		o.tpot = objective{capacity.Objective{Quantile: 0.95, Ms: rapid.Float64Range(20, 100).Draw(t, "tpot")}}
		p, err := o.plan(service)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Meets {
			return
		}
		d, _ := planner.Plan(o.asInput(service))
		if unattainable := hasNote(d, planner.ReasonUnattainable); !unattainable && (d.Prefill.To != p.Prefill || d.Decode.To != p.Decode) {
			t.Fatalf("pdctl plans %d and %d, the planner %d and %d: %s", p.Prefill, p.Decode, d.Prefill.To, d.Decode.To, d.Summary)
		}
		for name, v := range map[string]float64{"TTFT": p.TTFTMs["p95"] - o.ttft.Ms, "TPOT": p.TPOTMs["p95"] - o.tpot.Ms} {
			if !(v <= 0) || math.IsNaN(v) {
				t.Fatalf("%s is %v ms over its objective in a plan that holds: %+v", name, v, p)
			}
		}
	})
}

func hasNote(d planner.Decision, reason planner.Reason) bool {
	for _, n := range d.Notes {
		if n.Reason == reason {
			return true
		}
	}
	return false
}
