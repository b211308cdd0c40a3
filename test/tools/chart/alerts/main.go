// Command alerts evaluates alerting rules over a history of /metrics pages, as a Prometheus does that scrapes them: the parser of
// pages, the query engine and the templates are Prometheus' own, and so are the rules for what is stale. It reads histories from
// stdin, one JSON value each, and writes for each the alerts that became active, as one JSON value.
//
//	alerts -rules charts/pdautoscaler/files/alerts.yaml < histories.json
//	{"alerts": [{"name": "PDAutoscalerOverload", "labels": {…}, "pendingAt": 30, "firingAt": 630, "summary": "…"}]}
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	rules := flag.String("rules", "", "file with the groups of a PrometheusRule")
	flag.Parse()
	if err := run(context.Background(), *rules, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
}

// A History is what was scraped: all targets at once, in even steps of time.
type History struct {
	StartSeconds float64 `json:"startSeconds"` // of the first scrape, since 1970
	EverySeconds float64 `json:"everySeconds"`
	// Scrapes are the pages of each step, by the name of their target. One that did not answer is left out.
	Scrapes []map[string]string `json:"scrapes"`
}

func (h *History) start() time.Time    { return time.UnixMilli(int64(h.StartSeconds * 1000)) }
func (h *History) step() time.Duration { return time.Duration(h.EverySeconds * float64(time.Second)) }

// An Alert is one that became active, once for each time. Moments are seconds since the first scrape.
type Alert struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Summary     string            `json:"summary"`
	Description string            `json:"description"`
	PendingAt   float64           `json:"pendingAt"`
	FiringAt    *float64          `json:"firingAt,omitempty"`
	EndedAt     *float64          `json:"endedAt,omitempty"`
}

func run(ctx context.Context, file string, in io.Reader, out io.Writer) error {
	rules, err := readRules(file)
	if err != nil {
		return err
	}
	histories, results := json.NewDecoder(in), json.NewEncoder(out)
	for n := 1; ; n++ {
		var h History
		if err := histories.Decode(&h); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("history %d: %w", n, err)
		}
		if h.step() <= 0 || h.StartSeconds <= 0 || len(h.Scrapes) == 0 {
			return fmt.Errorf("history %d: startSeconds and everySeconds must be above 0, and there must be scrapes", n)
		}
		alerts, err := play(ctx, rules, &h)
		if err != nil {
			return fmt.Errorf("history %d: %w", n, err)
		}
		if err := results.Encode(map[string]any{"alerts": alerts}); err != nil {
			return err
		}
	}
}
