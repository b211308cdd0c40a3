package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// former is the last commit whose controller wrote records of version 1 and a memory without a version: what a new leader finds
// after an upgrade from it is what that controller really wrote. A release takes its place once there is one.
const former = "0a9f3d52cbea493dc8a9696b98a73bd6786765ba"

// answers are long ones: after the prompts, which need 4 prefill replicas, they need decode, on a budget that has to move GPUs from
// the one to the other.
var answers = load.Profile{Phases: []load.Phase{
	{Name: "long answers", DurationSeconds: 3600, RequestsPerSecond: 55, InputTokens: 400, InputSCV: 0.5, OutputTokens: 500, OutputSCV: 0.5},
}}

// TestRollingUpgrade plays what a Deployment does with a new image: a controller of the former version works, one of this version
// stands by, and while GPUs are on their way from prefill to decode the former is told to end. The new one ends its move, within the
// budget all along.
func TestRollingUpgrade(t *testing.T) {
	if os.Getenv("PDAUTOSCALER_E2E") == "" {
		t.Skip("takes 2 minutes: make e2e-install runs it (PDAUTOSCALER_E2E=1)")
	}
	present := filepath.Join(build(t, "pdautoscaler"), "pdautoscaler")
	old, source, err := buildFormer(t.Context(), t.TempDir())
	if errors.Is(err, errNoHistory) {
		t.Logf("%v: this version takes over from itself, which proves less", err)
		old, source = present, repository
	} else if err != nil {
		t.Fatal(err)
	}
	s, err := stage.Start(t.Context(), stage.Options{ // the rights are the former version's, from its own source
		Dir: t.TempDir(), Repository: source, Autoscaler: old, Seed: 1, Progress: os.Stderr, Events: io.Discard,
		AutoscalerArgs: []string{"--leader-elect", "--leader-elect-namespace=" + namespace},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.StandBy(t.Context(), present); err != nil {
		t.Fatal(err)
	}
	if err := s.Emulator.Play(&prompts, 1); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "prefill for the prompts", func(*v1alpha1.PDAutoscaler) bool {
		return s.Pods.Ledger.Totals(time.Now()).Roles[rbgfake.RolePrefill].Ready >= 4
	})
	letGo := holdPrefill(t, s)
	if err := s.Emulator.Play(&answers, 1); err != nil {
		t.Fatal(err)
	}
	begun := waitFor(t, s, "a move of the former version", func(p *v1alpha1.PDAutoscaler) bool { return p.Status.Move != nil })
	if v := begun.Status.Memory.Version; old != present && v != 0 {
		t.Errorf("the former version wrote a memory of version %d, want none: it is not the former", v)
	}
	// The rights of this version come before the former one is told to end, as with helm and with kubectl apply -k. It can do
	// nothing with them any more: it needs some that this one does not.
	if _, err := s.ControlPlane.Kubectl(t.Context(), "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(repository, "config", "rbac")); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	if err := s.TakeOver(stage.Ended); err != nil {
		t.Fatal(err)
	}
	letGo()
	ended := waitFor(t, s, "the end of the move", func(p *v1alpha1.PDAutoscaler) bool {
		return p.Status.Move == nil || !p.Status.Move.StartedAt.Equal(&begun.Status.Move.StartedAt)
	})
	t.Logf("the move of %d GPUs from %s to %s was %s when the former version ended, and over %s later",
		begun.Status.Move.GPUs, begun.Status.Move.From, begun.Status.Move.To, begun.Status.Move.Phase, time.Since(at).Round(time.Second))
	if v := ended.Status.Memory.Version; v != planner.RecordVersion {
		t.Errorf("the memory is of version %d, want this one's, %d", v, planner.RecordVersion)
	}
	checkEnded(t, s, begun.Status.Move)
	check, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Pods.Check(check); err != nil {
		t.Error(err)
	}
	if peak := s.Pods.Ledger.Totals(time.Now()).Peak; peak != stage.BudgetGPUs {
		t.Errorf("at most %d GPUs were held by the watch history, want the whole budget of %d and no more", peak, stage.BudgetGPUs)
	}
}

// holdPrefill keeps the prefill pods that there are from going until they are let go: the move is under way still when the former
// version ends, however long that takes.
func holdPrefill(t *testing.T, s *stage.Stage) (letGo func()) {
	t.Helper()
	pods := s.Kubernetes.CoreV1().Pods(stage.Namespace)
	list, err := pods.List(t.Context(), metav1.ListOptions{LabelSelector: rbgfake.LabelRoleName + "=" + rbgfake.RolePrefill})
	if err != nil {
		t.Fatal(err)
	}
	finalizers := func(value string) {
		t.Helper()
		for i := range list.Items {
			patch := fmt.Appendf(nil, `{"metadata": {"finalizers": %s}}`, value)
			if _, err := pods.Patch(t.Context(), list.Items[i].Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	finalizers(`["test.pdautoscaler.io/held"]`)
	return func() { t.Helper(); finalizers("null") }
}

// checkEnded wants a record of the new leader in which the move that it found is done.
func checkEnded(t *testing.T, s *stage.Stage, begun *v1alpha1.MoveStatus) {
	t.Helper()
	records, err := s.Decisions(t.Context(), 1000)
	if err != nil || len(records) == 0 {
		t.Fatalf("the new leader has %d records (%v)", len(records), err)
	}
	if m := records[0].Input.Memory.Move; m == nil || !m.StartedAt.Equal(begun.StartedAt.Time) {
		t.Errorf("the new leader begins with the move %+v, want the one that was under way", m)
	}
	for i := range records {
		if m := records[i].Decision.Ended; m != nil {
			if m.Phase != planner.MoveDone || !m.StartedAt.Equal(begun.StartedAt.Time) {
				t.Errorf("the move ended as %s: %+v", m.Phase, m)
			}
			return
		}
	}
	t.Error("no record of the new leader has the end of the move")
}

// waitFor waits until the PDAutoscaler is as asked.
func waitFor(t *testing.T, s *stage.Stage, what string, is func(*v1alpha1.PDAutoscaler) bool) *v1alpha1.PDAutoscaler {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * patience); ; {
		p, err := s.Autoscaler(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if is(p) {
			return p
		}
		select {
		case <-s.Failed():
			t.Fatal(s.Err())
		case <-end:
			t.Fatalf("%s did not come: %s", what, p.Status.Message)
		case <-tick.C:
		}
	}
}

var errNoHistory = errors.New("the former version is not in this checkout's history")

// buildFormer builds the former version's controller in a folder, where its source is then too.
func buildFormer(ctx context.Context, dir string) (binary, source string, err error) {
	git := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = repository
		return cmd
	}
	if err := git("cat-file", "-e", former+"^{commit}").Run(); err != nil {
		return "", "", fmt.Errorf("%w: %w", errNoHistory, err)
	}
	source, tar := filepath.Join(dir, "source"), filepath.Join(dir, "source.tar")
	if err := os.Mkdir(source, 0o755); err != nil {
		return "", "", err
	}
	binary = filepath.Join(dir, "pdautoscaler")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/pdautoscaler")
	build.Dir = source
	for _, cmd := range []*exec.Cmd{git("archive", "--output="+tar, former), exec.CommandContext(ctx, "tar", "-xf", tar, "-C", source), build} {
		if _, err := output(cmd); err != nil {
			return "", "", err
		}
	}
	return binary, source, nil
}
