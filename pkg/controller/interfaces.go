package controller

import (
	"context"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// Workload is what the controller uses of pkg/workload. It is safe for
// concurrent use.
type Workload interface {
	Observe(ctx context.Context, t workload.Target, now time.Time) (workload.Observation, error)
	Apply(ctx context.Context, t workload.Target, role planner.Role, from, to int) error
	// Confirm is how many GPUs the target holds now, asked past every cache.
	Confirm(ctx context.Context, t workload.Target, now time.Time) (gpus int, err error)
	// Choose makes replicas of a role without identities the first to go.
	Choose(ctx context.Context, t workload.Target, role planner.Role, victims []string) error
	// Drain tells pods that they go, Undrain that they stay after all.
	Drain(ctx context.Context, t workload.Target, h workload.Hook, pods []workload.Pod) (done bool, err error)
	Undrain(ctx context.Context, t workload.Target, h workload.Hook, pods []workload.Pod) error
	Forget(t workload.Target)
}

// Collector is what the controller uses of pkg/signals. Each resource has its own.
type Collector interface {
	Collect(ctx context.Context, targets []signals.Target, now time.Time) (planner.Signals, []signals.SourceReport)
	Close()
}

// NewCollector makes the collector of one resource; its error is one clear
// sentence about the configuration.
type NewCollector func(signals.Config) (Collector, error)

var (
	_ Workload  = (*workload.Workload)(nil)
	_ Collector = (*signals.Collector)(nil)
)

// collectFromPods is the NewCollector of production.
func collectFromPods(c signals.Config) (Collector, error) {
	collector, err := signals.New(c)
	if err != nil {
		return nil, err // not a nil *signals.Collector inside a Collector
	}
	return collector, nil
}

var _ loads = (*signals.Collector)(nil)
