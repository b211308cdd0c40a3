// Command check reads rendered manifests and holds those kinds that a plain API server does not know against the Go types of the
// projects that they belong to: cert-manager's and the Prometheus operator's. It parses every PromQL expression of alerts and
// dashboards with Prometheus' own parser, and prints the metrics that they name as JSON.
//
//	helm template charts/pdautoscaler … | check
//	{"objects": {"ServiceMonitor": 1, …}, "expressions": 41, "metrics": ["pdautoscaler_desired_replicas", …]}
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// A summary is what was found.
type summary struct {
	Objects     map[string]int `json:"objects"` // checked here, by kind
	Expressions int            `json:"expressions"`
	Metrics     []string       `json:"metrics"`
}

func main() {
	found, err := check(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func check(in io.Reader) (*summary, error) {
	found := &summary{Objects: map[string]int{}}
	metrics := map[string]bool{}
	documents := yaml.NewYAMLReader(bufferOf(in))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			found.Metrics = slices.Sorted(maps.Keys(metrics))
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if err := found.add(text, metrics); err != nil {
			return nil, err
		}
	}
}

func (s *summary) add(text []byte, metrics map[string]bool) error {
	var meta struct {
		Kind     string
		Metadata struct{ Name string }
		Data     map[string]string
	}
	if err := sigsyaml.Unmarshal(text, &meta); err != nil {
		return err
	}
	var expressions []string
	var err error
	into := typeOf(meta.Kind)
	switch {
	case into != nil:
		s.Objects[meta.Kind]++
		if err = sigsyaml.UnmarshalStrict(text, into); err == nil {
			expressions, err = ofRule(into)
		}
	case meta.Kind == "ConfigMap":
		expressions, err = ofDashboards(meta.Data)
	}
	if err == nil {
		err = named(expressions, metrics)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", meta.Kind, meta.Metadata.Name, err)
	}
	s.Expressions += len(expressions)
	return nil
}

// typeOf is the Go type of a kind that is checked here.
func typeOf(kind string) any {
	switch kind {
	case "ServiceMonitor":
		return &monitoringv1.ServiceMonitor{}
	case "PodMonitor":
		return &monitoringv1.PodMonitor{}
	case "PrometheusRule":
		return &monitoringv1.PrometheusRule{}
	case "Issuer":
		return &certmanagerv1.Issuer{}
	case "Certificate":
		return &certmanagerv1.Certificate{}
	}
	return nil
}
