package conformance

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// The API versions of RBG that the suite can speak.
const (
	v1alpha1 = "v1alpha1"
	v1alpha2 = "v1alpha2"
)

// settings are what a person can choose; doc.go lists the variables.
type settings struct {
	external bool
	apis     []string // empty: those that are served
	image    string
	resource string
	node     string
	timeout  time.Duration
	settle   time.Duration
	report   string
}

func readSettings() (settings, error) {
	s := settings{
		image:    cmp.Or(os.Getenv("CONFORMANCE_IMAGE"), "registry.k8s.io/pause:3.10"),
		resource: cmp.Or(os.Getenv("CONFORMANCE_RESOURCE"), "nvidia.com/gpu"),
		node:     os.Getenv("CONFORMANCE_NODE"),
		report:   os.Getenv("CONFORMANCE_REPORT"),
	}
	switch which := os.Getenv("RBG"); which {
	case "": // among all the tests of the repository: the newer version will do
		s.apis = []string{v1alpha2}
	case "stand-in":
	case "external":
		s.external = true
	default:
		return s, fmt.Errorf("RBG=%s: allowed is RBG=stand-in or RBG=external", which)
	}
	if list := os.Getenv("CONFORMANCE_API"); list != "" {
		s.apis = strings.Split(list, ",")
	}
	for _, api := range s.apis {
		if !slices.Contains([]string{v1alpha1, v1alpha2}, api) {
			return s, fmt.Errorf("CONFORMANCE_API=%s: allowed are %s and %s, with a comma between them", api, v1alpha1, v1alpha2)
		}
	}
	// The stand-in shares a machine with whatever else is tested there.
	settle, timeout := 2*time.Second, 5*time.Minute
	if s.external {
		settle, timeout = 6*time.Second, time.Minute
	}
	var err error
	if s.timeout, err = readDuration("CONFORMANCE_TIMEOUT", timeout); err != nil {
		return s, err
	}
	s.settle, err = readDuration("CONFORMANCE_SETTLE", settle)
	return s, err
}

func readDuration(name string, otherwise time.Duration) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s=%s: want a duration above zero, as 90s", name, text)
	}
	return d, nil
}
