package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The names that are looked for are those on the page.
func TestSignalsPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../signals.md")
	if err != nil {
		t.Fatal(err)
	}
	now, err := signalsPage()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), now); diff != "" {
		t.Errorf("docs/signals.md is not current: run make generate (-there +now):\n%s", diff)
	}
}
