package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// lead says what was simulated.
func lead(s *scenario.Scenario) string {
	t, spec, f := s.Traffic.Summary(), &s.Setup.Spec, s.File
	gpu := func(role string) string {
		if role != "" {
			return role
		}
		return f.GPU
	}
	hardware := "on " + gpu(f.Prefill.GPU)
	if gpu(f.Decode.GPU) != gpu(f.Prefill.GPU) {
		hardware = fmt.Sprintf("with prefill on %s and decode on %s", gpu(f.Prefill.GPU), gpu(f.Decode.GPU))
	}
	budget := ""
	if spec.BudgetGPUs > 0 {
		budget = fmt.Sprintf(" Both roles together hold at most %d GPUs.", spec.BudgetGPUs)
	}
	end := ""
	if s.Engine.Service.TTFTEndsAt == capacity.EndsAtDecode {
		end = ", its first token from decode"
	}
	return fmt.Sprintf("%s %s, %s a prefill replica and %s a decode replica. %s requests in %s: %s a second, %s prompt tokens and %s output tokens on average. "+
		"A request attains when its TTFT is within %s and its TPOT within %s%s. A replica is ready %s (prefill) and %s (decode) after it is asked for.%s",
		f.Model, hardware, count(spec.Prefill.GPUsPerReplica, "GPU"), count(spec.Decode.GPUsPerReplica, "GPU"), thousands(uint64(t.Requests)), plain(s.Traffic.Duration()),
		chart.Number(t.RequestsPerSecond), chart.Number(t.InputTokensMean), chart.Number(t.OutputTokensMean),
		chart.Latency(spec.TTFT.Ms), chart.Latency(spec.TPOT.Ms), end, plain(s.Setup.PrefillStartup), plain(s.Setup.DecodeStartup), budget)
}

// findings say what came of it, the project's policy first.
func findings(r *scenario.Report) []string {
	var ours, oracle, rival *scenario.PolicyReport
	for i := range r.Policies {
		switch p := &r.Policies[i]; p.Name {
		case own:
			ours = p
		case "oracle":
			oracle = p
		}
	}
	if ours == nil {
		return nil
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		if p != ours && p != oracle && p.Attainment >= ours.Attainment-scenario.EqualAttainment && (rival == nil || p.GPUHours < rival.GPUHours) {
			rival = p
		}
	}
	text := fmt.Sprintf("%s attains %s on %s GPU-hours.", own, percent(ours.Attainment), hours(ours.GPUHours))
	others := len(r.Policies) - 1
	if oracle != nil {
		others--
	}
	switch {
	case others == 0:
	case rival == nil:
		text += " None of the others attains as much."
	case rival.GPUHours < ours.GPUHours:
		text += fmt.Sprintf(" %s attains as much on %s, %s less.", rival.Name, hours(rival.GPUHours), percent(1-rival.GPUHours/ours.GPUHours))
	default:
		text += fmt.Sprintf(" Of the others, %s attains as much on fewest: %s, %s more.", rival.Name, hours(rival.GPUHours), percent(rival.GPUHours/ours.GPUHours-1))
	}
	if oracle != nil {
		text += fmt.Sprintf(" The oracle, which knows what comes, attains %s on %s.", percent(oracle.Attainment), hours(oracle.GPUHours))
	}
	return []string{text}
}

// summary is one policy in a line.
func summary(p *scenario.PolicyReport) string {
	return fmt.Sprintf("%s attained, %s GPU-hours", percent(p.Attainment), hours(p.GPUHours))
}

// percent writes a share, to a hundredth of a per cent where that matters. Only all is 100 %.
func percent(share float64) string {
	v := 100 * share
	digits := 1
	if v > 90 {
		digits = 2
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if v < 100 && strings.HasPrefix(text, "100") {
		text = "99.99"
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}

func hours(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// plain writes a duration without empty parts: 1h30m, 100s.
func plain(d time.Duration) string {
	d = d.Round(time.Second)
	if d < 3*time.Minute {
		return strconv.Itoa(int(d.Seconds())) + " s"
	}
	if d < 3*time.Hour {
		return strconv.FormatFloat(d.Round(time.Minute).Minutes(), 'f', -1, 64) + " min"
	}
	return strconv.FormatFloat(d.Round(6*time.Minute).Hours(), 'f', -1, 64) + " h"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func otherRole(r planner.Role) planner.Role {
	if r == planner.Prefill {
		return planner.Decode
	}
	return planner.Prefill
}
