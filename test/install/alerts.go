package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// A History is pages of /metrics as they were scraped, in even steps of time.
type History struct {
	StartSeconds float64 `json:"startSeconds"` // of the first scrape, since 1970
	EverySeconds float64 `json:"everySeconds"`
	// Scrapes are the pages of each step, by the name of their target. One that did not answer is left out.
	Scrapes []map[string]string `json:"scrapes"`
}

// An Alert is one that became active in a history, once for each time. Moments are seconds since the first scrape.
type Alert struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Summary     string            `json:"summary"`
	Description string            `json:"description"`
	PendingAt   float64           `json:"pendingAt"`
	FiringAt    *float64          `json:"firingAt"`
	EndedAt     *float64          `json:"endedAt"`
}

// Alerts evaluates the chart's alerts over each history with Prometheus' own engine: see test/tools/chart/alerts.
func Alerts(ctx context.Context, repository string, histories ...History) ([][]Alert, error) {
	root, err := filepath.Abs(repository)
	if err != nil {
		return nil, err
	}
	var in bytes.Buffer
	for _, h := range histories {
		if err := json.NewEncoder(&in).Encode(h); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(root, "test", "tools", "chart"), "./alerts",
		"-rules", filepath.Join(root, "charts", "pdautoscaler", "files", "alerts.yaml"))
	cmd.Stdin = &in
	said, err := output(cmd)
	if err != nil {
		return nil, err
	}
	out := make([][]Alert, len(histories))
	results := json.NewDecoder(bytes.NewReader([]byte(said)))
	for i := range out {
		var result struct{ Alerts []Alert }
		if err := results.Decode(&result); err != nil {
			return nil, fmt.Errorf("alerts of history %d: %w", i+1, err)
		}
		out[i] = result.Alerts
	}
	return out, nil
}
