package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page in the repository is the one that the code says.
func TestMetricsPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), metricsPage()); diff != "" {
		t.Errorf("docs/metrics.md is not current: run make generate (-there +now):\n%s", diff)
	}
}
