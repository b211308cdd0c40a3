package calibrate

import (
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// Prompts counted in characters look four times as fast as they are, and no GPU beats its peaks by that much: such readings are
// another thing than the column says, and are refused rather than averaged in.
func TestReadingsBeyondPhysicsAreRefused(t *testing.T) {
	m, g := qwen(t)
	r := fitted(t, nil).Replica()
	prefill := func(tokens, faster float64) func(float64) Observation {
		return func(n float64) Observation {
			return Observation{Kind: Prefill, Tokens: tokens * n, Ms: r.Prefill.StepMs(n, 0) / faster}
		}
	}
	for name, c := range map[string]struct {
		row     func(n float64) Observation
		refused bool
	}{
		"right":                 {prefill(1, 1), false},
		"faster by a third":     {prefill(1, 1.33), false},
		"prompts in characters": {prefill(4, 1), true},
		"steps in a third of the time": {func(n float64) Observation {
			return Observation{Kind: Decode, Sequences: n / 100, ContextTokens: 10 * n, Ms: r.Decode.StepMs(n/100, 10*n) / 3}
		}, true},
	} {
		var rows []Observation
		for n := 400.0; n <= 8000; n += 400 {
			rows = append(rows, c.row(n))
		}
		_, err := FitAll(m, g, perfmodel.Options{}, rows)
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "another unit") {
			t.Errorf("%s: %v, refused should be %v", name, err, c.refused)
		}
	}
}
