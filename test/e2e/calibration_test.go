package e2e

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// TestCalibrationOfALiveService: the emulated replicas take 1.3 of the model's time for a decode step and 0.8 of it for a
// prompt. The controller reads their pages as any engine's, and after some intervals its records hold a model that is theirs.
func TestCalibrationOfALiveService(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Kubernetes control plane and about a minute: not under -short")
	}
	t.Parallel()
	repository, bin := build(t, "pdautoscaler")
	s, err := stage.Start(t.Context(), stage.Options{
		Dir: t.TempDir(), Repository: repository, Autoscaler: filepath.Join(bin, "pdautoscaler"), Seed: 1, Progress: os.Stderr, Events: io.Discard,
		Mode: v1alpha1.ModeRecommend, // the counts stay as they are: replicas that change teach nothing
		Service: func(s *capacity.Service) {
			p, d := s.Prefill.Prefill.Coefficients(), s.Decode.Decode.Coefficients()
			for i := range p {
				p[i] *= 0.8
			}
			for i := range d {
				d[i] *= 1.3
			}
			s.Prefill.Prefill, s.Decode.Decode = s.Prefill.Prefill.WithCoefficients(p), s.Decode.Decode.WithCoefficients(d)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	steady := load.Profile{Name: "steady", Phases: []load.Phase{
		{Name: "steady", DurationSeconds: 900, RequestsPerSecond: 6, InputTokens: 2000, InputSCV: 0.5, OutputTokens: 250, OutputSCV: 0.5},
	}}
	const rounds = 15 // the first few that teach are still uncertain
	records := playUntil(t, s, &steady, rounds, func(last []planner.Record) bool {
		return len(last) >= rounds && bothLearnt(&last[len(last)-1].Input.Spec)
	})
	last := &records[len(records)-1].Input.Spec
	if last.Prior == nil {
		t.Fatalf("nothing was learnt in %d rounds", len(records))
	}
	for what, c := range map[string]struct{ got, want float64 }{
		"prefill": {last.Service.Prefill.Prefill.StepMs(2000, 0) / last.Prior.Service.Prefill.Prefill.StepMs(2000, 0), 0.8},
		"decode":  {last.Service.Decode.Decode.StepMs(24, 50_000) / last.Prior.Service.Decode.Decode.StepMs(24, 50_000), 1.3},
	} {
		t.Logf("%s: a step is taken for %.3f of what the model says without the service; it is %.1f", what, c.got, c.want)
		if math.Abs(c.got/c.want-1) > 0.05 {
			t.Errorf("%s: a step is taken for %.3f of what the model says, want %.1f within 5 %%", what, c.got, c.want)
		}
	}
	replays(t, records)
}

func bothLearnt(s *planner.Spec) bool {
	return s.Prior != nil && s.Prior.Service.Prefill.Prefill != s.Service.Prefill.Prefill && s.Prior.Service.Decode.Decode != s.Service.Decode.Decode
}
