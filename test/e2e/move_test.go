package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// The surges: the first needs 4 prefill replicas, the second 4 decode replicas, and 12 GPUs hold 6 replicas. Each plays until it
// has been answered, which takes as long as the machine takes, and no longer than it lasts.
var (
	longPrompts = load.Profile{Phases: []load.Phase{
		{Name: "long prompts", DurationSeconds: 600, RequestsPerSecond: 11, InputTokens: 4000, InputSCV: 0.5, OutputTokens: 350, OutputSCV: 0.5},
	}}
	longAnswers = load.Profile{Phases: []load.Phase{
		{Name: "long answers", DurationSeconds: 900, RequestsPerSecond: 55, InputTokens: 400, InputSCV: 0.5, OutputTokens: 500, OutputSCV: 0.5},
	}}
)

// prefillAtTheSurge is what the first surge needs.
const prefillAtTheSurge = 4

// TestMoveUnderAHardCap plays a surge of long prompts and then one of long answers, until GPUs have moved from prefill to
// decode.
func TestMoveUnderAHardCap(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Kubernetes control plane and about 80 s: not under -short")
	}
	t.Parallel()
	repository, bin := build(t, "pdautoscaler")
	var history bytes.Buffer
	s, err := stage.Start(t.Context(), stage.Options{
		Dir: t.TempDir(), Repository: repository, Autoscaler: filepath.Join(bin, "pdautoscaler"), Seed: 1, Progress: os.Stderr, Events: &history,
	})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		}
	}()
	playUntil(t, s, &longPrompts, 1, func([]planner.Record) bool {
		return s.Pods.Ledger.Totals(time.Now()).Roles[rbgfake.RolePrefill].Ready >= prefillAtTheSurge
	})
	records := playUntil(t, s, &longAnswers, 1000, func(all []planner.Record) bool {
		return slices.ContainsFunc(all, func(r planner.Record) bool { return done(r.Decision.Ended) })
	})

	check, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Pods.Check(check); err != nil {
		t.Error(err)
	}
	if err := s.Pods.Stop(); err != nil {
		t.Error(err)
	}
	stopped = true
	if err := s.Stop(); err != nil {
		t.Error(err)
	}

	t.Run("the roles were scaled independently", func(t *testing.T) { scaledIndependently(t, records) })
	t.Run("GPUs moved from prefill to decode", func(t *testing.T) { moved(t, records) })
	t.Run("the watch history shows the budget kept", func(t *testing.T) { budgetKept(t, history.Bytes()) })
	t.Run("every decision replays bit for bit", func(t *testing.T) { replays(t, records) })
}

// build builds commands and returns the root of the repository and the folder of the binaries.
func build(t *testing.T, commands ...string) (repository, bin string) {
	t.Helper()
	repository, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	bin = t.TempDir()
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	for _, c := range commands {
		args = append(args, "./cmd/"+c)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", strings.Join(commands, " and "), err, out)
	}
	return repository, bin
}

// playUntil plays a load until the last few decision records are as is waited for, or to its end. It returns all of them.
func playUntil(t *testing.T, s *stage.Stage, load *load.Profile, few int, over func(last []planner.Record) bool) []planner.Record {
	t.Helper()
	if err := s.Emulator.Play(load, 1); err != nil {
		t.Fatal(err)
	}
	end := time.After(load.Duration())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-s.Failed():
			t.Fatal(s.Err())
		case <-end:
			ended = true
		case <-tick.C:
			records, err := s.Decisions(t.Context(), few)
			if err != nil {
				t.Fatal(err)
			}
			ended = over(records)
		}
	}
	records, err := s.Decisions(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func done(m *planner.Move) bool { return m != nil && m.Phase == planner.MoveDone }

// scaledIndependently wants a decision that grew prefill alone and one that grew decode while prefill shrank or stayed.
func scaledIndependently(t *testing.T, records []planner.Record) {
	var prefillUp, decodeUp bool
	for i := range records {
		d := &records[i].Decision
		prefillUp = prefillUp || d.Prefill.To > d.Prefill.From && d.Decode.To <= d.Decode.From
		decodeUp = decodeUp || d.Decode.To > d.Decode.From && d.Prefill.To <= d.Prefill.From
	}
	if !prefillUp || !decodeUp {
		t.Errorf("prefill grew alone: %t, decode grew alone: %t; want both\n%s", prefillUp, decodeUp, history(records))
	}
}

func moved(t *testing.T, records []planner.Record) {
	for i := range records {
		if m := records[i].Decision.Ended; done(m) && m.From == planner.Prefill && m.To == planner.Decode && m.GPUs > 0 && m.Reason != "" {
			t.Logf("%d GPUs in %s: %s", m.GPUs, records[i].Decision.At.Sub(m.StartedAt).Round(time.Millisecond), m.Reason)
			return
		}
	}
	t.Errorf("no move from prefill to decode was completed\n%s", history(records))
}

// budgetKept goes through the API server's history itself: each event with what is held after it.
func budgetKept(t *testing.T, lines []byte) {
	events, most, draining := 0, 0, 0
	for dec := json.NewDecoder(bytes.NewReader(lines)); dec.More(); {
		var e gpuwatch.Event
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		events++
		most = max(most, e.Held)
		if e.Role == rbgfake.RolePrefill && e.State == gpuwatch.Terminating {
			draining++
		}
		if e.Held > stage.BudgetGPUs {
			t.Errorf("after %s of pod %s (resourceVersion %s) %d GPUs are held, the budget is %d", e.Type, e.Pod, e.ResourceVersion, e.Held, stage.BudgetGPUs)
		}
	}
	if most != stage.BudgetGPUs {
		t.Errorf("at most %d GPUs were held: the load is made so that the whole budget of %d is needed", most, stage.BudgetGPUs)
	}
	if draining == 0 {
		t.Error("no prefill pod was ever seen terminating with its GPUs held")
	}
	t.Logf("%d events, at most %d GPUs held", events, most)
}

// replays makes each decision again from its saved input.
func replays(t *testing.T, records []planner.Record) {
	if len(records) == 0 {
		t.Fatal("the autoscaler served no decision records")
	}
	for i := range records {
		saved, err := json.Marshal(records[i].Decision)
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(planner.Replay(records[i]))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(saved), string(again)); diff != "" {
			t.Fatalf("record %d of %s gives another decision (-saved +again):\n%s", i, records[i].Input.Now, diff)
		}
	}
	t.Logf("%d records", len(records))
}

// history is what was decided, for a failing test.
func history(records []planner.Record) string {
	var b strings.Builder
	for i := range records {
		b.WriteString(records[i].Decision.At.Format("15:04:05 ") + records[i].Decision.Summary + "\n")
	}
	return b.String()
}
