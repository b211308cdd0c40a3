package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// verdict is how a behaviour came out.
type verdict string

const (
	pass verdict = "pass"
	fail verdict = "FAIL"
	skip verdict = "skip"
)

// result is one line of the table.
type result struct {
	API       string   `json:"api"`
	Behaviour string   `json:"behaviour"`
	Fact      string   `json:"fact"`
	Verdict   verdict  `json:"verdict"`
	Seconds   float64  `json:"seconds"`
	Observed  []string `json:"observed,omitempty"`
	// Why is the reason of a failure or of a skip.
	Why string `json:"why,omitempty"`

	order int
}

// report collects results of behaviours that run side by side.
type report struct {
	mu      sync.Mutex
	results []result
}

// add takes a result, and says so at once: a run may not come to its end.
func (r *report) add(one result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, one)
	fmt.Printf("%s  %s  %s  %.1fs  %s\n", one.API, one.Verdict, one.Behaviour, one.Seconds, firstLine(one.Why))
}

// sorted returns the results in the order of the suite.
func (r *report) sorted() []result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.results)
	slices.SortFunc(out, func(a, b result) int { return cmp.Or(strings.Compare(a.API, b.API), cmp.Compare(a.order, b.order)) })
	return out
}

// print writes the table.
func (r *report) print(w io.Writer, controller string) {
	results := r.sorted()
	if len(results) == 0 {
		return
	}
	width := 0
	count := map[verdict]int{}
	for _, one := range results {
		width = max(width, len(one.Behaviour))
		count[one.Verdict]++
	}
	fmt.Fprintf(w, "\nConformance of %s\n", controller)
	for _, one := range results {
		note := one.Why
		if note == "" {
			note = strings.Join(one.Observed, "; ")
		}
		fmt.Fprintf(w, "%s  %s  %-*s  %5.1fs  %s\n", one.API, one.Verdict, width, one.Behaviour, one.Seconds, firstLine(note))
	}
	fmt.Fprintf(w, "%d behaviours: %d pass, %d fail, %d skip\n", len(results), count[pass], count[fail], count[skip])
}

// write saves the results for programs.
func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(r.sorted(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
