package scenario

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"
)

func TestProgressOfARun(t *testing.T) {
	s := build(t, small, Options{})
	last := map[string]time.Duration{}
	s.OnProgress = func(p Progress) {
		if p.Of != 10*time.Minute || p.Played < last[p.Policy] || p.Played > p.Of {
			t.Fatalf("progress %+v after %v", p, last[p.Policy])
		}
		last[p.Policy] = p.Played
	}
	run(t, s)
	if last["static"] < 9*time.Minute || last["pdautoscaler"] < 9*time.Minute || len(last) != 2 {
		t.Errorf("policies came to %v, want both near the end of 10 minutes", last)
	}
}

func TestProgressOfTuning(t *testing.T) {
	s := build(t, small, Options{Policies: []string{"dynamo", "static"}})
	settings := map[string]int{}
	s.OnProgress = func(p Progress) {
		if settings[p.Policy]++; p.Settings != settings[p.Policy] || p.Of != 0 {
			t.Errorf("progress %+v, want setting %d", p, settings[p.Policy])
		}
	}
	if _, err := s.Frontier(t.Context(), time.Now, 0.95); err != nil {
		t.Fatal(err)
	}
	if settings["dynamo"] < len(knobs) || settings["static"] < 1 {
		t.Errorf("settings played are %v (of %v), want at least %d of dynamo's", settings, slices.Sorted(maps.Keys(settings)), len(knobs))
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	s := build(t, small, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var reached time.Duration
	s.OnProgress = func(p Progress) {
		if reached = p.Played; p.Played >= 5*time.Minute {
			cancel()
		}
	}
	if r, err := s.Run(ctx, time.Now, nil); r != nil || !errors.Is(err, context.Canceled) || reached > 6*time.Minute {
		t.Errorf("%v, %v after %v, want no report, that it was canceled, and that no more was played", r, err, reached)
	}
}
