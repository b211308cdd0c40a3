//go:build !cgo || !linux

package main

import (
	"strings"
	"testing"
)

// Built without cgo the agent says so, in one sentence, and the rest of the command line works.
func TestWithoutCgo(t *testing.T) {
	_, err := execute(t, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "built without cgo") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestAgainstTheStandIn(t *testing.T) {
	t.Skip("these tests were built without cgo (no gcc, or CGO_ENABLED=0): the agent is not tried against DCGM")
}
