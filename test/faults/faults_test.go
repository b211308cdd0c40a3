package faults

import (
	"context"
	"errors"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

var (
	seed      = flag.Uint64("faults.seed", 1, "the seed of the first sequence; the next ones count up")
	sequences = flag.Int("faults.sequences", 4, "how many sequences are played")
	steps     = flag.Int("faults.steps", 3, "how many steps each has")
	parallel  = flag.Int("faults.parallel", 8, "how many are played at a time")
	restarts  = flag.Int("faults.restarts", 0, "every so many sequences share a round in which the API server is restarted; 0 is none")
	verbose   = flag.Bool("faults.verbose", false, "print what happened in sequences without a violation, too")
)

// allBoundaries is of how many sequences it is asked that controllers were killed at every kind of write.
const allBoundaries = 100

const systemNamespace = "pdautoscaler-system"

// TestSequences plays sequences until all are through, and prints each with its faults and what was wrong.
func TestSequences(t *testing.T) {
	s := newSuite(t)
	var quiet, restarted []uint64
	for i := range uint64(*sequences) {
		if *restarts > 0 && int(i)%*restarts == *restarts-1 {
			restarted = append(restarted, *seed+i)
		} else {
			quiet = append(quiet, *seed+i)
		}
	}
	began := time.Now()
	reports := s.playAll(t, quiet, nil)
	for group := range slices.Chunk(restarted, *parallel) {
		reports = append(reports, s.playAll(t, group, func(ctx context.Context) error { return s.restart(ctx, group[0]) })...)
	}
	s.conclude(t, reports, time.Since(began))
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{cp: controlplane.ForTest(t), deaths: map[string]int{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scheme := runtime.NewScheme()
	must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	var err error
	s.client, err = client.New(s.cp.Config, client.Options{Scheme: scheme})
	must(err)
	if err := s.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	must(s.cp.NamespaceReady(t.Context(), systemNamespace))
	_, err = s.cp.Kubectl(t.Context(), "apply", "--server-side", "-k", "../../config/rbac")
	must(err)
	s.rights, err = s.cp.UserConfig("system:serviceaccount:"+systemNamespace+":pdautoscaler", "system:serviceaccounts", "system:serviceaccounts:"+systemNamespace)
	must(err)
	s.rights.UserAgent = "pdautoscaler"
	s.ideal, err = newIdeal(autoscaler("none", false))
	must(err)
	s.history, err = Follow(context.WithoutCancel(t.Context()), s.cp.EtcdURL())
	must(err)
	t.Cleanup(func() {
		if err := s.history.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// playAll plays the sequences of some seeds, several at a time, while something else may be done to all of them, and prints
// each when it is over.
func (s *suite) playAll(t *testing.T, seeds []uint64, meanwhile func(context.Context) error) []Report {
	t.Helper()
	reports := make([]Report, len(seeds))
	room := make(chan struct{}, *parallel)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	if meanwhile != nil {
		go func() { failed <- meanwhile(ctx) }()
	}
	for i, seed := range seeds {
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			reports[i] = s.play(ctx, new(Draw(seed, *steps, s.ideal.planned)))
			s.print(t, &reports[i])
		})
	}
	running.Wait()
	cancel()
	if meanwhile != nil {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	return reports
}

// restart restarts the API server twice while sequences play.
func (s *suite) restart(ctx context.Context, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 2))
	for range 2 {
		select {
		case <-ctx.Done(): // all sequences are over
			return nil
		case <-time.After(milliseconds(r, 5000, 10000)):
		}
		if err := s.cp.Restart(ctx, controlplane.APIServer, milliseconds(r, 0, 3000)); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// print says what was played, and what was wrong.
func (s *suite) print(t *testing.T, r *Report) {
	t.Helper()
	if len(r.Violations) == 0 {
		t.Logf("%s, after %s", r.Sequence, r.Settled.Round(100*time.Millisecond))
		if *verbose {
			t.Log(r.Trace)
		}
		return
	}
	t.Errorf("%s\nVIOLATED:\n  %s\n%s\nagain: -faults.seed=%d -faults.sequences=1 -faults.steps=%d",
		r.Sequence, strings.Join(r.Violations, "\n  "), r.Trace, r.Sequence.Seed, *steps)
}

// conclude says what all of them were.
func (s *suite) conclude(t *testing.T, reports []Report, took time.Duration) {
	t.Helper()
	kinds := map[Kind]int{}
	var settled []time.Duration
	bad, excused, writes, missed := 0, 0, 0, 0
	for i := range reports {
		r := &reports[i]
		for _, step := range r.Sequence.Steps {
			if step.Fault != nil {
				kinds[step.Fault.Kind]++
			}
		}
		settled = append(settled, r.Settled)
		excused += r.Excused
		writes += r.Writes
		missed += r.Missed
		if len(r.Violations) > 0 {
			bad++
		}
	}
	slices.Sort(settled)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("%4d x %s", kinds[kind], kind)
	}
	for _, what := range slices.Sorted(maps.Keys(s.deaths)) {
		t.Logf("%4d x killed %s", s.deaths[what], what)
	}
	for _, what := range []Boundary{AtStatus, AtScale, AtFinalizer} {
		for _, when := range []string{"before", "after"} {
			if key := when + " a write " + string(what); len(reports) >= allBoundaries && s.deaths[key] == 0 {
				t.Errorf("no controller was killed %s", key)
			}
		}
	}
	t.Logf("%d sequences in %s, %d of them with violations; %d changes of a count, %d writes on their way when others took the GPUs, %d pods left behind by the garbage collector; as planned after %s (median), %s at most",
		len(reports), took.Round(time.Second), bad, writes, excused, missed, settled[len(settled)/2].Round(100*time.Millisecond), settled[len(settled)-1].Round(100*time.Millisecond))
}
