package controller

import (
	"fmt"
	"math"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// The times of a resource are an interval apart, whenever it is asked for them,
// and the next one is neither at once nor far away.
func TestDueAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := types.UID(rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "uid"))
		interval := time.Duration(rapid.Int64Range(int64(time.Second), int64(10*time.Minute)).Draw(t, "interval"))
		now := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds"))
		due := dueAfter(uid, now, interval)
		if wait := due.Sub(now); wait < interval/2 || wait >= interval/2+interval {
			t.Fatalf("the next round is in %s of an interval of %s", wait, interval)
		}
		if next := dueAfter(uid, due, interval); next.Sub(due) != interval {
			t.Fatalf("a round in time is followed by one after %s, want %s", next.Sub(due), interval)
		}
		late := time.Duration(rapid.Int64Range(0, int64(interval/2)).Draw(t, "late"))
		if next := dueAfter(uid, due.Add(late), interval); next.Sub(due) != interval {
			t.Fatalf("a round that began %s late is followed by one %s after it was due, want %s", late, next.Sub(due), interval)
		}
	})
}

// Resources that are seen at the same moment come back spread over the interval.
func TestRoundsAreSpread(t *testing.T) {
	const n, parts = 500, 10
	interval := 10 * time.Second
	var counts [parts]int
	for i := range n {
		wait := dueAfter(types.UID(fmt.Sprintf("0b1c2d3e-%04x", i)), start, interval).Sub(start)
		counts[int(wait%interval*parts/interval)]++
	}
	for i, count := range counts {
		if count < n/parts/2 || count > n/parts*3/2 {
			t.Errorf("%d of %d rounds fall into part %d of %d of the interval", count, n, i, parts)
		}
	}
}

// The queue is asked for the next round at its time, however long this one took,
// and what begins after its time is measured.
func TestNextRound(t *testing.T) {
	const interval = 4 * time.Second
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Behavior.Interval = v1alpha1.Every(interval) }))
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		w.pass(time.Second) // a slow round
		return scaleTo(2, 1)(in)
	}
	next := func() time.Time {
		t.Helper()
		result, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key})
		if err != nil {
			t.Fatal(err)
		}
		return w.clock.Now().Add(result.RequeueAfter)
	}
	first := next()
	if want := dueAfter("pda-1", start, interval); !first.Equal(want) {
		t.Errorf("the next round is due at %s, want %s", first, want)
	}
	const late = 500 * time.Millisecond
	w.clock.SetTime(first.Add(late))
	if second := next(); second.Sub(first) != interval {
		t.Errorf("the round after a late one is %s after that one was due, want %s", second.Sub(first), interval)
	}
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != RoundsLate {
			continue
		}
		if h := family.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 1 || math.Abs(h.GetSampleSum()-late.Seconds()) > 1e-6 {
			t.Errorf("%d rounds were %g s late, want one of %s", h.GetSampleCount(), h.GetSampleSum(), late)
		}
	}
}

// Where the quiet time of many ends at once, a second sees no more than ten statuses for numbers alone and ten that were saved up, and all come to be written.
func TestNumbersOfManyAreSpread(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(start)
	c := &Reconciler{store: newStore(), clock: clock}
	rounds := make([]*round, 500)
	for i := range rounds {
		key := types.NamespacedName{Name: fmt.Sprint(i)}
		rounds[i] = &round{pda: example(), svc: &service{key: key, records: newRing(1)}}
		c.store.put(rounds[i].svc)
	}
	written := 0
	for second := range 60 {
		now := 0
		for i, r := range rounds {
			if i%10 != second%10 {
				continue // a round every ten seconds
			}
			r.now = start.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Second/500)
			clock.SetTime(r.now)
			if c.mayWriteNumbers(r) {
				r.svc.writtenAt = r.now
				now++
			}
		}
		if most := 2 * mostWritesPerSecond; now > most {
			t.Errorf("%d statuses in second %d, at most %d are allowed", now, second, most)
		}
		written += now
	}
	if written != len(rounds) {
		t.Errorf("%d statuses were written in a minute, want one of each of %d", written, len(rounds))
	}
}

// Numbers alone are written every three intervals, and of all resources together five times a second.
func TestQuietTime(t *testing.T) {
	for _, tc := range []struct {
		interval  time.Duration
		resources int
		want      time.Duration
	}{
		{time.Second, 1, 3 * time.Second}, {10 * time.Second, 1, 30 * time.Second}, {time.Minute, 1, 30 * time.Second},
		{10 * time.Second, 150, 30 * time.Second}, {10 * time.Second, 500, 100 * time.Second},
	} {
		r := &round{pda: example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Behavior.Interval = v1alpha1.Every(tc.interval) })}
		if got := r.quietTime(tc.resources); got != tc.want {
			t.Errorf("%d resources with an interval of %s: %s, want %s", tc.resources, tc.interval, got, tc.want)
		}
	}
}
