// Package scenarios is the gallery: scenario files that each show one thing, in the order in which they are told.
//
// It knows their names. What a scenario file may hold is package scenario's; what came of each is told in docs/simulator.md.
package scenarios

import (
	"embed"
	"fmt"
)

//go:embed *.yaml
var files embed.FS

// Names are the scenarios without their ending, in the order of the gallery.
func Names() []string {
	return []string{"steady", "day", "swing", "burst", "failed-start", "metrics-outage"}
}

// Read returns the text of a scenario.
func Read(name string) (string, error) {
	raw, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return "", fmt.Errorf("scenario %q is not in the gallery; allowed are %v", name, Names())
	}
	return string(raw), nil
}
